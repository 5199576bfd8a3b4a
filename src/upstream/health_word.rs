//! What is known of an endpoint's health: the machine its events drive, and the 64 bits it is
//! packed into.
//!
//! Pure: plain values that each event changes in place. Sharing a word is the business of `health`,
//! which also gives this module's public names to the rest of the crate.

use std::num::NonZeroU8;
use std::time::Duration;

use super::ejections::EjectShare;
use super::span::{Span, millis};

/// Milliseconds since the process started, up to 2^40 - 1 (34 years).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u64);

impl Tick {
    const MAX: u64 = (1 << 40) - 1;

    /// Saturates at 34 years.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis < Self::MAX { millis } else { Self::MAX })
    }

    /// Milliseconds since the process started.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Drops what `duration` has below a millisecond; saturates at 34 years.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(millis(duration)))
    }
}

/// When to eject an endpoint, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Consecutive failures that eject; without it, none do.
    pub fails_max: Option<NonZeroU8>,
    /// Of the endpoints of a set, at most this share is out at a time.
    pub eject_max: EjectShare,
    /// Length of the first ejection, and how long a claimed trial may take
    /// before another may be claimed. From 1 ms to 18 hours; shorter or longer
    /// ones are brought within. Kept to one part in a thousand, rounded up.
    pub fail_timeout: Duration,
    /// Bound of the doubling ejections, within the same limits. Also how long
    /// after its readmission an endpoint's rounds are remembered (to 2 %).
    pub fail_timeout_max: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        const FAILS_MAX: NonZeroU8 = NonZeroU8::new(3).unwrap();
        Self {
            fails_max: Some(FAILS_MAX),
            eject_max: EjectShare::HALF,
            fail_timeout: Duration::from_secs(5),
            fail_timeout_max: Duration::from_secs(60),
        }
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Refused or timed out while connecting.
    Connect,
    /// Anything after the connection stood.
    Exchange,
    /// The same, for want of any answer in time.
    Silence,
}

/// The outcome of active checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckVerdict {
    /// It passes them.
    Up,
    /// It fails them.
    Down,
}

/// What an endpoint may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Any request.
    Open,
    /// A single request, by the caller that wins [`Health::claim_trial`](super::health::Health::claim_trial).
    TrialDue,
    /// None, unless all endpoints are ejected.
    Ejected,
    /// None: the active checks fail.
    Down,
}

/// How an endpoint is doing by its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// Healthy.
    Up,
    /// Out for a while.
    Ejected {
        /// When that began.
        since: Tick,
        /// When a trial is due.
        until: Tick,
        /// Counts the ejections in close succession.
        round: u8,
    },
    /// Out until a single request, the next one, has shown how it is doing.
    TrialDue,
    /// Out until that request, which is under way, has.
    Trial {
        /// When it was sent.
        since: Tick,
        /// When another one is, if this one has not ended by then.
        until: Tick,
    },
    /// Out until the active checks pass.
    Down,
}

/// A change worth logging, returned only to the caller whose update made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Out until that time or an earlier readmission.
    Ejected {
        /// When a trial is due.
        until: Tick,
        /// Counts the ejections in close succession, from 1 up to 31.
        round: u8,
    },
    /// It is not ejected, though it fails: too many others are.
    Withheld,
    /// An ejection ended.
    Readmitted,
    /// The active checks took the endpoint out.
    CheckedDown,
    /// The active checks brought it back, and ended any ejection.
    CheckedUp,
}

/// The decoded word. Its 64 bits, from the lowest:
///
/// ```text
///            40 since | 5 round | checked_down | out | trial | 16 detail
///   Healthy: detail = 8 fails | 8 age       Ejected, Trial: detail = 15 span | cause
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HealthWord {
    pub(super) checked_down: bool,
    pub(super) state: HealthState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HealthState {
    /// `since` is the last counted failure or the readmission: a failure of an
    /// attempt begun before it is old news.
    Healthy { since: Tick, fails: u8, memory: EjectionMemory },
    /// Since the ejection.
    Ejected(Term),
    /// Since the claim.
    Trial(Term),
}

/// A stretch without ordinary requests; ended by an event, not by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) since: Tick,
    pub(super) span: Span,
    pub(super) round: u8,
    /// The failure that tipped it.
    cause: FailureKind,
}

