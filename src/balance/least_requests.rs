//! The endpoint with the fewest requests in flight for its weight; where several have, in turn by weight.
//!
//! A tournament tree over the endpoints holds the winner of each pair, so a pick is a look at its root
//! and a request that begins or ends costs O(log n).

use std::num::NonZeroU16;

use super::candidate::{Found, Passed, Tier};
use super::tried::Tried;
use crate::id::EndpointId;

/// What a turn costs an endpoint of weight 1. It can be divided by every weight up to 16, and by the
/// round ones above; others are off by a hundred-thousandth.
const TURN: u64 = 720_720_000;

/// So much a request in flight weighs: off by a millionth at most.
const LOAD: u64 = 16_000_000_000;

/// How many winners one pick brings up to date at most.
const REFRESHED_MAX: usize = 16;

/// Least requests over the endpoints of an upstream.
#[derive(Clone, Debug)]
pub struct LeastRequests {
    endpoints: Box<[Contender]>,
    /// The winners: that of all at 1, those of its halves at 2 and 3, and so on; the endpoints
    /// themselves follow from `endpoints.len()` on.
    winners: Box<[u32]>,
    /// The turn of the last pick.
    now: u64,
    /// The endpoint whose requests in flight are looked at next.
    looked: usize,
}

/// An endpoint, compared by its fields in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Contender {
    tier: Tier,
    /// Its requests in flight, for its weight.
    load: u64,
    /// When it is its turn, as far as there is nothing else to choose by.
    turn: u64,
    index: u32,
    weight: NonZeroU16,
}

impl LeastRequests {
    /// Endpoints with these weights, to take their first turns in this order; none gets anything
    /// before [`LeastRequests::assign`].
    #[must_use]
    pub fn new(weights: &[NonZeroU16], order: &[EndpointId]) -> Self {
        let contender = |(index, &weight): (u32, &NonZeroU16)| Contender {
            tier: Tier::Down,
            load: 0,
            turn: 0,
            index,
            weight,
        };
        let mut endpoints: Box<[_]> = (0..).zip(weights).map(contender).collect();
        let count = order.len().max(1) as u64;
        for (place, endpoint) in (0..).zip(order) {
            let contender = &mut endpoints[endpoint.index()];
            contender.turn = cost(contender.weight) / count * place;
        }
        Self { winners: vec![0; 2 * endpoints.len()].into(), endpoints, now: 0, looked: 0 }
    }

    /// All endpoints, those first whose turn is first.
    #[must_use]
    pub fn order(&self) -> Vec<EndpointId> {
        let mut order: Vec<_> = self.endpoints.iter().collect();
        order.sort_by_key(|contender| contender.turn);
        order.iter().map(|contender| EndpointId::new(contender.index as usize)).collect()
    }

    /// Puts each endpoint in a tier with a weight and its requests in flight; in O(n).
    pub fn assign(
        &mut self,
        tiers: &[Tier],
        weights: &[NonZeroU16],
        in_flight: impl Fn(EndpointId) -> u64,
    ) {
        // Long before it would overflow.
        let passed = if self.now > u64::MAX / 2 { self.now } else { 0 };
        let before = self.now;
        self.now -= passed;
        for ((contender, &tier), &weight) in self.endpoints.iter_mut().zip(tiers).zip(weights) {
            // With another weight turns follow each other faster or more slowly.
            let ahead = u128::from(contender.turn.saturating_sub(before));
            let ahead = ahead * u128::from(contender.weight.get()) / u128::from(weight.get());
            contender.turn = self.now.saturating_add(u64::try_from(ahead).unwrap_or(0));
            (contender.tier, contender.weight) = (tier, weight);
            let endpoint = EndpointId::new(contender.index as usize);
            contender.load = load(in_flight(endpoint), contender.weight);
        }
        let count = self.endpoints.len();
        for (node, contender) in self.winners[count..].iter_mut().zip(&self.endpoints) {
            *node = contender.index;
        }
        (1..count).rev().for_each(|node| self.decide(node));
    }

    /// An endpoint has so many requests in flight now.
    pub fn set_in_flight(&mut self, endpoint: EndpointId, in_flight: u64) {
        self.look_at(endpoint.index(), |_| in_flight);
    }

