//! What a session works with: the plan it follows, and its worker's share of everything.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

use super::exit::{Barred, Departure, Exit};
use super::journal::{Journal, Log};
use crate::drain::{Drain, Phase};
use crate::http::head::Limits;
use crate::metrics::{EndpointMetrics, Metrics, RouteMetrics};
use crate::net::deadline::Epoch;
use crate::net::listen::Peer;
use crate::net::pool::{Ending, Lease, Pool};
use crate::net::stream::Stream;
use crate::route::Router;
use crate::upstream::balance::Tried;
use crate::upstream::endpoint::{Endpoint, Record};
use crate::upstream::health::Tick;
use crate::upstream::{self, Balancer, NoneLeft, Picked, Upstream};

/// How long each wait for a client may last. None is infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a client's head, from its first byte to its last.
    pub header: Duration,
    /// For a client's next request.
    pub keepalive: Duration,
    /// For a client to take what we answer ourselves, between two bytes.
    pub idle: Duration,
}

/// Whose word about earlier hops is believed.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// Clients with an address in one of these.
    pub networks: Vec<IpNet>,
    /// Clients that come over a unix socket.
    pub unix: bool,
}

impl Trusted {
    /// Whether `peer` is among them.
    pub fn contains(&self, peer: Peer) -> bool {
        let holds = |address: IpAddr| self.networks.iter().any(|net| net.contains(&address));
        peer.map_or(self.unix, |address| holds(address.to_canonical()))
    }
}

/// Where requests go that match a pattern, and what is changed about them.
#[derive(Clone, Debug)]
pub struct Route {
    /// The pattern, in its canonical form.
    pub name: Box<str>,
    /// What each worker has counted; outlives the plan, as long as a later one has the route too.
    pub counts: Arc<[RouteMetrics]>,
    /// The index of its upstream in the plan.
    pub upstream: usize,
    /// How long waits for its endpoints may last.
    pub timeouts: upstream::settings::Timeouts,
    /// What Host says to endpoints, if not what the client said.
    pub host_header: Option<String>,
    /// The prefix that the target loses on its way, if it does.
    pub strips: Option<Box<str>>,
}

/// Everything that was decided before a session began; never changed, only replaced.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Finds the index of a route.
    pub router: Router,
    /// By that index.
    pub routes: Vec<Route>,
    /// What routes and listeners lead to.
    pub upstreams: Vec<Arc<Upstream>>,
    /// How long waits for clients may last.
    pub timeouts: Timeouts,
    /// What a head may cost.
    pub limits: Limits,
    /// Whose word is believed.
    pub trusted: Trusted,
}

impl Plan {
    fn log(&self, journal: Rc<Journal>) -> Log {
        Log::new(journal, self.routes.iter().map(|route| &*route.name), &self.upstreams)
    }
}

/// One worker's share of an upstream: its turn in balancing, its idle connections.
struct Share {
    balancer: RefCell<Balancer>,
    pools: Box<[Rc<RefCell<Pool>>]>,
}

impl Route {
    /// Nothing counted by any of so many workers.
    pub fn counts(workers: usize) -> Arc<[RouteMetrics]> {
        (0..workers).map(|_| RouteMetrics::default()).collect()
    }
}

impl Share {
    /// Takes over what is `known` of the upstream's endpoints, by their records.
    fn new(upstream: &Arc<Upstream>, worker: usize, known: &mut Known<'_>) -> Self {
        let first = upstream.endpoints.first().and_then(|first| known.get(&key(first)));
        let balancer = first
            .and_then(|(share, _)| share.balancer.borrow().succeeded_by(upstream))
            .unwrap_or_else(|| Balancer::new(Arc::clone(upstream), worker));
        let kept = |endpoint: &Endpoint| {
            let pool = known.remove(&key(endpoint)).map(|(_, pool)| Rc::clone(pool));
            let pool = pool.unwrap_or_default();
            pool.borrow_mut().set_keeping(upstream.keeping);
            pool
        };
        let pools = upstream.endpoints.iter().map(kept).collect();
        Self { balancer: RefCell::new(balancer), pools }
    }

