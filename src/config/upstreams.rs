//! Upstreams, from flags and file: their own settings take precedence over the general ones.

use std::collections::HashMap;
use std::sync::Arc;

use super::spanned::Spanned;

use super::balancing;
use super::discovery::{SourcedUpstream, any_list, endpoint, samples, settle};
use super::entries::{CheckEntry, EndpointEntry, EndpointFields, Said, UpstreamEntry};
use super::file::File;
use super::misfits::{announcement_fits, check_fits, port_fits};
use super::mistake::{Mistakes, Place};
use super::scheme;
use super::source;
pub(super) use super::sources::At;
use super::sources::Sources;
use super::unknown::distance;
use super::upstream_settings::{FAIL_TIMEOUT_MAX, UpstreamSettings};
use super::upstream_tls::{self, LateNeed, TlsFiles};
use super::value::{self, Destination};
use crate::id::UpstreamId;
use crate::proxy_protocol::Version;
use crate::upstream::endpoint::{Endpoint, EndpointRole};
use crate::upstream::endpoint_set::EndpointSet;
use crate::upstream::health::Thresholds;
use crate::upstream::record::UpstreamRecord;
use crate::upstream::source::ListEntry;
use crate::upstream::{Traffic, Upstream};

/// The longest name of an upstream, so that it fits tables and metric labels.
const NAME_BYTES_MAX: usize = 64;

/// The upstreams collected so far.
pub(super) struct Upstreams<'a> {
    pub(super) built: Vec<Arc<Upstream>>,
    named: HashMap<&'a str, UpstreamId>,
    /// Whether one has no name, so that a name that none has may be meant for it.
    any_nameless: bool,
    used: Vec<bool>,
    pub(super) settings: UpstreamSettings,
    pub(super) workers: usize,
    pub(super) tls_files: TlsFiles,
    /// Those of them that have sources.
    pub(super) looked_up: Vec<SourcedUpstream>,
}

impl<'a> Upstreams<'a> {
    /// Collects the named upstreams of the file.
    pub(super) fn of_file(
        sources: &'a Sources,
        settings: UpstreamSettings,
        workers: usize,
        mistakes: &mut Mistakes,
    ) -> Self {
        let (built, named, used) = (Vec::new(), HashMap::new(), Vec::new());
        let tls_files = TlsFiles::default();
        let looked_up = Vec::new();
        let any_nameless = false;
        let mut upstreams =
            Self { built, named, any_nameless, used, settings, workers, tls_files, looked_up };
        for file in sources.files() {
            for entry in &file.upstreams {
                upstreams.add_named(entry, &mut At { file, mistakes });
            }
        }
        upstreams
    }

    fn add_named(&mut self, entry: &'a Spanned<UpstreamEntry>, at: &mut At<'_>) {
        let whole = at.file.place(entry.referenced);
        let Some(name) = &entry.value.name else {
            self.any_nameless = true;
            return at.mistakes.add(&whole, "an upstream needs a name: write one, as in name: app");
        };
        let place = at.file.place(name.referenced);
        at.mistakes.note(&place, check_name(&name.value), ());
        if self.named.contains_key(name.value.as_str()) {
            at.mistakes.add(&place, format!("there is an upstream {:?} already", name.value));
        }
        let settings = self.settings.clone().with(&entry.value, at);
        let announces =
            at.over(entry.value.proxy.as_ref(), |text| value::proxy(text).map(Some), None);
        let entries = if let Some(listed) = &entry.value.endpoints {
            entries(listed, &place, at)
        } else {
            let what =
                "an upstream needs endpoints: write where it is, as in endpoints: [127.0.0.1:3000]";
            at.mistakes.add(&place, what);
            Vec::new()
        };
        let samples = samples(&entries);
        if !any_list(&entries) {
            upstream_tls::refuse_unused(&entry.value, &samples, at);
        }
        if let Some(said) = &entry.value.proxy {
            let place = at.file.place(said.referenced);
            at.mistakes.note(&place, announcement_fits(announces, &samples), ());
        }
        let within = (&place, &mut *at.mistakes);
        let id = self.push((&name.value, Traffic::Http), entries, &settings, announces, within);
        self.named.insert(&name.value, id);
    }

