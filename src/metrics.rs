//! Metrics: each is written by one thread and readable by any.
//!
//! Workers share no cache lines, and since each counter has a single writer, incrementing it is a plain
//! load and store without a lock or an atomic read-modify-write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ejection_reason::EjectionReason;
use crate::fault::Side;
use crate::grpc::status::Status;
use crate::http::h2::budget::Exhausted;
use crate::http::h2::error_code::ErrorCode;
use crate::http::rules::mirror::MirrorOutcome;
use crate::http::rules::refusal::RefusingRule;
use crate::reject::Reject;
use crate::shed::Shed;
use crate::tls_fault::TlsFault;

/// A number that only increases, written by one thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. May only be called by the thread that owns it.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down, written by one thread.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets the value. May only be called by the thread that owns it.
    pub fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    /// The value that was last set.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A duration, and the bucket that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    bucket: usize,
    micros: u64,
}

impl From<Duration> for Observation {
    fn from(duration: Duration) -> Self {
        let seconds = duration.as_secs().saturating_mul(1_000_000);
        let micros = seconds.saturating_add(u64::from(duration.subsec_micros()));
        let is_above = |bound: &&u64| micros > **bound;
        Self { bucket: Histogram::BOUNDS.iter().take_while(is_above).count(), micros }
    }
}

/// A histogram of durations, written by one thread.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The number of durations up to each of [`Histogram::BOUNDS`] and above the previous one; the last
    /// bucket counts those above all bounds.
    counts: [Counter; Self::BOUNDS.len() + 1],
    sum_micros: Counter,
}

impl Histogram {
    /// The upper bounds of the buckets, in microseconds: those that Prometheus' client libraries have by
    /// default, 5 ms to 10 s, on which objectives are commonly set, with loopback latency below and typical
    /// time-outs of clients above.
    pub const BOUNDS: [u64; 18] = [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
        1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
    ];

    /// Counts one duration, or one that is counted elsewhere as well.
    #[inline]
    pub fn observe(&self, duration: impl Into<Observation>) {
        let Observation { bucket, micros } = duration.into();
        self.counts[bucket].add(1);
        self.sum_micros.add(micros);
    }

    /// The count of each bucket, not cumulative.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().map(Counter::get)
    }

    /// The sum of all durations, in microseconds.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros.get()
    }
}

/// The metrics of one route on one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct RouteMetrics {
    /// Responses by the first digit of their status, including generated ones, without interim ones.
    pub responses: [Counter; 6],
    /// From the first byte of a request to the last byte of its response.
    pub durations: Histogram,
    /// Requests that a limit has refused, by [`RefusingRule`].
    pub refusals: [Counter; RefusingRule::ALL.len()],
}

impl RouteMetrics {
    /// Counts a request that a limit has refused.
    pub fn refuse(&self, rule: RefusingRule) {
        self.refusals[rule as usize].add(1);
    }

    /// Counts a response by its class.
    pub fn response(&self, status: u16) {
        if let Some(class) = self.responses.get(usize::from(status / 100)) {
            class.add(1);
        }
    }
}

/// The metrics of one upstream on one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct UpstreamMetrics {
    /// Requests that were sent to an endpoint, and connections that were relayed to one, without further
    /// attempts.
    pub requests: Counter,
    /// Of attempts that were answered: from their begin to the last byte of the answer.
    pub durations: Histogram,
    /// Endpoints that were ejected, by [`EjectionReason`].
    pub ejections: [Counter; EjectionReason::ALL.len()],
    /// Failures that would have ejected an endpoint if there had not been too many already.
    pub ejections_withheld: Counter,
    /// Requests and connections that have had to wait for room at an endpoint.
    pub queued: Counter,
    /// Those that were refused or given up for want of room, by [`Shed`].
    pub shed: [Counter; Shed::ALL.len()],
    /// Those whose client left while they waited.
    pub queue_left: Counter,
    /// Requests that were let in under a ceiling, and those of them that have ended.
    pub permits_taken: Counter,
    /// See `permits_taken`.
    pub permits_ended: Counter,
    /// Further attempts at requests and connections; without those that replace a stale connection.
    pub retries: Counter,
    /// Those that there would have been, had the budget allowed it.
    pub retries_refused: Counter,
}

