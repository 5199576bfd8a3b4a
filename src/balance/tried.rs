//! Which endpoints an exchange has tried.

use crate::id::EndpointId;

/// The most endpoints one exchange may try, the first attempt included.
pub const ATTEMPTS_MAX: usize = 8;

/// The endpoints that one exchange has tried already: a set of at most
/// [`ATTEMPTS_MAX`], held in place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    endpoints: [EndpointId; ATTEMPTS_MAX],
    len: usize,
}

impl Tried {
    /// Adds `endpoint`. False, and nothing changes, if it was there already or
    /// the set is full.
    pub fn insert(&mut self, endpoint: EndpointId) -> bool {
        if self.is_full() || self.contains(endpoint) {
            return false;
        }
        self.endpoints[self.len] = endpoint;
        self.len += 1;
        true
    }

    /// Whether `endpoint` was inserted before.
    #[must_use]
    pub fn contains(&self, endpoint: EndpointId) -> bool {
        self.endpoints[..self.len].contains(&endpoint)
    }

    /// All that were, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &EndpointId> {
        self.endpoints[..self.len].iter()
    }

    /// How many were.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
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
        let (mut tried, id) = (Tried::default(), EndpointId::new);
        assert!(tried.is_empty() && !tried.contains(id(0)));
        assert!(tried.insert(id(0)) && !tried.insert(id(0)));
        assert!(tried.contains(id(0)) && !tried.contains(id(1)));
        for index in 1..ATTEMPTS_MAX {
            assert!(!tried.is_full() && tried.insert(id(index * 100)));
        }
        assert!(tried.is_full() && !tried.insert(id(99)) && !tried.contains(id(99)));
    }
}
