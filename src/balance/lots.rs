//! Draws an endpoint by chance, each as often as its weight says.

use std::num::NonZeroU16;

use super::candidate::{Found, Passed, Tier};
use super::tried::Tried;
use crate::hash::{below, mix, nth};
use crate::id::EndpointId;

/// The endpoints of an upstream, to be drawn by weight: a draw costs the same for four of them as for ten
/// thousand.
#[derive(Clone, Debug, Default)]
pub(super) struct Lots {
    /// By tier, but [`Tier::Down`], which nothing is drawn from.
    tiers: [Lot; 3],
}

/// The endpoints of one tier.
#[derive(Clone, Debug, Default)]
struct Lot {
    /// In the order of their ids.
    endpoints: Vec<EndpointId>,
    /// The weight of each and of all before it.
    ends: Vec<u64>,
    /// Where to look first: the whole weight is cut into as many equal parts as there are endpoints, and of
    /// each part this is the place of the endpoint that its beginning belongs to.
    guide: Vec<u32>,
}

/// Endpoints that are not to be drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Barred {
    endpoints: [EndpointId; Self::MAX],
    len: usize,
}

impl Barred {
    /// All that one request can have tried, those that one pick may pass over, and one more.
    const MAX: usize = 32;

    pub(super) fn of(tried: &Tried) -> Self {
        let mut barred = Self { endpoints: [EndpointId::default(); Self::MAX], len: 0 };
        tried.iter().for_each(|&endpoint| barred.add(endpoint));
        barred
    }

    pub(super) fn contains(&self, endpoint: EndpointId) -> bool {
        self.endpoints[..self.len].contains(&endpoint)
    }

    /// Bars another one, if there is room.
    pub(super) fn add(&mut self, endpoint: EndpointId) {
        if let Some(place) = self.endpoints.get_mut(self.len) {
            *place = endpoint;
            self.len += 1;
        }
    }

    /// The same with another one.
    #[must_use]
    pub(super) fn with(mut self, endpoint: EndpointId) -> Self {
        self.add(endpoint);
        self
    }
}

impl Lots {
    /// Puts each endpoint in a tier with a weight, in O(n).
    pub(super) fn assign(&mut self, tiers: &[Tier], weights: &[NonZeroU16]) {
        for lot in &mut self.tiers {
            lot.endpoints.clear();
            lot.ends.clear();
        }
        for ((id, &tier), &weight) in (0..).map(EndpointId::new).zip(tiers).zip(weights) {
            if let Some(lot) = self.tiers.get_mut(tier as usize) {
                lot.endpoints.push(id);
                lot.ends.push(lot.total() + u64::from(weight.get()));
            }
        }
        self.tiers.iter_mut().for_each(Lot::guide);
    }

    /// The weight of a tier.
    pub(super) fn total(&self, tier: Tier) -> u64 {
        self.tiers.get(tier as usize).map_or(0, Lot::total)
    }

    /// One of a tier, by weight among those that are not barred.
    pub(super) fn draw(&self, tier: Tier, random: u64, barred: &Barred) -> Option<EndpointId> {
        let lot = self.tiers.get(tier as usize)?;
        let drawn = lot.draw(random)?;
        // Shares come out as if the barred ones had not been there at first either.
        if barred.contains(drawn) { lot.draw_without(mix(random), barred) } else { Some(drawn) }
    }

    /// Two different ones of a tier, in the order in which they are drawn.
    pub(super) fn draw_two(
        &self,
        tier: Tier,
        random: u64,
        barred: &Barred,
    ) -> Option<(EndpointId, Option<EndpointId>)> {
        let first = self.draw(tier, random, barred)?;
        let random = nth(random, 0);
        let other = self.draw(tier, random, barred).filter(|&other| other != first);
        Some((first, other.or_else(|| self.draw(tier, mix(random), &barred.with(first)))))
    }
}

/// Takes what `choose` says among those of the first tier that is left: it is given the tier, a number
/// by chance and whom it may not choose. What it has chosen is passed over unless it still `fits`.
pub(super) fn pick(
    random: u64,
    tried: &Tried,
    mut choose: impl FnMut(Tier, u64, &Barred) -> Option<EndpointId>,
    mut fits: impl FnMut(EndpointId, Tier) -> bool,
) -> Found {
    let (mut passed, mut barred) = (Passed::default(), Barred::of(tried));
    let mut draws = (0..).map(|place| nth(random, place));
    for tier in Tier::SERVING {
        while let Some(endpoint) = draws.next().and_then(|random| choose(tier, random, &barred)) {
            if passed.takes(false, || fits(endpoint, tier)) {
                return Found::Endpoint(endpoint);
            }
            barred.add(endpoint);
            if passed.is_full() {
                return Found::OutOfDate;
            }
        }
        if passed.any_moved() {
            return Found::OutOfDate;
        }
    }
    Found::Nothing
}

