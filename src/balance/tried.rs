//! Which endpoints an exchange has tried.

/// The most endpoints one exchange may try, the first attempt included.
pub const ATTEMPTS_MAX: usize = 8;

/// The endpoints that one exchange has tried already: a set of at most
/// [`ATTEMPTS_MAX`] indices, held in place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    indices: [usize; ATTEMPTS_MAX],
    len: usize,
}

impl Tried {
    /// Adds `index`. False, and nothing changes, if it was there already or
    /// the set is full.
    pub fn insert(&mut self, index: usize) -> bool {
        if self.is_full() || self.contains(index) {
            return false;
        }
        self.indices[self.len] = index;
        self.len += 1;
        true
    }

    /// Whether `index` was inserted before.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        self.indices[..self.len].contains(&index)
    }

    /// Whether the exchange has used up its attempts.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == ATTEMPTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tried_holds_different_endpoints_until_full() {
        let mut tried = Tried::default();
        assert!(!tried.contains(0));
        assert!(tried.insert(0) && !tried.insert(0));
        assert!(tried.contains(0) && !tried.contains(1));
        for index in 1..ATTEMPTS_MAX {
            assert!(!tried.is_full() && tried.insert(index * 100));
        }
        assert!(tried.is_full() && !tried.insert(99) && !tried.contains(99));
    }
}