/// The round of the last ejection (0: none remembered), and the age of its
/// readmission at the state's `since`, see [`EjectionMemory::carried`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EjectionMemory {
    pub(super) round: u8,
    pub(super) age: u8,
}

const ROUND_MAX: u8 = 31;
const ROUND_SHIFT: u32 = 40;
const DETAIL_SHIFT: u32 = 48;
const FAILS: u64 = (u8::MAX as u64) << DETAIL_SHIFT;
const CHECKED_DOWN: u64 = 1 << 45;
const OUT: u64 = 1 << 46;
const TRIAL: u64 = 1 << 47;
const EXCHANGE: u16 = 1 << 15;

impl HealthWord {
    /// Whether it is ejected, or on trial.
    pub(super) fn is_out(self) -> bool {
        !matches!(self.state, HealthState::Healthy { .. })
    }

    /// Whether this packed word is of one that is neither out nor has failed since it last succeeded.
    pub(super) const fn is_untroubled(word: u64) -> bool {
        word & (OUT | FAILS) == 0
    }

    /// Whether it gets its whole share.
    pub(super) fn is_healthy(self) -> bool {
        !self.checked_down && !self.is_out()
    }

    pub(super) fn pack(self) -> u64 {
        let (since, round, flags, detail) = match self.state {
            HealthState::Healthy { since, fails, memory } => {
                let detail = u16::from_le_bytes([fails, memory.age]);
                (since, memory.round, 0, detail)
            }
            HealthState::Ejected(term) => (term.since, term.round, OUT, term.detail()),
            HealthState::Trial(term) => (term.since, term.round, OUT | TRIAL, term.detail()),
        };
        let checked = if self.checked_down { CHECKED_DOWN } else { 0 };
        let (round, detail) = (u64::from(round), u64::from(detail));
        since.0 | round << ROUND_SHIFT | checked | flags | detail << DETAIL_SHIFT
    }

    #[expect(clippy::cast_possible_truncation, reason = "picks out single fields")]
    pub(super) fn unpack(word: u64) -> Self {
        let since = Tick(word & Tick::MAX);
        let round = (word >> ROUND_SHIFT) as u8 & ROUND_MAX;
        let detail = (word >> DETAIL_SHIFT) as u16;
        let state = if word & OUT == 0 {
            let [fails, age] = detail.to_le_bytes();
            let memory = EjectionMemory { round, age };
            HealthState::Healthy { since, fails, memory }
        } else {
            let exchange = detail & EXCHANGE != 0;
            let term = Term {
                since,
                span: Span::of_bits(detail & !EXCHANGE),
                round,
                cause: if exchange { FailureKind::Exchange } else { FailureKind::Connect },
            };
            let trial = word & TRIAL != 0;
            if trial { HealthState::Trial(term) } else { HealthState::Ejected(term) }
        };
        let checked_down = word & CHECKED_DOWN != 0;
        Self { checked_down, state }
    }

    pub(super) fn admission(self, now: Tick) -> Admission {
        match self.state {
            _ if self.checked_down => Admission::Down,
            HealthState::Healthy { .. } => Admission::Open,
            HealthState::Ejected(term) | HealthState::Trial(term) if now < term.until() => {
                Admission::Ejected
            }
            HealthState::Ejected(_) | HealthState::Trial(_) => Admission::TrialDue,
        }
    }