/// Handshakes of one side.
#[derive(Debug)]
pub struct HandshakeMetrics {
    /// Those that began a session.
    pub full: Counter,
    /// Those that took up an earlier one.
    pub resumed: Counter,
    /// Those with TLS 1.2; the others that succeeded are with 1.3.
    pub tls12: Counter,
    /// Those that failed, by [`TlsFault::index`].
    pub failed: [Counter; TlsFault::ALL.len()],
}

impl Default for HandshakeMetrics {
    fn default() -> Self {
        Self {
            full: Counter::default(),
            resumed: Counter::default(),
            tls12: Counter::default(),
            failed: std::array::from_fn(|_| Counter::default()),
        }
    }
}

/// HTTP/2 of clients.
#[derive(Debug)]
pub struct Http2Metrics {
    /// Connections that have begun.
    pub opened: Counter,
    /// Connections that have ended.
    pub closed: Counter,
    /// Connections ended because the client broke a rule, by the number of their [`ErrorCode`].
    pub failed: [Counter; ErrorCode::ALL.len()],
    /// Streams that clients have opened, without those that were refused at once.
    pub streams_opened: Counter,
    /// Streams that have ended, in whatever way.
    pub streams_closed: Counter,
    /// Streams refused because their client had as many as it may.
    pub streams_refused: Counter,
    /// Streams ignored because their client had been told that no more are taken.
    pub streams_late: Counter,
    /// Connections ended for a flood, by the number of what they had [`Exhausted`].
    pub floods: [Counter; Exhausted::ALL.len()],
    /// Streams that clients have reset.
    pub resets_by_clients: Counter,
    /// Streams that were reset from here: refused, malformed, cut, or answered before they were read.
    pub resets_by_us: Counter,
    /// Requests read, without refused ones; the others of all are of HTTP/1.0 and HTTP/1.1.
    pub requests: Counter,
    /// Calls of gRPC that have ended, by the number of the [`Status`] that their client was told; the last is
    /// of those that were told none.
    pub calls: [Counter; Status::ALL.len() + 1],
}

impl Http2Metrics {
    /// Counts a call by the status that its client was told.
    pub fn call(&self, status: Option<Status>) {
        let place = status.map_or(Status::ALL.len(), |status| status.code().into());
        self.calls[place].add(1);
    }
}

impl Default for Http2Metrics {
    fn default() -> Self {
        Self {
            opened: Counter::default(),
            closed: Counter::default(),
            failed: std::array::from_fn(|_| Counter::default()),
            streams_opened: Counter::default(),
            streams_closed: Counter::default(),
            streams_refused: Counter::default(),
            streams_late: Counter::default(),
            floods: Default::default(),
            resets_by_clients: Counter::default(),
            resets_by_us: Counter::default(),
            requests: Counter::default(),
            calls: Default::default(),
        }
    }
}

