//! The line of those who wait for room: who is called, who is shed, and that no turn is lost.

#[cfg(test)]
mod tests {
    use std::task::{Poll, Waker};
    use std::time::Duration;

    use crate::id::EndpointId;
    use crate::shed::Shed;
    use crate::upstream::queue::{Entrant, FreedAt, QueueEntry, RequestQueue};

    /// One of the usual kind, while so many are at work.
    fn entrant(at_work: usize) -> Entrant {
        let interval = Duration::from_millis(100);
        Entrant { kind: Some(1), max: 10, permitted: (1000, at_work), interval }
    }

    fn enter(queue: &RequestQueue, millis: u64) -> Result<QueueEntry<'_>, Shed> {
        queue.enter(&entrant(1), Duration::from_millis(millis))
    }

    fn poll(entry: &mut QueueEntry<'_>) -> Poll<Result<Option<FreedAt>, Shed>> {
        entry.poll(Waker::noop())
    }

    /// One that has looked once, and found nothing.
    fn waits(queue: &RequestQueue, millis: u64) -> QueueEntry<'_> {
        let mut entry = enter(queue, millis).unwrap();
        if poll(&mut entry).is_ready() {
            entry.not_served();
        }
        assert!(poll(&mut entry).is_pending());
        entry
    }

    #[test]
    fn the_first_of_its_kind_looks_at_once_and_the_rest_wait_for_their_turn() {
        let queue = RequestQueue::default();
        let mut first = enter(&queue, 0).unwrap();
        assert_eq!(poll(&mut first), Poll::Ready(Ok(None)));
        let mut second = enter(&queue, 0).unwrap();
        assert!(poll(&mut second).is_pending());
        first.not_served();
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        let other = Entrant { kind: None, ..entrant(1) };
        let mut other = queue.enter(&other, Duration::ZERO).unwrap();
        assert_eq!(poll(&mut other), Poll::Ready(Ok(None)));
        assert_eq!(queue.waiting(), 3);
        drop((first, second, other));
        assert!(!queue.is_waited_in());
    }

    #[test]
    fn the_first_of_its_kind_looks_though_the_line_is_full_or_kept_short() {
        let queue = RequestQueue::default();
        let waiting: Vec<_> = (0..10).map(|_| waits(&queue, 0)).collect();
        let other = |millis| {
            let entrant = Entrant { kind: Some(2), ..entrant(1) };
            queue.enter(&entrant, Duration::from_millis(millis))
        };
        let mut first = other(0).unwrap();
        assert_eq!(poll(&mut first), Poll::Ready(Ok(None)));
        assert_eq!(other(0).unwrap_err(), Shed::Full);
        first.served(None, true);
        let mut next = other(1000).unwrap();
        assert_eq!(poll(&mut next), Poll::Ready(Ok(None)));
        assert_eq!(enter(&queue, 1000).unwrap_err(), Shed::Late);
        drop(waiting);
    }

    #[test]
    fn a_turn_that_is_not_used_is_passed_on() {
        let queue = RequestQueue::default();
        let (first, second) = (waits(&queue, 0), waits(&queue, 0));
        let mut third = waits(&queue, 0);
        let freed = Some(FreedAt { endpoint: EndpointId::new(3), record: 7 });
        queue.call(freed);
        drop(first);
        drop(second);
        assert_eq!(poll(&mut third), Poll::Ready(Ok(freed)));
        // A call for which nobody waits is kept for whoever comes before it is clear what became of it.
        queue.call(freed);
        let mut fourth = enter(&queue, 0).unwrap();
        assert!(poll(&mut fourth).is_ready());
    }

    #[test]
    fn who_has_found_room_where_there_is_more_calls_the_next() {
        let queue = RequestQueue::default();
        let freed = |record| Some(FreedAt { endpoint: EndpointId::new(0), record });
        // What it was called for, and whether that is all: nobody else is called.
        for (taken, more, calls) in [(1, false, false), (1, true, true), (2, false, true)] {
            let (first, mut second) = (waits(&queue, 0), waits(&queue, 0));
            queue.call(freed(1));
            first.served(freed(taken), more);
            assert_eq!(poll(&mut second).is_ready(), calls);
        }
    }

    #[test]
    fn what_it_was_called_for_is_not_forgotten_for_more_elsewhere() {
        let queue = RequestQueue::default();
        let freed = |record| Some(FreedAt { endpoint: EndpointId::new(0), record });
        let (first, mut second) = (waits(&queue, 0), waits(&queue, 0));
        let mut third = waits(&queue, 0);
        queue.call(freed(1));
        first.served(freed(2), true);
        // Where it is, the second has to find out.
        assert_eq!(poll(&mut second), Poll::Ready(Ok(None)));
        second.served(freed(2), false);
        assert!(poll(&mut third).is_ready());
    }

    #[test]
    fn no_more_wait_than_may() {
        let queue = RequestQueue::default();
        let waiting: Vec<_> = (0..10).map(|_| waits(&queue, 0)).collect();
        assert_eq!(enter(&queue, 0).unwrap_err(), Shed::Full);
        drop(waiting);
        assert!(enter(&queue, 0).is_ok());
    }

    #[test]
    fn a_line_that_has_been_too_long_for_an_interval_is_kept_short() {
        let queue = RequestQueue::default();
        let mut waiting: Vec<_> = (0..6).map(|_| waits(&queue, 0)).collect();
        waiting.push(waits(&queue, 99));
        assert!(waiting.iter_mut().all(|entry| poll(entry).is_pending()));
        assert_eq!(enter(&queue, 100).unwrap_err(), Shed::Late);
        let told: Vec<_> = waiting.iter_mut().map(poll).collect();
        assert!(told[..2].iter().all(Poll::is_pending));
        assert!(told[2..].iter().all(|told| *told == Poll::Ready(Err(Shed::Late))));
        waiting.truncate(1);
        waiting.push(waits(&queue, 150));
        assert_eq!(enter(&queue, 200).unwrap_err(), Shed::Late);
    }

    #[test]
    fn it_may_be_longer_again_once_as_many_find_room_at_once_as_were_shed() {
        let queue = RequestQueue::default();
        let _waiting: Vec<_> = (0..3).map(|_| waits(&queue, 0)).collect();
        let later = |found: u64, millis| {
            let entrant = Entrant { permitted: (1000 + found, 1), ..entrant(1) };
            queue.enter(&entrant, Duration::from_millis(millis))
        };
        assert!(later(0, 100).is_err());
        assert!((0..60).all(|_| later(0, 150).is_err()));
        assert!(later(50, 300).is_err(), "too few have found room");
        assert!(later(300, 500).is_ok());
    }
}
