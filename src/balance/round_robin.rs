//! Weighted round robin: each endpoint gets exactly its weight of every full round, spread out over it.
//!
//! Endpoints of one weight take turns in a ring, so a pick among them costs the same however many they
//! are. A ring of `m` endpoints of weight `w` has `m·w` turns in each round, in the middle of as many
//! equal parts of it; a heap has the ring whose turn is next. Most upstreams have one ring; a pick costs
//! O(log n) for n different weights. Nothing here knows of health, connections or time.

use std::cmp::{Ordering, Reverse};
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};
use std::num::NonZeroU16;

use super::candidate::{Found, Passed, Tier};
use super::tried::Tried;
use crate::id::EndpointId;

/// Weighted round robin over the endpoints of an upstream.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    /// Of picks for requests that have tried nothing.
    first: Schedule,
    /// Of further attempts: these are spread over the endpoints in turn as well, and cost none of them
    /// its turn. Otherwise every endpoint that fails would be picked the more often.
    further: Schedule,
}

impl RoundRobin {
    /// Endpoints with these weights, within 1..=16 000, to take their turns in this order; none gets
    /// anything before [`RoundRobin::assign`].
    #[must_use]
    pub fn new(weights: &[NonZeroU16], order: &[EndpointId]) -> Self {
        let mut first = Schedule::default();
        let in_order = order.iter().map(|&endpoint| (endpoint, weights[endpoint.index()]));
        first.place(in_order, |_| Tier::Down);
        Self { further: first.clone(), first }
    }

    /// All endpoints, the next ones of each weight first.
    pub fn order(&self) -> impl Iterator<Item = EndpointId> {
        self.first.order()
    }

    /// Puts each endpoint in a tier with a weight, in O(n). Those that stay in theirs keep their turn;
    /// others come last in it, so that one that returns is not flooded.
    pub fn assign(&mut self, tiers: &[Tier], weights: &[NonZeroU16]) {
        for schedule in [&mut self.first, &mut self.further] {
            let order: Vec<_> = schedule.order().collect();
            let in_order = order.into_iter().map(|endpoint| (endpoint, weights[endpoint.index()]));
            schedule.place(in_order, |endpoint| tiers[endpoint.index()]);
        }
    }

    /// Goes on as if so many picks had been made already, but for whole rounds.
    pub fn skip_turns(&mut self, turns: usize) {
        for _ in 0..(turns as u64).checked_rem(self.round()).unwrap_or(0) {
            self.pick(&Tried::default(), |_, _| true);
        }
    }

    /// How many picks a full round of the first tier has.
    #[must_use]
    pub fn round(&self) -> u64 {
        let first = self.first.rings.first().map(|ring| ring.tier);
        let rings = self.first.rings.iter().filter(|ring| Some(ring.tier) == first);
        rings.map(Ring::turns).sum()
    }

    /// Takes the next endpoint in turn that has not been tried and still `fits` its tier; those passed
    /// over keep their turn.
    pub fn pick(&mut self, tried: &Tried, fits: impl FnMut(EndpointId, Tier) -> bool) -> Found {
        let schedule = if tried.is_empty() { &mut self.first } else { &mut self.further };
        schedule.pick(tried, fits)
    }
}

/// Whose turn it is.
#[derive(Clone, Debug, Default)]
struct Schedule {
    /// By tier, and the heaviest first.
    rings: Vec<Ring>,
    /// The next turn of each ring.
    turns: BinaryHeap<Reverse<Turn>>,
    /// The last turn that was taken in each tier.
    taken: [Moment; 3],
}

impl Schedule {
    /// Every endpoint, the next ones of each ring first.
    fn order(&self) -> impl Iterator<Item = EndpointId> {
        self.rings.iter().flat_map(|ring| {
            let (before, after) = ring.endpoints.split_at(ring.next);
            after.iter().chain(before).copied()
        })
    }