    pub(super) fn condition(self, now: Tick) -> HealthStatus {
        match self.state {
            _ if self.checked_down => HealthStatus::Down,
            HealthState::Healthy { .. } => HealthStatus::Up,
            HealthState::Ejected(term) | HealthState::Trial(term) if now >= term.until() => {
                HealthStatus::TrialDue
            }
            HealthState::Ejected(term) => {
                HealthStatus::Ejected { since: term.since, until: term.until(), round: term.round }
            }
            HealthState::Trial(term) => {
                HealthStatus::Trial { since: term.since, until: term.until() }
            }
        }
    }

    pub(super) fn claim_trial(&mut self, now: Tick, thresholds: &Thresholds) -> bool {
        match self.state {
            HealthState::Ejected(term) | HealthState::Trial(term)
                if self.admission(now) == Admission::TrialDue =>
            {
                let span = Span::at_least(thresholds.fail_timeout);
                self.state = HealthState::Trial(Term { since: now, span, ..term });
                true
            }
            _ => false,
        }
    }

    pub(super) fn on_check(&mut self, verdict: CheckVerdict, now: Tick) -> Option<Transition> {
        match (verdict, self.checked_down) {
            (CheckVerdict::Down, true) => None,
            (CheckVerdict::Down, false) => {
                self.checked_down = true;
                Some(Transition::CheckedDown)
            }
            (CheckVerdict::Up, true) => {
                self.checked_down = false;
                self.state.readmit(now);
                Some(Transition::CheckedUp)
            }
            (CheckVerdict::Up, false) => match self.state {
                HealthState::Ejected(term) | HealthState::Trial(term)
                    if term.cause == FailureKind::Connect =>
                {
                    self.state.readmit(now)
                }
                // That it accepts connections proves nothing about exchanges.
                _ => None,
            },
        }
    }
}

impl HealthState {
    pub(super) fn on_success(&mut self, started: Tick, now: Tick) -> Option<Transition> {
        match self {
            Self::Healthy { fails, .. } => {
                *fails = 0;
                None
            }
            // In the very tick of the ejection: it may have been under way.
            Self::Ejected(term) if started <= term.since => None,
            Self::Trial(term) if started < term.since => None,
            Self::Ejected(_) | Self::Trial(_) => self.readmit(now),
        }
    }

    pub(super) fn on_failure(
        &mut self,
        started: Tick,
        now: Tick,
        failure: FailureKind,
        thresholds: &Thresholds,
        may_eject: bool,
    ) -> Option<Transition> {
        let Some(fails_max) = thresholds.fails_max.map(NonZeroU8::get) else {
            // Ejected before nothing was to be any more: the trial ends that, however it went.
            return if matches!(self, Self::Trial(_)) { self.readmit(now) } else { None };
        };
        let round = match *self {
            // Requests that fail together are one failure: a single hiccup
            // under load must not use up all of `fails_max`.
            Self::Healthy { since, .. }
                if started < since && !(failure == FailureKind::Silence && lasts(since, now)) =>
            {
                return None;
            }
            Self::Healthy { since, fails, memory } => {
                let fails = fails.saturating_add(1);
                let memory = memory.carried(since, now, thresholds.fail_timeout_max);
                if fails < fails_max {
                    *self = Self::Healthy { since: now, fails, memory };
                    return None;
                }
                if !may_eject {
                    // The next failure will do, once there is room.
                    *self = Self::Healthy { since: now, fails: fails_max - 1, memory };
                    return Some(Transition::Withheld);
                }
                memory.round
            }
            Self::Trial(term) if started >= term.since => term.round,
            Self::Trial(_) | Self::Ejected(_) => return None,
        };
        let term = Term::ejection((round + 1).min(ROUND_MAX), now, failure, thresholds);
        *self = Self::Ejected(term);
        Some(Transition::Ejected { until: term.until(), round: term.round })
    }

    fn readmit(&mut self, now: Tick) -> Option<Transition> {
        let (Self::Ejected(term) | Self::Trial(term)) = *self else { return None };
        let memory = EjectionMemory { round: term.round, age: 0 };
        *self = Self::Healthy { since: now, fails: 0, memory };
        Some(Transition::Readmitted)
    }
}

