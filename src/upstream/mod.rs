//! The endpoints behind a route, and which of them a request goes to.

pub mod balance;
pub mod endpoint;
pub mod health;
mod word;

use std::sync::Arc;

use crate::proxy_protocol::Version;
use balance::{RoundRobin, Tried};
use endpoint::Endpoint;
use health::{Admission, Thresholds, Tick};

/// A set of endpoints that can stand in for each other, shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    /// The route it is behind, for logs.
    pub name: Box<str>,
    /// At least one.
    pub endpoints: Box<[Endpoint]>,
    /// When an endpoint is ejected.
    pub thresholds: Thresholds,
    /// What is sent to it.
    pub traffic: Traffic,
    /// The header of the PROXY protocol that its connections begin with, if they do.
    pub announces: Option<Version>,
}

/// What is sent to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// Requests.
    Http,
    /// Connections as they are.
    Tcp,
}

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoneLeft {
    /// The active checks have found every endpoint dead.
    AllDown,
    /// Every endpoint that is not dead has been tried already.
    AllTried,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The endpoint, by its index.
    pub endpoint: usize,
    /// Whether this request decides if an ejected endpoint comes back.
    pub on_trial: bool,
}

/// One worker's turn-taking over an upstream.
pub struct Balancer {
    upstream: Arc<Upstream>,
    turns: RoundRobin,
}

impl Balancer {
    /// `worker` is the index of the worker: each begins at another endpoint.
    pub fn new(upstream: Arc<Upstream>, worker: usize) -> Self {
        let weights: Vec<_> = upstream.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Self { turns: RoundRobin::new(&weights, worker), upstream }
    }

    /// Picks an endpoint that has not been tried: one in good standing, or one due for its trial;
    /// failing these one that is ejected, since a try may succeed where a refusal cannot. Never
    /// one the active checks have found dead.
    pub fn pick(&mut self, now: Tick, tried: &Tried) -> Result<Picked, NoneLeft> {
        let mut tried = *tried;
        let endpoints = &self.upstream.endpoints;
        loop {
            let standing = |index: usize| endpoints[index].health.admission(now);
            let fit = |index: usize| {
                !tried.contains(index)
                    && matches!(standing(index), Admission::Open | Admission::TrialDue)
            };
            let Some(index) = self.turns.pick(fit) else { break };
            if standing(index) == Admission::Open {
                return Ok(Picked { endpoint: index, on_trial: false });
            }
            if endpoints[index].health.claim_trial(now, &self.upstream.thresholds) {
                return Ok(Picked { endpoint: index, on_trial: true });
            }
            // Another worker has just claimed the trial.
            if !tried.insert(index) {
                break;
            }
        }
        self.pick_ejected(now, &tried)
    }

    fn pick_ejected(&mut self, now: Tick, tried: &Tried) -> Result<Picked, NoneLeft> {
        let endpoints = &self.upstream.endpoints;
        let dead = |index: usize| endpoints[index].health.admission(now) == Admission::Down;
        let picked = self.turns.pick(|index| !tried.contains(index) && !dead(index));
        picked.map(|endpoint| Picked { endpoint, on_trial: false }).ok_or_else(|| {
            let all_down = (0..endpoints.len()).all(dead);
            if all_down { NoneLeft::AllDown } else { NoneLeft::AllTried }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::health::{Failure, Verdict};
    use super::*;
    use crate::address::Address;

    const NOW: Tick = Tick::from_millis(1000);

    fn balancer(endpoints: usize) -> Balancer {
        let address = Address::Unix("/x".into());
        let endpoints = (0..endpoints).map(|_| Endpoint::new(address.clone(), NonZeroU16::MIN));
        let thresholds = Thresholds::default();
        let endpoints = endpoints.collect();
        Balancer::new(
            Arc::new(Upstream {
                name: "/".into(),
                endpoints,
                thresholds,
                traffic: Traffic::Http,
                announces: None,
            }),
            0,
        )
    }

    fn eject(balancer: &Balancer, index: usize) {
        for _ in 0..3 {
            let health = &balancer.upstream.endpoints[index].health;
            health.on_failure(NOW, NOW, Failure::Exchange, &Thresholds::default());
        }
    }

    fn picks(balancer: &mut Balancer, now: Tick, times: usize) -> Vec<usize> {
        let picks = (0..times).filter_map(|_| balancer.pick(now, &Tried::default()).ok());
        picks.map(|picked| picked.endpoint).collect()
    }

    #[test]
    fn an_ejected_endpoint_is_skipped_and_comes_back_with_one_trial() {
        let mut balancer = balancer(2);
        eject(&balancer, 0);
        assert_eq!(picks(&mut balancer, NOW, 4), [1; 4]);
        let later = Tick::from_millis(6001);
        let trial = picks(&mut balancer, later, 6);
        assert_eq!(trial.iter().filter(|index| **index == 0).count(), 1);
    }

    #[test]
    fn when_all_are_ejected_requests_are_still_tried() {
        let mut balancer = balancer(2);
        eject(&balancer, 0);
        eject(&balancer, 1);
        assert_eq!(picks(&mut balancer, NOW, 4).len(), 4);
    }

    #[test]
    fn what_the_checks_found_dead_is_not_tried() {
        let mut balancer = balancer(1);
        balancer.upstream.endpoints[0].health.on_check(Verdict::Down, NOW);
        assert_eq!(balancer.pick(NOW, &Tried::default()), Err(NoneLeft::AllDown));
    }

    #[test]
    fn nothing_is_tried_twice() {
        let mut balancer = balancer(2);
        let mut tried = Tried::default();
        for _ in 0..2 {
            let picked = balancer.pick(NOW, &tried).unwrap();
            assert!(tried.insert(picked.endpoint));
        }
        assert_eq!(balancer.pick(NOW, &tried), Err(NoneLeft::AllTried));
    }
}