    fn place(
        &mut self,
        order: impl Iterator<Item = (EndpointId, NonZeroU16)>,
        tier_of: impl Fn(EndpointId) -> Tier,
    ) {
        let mut rings: Vec<Ring> = Vec::new();
        let mut places: HashMap<(Tier, NonZeroU16), usize> = HashMap::new();
        for (endpoint, weight) in order {
            let tier = tier_of(endpoint);
            let place = *places.entry((tier, weight)).or_insert_with(|| {
                rings.push(Ring { tier, weight, endpoints: Vec::new(), next: 0 });
                rings.len() - 1
            });
            rings[place].endpoints.push(endpoint);
        }
        rings.sort_by_key(|ring| (ring.tier, Reverse(ring.weight)));
        let before: HashMap<_, Moment> = (self.turns.drain())
            .map(|Reverse(turn)| (self.rings[turn.ring].key(), turn.at))
            .collect();
        for (index, ring) in rings.iter().enumerate() {
            let Some(taken) = self.taken.get(ring.tier as usize) else { continue };
            let at = before.get(&ring.key()).copied();
            let at = at.unwrap_or_else(|| taken.next_of(ring.turns()));
            self.turns.push(Reverse(Turn { tier: ring.tier, at, ring: index }));
        }
        self.rings = rings;
    }

    fn pick(&mut self, tried: &Tried, mut fits: impl FnMut(EndpointId, Tier) -> bool) -> Found {
        let (mut passed, mut used_up) = (Passed::default(), Vec::new());
        let found = loop {
            let Some(mut turn) = self.turns.peek_mut() else { break Found::Nothing };
            let ring = &mut self.rings[turn.0.ring];
            if let Some(endpoint) = ring.pick(tried, &mut fits, &mut passed) {
                self.taken[ring.tier as usize] = turn.0.at;
                turn.0.at = turn.0.at.following();
                break Found::Endpoint(endpoint);
            }
            let tier = ring.tier;
            used_up.push(PeekMut::pop(turn));
            let is_last = self.turns.peek().is_none_or(|next| next.0.tier != tier);
            if passed.is_full() || is_last && passed.any_moved() {
                break Found::OutOfDate;
            }
        };
        self.turns.extend(used_up);
        found
    }
}

/// The endpoints of one weight in one tier, in turn.
#[derive(Clone, Debug)]
struct Ring {
    tier: Tier,
    weight: NonZeroU16,
    endpoints: Vec<EndpointId>,
    /// The index of the one whose turn it is.
    next: usize,
}

impl Ring {
    /// Its turns in a full round.
    fn turns(&self) -> u64 {
        self.endpoints.len() as u64 * u64::from(self.weight.get())
    }

    /// What it is known by as long as its share stays the same.
    fn key(&self) -> (Tier, NonZeroU16, usize) {
        (self.tier, self.weight, self.endpoints.len())
    }

    fn pick(
        &mut self,
        tried: &Tried,
        fits: &mut impl FnMut(EndpointId, Tier) -> bool,
        passed: &mut Passed,
    ) -> Option<EndpointId> {
        let count = self.endpoints.len();
        let wrapped = |place: usize| if place < count { place } else { place - count };
        for ahead in 0..count {
            let endpoint = self.endpoints[wrapped(self.next + ahead)];
            if passed.takes(tried.contains(endpoint), || fits(endpoint, self.tier)) {
                // It goes before those that were passed over.
                for back in (0..ahead).rev() {
                    let (one, other) = (wrapped(self.next + back), wrapped(self.next + back + 1));
                    self.endpoints.swap(one, other);
                }
                self.next = wrapped(self.next + 1);
                return Some(endpoint);
            }
            if passed.is_full() {
                break;
            }
        }
        None
    }
}

/// When the turn of a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    tier: Tier,
    at: Moment,
    /// Its index.
    ring: usize,
}

/// A moment of the rounds: `odd / (2 · turns)` of the way through one, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    round: u64,
    /// Below `2 · turns`.
    odd: u64,
    /// Of the ring whose turn it is; below 2^42 with any number of endpoints that fits in memory.
    turns: u64,
}

impl Default for Moment {
    fn default() -> Self {
        Self { round: 0, odd: 0, turns: 1 }
    }
}

impl Moment {
    /// The next turn of the same ring.
    fn following(self) -> Self {
        let odd = self.odd + 2;
        if odd < 2 * self.turns {
            Self { odd, ..self }
        } else {
            Self { round: self.round + 1, odd: 1, ..self }
        }
    }