/// The metrics of one worker since it started.
#[derive(Debug)]
#[repr(align(128))]
pub struct Metrics {
    /// When the worker last did what it does once a second, as a tick of its process in milliseconds;
    /// [`Metrics::ENDED`] once it has ended.
    pub swept: Gauge,
    /// How often that was late by more than a second: the thread was held up, or got no CPU time.
    pub stalls: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// Accepted connections that were given to a worker with fewer.
    pub rebalanced: Counter,
    /// Errors from accepting a connection.
    pub accept_errors: Counter,
    /// Connections that had to wait because the connection limit was reached.
    pub waited: Counter,
    /// Connections reset because the limit per client was reached.
    pub turned_away: Counter,
    /// Connections that filters did not take.
    pub refused_by_filters: Counter,
    /// Headers that rules would have made too long.
    pub rule_values_dropped: Counter,
    /// Requests that were to be copied, by [`MirrorOutcome`].
    pub mirrors: [Counter; MirrorOutcome::ALL.len()],
    /// Copies of requests that were begun to be sent, and those of them that have ended.
    pub copies_begun: Counter,
    /// See `copies_begun`.
    pub copies_ended: Counter,
    /// TCP connections passed on to an endpoint.
    pub tcp_opened: Counter,
    /// TCP connections closed because no endpoint could be reached.
    pub tcp_refused: Counter,
    /// TCP connections closed because no upstream is for the server name they ask for, or for none.
    pub sni_unmatched: Counter,
    /// TCP connections closed because they are not TLS, where a server name decides.
    pub sni_not_tls: Counter,
    /// TCP connections closed because their ClientHello was not complete in time.
    pub hello_timeouts: Counter,
    /// Requests read, without refused ones.
    pub requests: Counter,
    /// Responses by the first digit of their status, including generated ones, without interim ones.
    pub responses: [Counter; 6],
    /// Requests refused, by [`Reject`].
    pub rejects: [Counter; Reject::COUNT],
    /// Responses refused, by [`Reject`].
    pub bad_responses: [Counter; Reject::COUNT],
    /// Request headers removed because an endpoint could mistake them for others.
    pub aliases: Counter,
    /// Attempts after the first of a request.
    pub retries: Counter,
    /// Attempts that failed, for whatever reason.
    pub failed_attempts: Counter,
    /// Those among them for which this machine had no descriptor, port or memory.
    pub local_failures: Counter,
    /// Responses that ended before their full length, by whose doing that was: [`Side`].
    pub cut_answers: [Counter; Side::ALL.len()],
    /// Request headers that were not complete in time.
    pub head_timeouts: Counter,
    /// Requests that have no line in the access log, since only a share of them has.
    pub lines_sampled_out: Counter,
    /// Request durations, from the first byte of the request to the last byte of the response.
    pub durations: Histogram,
    /// Upstream connections opened.
    pub connects: Counter,
    /// Attempts on a reused connection.
    pub reuses: Counter,
    /// Those of them that the shelf had which workers share.
    pub shelf_reuses: Counter,
    /// Upstream connections closed because the pool was full.
    pub pool_full: Counter,
    /// Upstream connections closed instead of pooled because of unexpected bytes or their end.
    pub pool_not_quiet: Counter,
    /// Bytes sent to endpoints, including headers and tunnels.
    pub bytes_up: Counter,
    /// Bytes sent from endpoints to clients, including headers and tunnels.
    pub bytes_down: Counter,
    /// The part of both that was moved with splice(2).
    pub bytes_spliced: Counter,
    /// HTTP/2 of clients.
    pub http2: Http2Metrics,
    /// TLS handshakes with clients.
    pub client_handshakes: HandshakeMetrics,
    /// TLS handshakes with endpoints, without those of checks.
    pub upstream_handshakes: HandshakeMetrics,
}

/// The metrics of one endpoint on one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct EndpointMetrics {
    /// Attempts started.
    pub begun: Counter,
    /// Attempts ended, successfully or not.
    pub ended: Counter,
    /// Attempts that the endpoint failed; those that ended for want of something on this machine, or
    /// because of the client, are none.
    pub failed: Counter,
    /// Connections opened.
    pub connects: Counter,
    /// Attempts on a reused connection.
    pub reuses: Counter,
    /// Idle connections at the last sweep, at most a second ago.
    pub idle: Gauge,
    /// When a connection was last given back by an exchange that had ended well, as of that sweep: in milliseconds since
    /// ticks are counted; 0 if none was.
    pub answered: Gauge,
}

impl EndpointMetrics {
    /// Attempts in progress.
    pub fn in_flight(&self) -> u64 {
        self.begun.get().saturating_sub(self.ended.get())
    }
}