    /// Its pools, by the records of their endpoints.
    fn known(&self) -> Vec<(*const Record, Kept<'_>)> {
        let balancer = self.balancer.borrow();
        let keys = balancer.upstream().endpoints.iter().map(key);
        keys.zip(self.pools.iter().map(|pool| (self, pool))).collect()
    }
}

/// The shares and pools of an earlier plan that have no heir yet.
type Known<'a> = HashMap<*const Record, Kept<'a>>;

/// A pool, and the share it is of.
type Kept<'a> = (&'a Share, &'a Rc<RefCell<Pool>>);

/// What an endpoint is known by, whatever the plan.
fn key(endpoint: &Endpoint) -> *const Record {
    Arc::as_ptr(&endpoint.record)
}

/// What the sessions of one worker have in common while a plan is in force.
pub struct Services {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The worker's counters.
    pub metrics: Arc<Metrics>,
    /// The worker's sessions, and whether it is time to go.
    pub drain: Rc<Drain>,
    /// Where each request has its line, if they are logged.
    pub log: Option<Log>,
    shares: Box<[Share]>,
    worker: usize,
    epoch: Epoch,
}

impl Services {
    /// For the worker with the given index.
    pub fn new(
        plan: Arc<Plan>,
        metrics: Arc<Metrics>,
        journal: Option<Rc<Journal>>,
        worker: usize,
        epoch: Epoch,
    ) -> Rc<Self> {
        let share = |upstream| Share::new(upstream, worker, &mut Known::new());
        let shares = plan.upstreams.iter().map(share).collect();
        let log = journal.map(|journal| plan.log(journal));
        Rc::new(Self { shares, metrics, log, drain: Drain::new(), worker, epoch, plan })
    }

    /// The same under another plan. Endpoints that are in both keep their idle connections; those of
    /// the others are closed, and none are kept any more.
    fn succeeded_by(&self, plan: Arc<Plan>) -> Rc<Self> {
        let mut known: Known<'_> = self.shares.iter().flat_map(Share::known).collect();
        let share = |upstream| Share::new(upstream, self.worker, &mut known);
        let shares = plan.upstreams.iter().map(share).collect();
        for (_, pool) in known.into_values() {
            pool.borrow_mut().close();
        }
        let (metrics, drain) = (Arc::clone(&self.metrics), Rc::clone(&self.drain));
        let log = self.log.as_ref().map(|log| plan.log(Rc::clone(&log.journal)));
        let (worker, epoch) = (self.worker, self.epoch);
        Rc::new(Self { plan, metrics, drain, log, shares, worker, epoch })
    }

    /// A moment, as health counts it.
    pub fn tick(&self, at: Instant) -> Tick {
        self.epoch.tick(at)
    }

    /// Whether answers should say `Connection: close`.
    pub fn is_draining(&self) -> bool {
        matches!(self.drain.phase(), Phase::Draining | Phase::Closing)
    }

    /// Picks an endpoint of an upstream; see [`Balancer::pick`].
    pub fn pick(&self, upstream: usize, now: Instant, tried: &Tried) -> Result<Picked, NoneLeft> {
        self.shares[upstream].balancer.borrow_mut().pick(self.tick(now), tried)
    }

    /// The idle connections to an endpoint.
    pub fn pool(&self, upstream: usize, endpoint: usize) -> &RefCell<Pool> {
        &self.shares[upstream].pools[endpoint]
    }

    /// What this worker counts of an endpoint.
    pub fn counts(&self, upstream: usize, endpoint: usize) -> &EndpointMetrics {
        &self.plan.upstreams[upstream].endpoints[endpoint].record.counts[self.worker]
    }

    /// What this worker counts of a route.
    pub fn route_counts(&self, route: usize) -> &RouteMetrics {
        &self.plan.routes[route].counts[self.worker]
    }

