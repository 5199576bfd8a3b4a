//! What a plan inherits from the one before it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::address::Address;
use crate::id::UpstreamId;
use crate::net::tls::server::ServerTls;
use crate::net::tls::tickets::TicketKeys;
use crate::plan::{Plan, Route};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::endpoint_set::EndpointSet;
use crate::upstream::health::Tick;
use crate::upstream::{Traffic, Upstream};

/// The endpoints of a plan, by what they are about, with the names of their upstreams.
#[derive(Default)]
struct Known<'a>(HashMap<(Traffic, &'a Address), Vec<Owned<'a>>>);

/// The upstreams of a plan, by their names.
type Names<'a> = HashMap<(Traffic, &'a str), &'a Arc<Upstream>>;

/// An endpoint, and the name of the upstream it is of.
type Owned<'a> = (&'a str, &'a Endpoint);

impl<'a> Known<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut known = Self::default();
        for upstream in &plan.upstreams {
            for endpoint in upstream.endpoints.iter() {
                let known = known.0.entry((upstream.traffic, &endpoint.address)).or_default();
                known.push((&upstream.name, endpoint));
            }
        }
        known
    }

    /// Takes an endpoint out: one goes on as one only.
    fn take(
        &mut self,
        (traffic, address): (Traffic, &'a Address),
        fits: impl Fn(&str) -> bool,
    ) -> Option<&'a Endpoint> {
        let known = self.0.get_mut(&(traffic, address))?;
        let place = known.iter().position(|(name, _)| fits(name))?;
        Some(known.remove(place).1)
    }

    /// Those that have not been taken out have left their upstreams.
    fn leave(self, upstreams: &Names<'_>) {
        let mut left: HashMap<(Traffic, &str), Vec<&Endpoint>> = HashMap::new();
        for ((traffic, _), known) in self.0 {
            for (name, endpoint) in known {
                left.entry((traffic, name)).or_default().push(endpoint);
            }
        }
        for (of, endpoints) in left {
            if let Some(upstream) = upstreams.get(&of) {
                upstream.record.departed.add(endpoints);
            }
        }
    }
}

/// An endpoint is added to `upstream`, if there was one; it may have been there before.
fn come(endpoint: &mut Endpoint, upstream: Option<&Upstream>, now: Tick) {
    let departed = upstream.and_then(|known| known.record.departed.take(&endpoint.address));
    endpoint.record = departed.unwrap_or_else(|| Arc::clone(&endpoint.record));
    endpoint.record.add(now);
}

/// The plan `next`, with what is known of endpoints and routes that were in `before`. An endpoint
/// inherits from that of the upstream of its name, or else from any of its address that has no heir.
/// Via goes on with the same identifier, and session tickets with the same keys.
pub(crate) fn succeed(before: &Plan, mut next: Plan, now: Tick) -> Plan {
    let names: Names<'_> =
        before.upstreams.iter().map(|known| ((known.traffic, &*known.name), known)).collect();
    let heirs = heirs(before, &next, &names, now);
    succeed_routes(&before.routes, Arc::make_mut(&mut next.routes));
    let upstreams = next.upstreams.iter().zip(heirs).map(|(upstream, heirs)| {
        let known = names.get(&(upstream.traffic, &*upstream.name));
        if let Some(known) = known.filter(|known| is_unchanged(known, upstream, &heirs)) {
            return Arc::clone(known);
        }
        let mut endpoints = EndpointSet::new(heirs);
        let mut record = &upstream.record;
        if let Some(known) = known {
            endpoints = endpoints.in_place_of(&known.endpoints);
            record = &known.record;
        }
        let (endpoints, record) = (Arc::new(endpoints), Arc::clone(record));
        let upstream = Upstream { endpoints, record, ..Upstream::clone(upstream) };
        upstream.prepare();
        Arc::new(upstream)
    });
    let via = next.via.as_ref().map(|via| match &before.via {
        Some(earlier) => via.with_id_of(earlier),
        None => via.clone(),
    });
    let keys = before.tls.as_ref().map(|before| &before.ticket_keys);
    let tls = next.tls.as_ref().map(|tls| match keys {
        Some(keys) => resumed(tls, Arc::clone(keys)),
        None => Arc::clone(tls),
    });
    let upstreams = upstreams.collect();
    Plan { upstreams, via, tls, ..next }
}

