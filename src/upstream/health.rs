//! Whether an endpoint may be sent requests: what they prove (passive) and what checks do, in one word.
//!
//! Pure: the time is an argument, and transitions are returned, not logged. Which endpoint to use, when to
//! check one and what to do when all are ejected is decided elsewhere. Watchers are told after each change
//! that may decide whether the endpoint is picked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ejections::EjectedCount;
use super::health_word::HealthWord;
pub use super::health_word::{
    Admission, CheckVerdict, FailureKind, HealthStatus, Thresholds, Tick, Transition,
};
use super::recovery::Recovery;
use super::watched_word::WatchedWord;
use super::watchers::Changes;

/// The health of one endpoint, shared by all workers.
///
/// The bit of the active checks is independent of this machine, which goes on underneath it:
///
/// ```text
///               fails_max failures            until passed, claim_trial
///  ┌─────────┐ ───────────────────▶ ┌─────────┐ ─────────────▶ ┌───────┐
///  │ Healthy │                      │ Ejected │                │ Trial │─┐ lapsed,
///  └─────────┘ ◀─────────────────── └─────────┘ ◀───────────── └───────┘◀┘ claim_trial
///    ▲   success (of a later attempt)     failure (time doubles)     │
///    └───────────────────────────── success ─────────────────────────┘
/// ```
///
/// An active check's Up leads back to Healthy as well: from Ejected and Trial,
/// if the ejection was for [`FailureKind::Connect`] or the checks had it Down.
#[derive(Debug, Default)]
pub struct Health {
    word: WatchedWord,
    /// Where its ejection counts. The lock is held while one begins or ends, and never for anything else.
    counted_in: Mutex<Option<Arc<EjectedCount>>>,
    /// When it became healthy again last.
    pub recovery: Recovery,
}

impl Health {
    /// Healthy, with nothing held against it.
    #[must_use]
    pub const fn new() -> Self {
        Self { word: WatchedWord::new(), counted_in: Mutex::new(None), recovery: Recovery::new() }
    }

    /// Changes are counted there from now on.
    pub fn watch(&self, changes: &Changes) {
        self.word.watch(changes);
    }

    /// No more are ejected where it counts: it goes somewhere else.
    pub(super) fn close_count(&self) {
        self.counted_in().iter().for_each(|count| count.close());
    }

    /// It counts there from now on while it is ejected, and nowhere else.
    pub(super) fn count_in(&self, count: &Arc<EjectedCount>) {
        let mut counted_in = self.counted_in();
        if HealthWord::unpack(self.word.load()).is_out() {
            count.add();
            counted_in.iter().for_each(|former| former.remove());
        }
        *counted_in = Some(Arc::clone(count));
    }

    /// All of it in a word, for another process.
    #[must_use]
    pub fn word(&self) -> u64 {
        self.word.load()
    }

    /// Goes on from the word of another process that has counted ticks from the same moment.
    pub fn restore(&self, word: u64) {
        let counted_in = self.counted_in();
        let (was, is) = (HealthWord::unpack(self.word.load()), HealthWord::unpack(word));
        self.word.restore(word);
        match (was.is_out(), is.is_out()) {
            (false, true) => counted_in.iter().for_each(|count| count.add()),
            (true, false) => counted_in.iter().for_each(|count| count.remove()),
            (true, true) | (false, false) => {}
        }
    }

    /// What may be sent at `now`; one load.
    #[must_use]
    pub fn admission(&self, now: Tick) -> Admission {
        HealthWord::unpack(self.word.load()).admission(now)
    }

    /// The same with what is to be told of it; one load.
    #[must_use]
    pub fn condition(&self, now: Tick) -> HealthStatus {
        HealthWord::unpack(self.word.load()).condition(now)
    }

    /// Claims the single trial request of an ejected endpoint whose time has passed; false if none is due
    /// or another worker was first. The claim lapses after `fail_timeout`, lest a trial that never reports
    /// bar the endpoint forever. The trial's `started` must not be before `now`.
    pub fn claim_trial(&self, now: Tick, thresholds: &Thresholds) -> bool {
        self.update(|word| word.claim_trial(now, thresholds))
    }

