//! One of the policies, at work.

use std::num::NonZeroU16;

use super::candidate::{Found, Tier};
use super::least_requests::LeastRequests;
use super::pick::Pick;
use super::round_robin::RoundRobin;
use super::tried::Tried;
use crate::id::EndpointId;
use crate::upstream::settings::Policy;

/// One worker's choice among the endpoints of an upstream, by its policy.
#[derive(Clone, Debug)]
pub enum Balancer {
    /// The next one in turn.
    RoundRobin(RoundRobin),
    /// The least busy one.
    LeastRequests(LeastRequests),
}

impl Balancer {
    pub(super) fn new(policy: Policy, weights: &[NonZeroU16], order: &[EndpointId]) -> Self {
        match policy {
            Policy::LeastRequests => Self::LeastRequests(LeastRequests::new(weights, order)),
            _ => Self::RoundRobin(RoundRobin::new(weights, order)),
        }
    }

    /// All endpoints, the next ones in turn first.
    pub(super) fn order(&self) -> Vec<EndpointId> {
        match self {
            Self::RoundRobin(balancer) => balancer.order().collect(),
            Self::LeastRequests(balancer) => balancer.order(),
        }
    }

    /// Goes on as if it had picked for each of so many workers before this one, so that they begin at
    /// different endpoints and the remainders of their rounds cancel out.
    pub(super) fn skip_turns(&mut self, worker: usize) {
        let turns = match self {
            Self::RoundRobin(balancer) => balancer.round(),
            Self::LeastRequests(balancer) => balancer.order().len() as u64,
        };
        for _ in 0..(worker as u64).checked_rem(turns).unwrap_or(0) {
            match self {
                Self::RoundRobin(balancer) => balancer.pick(&Tried::default(), |_, _| true),
                Self::LeastRequests(balancer) => balancer.pick(&Tried::default(), |_, _| true),
            };
        }
    }

    pub(super) fn assign(&mut self, tiers: &[Tier], in_flight: impl Fn(EndpointId) -> u64) {
        match self {
            Self::RoundRobin(balancer) => balancer.assign(tiers),
            Self::LeastRequests(balancer) => balancer.assign(tiers, in_flight),
        }
    }

    pub(super) fn pick(
        &mut self,
        pick: &Pick<'_>,
        fits: impl FnMut(EndpointId, Tier) -> bool,
    ) -> Found {
        match self {
            Self::RoundRobin(balancer) => balancer.pick(pick.tried, fits),
            Self::LeastRequests(balancer) => balancer.pick(pick.tried, fits),
        }
    }
}
