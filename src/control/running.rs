//! A balancer at work: its listeners, its workers, its checks, and how they end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::carry_over;
use super::listeners::{
    LentListener, Listeners, remove_files, remove_fresh_files, settle_redirect,
};
use super::start_error::StartError;
use super::upgrade::arrivals::Arrivals;
use super::upgrade::offer;
use super::upgrade::takeover::Takeover;
use super::workers::{Interrupt, WorkerHandles, WorkerMain, Workers};
use crate::address::Address;
use crate::checks::Checks;
use crate::config::Config;
use crate::id::ListenerId;
use crate::log::access_log::{self, AccessLog};
use crate::log::access_logger::LogNames;
use crate::metrics::Metrics;
use crate::net::deadline::Epoch;
use crate::net::limiter::ConnectionLimiter;
use crate::net::upgrade_socket::Channel;
use crate::otlp::exporter::SpanExporter;
use crate::placement::{WorkerLoads, WorkerPlace};
use crate::plan::Plan;
use crate::upstream::health::Tick;
use crate::worker::WorkerSetup;
use crate::worker::command::ListenerHandle;
use crate::worker::fresh_queue::FreshQueue;

/// A balancer at work.
pub struct Running {
    /// The counters of each worker.
    pub metrics: Vec<Arc<Metrics>>,
    /// How many sessions each worker has.
    pub loads: Arc<WorkerLoads>,
    /// The connections that workers give to each other.
    fresh: Arc<[FreshQueue]>,
    /// How many connections there are, and may be.
    pub limiter: Arc<ConnectionLimiter>,
    pub(super) config: Config,
    pub(super) listeners: Listeners,
    pub(super) workers: Workers,
    pub(super) checks: Option<Checks>,
    epoch: Epoch,
    /// What the workers will accept from.
    pending: Vec<Vec<ListenerHandle>>,
    /// What another process hands over.
    arrivals: Option<Arrivals>,
    access_log: Option<AccessLog>,
    spans: Option<SpanExporter>,
    /// What is logged of its plan, if anything is.
    log_names: Option<Arc<LogNames>>,
}

/// Binds every address, then starts the workers and the checks.
///
/// `between` is done when everything is bound and there are no threads yet. What another process has
/// handed over is not accepted from before `Running::accept`.
pub fn start(
    config: Config,
    worker: WorkerMain,
    inheritance: Option<&mut Takeover>,
    between: impl FnOnce() -> Result<(), StartError>,
) -> Result<Running, StartError> {
    let age = inheritance.as_ref().map_or(Duration::ZERO, |inheritance| inheritance.age);
    let workers = config.threads.get();
    let mut running = Running {
        metrics: Vec::new(),
        loads: WorkerLoads::new(workers),
        fresh: (0..workers).map(|_| FreshQueue::default()).collect(),
        listeners: Listeners::default(),
        epoch: Epoch::since(age),
        workers: Workers::new(worker),
        checks: None,
        pending: Vec::new(),
        arrivals: None,
        access_log: None,
        spans: None,
        log_names: None,
        limiter: ConnectionLimiter::new(config.capacity),
        config,
    };
    let (mut inherited, mut is_of_process) = (Vec::new(), false);
    if let Some(inheritance) = inheritance {
        is_of_process = inheritance.is_of_process();
        inheritance.restore(&running.config.plan);
        if let Some(keys) = inheritance.ticket_keys.take() {
            running.config.plan = Arc::new(carry_over::resume(&running.config.plan, keys));
        }
        inherited = std::mem::take(&mut inheritance.listeners);
    }
    let (open, mut listener_handles) =
        running.listeners.prepare(&running.config.listeners, inherited, workers)?;
    running.listeners.refuse_loops(&open, &running.config.plan)?;
    settle_redirect(&mut running.config, &open);
    running.listeners.follow(open);
    between()
        .and_then(|()| running.open_access_log())
        .inspect_err(|_| remove_fresh_files(&running.listeners.open))?;
    if is_of_process {
        let closed = (0..workers).map(|_| Vec::new()).collect();
        running.pending = std::mem::replace(&mut listener_handles, closed);
    }
    for (index, listeners) in (0..workers).zip(listener_handles) {
        running.start_worker(index, listeners).map_err(StartError::Thread)?;
    }
    let clients = Arc::clone(&running.limiter);
    let checks = Checks::start(Arc::clone(&running.config.plan), running.epoch, clients);
    running.checks = Some(checks.map_err(StartError::Thread)?);
    running.log_availability();
    Ok(running)
}

