//! The rule of the budget of retries, by exact times: what is granted may be, and what is refused may not.

use evener::upstream::budget::BudgetShare;
use evener::upstream::health::Tick;

/// Times in milliseconds.
#[derive(Default)]
pub struct Ledger {
    first: Option<u64>,
    requests: Vec<u64>,
    granted: Vec<u64>,
}

/// How many were less than so many milliseconds ago.
fn within(times: &[u64], now: u64, millis: u64) -> u64 {
    (times.len() - times.partition_point(|at| at + millis <= now)) as u64
}

impl Ledger {
    /// The budget has been looked at.
    pub fn look(&mut self, now: Tick) {
        self.first.get_or_insert(now.as_millis());
    }

    pub fn request(&mut self, now: Tick) {
        self.requests.push(now.as_millis());
    }

    /// What was granted then is not used.
    pub fn give_back(&mut self, granted: Tick) {
        if let Some(place) = self.granted.iter().position(|at| *at == granted.as_millis()) {
            self.granted.remove(place);
        }
    }

    /// Whether a retry may be granted or refused now. Of requests the budget may see those of the last 8 s only,
    /// and retries it counts for 11 s.
    pub fn judge(&mut self, now: Tick, share: BudgetShare, is_granted: bool, seed: u64) {
        self.look(now);
        let now = now.as_millis();
        let BudgetShare::Percent(percent) = share else {
            return assert!(is_granted, "seed {seed}: a budget that is off has refused a retry");
        };
        let (percent, age) = (u64::from(percent), now - self.first.unwrap());
        let least = (30 + age / 100).min(100);
        let is_due = |granted: u64, requests| granted * 100 < requests * percent || granted < least;
        let [granted, longer] = [10_000, 11_000].map(|ms| within(&self.granted, now, ms));
        let [requests, fewer] = [10_000, 8000].map(|ms| within(&self.requests, now, ms));
        if is_granted {
            assert!(is_due(granted, requests), "seed {seed}, {now} ms: {granted} of {requests}");
            self.granted.push(now);
        } else {
            assert!(!is_due(longer, fewer), "seed {seed}, {now} ms: {longer} of {fewer} refused");
        }
    }

    /// Retries that there may have been at most since the beginning.
    pub fn most(&self, share: BudgetShare, now: Tick) -> u64 {
        let BudgetShare::Percent(percent) = share else { return u64::MAX };
        let age = now.as_millis() - self.first.unwrap_or(now.as_millis());
        self.requests.len() as u64 * u64::from(percent) / 100 + 30 + age / 100 + 1
    }
}
