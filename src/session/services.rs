//! What a session works with: the plan it follows, and its worker's share of everything.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

use crate::drain::{Drain, Phase};
use crate::http::head::Limits;
use crate::metrics::Metrics;
use crate::net::deadline::Epoch;
use crate::net::listen::Peer;
use crate::net::pool::{self, Pool};
use crate::route::Router;
use crate::upstream::balance::Tried;
use crate::upstream::health::Tick;
use crate::upstream::{Balancer, NoneLeft, Picked, Upstream};

/// How long each wait may last. None is infinite.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To open a connection to an endpoint.
    pub connect: Duration,
    /// For a client's head, from its first byte to its last.
    pub header: Duration,
    /// For a client's next request.
    pub keepalive: Duration,
    /// For the head of a response, from the last byte of the request.
    pub response: Duration,
    /// Between two bytes of a body, whichever way they go.
    pub idle: Duration,
    /// Between two bytes of a tunnel.
    pub tunnel: Duration,
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

/// Everything that was decided before a session began; never changed, only replaced.
#[derive(Debug)]
pub struct Plan {
    /// Finds the index of a route.
    pub router: Router,
    /// What is behind each route, by that index.
    pub upstreams: Vec<Arc<Upstream>>,
    /// How long waits may last.
    pub timeouts: Timeouts,
    /// What a head may cost.
    pub limits: Limits,
    /// What a pool may hold.
    pub pool: pool::Settings,
    /// Whose word is believed.
    pub trusted: Trusted,
    /// What Host says to endpoints, if not what the client said.
    pub host_header: Option<String>,
    /// Whether a response of 500–599 counts against its endpoint.
    pub fail_on_5xx: bool,
}

/// One worker's share of a route: its turn in balancing, its idle connections.
struct Share {
    balancer: RefCell<Balancer>,
    pools: Box<[RefCell<Pool>]>,
    /// Where this route's endpoints begin in [`Metrics::attempts`].
    first: usize,
}

/// What the sessions of one worker have in common.
pub struct Services {
    /// The plan in force.
    pub plan: Arc<Plan>,
    /// The worker's counters.
    pub metrics: Arc<Metrics>,
    /// The worker's sessions, and whether it is time to go.
    pub drain: Rc<Drain>,
    shares: Box<[Share]>,
    epoch: Epoch,
}

impl Services {
    /// For the worker with the given index.
    pub fn new(plan: Arc<Plan>, metrics: Arc<Metrics>, worker: usize, epoch: Epoch) -> Rc<Self> {
        let mut first = 0;
        let share = |upstream: &Arc<Upstream>| {
            let endpoints = upstream.endpoints.len();
            let pools = (0..endpoints).map(|_| RefCell::new(Pool::new(plan.pool))).collect();
            let balancer = RefCell::new(Balancer::new(Arc::clone(upstream), worker));
            first += endpoints;
            Share { balancer, pools, first: first - endpoints }
        };
        let shares = plan.upstreams.iter().map(share).collect();
        Rc::new(Self { shares, metrics, drain: Drain::new(), epoch, plan })
    }

    /// A moment, as health counts it.
    pub fn tick(&self, at: Instant) -> Tick {
        self.epoch.tick(at)
    }

    /// Whether answers should say `Connection: close`.
    pub fn is_draining(&self) -> bool {
        self.drain.phase() != Phase::Serving
    }

    /// Picks an endpoint of a route; see [`Balancer::pick`].
    pub fn pick(&self, route: usize, now: Instant, tried: &Tried) -> Result<Picked, NoneLeft> {
        self.shares[route].balancer.borrow_mut().pick(self.tick(now), tried)
    }

    /// The idle connections to an endpoint.
    pub fn pool(&self, route: usize, endpoint: usize) -> &RefCell<Pool> {
        &self.shares[route].pools[endpoint]
    }

    /// Counts an attempt at an endpoint.
    pub fn count_attempt(&self, route: usize, endpoint: usize) {
        self.metrics.attempts[self.shares[route].first + endpoint].add(1);
    }

    /// Drops idle upstream connections that have become useless.
    pub fn sweep(&self) {
        let now = Instant::now();
        for pool in self.shares.iter().flat_map(|share| &share.pools) {
            pool.borrow_mut().sweep(now);
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