    /// The upstream with this ID.
    pub(super) fn get(&self, id: UpstreamId) -> &Upstream {
        &self.built[id.index()]
    }

    /// Finds an upstream by name, for this kind of traffic.
    pub(super) fn find(&mut self, name: &str, traffic: Traffic) -> Result<UpstreamId, String> {
        let Some(&id) = self.named.get(name) else { return Err(self.missing(name)) };
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

    /// What is said of a name that no upstream has.
    fn missing(&self, name: &str) -> String {
        if source::weighted(name)
            .is_ok_and(|found| !matches!(found, ListEntry::Source(_)) || name.contains("://"))
        {
            return format!(
                "{name:?} is an address, not the name of an upstream: write endpoints: [{name:?}]"
            );
        }
        let near = self.named.keys().min_by_key(|known| distance(name, known));
        match near.filter(|known| distance(name, known) <= 1 + name.len() / 4) {
            Some(near) => format!("there is no upstream {name:?}: did you mean {near}?"),
            None => format!(
                "there is no upstream {name:?}: add it to upstreams, as in {{name: {name}, endpoints: [127.0.0.1:3000]}}"
            ),
        }
    }

    /// Adds an unnamed upstream, which gets the name of its route or relay.
    pub(super) fn add(
        &mut self,
        name: &str,
        destination: Destination,
        traffic: Traffic,
        within: (&Place, &mut Mistakes),
    ) -> UpstreamId {
        let Destination { mut endpoints, announces } = destination;
        for entry in &mut endpoints {
            settle(entry, within.0, within.1);
        }
        within.1.note(within.0, announcement_fits(announces, &samples(&endpoints)), ());
        let settings = self.settings.clone();
        self.push((name, traffic), endpoints, &settings, announces, within)
    }

    /// Like [`Upstreams::add`], with endpoints from the file.
    pub(super) fn add_listed(
        &mut self,
        name: &str,
        listed: &[Spanned<EndpointEntry>],
        (place, at): (&Place, &mut At<'_>),
        traffic: Traffic,
    ) -> UpstreamId {
        let entries = entries(listed, place, at);
        if traffic == Traffic::Tcp {
            refuse_schemes(listed, at);
        }
        let settings = self.settings.clone();
        self.push((name, traffic), entries, &settings, None, (place, at.mistakes))
    }

    fn push(
        &mut self,
        (name, traffic): (&str, Traffic),
        entries: Vec<ListEntry>,
        settings: &UpstreamSettings,
        announces: Option<Version>,
        (place, mistakes): (&Place, &mut Mistakes),
    ) -> UpstreamId {
        let mut endpoints = self.written(&entries);
        if traffic == Traffic::Http {
            settings.tls.equip(&mut endpoints, &self.tls_files, place, mistakes);
        }
        self.note_sources((entries, traffic), settings, place, mistakes);
        let UpstreamSettings {
            ref balancing,
            slow_start,
            thresholds,
            server_errors,
            timeouts,
            keeping,
            retrying,
            ..
        } = *settings;
        let endpoints = EndpointSet::new(endpoints);
        let sticky = balancing.sticky((name, traffic), &endpoints);
        self.built.push(Arc::new(Upstream {
            name: name.into(),
            endpoints: Arc::new(endpoints),
            record: UpstreamRecord::new(self.workers),
            policy: balancing.policy,
            custom_policy: None,
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
            host_header: settings.host_header.clone(),
            usual_host: settings.usual_host.clone(),
            timeouts,
            keeping,
            check: settings.check.clone(),
            retries: retrying.retries,
            retry_budget: retrying.budget,
        }));
        self.used.push(false);
        UpstreamId::new(self.built.len() - 1)
    }

    /// The endpoints of a list that need not be looked up.
    fn written(&self, entries: &[ListEntry]) -> Vec<Endpoint> {
        let written = entries.iter().filter_map(|entry| match entry {
            ListEntry::Written(written) => Some(endpoint(written.clone(), self.workers)),
            ListEntry::Source(_) => None,
        });
        written.collect()
    }

    /// Notes what the upstream that is about to be added has to look up, if it has.
    fn note_sources(
        &mut self,
        (entries, traffic): (Vec<ListEntry>, Traffic),
        settings: &UpstreamSettings,
        place: &Place,
        mistakes: &mut Mistakes,
    ) {
        if entries.iter().all(|entry| entry.source().is_none()) {
            return;
        }
        let (files, is_tls) =
            (&self.tls_files, entries.iter().any(|entry| entry.scheme().is_tls()));
        let tls = match traffic {
            Traffic::Http if is_tls => {
                // Whether their names are ones that a certificate could be for.
                settings.tls.equip(&mut samples(&entries), files, place, mistakes);
                settings.tls.late(files, place, LateNeed::Certain(mistakes))
            }
            Traffic::Http if any_list(&entries) => {
                settings.tls.late(files, place, LateNeed::Possible)
            }
            Traffic::Http | Traffic::Tcp => None,
        };
        let id = UpstreamId::new(self.built.len());
        self.looked_up.push(SourcedUpstream::new(id, entries, self.workers, tls));
    }

    /// Reports what is wrong with upstreams, now that it is known how each of them is used.
    pub(super) fn refuse_mistakes(&self, sources: &Sources, mistakes: &mut Mistakes) {
        self.refuse_unused(sources, mistakes);
        self.refuse_meaningless(sources, mistakes);
        self.refuse_misfits(sources, mistakes);
    }

    /// Reports checks that do not go over what their endpoints speak: now that it is known which upstreams are
    /// relayed to.
    fn refuse_misfits(&self, sources: &Sources, mistakes: &mut Mistakes) {
        let mut own = HashMap::new();
        for file in sources.files() {
            for entry in file.upstreams.iter().map(|entry| &entry.value) {
                let id = entry.name.as_ref().and_then(|name| self.named.get(name.value.as_str()));
                let said = id.zip(entry.check.as_ref());
                own.extend(said.map(|(id, said)| (id.index(), file.place(said.referenced))));
            }
        }
        let in_full = sources.file.as_ref().and_then(|file| {
            let said = file.check.as_ref()?;
            Some(file.place(said.referenced))
        });
        let general = in_full.unwrap_or_else(|| sources.place("check"));
        for (index, upstream) in self.built.iter().enumerate() {
            let place = own.get(&index).unwrap_or(&general);
            let is_this = |known: &&SourcedUpstream| known.id.index() == index;
            let looked_up = self.looked_up.iter().find(is_this);
            let known = looked_up.map(|looked_up| samples(&looked_up.entries));
            let known = known.as_deref().unwrap_or(&upstream.endpoints);
            mistakes.note(place, port_fits(&upstream.check, known), ());
            if upstream.traffic == Traffic::Http {
                mistakes.note(place, check_fits(&upstream.check, known), ());
            }
        }
    }

    /// What is no mistake, but may not be what was meant.
    pub(super) fn warnings(&self, sources: &Sources) -> Vec<String> {
        let late = |id: UpstreamId| {
            let looked_up = self.looked_up.iter().find(|known| known.id == id)?;
            looked_up.tls().map(|tls| tls.verification)
        };
        let of_tls = upstream_tls::warnings(sources, &self.built, late, &self.tls_files);
        self.idle_flags(sources).chain(of_tls).collect()
    }

    /// Flags that are about requests, where connections are all there is.
    fn idle_flags(&self, sources: &Sources) -> impl Iterator<Item = String> {
        let flags = &sources.flags;
        let is_relay = |upstream: &Arc<Upstream>| upstream.traffic == Traffic::Tcp;
        let only_relays = !self.built.is_empty() && self.built.iter().all(is_relay);
        let given = [
            ("check", CheckEntry::Text(flags.check.clone()).is_request()),
            ("fail-on-5xx", flags.fail_on_5xx),
            ("retry-on", !flags.retry_on.is_empty()),
            ("attempt-timeout", flags.attempt_timeout.is_some()),
        ];
        let idle = given.into_iter().filter(move |(_, is_given)| *is_given && only_relays);
        idle.map(|(flag, _)| {
            let place = sources.place(flag);
            format!("{place}: has no effect on TCP upstreams, and there are no others")
        })
    }

    /// Reports HTTP settings of upstreams that are used for TCP.
    fn refuse_meaningless<'s>(&self, sources: &'s Sources, mistakes: &mut Mistakes) {
        balancing::refuse_idle_flags(sources, &self.built, mistakes);
        let entries = |file: &'s File| file.upstreams.iter().map(move |entry| (file, &entry.value));
        for (file, entry) in sources.files().flat_map(entries) {
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
                ("host_header", place(&entry.host_header)),
                ("response_timeout", place(&entry.response_timeout)),
                ("idle_timeout", place(&entry.idle_timeout)),
                ("attempt_timeout", place(&entry.attempt_timeout)),
                ("retry_on", entry.retry_on.as_ref().map(|said| said.referenced)),
                ("max_idle", place(&entry.max_idle)),
                ("upstream_keepalive_timeout", place(&entry.upstream_keepalive_timeout)),
                ("fail_on_5xx", entry.fail_on_5xx.and_then(|_| place(&entry.name))),
            ];
            for (key, said) in said.into_iter().filter_map(|(key, said)| Some((key, said?))) {
                let remedy = match key {
                    "check" => ", which is checked by connecting: write tcp or off",
                    _ => "",
                };
                let what = format!("{key}: has no effect on a TCP upstream{remedy}");
                mistakes.add(&file.place(said), what);
            }
        }
    }

