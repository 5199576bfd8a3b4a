//! What is known of an upstream, whatever plan it is in.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::budget::RetryBudget;
use super::departed::Departed;
use super::queue::RequestQueue;
use crate::ejection_reason::EjectionReason;
use crate::metrics::UpstreamMetrics;

/// What is known of an upstream: outlives the plan, as long as a later one has an upstream of its name.
#[derive(Debug)]
pub struct UpstreamRecord {
    /// What each worker has counted.
    pub counts: Box<[UpstreamMetrics]>,
    /// Whether it has been said that an ejection is withheld, and nothing has changed since.
    pub withholding_said: AtomicBool,
    /// The requests that wait for room at one of its endpoints, if there is a ceiling.
    pub queue: Arc<RequestQueue>,
    /// How many retries it may still be sent.
    pub budget: Arc<RetryBudget>,
    /// Endpoints that it has no more.
    pub departed: Departed,
}

impl UpstreamRecord {
    /// Nothing counted by any of so many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        let counts = (0..workers).map(|_| UpstreamMetrics::default()).collect();
        let (withholding_said, queue) = (AtomicBool::new(false), Arc::default());
        let (budget, departed) = (Arc::default(), Departed::default());
        Arc::new(Self { counts, withholding_said, queue, budget, departed })
    }

    /// What each worker has of something, of all of them.
    pub fn total(&self, of: impl Fn(&UpstreamMetrics) -> u64) -> u64 {
        self.counts.iter().map(of).sum()
    }

    /// How often its endpoints were ejected for this reason.
    pub fn ejections(&self, reason: EjectionReason) -> u64 {
        self.total(|counts| counts.ejections[reason as usize].get())
    }

    /// How many requests have been let in under a ceiling, and how many of these have not ended.
    pub fn permitted(&self) -> (u64, usize) {
        // What has ended was let in before.
        let ended = self.total(|counts| counts.permits_ended.get());
        let taken = self.total(|counts| counts.permits_taken.get());
        (taken, usize::try_from(taken.saturating_sub(ended)).unwrap_or(usize::MAX))
    }
}
