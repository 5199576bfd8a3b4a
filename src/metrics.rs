//! Counters: written by one worker each, read by anybody.
//!
//! A worker's counters share no cache line with another's, and adding to one is a plain load and
//! store: with one writer there is nothing to lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::reject::Reject;

/// A number that only grows, written by one thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. Only the worker it belongs to may.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down, written by one thread.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Says what it is now. Only the worker it belongs to may.
    pub fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    /// Its value when that was last said.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations by how long they were. Written by one thread.
#[derive(Debug, Default)]
pub struct Histogram {
    /// How many were at most as long as each of [`Histogram::BOUNDS`] and longer than the one before;
    /// the last: longer than all.
    counts: [Counter; Self::BOUNDS.len() + 1],
    sum_micros: Counter,
}

impl Histogram {
    /// In microseconds: from what a loopback takes to what a client gives up at.
    pub const BOUNDS: [u64; 16] = [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
        1_000_000, 2_500_000, 10_000_000, 60_000_000,
    ];

    /// Counts one.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let place = Self::BOUNDS.iter().take_while(|bound| micros > **bound).count();
        self.counts[place].add(1);
        self.sum_micros.add(micros);
    }

    /// How many fell into each place, not cumulated.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().map(Counter::get)
    }

    /// All of them together, in microseconds.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros.get()
    }
}

/// What one worker has counted of one route.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct RouteMetrics {
    /// Responses by the first digit of their status; own answers included, interim ones not.
    pub responses: [Counter; 6],
}

impl RouteMetrics {
    /// Counts a response by its class.
    pub fn response(&self, status: u16) {
        if let Some(class) = self.responses.get(usize::from(status / 100)) {
            class.add(1);
        }
    }
}

/// What one worker has counted since it started.
#[derive(Debug)]
#[repr(align(128))]
pub struct Metrics {
    /// Connections accepted.
    pub accepted: Counter,
    /// Failures to accept one.
    pub accept_errors: Counter,
    /// Connections that had to wait, since there were as many as there may be.
    pub waited: Counter,
    /// Connections reset, since there were as many of their client as there may be.
    pub turned_away: Counter,
    /// Connections that were passed on as they are.
    pub tcp_opened: Counter,
    /// Connections that were to be, and found no endpoint.
    pub tcp_refused: Counter,
    /// Requests read, refused ones not included.
    pub requests: Counter,
    /// Responses by the first digit of their status; own answers included, interim ones not.
    pub responses: [Counter; 6],
    /// Requests refused, by [`Reject`].
    pub rejects: [Counter; Reject::COUNT],
    /// Responses refused, by [`Reject`].
    pub bad_responses: [Counter; Reject::COUNT],
    /// Fields of requests left out because an endpoint could take them for others.
    pub aliases: Counter,
    /// Attempts beyond the first of their request.
    pub retries: Counter,
    /// Attempts that failed, whoever was to blame.
    pub failed_attempts: Counter,
    /// Those among them for which this machine had no descriptor, port or memory.
    pub local_failures: Counter,
    /// Answers that ended short of their length.
    pub cut_answers: Counter,
    /// Client heads that did not come whole in time.
    pub head_timeouts: Counter,
    /// How long requests took, from their first byte to the last of their response.
    pub durations: Histogram,
    /// Upstream connections opened.
    pub connects: Counter,
    /// Attempts on a connection used before.
    pub reuses: Counter,
    /// Upstream connections not kept because the pool was full.
    pub pool_full: Counter,
    /// Upstream connections not kept because more than the answer had come on them, or their end.
    pub pool_not_quiet: Counter,
    /// Bytes sent to endpoints, heads and tunnels included.
    pub bytes_up: Counter,
    /// Bytes sent to clients from endpoints, heads and tunnels included.
    pub bytes_down: Counter,
    /// Bytes among both that were passed on unseen, by splice(2).
    pub bytes_spliced: Counter,
}

/// What one worker has counted of one endpoint.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct EndpointMetrics {
    /// Attempts begun.
    pub begun: Counter,
    /// Attempts ended, however.
    pub ended: Counter,
    /// Attempts that the endpoint failed; those that ended for want of something on this machine, or
    /// because of the client, are none.
    pub failed: Counter,
    /// Connections opened.
    pub connects: Counter,
    /// Attempts on a connection used before.
    pub reuses: Counter,
    /// Connections that lay idle when they were last looked through: at most a second ago.
    pub idle: Gauge,
}

impl EndpointMetrics {
    /// Attempts begun and not ended.
    pub fn in_flight(&self) -> u64 {
        self.begun.get().saturating_sub(self.ended.get())
    }
}

impl Metrics {
    /// All zero.
    pub fn new() -> Self {
        Self {
            accepted: Counter::default(),
            accept_errors: Counter::default(),
            waited: Counter::default(),
            turned_away: Counter::default(),
            tcp_opened: Counter::default(),
            tcp_refused: Counter::default(),
            requests: Counter::default(),
            responses: Default::default(),
            rejects: std::array::from_fn(|_| Counter::default()),
            bad_responses: std::array::from_fn(|_| Counter::default()),
            aliases: Counter::default(),
            retries: Counter::default(),
            failed_attempts: Counter::default(),
            local_failures: Counter::default(),
            cut_answers: Counter::default(),
            head_timeouts: Counter::default(),
            durations: Histogram::default(),
            connects: Counter::default(),
            reuses: Counter::default(),
            pool_full: Counter::default(),
            pool_not_quiet: Counter::default(),
            bytes_up: Counter::default(),
            bytes_down: Counter::default(),
            bytes_spliced: Counter::default(),
        }
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
        assert_eq!((counts[0], counts[1], counts[15], counts[16]), (2, 1, 1, 1));
        assert_eq!(histogram.sum_micros(), 120_000_202);
    }

    #[test]
    fn responses_are_counted_by_class() {
        let metrics = Metrics::new();
        metrics.response(204);
        metrics.response(599);
        assert_eq!((metrics.responses[2].get(), metrics.responses[5].get()), (1, 1));
    }
}
