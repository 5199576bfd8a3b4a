//! Copies of requests, sent to another upstream: what comes of them matters to nobody but the counters.
//!
//! A copy is a task of its own, which its request never waits for. It is sent once, and once more if an idle
//! connection turns out to have ended; it does not wait in a queue and takes nothing out of the retry budget.

use std::rc::Rc;

use tokio::task::spawn_local;

use super::copy_attempt;
use super::prepared_copy::PreparedCopy;
use super::request::Request;
use super::request_copy::{Mirroring, RequestCopy, WholeRequest, WrittenRequest};
use crate::filters::Filters;
use crate::http::rules::mirror::MirrorOutcome;
use crate::id::UpstreamId;
use crate::plan::context::WorkerContext;
use crate::relay::body_copy::COPIED_BYTES_MAX;

/// How many copies one worker has under way: with the longest bodies they hold 32 MiB. What comes above that is
/// not copied.
const COPIES_MAX: u64 = 512;

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
    let never_indexed = never_indexed.clone();
    let begin = WrittenRequest { bytes: outgoing.filled().into(), never_indexed };
    if body.has_ended() {
        let rest = Vec::new();
        return launch(context, upstream, WholeRequest { begin, rest });
    }
    *mirror = Mirroring::Underway(Box::new(RequestCopy::new(context, upstream, begin)));
}

/// A request has come whole that is copied, if it is.
pub(super) fn send(copy: &Mirroring) {
    if let Some((context, upstream, request)) = copy.complete() {
        launch(context, upstream, request);
    }
}

/// Sends a copy to an endpoint of the upstream, as a task of its own.
fn launch(context: &Rc<WorkerContext>, upstream: UpstreamId, request: WholeRequest) {
    if context.metrics.copies_in_flight() >= COPIES_MAX {
        return context.metrics.mirrored(MirrorOutcome::Full);
    }
    let underway = Underway::begin(context);
    spawn_local(async move {
        let Underway(context) = &underway;
        let outcome = match PreparedCopy::of(&request) {
            Ok(copy) => copy_attempt::send(copy, context, upstream).await,
            Err(outcome) => outcome,
        };
        context.metrics.mirrored(outcome);
    });
}

/// Counts a copy for as long as it is under way.
struct Underway(Rc<WorkerContext>);

impl Underway {
    fn begin(context: &Rc<WorkerContext>) -> Self {
        context.metrics.copies_begun.add(1);
        Self(Rc::clone(context))
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.metrics.copies_ended.add(1);
    }
}
