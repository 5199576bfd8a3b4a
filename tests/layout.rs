//! What threads write lies apart from what others write, and from what all read: docs/threads.md has the list.
//!
//! Prefetching brings cache lines of 64 bytes in pairs, so apart means in different blocks of 128.

use std::mem::offset_of;

use evener::log::once_per_second::OncePerSecond;
use evener::metrics::{EndpointMetrics, Metrics, RouteMetrics, UpstreamMetrics};
use evener::net::limiter::ConnectionLimiter;
use evener::upstream::endpoint::EndpointRecord;
use evener::upstream::permits::Permits;
use evener::upstream::record::UpstreamRecord;
use evener::upstream::shared_count::SharedCount;
use evener::worker::fresh_queue::FreshQueue;

const BLOCK: usize = 128;

/// Whether values of a type fill blocks that are theirs alone, wherever they stand.
fn is_apart<T>() -> bool {
    align_of::<T>().is_multiple_of(BLOCK) && size_of::<T>().is_multiple_of(BLOCK)
}

#[test]
fn what_each_thread_counts_lies_apart() {
    assert!(is_apart::<Metrics>(), "what a worker counts");
    assert!(is_apart::<RouteMetrics>(), "of a route");
    assert!(is_apart::<UpstreamMetrics>(), "of an upstream");
    assert!(is_apart::<EndpointMetrics>(), "of an endpoint");
    let (endpoint, upstream) = (EndpointRecord::new(3), UpstreamRecord::new(3));
    let apart = |one: *const (), other: *const ()| one.addr() / BLOCK != other.addr() / BLOCK;
    for pair in endpoint.counts.windows(2) {
        assert!(apart((&raw const pair[0]).cast(), (&raw const pair[1].begun).cast()));
    }
    for pair in upstream.counts.windows(2) {
        assert!(apart((&raw const pair[0]).cast(), (&raw const pair[1].requests).cast()));
    }
}

#[test]
fn what_all_threads_write_for_requests_lies_apart_from_what_they_read() {
    assert!(is_apart::<SharedCount>() && is_apart::<Permits>() && is_apart::<EndpointRecord>());
    let block = |offset: usize| offset / BLOCK;
    let written =
        [block(offset_of!(EndpointRecord, in_flight)), block(offset_of!(EndpointRecord, permits))];
    let read = [
        block(offset_of!(EndpointRecord, health)),
        block(offset_of!(EndpointRecord, admin_state)),
        block(offset_of!(EndpointRecord, counts)),
    ];
    assert_ne!(written[0], written[1]);
    assert!(read.iter().all(|read| !written.contains(read)));
}

#[test]
fn what_checks_count_lies_apart_from_what_workers_read() {
    let endpoint = EndpointRecord::new(1);
    let [first, .., last] = &*endpoint.checks;
    let read = (&raw const *endpoint).addr();
    for counter in [first, last] {
        let at = (&raw const *counter).addr();
        assert!(!(read..read + size_of::<EndpointRecord>()).contains(&at));
    }
}

#[test]
fn what_is_written_for_connections_and_on_failure_lies_apart() {
    assert!(is_apart::<ConnectionLimiter>(), "each worker's, with the count of its references");
    assert!(is_apart::<FreshQueue>(), "what others give to a worker");
    assert!(is_apart::<OncePerSecond>(), "beside other statics");
}

/// What 10 000 endpoints cost for each thread is 1.3 MB, and 5 MB for all threads together.
#[test]
fn an_endpoint_has_one_block_on_each_thread_and_four_for_all() {
    assert_eq!((size_of::<EndpointMetrics>(), size_of::<EndpointRecord>()), (128, 512));
}
