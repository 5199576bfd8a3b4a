//! Endpoints that have left an upstream and may come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::endpoint::{Endpoint, EndpointRecord};
use crate::address::Address;

/// Endpoints that have left, for as long as anything of them is under way: one that comes back before that goes on
/// with what is known of it, or it would have a whole ceiling of requests besides those that are still there. Names
/// whose servers answer with some of their addresses at a time make that common. Touched only when endpoints are replaced.
#[derive(Debug, Default)]
pub struct Departed(Mutex<HashMap<Address, Weak<EndpointRecord>>>);

impl Departed {
    /// These have left.
    pub fn add<'a>(&self, endpoints: impl IntoIterator<Item = &'a Endpoint>) {
        let mut known = self.known();
        known.retain(|_, record| record.strong_count() > 0);
        let weak = |endpoint: &Endpoint| Arc::downgrade(&endpoint.record);
        known.extend(endpoints.into_iter().map(|left| (left.address.clone(), weak(left))));
    }

    /// What is known of the one at this address, which has come back.
    pub fn take(&self, address: &Address) -> Option<Arc<EndpointRecord>> {
        self.known().remove(address)?.upgrade()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Address, Weak<EndpointRecord>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    #[test]
    fn who_has_left_is_known_as_long_as_something_is_under_way() {
        let endpoint = |path: &str| Endpoint::new(Address::Unix(path.into()), NonZeroU16::MIN, 1);
        let (stays, goes, departed) = (endpoint("/a"), endpoint("/b"), Departed::default());
        let (address, gone) = (stays.address.clone(), goes.address.clone());
        departed.add([&stays, &goes]);
        drop(goes);
        assert!(departed.take(&gone).is_none());
        let record = departed.take(&address).unwrap();
        assert!(Arc::ptr_eq(&record, &stays.record) && departed.take(&address).is_none());
        departed.add([&endpoint("/c")]);
        departed.add([]);
        assert!(departed.known().is_empty());
    }
}
