//! The budget of retries: what keeps an upstream that fails from being sent a multiple of its requests.
//!
//! A retry is granted as long as those of the last 10 s are fewer than the configured share of the requests of
//! the last 10 s, or fewer than 100: 10 for each of these seconds, and for an upstream that is newer than that, 10
//! for each second since and 30 at first. Requests are counted by each worker for itself; the budget sees samples of their sum,
//! taken by the workers every second and with each retry. Where the last 10 s do not begin with a sample, fewer
//! requests are seen than there were, never more: those of 8 s at least. Retries are counted over 10 to 11 s.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::health::Tick;

/// Retries that are granted whatever the share, per second.
const RATE_MIN: u64 = 10;

/// Retries that an upstream may have at once when it has just begun, as if it were 3 s old: so that a few requests
/// pass whatever part of its endpoints is dead.
const FIRST: u64 = 3 * RATE_MIN;

/// Over how many seconds requests and retries are compared.
const WINDOW_SECONDS: u64 = 10;

/// Slots for as many whole seconds, and the one that has begun.
const SLOTS: usize = 11;

/// How many retries an upstream may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetShare {
    /// Any number.
    Unlimited,
    /// This many for 100 requests, and 10 a second at least; at most 100.
    Percent(u8),
}

impl BudgetShare {
    /// What stands by default.
    pub const USUAL: Self = Self::Percent(20);
}

/// The retries of an upstream, of all workers. Touched on failure only, and once a second.
#[derive(Debug, Default)]
pub struct RetryBudget {
    /// The second after that of the last sample.
    sampled: AtomicU64,
    ledger: Mutex<Ledger>,
}

/// A retry that was granted. It is given back on drop, as of a request that is cancelled while it waits, unless
/// its attempt begins.
#[derive(Debug)]
#[must_use]
pub struct RetryToken {
    budget: Arc<RetryBudget>,
    granted: Tick,
    is_spent: bool,
}

impl RetryToken {
    /// Its attempt begins.
    pub fn spend(mut self) {
        self.is_spent = true;
    }
}

impl Drop for RetryToken {
    fn drop(&mut self) {
        if !self.is_spent {
            self.budget.give_back(self.granted);
        }
    }
}

/// One second.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which, from 1.
    second: u64,
    /// How many requests there had been when it was first looked at.
    requests: u64,
    /// How many retries were granted in it.
    granted: u64,
}

#[derive(Debug, Default)]
struct Ledger {
    slots: [Slot; SLOTS],
    /// When it was first looked at: before, all of the requests there had been are recent.
    first: Option<Tick>,
}

impl RetryBudget {
    /// Notes how many requests there have been, at most once a second. `requests` is asked only then.
    pub fn sample(&self, now: Tick, requests: impl FnOnce() -> u64) {
        let second = second(now);
        if self.sampled.load(Ordering::Relaxed) < second
            && self.sampled.fetch_max(second, Ordering::Relaxed) < second
        {
            self.ledger().slot(now, requests());
        }
    }

    /// Grants a retry, if the budget has room for it. There have been so many requests so far.
    pub fn grant(
        self: &Arc<Self>,
        now: Tick,
        share: BudgetShare,
        requests: u64,
    ) -> Option<RetryToken> {
        let token = || RetryToken { budget: Arc::clone(self), granted: now, is_spent: false };
        self.take(now, share, requests).then(token)
    }

    fn take(&self, now: Tick, share: BudgetShare, requests: u64) -> bool {
        let percent = match share {
            BudgetShare::Unlimited => return true,
            BudgetShare::Percent(percent) => u64::from(percent),
        };
        let mut ledger = self.ledger();
        ledger.slot(now, requests);
        let (recent, granted) = ledger.recent(now, requests);
        let is_granted = granted * 100 < recent * percent || granted < ledger.least(now);
        if is_granted {
            ledger.slot(now, requests).granted += 1;
        }
        is_granted
    }

