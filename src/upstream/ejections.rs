//! How many endpoints of an upstream are ejected, and how many may be.
//!
//! Each health is counted in one place: among the endpoints of its role in the set that it came into last. It goes from one to the next
//! under a lock of its own ([`Health`](super::health::Health)), so that the count is right whatever happens meanwhile.
//! While a set is replaced nothing is ejected, in the old one or in the new one. Nothing is written here but by an
//! ejection, and by the end of one.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A share of the endpoints of one role, 1–100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectShare(NonZeroU8);

impl EjectShare {
    /// One half.
    pub const HALF: Self = Self(NonZeroU8::new(50).expect("50 is not 0"));

    /// All of them.
    pub const ALL: Self = Self(NonZeroU8::new(100).expect("100 is not 0"));

    /// Of so many percent, 1–100.
    pub fn of_percent(percent: u8) -> Option<Self> {
        NonZeroU8::new(percent).filter(|percent| percent.get() <= 100).map(Self)
    }

    /// In percent, 1–100.
    pub const fn percent(self) -> u8 {
        self.0.get()
    }

    /// How many of so many endpoints may be out at a time: rounded down, and one at least.
    pub fn most(self, endpoints: usize) -> usize {
        (endpoints.saturating_mul(self.percent().into()) / 100).max(1)
    }
}

impl Default for EjectShare {
    fn default() -> Self {
        Self::HALF
    }
}

/// Endpoints of one role and set that are ejected, or on trial.
#[derive(Debug)]
pub struct EjectedCount {
    /// How many, and [`CLOSED`].
    out: AtomicUsize,
    endpoints: usize,
}

/// No more are to be ejected: the endpoints come, or go.
const CLOSED: usize = 1 << (usize::BITS - 1);

impl EjectedCount {
    /// Of so many endpoints that have yet to come.
    pub(super) fn of(endpoints: usize) -> Arc<Self> {
        Arc::new(Self { out: AtomicUsize::new(CLOSED), endpoints })
    }

    /// All have come.
    pub(super) fn open(&self) {
        self.out.fetch_and(!CLOSED, Relaxed);
    }

    /// They go into another set.
    pub(super) fn close(&self) {
        self.out.fetch_or(CLOSED, Relaxed);
    }

    /// How many there are now.
    #[must_use]
    pub fn get(&self) -> usize {
        self.out.load(Relaxed) & !CLOSED
    }

    /// How many of these may be out at a time.
    #[must_use]
    pub fn most(&self, share: EjectShare) -> usize {
        share.most(self.endpoints).min(self.endpoints)
    }

    /// Counts one more, unless there would be more than `share` allows, or endpoints come or go.
    pub(super) fn admit(&self, share: EjectShare) -> bool {
        let most = self.most(share);
        // One that is closed seems to have more than there can be.
        let more = |out| (out < most).then_some(out + 1);
        self.out.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Counts one more, whatever is allowed: it was ejected before it came here.
    pub(super) fn add(&self) {
        self.out.fetch_add(1, Relaxed);
    }

    /// Counts one less.
    pub(super) fn remove(&self) {
        self.out.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_down_and_one_at_least() {
        let rows =
            [(50, 1, 1), (50, 2, 1), (50, 3, 1), (50, 4, 2), (1, 99, 1), (10, 25, 2), (100, 3, 3)];
        for (percent, endpoints, most) in rows {
            let share = EjectShare::of_percent(percent).unwrap();
            assert_eq!(share.most(endpoints), most, "{percent} % of {endpoints}");
        }
        assert_eq!((EjectShare::of_percent(0), EjectShare::of_percent(101)), (None, None));
    }

    #[test]
    fn no_more_are_admitted_than_the_share_allows() {
        let count = EjectedCount::of(4);
        assert!(!count.admit(EjectShare::HALF));
        count.open();
        let admitted: Vec<bool> = (0..3).map(|_| count.admit(EjectShare::HALF)).collect();
        assert_eq!((admitted, count.get()), (vec![true, true, false], 2));
        count.remove();
        assert!(count.admit(EjectShare::HALF));
        // What came here ejected counts, too.
        count.add();
        count.remove();
        assert!(!count.admit(EjectShare::HALF));
        count.remove();
        count.close();
        assert_eq!((count.admit(EjectShare::HALF), count.get()), (false, 1));
    }
}
