//! Chooses which endpoint of an upstream a request goes to.
//!
//! A [`Picker`] knows which endpoints may be chosen and keeps them in tiers; a [`Balancer`] chooses among
//! those of the first tier that is left, by its policy. Health and commands change the tiers, which is
//! rare: a pick compares one count, and the tiers are assigned again only if it has moved. The endpoint
//! that is picked is looked at once more, so that none that has just failed is sent anything.

pub mod candidate;
pub mod least_requests;
pub mod round_robin;
pub mod tried;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::id::EndpointId;
use crate::upstream::Upstream;
use crate::upstream::admin_state::AdminMode;
use crate::upstream::endpoint::{Endpoint, EndpointRecord, EndpointRole};
use crate::upstream::health::{Admission, HealthStatus, Tick};
use crate::upstream::settings::Policy;
use candidate::{Found, Tier};
use least_requests::LeastRequests;
use round_robin::RoundRobin;
use tried::Tried;

/// Of so many endpoints per millisecond the tiers are assigned at most: a thousand endpoints that come
/// and go must not cost more than the requests. Up to that many, they are as soon as something changes.
const ASSIGNED_PER_MS: u64 = 256;

/// How often one pick assigns the tiers: each time, what it had found has changed while it looked.
const ROUNDS_MAX: usize = 4;

