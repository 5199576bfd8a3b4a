//! What is true of a balancer at work: the control thread writes it down, the admin thread reads it, and no worker knows of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::running::Running;
use crate::address::Address;
use crate::discovery::Discovery;
use crate::log::access_log::AccessLog;
use crate::metrics::{Counter, Metrics};
use crate::net::deadline::Epoch;
use crate::net::limiter::ConnectionLimiter;
use crate::net::wall_clock::since_1970;
use crate::otlp::exporter::SpanExporter;
use crate::placement::WorkerLoads;
use crate::plan::Plan;

/// What a balancer is doing as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServingPhase {
    /// Taking connections.
    Serving,
    /// About to end: during the shutdown delay connections are still accepted, then what has begun
    /// is finished.
    Draining,
}

/// What is true now.
#[derive(Clone)]
pub(crate) struct ControlSnapshot {
    /// What sessions follow.
    pub(crate) plan: Arc<Plan>,
    /// Where they come from, with the ports the kernel chose.
    pub(crate) listeners: Vec<Address>,
    /// The configuration file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// Counts the configurations that were followed, from 1.
    pub(crate) generation: u64,
    /// When this one was.
    pub(crate) loaded: Instant,
    /// The same since 1970, as the clock stood then.
    pub(crate) loaded_at: Duration,
    /// Why the last reload was refused, if it was.
    refused: Option<String>,
    /// Why the certificates that have been found since then were, if they were.
    refused_certificates: Option<String>,
    /// What is being done.
    pub(crate) phase: ServingPhase,
}

impl ControlSnapshot {
    /// Why what was read last is not in force, if it is not.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refused.as_deref().or(self.refused_certificates.as_deref())
    }

    /// Something else is in force from now on.
    fn changes(&mut self) {
        self.generation += 1;
        (self.loaded, self.loaded_at) = (Instant::now(), since_1970());
    }
}

/// The facts, and what stays as it is.
pub(crate) struct ControlState {
    /// The counters of each worker.
    pub(crate) metrics: Vec<Arc<Metrics>>,
    /// How many each worker has.
    pub(crate) loads: Arc<WorkerLoads>,
    /// How many connections there are, and may be.
    pub(crate) limiter: Arc<ConnectionLimiter>,
    /// Where requests have their lines, if anywhere.
    pub(crate) access_log: Option<AccessLog>,
    /// Where spans go, if anywhere.
    pub(crate) spans: Option<SpanExporter>,
    /// What is known of sources of endpoints.
    pub(crate) discovery: Discovery,
    /// Where ticks count from.
    pub(crate) epoch: Epoch,
    /// When all this began.
    pub(crate) started: Instant,
    facts: Mutex<ControlSnapshot>,
}

impl ControlState {
    /// Of a balancer that has just been started.
    pub(crate) fn new(running: &Running, discovery: Discovery) -> Self {
        let now = Instant::now();
        let facts = ControlSnapshot {
            plan: Arc::clone(running.plan()),
            listeners: running.addresses().cloned().collect(),
            file: running.config().file.clone(),
            generation: 1,
            loaded: now,
            loaded_at: since_1970(),
            refused: None,
            refused_certificates: None,
            phase: ServingPhase::Serving,
        };
        Self {
            metrics: running.metrics.clone(),
            loads: Arc::clone(&running.loads),
            limiter: Arc::clone(&running.limiter),
            access_log: running.access_log().cloned(),
            spans: running.spans().cloned(),
            discovery,
            epoch: running.epoch(),
            started: now,
            facts: Mutex::new(facts),
        }
    }

    /// What is true now.
    pub(crate) fn facts(&self) -> ControlSnapshot {
        self.lock().clone()
    }

    /// What all workers have counted of something.
    pub(crate) fn sum(&self, of: impl Fn(&Metrics) -> &Counter) -> u64 {
        self.metrics.iter().map(|metrics| of(metrics).get()).sum()
    }

    /// Another configuration is followed from now on.
    pub(crate) fn follows(&self, running: &Running) {
        let mut facts = self.lock();
        facts.plan = Arc::clone(running.plan());
        facts.listeners = running.addresses().cloned().collect();
        facts.changes();
        (facts.refused, facts.refused_certificates) = (None, None);
    }

    /// Certificates, ticket keys or endpoints were renewed; whether that is a change worth counting.
    pub(crate) fn renewed(&self, plan: &Arc<Plan>, is_change: bool) {
        let mut facts = self.lock();
        facts.plan = Arc::clone(plan);
        if is_change {
            facts.changes();
        }
    }

    /// Certificates that were found have been refused, or not; whether the last ones before them were.
    pub(crate) fn refused_certificates(&self, reasons: Option<&[String]>) -> bool {
        let reasons = reasons.map(|reasons| reasons.join("\n"));
        std::mem::replace(&mut self.lock().refused_certificates, reasons).is_some()
    }

    /// Another configuration was refused.
    pub(crate) fn refused(&self, reasons: &[String]) {
        self.lock().refused = Some(reasons.join("\n"));
    }

    /// The process has begun to end: connections are accepted for the shutdown delay only.
    pub(crate) fn drains(&self) {
        self.lock().phase = ServingPhase::Draining;
    }

    /// The facts are whole even if the lock is poisoned by a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, ControlSnapshot> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
