//! When an endpoint became healthy again.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::health_word::{Tick, Transition};

/// When an endpoint became healthy again last, in milliseconds; 0 if it always was.
#[derive(Debug, Default)]
pub struct Recovery(AtomicU64);

impl Recovery {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// When that was; the start of the process if there was none.
    #[must_use]
    pub fn at(&self) -> Tick {
        Tick::from_millis(self.0.load(Relaxed))
    }

    /// Notes a transition that is a recovery; to be called before anybody is told of it.
    pub(super) fn note(&self, transition: Option<Transition>, now: Tick) -> Option<Transition> {
        if matches!(transition, Some(Transition::Readmitted | Transition::CheckedUp)) {
            self.0.store(now.as_millis(), Relaxed);
        }
        transition
    }
}