    /// Whether a success would change nothing; one load.
    #[must_use]
    pub fn is_untroubled(&self) -> bool {
        HealthWord::is_untroubled(self.word.load())
    }

    /// An attempt begun at `started` succeeded. No write where that [changes nothing](Self::is_untroubled).
    pub fn on_success(&self, started: Tick, now: Tick) -> Option<Transition> {
        self.apply(|word| self.recovery.note(word.state.on_success(started, now), now))
    }

    /// An attempt begun at `started` failed at `now`. It ejects the endpoint only while no more than
    /// [`Thresholds::eject_max`] of its set are out.
    pub fn on_failure(
        &self,
        started: Tick,
        now: Tick,
        failure: FailureKind,
        thresholds: &Thresholds,
    ) -> Option<Transition> {
        let event = |word: &mut HealthWord, may_eject| {
            word.state.on_failure(started, now, failure, thresholds, may_eject)
        };
        if let Ok(outcome) = self.try_apply(|word| event(word, true)) {
            return outcome;
        }
        let counted_in = self.counted_in();
        // Nobody else begins or ends an ejection meanwhile.
        let was_out = HealthWord::unpack(self.word.load()).is_out();
        let count = counted_in.as_ref().filter(|_| !was_out);
        let may_eject = count.is_none_or(|count| count.admit(thresholds.eject_max));
        let (outcome, is_out) = self.update(|word| {
            let outcome = event(word, may_eject);
            (outcome, word.is_out())
        });
        if let Some(count) = count.filter(|_| may_eject && !is_out) {
            count.remove();
        }
        if let Some(count) = counted_in.as_ref().filter(|_| was_out && !is_out) {
            count.remove();
        }
        outcome
    }

    /// The active checks reached `verdict`; repeating one does no harm.
    pub fn on_check(&self, verdict: CheckVerdict, now: Tick) -> Option<Transition> {
        self.apply(|word| self.recovery.note(word.on_check(verdict, now), now))
    }

    /// An event that ejects nobody.
    fn apply(&self, event: impl Fn(&mut HealthWord) -> Option<Transition>) -> Option<Transition> {
        if let Ok(outcome) = self.try_apply(&event) {
            return outcome;
        }
        let counted_in = self.counted_in();
        let (outcome, has_come_back) = self.update(|word| {
            let was_out = word.is_out();
            let outcome = event(word);
            (outcome, was_out && !word.is_out())
        });
        if has_come_back {
            counted_in.iter().for_each(|count| count.remove());
        }
        outcome
    }

    /// Does without the lock what neither begins nor ends an ejection; does nothing else.
    fn try_apply(
        &self,
        event: impl Fn(&mut HealthWord) -> Option<Transition>,
    ) -> Result<Option<Transition>, TakesLock> {
        self.update(|word| {
            let before = *word;
            let outcome = event(word);
            if before.is_out() == word.is_out() {
                return Ok(outcome);
            }
            *word = before;
            Err(TakesLock)
        })
    }

    /// The count is right even if the lock is poisoned by a panic elsewhere.
    fn counted_in(&self) -> MutexGuard<'_, Option<Arc<EjectedCount>>> {
        self.counted_in.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<R>(&self, event: impl Fn(&mut HealthWord) -> R) -> R {
        let next = |before: u64| {
            let mut word = HealthWord::unpack(before);
            let outcome = event(&mut word);
            (word.pack(), outcome)
        };
        self.word.update(next, |before, after| {
            !(HealthWord::unpack(before).is_healthy() && HealthWord::unpack(after).is_healthy())
        })
    }
}

