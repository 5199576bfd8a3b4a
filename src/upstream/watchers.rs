//! Counts of changes to what is shared of an endpoint, so that plans notice them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::queue::RequestQueue;

/// Counts the changes of several things; read for each pick, and written only by a change.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    count: AtomicU64,
    /// Who waits for one, if anybody may.
    queue: OnceLock<Arc<RequestQueue>>,
}

impl Changes {
    /// How many there have been. What had changed by then is seen by anyone who reads it afterwards.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    /// From now on somebody in this queue is called for each.
    pub fn call(&self, queue: &Arc<RequestQueue>) {
        let _ = self.0.queue.set(Arc::clone(queue));
    }
}

/// Those that count the changes of one thing: the plans it is in.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<Vec<Weak<Counted>>>);

impl Watchers {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// From now on changes are counted there too, for as long as anybody reads it.
    pub fn add(&self, changes: &Changes) {
        let mut watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| watcher.strong_count() > 0);
        watchers.push(Arc::downgrade(&changes.0));
    }

    /// Something has changed, and has been written already.
    pub fn tell(&self) {
        let watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for changes in watchers.iter().filter_map(Weak::upgrade) {
            changes.count.fetch_add(1, Ordering::Release);
            if let Some(queue) = changes.queue.get() {
                queue.call(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_by_all_who_still_watch() {
        let (watchers, gone, stays) = (Watchers::new(), Changes::default(), Changes::default());
        watchers.add(&gone);
        watchers.tell();
        assert_eq!(gone.count(), 1);
        drop(gone);
        watchers.add(&stays);
        watchers.tell();
        assert_eq!(stays.count(), 1);
        assert_eq!(watchers.0.lock().unwrap().len(), 1);
    }
}
