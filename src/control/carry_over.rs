//! What a plan inherits from the one before it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::address::Address;
use crate::plan::Plan;
use crate::upstream::endpoint::Record;
use crate::upstream::{Traffic, Upstream};

/// The records of a plan, by what they are about, with the names of their upstreams.
#[derive(Default)]
struct Known<'a>(HashMap<(Traffic, &'a Address), Vec<Owned<'a>>>);

/// A record, and the name of the upstream it is of.
type Owned<'a> = (&'a str, &'a Arc<Record>);

impl<'a> Known<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut known = Self::default();
        for upstream in &plan.upstreams {
            for endpoint in &upstream.endpoints {
                let records = known.0.entry((upstream.traffic, &endpoint.address)).or_default();
                records.push((&upstream.name, &endpoint.record));
            }
        }
        known
    }

    /// Takes a record out: one goes on as one endpoint only.
    fn take(
        &mut self,
        (traffic, address): (Traffic, &'a Address),
        fits: impl Fn(&str) -> bool,
    ) -> Option<Arc<Record>> {
        let records = self.0.get_mut(&(traffic, address))?;
        let place = records.iter().position(|(name, _)| fits(name))?;
        Some(Arc::clone(records.remove(place).1))
    }
}

/// The plan `next`, with what is known of endpoints and routes that were in `before`. An endpoint
/// inherits from that of the upstream of its name, or else from any of its address that has no heir.
pub(crate) fn succeed(before: &Plan, next: &Plan) -> Plan {
    let mut known = Known::of(before);
    let mut heirs: Vec<Upstream> =
        next.upstreams.iter().map(|upstream| Upstream::clone(upstream)).collect();
    let mut bare = Vec::new();
    for (upstream, heir) in next.upstreams.iter().zip(&mut heirs) {
        for (endpoint, heir) in upstream.endpoints.iter().zip(&mut heir.endpoints) {
            let of_name = |name: &str| name == &*upstream.name;
            let key = (upstream.traffic, &endpoint.address);
            match known.take(key, of_name) {
                Some(record) => heir.record = record,
                None => bare.push((key, heir)),
            }
        }
    }
    for (key, heir) in bare {
        if let Some(record) = known.take(key, |_| true) {
            heir.record = record;
        }
    }
    let counts: HashMap<&str, _> =
        before.routes.iter().map(|route| (&*route.name, &route.counts)).collect();
    let mut routes = next.routes.clone();
    for route in &mut routes {
        if let Some(counts) = counts.get(&*route.name) {
            route.counts = Arc::clone(counts);
        }
    }
    Plan { routes, upstreams: heirs.into_iter().map(Arc::new).collect(), ..next.clone() }
}
