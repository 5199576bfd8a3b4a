//! Chooses which endpoint of an upstream a request goes to.

pub mod round_robin;
pub mod tried;

use std::sync::Arc;

use crate::id::EndpointId;
use crate::upstream::Upstream;
use crate::upstream::endpoint::{Endpoint, Role};
use crate::upstream::health::{Admission, Tick};
use crate::upstream::settings::Policy;
use round_robin::RoundRobin;
use tried::Tried;

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoneLeft {
    /// The active checks have found every endpoint dead, or it was taken out by hand.
    AllDown,
    /// Every endpoint that is not dead has been tried already.
    AllTried,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Whether this request decides if an ejected endpoint comes back.
    pub on_trial: bool,
}

/// One worker's turn-taking over an upstream.
pub struct Balancer {
    upstream: Arc<Upstream>,
    turns: RoundRobin,
    worker: usize,
}

impl Balancer {
    /// `worker` is the index of the worker: each begins at another endpoint.
    pub fn new(upstream: Arc<Upstream>, worker: usize) -> Self {
        let weights: Vec<_> = upstream.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Self { turns: RoundRobin::new(&weights, worker), upstream, worker }
    }

    /// The same turns over an upstream whose endpoints are the same, if they are.
    pub fn succeeded_by(&self, upstream: &Arc<Upstream>) -> Option<Self> {
        let (before, after) = (&self.upstream.endpoints, &upstream.endpoints);
        let is_same = |(a, b): (&Endpoint, &Endpoint)| {
            Arc::ptr_eq(&a.record, &b.record) && a.weight == b.weight
        };
        let stays = before.len() == after.len() && before.iter().zip(after).all(is_same);
        let (turns, worker) = (self.turns.clone(), self.worker);
        stays.then(|| Self { upstream: Arc::clone(upstream), turns, worker })
    }

    /// What is chosen from.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Picks an endpoint that has not been tried: one in good standing, or one due for its trial,
    /// primary ones before backups; failing these one that is ejected, since a try may succeed
    /// where a refusal cannot. Never one the active checks have found dead, or that was taken out by
    /// hand.
    pub fn pick(&mut self, now: Tick, tried: &Tried) -> Result<Picked, NoneLeft> {
        let mut tried = *tried;
        self.pick_fit(Role::Primary, now, &mut tried)
            .or_else(|| self.pick_fit(Role::Backup, now, &mut tried))
            .map_or_else(|| self.pick_ejected(now, &tried), Ok)
    }

    fn pick_fit(&mut self, role: Role, now: Tick, tried: &mut Tried) -> Option<Picked> {
        loop {
            let endpoints = &self.upstream.endpoints;
            let admin_state = |index: usize| endpoints[index].admission(now);
            let fit = |index: usize| {
                endpoints[index].role == role
                    && !tried.contains(EndpointId::new(index))
                    && matches!(admin_state(index), Admission::Open | Admission::TrialDue)
            };
            let index = match self.upstream.policy {
                Policy::RoundRobin => self.turns.pick(fit),
                Policy::LeastRequests => {
                    let load = |index: usize| load(&endpoints[index], self.worker);
                    let least = (0..endpoints.len()).filter(|&index| fit(index)).map(load).min()?;
                    self.turns.pick(|index| fit(index) && load(index) == least)
                }
            }?;
            let endpoint = EndpointId::new(index);
            if admin_state(index) == Admission::Open {
                return Some(Picked { endpoint, on_trial: false });
            }
            if endpoints[index].health().claim_trial(now, &self.upstream.thresholds) {
                return Some(Picked { endpoint, on_trial: true });
            }
            // Another worker has just claimed the trial.
            if !tried.insert(endpoint) {
                return None;
            }
        }
    }

    fn pick_ejected(&mut self, now: Tick, tried: &Tried) -> Result<Picked, NoneLeft> {
        let endpoints = &self.upstream.endpoints;
        let dead = |index: usize| endpoints[index].admission(now) == Admission::Down;
        let picked =
            self.turns.pick(|index| !tried.contains(EndpointId::new(index)) && !dead(index));
        let picked = picked.map(EndpointId::new);
        picked.map(|endpoint| Picked { endpoint, on_trial: false }).ok_or_else(|| {
            let all_down = (0..endpoints.len()).all(dead);
            if all_down { NoneLeft::AllDown } else { NoneLeft::AllTried }
        })
    }
}

