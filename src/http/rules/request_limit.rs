//! How many requests may be in flight on a route, all workers together.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The requests in flight on one route, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct InFlight(AtomicU32);

/// A ceiling for the requests in flight on a route, with their count.
#[derive(Clone, Debug)]
pub struct RequestLimit {
    max: NonZeroU32,
    in_flight: Arc<InFlight>,
}

impl RequestLimit {
    /// A ceiling under which nothing is in flight.
    pub fn new(max: NonZeroU32) -> Self {
        Self { max, in_flight: Arc::default() }
    }

    /// This ceiling, with the requests that are in flight under another one of the same route: if there are more than
    /// it lets in, none comes until enough have ended.
    #[must_use]
    pub fn in_place_of(&self, before: &Self) -> Self {
        Self { max: self.max, in_flight: Arc::clone(&before.in_flight) }
    }

    /// The ceiling.
    pub fn max(&self) -> NonZeroU32 {
        self.max
    }

    /// Lets one more in, if there is room.
    pub fn take(&self) -> Option<RoutePermit> {
        let InFlight(count) = &*self.in_flight;
        let more = |count: u32| (count < self.max.get()).then(|| count + 1);
        count.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(RoutePermit(Arc::clone(&self.in_flight)))
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.0.load(Relaxed)
    }
}

/// The same ceiling, whatever is in flight.
impl PartialEq for RequestLimit {
    fn eq(&self, other: &Self) -> bool {
        self.max == other.max
    }
}

impl Eq for RequestLimit {}

/// Lets a request be in flight on its route as long as this lasts, whatever the plan.
#[derive(Debug)]
#[must_use]
pub struct RoutePermit(Arc<InFlight>);

impl Drop for RoutePermit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(max: u32) -> RequestLimit {
        RequestLimit::new(NonZeroU32::new(max).unwrap())
    }

    #[test]
    fn each_count_has_cache_lines_of_its_own() {
        assert_eq!((size_of::<InFlight>(), align_of::<InFlight>()), (128, 128));
    }

    #[test]
    fn as_many_as_the_ceiling_are_let_in() {
        let limit = limit(2);
        let (first, _second) = (limit.take().unwrap(), limit.take().unwrap());
        assert!(limit.take().is_none());
        drop(first);
        assert!(limit.take().is_some());
        assert_eq!(limit.in_flight(), 1);
    }

    #[test]
    fn those_in_flight_count_under_the_next_ceiling() {
        let (before, next) = (limit(3), limit(2));
        let [first, second, _third] = [before.take(), before.take(), before.take()];
        let next = next.in_place_of(&before);
        assert!(first.is_some() && next.take().is_none());
        drop(first);
        assert!(next.take().is_none());
        drop(second);
        assert!(next.take().is_some());
    }

    #[test]
    fn never_more_are_let_in_by_any_number_of_threads() {
        let limit = limit(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5000 {
                        let permit = limit.take();
                        assert!(limit.in_flight() <= 3);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(limit.in_flight(), 0);
    }
}