impl Lot {
    fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Where the weight of the one at `place` begins.
    fn start(&self, place: usize) -> u64 {
        place.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    fn guide(&mut self) {
        let (count, total) = (self.endpoints.len() as u64, self.total());
        self.guide.clear();
        let mut place = 0;
        for part in 0..count {
            while u128::from(self.ends[place as usize]) * u128::from(count)
                <= u128::from(part) * u128::from(total)
            {
                place += 1;
            }
            self.guide.push(place);
        }
    }

    fn draw(&self, random: u64) -> Option<EndpointId> {
        let at = below(random, self.total());
        // The part of the guide that it is in, or the one after that.
        let part = usize::try_from(below(random, self.guide.len() as u64)).unwrap_or(0);
        let mut place = *self.guide.get(part)? as usize;
        while self.start(place) > at {
            place -= 1;
        }
        while self.ends[place] <= at {
            place += 1;
        }
        Some(self.endpoints[place])
    }

    /// The same by a binary search, which the barred ones are left out of.
    fn draw_without(&self, random: u64, barred: &Barred) -> Option<EndpointId> {
        let mut places = [0; Barred::MAX];
        let mut len = 0;
        for endpoint in &barred.endpoints[..barred.len] {
            if let Ok(place) = self.endpoints.binary_search(endpoint) {
                places[len] = place;
                len += 1;
            }
        }
        let places = &mut places[..len];
        places.sort_unstable();
        let weight = |place: usize| self.ends[place] - self.start(place);
        let out: u64 = places.iter().map(|&place| weight(place)).sum();
        let left = self.total().checked_sub(out).filter(|&left| left > 0)?;
        let mut at = below(random, left);
        for &place in &*places {
            if at >= self.start(place) {
                at += weight(place);
            }
        }
        let place = self.ends.partition_point(|&end| end <= at);
        self.endpoints.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lots(weights: &[u16]) -> Lots {
        let weights: Vec<_> =
            weights.iter().map(|&weight| NonZeroU16::new(weight).unwrap()).collect();
        let mut lots = Lots::default();
        lots.assign(&vec![Tier::Primary; weights.len()], &weights);
        lots
    }

    fn barred(out: &[usize]) -> Barred {
        let none = Barred::of(&Tried::default());
        out.iter().fold(none, |barred, &index| barred.with(EndpointId::new(index)))
    }

    /// How often each is drawn by numbers that are spread evenly.
    fn shares(lots: &Lots, out: &[usize], count: u64) -> Vec<usize> {
        let lot = &lots.tiers[0];
        let mut shares = vec![0; lot.endpoints.len()];
        for draw in 0..count {
            let random = (u64::MAX / count) * draw + u64::MAX / count / 2;
            let drawn = lot.draw_without(random, &barred(out)).unwrap();
            assert!(!out.is_empty() || lot.draw(random) == Some(drawn));
            shares[drawn.index()] += 1;
        }
        shares
    }

    #[test]
    fn each_is_drawn_as_often_as_its_weight_says() {
        let tables: [&[u16]; 5] = [&[1], &[1, 3], &[5, 1, 1, 3], &[1000, 1, 999], &[1; 50]];
        for weights in tables {
            let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
            let due: Vec<_> = weights.iter().map(|&weight| usize::from(weight) * 10).collect();
            assert_eq!(shares(&lots(weights), &[], total * 10), due);
        }
    }

    #[test]
    fn what_is_barred_leaves_its_share_to_the_others_by_weight() {
        let lots = lots(&[5, 1, 4, 2, 3]);
        assert_eq!(shares(&lots, &[2], 1100), [500, 100, 0, 200, 300]);
        assert_eq!(shares(&lots, &[4, 0], 700), [0, 100, 400, 200, 0]);
        assert_eq!(lots.draw(Tier::Primary, 7, &barred(&[0, 1, 2, 3, 4])), None);
        assert_eq!(lots.draw(Tier::Backup, 7, &barred(&[])), None);
    }

    #[test]
    fn two_are_different_and_none_is_barred() {
        let lots = lots(&[1000, 1, 1]);
        for random in 0..1000 {
            let (first, other) = lots.draw_two(Tier::Primary, mix(random), &barred(&[1])).unwrap();
            assert_eq!([first.index(), other.unwrap().index()].iter().sum::<usize>(), 2);
            let alone = lots.draw_two(Tier::Primary, mix(random), &barred(&[0, 2])).unwrap();
            assert_eq!(alone, (EndpointId::new(1), None));
        }
    }
}
