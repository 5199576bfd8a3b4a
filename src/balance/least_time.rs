//! Of two endpoints by chance, by weight, the one that is expected to answer sooner.
//!
//! What is expected of an endpoint is a moving average of the times to its response heads that rises
//! at once and falls slowly (*peak EWMA*), for each request that it would have in flight. An average that is not
//! confirmed by new answers wears off, so that a slow endpoint is tried again, and no answer can cost an
//! endpoint its traffic for long; time passes for that at most so fast as requests come, lest with few of them
//! every second one were such a try.

use std::num::NonZeroU16;

use super::candidate::{Found, Tier};
use super::lots::{self, Lots};
use super::pick::Pick;
use crate::id::EndpointId;
use crate::upstream::health::Tick;

/// What an average loses of what it was without new answers, to 1/e, in milliseconds.
const WEAR_MS: f64 = 5_000.0;

/// The time that passes between two picks at most, in milliseconds: one ten times slower than the others
/// is tried again once in ln 10 · 100 = 230 picks or more.
const STEP_MS: f64 = WEAR_MS / 100.0;

/// What one answer can multiply an average by: a single slow one is not the end.
const RISE_MAX: f64 = 4.0;

/// A failure counts as an answer that took so many times what answers take on the whole: a fast failure is
/// no fast answer.
const FAILURE: f64 = 4.0;

/// Times that differ by less are equal, and the weights decide.
const ALIKE: f64 = 1.25;

/// What each answer adds to the average of all.
const TYPICAL: f64 = 1.0 / 64.0;

/// The faster of two.
#[derive(Clone, Debug)]
pub struct LeastTime {
    lots: Lots,
    tiers: Box<[Tier]>,
    /// What the weight of each is, relative to the average.
    weights: Box<[f64]>,
    times: Box<[Expected]>,
    /// The average of all answers, in microseconds; 0 before the first one.
    typical: f64,
    /// The time that has passed, in milliseconds, and when it was looked at last.
    clock: f64,
    looked: Tick,
}

/// What is expected of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// In microseconds; nothing is known of an endpoint that has not answered.
    micros: Option<f64>,
    /// By the clock, when that was.
    at: f64,
}

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It was answered.
    Answered,
    /// It failed, or was answered by a server error.
    Failed,
}

impl LeastTime {
    /// So many endpoints; none gets anything before [`LeastTime::assign`].
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            lots: Lots::default(),
            tiers: vec![Tier::Down; count].into(),
            weights: vec![1.0; count].into(),
            times: vec![Expected::default(); count].into(),
            typical: 0.0,
            clock: 0.0,
            looked: Tick::from_millis(0),
        }
    }

    /// Goes on with what another one expects of its endpoints; pairs of an endpoint there and here.
    pub fn inherit(
        &mut self,
        other: &Self,
        staying: impl Iterator<Item = (EndpointId, EndpointId)>,
    ) {
        (self.typical, self.clock, self.looked) = (other.typical, other.clock, other.looked);
        for (there, here) in staying {
            self.times[here.index()] = other.times[there.index()];
        }
    }

    /// Puts each endpoint in a tier with a weight, in O(n). Of one that was out nothing is known any more.
    pub fn assign(&mut self, tiers: &[Tier], weights: &[NonZeroU16]) {
        self.lots.assign(tiers, weights);
        for ((before, &tier), time) in self.tiers.iter_mut().zip(tiers).zip(&mut self.times) {
            if *before > Tier::Backup && tier <= Tier::Backup {
                *time = Expected::default();
            }
            *before = tier;
        }
        let total: f64 = weights.iter().map(|&weight| f64::from(weight.get())).sum();
        let average = total / float(weights.len().max(1) as u64);
        self.weights = weights.iter().map(|&weight| f64::from(weight.get()) / average).collect();
    }

    /// Takes the one of two that have not been tried that is expected to answer sooner, and still `fits`
    /// its tier.
    pub fn pick(
        &mut self,
        pick: &Pick<'_>,
        in_flight: impl Fn(EndpointId) -> u64,
        fits: impl FnMut(EndpointId, Tier) -> bool,
    ) -> Found {
        let passed = pick.now.as_millis().saturating_sub(self.looked.as_millis());
        self.looked = self.looked.max(pick.now);
        self.clock += float(passed).min(STEP_MS);
        let cost = |endpoint: EndpointId| {
            let requests = float(in_flight(endpoint)) / self.weights[endpoint.index()] + 1.0;
            self.expected(endpoint) * requests
        };
        let choose = |tier, random, barred: &_| {
            let (first, other) = self.lots.draw_two(tier, random, barred)?;
            let is_faster = |&other: &EndpointId| cost(other) * ALIKE < cost(first);
            Some(other.filter(is_faster).unwrap_or(first))
        };
        lots::pick(pick.random, pick.tried, choose, fits)
    }

    /// An attempt at an endpoint has been answered, or has failed, after so many microseconds.
    pub fn observe(&mut self, endpoint: EndpointId, micros: u64, outcome: AttemptOutcome) {
        let took = float(micros).max(1.0);
        let Expected { micros: before, at } = self.times[endpoint.index()];
        let worn = wear(self.clock - at);
        let (seen, bound) = match outcome {
            AttemptOutcome::Answered => (took, RISE_MAX),
            AttemptOutcome::Failed => (took.max(self.typical * FAILURE), FAILURE),
        };
        let now = match before {
            Some(before) if seen > before => seen.min(before.max(self.typical / RISE_MAX) * bound),
            Some(before) => seen + (before - seen) * worn,
            None if self.typical > 0.0 => seen.min(self.typical * bound),
            None => seen,
        };
        self.times[endpoint.index()] = Expected { micros: Some(now), at: self.clock };
        if outcome == AttemptOutcome::Answered {
            let share = if self.typical > 0.0 { TYPICAL } else { 1.0 };
            self.typical += (took - self.typical) * share;
        }
    }

    /// What is expected of an endpoint now, in microseconds: what is typical, if nothing is known of it.
    fn expected(&self, endpoint: EndpointId) -> f64 {
        let Expected { micros, at } = self.times[endpoint.index()];
        micros.map_or(self.typical.max(1.0), |micros| micros * wear(self.clock - at))
    }
}

/// What is left of an average after so many milliseconds.
fn wear(ms: f64) -> f64 {
    (-ms / WEAR_MS).exp()
}

fn float(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
