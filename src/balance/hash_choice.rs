//! The same endpoint for all requests with the same key, and for the others any, in turn by weight.
//!
//! A key belongs to the owner of its slot. If that is out, was tried, or has more than its part of the
//! requests in flight (*consistent hashing with bounded loads*, Mirrokni, Thorup and Zadimoghaddam, 2016), the
//! key walks on from slot to slot; so only the keys of the endpoint that is out move.

use std::num::NonZeroU16;
use std::sync::Arc;

use super::candidate::{Found, Passed, Tier};
use super::lots::{self, Barred, Lots};
use super::pick::Pick;
use super::round_robin::RoundRobin;
use crate::hash::{mix, nth};
use crate::id::EndpointId;
use crate::upstream::slots::Slots;

/// The slots that one pick looks at: with half of the endpoints out, one of 2^64 picks sees no other.
const STEPS_MAX: usize = 64;

/// So many requests in flight no endpoint is passed over for.
const BUSY_MIN: u64 = 16;

/// The owner of the key.
#[derive(Clone, Debug)]
pub struct HashChoice {
    slots: Arc<Slots>,
    /// For requests without a key.
    keyless: RoundRobin,
    /// For keys whose walk finds nobody.
    lots: Lots,
    tiers: Box<[Tier]>,
    /// What the slots follow.
    configured: Box<[NonZeroU16]>,
    weights: Box<[NonZeroU16]>,
    /// The highest of weight by configured weight: others are starting slowly.
    scale: u16,
    load: Load,
}

impl HashChoice {
    /// Endpoints with these weights and slots; none gets anything before [`HashChoice::assign`].
    #[must_use]
    pub fn new(slots: Arc<Slots>, weights: &[NonZeroU16], order: &[EndpointId]) -> Self {
        Self {
            slots,
            keyless: RoundRobin::new(weights, order),
            lots: Lots::default(),
            tiers: vec![Tier::Down; weights.len()].into(),
            configured: weights.into(),
            weights: weights.into(),
            scale: 1,
            load: Load::new(weights.len()),
        }
    }

    /// What requests without a key go by.
    pub fn keyless(&self) -> &RoundRobin {
        &self.keyless
    }

    /// The same, to be changed.
    pub fn keyless_mut(&mut self) -> &mut RoundRobin {
        &mut self.keyless
    }

    /// Puts each endpoint in a tier with a weight, in O(n).
    pub fn assign(&mut self, tiers: &[Tier], weights: &[NonZeroU16]) {
        self.keyless.assign(tiers, weights);
        self.lots.assign(tiers, weights);
        self.tiers.copy_from_slice(tiers);
        self.weights.copy_from_slice(weights);
        let scales = weights.iter().zip(&self.configured).map(|(is, due)| is.get() / due.get());
        self.scale = scales.max().unwrap_or(1).max(1);
    }

    /// Requests at an endpoint have begun or ended.
    pub fn set_in_flight(&mut self, endpoint: EndpointId, in_flight: u64) {
        self.load.set(endpoint, in_flight);
    }

    /// Takes the endpoint of the key, or that of another slot for each one that has been tried, is too busy
    /// or does not fit its tier any more.
    pub fn pick(
        &mut self,
        pick: &Pick<'_>,
        in_flight: impl Fn(EndpointId) -> u64,
        mut fits: impl FnMut(EndpointId, Tier) -> bool,
    ) -> Found {
        self.load.refresh_next(&in_flight);
        let Some(key) = pick.affinity.key else { return self.keyless.pick(pick.tried, fits) };
        let owners = Arc::as_ref(&self.slots);
        for tier in Tier::SERVING {
            let total = self.lots.total(tier);
            if total == 0 {
                continue;
            }
            let mut passed = Passed::default();
            for endpoint in owners.walk(key).take(STEPS_MAX) {
                if self.tiers[endpoint.index()] != tier
                    || pick.tried.contains(endpoint)
                    || !self.is_warm(endpoint, key)
                {
                    continue;
                }
                let own = self.load.look_at(endpoint, &in_flight);
                if self.load.is_above_its_part(own, self.weights[endpoint.index()], total) {
                    continue;
                }
                if passed.takes(false, || fits(endpoint, tier)) {
                    return Found::Endpoint(endpoint);
                }
                if passed.is_full() {
                    return Found::OutOfDate;
                }
            }
            let choose = |in_tier, random, barred: &Barred| {
                if in_tier == tier { self.lots.draw(tier, random, barred) } else { None }
            };
            match lots::pick(mix(key), pick.tried, choose, &mut fits) {
                Found::Nothing if passed.any_moved() => return Found::OutOfDate,
                Found::Nothing => {}
                found => return found,
            }
        }
        Found::Nothing
    }

    /// Whether an endpoint has all of its keys, or this is one of those that it has already.
    fn is_warm(&self, endpoint: EndpointId, key: u64) -> bool {
        let (is, due) = (self.weights[endpoint.index()], self.configured[endpoint.index()]);
        let due = due.get() * self.scale;
        is.get() >= due || nth(key, 0) % u64::from(due) < u64::from(is.get())
    }
}

/// The requests in flight, as far as is known: other workers have some too. What is looked at is brought up to
/// date, and one more with each pick.
#[derive(Clone, Debug)]
struct Load {
    in_flight: Box<[u64]>,
    sum: u64,
    next: usize,
}

impl Load {
    fn new(count: usize) -> Self {
        Self { in_flight: vec![0; count].into(), sum: 0, next: 0 }
    }

    fn set(&mut self, endpoint: EndpointId, in_flight: u64) {
        let known = &mut self.in_flight[endpoint.index()];
        self.sum = self.sum - *known + in_flight;
        *known = in_flight;
    }

    /// The requests in flight at an endpoint now.
    fn look_at(&mut self, endpoint: EndpointId, in_flight: impl Fn(EndpointId) -> u64) -> u64 {
        let now = in_flight(endpoint);
        self.set(endpoint, now);
        now
    }

    /// Whether so many are 1.25 times the part of an endpoint of this weight, of `total`, or more. This
    /// request counts.
    const fn is_above_its_part(&self, own: u64, weight: NonZeroU16, total: u64) -> bool {
        own >= BUSY_MIN && own * 4 * total >= (self.sum + 1) * 5 * weight.get() as u64
    }

    fn refresh_next(&mut self, in_flight: impl Fn(EndpointId) -> u64) {
        self.next = if self.next + 1 < self.in_flight.len() { self.next + 1 } else { 0 };
        if self.next < self.in_flight.len() {
            let endpoint = EndpointId::new(self.next);
            self.set(endpoint, in_flight(endpoint));
        }
    }
}
