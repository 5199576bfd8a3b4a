//! What is looked up for a configuration, and which endpoints of which upstreams come of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::misfits::{announcement_fits, check_fits, port_fits};
use super::mistake::{Mistakes, Place};
use super::source::NOT_IN_CODE;
use super::sources::Sources;
use super::upstream_tls::LateTls;
use super::value;
use crate::address::Address;
use crate::id::UpstreamId;
use crate::plan::Plan;
use crate::upstream::custom_source::CustomQuery;
use crate::upstream::endpoint::{Endpoint, EndpointRecord, Scheme};
use crate::upstream::source::{
    Discovered, EndpointSource, ListEntry, SourceAnswer, SourceQuery, endpoints,
};
use crate::upstream::{Traffic, Upstream};

/// What is looked up for a configuration.
#[derive(Clone, Debug, Default)]
pub struct DiscoveryPlan {
    /// The name servers that are asked; those of the system if there are none.
    pub servers: Vec<SocketAddr>,
    /// The upstreams that have sources.
    pub upstreams: Vec<SourcedUpstream>,
}

impl DiscoveryPlan {
    /// Of these upstreams, with the name servers of the flags and the file.
    pub(super) fn of(
        sources: &Sources,
        upstreams: Vec<SourcedUpstream>,
        mistakes: &mut Mistakes,
    ) -> Self {
        let mut servers = Vec::new();
        for (nth, text) in sources.flags.resolver.iter().enumerate() {
            let place = sources.nth_place("resolver", nth);
            let Some(server) = mistakes.take(&place, value::name_server(text)) else { continue };
            if servers.contains(&server) {
                mistakes.add(&place, format!("{server} is given twice"));
            }
            servers.push(server);
        }
        Self { servers, upstreams }
    }

    /// What is no mistake, but may not be what was meant: name servers where nothing is looked up. What a file will list
    /// is not known.
    pub(super) fn warnings(&self, sources: &Sources) -> Vec<String> {
        let is_idle = !self.servers.is_empty() && self.upstreams.is_empty();
        let place = sources.place("resolver");
        let idle = is_idle.then(|| format!("{place}: has no effect: no endpoint is a name"));
        idle.into_iter().collect()
    }

    /// The questions that it asks whatever the answers are.
    pub fn questions(&self) -> impl Iterator<Item = &SourceQuery> {
        self.upstreams.iter().flat_map(SourcedUpstream::questions)
    }

    /// The endpoints of its upstreams by what is known, for the plan of the same configuration.
    pub fn list<'a>(
        &self,
        plan: &Plan,
        answer: &impl Fn(&SourceQuery) -> Option<&'a SourceAnswer>,
    ) -> Vec<Listed> {
        let listed = self
            .upstreams
            .iter()
            .map(|known| (known.id, known.endpoints(plan.upstream(known.id), answer)));
        listed.collect()
    }
}

/// The endpoints of an upstream by what is known, or why they do not suit it.
pub type Listed = (UpstreamId, Result<Vec<Endpoint>, String>);

/// An upstream some of whose endpoints are looked up.
#[derive(Clone, Debug)]
pub struct SourcedUpstream {
    /// The upstream, in the plan of the same configuration.
    pub id: UpstreamId,
    /// Its list as it was written.
    pub entries: Vec<ListEntry>,
    workers: usize,
    tls: Option<LateTls>,
}

impl SourcedUpstream {
    /// Has the sources in code be these, by their names. Returns the names that none has.
    pub(super) fn bind(&mut self, sources: &[CustomQuery]) -> Vec<Box<str>> {
        let mut unknown = Vec::new();
        for entry in &mut self.entries {
            let ListEntry::Source(EndpointSource { question, .. }) = entry else { continue };
            let SourceQuery::Custom(named) = question else { continue };
            match sources.iter().find(|known| known.name() == named.name()) {
                Some(known) => *named = known.clone(),
                None => unknown.push(named.name().into()),
            }
        }
        unknown
    }

