//! Which endpoint a hashed key belongs to.
//!
//! The keys fall into 65 536 slots. Each endpoint throws darts at the slots, at a pace in proportion to its
//! weight, and a slot belongs to the endpoint whose dart was the first. Where and when its darts land depends
//! on nothing but its identity and its weight, so an endpoint that comes or goes moves the slots that
//! it takes or leaves and no other ones; a ring whose number of points has a ceiling would move others too. A look-up is
//! one load, however many endpoints there are.

use std::num::NonZeroU16;

use crate::hash::{mix, nth};
use crate::id::EndpointId;

/// The number of slots: shares are exact to 1 % with six endpoints, to 4 % with a hundred.
pub const SLOTS: usize = 1 << 16;

/// The darts that are thrown at first: after these, some 22 slots are still free.
const DARTS: u128 = 8 * SLOTS as u128;

/// The owners of all slots; the same whatever the order of the endpoints, in any process and on any machine.
#[derive(Debug)]
pub struct Slots {
    /// By slot.
    owners: Box<[u32]>,
    /// What they follow from.
    throwers: Vec<Thrower>,
}

/// An endpoint, as far as its slots depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thrower {
    /// The hash of what it is known by.
    pub identity: u64,
    /// Its weight.
    pub weight: NonZeroU16,
}

impl Slots {
    /// Of the endpoints with the ids from 0 on.
    #[must_use]
    pub fn new(throwers: Vec<Thrower>) -> Self {
        let mut board = Board::new();
        let mut thrown = vec![0; throwers.len()];
        let total: u128 = throwers.iter().map(|thrower| u128::from(thrower.weight.get())).sum();
        let mut darts = DARTS;
        while !throwers.is_empty() && board.free > 0 {
            // A dart of an endpoint of weight 1 every 2^32.
            let until = u64::try_from((darts << 32) / total).unwrap_or(u64::MAX);
            for (index, thrower) in (0..).zip(&throwers) {
                thrown[index as usize] =
                    thrower.throw(thrown[index as usize], until, |dart| board.take(index, dart));
            }
            darts += DARTS / 4;
        }
        let owners = if throwers.is_empty() { Box::default() } else { board.owners };
        Self { owners, throwers }
    }

    /// The owner of a slot; nobody if there are no endpoints.
    #[must_use]
    pub fn owner(&self, slot: usize) -> Option<EndpointId> {
        self.owners.get(slot % SLOTS).map(|&index| EndpointId::new(index as usize))
    }

    /// The owner of a key, and where to go on if it is out: one after the other, for each key in an order of
    /// its own, so that the keys of one that is out are spread over all others by weight.
    pub fn walk(&self, key: u64) -> impl Iterator<Item = EndpointId> {
        let key = mix(key);
        let [first, second] =
            [key >> 48, key & 0xffff | 1].map(|part| usize::try_from(part).unwrap_or(0));
        // An odd step comes to every slot.
        (0..SLOTS).map_while(move |step| self.owner(first + step * second))
    }

    /// Whether these endpoints have the same slots.
    #[must_use]
    pub fn are_of(&self, throwers: &[Thrower]) -> bool {
        self.throwers == throwers
    }
}

/// A dart: when it is thrown, and what decides between two at the same time; and where it lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Dart {
    at: u64,
    identity: u64,
    slot: usize,
}

impl Thrower {
    /// Throws darts from the one of this number on, up to this time; the number of the next one.
    fn throw(&self, first: u64, until: u64, mut land: impl FnMut(Dart)) -> u64 {
        let weight = u64::from(self.weight.get());
        for number in first.. {
            let random = nth(self.identity, number);
            let within = random & 0xffff_ffff;
            // The first one flies before any other endpoint's second, so that hardly any has no slot.
            let at = if number == 0 { within >> 10 } else { (number << 32 | within) / weight };
            if at > until {
                return number;
            }
            let slot = usize::try_from(random >> 48).unwrap_or(0);
            land(Dart { at, identity: self.identity, slot });
        }
        first
    }
}

/// The slots while darts are thrown.
struct Board {
    owners: Box<[u32]>,
    /// The dart that is the first so far.
    darts: Box<[(u64, u64)]>,
    free: usize,
}

