//! How many requests are at one endpoint, counted over all workers, and how many may be.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// The requests at one endpoint of an upstream that has a ceiling for them.
///
/// One count for all workers, on a cache line of its own, touched only where there is a ceiling. The
/// ceiling is an argument: a reload that lowers it takes nobody's place away, and nobody gets one until
/// enough have ended. Sequentially consistent, as is the count of those who wait in a
/// [`RequestQueue`]: of one who finds no room and then says that it waits, and one who makes room and
/// then looks who waits, at least one sees the other.
///
/// [`RequestQueue`]: super::queue::RequestQueue
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Permits {
    taken: AtomicU32,
    /// The ceiling that was asked for last.
    max: AtomicU32,
}

impl Permits {
    /// Takes one, if fewer than `max` are taken.
    #[must_use]
    pub fn take(&self, max: u32) -> bool {
        if self.max.load(SeqCst) != max {
            self.max.store(max, SeqCst);
        }
        let more = |taken: u32| (taken < max).then(|| taken + 1);
        self.taken.fetch_update(SeqCst, SeqCst, more).is_ok()
    }

    /// Gives back one that was taken. Whether there is room now is for whoever wants it to find out: during a reload
    /// not all go by the same ceiling.
    pub fn give_back(&self) {
        self.taken.fetch_sub(1, SeqCst);
    }

    /// Whether there is room, by the ceiling asked for last.
    #[must_use]
    pub fn have_room(&self) -> bool {
        self.taken() < self.max.load(SeqCst)
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_ceiling_are_taken_by_any_number_of_threads() {
        let (permits, most) = (Permits::default(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        if permits.take(3) {
                            most.fetch_max(permits.taken(), SeqCst);
                            permits.give_back();
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
        assert_eq!(permits.taken(), 0);
    }

    #[test]
    fn a_lowered_ceiling_waits_until_enough_have_ended() {
        let permits = Permits::default();
        assert!(permits.take(3) && permits.take(3) && permits.take(3) && !permits.take(3));
        assert!(!permits.take(1));
        for _ in 0..2 {
            permits.give_back();
            assert!(!permits.have_room() && !permits.take(1));
        }
        permits.give_back();
        assert!(permits.have_room() && permits.take(1));
    }
}
