//! What a session works with: the plan it follows, and its worker's share of everything.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use tokio::time::Instant;

use super::Plan;
use super::share::{Known, Share};
use super::shelves::Shelves;
use super::steps::Steps;
use crate::balance::tried::Tried;
use crate::balance::{Affinity, AttemptOutcome, NoneLeft, Pick, Picked, Standing};
use crate::drain::{Drain, DrainPhase};
use crate::hash;
use crate::http::h2::flow::Allowance;
use crate::http::message::date::HttpDate;
use crate::id::{EndpointId, RouteId, UpstreamId};
use crate::log::access_logger::{AccessLogger, Log, LogNames};
use crate::metrics::{EndpointMetrics, Metrics, Observation, RouteMetrics, UpstreamMetrics};
use crate::net::deadline::Epoch;
use crate::net::lease::{Ending, Lease};
use crate::net::listen::Peer;
use crate::net::pool::Pool;
use crate::net::stream::Mobility;
use crate::net::tls::handshake::HandshakeTurns;
use crate::net::wall_clock::since_1970;
use crate::placement::WorkerPlace;
use crate::shed::Shed;
use crate::upstream::endpoint::{ConnectionKind, EndpointRecord};
use crate::upstream::health::Tick;
use crate::upstream::queue::{Entrant, QueueEntry};
use crate::upstream::request_permit::RequestPermit;
use crate::upstream::settings::{Ceiling, Policy};

/// What an attempt is to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// The first one.
    First,
    /// The same again, since the connection was stale.
    Replacement,
    /// Another one, which the budget has to allow.
    Retry,
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
    pub(super) shares: Box<[Rc<Share>]>,
    /// The second that Date names, written once for all messages of that second.
    date: Rc<Cell<HttpDate>>,
    worker: usize,
    epoch: Epoch,
    /// Where the numbers begin that chance goes by, and how many have been used.
    chance: Cell<(u64, u64)>,
    /// The handshakes of its clients.
    pub handshake_turns: Rc<HandshakeTurns>,
    /// What the windows of its HTTP/2 streams may grow by.
    pub window_allowance: Rc<Allowance>,
}

impl WorkerContext {
    /// For the worker at this place. What lines say is worked out if they are logged and it is not given.
    pub fn new(
        (plan, names): (Arc<Plan>, Option<Arc<LogNames>>),
        shelves: &Shelves,
        metrics: Arc<Metrics>,
        access_logger: Option<Rc<AccessLogger>>,
        place: WorkerPlace,
        epoch: Epoch,
    ) -> Rc<Self> {
        let worker = place.index();
        let share = |(at, upstream)| {
            Rc::new(Share::new(upstream, worker, (shelves, at), &mut Known::new()))
        };
        let shares = plan.upstreams.iter().enumerate().map(share).collect();
        let log = access_logger.map(|access_logger| {
            let names = names.unwrap_or_else(|| Arc::new(plan.log_names(false)));
            Rc::new(Log::new(access_logger, Arc::clone(&metrics), names))
        });
        let date = Rc::new(Cell::new(HttpDate::of(0)));
        Rc::new(Self {
            plan,
            metrics,
            drain: Drain::new(place),
            log,
            shares,
            date,
            worker,
            epoch,
            chance: Cell::new((RandomState::new().hash_one(worker), 0)),
            handshake_turns: Rc::default(),
            window_allowance: Rc::default(),
        })
    }

