//! What somebody has ordered of an endpoint, whatever its health.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::health::Tick;
use super::watchers::{Changes, Watchers};

/// Whether an endpoint is to have requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminMode {
    /// As its health allows.
    Ready,
    /// No new ones; it counts as healthy if it is, and what is under way goes on.
    Drained,
    /// No new ones, and it does not count as well.
    Down,
}

impl AdminMode {
    /// As it is asked for.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drained => "drain",
            Self::Down => "down",
        }
    }
}

/// The mode in force and when it was set, in one word: read for each request, hence relaxed.
/// Watchers are told of each change.
#[derive(Debug, Default)]
pub struct AdminState {
    word: AtomicU64,
    watchers: Watchers,
}

const ORDER_BITS: u32 = 2;

impl AdminState {
    /// Changes are counted there from now on.
    pub fn watch(&self, changes: &Changes) {
        self.watchers.add(changes);
    }

    /// The order in force; one load.
    #[must_use]
    pub fn mode(&self) -> AdminMode {
        Self::unpack(self.word.load(Relaxed)).0
    }

    /// The order in force and when it was given; the start of the process if none ever was.
    #[must_use]
    pub fn mode_since(&self) -> (AdminMode, Tick) {
        Self::unpack(self.word.load(Relaxed))
    }

    /// All of it in a word, for another process.
    #[must_use]
    pub fn word(&self) -> u64 {
        self.word.load(Relaxed)
    }

    /// Goes on from the word of another process that has counted ticks from the same moment.
    pub fn restore(&self, word: u64) {
        self.word.store(word, Relaxed);
        self.watchers.tell();
    }

    /// Gives an order at `now`; says whether it is another one than before.
    pub fn set(&self, order: AdminMode, now: Tick) -> bool {
        let number = match order {
            AdminMode::Ready => 0,
            AdminMode::Drained => 1,
            AdminMode::Down => 2,
        };
        let next = now.as_millis() << ORDER_BITS | number;
        let change = |word: u64| (Self::unpack(word).0 != order).then_some(next);
        let is_changed = self.word.fetch_update(Relaxed, Relaxed, change).is_ok();
        if is_changed {
            self.watchers.tell();
        }
        is_changed
    }

    fn unpack(word: u64) -> (AdminMode, Tick) {
        let order = match word & ((1 << ORDER_BITS) - 1) {
            0 => AdminMode::Ready,
            1 => AdminMode::Drained,
            _ => AdminMode::Down,
        };
        (order, Tick::from_millis(word >> ORDER_BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_stands_until_another_one_is_given() {
        let admin_state = AdminState::default();
        assert_eq!(admin_state.mode_since(), (AdminMode::Ready, Tick::from_millis(0)));
        let at = Tick::from_millis;
        assert!(
            admin_state.set(AdminMode::Drained, at(5))
                && !admin_state.set(AdminMode::Drained, at(7))
        );
        assert_eq!(admin_state.mode_since(), (AdminMode::Drained, at(5)));
        assert!(admin_state.set(AdminMode::Down, at(u64::MAX)));
        assert_eq!(admin_state.mode_since(), (AdminMode::Down, at(u64::MAX)));
        assert!(admin_state.set(AdminMode::Ready, at(9)));
        assert_eq!(admin_state.mode(), AdminMode::Ready);
    }
}
