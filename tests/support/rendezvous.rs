//! Where a test and its origin wait for each other.

use std::sync::{Arc, Condvar, Mutex};

use super::HANG;

/// A barrier for two that fails instead of waiting forever when the other one does not come.
#[derive(Clone, Default)]
pub struct Rendezvous(Arc<(Mutex<usize>, Condvar)>);

impl Rendezvous {
    /// Returns once the other one waits, too.
    pub fn wait(&self) {
        let (arrivals, changed) = &*self.0;
        let mut arrived = arrivals.lock().expect("lock");
        *arrived += 1;
        let both = arrived.div_ceil(2) * 2;
        changed.notify_one();
        let (arrived, _) =
            changed.wait_timeout_while(arrived, HANG, |arrived| *arrived < both).expect("lock");
        assert!(*arrived >= both, "the other one did not come");
    }
}