    /// An attempt at an endpoint begins; it ends when what is returned is dropped.
    pub fn begin(&self, upstream: usize, endpoint: usize) -> InFlight<'_> {
        let counts = self.counts(upstream, endpoint);
        counts.begun.add(1);
        InFlight(counts)
    }

    /// Keeps an idle connection to an endpoint that another process has opened, if there still is
    /// such an endpoint.
    pub fn take_in(&self, upstream: &str, address: &str, lease: Lease) {
        let upstreams = self.plan.upstreams.iter().zip(&self.shares);
        for (_, share) in upstreams.filter(|(known, _)| *known.name == *upstream) {
            let balancer = share.balancer.borrow();
            let endpoints = balancer.upstream().endpoints.iter().zip(&share.pools);
            let mut found = endpoints.filter(|(known, _)| known.address.to_string() == address);
            if let Some((_, pool)) = found.next() {
                // One that is one too many is closed, as it would have been there.
                let _ = pool.borrow_mut().put(lease, Ending::Framed, Instant::now());
                return;
            }
        }
    }

    /// Drops idle upstream connections that have become useless.
    pub fn sweep(&self) {
        let now = Instant::now();
        for (upstream, share) in self.shares.iter().enumerate() {
            for (endpoint, pool) in share.pools.iter().enumerate() {
                let mut pool = pool.borrow_mut();
                pool.sweep(now);
                self.counts(upstream, endpoint).idle.set(pool.len());
            }
        }
    }
}

/// An attempt under way.
pub struct InFlight<'a>(&'a EndpointMetrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.ended.add(1);
    }
}

/// The services of one worker under the plan that is in force now. A session takes them anew for
/// each request, and keeps those it has until that has ended.
pub struct Current {
    services: RefCell<Rc<Services>>,
    exit: RefCell<Option<Rc<Exit>>>,
}

impl Current {
    /// These, to begin with.
    pub fn new(services: Rc<Services>) -> Rc<Self> {
        Rc::new(Self { services: RefCell::new(services), exit: RefCell::new(None) })
    }

    /// Those in force.
    pub fn get(&self) -> Rc<Services> {
        Rc::clone(&self.services.borrow())
    }

    /// Puts another plan in force.
    pub fn adopt(&self, plan: Arc<Plan>) {
        let next = self.get().succeeded_by(plan);
        self.services.replace(next);
    }

    /// From now on connections that rest leave by this way.
    pub fn open_exit(&self, exit: Exit) {
        self.exit.replace(Some(Rc::new(exit)));
        self.get().drain.advance(Phase::Leaving);
    }

    /// Sends a client's connection out, if there is a way. Where there is none any more, what is
    /// left is finished here.
    pub async fn let_go(&self, stream: &Stream, client: &Departure) -> Result<(), Barred> {
        let exit = self.exit.borrow().clone().ok_or(Barred)?;
        let left = match stream.descriptor() {
            Some(descriptor) => exit.leave(client, descriptor).await,
            None => Err(Barred),
        };
        let drain = &self.get().drain;
        if left.is_err() && drain.phase() == Phase::Leaving {
            drain.advance(Phase::Draining);
        }
        left
    }

    /// Sends the idle connections to endpoints out.
    pub async fn let_pools_go(&self) {
        let Some(exit) = self.exit.borrow().clone() else { return };
        let services = self.get();
        for (upstream, share) in services.plan.upstreams.iter().zip(&services.shares) {
            for (endpoint, pool) in upstream.endpoints.iter().zip(&share.pools) {
                let leases = pool.borrow_mut().take(Instant::now());
                for lease in leases {
                    let departure = Departure::Idle {
                        upstream: upstream.name.to_string(),
                        address: endpoint.address.to_string(),
                        carried: lease.carried,
                    };
                    let Some(descriptor) = lease.stream.descriptor() else { continue };
                    if exit.leave(&departure, descriptor).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_goes_by_network_and_sees_through_mapped_addresses() {
        let trusted = Trusted { networks: vec!["10.0.0.0/8".parse().unwrap()], unix: false };
        let rows = [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false)];
        for (address, expected) in rows {
            assert_eq!(trusted.contains(Some(address.parse().unwrap())), expected, "{address}");
        }
        assert!(!trusted.contains(None));
    }
}