    /// Takes the least busy endpoint that has not been tried and still `fits` its tier. `in_flight` tells the
    /// requests of an endpoint, those of other workers too: these are looked at for those that would be
    /// picked, and for one more each time, so that nothing stays out of date.
    pub fn pick(
        &mut self,
        tried: &Tried,
        in_flight: impl Fn(EndpointId) -> u64,
        mut fits: impl FnMut(EndpointId, Tier) -> bool,
    ) -> Found {
        self.refresh(&in_flight);
        let (mut passed, mut out) = (Passed::default(), Vec::new());
        let mut first = None;
        let found = loop {
            // One endpoint has no one to win against: it is the root.
            let Some(&index) = self.winners.get(1) else { break Found::Nothing };
            let winner = self.endpoints[index as usize];
            if winner.tier == Tier::Down {
                break if passed.any_moved() { Found::OutOfDate } else { Found::Nothing };
            }
            if *first.get_or_insert(winner.tier) != winner.tier && passed.any_moved() {
                break Found::OutOfDate;
            }
            let endpoint = EndpointId::new(index as usize);
            if passed.takes(tried.contains(endpoint), || fits(endpoint, winner.tier)) {
                // One that was busy for long has no claim to the turns that it has missed.
                self.now = self.now.max(winner.turn);
                self.endpoints[endpoint.index()].turn = self.now + cost(winner.weight);
                self.decide_again(endpoint.index());
                break Found::Endpoint(endpoint);
            }
            if passed.is_full() {
                break Found::OutOfDate;
            }
            out.push(winner);
            self.endpoints[endpoint.index()].tier = Tier::Down;
            self.decide_again(endpoint.index());
        };
        for contender in out {
            self.endpoints[contender.index as usize] = contender;
            self.decide_again(contender.index as usize);
        }
        found
    }

    /// Looks at the winner until it is one that needs no change, and at the next of all.
    fn refresh(&mut self, in_flight: impl Fn(EndpointId) -> u64) {
        self.looked = if self.looked + 1 < self.endpoints.len() { self.looked + 1 } else { 0 };
        if self.endpoints.get(self.looked).is_some() {
            self.look_at(self.looked, &in_flight);
        }
        for _ in 0..REFRESHED_MAX {
            let Some(&index) = self.winners.get(1) else { return };
            if !self.look_at(index as usize, &in_flight) {
                return;
            }
        }
    }

    /// Brings the requests in flight of an endpoint up to date; whether they had changed.
    fn look_at(&mut self, index: usize, in_flight: impl Fn(EndpointId) -> u64) -> bool {
        let contender = &mut self.endpoints[index];
        let now = load(in_flight(EndpointId::new(index)), contender.weight);
        let has_changed = contender.load != now;
        if has_changed {
            contender.load = now;
            self.decide_again(index);
        }
        has_changed
    }

    /// Has an endpoint compete again all the way up.
    fn decide_again(&mut self, index: usize) {
        let mut node = usize::midpoint(self.endpoints.len(), index);
        while node > 0 {
            self.decide(node);
            node /= 2;
        }
    }

    fn decide(&mut self, node: usize) {
        let (one, other) = (self.winners[2 * node], self.winners[2 * node + 1]);
        let first = self.endpoints[one as usize] <= self.endpoints[other as usize];
        self.winners[node] = if first { one } else { other };
    }
}

fn cost(weight: NonZeroU16) -> u64 {
    TURN / u64::from(weight.get())
}

