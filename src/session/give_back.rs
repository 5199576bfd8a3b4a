//! A connection whose exchange has ended well goes back to where idle ones rest.

use tokio::time::Instant;

use super::record::AttemptTarget;
use super::upstream_side::UpstreamSide;
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
pub(super) fn give_back(context: &WorkerContext, target: &AttemptTarget, lease: Lease, rest: Rest) {
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

/// Lets go of the connection of an answer that is not passed on: among the idle ones if nothing of that is left, and
/// others may use it.
pub(super) fn let_go(
    context: &WorkerContext,
    target: &AttemptTarget,
    upstream: UpstreamSide,
    rest: Option<Rest>,
) {
    let UpstreamSide::H1(mut lease) = upstream else { return };
    // A request that was cut must not look whole.
    let Some(rest) = rest else { return lease.stream.set_reset_on_close(true) };
    if context.plan.upstream(target.upstream).announces.is_none() {
        lease.stream.forget_task();
        give_back(context, target, lease, rest);
    }
}