/// Has routes go on with what is known of those that had their names.
fn succeed_routes(before: &[Route], next: &mut [Route]) {
    let mut names: Option<HashMap<&str, &Route>> = None;
    for (at, route) in next.iter_mut().enumerate() {
        // Most are where they were.
        let known = before.get(at).filter(|known| known.name == route.name).or_else(|| {
            let known = || before.iter().map(|known| (&*known.name, known)).collect();
            names.get_or_insert_with(known).get(&*route.name).copied()
        });
        let Some(known) = known else { continue };
        route.counts = Arc::clone(&known.counts);
        if let (Some(rules), Some(known)) = (&route.rules, &known.rules)
            && rules.counts_something()
        {
            route.rules = Some(Arc::new(rules.in_place_of(known)));
        }
    }
}

/// Whether an upstream is exactly as it was, with endpoints that go on as those it had. Then the very same goes on, and
/// workers have nothing to do for it.
fn is_unchanged(known: &Upstream, next: &Upstream, heirs: &[Endpoint]) -> bool {
    let mut records = known.endpoints.iter().zip(heirs);
    known.is_like(next) && records.all(|(known, heir)| Arc::ptr_eq(&known.record, &heir.record))
}

/// The endpoints of each upstream of `next`, with what is known of them.
fn heirs(before: &Plan, next: &Plan, names: &Names<'_>, now: Tick) -> Vec<Vec<Endpoint>> {
    let mut known = Known::of(before);
    let mut heirs: Vec<Vec<Endpoint>> =
        next.upstreams.iter().map(|upstream| upstream.endpoints.to_vec()).collect();
    let mut bare = Vec::new();
    for (upstream, heirs) in next.upstreams.iter().zip(&mut heirs) {
        for (endpoint, heir) in upstream.endpoints.iter().zip(heirs) {
            let of_name = |name: &str| name == &*upstream.name;
            let key = (upstream.traffic, &endpoint.address);
            match known.take(key, of_name) {
                Some(known) => heir.go_on_as(known),
                None => bare.push((key, &*upstream.name, heir)),
            }
        }
    }
    for (key, name, heir) in bare {
        match known.take(key, |_| true) {
            Some(known) => heir.go_on_as(known),
            None => come(heir, names.get(&(key.0, name)).map(|known| &***known), now),
        }
    }
    known.leave(names);
    heirs
}

/// The plan with these keys of session tickets, so that clients resume the sessions they have.
pub(crate) fn resume(plan: &Plan, keys: TicketKeys) -> Plan {
    let tls = plan.tls.as_ref().map(|tls| resumed(tls, Arc::new(keys)));
    Plan { tls, ..plan.clone() }
}

/// The same with other keys. Keys that were good enough before are again; if not, no session is resumed.
fn resumed(tls: &Arc<ServerTls>, keys: Arc<TicketKeys>) -> Arc<ServerTls> {
    tls.with_ticket_keys(keys).map_or_else(|_| Arc::clone(tls), Arc::new)
}

