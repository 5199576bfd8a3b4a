//! A connection whose exchange has ended well goes back to where idle ones rest.

use tokio::time::Instant;

use super::record::AttemptTarget;
use crate::net::lease::{Ending, Lease};
use crate::net::pool::NotPooled;
use crate::plan::context::WorkerContext;

/// What is known of a connection whose exchange has ended well.
#[derive(Clone, Copy)]
pub(super) struct Rest {
    /// How sure it is that nothing follows.
    pub(super) ending: Ending,
    /// Whether more has come than the answer.
    pub(super) surplus: bool,
    /// When it ended.
    pub(super) now: Instant,
}

/// Puts a connection among the idle ones, if it may be used again.
pub(super) fn give_back(context: &WorkerContext, target: AttemptTarget, lease: Lease, rest: Rest) {
    let metrics = &context.metrics;
    if rest.surplus {
        metrics.pool_not_quiet.add(1);
        return;
    }
    let pool = context.pool(target.upstream, target.endpoint);
    let kept = pool.borrow_mut().put(lease, rest.ending, rest.now);
    match kept {
        Ok(()) => {}
        Err(NotPooled::Full) => metrics.pool_full.add(1),
        Err(NotPooled::NotQuiet) => metrics.pool_not_quiet.add(1),
    }
}