/// What an endpoint is picked for.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// When.
    pub now: Tick,
    /// What was tried before.
    pub tried: &'a Tried,
}

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoneLeft {
    /// None can be asked, and not all of them were taken out by hand: the active checks have found the
    /// others dead, or there are none.
    AllDown,
    /// Every endpoint was taken out by hand.
    AllDrained,
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

/// One worker's choice among the endpoints of an upstream, by its policy.
#[derive(Clone, Debug)]
pub enum Balancer {
    /// The next one in turn.
    RoundRobin(RoundRobin),
    /// The least busy one.
    LeastRequests(LeastRequests),
}

impl Balancer {
    fn new(policy: Policy, weights: &[NonZeroU16], order: &[EndpointId]) -> Self {
        match policy {
            Policy::RoundRobin => Self::RoundRobin(RoundRobin::new(weights, order)),
            Policy::LeastRequests => Self::LeastRequests(LeastRequests::new(weights, order)),
        }
    }

    /// All endpoints, the next ones in turn first.
    fn order(&self) -> Vec<EndpointId> {
        match self {
            Self::RoundRobin(balancer) => balancer.order().collect(),
            Self::LeastRequests(balancer) => balancer.order(),
        }
    }

    fn pick(&mut self, tried: &Tried, fits: impl FnMut(EndpointId, Tier) -> bool) -> Found {
        match self {
            Self::RoundRobin(balancer) => balancer.pick(tried, fits),
            Self::LeastRequests(balancer) => balancer.pick(tried, fits),
        }
    }
}

/// One worker's picks among the endpoints of an upstream.
pub struct Picker {
    upstream: Arc<Upstream>,
    worker: usize,
    balancer: Balancer,
    /// By endpoint, as they were assigned last.
    tiers: Box<[Tier]>,
    /// What the endpoints' changes were then, and when that was.
    seen: u64,
    assigned: Tick,
    /// When the next ejected endpoint is due for its trial.
    due: Option<Tick>,
    /// Why nothing is found where nothing is.
    none_left: NoneLeft,
}

impl Picker {
    /// `worker` is the index of the worker: each begins as if it had picked as often already, so that
    /// workers begin at different endpoints and the remainders of their rounds cancel out.
    pub fn new(upstream: Arc<Upstream>, worker: usize) -> Self {
        let order: Vec<_> = upstream.endpoints.ids().map(|(id, _)| id).collect();
        let mut picker = Self::in_order(upstream, worker, &order);
        let offset = match &picker.balancer {
            Balancer::RoundRobin(balancer) => {
                (worker as u64).checked_rem(balancer.round()).unwrap_or(0)
            }
            Balancer::LeastRequests(_) => (worker as u64) % (order.len().max(1) as u64),
        };
        for _ in 0..offset {
            picker.balancer.pick(&Tried::default(), |_, _| true);
        }
        picker
    }

    /// The same for a replaced upstream: the endpoints that stay keep their order in turn.
    #[must_use]
    pub fn succeeded_by(&self, upstream: Arc<Upstream>) -> Self {
        let ids = upstream.endpoints.ids();
        let known: HashMap<_, _> = ids.map(|(id, endpoint)| (key(endpoint), id)).collect();
        let stays = |id| known.get(&key(self.upstream.endpoint(id))).copied();
        let mut order: Vec<_> = self.balancer.order().into_iter().filter_map(stays).collect();
        let staying: HashSet<_> = order.iter().copied().collect();
        order.extend(upstream.endpoints.ids().map(|(id, _)| id).filter(|id| !staying.contains(id)));
        Self::in_order(upstream, self.worker, &order)
    }

    fn in_order(upstream: Arc<Upstream>, worker: usize, order: &[EndpointId]) -> Self {
        let weights: Vec<_> = upstream.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let mut picker = Self {
            balancer: Balancer::new(upstream.policy, &weights, order),
            tiers: vec![Tier::Down; upstream.endpoints.len()].into(),
            upstream,
            worker,
            seen: 0,
            assigned: Tick::from_millis(0),
            due: None,
            none_left: NoneLeft::AllDown,
        };
        picker.assign(Tick::from_millis(0));
        picker
    }

    /// What is chosen from.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Picks an endpoint that has not been tried: one that is healthy or due for its trial, primary ones
    /// before backups; failing these one that is ejected, since a try may succeed where a refusal
    /// cannot. Never one the active checks have found dead, or that was taken out by hand.
    pub fn pick(&mut self, pick: &Pick<'_>) -> Result<Picked, NoneLeft> {
        // Nothing to balance, and nothing else to look at: a thousand routes with an endpoint each
        // would read their turns from memory that no cache holds (7 % of CPU per request there).
        if let [only] = &**self.upstream.endpoints
            && only.admission(pick.now) == Admission::Open
            && !pick.tried.contains(EndpointId::new(0))
        {
            return Ok(Picked { endpoint: EndpointId::new(0), on_trial: false });
        }
        // Requests that came together may ask in another order.
        let now = pick.now.max(self.assigned);
        if self.is_out_of_date(now) && self.may_assign(now) {
            self.assign(now);
        }
        for _ in 0..ROUNDS_MAX {
            let mut on_trial = false;
            let upstream = &self.upstream;
            let found = self.balancer.pick(pick.tried, |id, tier| {
                let endpoint = upstream.endpoint(id);
                match (endpoint.admission(now), tier) {
                    (Admission::Open, Tier::Primary | Tier::Backup)
                    | (Admission::Ejected, Tier::Ejected) => true,
                    (Admission::TrialDue, Tier::Primary | Tier::Backup) => {
                        // Of several workers one succeeds.
                        on_trial = endpoint.health().claim_trial(now, &upstream.thresholds);
                        on_trial
                    }
                    _ => false,
                }
            });
            match found {
                Found::Endpoint(endpoint) => return Ok(Picked { endpoint, on_trial }),
                Found::Nothing if !self.is_out_of_date(now) => break,
                Found::Nothing | Found::OutOfDate => self.assign(now),
            }
        }
        Err(self.none_left)
    }

    /// Requests at an endpoint have begun or ended.
    pub fn in_flight_changed(&mut self, endpoint: EndpointId) {
        if let Balancer::LeastRequests(balancer) = &mut self.balancer {
            let counts = &self.upstream.endpoint(endpoint).record.counts[self.worker];
            balancer.set_in_flight(endpoint, counts.in_flight());
        }
    }

    fn is_out_of_date(&self, now: Tick) -> bool {
        self.upstream.endpoints.changes() != self.seen || self.due.is_some_and(|due| now >= due)
    }

    fn may_assign(&self, now: Tick) -> bool {
        let pause = self.tiers.len() as u64 / ASSIGNED_PER_MS;
        now.as_millis() >= self.assigned.as_millis() + pause
    }

    fn assign(&mut self, now: Tick) {
        // First, so that what changes meanwhile is noticed afterwards.
        self.seen = self.upstream.endpoints.changes();
        (self.assigned, self.due) = (now, None);
        let (mut by_hand, mut down) = (0, 0);
        for (endpoint, tier) in self.upstream.endpoints.iter().zip(&mut self.tiers) {
            *tier = match (endpoint.admission(now), endpoint.role) {
                (Admission::Open | Admission::TrialDue, EndpointRole::Primary) => Tier::Primary,
                (Admission::Open | Admission::TrialDue, EndpointRole::Backup) => Tier::Backup,
                (Admission::Ejected, _) => {
                    self.due = self.due.into_iter().chain(trial_at(endpoint, now)).min();
                    Tier::Ejected
                }
                (Admission::Down, _) => {
                    down += 1;
                    let is_by_hand = endpoint.record.admin_state.mode() != AdminMode::Ready;
                    by_hand += usize::from(is_by_hand);
                    Tier::Down
                }
            };
        }
        self.none_left = match self.tiers.len() {
            count if down < count => NoneLeft::AllTried,
            count if count > 0 && by_hand == count => NoneLeft::AllDrained,
            _ => NoneLeft::AllDown,
        };
        match &mut self.balancer {
            Balancer::RoundRobin(balancer) => balancer.assign(&self.tiers),
            Balancer::LeastRequests(balancer) => {
                let (upstream, worker) = (&self.upstream, self.worker);
                balancer.assign(&self.tiers, |id| {
                    upstream.endpoint(id).record.counts[worker].in_flight()
                });
            }
        }
    }
}

/// When an ejected endpoint is due for its trial.
fn trial_at(endpoint: &Endpoint, now: Tick) -> Option<Tick> {
    match endpoint.health().condition(now) {
        HealthStatus::Ejected { until, .. } | HealthStatus::Trial { until, .. } => Some(until),
        // It has changed just now, which is noticed with the next pick.
        HealthStatus::Up | HealthStatus::TrialDue | HealthStatus::Down => None,
    }
}

/// What an endpoint is known by, whatever set it is in.
fn key(endpoint: &Endpoint) -> *const EndpointRecord {
    Arc::as_ptr(&endpoint.record)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::address::Address;
    use crate::upstream::endpoint_set::EndpointSet;
    use crate::upstream::health::{CheckVerdict, FailureKind, Thresholds};

    const NOW: Tick = Tick::from_millis(1000);

    fn endpoints(weights: &[u16]) -> Vec<Endpoint> {
        let address = Address::Unix("/x".into());
        let weights = weights.iter().map(|&weight| NonZeroU16::new(weight).unwrap());
        weights.map(|weight| Endpoint::new(address.clone(), weight, 1)).collect()
    }

    fn picker(endpoints: Vec<Endpoint>, policy: Policy) -> Picker {
        let upstream = Upstream { policy, ..Upstream::sample(EndpointSet::new(endpoints)) };
        Picker::new(Arc::new(upstream), 0)
    }

    fn of(count: usize) -> Picker {
        picker(endpoints(&vec![1; count]), Policy::RoundRobin)
    }

    fn eject(picker: &Picker, index: usize, now: Tick) {
        let health = picker.upstream.endpoints[index].health();
        for _ in 0..3 {
            health.on_failure(now, now, FailureKind::Exchange, &Thresholds::default());
        }
    }

    fn pick(picker: &mut Picker, now: Tick, tried: &Tried) -> Result<Picked, NoneLeft> {
        picker.pick(&Pick { now, tried })
    }

    fn picks(picker: &mut Picker, now: Tick, times: usize) -> Vec<usize> {
        let picks = (0..times).filter_map(|_| pick(picker, now, &Tried::default()).ok());
        picks.map(|picked| picked.endpoint.index()).collect()
    }

    fn set(picker: &Picker, index: usize, mode: AdminMode) {
        picker.upstream.endpoints[index].record.admin_state.set(mode, NOW);
    }

    #[test]
    fn an_ejected_endpoint_is_skipped_and_comes_back_with_one_trial() {
        for policy in [Policy::RoundRobin, Policy::LeastRequests] {
            let mut picker = picker(endpoints(&[1, 1]), policy);
            eject(&picker, 0, NOW);
            assert_eq!(picks(&mut picker, NOW, 4), [1; 4]);
            let later = Tick::from_millis(6001);
            let trial = picks(&mut picker, later, 6);
            assert_eq!(trial.iter().filter(|index| **index == 0).count(), 1, "{policy:?}");
        }
    }

    #[test]
    fn when_all_are_ejected_requests_are_still_tried() {
        let mut picker = of(2);
        eject(&picker, 0, NOW);
        eject(&picker, 1, NOW);
        assert_eq!(picks(&mut picker, NOW, 4).len(), 4);
    }

    #[test]
    fn one_whose_trial_another_worker_has_claimed_is_used_where_there_is_no_other() {
        let mut picker = of(1);
        eject(&picker, 0, NOW);
        let due = Tick::from_millis(6001);
        let mut other = Picker::new(Arc::clone(&picker.upstream), 1);
        assert!(pick(&mut picker, due, &Tried::default()).unwrap().on_trial);
        assert!(!pick(&mut other, due, &Tried::default()).unwrap().on_trial);
        // One that had come a little earlier, and asks later.
        assert!(pick(&mut other, NOW, &Tried::default()).is_ok());
    }

    #[test]
    fn what_the_checks_found_dead_is_not_tried() {
        let mut picker = of(1);
        picker.upstream.endpoints[0].health().on_check(CheckVerdict::Down, NOW);
        assert_eq!(pick(&mut picker, NOW, &Tried::default()), Err(NoneLeft::AllDown));
        picker.upstream.endpoints[0].health().on_check(CheckVerdict::Up, NOW);
        assert_eq!(picks(&mut picker, NOW, 1), [0]);
    }

    #[test]
    fn an_empty_set_has_nobody_to_ask() {
        for policy in [Policy::RoundRobin, Policy::LeastRequests] {
            let mut picker = picker(Vec::new(), policy);
            assert_eq!(pick(&mut picker, NOW, &Tried::default()), Err(NoneLeft::AllDown));
        }
    }

    #[test]
    fn what_is_taken_out_by_hand_is_not_tried_until_it_is_ready_again() {
        for mode in [AdminMode::Drained, AdminMode::Down] {
            let mut picker = of(2);
            set(&picker, 0, mode);
            eject(&picker, 1, NOW);
            assert_eq!(picks(&mut picker, NOW, 4), [1; 4]);
            set(&picker, 1, mode);
            assert_eq!(pick(&mut picker, NOW, &Tried::default()), Err(NoneLeft::AllDrained));
            set(&picker, 0, AdminMode::Ready);
            assert_eq!(picks(&mut picker, NOW, 4), [0; 4]);
        }
    }

    #[test]
    fn a_mixture_of_dead_and_drained_endpoints_counts_as_dead() {
        let mut picker = of(2);
        set(&picker, 0, AdminMode::Drained);
        picker.upstream.endpoints[1].health().on_check(CheckVerdict::Down, NOW);
        assert_eq!(pick(&mut picker, NOW, &Tried::default()), Err(NoneLeft::AllDown));
    }

    #[test]
    fn a_backup_serves_only_while_no_primary_is_fit() {
        let mut of_two = endpoints(&[1, 1]);
        of_two[0].role = EndpointRole::Backup;
        let mut picker = picker(of_two, Policy::RoundRobin);
        assert_eq!(picks(&mut picker, NOW, 4), [1; 4]);
        eject(&picker, 1, NOW);
        assert_eq!(picks(&mut picker, NOW, 4), [0; 4]);
    }

    #[test]
    fn the_least_busy_for_its_weight_is_picked_and_ties_go_in_turn() {
        let mut picker = picker(endpoints(&[1, 3]), Policy::LeastRequests);
        let mut shares = [0; 2];
        for _ in 0..40 {
            let endpoint = pick(&mut picker, NOW, &Tried::default()).unwrap().endpoint;
            shares[endpoint.index()] += 1;
            let counts = &picker.upstream.endpoint(endpoint).record.counts[0];
            counts.begun.add(1);
            picker.in_flight_changed(endpoint);
            let counts = &picker.upstream.endpoint(endpoint).record.counts[0];
            counts.ended.add(1);
            picker.in_flight_changed(endpoint);
        }
        assert_eq!(shares, [10, 30]);
        picker.upstream.endpoints[1].record.counts[0].begun.add(1);
        picker.in_flight_changed(EndpointId::new(1));
        assert_eq!(picks(&mut picker, NOW, 4), [0; 4]);
    }

    #[test]
    fn nothing_is_tried_twice() {
        for policy in [Policy::RoundRobin, Policy::LeastRequests] {
            let mut picker = picker(endpoints(&[1, 1]), policy);
            let mut tried = Tried::default();
            for _ in 0..2 {
                let endpoint = pick(&mut picker, NOW, &tried).unwrap().endpoint;
                assert!(tried.insert(endpoint));
            }
            assert_eq!(pick(&mut picker, NOW, &tried), Err(NoneLeft::AllTried));
        }
    }

    #[test]
    fn of_many_endpoints_none_that_has_just_failed_is_picked() {
        let mut picker = of(1000);
        picks(&mut picker, NOW, 1);
        (1..500).for_each(|index| eject(&picker, index, NOW));
        let first = picks(&mut picker, NOW, 1000);
        assert!(first.iter().all(|&index| !(1..500).contains(&index)));
        let later = Tick::from_millis(NOW.as_millis() + 10);
        let second = picks(&mut picker, later, 1002);
        assert_eq!(second.iter().collect::<HashSet<_>>().len(), 501);
    }

    #[test]
    fn a_replaced_set_goes_on_with_the_next_in_turn() {
        let old = endpoints(&[1; 4]);
        let mut picker = picker(old.clone(), Policy::RoundRobin);
        assert_eq!(picks(&mut picker, NOW, 2), [0, 1]);
        let next = [&old[3..], &old[..3], &endpoints(&[1])].concat();
        let upstream = Upstream {
            endpoints: Arc::new(EndpointSet::new(next)),
            ..Upstream::clone(&picker.upstream)
        };
        let mut next = picker.succeeded_by(Arc::new(upstream));
        assert_eq!(picks(&mut next, NOW, 6), [3, 0, 1, 2, 4, 3]);
    }
}