/// The plan `before` with these endpoints for one upstream. Those that it had already, by their
/// address, go on with what is known of them.
pub(crate) fn replace(
    before: &Plan,
    id: UpstreamId,
    mut endpoints: Vec<Endpoint>,
    now: Tick,
) -> Plan {
    let upstream = before.upstream(id);
    let known = upstream.endpoints.iter().map(|known| (&known.address, known));
    let mut known: HashMap<_, _> = known.collect();
    for endpoint in &mut endpoints {
        match known.remove(&endpoint.address) {
            Some(known) => endpoint.go_on_as(known),
            None => come(endpoint, Some(upstream), now),
        }
    }
    upstream.record.departed.add(known.into_values());
    let endpoints = EndpointSet::new(endpoints).in_place_of(&upstream.endpoints);
    let next = before.with_endpoints(id, endpoints);
    next.upstream(id).prepare();
    next
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};
    use std::thread;

    use super::*;
    use crate::config::Config;
    use crate::metrics::Metrics;
    use crate::net::deadline::Epoch;
    use crate::placement::WorkerPlace;
    use crate::plan::context::WorkerContext;
    use crate::plan::handle::PlanHandle;
    use crate::plan::shelves::Shelves;
    use crate::upstream::custom_policy::{CustomPolicy, PolicyCandidate, SharedPolicy};

    fn plan(upstreams: &str) -> Arc<Plan> {
        let file = format!(
            "upstreams:\n{upstreams}\nroutes: [{{ upstream: a }}, {{ prefix: /b, upstream: b }}]"
        );
        Config::from_yaml(&file).unwrap().plan
    }

    #[test]
    fn only_an_upstream_that_is_exactly_as_it_was_is_the_same_for_workers() {
        let a = "  - { name: a, endpoints: [127.0.0.1:1, 127.0.0.1:2] }";
        let b = "  - { name: b, endpoints: [127.0.0.1:3] }";
        let before = plan(&format!("{a}\n{b}"));
        let changes = [
            (b.to_owned(), true),
            (b.replace('3', "4"), false),
            (b.replace(" }", ", policy: random }"), false),
            (b.replace(" }", ", response_timeout: 7s }"), false),
            (b.replace(" }", ", check: off }"), false),
            (b.replace("127.0.0.1:3", "\"127.0.0.1:3@2\""), false),
            (b.replace("127.0.0.1:3", "https://127.0.0.1:3"), false),
            (b.replace("3]", "3, 127.0.0.1:1]"), false),
        ];
        for (b, stays) in changes {
            // In another order too.
            let next = Arc::unwrap_or_clone(plan(&format!("{b}\n{a}")));
            let after = succeed(&before, next, Tick::from_millis(0));
            let [after_b, after_a] = &after.upstreams[..] else { panic!() };
            assert!(Arc::ptr_eq(after_a, &before.upstreams[0]), "{b}");
            assert_eq!(Arc::ptr_eq(after_b, &before.upstreams[1]), stays, "{b}");
        }
    }

    /// Says on which thread it is dropped.
    struct Told(SyncSender<Option<String>>);

    impl CustomPolicy for Told {
        fn pick(&self, _: &[PolicyCandidate<'_>], _: u64) -> usize {
            0
        }
    }

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().name().map(str::to_owned));
        }
    }

    #[tokio::test]
    async fn no_worker_frees_a_plan_and_no_session_its_share_of_it() {
        let plan = plan(
            "  - { name: a, endpoints: [127.0.0.1:1] }\n  - { name: b, endpoints: [127.0.0.1:2] }",
        );
        let (sender, told) = sync_channel(1);
        let first = plan.with_policy(UpstreamId::new(0), SharedPolicy(Arc::new(Told(sender))));
        let begin = (Arc::new(first), None);
        let (metrics, shelves) = (Arc::new(Metrics::new()), Shelves::default());
        let handle = PlanHandle::new(WorkerContext::new(
            begin,
            &shelves,
            metrics,
            None,
            WorkerPlace::apart(0),
            Epoch::begin(),
        ));
        let session = handle.get();
        handle.adopt(plan, &shelves, None).await;
        handle.free_retired().await;
        drop(session);
        assert!(told.try_recv().is_err());
        handle.free_retired().await;
        assert_eq!(told.recv().unwrap().as_deref(), Some("freeing"));
    }
}