/// What a request more would come to, for the endpoint's weight.
fn load(endpoint: &Endpoint, worker: usize) -> u64 {
    const SCALE: u64 = 1 << 20;
    (endpoint.record.counts[worker].in_flight() + 1) * SCALE / u64::from(endpoint.weight.get())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::address::Address;
    use crate::upstream::admin_state::AdminMode;
    use crate::upstream::health::{CheckVerdict, FailureKind, Thresholds};

    const NOW: Tick = Tick::from_millis(1000);

    fn upstream(endpoints: usize) -> Upstream {
        let address = Address::Unix("/x".into());
        let endpoints = (0..endpoints).map(|_| Endpoint::new(address.clone(), NonZeroU16::MIN, 1));
        Upstream::sample(endpoints.collect())
    }

    fn balancer(endpoints: usize) -> Balancer {
        Balancer::new(Arc::new(upstream(endpoints)), 0)
    }

    fn eject(balancer: &Balancer, index: usize) {
        for _ in 0..3 {
            let health = balancer.upstream.endpoints[index].health();
            health.on_failure(NOW, NOW, FailureKind::Exchange, &Thresholds::default());
        }
    }

    fn picks(balancer: &mut Balancer, now: Tick, times: usize) -> Vec<usize> {
        let picks = (0..times).filter_map(|_| balancer.pick(now, &Tried::default()).ok());
        picks.map(|picked| picked.endpoint.index()).collect()
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
        balancer.upstream.endpoints[0].health().on_check(CheckVerdict::Down, NOW);
        assert_eq!(balancer.pick(NOW, &Tried::default()), Err(NoneLeft::AllDown));
    }

    #[test]
    fn what_is_taken_out_by_hand_is_not_tried_until_it_is_ready_again() {
        for order in [AdminMode::Drained, AdminMode::Down] {
            let mut balancer = balancer(2);
            let admin_state = |balancer: &Balancer, index: usize, order| {
                balancer.upstream.endpoints[index].record.admin_state.set(order, NOW);
            };
            admin_state(&balancer, 0, order);
            eject(&balancer, 1);
            assert_eq!(picks(&mut balancer, NOW, 4), [1; 4]);
            admin_state(&balancer, 1, order);
            assert_eq!(balancer.pick(NOW, &Tried::default()), Err(NoneLeft::AllDown));
            admin_state(&balancer, 0, AdminMode::Ready);
            assert_eq!(picks(&mut balancer, NOW, 4), [0; 4]);
        }
    }

    #[test]
    fn a_backup_serves_only_while_no_primary_is_fit() {
        let mut of_two = upstream(2);
        of_two.endpoints[0].role = Role::Backup;
        let mut balancer = Balancer::new(Arc::new(of_two), 0);
        assert_eq!(picks(&mut balancer, NOW, 4), [1; 4]);
        eject(&balancer, 1);
        assert_eq!(picks(&mut balancer, NOW, 4), [0; 4]);
    }

    #[test]
    fn the_least_busy_for_its_weight_is_picked_and_ties_go_in_turn() {
        let mut of_three = upstream(3);
        of_three.policy = Policy::LeastRequests;
        of_three.endpoints[2].weight = NonZeroU16::new(4).unwrap();
        let mut balancer = Balancer::new(Arc::new(of_three), 0);
        let begin = |balancer: &mut Balancer| {
            let picked = balancer.pick(NOW, &Tried::default()).unwrap().endpoint.index();
            balancer.upstream.endpoints[picked].record.counts[0].begun.add(1);
            picked
        };
        let mut shares = [0; 3];
        for _ in 0..12 {
            shares[begin(&mut balancer)] += 1;
        }
        assert_eq!(shares, [2, 2, 8]);
        balancer.upstream.endpoints[1].record.counts[0].ended.add(2);
        assert_eq!(begin(&mut balancer), 1);
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