/// What lies between two failures for want of an answer, in milliseconds: an endpoint that is silent for longer has
/// not merely paused as a time-out passed. Without it an endpoint that is frozen would be ejected only after
/// `fails_max` times the time-out.
const SILENCE_MS: u64 = 50;

/// Whether a silence has gone on for long enough to count again.
fn lasts(since: Tick, now: Tick) -> bool {
    now.0.saturating_sub(since.0) >= SILENCE_MS
}

impl Term {
    /// `round` is within 1..=[`ROUND_MAX`].
    fn ejection(round: u8, now: Tick, failure: FailureKind, thresholds: &Thresholds) -> Self {
        let cause = match failure {
            FailureKind::Connect => FailureKind::Connect,
            FailureKind::Exchange | FailureKind::Silence => FailureKind::Exchange,
        };
        let doubled = thresholds.fail_timeout.saturating_mul(1 << (round - 1));
        Self {
            since: now,
            span: Span::at_least(doubled.min(thresholds.fail_timeout_max)),
            round,
            cause,
        }
    }

    pub(super) fn until(self) -> Tick {
        Tick::from_millis(self.since.0 + self.span.millis())
    }

    fn detail(self) -> u16 {
        match self.cause {
            FailureKind::Connect => self.span.bits(),
            FailureKind::Exchange | FailureKind::Silence => self.span.bits() | EXCHANGE,
        }
    }
}

impl EjectionMemory {
    const NONE: Self = Self { round: 0, age: 0 };

    /// What is remembered when `since` moves on to `now`; nothing if the
    /// readmission is more than `limit` ago.
    ///
    /// Only eight bits are left for the readmission. They count the steps of a
    /// fixed grid of `limit / 255` between it and `since`: counted on a grid,
    /// the error stays below two steps however often `since` moves.
    fn carried(self, since: Tick, now: Tick, limit: Duration) -> Self {
        let limit = millis(limit).max(1);
        let step = limit.div_ceil(u8::MAX.into());
        let readmitted = (since.0 / step).saturating_sub(self.age.into());
        match u8::try_from((now.0 / step).saturating_sub(readmitted)) {
            Ok(age) if self.round > 0 && u64::from(age) <= limit.div_ceil(step) => {
                Self { age, ..self }
            }
            _ => Self::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::from_millis(millis)
    }

    #[test]
    fn words_survive_the_round_trip() {
        let span = Span::at_least(Duration::MAX);
        let (since, round) = (Tick(Tick::MAX), ROUND_MAX);
        let memory = EjectionMemory { round, age: u8::MAX };
        let mut states = vec![
            HealthState::Healthy { since: at(0), fails: 0, memory: EjectionMemory::NONE },
            HealthState::Healthy {
                since: at(1),
                fails: 7,
                memory: EjectionMemory { round: 1, age: 2 },
            },
            HealthState::Healthy { since, fails: u8::MAX, memory },
        ];
        for (since, span, round) in [(since, span, round), (at(3), Span::of_bits(1), 1)] {
            for cause in [FailureKind::Connect, FailureKind::Exchange] {
                let term = Term { since, span, round, cause };
                states.extend([HealthState::Ejected(term), HealthState::Trial(term)]);
            }
        }
        for state in states {
            for checked_down in [false, true] {
                let word = HealthWord { checked_down, state };
                assert_eq!(HealthWord::unpack(word.pack()), word);
            }
        }
    }

    #[test]
    fn a_new_word_is_healthy() {
        let state = HealthState::Healthy { since: at(0), fails: 0, memory: EjectionMemory::NONE };
        assert_eq!(HealthWord::unpack(0), HealthWord { checked_down: false, state });
    }

    #[test]
    fn ticks_saturate_at_forty_bits() {
        assert_eq!(at(u64::MAX).as_millis(), (1 << 40) - 1);
        assert_eq!(at(1).saturating_add(Duration::MAX), at(u64::MAX));
        assert_eq!(at(1).saturating_add(Duration::from_secs(2)), at(2_001));
    }
}
