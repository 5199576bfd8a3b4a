//! Of two endpoints by chance, by weight, the one with fewer requests in flight for its weight.
//!
//! Two are nearly as good as all (Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*,
//! 1996), and balancers that know nothing of each other do not all run to the same endpoint.

use std::num::NonZeroU16;

use super::candidate::{Found, Tier};
use super::lots::{self, Lots};
use super::pick::Pick;
use crate::id::EndpointId;

/// The less busy of two.
#[derive(Clone, Debug)]
pub struct TwoChoices {
    lots: Lots,
    weights: Box<[NonZeroU16]>,
}

impl TwoChoices {
    /// Endpoints with these weights; none gets anything before [`TwoChoices::assign`].
    #[must_use]
    pub fn new(weights: &[NonZeroU16]) -> Self {
        Self { lots: Lots::default(), weights: weights.into() }
    }

    /// Puts each endpoint in a tier with a weight, in O(n).
    pub fn assign(&mut self, tiers: &[Tier], weights: &[NonZeroU16]) {
        self.lots.assign(tiers, weights);
        self.weights = weights.into();
    }

    /// Takes the less busy of two that have not been tried and still `fits` its tier; the first one where
    /// they are equally busy, so that shares follow the weights.
    pub fn pick(
        &self,
        pick: &Pick<'_>,
        in_flight: impl Fn(EndpointId) -> u64,
        fits: impl FnMut(EndpointId, Tier) -> bool,
    ) -> Found {
        let weight = |endpoint: EndpointId| u64::from(self.weights[endpoint.index()].get());
        let choose = |tier, random, barred: &_| {
            let (first, other) = self.lots.draw_two(tier, random, barred)?;
            let is_less_busy = |&other: &EndpointId| {
                in_flight(other) * weight(first) < in_flight(first) * weight(other)
            };
            Some(other.filter(is_less_busy).unwrap_or(first))
        };
        lots::pick(pick.random, pick.tried, choose, fits)
    }
}
