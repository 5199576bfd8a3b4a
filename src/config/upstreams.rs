//! Upstreams, from flags and file: their own settings take precedence over the general ones.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use serde_saphyr::Spanned;

use super::balancing;
use super::entries::{EndpointEntry, EndpointFields, Said, UpstreamEntry};
use super::misfits::{announcement_fits, check_fits, port_fits};
use super::mistake::{Mistakes, Place};
use super::scheme;
pub(super) use super::sources::At;
use super::sources::Sources;
use super::upstream_settings::{FAIL_TIMEOUT_MAX, UpstreamSettings};
use super::upstream_tls::{self, TlsFiles};
use super::value::{self, Destination, Resolve, WrittenEndpoint};
use crate::id::UpstreamId;
use crate::proxy_protocol::Version;
use crate::upstream::endpoint::{Endpoint, EndpointRecord, EndpointRole};
use crate::upstream::endpoint_set::EndpointSet;
use crate::upstream::health::Thresholds;
use crate::upstream::record::UpstreamRecord;
use crate::upstream::{Traffic, Upstream};

/// The longest name of an upstream, so that it fits tables and metric labels.
const NAME_BYTES_MAX: usize = 64;

/// The upstreams collected so far.
pub(super) struct Upstreams<'a> {
    pub(super) built: Vec<Arc<Upstream>>,
    named: HashMap<&'a str, UpstreamId>,
    used: Vec<bool>,
    pub(super) settings: UpstreamSettings,
    pub(super) workers: usize,
    pub(super) tls_files: TlsFiles,
    resolve: Resolve<'a>,
}

impl<'a> Upstreams<'a> {
    /// Collects the named upstreams of the file.
    pub(super) fn of_file(
        sources: &'a Sources,
        settings: UpstreamSettings,
        workers: usize,
        resolve: Resolve<'a>,
        mistakes: &mut Mistakes,
    ) -> Self {
        let (built, named, used) = (Vec::new(), HashMap::new(), Vec::new());
        let tls_files = TlsFiles::default();
        let mut upstreams = Self { built, named, used, settings, workers, tls_files, resolve };
        if let Some(file) = &sources.file {
            for entry in &file.upstreams {
                upstreams.add_named(entry, &mut At { file, mistakes });
            }
        }
        upstreams
    }

    fn add_named(&mut self, entry: &'a Spanned<UpstreamEntry>, at: &mut At<'_>) {
        let whole = at.file.place(entry.referenced);
        let Some(name) = &entry.value.name else {
            return at.mistakes.add(&whole, "an upstream needs a name: add name: …");
        };
        let place = at.file.place(name.referenced);
        at.mistakes.note(&place, check_name(&name.value), ());
        if self.named.contains_key(name.value.as_str()) {
            at.mistakes.add(&place, format!("there is an upstream {:?} already", name.value));
        }
        let settings = self.settings.clone().with(&entry.value, at);
        let announces =
            at.over(entry.value.proxy.as_ref(), |text| value::proxy(text).map(Some), None);
        let Some(listed) = &entry.value.endpoints else {
            return at.mistakes.add(&place, "an upstream needs endpoints: [ADDRESS, …]");
        };
        let endpoints = self.endpoints(listed, &place, at);
        upstream_tls::refuse_unused(&entry.value, &endpoints, at);
        if let Some(said) = &entry.value.proxy {
            let place = at.file.place(said.referenced);
            at.mistakes.note(&place, announcement_fits(announces, &endpoints), ());
        }
        let within = (&place, &mut *at.mistakes);
        let id = self.push((&name.value, Traffic::Http), endpoints, &settings, announces, within);
        self.named.insert(&name.value, id);
    }

    /// The upstream with this ID.
    pub(super) fn get(&self, id: UpstreamId) -> &Upstream {
        &self.built[id.index()]
    }

    /// Finds an upstream by name, for this kind of traffic.
    pub(super) fn find(&mut self, name: &str, traffic: Traffic) -> Result<UpstreamId, String> {
        let Some(&id) = self.named.get(name) else {
            return Err(format!("there is no upstream {name:?}: add it to upstreams:"));
        };
        let index = id.index();
        if self.used[index] && self.built[index].traffic != traffic {
            return Err(format!(
                "upstream {name:?} cannot be used by both routes and tcp: define two"
            ));
        }
        if self.built[index].traffic != traffic {
            self.built[index] = Arc::new(balancing::relayed(&self.built[index]));
        }
        self.used[index] = true;
        Ok(id)
    }

