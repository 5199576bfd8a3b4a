//! What a history shows: shares, times, failures.

use super::world::{Ended, History, Micros};

impl History {
    /// Those that ended within these times.
    pub fn within(&self, from: Micros, to: Micros) -> Vec<Ended> {
        self.ended.iter().filter(|ended| (from..to).contains(&ended.at)).copied().collect()
    }

    /// The share of all requests that failed.
    pub fn failed(&self) -> f64 {
        let failed = self.ended.iter().filter(|ended| ended.endpoint.is_none()).count();
        failed as f64 / self.ended.len().max(1) as f64
    }

    /// The share of each endpoint among the attempts.
    pub fn shares(&self) -> Vec<f64> {
        let all: usize = self.attempts.iter().sum();
        self.attempts.iter().map(|&own| own as f64 / all.max(1) as f64).collect()
    }

    /// The time that this share of the requests that were answered took at most.
    pub fn quantile(&self, share: f64) -> Micros {
        quantile(&self.ended, share)
    }
}

/// The time that this share of those that were answered took at most.
pub fn quantile(ended: &[Ended], share: f64) -> Micros {
    let answered = ended.iter().filter(|ended| ended.endpoint.is_some());
    let mut times: Vec<_> = answered.map(|ended| ended.at - ended.arrived).collect();
    times.sort_unstable();
    let place = (times.len() as f64 * share) as usize;
    times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or(0)
}
