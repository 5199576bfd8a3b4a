//! Copies of requests, sent to another upstream: what comes of them matters to nobody but the counters.
//!
//! A copy is a task of its own, which its request never waits for. It is sent once, and once more if an idle
//! connection turns out to have ended; it does not wait in a queue and takes nothing out of the retry budget.

use std::rc::Rc;

use tokio::task::spawn_local;

use super::copy_attempt;
use super::prepared_copy::PreparedCopy;
use super::request::Request;
use super::request_copy::{CopyPermit, Mirroring, RequestCopy, WholeRequest, WrittenRequest};
use crate::filters::Filters;
use crate::http::rules::mirror::MirrorOutcome;
use crate::id::UpstreamId;
use crate::plan::context::WorkerContext;
use crate::relay::body_copy::COPIED_BYTES_MAX;

/// Begins to copy a request that is about to go to an endpoint, if it is to be copied. One that is here as a whole
/// is sent.
#[inline]
pub(super) fn begin<F: Filters>(request: &mut Request<'_, F>, context: &Rc<WorkerContext>) {
    if let Mirroring::For(upstream) = request.mirror {
        request.mirror = Mirroring::No;
        copy(request, upstream, context);
    }
}

#[cold]
fn copy<F: Filters>(
    request: &mut Request<'_, F>,
    upstream: UpstreamId,
    context: &Rc<WorkerContext>,
) {
    let Request { traits, body, outgoing, never_indexed, mirror, .. } = request;
    let metrics = &context.metrics;
    if traits.upgrade {
        return metrics.mirrored(MirrorOutcome::Exempt);
    }
    if body.is_longer_than(COPIED_BYTES_MAX as u64) {
        return metrics.mirrored(MirrorOutcome::TooLong);
    }
    let Some(permit) = CopyPermit::take(context) else {
        return metrics.mirrored(MirrorOutcome::Full);
    };
    let never_indexed = never_indexed.clone();
    let begin = WrittenRequest { bytes: outgoing.filled().into(), never_indexed };
    if body.has_ended() {
        return launch(WholeRequest { begin, rest: Vec::new(), upstream, permit });
    }
    *mirror = Mirroring::Underway(Box::new(RequestCopy::new(permit, upstream, begin)));
}

/// A request has come whole that is copied, if it is.
pub(super) fn send(copy: &Mirroring) {
    if let Some(request) = copy.complete() {
        launch(request);
    }
}

/// Sends a copy to an endpoint of its upstream, as a task of its own.
fn launch(WholeRequest { begin, rest, upstream, permit }: WholeRequest) {
    spawn_local(async move {
        let context = permit.context();
        let host = context.plan.upstream(upstream).host_header.as_deref();
        let prepared = PreparedCopy::of(&begin, &rest, host);
        // It waits without them.
        drop((begin, rest));
        let outcome = match prepared {
            Ok(copy) => copy_attempt::send(copy, context, upstream).await,
            Err(outcome) => outcome,
        };
        context.metrics.mirrored(outcome);
    });
}