    /// Takes back what was granted then, unless that counts no more.
    fn give_back(&self, granted: Tick) {
        let mut ledger = self.ledger();
        let second = second(granted);
        let slot = &mut ledger.slots[place(second)];
        if slot.second == second {
            slot.granted = slot.granted.saturating_sub(1);
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// The slot of a second, begun now if nothing has happened in it so far.
    fn slot(&mut self, now: Tick, requests: u64) -> &mut Slot {
        self.first.get_or_insert(now);
        let second = second(now);
        let slot = &mut self.slots[place(second)];
        if slot.second < second {
            *slot = Slot { second, requests, granted: 0 };
        }
        slot
    }

    /// The requests and the retries of the last 10 s.
    fn recent(&self, now: Tick, requests: u64) -> (u64, u64) {
        let now = second(now);
        let since = |seconds| {
            let slots = self.slots.iter();
            slots.filter(move |slot| slot.second > 0 && slot.second + seconds >= now)
        };
        let is_new = self.first.is_some_and(|first| second(first) + WINDOW_SECONDS - 2 >= now);
        let earliest = since(WINDOW_SECONDS - 1).min_by_key(|slot| slot.second);
        let before = if is_new { 0 } else { earliest.map_or(requests, |slot| slot.requests) };
        let granted = since(WINDOW_SECONDS).map(|slot| slot.granted).sum();
        (requests.saturating_sub(before), granted)
    }

    /// The retries of the last 10 s that are granted whatever the share.
    fn least(&self, now: Tick) -> u64 {
        let since = self.first.map_or(0, Tick::as_millis);
        let age = now.as_millis().saturating_sub(since);
        (FIRST + age * RATE_MIN / 1000).min(RATE_MIN * WINDOW_SECONDS)
    }
}

fn second(now: Tick) -> u64 {
    now.as_millis() / 1000 + 1
}

/// The index of the slot of a second.
fn place(second: u64) -> usize {
    usize::try_from(second).unwrap_or_default() % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const SHARE: BudgetShare = BudgetShare::USUAL;

    fn at(millis: u64) -> Tick {
        Tick::from_millis(millis)
    }

    /// How many of those were within so many milliseconds before `now`.
    fn within(times: &[u64], now: u64, millis: u64) -> u64 {
        (times.len() - times.partition_point(|at| *at + millis <= now)) as u64
    }

    /// An upstream that fails all, of requests that come and go as chance has it.
    fn run(seed: u64, is_sampled: bool) {
        let (mut random, budget) = (Random::new(seed), RetryBudget::default());
        let (mut requests, mut granted) = (Vec::new(), Vec::new());
        let (mut now, mut rate) = (random.below(5000) as u64, 1);
        let began = now;
        for _ in 0..2000 {
            now += 1 + random.below(20) as u64;
            if random.below(200) == 0 {
                rate = [0, 1, 3, 30][random.below(4)];
            }
            if is_sampled {
                budget.sample(at(now), || requests.len() as u64);
            }
            for _ in 0..random.below(rate + 1) {
                requests.push(now);
                for _ in 0..7 {
                    let before = within(&granted, now, 10_000);
                    let recent = within(&requests, now, 10_000);
                    if !budget.take(at(now), SHARE, requests.len() as u64) {
                        break;
                    }
                    let is_within_rate = before < (FIRST + (now - began) / 100).min(100);
                    assert!(
                        before * 5 < recent || is_within_rate,
                        "seed {seed} at {now}: {before} {recent}"
                    );
                    granted.push(now);
                }
            }
            let most = requests.len() as u64 / 5 + FIRST + (now - began) / 100;
            assert!(granted.len() as u64 <= most, "seed {seed} at {now}: {} {most}", granted.len());
        }
    }

    #[test]
    fn retries_never_exceed_the_share_and_the_rate() {
        for seed in 0..200 {
            run(seed, true);
            run(seed, false);
        }
    }

    #[test]
    fn where_requests_are_many_their_share_is_granted() {
        let (budget, mut granted) = (RetryBudget::default(), 0);
        for now in 0..60_000 {
            budget.sample(at(now), || now);
            granted += u64::from(budget.take(at(now), SHARE, now));
        }
        assert!((60_000 * 15 / 100..=60_000 * 20 / 100).contains(&granted), "{granted}");
    }

    #[test]
    fn an_upstream_of_few_requests_is_granted_ten_a_second() {
        let budget = RetryBudget::default();
        let take = |now| (0..200).filter(|_| budget.take(at(now), SHARE, 1)).count();
        assert_eq!([take(0), take(99), take(500), take(1500)], [30, 0, 5, 10]);
        assert_eq!([take(60_000), take(61_000), take(71_000)], [100, 0, 100]);
    }

    #[test]
    fn a_burst_after_a_quiet_time_is_measured_by_its_requests() {
        let (budget, mut sum) = (RetryBudget::default(), 0);
        for second in 0..100 {
            budget.sample(at(second * 1000), || sum);
            sum += 100;
        }
        let granted = (0..500).filter(|_| budget.take(at(99_999), SHARE, sum)).count();
        assert!((160..=200).contains(&granted), "{granted}");
    }

    #[test]
    fn a_token_is_given_back_unless_its_attempt_begins() {
        let budget = Arc::<RetryBudget>::default();
        for _ in 0..50 {
            assert!(budget.grant(at(0), SHARE, 0).is_some());
        }
        let spend = || budget.grant(at(0), SHARE, 0).map(RetryToken::spend);
        assert_eq!((0..50).filter_map(|_| spend()).count(), 30);
    }

    #[test]
    fn a_token_is_given_back_to_the_second_it_was_granted_in() {
        let budget = Arc::<RetryBudget>::default();
        let late = budget.grant(at(0), SHARE, 0);
        let next = 11_000;
        while budget.take(at(next), SHARE, 0) {}
        drop(late);
        assert!(!budget.take(at(next), SHARE, 0));
    }

    #[test]
    fn a_budget_that_is_off_grants_all() {
        let budget = RetryBudget::default();
        assert!((0..1000).all(|_| budget.take(at(0), BudgetShare::Unlimited, 0)));
    }
}