    /// Adds an unnamed upstream, which gets the name of its route or relay.
    pub(super) fn add(
        &mut self,
        name: &str,
        destination: Destination,
        traffic: Traffic,
        within: (&Place, &mut Mistakes),
    ) -> UpstreamId {
        let endpoints = destination.endpoints.into_iter();
        let endpoints: Vec<_> =
            endpoints.map(|written| self.built_of(written, EndpointRole::Primary)).collect();
        within.1.note(within.0, announcement_fits(destination.announces, &endpoints), ());
        let settings = self.settings.clone();
        self.push((name, traffic), endpoints, &settings, destination.announces, within)
    }

    /// Like [`Upstreams::add`], with endpoints from the file.
    pub(super) fn add_listed(
        &mut self,
        name: &str,
        listed: &[Spanned<EndpointEntry>],
        (place, at): (&Place, &mut At<'_>),
        traffic: Traffic,
    ) -> UpstreamId {
        let endpoints = self.endpoints(listed, place, at);
        if traffic == Traffic::Tcp {
            refuse_schemes(listed, at);
        }
        let settings = self.settings.clone();
        self.push((name, traffic), endpoints, &settings, None, (place, at.mistakes))
    }

    fn push(
        &mut self,
        (name, traffic): (&str, Traffic),
        mut endpoints: Vec<Endpoint>,
        settings: &UpstreamSettings,
        announces: Option<Version>,
        (place, mistakes): (&Place, &mut Mistakes),
    ) -> UpstreamId {
        if traffic == Traffic::Http {
            settings.tls.equip(&mut endpoints, &self.tls_files, place, mistakes);
        }
        let UpstreamSettings {
            ref balancing,
            slow_start,
            thresholds,
            server_errors,
            timeouts,
            keeping,
            ..
        } = *settings;
        let endpoints = EndpointSet::new(endpoints);
        let sticky = balancing.sticky((name, traffic), &endpoints);
        self.built.push(Arc::new(Upstream {
            name: name.into(),
            endpoints: Arc::new(endpoints),
            record: UpstreamRecord::new(self.workers),
            policy: balancing.policy,
            hash_on: balancing.hash_on(traffic),
            sticky: sticky.map(Arc::new),
            slow_start,
            ceiling: settings.ceiling.ceiling(),
            thresholds: Thresholds {
                fail_timeout_max: FAIL_TIMEOUT_MAX.max(thresholds.fail_timeout),
                ..thresholds
            },
            server_errors,
            traffic,
            announces,
            timeouts,
            keeping,
            check: settings.check.clone(),
        }));
        self.used.push(false);
        UpstreamId::new(self.built.len() - 1)
    }

    fn endpoints(
        &self,
        listed: &[Spanned<EndpointEntry>],
        whole: &Place,
        at: &mut At<'_>,
    ) -> Vec<Endpoint> {
        let mut found: Vec<Endpoint> = Vec::new();
        for entry in listed {
            let place = at.file.place(entry.referenced);
            let read = match &entry.value {
                EndpointEntry::Text(text) => {
                    value::weighted(text, self.resolve).map(|found| (found, EndpointRole::Primary))
                }
                EndpointEntry::Full(fields) => self.endpoint(fields, at),
            };
            let Some((endpoints, role)) = at.mistakes.take(&place, read) else { continue };
            for written in endpoints {
                if found.iter().any(|known| known.address == written.address) {
                    at.mistakes.add(&place, value::named_twice(&written.address));
                    continue;
                }
                found.push(self.built_of(written, role));
            }
        }
        if listed.is_empty() {
            at.mistakes.add(whole, "there are no endpoints: write at least one");
        } else if !found.is_empty()
            && found.iter().all(|endpoint| endpoint.role == EndpointRole::Backup)
        {
            at.mistakes.add(whole, "every endpoint is a backup: at least one must not be");
        }
        found
    }

    fn built_of(&self, written: WrittenEndpoint, role: EndpointRole) -> Endpoint {
        let WrittenEndpoint { name, scheme, address, weight } = written;
        let (tls, record) = (None, EndpointRecord::new(self.workers));
        Endpoint { name, scheme, address, weight, role, tls, record }
    }

    fn endpoint(&self, fields: &EndpointFields, at: &mut At<'_>) -> Result<Weighted, String> {
        let role =
            if fields.backup == Some(true) { EndpointRole::Backup } else { EndpointRole::Primary };
        let weight = at.over(fields.weight.as_ref(), value::weight, NonZeroU16::MIN);
        let address = fields.address.as_ref().ok_or("an endpoint needs an address: ip:port")?;
        Ok((value::endpoint(&address.value, weight, self.resolve)?, role))
    }

    /// Reports checks that do not go over what their endpoints speak: now that it is known which upstreams are
    /// relayed to.
    pub(super) fn refuse_misfits(&self, sources: &Sources, mistakes: &mut Mistakes) {
        let mut own = HashMap::new();
        if let Some(file) = &sources.file {
            for entry in file.upstreams.iter().map(|entry| &entry.value) {
                let id = entry.name.as_ref().and_then(|name| self.named.get(name.value.as_str()));
                let said = id.zip(entry.check.as_ref());
                own.extend(said.map(|(id, said)| (id.index(), file.place(said.referenced))));
            }
        }
        let general = sources.place("check");
        for (index, upstream) in self.built.iter().enumerate() {
            let place = own.get(&index).unwrap_or(&general);
            mistakes.note(place, port_fits(&upstream.check, &upstream.endpoints), ());
            if upstream.traffic == Traffic::Http {
                mistakes.note(place, check_fits(&upstream.check, &upstream.endpoints), ());
            }
        }
    }

    /// Reports HTTP settings of upstreams that are used for TCP.
    pub(super) fn refuse_meaningless(&self, sources: &Sources, mistakes: &mut Mistakes) {
        balancing::refuse_idle_flags(sources, &self.built, mistakes);
        let Some(file) = &sources.file else { return };
        for entry in file.upstreams.iter().map(|entry| &entry.value) {
            let id = entry.name.as_ref().and_then(|name| self.named.get(name.value.as_str()));
            if id.is_none_or(|&id| self.get(id).traffic == Traffic::Http) {
                continue;
            }
            refuse_schemes(
                entry.endpoints.as_deref().unwrap_or_default(),
                &mut At { file, mistakes },
            );
            let place = |said: &Option<Said>| said.as_ref().map(|said| said.referenced);
            let check = entry.check.as_ref().filter(|check| check.value.is_request());
            balancing::refuse_of_requests(entry, &mut At { file, mistakes });
            let said = [
                ("check", check.map(|check| check.referenced)),
                ("response_timeout", place(&entry.response_timeout)),
                ("idle_timeout", place(&entry.idle_timeout)),
                ("max_idle", place(&entry.max_idle)),
                ("upstream_keepalive_timeout", place(&entry.upstream_keepalive_timeout)),
                ("fail_on_5xx", entry.fail_on_5xx.and_then(|_| place(&entry.name))),
            ];
            for (key, said) in said.into_iter().filter_map(|(key, said)| Some((key, said?))) {
                let what = format!("{key}: has no effect on a TCP upstream");
                mistakes.add(&file.place(said), what);
            }
        }
    }

    /// Reports upstreams in the file that are not used.
    pub(super) fn refuse_unused(&self, sources: &Sources, mistakes: &mut Mistakes) {
        let Some(file) = sources.file.as_ref().filter(|_| sources.refuses_unused()) else { return };
        for name in file.upstreams.iter().filter_map(|entry| entry.value.name.as_ref()) {
            if self.named.get(name.value.as_str()).is_some_and(|id| !self.used[id.index()]) {
                let what = format!("upstream {:?} is not used: route to it", name.value);
                mistakes.add(&file.place(name.referenced), format!("{what} or remove it"));
            }
        }
    }
}

/// Notes the schemes of endpoints that connections are relayed to.
fn refuse_schemes(listed: &[Spanned<EndpointEntry>], at: &mut At<'_>) {
    for entry in listed {
        let text = match &entry.value {
            EndpointEntry::Text(text) => Some(text),
            EndpointEntry::Full(fields) => fields.address.as_ref().map(|said| &said.value),
        };
        let refused = text.map_or(Ok(()), |text| scheme::refuse(text));
        at.mistakes.note(&at.file.place(entry.referenced), refused, ());
    }
}

/// An endpoint, once for each of its addresses, and its role.
type Weighted = (Vec<WrittenEndpoint>, EndpointRole);

fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(format!(
            "invalid name {name:?}: expected at most 64 letters, digits, - _ and ."
        ));
    }
    Ok(())
}