impl Board {
    const FREE: (u64, u64) = (u64::MAX, u64::MAX);

    fn new() -> Self {
        Self { owners: vec![0; SLOTS].into(), darts: vec![Self::FREE; SLOTS].into(), free: SLOTS }
    }

    fn take(&mut self, index: u32, dart: Dart) {
        let first = &mut self.darts[dart.slot];
        if (dart.at, dart.identity) < *first {
            self.free -= usize::from(*first == Self::FREE);
            *first = (dart.at, dart.identity);
            self.owners[dart.slot] = index;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;

    fn throwers(weights: &[u16]) -> Vec<Thrower> {
        let thrower = |(index, &weight)| Thrower {
            identity: hash(format!("192.0.2.{index}:80").as_bytes()),
            weight: NonZeroU16::new(weight).unwrap(),
        };
        weights.iter().enumerate().map(thrower).collect()
    }

    fn counts(slots: &Slots, count: usize) -> Vec<usize> {
        let mut counts = vec![0; count];
        (0..SLOTS)
            .filter_map(|slot| slots.owner(slot))
            .for_each(|owner| counts[owner.index()] += 1);
        counts
    }

    #[test]
    fn slots_follow_the_weights() {
        let tables: [&[u16]; 5] = [&[1], &[1, 3], &[7; 10], &[1000, 1, 999], &[1; 300]];
        for weights in tables {
            let total: usize = weights.iter().map(|&weight| usize::from(weight)).sum();
            let counts = counts(&Slots::new(throwers(weights)), weights.len());
            assert_eq!(counts.iter().sum::<usize>(), SLOTS);
            for (&count, &weight) in counts.iter().zip(weights) {
                let due = SLOTS * usize::from(weight) / total;
                assert!(count.abs_diff(due) <= 4 * due.isqrt() + 2, "{count} of {due}");
                assert!(count > 0);
            }
        }
    }

    #[test]
    fn one_that_goes_or_comes_moves_its_slots_and_no_others() {
        for weights in [&[1; 10][..], &[3, 1, 1000, 7, 20, 1, 1, 9, 9, 50], &[1; 65]] {
            let all = throwers(weights);
            let before = Slots::new(all.clone());
            for out in [0, 2, 9] {
                let mut rest = all.clone();
                rest.remove(out);
                let after = Slots::new(rest);
                for slot in 0..SLOTS {
                    let (was, is) = (before.owner(slot).unwrap(), after.owner(slot).unwrap());
                    let is = is.index() + usize::from(is.index() >= out);
                    assert!(was.index() == out || was.index() == is, "slot {slot} has moved");
                }
            }
        }
    }

    #[test]
    fn the_order_of_the_endpoints_does_not_matter() {
        let all = throwers(&[1, 5, 2, 2, 9]);
        let turned: Vec<_> = [3, 0, 4, 1, 2].map(|index: usize| all[index]).into();
        let (one, other) = (Slots::new(all), Slots::new(turned));
        let places = [1, 3, 4, 0, 2];
        for slot in 0..SLOTS {
            let owner = one.owner(slot).unwrap().index();
            assert_eq!(other.owner(slot).unwrap().index(), places[owner]);
        }
    }

    /// What every release has to agree with: clients would lose their endpoints at an upgrade.
    #[test]
    fn keys_never_move_by_accident() {
        let slots = Slots::new(throwers(&[1, 1, 2, 4]));
        let owners: Vec<_> = (0..32)
            .map(|number: u32| slots.walk(hash(&number.to_be_bytes())).next().unwrap().index())
            .collect();
        let known = [
            0, 3, 3, 2, 3, 0, 3, 3, 2, 1, 3, 3, 3, 3, 3, 3, //
            2, 1, 2, 2, 3, 0, 0, 3, 2, 0, 3, 3, 1, 2, 3, 3,
        ];
        assert_eq!(owners, known);
    }

    #[test]
    fn a_walk_comes_to_all() {
        let slots = Slots::new(throwers(&[1; 50]));
        let mut seen = [false; 50];
        slots.walk(7).take(1000).for_each(|owner| seen[owner.index()] = true);
        assert_eq!(seen, [true; 50]);
        assert_eq!(Slots::new(Vec::new()).walk(7).next(), None);
    }
}
