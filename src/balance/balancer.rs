//! One of the policies, at work.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use super::candidate::{Found, Tier};
use super::custom_choice::CustomChoice;
use super::hash_choice::HashChoice;
use super::least_requests::LeastRequests;
use super::least_time::{AttemptOutcome, LeastTime};
use super::pick::Pick;
use super::random_choice::RandomChoice;
use super::round_robin::RoundRobin;
use super::tried::Tried;
use super::two_choices::TwoChoices;
use crate::id::EndpointId;
use crate::upstream::Upstream;
use crate::upstream::settings::Policy;

/// One worker's choice among the endpoints of an upstream, by its policy.
#[derive(Clone, Debug)]
pub enum Balancer {
    /// The next one in turn.
    RoundRobin(RoundRobin),
    /// The least busy one.
    LeastRequests(LeastRequests),
    /// The less busy of two.
    TwoChoices(TwoChoices),
    /// Any.
    Random(RandomChoice),
    /// The faster of two.
    LeastTime(LeastTime),
    /// The owner of the key.
    Hash(Box<HashChoice>),
    /// What the embedder's policy names.
    Custom(Box<CustomChoice>),
}

impl Balancer {
    pub(super) fn new(upstream: &Upstream, weights: &[NonZeroU16], order: &[EndpointId]) -> Self {
        if let Some(policy) = &upstream.custom_policy {
            let endpoints = Arc::clone(&upstream.endpoints);
            return Self::Custom(Box::new(CustomChoice::new(policy.clone(), endpoints, weights)));
        }
        match upstream.policy {
            // Without one there is nothing better.
            Policy::RoundRobin | Policy::Custom => {
                Self::RoundRobin(RoundRobin::new(weights, order))
            }
            Policy::LeastRequests => Self::LeastRequests(LeastRequests::new(weights, order)),
            Policy::TwoChoices => Self::TwoChoices(TwoChoices::new(weights)),
            Policy::Random => Self::Random(RandomChoice::default()),
            Policy::LeastTime => Self::LeastTime(LeastTime::new(weights.len())),
            Policy::Hash => {
                let slots = Arc::clone(upstream.endpoints.slots());
                Self::Hash(Box::new(HashChoice::new(slots, weights, order)))
            }
        }
    }

    /// All endpoints whose order matters, the next ones in turn first.
    pub(super) fn order(&self) -> Vec<EndpointId> {
        match self {
            Self::RoundRobin(balancer) => balancer.order().collect(),
            Self::LeastRequests(balancer) => balancer.order(),
            Self::Hash(balancer) => balancer.keyless().order().collect(),
            Self::TwoChoices(_) | Self::Random(_) | Self::LeastTime(_) | Self::Custom(_) => {
                Vec::new()
            }
        }
    }

    /// Goes on as if it had picked for each of so many workers before this one, so that they begin at
    /// different endpoints and the remainders of their rounds cancel out.
    pub(super) fn skip_turns(&mut self, worker: usize) {
        let skipped = |turns: u64| 0..(worker as u64).checked_rem(turns).unwrap_or(0);
        let none = Tried::default();
        match self {
            Self::RoundRobin(balancer) => balancer.skip_turns(worker),
            Self::Hash(balancer) => balancer.keyless_mut().skip_turns(worker),
            Self::LeastRequests(balancer) => {
                for _ in skipped(balancer.order().len() as u64) {
                    balancer.pick(&none, |_| 0, |_, _| true);
                }
            }
            Self::TwoChoices(_) | Self::Random(_) | Self::LeastTime(_) | Self::Custom(_) => {}
        }
    }

    /// Goes on with what another one has learned; `staying` are pairs of an endpoint there and here.
    pub(super) fn inherit(
        &mut self,
        other: &Self,
        staying: impl Iterator<Item = (EndpointId, EndpointId)>,
    ) {
        if let (Self::LeastTime(balancer), Self::LeastTime(other)) = (self, other) {
            balancer.inherit(other, staying);
        }
    }

    pub(super) fn assign(
        &mut self,
        tiers: &[Tier],
        weights: &[NonZeroU16],
        in_flight: impl Fn(EndpointId) -> u64,
    ) {
        match self {
            Self::RoundRobin(balancer) => balancer.assign(tiers, weights),
            Self::LeastRequests(balancer) => balancer.assign(tiers, weights, in_flight),
            Self::TwoChoices(balancer) => balancer.assign(tiers, weights),
            Self::Random(balancer) => balancer.assign(tiers, weights),
            Self::LeastTime(balancer) => balancer.assign(tiers, weights),
            Self::Hash(balancer) => balancer.assign(tiers, weights),
            Self::Custom(balancer) => balancer.assign(tiers, weights),
        }
    }

    /// Requests at an endpoint have ended, and it has so many in flight now.
    pub(super) fn set_in_flight(&mut self, endpoint: EndpointId, in_flight: u64) {
        match self {
            Self::LeastRequests(balancer) => balancer.set_in_flight(endpoint, in_flight),
            Self::Hash(balancer) => balancer.set_in_flight(endpoint, in_flight),
            Self::RoundRobin(_)
            | Self::TwoChoices(_)
            | Self::Random(_)
            | Self::LeastTime(_)
            | Self::Custom(_) => {}
        }
    }

    /// An attempt at an endpoint has been answered, or has failed, after so long.
    pub(super) fn observe(
        &mut self,
        endpoint: EndpointId,
        took: Duration,
        outcome: AttemptOutcome,
    ) {
        if let Self::LeastTime(balancer) = self {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            balancer.observe(endpoint, micros, outcome);
        }
    }

    pub(super) fn pick(
        &mut self,
        pick: &Pick<'_>,
        in_flight: impl Fn(EndpointId) -> u64,
        fits: impl FnMut(EndpointId, Tier) -> bool,
    ) -> Found {
        match self {
            Self::RoundRobin(balancer) => balancer.pick(pick.tried, fits),
            _ => self.pick_otherwise(pick, in_flight, fits),
        }
    }

    /// By any other policy than the usual one, which is not to pay for what these need: inlined, they cost it
    /// half as many instructions again.
    #[inline(never)]
    fn pick_otherwise(
        &mut self,
        pick: &Pick<'_>,
        in_flight: impl Fn(EndpointId) -> u64,
        fits: impl FnMut(EndpointId, Tier) -> bool,
    ) -> Found {
        match self {
            Self::RoundRobin(balancer) => balancer.pick(pick.tried, fits),
            Self::LeastRequests(balancer) => balancer.pick(pick.tried, in_flight, fits),
            Self::TwoChoices(balancer) => balancer.pick(pick, in_flight, fits),
            Self::Random(balancer) => balancer.pick(pick, fits),
            Self::LeastTime(balancer) => balancer.pick(pick, in_flight, fits),
            Self::Hash(balancer) => balancer.pick(pick, in_flight, fits),
            Self::Custom(balancer) => balancer.pick(pick, in_flight, fits),
        }
    }
}
