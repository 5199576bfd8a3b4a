//! What an operator has commanded for an endpoint, independent of its health.

use super::health::Tick;
use super::watched_word::WatchedWord;
use super::watchers::Changes;

/// Whether an endpoint is sent new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminMode {
    /// As its health allows.
    Ready,
    /// None; those in flight finish, and it still counts as healthy if it is.
    Drained,
    /// None; those in flight finish, and it counts as unhealthy.
    Down,
}

impl AdminMode {
    /// The last part of the admin command's path.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drained => "drain",
            Self::Down => "down",
        }
    }
}

/// The mode in force and when it was set, in one word: read for each request.
#[derive(Debug, Default)]
pub struct AdminState(WatchedWord);

const MODE_BITS: u32 = 2;

impl AdminState {
    /// Changes are counted there from now on.
    pub fn watch(&self, changes: &Changes) {
        self.0.watch(changes);
    }

    /// The mode in force; one load.
    #[must_use]
    pub fn mode(&self) -> AdminMode {
        Self::unpack(self.0.load()).0
    }

    /// The mode in force and when it was set; the start of the process if it never was.
    #[must_use]
    pub fn mode_since(&self) -> (AdminMode, Tick) {
        Self::unpack(self.0.load())
    }

    /// All of it in a word, for another process.
    #[must_use]
    pub fn word(&self) -> u64 {
        self.0.load()
    }

    /// Goes on from the word of another process that has counted ticks from the same moment.
    pub fn restore(&self, word: u64) {
        self.0.restore(word);
    }

    /// Sets the mode at `now`; says whether it is another one than before.
    pub fn set(&self, mode: AdminMode, now: Tick) -> bool {
        let number = match mode {
            AdminMode::Ready => 0,
            AdminMode::Drained => 1,
            AdminMode::Down => 2,
        };
        let set = now.as_millis() << MODE_BITS | number;
        self.0.update(
            |before| if Self::unpack(before).0 == mode { (before, false) } else { (set, true) },
            |_, _| true,
        )
    }

    fn unpack(word: u64) -> (AdminMode, Tick) {
        let mode = match word & ((1 << MODE_BITS) - 1) {
            0 => AdminMode::Ready,
            1 => AdminMode::Drained,
            _ => AdminMode::Down,
        };
        (mode, Tick::from_millis(word >> MODE_BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_stays_until_another_one_is_set() {
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
