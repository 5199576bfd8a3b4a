//! The endpoint that a policy of whoever embeds the balancer names.

use std::num::NonZeroU16;
use std::sync::Arc;

use super::candidate::{Found, Tier};
use super::lots::{self, Barred};
use super::pick::Pick;
use crate::id::EndpointId;
use crate::upstream::custom_policy::{PolicyCandidate, SharedPolicy};
use crate::upstream::endpoint_set::EndpointSet;

/// Endpoints as such a policy has them.
#[derive(Clone, Debug)]
pub struct CustomChoice {
    policy: SharedPolicy,
    endpoints: Arc<EndpointSet>,
    tiers: Box<[Tier]>,
    weights: Box<[NonZeroU16]>,
}

impl CustomChoice {
    /// Of these endpoints; none gets anything before [`CustomChoice::assign`].
    pub fn new(policy: SharedPolicy, endpoints: Arc<EndpointSet>, weights: &[NonZeroU16]) -> Self {
        let tiers = vec![Tier::Down; weights.len()].into();
        Self { policy, endpoints, tiers, weights: weights.into() }
    }

    /// Puts each endpoint in a tier with a weight, in O(n).
    pub fn assign(&mut self, tiers: &[Tier], weights: &[NonZeroU16]) {
        self.tiers.copy_from_slice(tiers);
        self.weights.copy_from_slice(weights);
    }

    /// Takes what the policy says among those that have not been tried and still `fit` their tier, in O(n).
    pub fn pick(
        &self,
        pick: &Pick<'_>,
        in_flight: impl Fn(EndpointId) -> u64,
        fits: impl FnMut(EndpointId, Tier) -> bool,
    ) -> Found {
        let choose = |tier, random, barred: &Barred| {
            let known = self.endpoints.ids().zip(&self.tiers).zip(&self.weights);
            let left =
                known.filter(|(((id, _), known), _)| **known == tier && !barred.contains(*id));
            let (ids, candidates): (Vec<_>, Vec<_>) = left
                .map(|(((id, endpoint), _), &weight)| {
                    (id, PolicyCandidate { endpoint, weight, in_flight: in_flight(id) })
                })
                .unzip();
            let first = *ids.first()?;
            Some(ids.get(self.policy.0.pick(&candidates, random)).copied().unwrap_or(first))
        };
        lots::pick(pick.random, pick.tried, choose, fits)
    }
}