fn load(in_flight: u64, weight: NonZeroU16) -> u64 {
    in_flight.saturating_mul(LOAD) / u64::from(weight.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least_requests(weights: &[u16]) -> LeastRequests {
        let weights: Vec<_> =
            weights.iter().map(|&weight| NonZeroU16::new(weight).unwrap()).collect();
        let order: Vec<_> = (0..weights.len()).map(EndpointId::new).collect();
        let mut balancer = LeastRequests::new(&weights, &order);
        balancer.assign(&vec![Tier::Primary; weights.len()], &weights, |_| 0);
        balancer
    }

    fn pick(balancer: &mut LeastRequests, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let mut tried = Tried::default();
        for index in (0..balancer.endpoints.len()).filter(|&index| !wanted(index)) {
            tried.insert(EndpointId::new(index));
        }
        let known = balancer.endpoints.clone();
        let in_flight = |endpoint: EndpointId| {
            let Contender { load, weight, .. } = known[endpoint.index()];
            (load * u64::from(weight.get())).div_ceil(LOAD)
        };
        match balancer.pick(&tried, in_flight, |_, _| true) {
            Found::Endpoint(endpoint) => Some(endpoint.index()),
            Found::Nothing | Found::OutOfDate => None,
        }
    }

    fn shares(balancer: &mut LeastRequests, count: usize) -> Vec<usize> {
        let mut shares = vec![0; balancer.endpoints.len()];
        for _ in 0..count {
            shares[pick(balancer, |_| true).unwrap()] += 1;
        }
        shares
    }

    #[test]
    fn at_rest_endpoints_take_turns_by_weight() {
        let tables: [&[u16]; 5] = [&[1], &[1, 3], &[1, 1, 1], &[5, 1, 3], &[1000, 500, 1]];
        for weights in tables {
            let round: usize = weights.iter().map(|&weight| usize::from(weight)).sum();
            let due: Vec<_> = weights.iter().map(|&weight| usize::from(weight) * 3).collect();
            assert_eq!(shares(&mut least_requests(weights), round * 3), due);
        }
    }

    #[test]
    fn the_least_busy_for_its_weight_is_picked() {
        let mut balancer = least_requests(&[1, 1, 4]);
        let mut in_flight = [0; 3];
        for _ in 0..12 {
            let picked = pick(&mut balancer, |_| true).unwrap();
            in_flight[picked] += 1;
            balancer.set_in_flight(EndpointId::new(picked), in_flight[picked]);
        }
        assert_eq!(in_flight, [2, 2, 8]);
        balancer.set_in_flight(EndpointId::new(1), 0);
        assert_eq!(pick(&mut balancer, |_| true), Some(1));
    }

    #[test]
    fn one_that_was_busy_for_long_is_not_flooded() {
        let mut balancer = least_requests(&[1, 1]);
        balancer.set_in_flight(EndpointId::new(0), 5);
        assert_eq!(shares(&mut balancer, 1000), [0, 1000]);
        balancer.set_in_flight(EndpointId::new(0), 0);
        let shares = shares(&mut balancer, 10);
        assert!(shares[0] <= 6, "{shares:?}");
    }

    #[test]
    fn tiers_go_before_loads_and_what_was_tried_is_passed_over() {
        let mut balancer = least_requests(&[1; 5]);
        let tiers = [Tier::Down, Tier::Ejected, Tier::Backup, Tier::Primary, Tier::Primary];
        let weights = [NonZeroU16::MIN; 5];
        balancer.assign(&tiers, &weights, |endpoint| if endpoint.index() > 2 { 9 } else { 0 });
        for (least, expected) in [(3, Some(3)), (4, Some(4)), (5, None)] {
            assert_eq!(pick(&mut balancer, |index| index >= least), expected);
        }
        assert_eq!(pick(&mut balancer, |index| index < 3), Some(2));
        assert_eq!(pick(&mut balancer, |index| index < 2), Some(1));
        assert_eq!(pick(&mut balancer, |index| index < 1), None);
        assert!(pick(&mut balancer, |_| true).is_some_and(|index| index > 2));
    }

    #[test]
    fn what_other_workers_have_in_flight_counts() {
        let mut balancer = least_requests(&[1; 4]);
        let mut in_flight = [0, 0, 5, 0];
        let mut picks = |in_flight: &[u64; 4], count| -> Vec<usize> {
            let pick = |_| match balancer.pick(
                &Tried::default(),
                |endpoint| in_flight[endpoint.index()],
                |_, _| true,
            ) {
                Found::Endpoint(endpoint) => endpoint.index(),
                Found::Nothing | Found::OutOfDate => usize::MAX,
            };
            (0..count).map(pick).collect()
        };
        assert!(!picks(&in_flight, 40).contains(&2));
        in_flight = [3, 3, 0, 3];
        // That it has become idle is seen within a round.
        assert_eq!(picks(&in_flight, 8)[4..], [2; 4]);
    }

    #[test]
    fn shares_follow_weights_that_change_and_nobody_loses_turns() {
        let mut balancer = least_requests(&[1; 4]);
        let mut counts = [0; 4];
        for part in 1..=16 {
            let weights = [16, 16, 16, part].map(|weight| NonZeroU16::new(weight).unwrap());
            balancer.assign(&[Tier::Primary; 4], &weights, |_| 0);
            for _ in 0..48 + part {
                counts[pick(&mut balancer, |_| true).unwrap()] += 1;
            }
        }
        let due = [256_usize, 256, 256, 136];
        assert!(counts.iter().zip(due).all(|(is, due)| due.abs_diff(*is) <= 16), "{counts:?}");
    }

    /// The tree agrees with a look at every endpoint, through any requests.
    #[test]
    fn the_winner_is_the_least_of_all() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 20) % below
        };
        for count in 1..40 {
            let weights: Vec<u16> =
                (0..count).map(|_| u16::try_from(random(5) + 1).unwrap()).collect();
            let mut balancer = least_requests(&weights);
            for _ in 0..200 {
                let touched = usize::try_from(random(count)).unwrap();
                balancer.set_in_flight(EndpointId::new(touched), random(6));
                let least = balancer.endpoints.iter().min().map(|least| least.index as usize);
                assert_eq!(pick(&mut balancer, |_| true), least);
            }
        }
    }
}
