//! TCP listeners, from flags and file. Server names for the same address make one listener, wherever they
//! are written.

use super::entries::{RelayEntry, RelayFields, ServerNameEntries};
use super::file::File;
use super::listeners::CollectedListeners;
use super::mistake::{Mistakes, Place};
use super::sources::Sources;
use super::upstreams::{At, Upstreams};
use super::value::{self, Listen, Resolve, WrittenRelay};
use crate::id::{SniTableId, UpstreamId};
use crate::plan::listener::{Service, Transport};
use crate::plan::sni::SniTable;
use crate::route::NamePattern;
use crate::upstream::Traffic;

/// One value of `--tcp`, or one entry of `tcp`.
struct SaidRelay {
    listen: Listen,
    place: Place,
    /// The names it routes by, if it does.
    names: Option<Vec<(NamePattern, UpstreamId, Place)>>,
    /// For all connections, or for the rest of them.
    upstream: Option<UpstreamId>,
}

/// A listener.
struct Group {
    listen: Listen,
    place: Place,
    is_by_name: bool,
    table: SniTable,
}

/// The TCP listeners collected so far.
struct Relays<'r, 'a> {
    groups: Vec<Group>,
    upstreams: &'r mut Upstreams<'a>,
    resolve: Resolve<'a>,
    mistakes: &'r mut Mistakes,
}

/// Adds the TCP listeners, with their upstreams.
pub(super) fn add<'a>(
    listeners: &mut CollectedListeners<'a>,
    sources: &'a Sources,
    upstreams: &mut Upstreams<'a>,
    resolve: Resolve<'a>,
    mistakes: &mut Mistakes,
) {
    let mut relays = Relays { groups: Vec::new(), upstreams, resolve, mistakes };
    for (nth, text) in sources.flags.tcp.iter().enumerate() {
        relays.add_text(text, sources.nth_place("tcp", nth));
    }
    for file in sources.files() {
        for entry in &file.relays {
            let place = file.place(entry.referenced);
            match &entry.value {
                RelayEntry::Text(text) => relays.add_text(text, place),
                RelayEntry::Full(fields) => relays.add_full(fields, file, place),
            }
        }
    }
    let Relays { groups, mistakes, .. } = relays;
    for Group { listen, place, is_by_name, table } in groups {
        let service = match table.fallback {
            Some(upstream) if !is_by_name => Service::Tcp { upstream },
            _ => {
                listeners.sni_tables.push(table);
                Service::Sni { table: SniTableId::new(listeners.sni_tables.len() - 1) }
            }
        };
        listeners.add(listen, Transport::Plain, service, &place, mistakes);
    }
}

impl Relays<'_, '_> {
    fn add_text(&mut self, text: &str, place: Place) {
        let read = self.mistakes.take(&place, value::relay(text, self.resolve));
        let Some(WrittenRelay { listen, server_name, destination }) = read else { return };
        let address = text.split(['=', ',']).next().unwrap_or_default();
        let name = server_name.as_ref().map(|name| format!("{address},sni={name}"));
        let name = name.as_deref().unwrap_or(address);
        let within = (&place, &mut *self.mistakes);
        let upstream = self.upstreams.add(name, destination, Traffic::Tcp, within);
        let (names, upstream) = match server_name {
            Some(name) => (Some(vec![(name, upstream, place.clone())]), None),
            None => (None, Some(upstream)),
        };
        self.add(SaidRelay { listen, place, names, upstream });
    }

    fn add_full(&mut self, fields: &RelayFields, file: &File, place: Place) {
        let Some(listen) = &fields.listen else {
            return self.mistakes.add(&place, "a relay needs listen: ADDRESS");
        };
        let at = file.place(listen.referenced);
        let read = self.mistakes.take(&at, value::listen(&listen.value, self.resolve));
        let address = listen.value.split(',').next().unwrap_or_default();
        let names = fields.sni.as_ref().map(|sni| {
            if sni.value.0.is_empty() {
                let what = "there are no names: write at least one, or leave the key out";
                self.mistakes.add(&file.place(sni.referenced), what);
            }
            self.names(&sni.value, file)
        });
        let upstream = match (&fields.upstream, &fields.endpoints) {
            (Some(name), None) => {
                let place = file.place(name.referenced);
                self.mistakes.take(&place, self.upstreams.find(&name.value, Traffic::Tcp))
            }
            (None, Some(endpoints)) => {
                let at = (&place, &mut At { file, mistakes: self.mistakes });
                Some(self.upstreams.add_listed(address, endpoints, at, Traffic::Tcp))
            }
            (None, None) if names.is_some() => None,
            _ => {
                let what = "a relay needs either upstream: NAME or endpoints: [ADDRESS]";
                return self.mistakes.add(&place, what);
            }
        };
        if let Some(listen) = read {
            self.add(SaidRelay { listen, place, names, upstream });
        }
    }

    fn names(
        &mut self,
        entries: &ServerNameEntries,
        file: &File,
    ) -> Vec<(NamePattern, UpstreamId, Place)> {
        let read = entries.0.iter().filter_map(|(name, upstream)| {
            let (place, at) = (file.place(name.referenced), file.place(upstream.referenced));
            let name = self.mistakes.take(&place, value::server_name(&name.value));
            let found = self.upstreams.find(&upstream.value, Traffic::Tcp);
            let upstream = self.mistakes.take(&at, found);
            Some((name?, upstream?, place))
        });
        read.collect()
    }

    /// Adds it to the listener for the same address, if one of the two routes by server names.
    fn add(&mut self, said: SaidRelay) {
        let SaidRelay { listen, place, names, upstream } = said;
        let is_by_name = names.is_some();
        let earlier = self.groups.iter_mut().find(|group| {
            group.listen.addresses == listen.addresses && (is_by_name || group.is_by_name)
        });
        let group = if let Some(group) = earlier {
            if group.listen.preamble != listen.preamble {
                let what = "\",proxy\" must stand in all values for an address, or in none";
                self.mistakes.add(&place, what);
            }
            if upstream.is_some() && group.table.fallback.is_some() {
                let what = "there is an upstream already for the names that are not listed";
                self.mistakes.add(&place, what);
            }
            group
        } else {
            let table = SniTable::default();
            self.groups.push(Group { listen, place, is_by_name, table });
            let Some(group) = self.groups.last_mut() else { return };
            group
        };
        group.is_by_name |= is_by_name;
        group.table.fallback = group.table.fallback.or(upstream);
        for (name, upstream, place) in names.into_iter().flatten() {
            let shown = name.to_string();
            if !group.table.names.add(name, upstream) {
                self.mistakes.add(&place, format!("{shown} is given twice"));
            }
        }
    }
}
