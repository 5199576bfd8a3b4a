//! Where the workers share idle connections to the endpoints of a plan.

use std::collections::HashMap;
use std::sync::Arc;

use super::Plan;
use crate::app_protocol::AppProtocol;
use crate::net::shelf::{Habit, Shelf};
use crate::upstream::endpoint::{ConnectionKind, Endpoint, EndpointRecord};
use crate::upstream::endpoint_set::EndpointSet;
use crate::upstream::{Traffic, Upstream};

/// A shelf for each endpoint whose connections may be shared, by the places of upstream and endpoint in the plan.
/// The control thread makes them, so that no worker has to look for one.
#[derive(Clone, Debug, Default)]
pub struct Shelves(Arc<[Arc<UpstreamShelves>]>);

/// Those of one upstream.
#[derive(Debug)]
struct UpstreamShelves {
    endpoints: Arc<EndpointSet>,
    shelves: Box<[Option<Arc<Shelf>>]>,
}

/// What an endpoint's connections are known by, whatever the plan.
type Known<'a> = HashMap<(*const EndpointRecord, ConnectionKind), &'a Arc<Shelf>>;

impl Shelves {
    /// Those for a plan that comes after the one that these are for: endpoints that are in both keep theirs, if
    /// their connections are what they were. There are none for a worker that is alone.
    #[must_use]
    pub fn succeeded_by(&self, plan: &Plan, workers: usize) -> Self {
        if workers < 2 {
            return Self::default();
        }
        let stays = |(place, upstream): (usize, &Arc<Upstream>)| {
            let before = self.0.get(place)?;
            Arc::ptr_eq(&before.endpoints, &upstream.endpoints).then(|| Arc::clone(before))
        };
        let staying: Vec<_> = plan.upstreams.iter().enumerate().map(stays).collect();
        let mut known = Known::new();
        if staying.iter().any(Option::is_none) {
            known.extend(self.0.iter().flat_map(|before| before.known()));
        }
        let upstreams = plan.upstreams.iter().zip(staying);
        let made = upstreams.map(|(upstream, stays)| {
            stays.unwrap_or_else(|| UpstreamShelves::new(upstream, workers, &known))
        });
        Self(made.collect())
    }

    /// That of an endpoint, by its place and that of its upstream.
    pub(super) fn shelf(&self, upstream: usize, endpoint: usize) -> Option<&Arc<Shelf>> {
        self.0.get(upstream)?.shelves.get(endpoint)?.as_ref()
    }
}

impl UpstreamShelves {
    fn new(upstream: &Upstream, workers: usize, known: &Known<'_>) -> Arc<Self> {
        let shelf = |endpoint: &Endpoint| {
            let may_be_shared = upstream.traffic == Traffic::Http
                && upstream.announces.is_none()
                && endpoint.protocol() == AppProtocol::Http1;
            let of_before = || known.get(&key(endpoint)).map(|shelf| Arc::clone(shelf));
            let new = || Arc::new(Shelf::new(workers, Habit::USUAL));
            may_be_shared.then(|| of_before().unwrap_or_else(new))
        };
        let shelves = upstream.endpoints.iter().map(shelf).collect();
        Arc::new(Self { endpoints: Arc::clone(&upstream.endpoints), shelves })
    }

    fn known(
        &self,
    ) -> impl Iterator<Item = ((*const EndpointRecord, ConnectionKind), &Arc<Shelf>)> {
        let both = self.endpoints.iter().zip(&self.shelves);
        both.filter_map(|(endpoint, shelf)| Some((key(endpoint), shelf.as_ref()?)))
    }
}

fn key(endpoint: &Endpoint) -> (*const EndpointRecord, ConnectionKind) {
    (Arc::as_ptr(&endpoint.record), endpoint.connection_kind())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::address::Address;
    use crate::proxy_protocol::Version;
    use crate::upstream::endpoint::Scheme;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint::new(Address::Tcp(([127, 0, 0, 1], port).into()), NonZeroU16::MIN, 2)
    }

    fn upstream(endpoints: &[Endpoint]) -> Upstream {
        Upstream::sample(EndpointSet::new(endpoints.to_vec()))
    }

    fn shelves(upstream: &Upstream, before: Option<&UpstreamShelves>) -> Arc<UpstreamShelves> {
        UpstreamShelves::new(
            upstream,
            2,
            &before.into_iter().flat_map(UpstreamShelves::known).collect(),
        )
    }

    fn same(one: Option<&Arc<Shelf>>, other: Option<&Arc<Shelf>>) -> bool {
        one.zip(other).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    #[test]
    fn an_endpoint_keeps_its_shelf_wherever_it_stands_unless_its_connections_change() {
        let (stays, changes, goes) = (endpoint(1), endpoint(2), endpoint(3));
        let before = shelves(&upstream(&[goes, stays.clone(), changes.clone()]), None);
        let as_h2 = Endpoint { scheme: Scheme::H2c, ..changes.clone() };
        let after = shelves(&upstream(&[stays, as_h2, changes]), Some(&before));
        let (before, after) = (&before.shelves, &after.shelves);
        assert!(same(after[0].as_ref(), before[1].as_ref()));
        assert!(after[1].is_none() && same(after[2].as_ref(), before[2].as_ref()));
    }

    #[test]
    fn connections_that_speak_for_one_client_or_in_bytes_have_no_shelf() {
        let usual = upstream(&[endpoint(1)]);
        let announcing = Upstream { announces: Some(Version::V2), ..usual.clone() };
        let relaying = Upstream { traffic: Traffic::Tcp, ..usual.clone() };
        let has_shelf = |of: &Upstream| shelves(of, None).shelves[0].is_some();
        assert_eq!([&usual, &announcing, &relaying].map(has_shelf), [true, false, false]);
    }
}
