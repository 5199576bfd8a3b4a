//! What is known of an upstream, whatever plan it is in.

use std::sync::Arc;

use crate::metrics::UpstreamMetrics;

/// What is known of an upstream: outlives the plan, as long as a later one has an upstream of its name.
#[derive(Debug)]
pub struct UpstreamRecord {
    /// What each worker has counted.
    pub counts: Box<[UpstreamMetrics]>,
}

impl UpstreamRecord {
    /// Nothing counted by any of so many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        let counts = (0..workers).map(|_| UpstreamMetrics::default()).collect();
        Arc::new(Self { counts })
    }
}