    /// The first turn after this moment of a ring with so many.
    fn next_of(self, turns: u64) -> Self {
        let place = u128::from(self.odd) * u128::from(turns) / u128::from(self.turns);
        // The smallest odd number above it.
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        let odd = place + 1 + place % 2;
        if odd < 2 * turns {
            Self { round: self.round, odd, turns }
        } else {
            Self { round: self.round + 1, odd: 1, turns }
        }
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        let part = |one: &Self, other: &Self| u128::from(one.odd) * u128::from(other.turns);
        // At the same moment the heavier ring goes first.
        self.round
            .cmp(&other.round)
            .then_with(|| part(self, other).cmp(&part(other, self)))
            .then_with(|| other.turns.cmp(&self.turns))
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_robin(weights: &[u16], offset: usize) -> RoundRobin {
        let all: Vec<_> = (0..weights.len()).map(EndpointId::new).collect();
        let weights: Vec<_> =
            weights.iter().map(|&weight| NonZeroU16::new(weight).unwrap()).collect();
        let mut balancer = RoundRobin::new(&weights, &all);
        balancer.assign(&vec![Tier::Primary; all.len()], &weights);
        picks(&mut balancer, offset);
        balancer
    }

    fn assign(balancer: &mut RoundRobin, weights: &[u16], tiers: &[Tier]) {
        let weights: Vec<_> =
            weights.iter().map(|&weight| NonZeroU16::new(weight).unwrap()).collect();
        balancer.assign(tiers, &weights);
    }

    fn picks(balancer: &mut RoundRobin, count: usize) -> Vec<usize> {
        (0..count).map(|_| index(balancer.pick(&Tried::default(), |_, _| true)).unwrap()).collect()
    }

    /// A further attempt after these.
    fn retry(balancer: &mut RoundRobin, tried: &[usize]) -> Option<usize> {
        let mut all = Tried::default();
        assert!(tried.iter().all(|&index| all.insert(EndpointId::new(index))));
        index(balancer.pick(&all, |_, _| true))
    }

    fn index(found: Found) -> Option<usize> {
        match found {
            Found::Endpoint(endpoint) => Some(endpoint.index()),
            Found::Nothing | Found::OutOfDate => None,
        }
    }

    fn counts(picks: &[usize], endpoints: usize) -> Vec<usize> {
        let mut counts = vec![0; endpoints];
        for &index in picks {
            counts[index] += 1;
        }
        counts
    }

    #[test]
    fn heavy_endpoints_are_spread_out() {
        let rows: [(&[u16], &[usize]); 3] = [
            (&[5, 1, 1], &[0, 1, 0, 0, 0, 2, 0]),
            (&[4, 1, 1, 1, 1], &[0, 1, 0, 2, 0, 3, 0, 4]),
            (&[1, 2, 3], &[2, 1, 2, 0, 1, 2]),
        ];
        for (weights, expected) in rows {
            assert_eq!(picks(&mut round_robin(weights, 0), expected.len()), expected);
        }
    }

    #[test]
    fn every_run_of_full_rounds_gives_exact_shares() {
        let tables: [&[u16]; 6] =
            [&[1], &[1, 1, 1], &[5, 1, 1], &[3, 7, 2, 8], &[1000, 1, 999], &[2, 2, 3, 3, 3, 9]];
        for weights in tables {
            let round: usize = weights.iter().map(|&weight| usize::from(weight)).sum();
            for offset in [0, 1, 2, round - 1, round, 3 * round + 1] {
                let picks = picks(&mut round_robin(weights, offset), 3 * round);
                let shares: Vec<_> = weights.iter().map(|&w| 3 * usize::from(w)).collect();
                assert_eq!(counts(&picks, weights.len()), shares, "{weights:?} {offset}");
            }
        }
    }

    #[test]
    fn an_endpoint_is_never_far_from_its_share() {
        let tables: [&[u16]; 4] = [&[10, 1, 1, 1], &[100, 50, 25, 1], &[3, 7, 2, 8], &[1, 2, 3, 4]];
        for weights in tables {
            let total: usize = weights.iter().map(|&weight| usize::from(weight)).sum();
            let sequence = picks(&mut round_robin(weights, 0), 2 * total);
            for (index, &weight) in weights.iter().enumerate() {
                let mut count = 0;
                for (done, &picked) in (1..).zip(&sequence) {
                    count += usize::from(picked == index);
                    let (is, due) = (count * total, done * usize::from(weight));
                    assert!(is.abs_diff(due) <= 2 * total, "{weights:?}: {index} at {done}");
                }
            }
        }
    }

    #[test]
    fn equal_weights_differ_by_at_most_one_in_any_window() {
        for weight in [1, 7] {
            let picks = picks(&mut round_robin(&[weight; 5], 3), 40);
            for length in 1..20 {
                for window in picks.windows(length) {
                    let counts = counts(window, 5);
                    let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
                    assert!(spread <= 1, "{window:?}");
                }
            }
        }
    }

    #[test]
    fn one_pick_on_each_worker_adds_up_to_a_round() {
        let weights = [4, 2, 1];
        let first: Vec<_> =
            (0..7).map(|worker| picks(&mut round_robin(&weights, worker), 1)[0]).collect();
        assert_eq!(counts(&first, 3), [4, 2, 1]);
    }

    #[test]
    fn the_share_of_an_endpoint_that_is_out_is_spread_evenly() {
        let mut balancer = round_robin(&[1; 4], 0);
        let out = [Tier::Primary, Tier::Primary, Tier::Down, Tier::Primary];
        assign(&mut balancer, &[1; 4], &out);
        assert_eq!(counts(&picks(&mut balancer, 30), 4), [10, 10, 0, 10]);
    }

    #[test]
    fn one_that_returns_is_not_flooded() {
        for weights in [[1, 1, 1], [5, 1, 3]] {
            let mut balancer = round_robin(&weights, 0);
            let out = [Tier::Primary, Tier::Primary, Tier::Down];
            assign(&mut balancer, &weights, &out);
            picks(&mut balancer, 1000);
            assign(&mut balancer, &weights, &[Tier::Primary; 3]);
            let round = weights.iter().map(|&weight| usize::from(weight)).sum();
            let share = counts(&picks(&mut balancer, round), 3)[2];
            assert!(share.abs_diff(weights[2].into()) <= 1, "{share}");
        }
    }

    #[test]
    fn those_passed_over_keep_their_turn() {
        let mut balancer = round_robin(&[1; 5], 0);
        let found = balancer.pick(&Tried::default(), |endpoint, _| endpoint.index() > 1);
        assert_eq!(index(found), Some(2));
        assert_eq!(picks(&mut balancer, 9), [0, 1, 3, 4, 2, 0, 1, 3, 4]);
    }

    #[test]
    fn retries_are_spread_and_cost_nobody_a_turn() {
        let mut balancer = round_robin(&[1; 3], 0);
        let (mut firsts, mut retries) = (vec![], vec![]);
        for _ in 0..6 {
            let first = picks(&mut balancer, 1)[0];
            firsts.push(first);
            if first == 0 {
                retries.extend(retry(&mut balancer, &[0]));
            }
        }
        assert_eq!((firsts, retries), (vec![0, 1, 2, 0, 1, 2], vec![1, 2]));
    }

    #[test]
    fn a_later_tier_is_asked_only_when_the_earlier_ones_are_used_up() {
        let mut balancer = round_robin(&[1; 3], 0);
        assign(&mut balancer, &[1; 3], &[Tier::Ejected, Tier::Backup, Tier::Primary]);
        assert_eq!(picks(&mut balancer, 3), [2, 2, 2]);
        assert_eq!(retry(&mut balancer, &[2]), Some(1));
        assert_eq!(retry(&mut balancer, &[1, 2]), Some(0));
        assert_eq!(retry(&mut balancer, &[0, 1, 2]), None);
    }

    #[test]
    fn tiers_are_out_of_date_when_a_candidate_has_moved_and_no_other_is_left() {
        let mut balancer = round_robin(&[1; 3], 0);
        assign(&mut balancer, &[1; 3], &[Tier::Primary, Tier::Primary, Tier::Backup]);
        let without = |balancer: &mut RoundRobin, out: usize| {
            balancer.pick(&Tried::default(), |endpoint, _| endpoint.index() >= out)
        };
        assert_eq!(index(without(&mut balancer, 1)), Some(1));
        assert_eq!(without(&mut balancer, 2), Found::OutOfDate);
        assert_eq!(without(&mut round_robin(&[1; 100], 0), 16), Found::OutOfDate);
    }

    #[test]
    fn shares_follow_weights_that_change_and_nobody_loses_turns() {
        let mut balancer = round_robin(&[1; 4], 0);
        let mut counts = vec![0; 4];
        for part in 1..=16 {
            assign(&mut balancer, &[16, 16, 16, part], &[Tier::Primary; 4]);
            for index in picks(&mut balancer, 48 + usize::from(part)) {
                counts[index] += 1;
            }
        }
        let due = [256_usize, 256, 256, 136];
        assert!(counts.iter().zip(due).all(|(is, due)| due.abs_diff(*is) <= 16), "{counts:?}");
    }
}
