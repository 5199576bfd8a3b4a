//! What is simulated, and what has happened in it.

use std::num::NonZeroU16;
use std::sync::Arc;

use evener::address::Address;
use evener::upstream::Upstream;
use evener::upstream::endpoint::Endpoint;
use evener::upstream::endpoint_set::EndpointSet;

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
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub arrived: Micros,
    pub at: Micros,
    /// The endpoint that answered, unless it failed.
    pub endpoint: Option<usize>,
}

impl World {
    /// Machines behind an upstream with these settings, under a moderate load.
    pub fn new(settings: Upstream, machines: Vec<Machine>, workers: usize) -> Self {
        let endpoint = |(port, machine): (u16, &Machine)| {
            let address = Address::Tcp(([192, 0, 2, 1], port).into());
            Endpoint::new(address, NonZeroU16::new(machine.weight).unwrap(), workers)
        };
        let set = EndpointSet::new((1..).zip(&machines).map(endpoint));
        let upstream = Upstream { endpoints: Arc::new(set), ..settings };
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
        }
    }

    /// Lives through it.
    pub fn run(&self, seed: u64) -> History {
        Run::new(self, seed).live()
    }
}

/// What has happened.
#[derive(Debug, Default)]
pub struct History {
    pub ended: Vec<Ended>,
    /// Attempts at each endpoint.
    pub attempts: Vec<usize>,
    /// The most that each worked on and had waiting at a time.
    pub peaks: Vec<usize>,
}