impl Metrics {
    /// The value of `swept` for a worker from which nothing is to be expected any more.
    pub const ENDED: usize = usize::MAX;

    /// Metrics that are all zero.
    pub fn new() -> Self {
        Self {
            swept: Gauge::default(),
            stalls: Counter::default(),
            accepted: Counter::default(),
            rebalanced: Counter::default(),
            accept_errors: Counter::default(),
            waited: Counter::default(),
            turned_away: Counter::default(),
            refused_by_filters: Counter::default(),
            rule_values_dropped: Counter::default(),
            mirrors: Default::default(),
            copies_begun: Counter::default(),
            copies_ended: Counter::default(),
            tcp_opened: Counter::default(),
            tcp_refused: Counter::default(),
            sni_unmatched: Counter::default(),
            sni_not_tls: Counter::default(),
            hello_timeouts: Counter::default(),
            requests: Counter::default(),
            responses: Default::default(),
            rejects: std::array::from_fn(|_| Counter::default()),
            bad_responses: std::array::from_fn(|_| Counter::default()),
            aliases: Counter::default(),
            retries: Counter::default(),
            failed_attempts: Counter::default(),
            local_failures: Counter::default(),
            cut_answers: Default::default(),
            head_timeouts: Counter::default(),
            lines_sampled_out: Counter::default(),
            durations: Histogram::default(),
            connects: Counter::default(),
            reuses: Counter::default(),
            shelf_reuses: Counter::default(),
            pool_full: Counter::default(),
            pool_not_quiet: Counter::default(),
            bytes_up: Counter::default(),
            bytes_down: Counter::default(),
            bytes_spliced: Counter::default(),
            http2: Http2Metrics::default(),
            client_handshakes: HandshakeMetrics::default(),
            upstream_handshakes: HandshakeMetrics::default(),
        }
    }

    /// Counts a request that was to be copied, by what has become of it.
    pub fn mirrored(&self, outcome: MirrorOutcome) {
        self.mirrors[outcome as usize].add(1);
    }

    /// Responses that ended before their full length, whoever's doing that was.
    pub fn all_cut_answers(&self) -> u64 {
        self.cut_answers.iter().map(Counter::get).sum()
    }

    /// Copies of requests that are under way.
    pub fn copies_in_flight(&self) -> u64 {
        self.copies_begun.get().saturating_sub(self.copies_ended.get())
    }

    /// Counts a response by its class.
    pub fn response(&self, status: u16) {
        if let Some(class) = self.responses.get(usize::from(status / 100)) {
            class.add(1);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_up_to_their_bound() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 60_000_000, 60_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = histogram.counts().collect();
        assert_eq!((counts[0], counts[1], counts[17], counts[18]), (2, 1, 1, 1));
        assert_eq!(histogram.sum_micros(), 120_000_202);
    }

    /// Objectives are set on these, and dashboards and tools for them ask for them by name (`le="0.25"`).
    #[test]
    fn the_bounds_have_those_of_prometheus_and_are_sorted() {
        let of_prometheus = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
        let has = |millis: &u64| Histogram::BOUNDS.contains(&(millis * 1_000));
        assert!(of_prometheus.iter().all(has));
        assert!(Histogram::BOUNDS.is_sorted_by(|a, b| a < b));
    }

    /// Each route, upstream and worker has its own: a further bucket is free up to here, and costs 128 bytes
    /// beyond it.
    #[test]
    fn a_route_has_256_bytes_on_each_worker_and_an_upstream_384() {
        assert_eq!(size_of::<RouteMetrics>(), 256);
        assert_eq!(size_of::<UpstreamMetrics>(), 384);
    }

    #[test]
    fn responses_are_counted_by_class() {
        let metrics = Metrics::new();
        metrics.response(204);
        metrics.response(599);
        assert_eq!((metrics.responses[2].get(), metrics.responses[5].get()), (1, 1));
    }
}