impl Running {
    /// What it follows.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.config.plan
    }

    /// What is true now.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where its ticks count from.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// This moment, as health counts it.
    pub(super) fn tick(&self) -> Tick {
        self.epoch.tick(Instant::now())
    }

    /// Where it listens, with the ports the kernel chose.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners.addresses()
    }

    /// Its access log, if it has one.
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.access_log.as_ref()
    }

    /// Where its spans go, if anywhere.
    pub fn spans(&self) -> Option<&SpanExporter> {
        self.spans.as_ref()
    }

    /// By whom the process is by now: it must be able to open the file again.
    fn open_access_log(&mut self) -> Result<(), StartError> {
        if let Some(target) = &self.config.access_log {
            let place = || target.to_string().into();
            let opened = AccessLog::open(target.clone());
            self.access_log = Some(opened.map_err(|error| StartError::File(place(), error))?);
        }
        if let Some(config) = &self.config.otlp {
            let started = SpanExporter::start(config.clone());
            self.spans = Some(started.map_err(StartError::Thread)?);
        }
        let (is_logged, sends_spans) = (self.access_log.is_some(), self.spans.is_some());
        let names = || Arc::new(self.config.plan.log_names(sends_spans));
        self.log_names = (is_logged || sends_spans).then(names);
        Ok(())
    }

    /// Has every worker follow a plan in place of the one in force.
    pub(super) fn have_adopted(
        &mut self,
        plan: &Arc<Plan>,
        listener_handles: Vec<Vec<ListenerHandle>>,
    ) {
        let before = &self.config.plan;
        let names =
            |names: &Arc<LogNames>| plan.log_names_after(before, names, self.spans.is_some());
        self.log_names = self.log_names.as_ref().map(names);
        self.workers.adopt((plan, self.log_names.as_ref()), listener_handles);
    }

    fn start_worker(&mut self, index: usize, listeners: Vec<ListenerHandle>) -> io::Result<()> {
        let metrics = Arc::new(Metrics::new());
        let (access_log, spans) = (self.access_log.as_ref(), self.spans.as_ref());
        let is_needed = access_log.is_some() || spans.is_some();
        let access_logger = is_needed.then(|| access_log::logger(access_log, spans)).transpose()?;
        let workers = self.config.threads.get();
        let shelves = self.workers.shelves(&self.config.plan, workers);
        self.workers.start(|ready, commands| WorkerSetup {
            place: WorkerPlace::new(&self.loads, index),
            fresh: Arc::clone(&self.fresh),
            listeners,
            plan: Arc::clone(&self.config.plan),
            shelves,
            log_names: self.log_names.clone(),
            metrics: Arc::clone(&metrics),
            access_logger,
            limiter: self.limiter.another(),
            epoch: self.epoch,
            ready,
            commands,
        })?;
        self.metrics.push(metrics);
        Ok(())
    }

    /// Begins to accept from what another process has handed over.
    pub(crate) fn accept(&mut self) {
        let listener_handles = std::mem::take(&mut self.pending);
        if !listener_handles.is_empty() {
            let plan = Arc::clone(&self.config.plan);
            self.have_adopted(&plan, listener_handles);
        }
    }

    /// Takes in what another process lets go.
    pub(crate) fn take_in(&mut self, channel: Channel) -> io::Result<()> {
        self.arrivals = Some(Arrivals::start(channel, self.workers.handles.clone())?);
        Ok(())
    }

    /// Tells another process all that it needs to go on from here.
    pub(crate) fn offer(
        &self,
        channel: &Channel,
        admin: Option<LentListener<'_>>,
        deadline: std::time::Instant,
    ) -> io::Result<()> {
        let mut lent = self.workers.lend()?;
        let age = self.epoch.tick(Instant::now());
        let known = self.listeners.open.iter().map(|open| {
            let sockets = lent.remove(&open.id).unwrap_or_default();
            (open, sockets)
        });
        offer::offer(channel, age, known, admin, &self.config.plan, deadline)
    }

    /// Leaves the listeners and all connections that rest to another process, which accepts already;
    /// lets what runs finish, and says how many sessions were cut at the limit. Blocks until every
    /// worker has ended.
    pub(crate) fn hand_over(
        mut self,
        channel: &Channel,
        addresses: &[String],
        limit: Duration,
    ) -> usize {
        self.end_arrivals();
        let (stay, gone): (Vec<_>, Vec<_>) = (self.listeners.open.iter())
            .partition(|open| addresses.contains(&open.bound.to_string()));
        let kept: Vec<ListenerId> = stay.iter().map(|open| open.id).collect();
        remove_files(gone);
        let deadline = Instant::now() + limit;
        self.workers.hand_over(channel, &kept, deadline);
        self.join(deadline)
    }

    /// What is on its way from another process is taken in before anything else is done.
    fn end_arrivals(&mut self) {
        if let Some(arrivals) = self.arrivals.take() {
            arrivals.end();
        }
    }

    /// Where the workers are told something.
    pub(crate) fn workers(&self) -> &WorkerHandles {
        &self.workers.handles
    }

    /// From now on no wait for a worker goes beyond this.
    pub(crate) fn interrupted_by(&mut self, interrupt: Interrupt) {
        self.workers.interrupted_by(interrupt);
    }

    /// Takes no more connections, lets what runs finish for up to `limit`, and says how many
    /// sessions were cut then. Blocks until every worker has ended.
    pub fn drain(mut self, limit: Duration) -> usize {
        self.end_arrivals();
        // Now, while they are still ours: a successor may bind the same paths while we drain.
        remove_files(&self.listeners.open);
        let deadline = Instant::now() + limit;
        self.workers.drain(deadline);
        self.join(deadline)
    }

    fn join(self, deadline: Instant) -> usize {
        let cut = self.workers.join(deadline);
        if let Some(checks) = self.checks {
            checks.end();
        }
        self.spans.as_ref().inspect(|spans| spans.begin_close());
        self.access_log.inspect(AccessLog::close);
        self.spans.inspect(SpanExporter::close);
        cut
    }
}