/// An ejection would begin or end.
struct TakesLock;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    use super::super::health_word::HealthState;
    use super::*;

    const CONNECT: FailureKind = FailureKind::Connect;
    const EXCHANGE: FailureKind = FailureKind::Exchange;

    fn at(millis: u64) -> Tick {
        Tick::from_millis(millis)
    }

    fn fail(health: &Health, started: u64, now: u64, failure: FailureKind) -> Option<Transition> {
        health.on_failure(at(started), at(now), failure, &Thresholds::default())
    }

    fn claim(health: &Health, now: u64) -> bool {
        health.claim_trial(at(now), &Thresholds::default())
    }

    fn succeed(health: &Health, started: u64, now: u64) -> Option<Transition> {
        health.on_success(at(started), at(now))
    }

    /// The third of three failures at `now`.
    fn eject(health: &Health, now: u64, failure: FailureKind) -> Option<Transition> {
        assert_eq!(fail(health, now, now, failure), None);
        assert_eq!(fail(health, now, now, failure), None);
        fail(health, now, now, failure)
    }

    fn ejected(now: u64, failure: FailureKind) -> Health {
        let health = Health::new();
        assert_eq!(eject(&health, now, failure), Some(until(now + 5_000, 1)));
        health
    }

    fn until(millis: u64, round: u8) -> Transition {
        Transition::Ejected { until: at(millis), round }
    }

    #[test]
    fn consecutive_failures_eject_until_the_timeout() {
        let health = ejected(1_000, EXCHANGE);
        assert_eq!(health.admission(at(5_999)), Admission::Ejected);
        assert_eq!(health.admission(at(6_000)), Admission::TrialDue);
    }

    #[test]
    fn a_success_resets_the_count() {
        let health = Health::new();
        for now in 0..10 {
            assert_eq!(fail(&health, now, now, EXCHANGE), None);
            assert_eq!(fail(&health, now, now, EXCHANGE), None);
            assert!(!health.is_untroubled());
            assert_eq!(succeed(&health, now, now), None);
            assert!(health.is_untroubled());
        }
        assert!(!ejected(10, EXCHANGE).is_untroubled());
        assert_eq!(health.admission(at(10)), Admission::Open);
    }

    #[test]
    fn a_silence_that_lasts_counts_again_whenever_its_requests_began() {
        let health = Health::new();
        let silent = |started, now| fail(&health, started, now, FailureKind::Silence);
        assert_eq!((silent(0, 1000), silent(1, 1001), silent(49, 1049)), (None, None, None));
        assert_eq!(silent(50, 1050), None);
        assert_eq!(silent(100, 1100), Some(until(6100, 1)));
        // What was under way then says nothing of the trial.
        assert!(claim(&health, 6100));
        assert_eq!(silent(101, 6150), None);
    }

    #[test]
    fn requests_failing_together_are_one_failure() {
        let health = Health::new();
        for started in 0..100 {
            assert_eq!(fail(&health, started, 1_000 + started, EXCHANGE), None);
        }
        assert_eq!(fail(&health, 1_000, 1_100, EXCHANGE), None);
        assert_eq!(fail(&health, 1_100, 1_200, EXCHANGE), Some(until(6_200, 1)));
    }

    #[test]
    fn attempts_under_way_at_the_ejection_change_nothing() {
        let health = ejected(1_000, EXCHANGE);
        for started in [0, 999, 1_000] {
            assert_eq!(succeed(&health, started, 1_500), None);
            assert_eq!(fail(&health, started, 1_500, EXCHANGE), None);
        }
        assert!(claim(&health, 6_000));
        assert_eq!(succeed(&health, 999, 6_001), None);
        assert_eq!(fail(&health, 5_999, 6_001, EXCHANGE), None);
        assert_eq!(succeed(&health, 6_000, 6_002), Some(Transition::Readmitted));
        assert_eq!(eject(&health, 6_001, EXCHANGE), None);
        assert_eq!(health.admission(at(6_002)), Admission::Open);
    }

    #[test]
    fn a_trial_is_claimed_once_until_it_lapses() {
        let health = ejected(0, EXCHANGE);
        assert!(!claim(&health, 4_999) && claim(&health, 5_000) && !claim(&health, 5_000));
        assert_eq!(health.admission(at(9_999)), Admission::Ejected);
        assert_eq!(health.admission(at(10_000)), Admission::TrialDue);
        assert!(claim(&health, 10_000) && !claim(&health, 14_999));
        assert_eq!(fail(&health, 5_000, 10_001, EXCHANGE), None);
    }

    #[test]
    fn failed_trials_double_the_time_up_to_its_bound() {
        let health = ejected(0, EXCHANGE);
        let mut now = 5_000;
        for (round, span) in (2..40).zip([10_000, 20_000, 40_000].into_iter().chain([60_000; 35])) {
            assert!(claim(&health, now));
            assert_eq!(fail(&health, now, now, EXCHANGE), Some(until(now + span, round.min(31))));
            now += span;
        }
    }

    #[test]
    fn the_round_is_remembered_for_a_while() {
        let table = [(0, 2), (30_000, 2), (60_000, 2), (60_600, 1), (10_000_000, 1)];
        for (quiet, round) in table {
            let health = ejected(0, EXCHANGE);
            assert!(claim(&health, 5_000));
            assert_eq!(succeed(&health, 5_000, 5_100), Some(Transition::Readmitted));
            // Failures that do not eject neither prolong nor cut the memory.
            for now in (5_101..5_100 + quiet).step_by(97) {
                assert_eq!(fail(&health, now, now, EXCHANGE), None);
                assert_eq!(succeed(&health, now, now), None);
            }
            let now = 5_100 + quiet;
            assert_eq!(
                eject(&health, now, EXCHANGE),
                Some(until(now + 5_000 * u64::from(round), round))
            );
        }
    }

    #[test]
    fn a_request_sent_all_the_same_may_readmit_but_not_prolong() {
        let health = ejected(1_000, EXCHANGE);
        assert_eq!(fail(&health, 1_001, 1_002, EXCHANGE), None);
        assert_eq!(health.admission(at(6_000)), Admission::TrialDue);
        assert_eq!(succeed(&health, 1_001, 1_003), Some(Transition::Readmitted));
        assert_eq!(health.admission(at(1_003)), Admission::Open);
    }

    #[test]
    fn the_checks_take_out_and_bring_back() {
        let health = ejected(0, EXCHANGE);
        assert_eq!(health.on_check(CheckVerdict::Down, at(1)), Some(Transition::CheckedDown));
        assert_eq!(health.on_check(CheckVerdict::Down, at(2)), None);
        assert_eq!(health.admission(at(5_000)), Admission::Down);
        assert!(!claim(&health, 5_000));
        assert_eq!(health.on_check(CheckVerdict::Up, at(6_000)), Some(Transition::CheckedUp));
        assert_eq!(health.on_check(CheckVerdict::Up, at(6_000)), None);
        assert_eq!(health.admission(at(6_000)), Admission::Open);
    }

    #[test]
    fn a_check_lifts_only_what_connecting_caused() {
        for trial in [false, true] {
            for (failure, lifted) in [(CONNECT, Some(Transition::Readmitted)), (EXCHANGE, None)] {
                let health = ejected(0, failure);
                assert!(!trial || claim(&health, 5_000));
                assert_eq!(health.on_check(CheckVerdict::Up, at(5_001)), lifted);
                let open = health.admission(at(5_001)) == Admission::Open;
                assert_eq!(open, lifted.is_some());
            }
        }
    }

    #[test]
    fn its_condition_is_told_at_each_turn() {
        let health = ejected(1_000, EXCHANGE);
        let (since, until) = (at(1_000), at(6_000));
        assert_eq!(Health::new().condition(at(9)), HealthStatus::Up);
        let ejected = HealthStatus::Ejected { since, until, round: 1 };
        assert_eq!(health.condition(at(5_999)), ejected);
        assert_eq!(health.condition(at(6_000)), HealthStatus::TrialDue);
        assert!(claim(&health, 6_000));
        let trial = HealthStatus::Trial { since: at(6_000), until: at(11_000) };
        assert_eq!(health.condition(at(6_001)), trial);
        health.on_check(CheckVerdict::Down, at(6_002));
        assert_eq!(health.condition(at(6_003)), HealthStatus::Down);
    }

    #[test]
    fn of_two_threads_one_ejects_and_one_claims() {
        const ROUNDS: usize = 5_000;
        let healths: Vec<_> = (0..ROUNDS).map(|_| Health::new()).collect();
        let arrivals = AtomicU64::new(0);
        // `std::sync::Barrier` lets go of its threads too far apart to race.
        let meet = || {
            let both = arrivals.fetch_add(1, Relaxed) / 2 * 2 + 2;
            while arrivals.load(Relaxed) < both {
                std::thread::yield_now();
            }
        };
        let worker = || {
            let outcomes = healths.iter().map(|health| {
                meet();
                let ejections = (0..3).filter_map(|_| fail(health, 1, 1, EXCHANGE)).count();
                meet();
                (ejections, usize::from(claim(health, 5_001)))
            });
            outcomes.collect::<Vec<_>>()
        };
        let (ours, theirs) = std::thread::scope(|scope| {
            let other = scope.spawn(worker);
            (worker(), other.join().unwrap())
        });
        for (one, two) in ours.into_iter().zip(theirs) {
            assert_eq!((one.0 + two.0, one.1 + two.1), (1, 1));
        }
    }

    #[test]
    fn random_events_never_reach_an_impossible_state() {
        let thresholds = Thresholds {
            fail_timeout: Duration::from_millis(50),
            fail_timeout_max: Duration::from_millis(400),
            ..Thresholds::default()
        };
        let (health, mut now, mut random) = (Health::new(), 0, 0x9e37_79b9_7f4a_7c15_u64);
        for _ in 0..300_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            now += random >> 8 & 15;
            let started = at(now.saturating_sub(random >> 16 & 31));
            let failure = if random >> 24 & 1 == 0 { CONNECT } else { EXCHANGE };
            let before = HealthWord::unpack(health.word());
            let transition = match random >> 32 & 31 {
                0 => health.on_check(CheckVerdict::Down, at(now)),
                1..3 => health.on_check(CheckVerdict::Up, at(now)),
                3..7 => health.on_success(started, at(now)),
                7..14 => {
                    let due = health.admission(at(now)) == Admission::TrialDue;
                    assert_eq!(health.claim_trial(at(now), &thresholds), due);
                    None
                }
                _ => health.on_failure(started, at(now), failure, &thresholds),
            };
            let raw = health.word();
            let after = HealthWord::unpack(raw);
            assert_eq!(after.pack(), raw);
            assert_possible(after, at(now), &thresholds);
            assert_reported(before, after, transition);
        }
    }

    fn assert_possible(word: HealthWord, now: Tick, thresholds: &Thresholds) {
        match word.state {
            HealthState::Healthy { since, fails, memory } => {
                assert!(since <= now && fails < thresholds.fails_max.unwrap().get());
                assert!(memory.round > 0 || memory.age == 0);
            }
            HealthState::Ejected(term) | HealthState::Trial(term) => {
                assert!(term.since <= now && term.round > 0);
                assert!((50..=400).contains(&term.span.millis()));
            }
        }
    }

    fn assert_reported(before: HealthWord, after: HealthWord, transition: Option<Transition>) {
        let healthy = |word: HealthWord| matches!(word.state, HealthState::Healthy { .. });
        let ejected = |word: HealthWord| matches!(word.state, HealthState::Ejected(_));
        let expected = match transition {
            Some(Transition::CheckedDown) => !before.checked_down && after.checked_down,
            Some(Transition::CheckedUp) => before.checked_down && !after.checked_down,
            Some(Transition::Readmitted) => !healthy(before) && healthy(after),
            Some(Transition::Withheld) => false,
            Some(Transition::Ejected { until, round }) => match after.state {
                HealthState::Ejected(term) => {
                    !ejected(before) && (term.until(), term.round) == (until, round)
                }
                _ => false,
            },
            None => {
                before.checked_down == after.checked_down
                    && healthy(before) == healthy(after)
                    && (ejected(before) || !ejected(after))
            }
        };
        assert!(expected, "{before:?} {transition:?} {after:?}");
    }
}