    /// The same under another plan. Upstreams that are the very same stay as they are; endpoints that
    /// are in both keep their idle connections; those of the others are closed, and none are kept any
    /// more. Takes as many steps as it needs, between which others have their turn.
    pub(super) async fn succeeded_by(
        &self,
        plan: Arc<Plan>,
        shelves: &Shelves,
        names: Option<Arc<LogNames>>,
    ) -> Rc<Self> {
        let mut steps = Steps::default();
        let of = |share: &Rc<Share>| Arc::as_ptr(share.picker.borrow().upstream());
        let mut staying: HashMap<_, _> =
            self.shares.iter().map(|share| (of(share), share)).collect();
        let mut stay = Vec::with_capacity(plan.upstreams.len());
        for upstream in &plan.upstreams {
            stay.push(staying.remove(&Arc::as_ptr(upstream)));
        }
        steps.took(plan.upstreams.len() / 16).await;
        let mut known = Known::new();
        // What is left goes, in order: of two that have an endpoint in common, the later one is known by it.
        for share in self.shares.iter().filter(|share| staying.contains_key(&of(share))) {
            known.extend(share.known());
            steps.took(share.pools.len() + 1).await;
        }
        let mut shares = Vec::with_capacity(plan.upstreams.len());
        for ((place, upstream), stays) in plan.upstreams.iter().enumerate().zip(stay) {
            if let Some(share) = stays {
                shares.push(Rc::clone(share));
                continue;
            }
            let shelves = (shelves, place);
            shares.push(Rc::new(Share::new(upstream, self.worker, shelves, &mut known)));
            steps.took(upstream.endpoints.len() + 1).await;
        }
        for kept in known.into_values() {
            kept.pool.borrow_mut().close();
            steps.took(1).await;
        }
        let (metrics, drain) = (Arc::clone(&self.metrics), Rc::clone(&self.drain));
        let log = self.log.as_ref().map(|log| {
            let names =
                names.unwrap_or_else(|| plan.log_names_after(&self.plan, &log.names, false));
            if Arc::ptr_eq(&names, &log.names) {
                return Rc::clone(log);
            }
            Rc::new(Log::new(Rc::clone(&log.access_logger), Arc::clone(&metrics), names))
        });
        Rc::new(Self {
            plan,
            metrics,
            drain,
            log,
            shares: shares.into(),
            date: Rc::clone(&self.date),
            worker: self.worker,
            epoch: self.epoch,
            chance: Cell::new((hash::mix(self.random()), 0)),
            handshake_turns: Rc::clone(&self.handshake_turns),
            window_allowance: Rc::clone(&self.window_allowance),
        })
    }

    /// Frees what no session works with any more, in steps; the plan, if no other worker has it, on a thread of its
    /// own: that of 100 000 routes takes many milliseconds.
    pub(super) async fn free(self) {
        let Self { plan, shares, log, .. } = self;
        let mut steps = Steps::default();
        for share in shares {
            let count = share.pools.len();
            drop(share);
            steps.took(count + 1).await;
        }
        let names = log.and_then(Rc::into_inner).and_then(|log| Arc::into_inner(log.names));
        let plan = Arc::into_inner(plan);
        if plan.is_some() || names.is_some() {
            let freeing = thread::Builder::new().name("freeing".to_owned());
            // Without a thread it is freed here and now.
            let _ = freeing.spawn(move || drop((plan, names)));
        }
    }

    /// What Date says: the second it was when this was last updated.
    pub fn date(&self) -> &Cell<HttpDate> {
        &self.date
    }

    /// From now on Date names the current second.
    pub fn update_date(&self) {
        self.date.set(HttpDate::of(since_1970().as_secs()));
    }

    /// Wakes sessions whose rest is about to end, and tells other threads that the worker has just done what it does
    /// once a second.
    pub fn note_sweep(&self) {
        self.drain.sweep(self.epoch.second(Instant::now()));
        self.drain.place().look();
        let now = self.millis();
        self.metrics.swept.set(usize::try_from(now).unwrap_or(Metrics::ENDED));
    }

    /// This moment in milliseconds, as other threads know it.
    pub fn millis(&self) -> u64 {
        self.epoch.tick(Instant::now()).as_millis()
    }

    /// Where all threads count from.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A moment, as health counts it.
    pub fn tick(&self, at: Instant) -> Tick {
        self.epoch.tick(at)
    }

    /// Whether answers over this connection should say `Connection: close`: if this process is to end,
    /// and the connection cannot go on in another one.
    pub fn is_last_answer(&self, can_move: Mobility) -> bool {
        match self.drain.phase() {
            DrainPhase::Serving => false,
            DrainPhase::Leaving => can_move == Mobility::Stays,
            DrainPhase::Draining | DrainPhase::Closing => true,
        }
    }

