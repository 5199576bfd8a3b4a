//! Flow control (RFC 9113 §5.2): how much may still be sent, or received.

use std::cell::Cell;

/// What every window begins with, in bytes, unless SETTINGS say otherwise (RFC 9113 §6.9.2).
pub const WINDOW_BYTES: u32 = 65_535;

/// The largest window, in bytes (RFC 9113 §6.9.1).
pub const WINDOW_BYTES_MAX: i64 = 0x7fff_ffff;

/// A window: negative once SETTINGS have taken back what was already used (RFC 9113 §6.9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(i64);

/// A window would be larger than 2³¹−1 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowOverflow;

impl Window {
    /// Of so many bytes.
    pub fn new(bytes: u32) -> Self {
        Self(bytes.into())
    }

    /// How many bytes it has room for.
    pub fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// How many bytes it is; may be negative.
    pub fn bytes(self) -> i64 {
        self.0
    }

    /// So many bytes are sent.
    pub fn take(&mut self, bytes: usize) {
        self.0 -= i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// So many bytes are credited, or taken back.
    pub fn add(&mut self, bytes: i64) -> Result<(), WindowOverflow> {
        let sum = self.0 + bytes;
        if sum > WINDOW_BYTES_MAX {
            return Err(WindowOverflow);
        }
        self.0 = sum;
        Ok(())
    }
}

/// What a peer may send, and what of that has been used and not been credited again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// What the peer may still send.
    window: Window,
    /// What it has sent, what has been dealt with, and what it has not been told of.
    unreturned: u32,
    /// What the window is to be when nothing is unreturned and nothing waits, in bytes.
    target: u32,
}

impl Credit {
    /// For `target` bytes, of which the peer has been told.
    pub fn new(target: u32) -> Self {
        Self { window: Window::new(target), unreturned: 0, target }
    }

    /// What the window grows to.
    pub fn target(&self) -> u32 {
        self.target
    }

    /// What the peer may still send, in bytes.
    pub fn window(&self) -> Window {
        self.window
    }

    /// What can be returned but has not been, in bytes.
    pub fn unreturned(&self) -> u32 {
        self.unreturned
    }

    /// The peer has sent so many bytes; fails if that is more than it may.
    pub fn receive(&mut self, bytes: usize) -> Result<(), WindowOverflow> {
        if bytes > self.window.room() {
            return Err(WindowOverflow);
        }
        self.window.take(bytes);
        Ok(())
    }

    /// So many bytes of that have been dealt with.
    pub fn release(&mut self, bytes: usize) {
        self.unreturned = self.unreturned.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// The window is to become larger, if `target` is.
    pub fn grow(&mut self, target: u32) {
        let more = target.saturating_sub(self.target);
        self.target += more;
        self.unreturned += more;
    }

    /// SETTINGS of ours have changed what the window began with.
    #[cfg(test)]
    pub(super) fn shift(&mut self, change: i64) {
        self.window.add(change).expect("a window");
        self.target =
            self.target.checked_add_signed(change.try_into().expect("32 bits")).expect("a window");
    }

    /// What the peer is to be told now, if it is worth a frame: half of the window at the least.
    pub fn update(&mut self) -> Option<u32> {
        if self.unreturned == 0 || self.unreturned < self.target / 2 {
            return None;
        }
        let bytes = std::mem::take(&mut self.unreturned);
        // What has been received fitted the window, so that what is returned does.
        let _ = self.window.add(bytes.into());
        Some(bytes)
    }
}

/// The largest window of a stream that drains, in bytes: what a gigabit and 8 ms, or a hundred megabit
/// and 80 ms, hold.
pub const GROWN_WINDOW_BYTES: u32 = 1024 * 1024;

/// What the windows of a worker may grow by in all, in bytes: streams that drain get more than they began
/// with as long as there is some left.
#[derive(Debug)]
pub struct Allowance(Cell<u32>);

/// The allowance of a worker, in bytes.
pub const ALLOWANCE_BYTES: u32 = 16 * 1024 * 1024;

impl Default for Allowance {
    fn default() -> Self {
        Self(Cell::new(ALLOWANCE_BYTES))
    }
}

impl Allowance {
    /// Takes so many bytes, all or none.
    pub fn take(&self, bytes: u32) -> bool {
        let left = self.0.get().checked_sub(bytes);
        left.inspect(|left| self.0.set(*left)).is_some()
    }

    /// Gives so many bytes back.
    pub fn give(&self, bytes: u32) {
        self.0.set(self.0.get() + bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_become_negative_and_never_too_large() {
        let mut window = Window::new(10);
        window.take(10);
        window.add(-5).unwrap();
        assert_eq!((window.bytes(), window.room()), (-5, 0));
        assert_eq!(window.add(WINDOW_BYTES_MAX + 6), Err(WindowOverflow));
        window.add(WINDOW_BYTES_MAX + 5).unwrap();
        assert_eq!(window.bytes(), WINDOW_BYTES_MAX);
    }

    #[test]
    fn credit_is_conserved() {
        let mut credit = Credit::new(100);
        credit.receive(60).unwrap();
        assert_eq!(credit.receive(41), Err(WindowOverflow));
        credit.release(49);
        assert_eq!(credit.update(), None);
        credit.release(1);
        assert_eq!(credit.update(), Some(50));
        assert_eq!((credit.window().room(), credit.unreturned()), (90, 0));
    }

    #[test]
    fn a_window_that_grows_is_told_of() {
        let mut credit = Credit::new(100);
        credit.grow(300);
        credit.grow(200);
        assert_eq!((credit.target(), credit.update()), (300, Some(200)));
        assert_eq!(credit.window().room(), 300);
    }

    #[test]
    fn an_allowance_is_taken_whole_or_not_at_all() {
        let allowance = Allowance::default();
        assert!(allowance.take(ALLOWANCE_BYTES - 1));
        assert!(!allowance.take(2));
        allowance.give(1);
        assert!(allowance.take(2));
    }
}