    /// An upstream with this list, and what TLS to its endpoints needs.
    pub(super) fn new(
        id: UpstreamId,
        entries: Vec<ListEntry>,
        workers: usize,
        tls: Option<LateTls>,
    ) -> Self {
        Self { id, entries, workers, tls }
    }

    /// What is asked for it.
    pub fn questions(&self) -> impl Iterator<Item = &SourceQuery> {
        self.entries.iter().filter_map(ListEntry::source).map(|source| &source.question)
    }

    /// What TLS to its endpoints needs, if one may have it.
    pub(super) fn tls(&self) -> Option<&LateTls> {
        self.tls.as_ref()
    }

    /// Its endpoints by what is known of its sources, for `upstream` as it is set up otherwise. An error if one does
    /// not suit it.
    pub fn endpoints<'a>(
        &self,
        upstream: &Upstream,
        answer: &impl Fn(&SourceQuery) -> Option<&'a SourceAnswer>,
    ) -> Result<Vec<Endpoint>, String> {
        let found = endpoints(&self.entries, answer);
        let mut built: Vec<_> =
            found.into_iter().map(|found| endpoint(found, self.workers)).collect();
        port_fits(&upstream.check, &built)?;
        if upstream.traffic == Traffic::Tcp {
            return match built.iter().find(|found| found.scheme != Scheme::Http) {
                Some(misfit) => Err(format!(
                    "{misfit}: connections are relayed as they are: leave the scheme out"
                )),
                None => Ok(built),
            };
        }
        check_fits(&upstream.check, &built)?;
        announcement_fits(upstream.announces, &built)?;
        for endpoint in built.iter_mut().filter(|found| found.scheme.is_tls()) {
            let tls = self.tls.as_ref().ok_or("TLS to its endpoints is not set up")?;
            tls.equip(endpoint)?;
        }
        Ok(built)
    }
}

/// An endpoint of which nothing is known.
pub(super) fn endpoint(found: Discovered, workers: usize) -> Endpoint {
    let Discovered { name, address, weight, role, scheme } = found;
    let (tls, record) = (None, EndpointRecord::new(workers));
    Endpoint { name, scheme, address, weight, role, tls, record }
}

/// What a list says of its endpoints before anything was looked up: one stands for all those of a source. Those of a
/// list say for themselves.
pub(super) fn samples(entries: &[ListEntry]) -> Vec<Endpoint> {
    let sample = |source: &EndpointSource| Discovered {
        name: source.written.strip_prefix("dns:").unwrap_or(&source.written).into(),
        address: Address::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), source.port)),
        weight: source.weight,
        role: source.role,
        scheme: source.scheme,
    };
    let found = entries.iter().filter_map(|entry| match entry {
        ListEntry::Written(written) => Some(written.clone()),
        ListEntry::Source(source) => (!source.question.is_list()).then(|| sample(source)),
    });
    found.map(|found| endpoint(found, 1)).collect()
}

/// Whether any endpoint is listed elsewhere, which may say anything of it.
pub(super) fn any_list(entries: &[ListEntry]) -> bool {
    entries.iter().filter_map(ListEntry::source).any(|source| source.question.is_list())
}

/// Has a relative path be that of the configuration file, if it stands there, and refuses what is only for code.
pub(super) fn settle(entry: &mut ListEntry, place: &Place, mistakes: &mut Mistakes) {
    let ListEntry::Source(EndpointSource { question, .. }) = entry else { return };
    match (question, place) {
        (SourceQuery::File(path), _) => {
            let found = Sources::path(place, &path.to_string_lossy());
            *path = std::path::absolute(&found).unwrap_or(found);
        }
        (SourceQuery::Custom(_), Place::Flag(_) | Place::Argument(_) | Place::File { .. }) => {
            mistakes.add(place, NOT_IN_CODE);
        }
        _ => {}
    }
}