    /// Whether connections of this client are counted: those of a trusted proxy are not.
    pub fn is_limited(&self, client: Peer) -> bool {
        !self.plan.trusted.contains(client)
    }

    /// Picks an endpoint of an upstream; see [`Picker::pick`](crate::balance::Picker::pick).
    pub fn pick(
        &self,
        upstream: UpstreamId,
        now: Instant,
        affinity: Affinity,
        tried: &Tried,
    ) -> Result<Picked, NoneLeft> {
        self.pick_as(Standing::Newcomer, upstream, now, affinity, tried)
    }

    /// The same for whoever is at that place among those who ask.
    pub fn pick_as(
        &self,
        standing: Standing,
        upstream: UpstreamId,
        now: Instant,
        affinity: Affinity,
        tried: &Tried,
    ) -> Result<Picked, NoneLeft> {
        let mut picker = self.shares[upstream.index()].picker.borrow_mut();
        if let Some(only) = picker.only(tried) {
            return Ok(only);
        }
        let (now, random) = (self.tick(now), self.random());
        picker.pick(&Pick { now, affinity, tried, random, standing })
    }

    /// A number by chance, another one each time.
    pub(crate) fn random(&self) -> u64 {
        let (seed, used) = self.chance.get();
        self.chance.set((seed, used.wrapping_add(1)));
        hash::nth(seed, used)
    }

