//! A state that workers share in one word, and whose changes its watchers are told of.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::watchers::{Changes, Watchers};

/// A state packed into 64 bits. It guards no other memory, so every access to it is relaxed; what a
/// watcher has been told of, it sees.
#[derive(Debug, Default)]
pub(super) struct WatchedWord {
    word: AtomicU64,
    watchers: Watchers,
}

impl WatchedWord {
    /// All bits zero, and no watchers.
    #[must_use]
    pub(super) const fn new() -> Self {
        Self { word: AtomicU64::new(0), watchers: Watchers::new() }
    }

    /// Changes are counted there from now on.
    pub(super) fn watch(&self, changes: &Changes) {
        self.watchers.add(changes);
    }

    /// The state; one load.
    #[must_use]
    pub(super) fn load(&self) -> u64 {
        self.word.load(Relaxed)
    }

    /// Replaces the state and tells the watchers.
    pub(super) fn restore(&self, word: u64) {
        self.word.store(word, Relaxed);
        self.watchers.tell();
    }

    /// Replaces the state by the one that `event` makes of it, and returns what `event` returns beside
    /// it; `event` is called again whenever another thread was faster. Watchers are told of a change
    /// for which `matters`, given the states before and after, says so. No write without a change.
    pub(super) fn update<R>(
        &self,
        event: impl Fn(u64) -> (u64, R),
        matters: impl FnOnce(u64, u64) -> bool,
    ) -> R {
        let mut before = self.load();
        loop {
            let (after, outcome) = event(before);
            if after == before {
                return outcome;
            }
            match self.word.compare_exchange_weak(before, after, Relaxed, Relaxed) {
                Ok(_) => {
                    if matters(before, after) {
                        self.watchers.tell();
                    }
                    return outcome;
                }
                Err(changed) => before = changed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_are_told_of_changes_that_matter() {
        let (word, changes) = (WatchedWord::new(), Changes::default());
        word.watch(&changes);
        for (next, matters, told) in [(0, true, 0), (1, false, 0), (2, true, 1), (2, true, 1)] {
            let before = word.load();
            assert_eq!(word.update(|before| (next, before), |_, _| matters), before);
            assert_eq!((word.load(), changes.count()), (next, told));
        }
        word.restore(7);
        assert_eq!((word.load(), changes.count()), (7, 2));
    }
}
