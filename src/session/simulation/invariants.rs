//! What must be true of a world when everything in it is over.

use super::ledger::{Entry, Outcome};
use super::shared::Shared;
use crate::buffer;
use crate::http::h2::flow::ALLOWANCE_BYTES;
use crate::http::h2::limits::CONNECTION_WINDOW_BYTES;
use crate::id::UpstreamId;
use crate::metrics::Counter;
use crate::plan::context::WorkerContext;

/// Everything is as it was before, and every request has come to what it had to.
pub(super) fn check(shared: &Shared, context: &WorkerContext) {
    nothing_is_left(shared, context);
    check_counts(shared, context);
    for (number, entry) in shared.ledger.borrow().entries.iter().enumerate() {
        assert!(!entry.is_asked || entry.outcome.is_some(), "request {number} has no end");
        for arrival in &entry.arrivals {
            assert!(arrival.is_over, "an endpoint still waits: {number}: {entry:?}");
        }
        if !shared.temper.breaks && !shared.temper.refuses && entry.is_clean() {
            assert!(
                is_fair(entry),
                "nothing was wrong with request {number}: {entry:?}: {:#?}",
                shared.ledger.borrow().entries
            );
        }
    }
}

/// Of a request that nobody meant to go wrong: whether it has ended well.
fn is_fair(entry: &Entry) -> bool {
    match &entry.outcome {
        Some(Outcome::Answered(answered)) => answered.arrival.is_some(),
        Some(Outcome::Cut) => false,
        Some(Outcome::Refused | Outcome::Left) | None => true,
    }
}

/// Nothing that belongs to an exchange outlives it.
fn nothing_is_left(shared: &Shared, context: &WorkerContext) {
    assert_eq!(context.drain.sessions(), 0, "sessions are left");
    let upstream = context.plan.upstream(UpstreamId::new(0));
    for endpoint in upstream.endpoints.iter() {
        assert_eq!(endpoint.record.counts[0].in_flight(), 0, "attempts are left");
    }
    let http2 = &context.metrics.http2;
    assert_eq!(http2.opened.get(), http2.closed.get(), "connections are left");
    assert_eq!(http2.streams_opened.get(), http2.streams_closed.get(), "streams are left");
    assert!(context.window_allowance.take(ALLOWANCE_BYTES), "windows that have grown are left");
    assert_eq!(buffer::leased(), 0, "blocks are left");
    // Half of it is given back at a time.
    let half = i64::from(CONNECTION_WINDOW_BYTES) / 2;
    for window in shared.windows.borrow().iter().flatten() {
        assert!(*window > half, "a connection has only {window} bytes of its window left");
    }
}

/// Every request has its line, and is counted.
fn check_counts(shared: &Shared, context: &WorkerContext) {
    let metrics = &context.metrics;
    let ledger = shared.ledger.borrow();
    let asked = ledger.entries.iter().filter(|entry| entry.is_asked).count() as u64;
    let is_answered = |entry: &&Entry| matches!(entry.outcome, Some(Outcome::Answered(_)));
    let answered = ledger.entries.iter().filter(is_answered).count() as u64;
    let requests = metrics.requests.get();
    let responses: u64 = metrics.responses.iter().map(Counter::get).sum();
    assert!(answered <= responses, "{answered} were answered, {responses} counted");
    assert!(responses <= requests, "{responses} responses to {requests} requests");
    assert!(requests <= asked, "{requests} requests of {asked}");
    let lines = context.log.as_ref().map_or(0, |log| log.access_logger.waiting()) as u64;
    // A preface that is cut has one, too; there are two clients at the most.
    assert!((requests..=asked + 2).contains(&lines), "{lines} lines for {requests} of {asked}");
}
