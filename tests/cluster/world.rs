//! What is simulated, and what has happened in it.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use evener::address::Address;
use evener::upstream::Upstream;
use evener::upstream::endpoint::Endpoint;
use evener::upstream::endpoint_set::EndpointSet;
use evener::upstream::record::UpstreamRecord;

use super::run::Run;

/// Microseconds since the beginning.
pub type Micros = u64;

/// How an endpoint is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// It serves, so many times slower than it should.
    Serving(f64),
    /// It fails this share of its requests.
    Failing(f64),
    /// It refuses connections; what it had is lost.
    Dead,
    /// It takes everything and answers nothing.
    Frozen,
}

/// An endpoint as it begins.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    pub weight: u16,
    /// Mean time of service, exponentially distributed.
    pub service: Micros,
    /// Requests it works on at a time; others wait in it.
    pub parallel: usize,
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct World {
    pub upstream: Upstream,
    pub machines: Vec<Machine>,
    pub workers: usize,
    /// Requests a second, at random times.
    pub rate: f64,
    /// How many of them in all.
    pub requests: usize,
    /// Different keys that they have.
    pub keys: u64,
    /// For one attempt.
    pub attempt_timeout: Micros,
    /// Attempts of a request at most.
    pub attempts_max: usize,
    /// What becomes of which endpoint, and when.
    pub script: Vec<(Micros, usize, Condition)>,
    /// Other configurations, and when they are loaded.
    pub reloads: Vec<(Micros, Reload)>,
    /// For how long a client waits for its answer, on average; for any time if absent.
    pub patience: Option<Micros>,
}

/// What another configuration says.
#[derive(Clone, Debug)]
pub struct Reload {
    /// The ceiling, where there is one.
    pub requests_max: NonZeroU32,
    /// The machines behind the upstream.
    pub members: Vec<usize>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub arrived: Micros,
    pub at: Micros,
    /// The endpoint that answered, if one did.
    pub endpoint: Option<usize>,
    pub end: End,
}

/// In which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Answered,
    /// No endpoint was left, or no retry.
    Failed,
    /// There was no room for it.
    Shed,
    /// Its client has left.
    Left,
}

impl World {
    /// Machines behind an upstream with these settings, under a moderate load.
    pub fn new(settings: Upstream, machines: Vec<Machine>, workers: usize) -> Self {
        let endpoints = (0..machines.len()).map(|place| endpoint(&machines, place, workers));
        let endpoints = Arc::new(EndpointSet::new(endpoints));
        let upstream = Upstream { endpoints, record: UpstreamRecord::new(workers), ..settings };
        Self {
            upstream,
            machines,
            workers,
            rate: 1000.0,
            requests: 10_000,
            keys: 1000,
            attempt_timeout: 500_000,
            attempts_max: 8,
            script: Vec::new(),
            reloads: Vec::new(),
            patience: None,
        }
    }

    /// A machine as an endpoint that nothing is known of.
    pub fn endpoint(&self, place: usize) -> Endpoint {
        endpoint(&self.machines, place, self.workers)
    }

    /// Lives through it.
    pub fn run(&self, seed: u64) -> History {
        Run::new(self, seed).live()
    }
}

fn endpoint(machines: &[Machine], place: usize, workers: usize) -> Endpoint {
    let port = u16::try_from(place + 1).unwrap();
    let address = Address::Tcp(([192, 0, 2, 1], port).into());
    Endpoint::new(address, NonZeroU16::new(machines[place].weight).unwrap(), workers)
}

/// What has happened.
#[derive(Debug, Default)]
pub struct History {
    pub ended: Vec<Ended>,
    /// Attempts at each endpoint.
    pub attempts: Vec<usize>,
    /// The most that each worked on and had waiting at a time.
    pub peaks: Vec<usize>,
    /// Requests that have waited for room.
    pub queued: usize,
    /// Attempts that were retries, and those that the budget refused.
    pub retries: usize,
    pub refused: usize,
}
