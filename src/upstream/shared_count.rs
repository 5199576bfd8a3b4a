//! A number that all workers change.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A count of what is under way on all workers together. It has cache lines of its own, so that what is only
/// read stays in every core's cache, and guards no other memory.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct SharedCount(AtomicU64);

impl SharedCount {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// One less, of those that have been added.
    pub fn remove(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