    /// Joins those who wait for room at an endpoint of an upstream, under its ceiling.
    pub fn enter_queue(
        &self,
        upstream: UpstreamId,
        ceiling: &Ceiling,
        now: Instant,
        tried: &Tried,
    ) -> Result<QueueEntry<'_>, Shed> {
        let known = &self.plan.upstreams[upstream.index()];
        // Those who have tried the same may find the same, by the same plan.
        let kind = tried.is_empty().then(|| Arc::as_ptr(known).addr());
        let permitted = known.record.permitted();
        let (max, interval) = (ceiling.queue_max, ceiling.shed_interval());
        let entrant = Entrant { kind, max, permitted, interval };
        known.record.queue.enter(&entrant, self.epoch.since_begin(now))
    }

    /// The idle connections to an endpoint.
    pub fn pool(&self, upstream: UpstreamId, endpoint: EndpointId) -> &RefCell<Pool> {
        &self.shares[upstream.index()].pools[endpoint.index()]
    }

    /// What this worker counts of an endpoint.
    pub fn counts(&self, upstream: UpstreamId, endpoint: EndpointId) -> &EndpointMetrics {
        &self.plan.upstream(upstream).endpoint(endpoint).record.counts[self.worker]
    }

    /// Counts an attempt at an upstream.
    pub fn count_attempt(&self, upstream: UpstreamId, kind: AttemptKind) {
        let counts = self.upstream_counts(upstream);
        match kind {
            AttemptKind::First => return counts.requests.add(1),
            AttemptKind::Replacement => {}
            AttemptKind::Retry => counts.retries.add(1),
        }
        self.metrics.retries.add(1);
    }

    /// A response has been sent, whole or as far as it goes, so long after the first byte of its request.
    pub fn observe_duration(&self, route: Option<RouteId>, duration: impl Into<Observation>) {
        let duration = duration.into();
        self.metrics.durations.observe(duration);
        if let Some(route) = route {
            self.route_counts(route).durations.observe(duration);
        }
    }

    /// What this worker counts of an upstream.
    pub fn upstream_counts(&self, upstream: UpstreamId) -> &UpstreamMetrics {
        &self.plan.upstream(upstream).record.counts[self.worker]
    }

    /// What this worker counts of a route.
    pub fn route_counts(&self, route: RouteId) -> &RouteMetrics {
        &self.plan.route(route).counts[self.worker]
    }

    /// An attempt at an endpoint begins; it ends when what is returned is dropped.
    pub fn begin(&self, upstream: UpstreamId, endpoint: EndpointId) -> InFlight<'_> {
        let known = self.plan.upstream(upstream);
        let record = &known.endpoint(endpoint).record;
        let counts = &record.counts[self.worker];
        counts.begun.add(1);
        let is_counted = known.policy.counts();
        if is_counted {
            record.in_flight.add();
        }
        InFlight { counts, counted: is_counted.then_some((self, upstream, endpoint)) }
    }

    /// The same attempt, which is to this endpoint, for as long as it lasts whatever the plan.
    pub fn keep(
        &self,
        (in_flight, permit): (InFlight<'_>, Option<RequestPermit>),
        upstream: UpstreamId,
        endpoint: EndpointId,
    ) -> KeptInFlight {
        let is_counted = in_flight.counted.is_some();
        std::mem::forget(in_flight);
        let record = Arc::clone(&self.plan.upstream(upstream).endpoint(endpoint).record);
        KeptInFlight { record, worker: self.worker, is_counted, _permit: permit }
    }

    /// An attempt that began then has been answered, or has failed: for a policy that goes by the times.
    #[inline]
    pub fn observe(
        &self,
        upstream: UpstreamId,
        endpoint: EndpointId,
        started: Instant,
        outcome: AttemptOutcome,
    ) {
        if self.plan.upstream(upstream).policy == Policy::LeastTime {
            let share = &self.shares[upstream.index()];
            share.picker.borrow_mut().observe(endpoint, started.elapsed(), outcome);
        }
    }

    /// Keeps an idle connection to an endpoint that another process has opened, if there still is
    /// such an endpoint, and it is still spoken to in HTTP/1.1 and plain text.
    pub fn take_in(&self, upstream: &str, address: &str, lease: Lease) {
        let upstreams = self.plan.upstreams.iter().zip(&self.shares);
        for (_, share) in upstreams.filter(|(known, _)| *known.name == *upstream) {
            let picker = share.picker.borrow();
            let endpoints = picker.upstream().endpoints.iter().zip(&share.pools);
            let mut found = endpoints.filter(|(known, _)| {
                known.connection_kind() == ConnectionKind::PLAIN
                    && known.address.to_string() == address
            });
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

    /// Drops idle upstream connections that have become useless, and shows the budgets of retries how many
    /// requests there are.
    pub fn sweep(&self) {
        let now = Instant::now();
        let upstreams = self.plan.upstreams.iter().zip(&self.shares).enumerate();
        for (nth, (upstream, share)) in upstreams {
            if upstream.ceiling.is_some() {
                // An ejected endpoint may be due for its trial, which nobody is told of.
                upstream.record.queue.call(None);
            }
            let record = &upstream.record;
            record.budget.sample(self.tick(now), || record.total(|counts| counts.requests.get()));
            let pools = upstream.endpoints.iter().zip(&share.pools);
            for (place, (endpoint, pool)) in (nth..).zip(pools) {
                let mut pool = pool.borrow_mut();
                pool.sweep(now);
                let counts = &endpoint.record.counts;
                // One worker sees to what all share.
                let is_ours = place % counts.len() == self.worker;
                let shelved = if is_ours { pool.sweep_shelf(now) } else { 0 };
                let counts = &counts[self.worker];
                counts.idle.set(pool.len() + shelved);
                if let Some(put) = pool.last_put() {
                    counts.answered.set(self.tick(put).as_millis().try_into().unwrap_or(0));
                }
            }
        }
    }
}

/// An attempt under way that outlives its plan; to be dropped after its connection.
pub struct KeptInFlight {
    record: Arc<EndpointRecord>,
    worker: usize,
    /// Whether its endpoint counts it for the policy under which it began.
    is_counted: bool,
    _permit: Option<RequestPermit>,
}

impl Drop for KeptInFlight {
    fn drop(&mut self) {
        self.record.counts[self.worker].ended.add(1);
        if self.is_counted {
            self.record.in_flight.remove();
        }
    }
}

/// An attempt under way.
pub struct InFlight<'a> {
    counts: &'a EndpointMetrics,
    /// Where it counts for the policy under which it began, if it does.
    counted: Option<(&'a WorkerContext, UpstreamId, EndpointId)>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.counts.ended.add(1);
        if let Some((context, upstream, endpoint)) = self.counted {
            context.plan.upstream(upstream).endpoint(endpoint).record.in_flight.remove();
            let share = &context.shares[upstream.index()];
            share.picker.borrow_mut().in_flight_changed(endpoint);
        }
    }
}
