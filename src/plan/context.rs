//! What a session works with: the plan it follows, and its worker's share of everything.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::Plan;
use crate::balance::tried::Tried;
use crate::balance::{Balancer, NoneLeft, Picked};
use crate::drain::{Drain, DrainPhase};
use crate::id::{EndpointId, RouteId, UpstreamId};
use crate::log::access_logger::{AccessLogger, Log};
use crate::metrics::{EndpointMetrics, Metrics, RouteMetrics};
use crate::net::deadline::Epoch;
use crate::net::listen::Peer;
use crate::net::pool::{Ending, Lease, Pool};
use crate::upstream::Upstream;
use crate::upstream::endpoint::{Endpoint, Record};
use crate::upstream::health::Tick;

/// One worker's share of an upstream: its turn in balancing, its idle connections.
pub(super) struct Share {
    balancer: RefCell<Balancer>,
    pub(super) pools: Box<[Rc<RefCell<Pool>>]>,
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
pub struct WorkerContext {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The worker's counters.
    pub metrics: Arc<Metrics>,
    /// The worker's sessions, and whether it is time to go.
    pub drain: Rc<Drain>,
    /// Where each request has its line, if they are logged.
    pub log: Option<Rc<Log>>,
    pub(super) shares: Box<[Share]>,
    worker: usize,
    epoch: Epoch,
}

impl WorkerContext {
    /// For the worker with the given index.
    pub fn new(
        plan: Arc<Plan>,
        metrics: Arc<Metrics>,
        access_logger: Option<Rc<AccessLogger>>,
        worker: usize,
        epoch: Epoch,
    ) -> Rc<Self> {
        let share = |upstream| Share::new(upstream, worker, &mut Known::new());
        let shares = plan.upstreams.iter().map(share).collect();
        let log = access_logger.map(|access_logger| Rc::new(plan.log(access_logger)));
        Rc::new(Self { shares, metrics, log, drain: Drain::new(), worker, epoch, plan })
    }

    /// The same under another plan. Endpoints that are in both keep their idle connections; those of
    /// the others are closed, and none are kept any more.
    pub(super) fn succeeded_by(&self, plan: Arc<Plan>) -> Rc<Self> {
        let mut known: Known<'_> = self.shares.iter().flat_map(Share::known).collect();
        let share = |upstream| Share::new(upstream, self.worker, &mut known);
        let shares = plan.upstreams.iter().map(share).collect();
        for (_, pool) in known.into_values() {
            pool.borrow_mut().close();
        }
        let (metrics, drain) = (Arc::clone(&self.metrics), Rc::clone(&self.drain));
        let log = self.log.as_ref().map(|log| plan.log_after(log));
        let (worker, epoch) = (self.worker, self.epoch);
        Rc::new(Self { plan, metrics, drain, log, shares, worker, epoch })
    }

    /// A moment, as health counts it.
    pub fn tick(&self, at: Instant) -> Tick {
        self.epoch.tick(at)
    }

    /// Whether answers should say `Connection: close`.
    pub fn is_draining(&self) -> bool {
        matches!(self.drain.phase(), DrainPhase::Draining | DrainPhase::Closing)
    }

    /// Whether connections of this client are counted: those of a trusted proxy are not.
    pub fn is_limited(&self, client: Peer) -> bool {
        !self.plan.trusted.contains(client)
    }

    /// Picks an endpoint of an upstream; see [`Balancer::pick`].
    pub fn pick(
        &self,
        upstream: UpstreamId,
        now: Instant,
        tried: &Tried,
    ) -> Result<Picked, NoneLeft> {
        self.shares[upstream.index()].balancer.borrow_mut().pick(self.tick(now), tried)
    }

    /// The idle connections to an endpoint.
    pub fn pool(&self, upstream: UpstreamId, endpoint: EndpointId) -> &RefCell<Pool> {
        &self.shares[upstream.index()].pools[endpoint.index()]
    }

    /// What this worker counts of an endpoint.
    pub fn counts(&self, upstream: UpstreamId, endpoint: EndpointId) -> &EndpointMetrics {
        &self.plan.upstream(upstream).endpoint(endpoint).record.counts[self.worker]
    }

    /// What this worker counts of a route.
    pub fn route_counts(&self, route: RouteId) -> &RouteMetrics {
        &self.plan.route(route).counts[self.worker]
    }

    /// An attempt at an endpoint begins; it ends when what is returned is dropped.
    pub fn begin(&self, upstream: UpstreamId, endpoint: EndpointId) -> InFlight<'_> {
        let counts = self.counts(upstream, endpoint);
        counts.begun.add(1);
        InFlight(counts)
    }

    /// The same attempt, which is to this endpoint, for as long as it lasts whatever the plan.
    pub fn keep(
        &self,
        in_flight: InFlight<'_>,
        upstream: UpstreamId,
        endpoint: EndpointId,
    ) -> KeptInFlight {
        std::mem::forget(in_flight);
        let record = Arc::clone(&self.plan.upstream(upstream).endpoint(endpoint).record);
        KeptInFlight { record, worker: self.worker }
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

    /// Closes some of the idle upstream connections: their descriptors are needed elsewhere.
    pub fn shed(&self) {
        for pool in self.shares.iter().flat_map(|share| &share.pools) {
            pool.borrow_mut().shed();
        }
    }

    /// Drops idle upstream connections that have become useless.
    pub fn sweep(&self) {
        let now = Instant::now();
        for (upstream, share) in self.plan.upstreams.iter().zip(&self.shares) {
            for (endpoint, pool) in upstream.endpoints.iter().zip(&share.pools) {
                let mut pool = pool.borrow_mut();
                pool.sweep(now);
                endpoint.record.counts[self.worker].idle.set(pool.len());
            }
        }
    }
}

/// An attempt under way that outlives its plan.
pub struct KeptInFlight {
    record: Arc<Record>,
    worker: usize,
}

impl Drop for KeptInFlight {
    fn drop(&mut self) {
        self.record.counts[self.worker].ended.add(1);
    }
}

/// An attempt under way.
pub struct InFlight<'a>(&'a EndpointMetrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.ended.add(1);
    }
}