    /// Reports upstreams in the file that are not used.
    fn refuse_unused<'s>(&self, sources: &'s Sources, mistakes: &mut Mistakes) {
        let named = |file: &'s File| {
            let names = file.upstreams.iter().filter_map(|entry| entry.value.name.as_ref());
            names.map(move |name| (file, name))
        };
        let files = sources.files().filter(|_| sources.refuses_unused());
        for (file, name) in files.flat_map(named) {
            if self.named.get(name.value.as_str()).is_some_and(|id| !self.used[id.index()]) {
                let what = format!("upstream {:?} is not used: route to it", name.value);
                mistakes.follow(&file.place(name.referenced), format!("{what} or remove it"));
            }
        }
    }
}

/// The entries of a list.
fn entries(listed: &[Spanned<EndpointEntry>], whole: &Place, at: &mut At<'_>) -> Vec<ListEntry> {
    let mut found: Vec<ListEntry> = Vec::new();
    for entry in listed {
        let place = at.file.place(entry.referenced);
        let read = match &entry.value {
            EndpointEntry::Text(text) => source::weighted(text),
            EndpointEntry::Full(fields) => full(fields, at),
        };
        let Some(mut entry) = at.mistakes.take(&place, read) else { continue };
        settle(&mut entry, &place, at.mistakes);
        if found.iter().any(|known| source::same(known, &entry)) {
            at.mistakes.add(&place, source::named_twice(&entry));
            continue;
        }
        found.push(entry);
    }
    let is_backup = |entry: &ListEntry| entry.role() == EndpointRole::Backup;
    if listed.is_empty() {
        at.mistakes.add(whole, "there are no endpoints: write at least one");
    } else if !found.is_empty() && found.iter().all(is_backup) {
        at.mistakes.add(whole, "every endpoint is a backup: at least one must not be");
    }
    found
}

/// An entry in full.
fn full(fields: &EndpointFields, at: &mut At<'_>) -> Result<ListEntry, String> {
    let role =
        if fields.backup == Some(true) { EndpointRole::Backup } else { EndpointRole::Primary };
    let weight = |text: &str| value::weight(text).map(Some);
    let weight = at.over(fields.weight.as_ref(), weight, None);
    let address = fields.address.as_ref().ok_or("an endpoint needs an address: ip:port")?;
    let is_path = ["unix:", "file:"].iter().any(|kind| address.value.contains(kind));
    if let Some((bare, said)) = address.value.rsplit_once('@').filter(|_| !is_path) {
        let text = &address.value;
        return Err(format!(
            "{text:?}: write the weight by itself: address: {bare}, weight: {said}"
        ));
    }
    source::entry(&address.value, weight, role)
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

fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(format!(
            "invalid name {name:?}: expected at most 64 letters, digits, - _ and ."
        ));
    }
    // Commands of the admin listener name it in a path, out of which these two are taken (RFC 3986 §5.2.4).
    if [".", ".."].contains(&name) {
        return Err(format!("{name:?} is no name: write one with a letter or a digit"));
    }
    Ok(())
}
