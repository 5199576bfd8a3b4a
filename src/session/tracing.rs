//! The trace that a request belongs to: read from its head, or begun here, and told to endpoints.

use std::cell::RefCell;

use super::request_log::RequestTiming;
use crate::http::message::edits::{EditName, Edits, Value};
use crate::http::message::field::Name;
use crate::http::message::head::RequestHead;
use crate::net::listen::Peer;
use crate::plan::Tracing;
use crate::plan::context::WorkerContext;
use crate::trace::context::{SpanId, TRACEPARENT_BYTES, TraceContext, TraceFlags, TraceId};
use crate::trace::span::SpanRecord;

/// What endpoints are told of the trace instead of what the client said.
pub(super) struct ToldTrace {
    traceparent: [u8; TRACEPARENT_BYTES],
    /// Whether the trace begins here: what the client said of another one is not about it.
    begins: bool,
}

impl ToldTrace {
    #[inline]
    pub(super) fn edit<'a>(&'a self, edits: &mut Edits<'a>) {
        edits.set(EditName::TRACEPARENT, Value::checked(&self.traceparent));
        if self.begins {
            // Of a trace that is not taken up, its state is not passed on either (§4.3).
            edits.remove(EditName::TRACESTATE);
        }
    }
}

/// Notes what a head says for the access log, its request's identifier if that counts, and what we do about its trace.
/// What endpoints are told of that, if it is not what the client said.
#[inline]
pub(super) fn note(
    head: &RequestHead<'_, '_>,
    (client, their_id): (Peer, Option<&[u8]>),
    timing: &mut RequestTiming,
    context: &WorkerContext,
) -> Option<ToldTrace> {
    if let Some(request_log) = &mut timing.request_log {
        request_log.read(head, client, their_id);
    }
    join(context.plan.tracing?, head, timing, context)
}

/// Takes up the trace of a request or begins one, as far as we take part, and notes what is to be logged and recorded
/// of it. What endpoints are told, if that is not what the client said.
#[inline(never)]
fn join(
    tracing: Tracing,
    head: &RequestHead<'_, '_>,
    timing: &mut RequestTiming,
    context: &WorkerContext,
) -> Option<ToldTrace> {
    let theirs = named(head);
    let known = theirs.or_else(|| tracing.begins().then(|| begin(tracing, context)))?;
    let log = timing.request_log.as_mut();
    let recorded = log.and_then(|request_log| {
        request_log.traced(known.trace);
        if !tracing.records() || !known.flags.is_sampled() {
            return None;
        }
        let [span, first] = [(); 2].map(|()| SpanId::by_chance(context.random()));
        request_log.records(RefCell::new(SpanRecord {
            trace: known.trace,
            flags: known.flags,
            parent: theirs.map(|theirs| theirs.parent),
            span,
            first,
            attempts: Vec::new(),
        }));
        Some(first)
    });
    // One that is not recorded goes on as it came.
    let parent = recorded.or_else(|| theirs.is_none().then_some(known.parent))?;
    let traceparent = TraceContext { parent, ..known }.write();
    Some(ToldTrace { traceparent, begins: theirs.is_none() })
}

/// A trace that begins here, with its share of being sampled.
fn begin(tracing: Tracing, context: &WorkerContext) -> TraceContext {
    let trace = TraceId::by_chance(context.random(), context.random());
    let flags = TraceFlags::of_root(tracing.sample.takes(trace.number()));
    TraceContext { trace, parent: SpanId::by_chance(context.random()), flags }
}

/// What the client says, if that is valid and it says it once (§4.2).
fn named(head: &RequestHead<'_, '_>) -> Option<TraceContext> {
    let mut values = head.fields.iter().filter_map(|(known, name, value)| {
        let is_it = known == Name::Other && name.eq_ignore_ascii_case(b"traceparent");
        is_it.then_some(value)
    });
    let value = values.next()?;
    if values.next().is_some() { None } else { TraceContext::parse(value) }
}
