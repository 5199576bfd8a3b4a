//! Any endpoint, by weight: what is left of chance evens out over many requests.

use std::num::NonZeroU16;

use super::candidate::{Found, Tier};
use super::lots::{self, Lots};
use super::pick::Pick;
use crate::id::EndpointId;

/// Endpoints by chance.
#[derive(Clone, Debug, Default)]
pub struct RandomChoice(Lots);

impl RandomChoice {
    /// Puts each endpoint in a tier with a weight, in O(n).
    pub fn assign(&mut self, tiers: &[Tier], weights: &[NonZeroU16]) {
        self.0.assign(tiers, weights);
    }

    /// Takes any that has not been tried and still `fits` its tier.
    pub fn pick(&self, pick: &Pick<'_>, fits: impl FnMut(EndpointId, Tier) -> bool) -> Found {
        let choose = |tier, random, barred: &_| self.0.draw(tier, random, barred);
        lots::pick(pick.random, pick.tried, choose, fits)
    }
}
