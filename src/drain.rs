//! Graceful shutdown: a worker's sessions, and the phase that tells them to finish.
//!
//! There is one [`Drain`] per worker, never shared between threads. A session counts from the accept of
//! its connection, before its task has run, until it is dropped. After a change of phase all sessions
//! are woken, so that idle ones notice it and busy ones only have to read a `Cell`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

use crate::placement::WorkerPlace;

/// How long idle connections stay open once they are to be closed, so that a request already on its way
/// is still answered, with `Connection: close`.
pub const IDLE_GRACE: Duration = Duration::from_secs(1);

/// How long before its time a session is woken by a sweep, in seconds: sweeps are a second apart, and what is left
/// is waited for by a timer of its own.
const EARLY_SECONDS: u32 = 2;

/// How many sessions are woken at once.
const WOKEN_MAX: usize = 32;

/// The phase of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainPhase {
    /// Accepting connections and requests.
    Serving,
    /// Upgrading: idle connections are handed over to the new process, nothing is closed.
    Leaving,
    /// Finishing exchanges in progress; every response has `Connection: close`.
    Draining,
    /// Idle connections are closed too.
    Closing,
}

/// What is kept of a session here: 24 bytes.
struct Seat {
    waker: Waker,
    /// The second from which on a sweep wakes it.
    wakes_at: u32,
}

/// Stands for a second that does not come.
const NEVER: u32 = u32::MAX;

/// The sessions of one worker and its phase.
pub struct Drain {
    phase: Cell<DrainPhase>,
    sessions: RefCell<Slab<Seat>>,
    /// The second that was swept last, if any was.
    swept: Cell<Option<u32>>,
    emptied: RefCell<Option<Waker>>,
    place: WorkerPlace,
}

impl Drain {
    /// A drain in phase `Serving`, without sessions; other workers see at this place how many there are.
    pub fn new(place: WorkerPlace) -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(DrainPhase::Serving),
            sessions: RefCell::new(Slab::new()),
            swept: Cell::new(None),
            emptied: RefCell::new(None),
            place,
        })
    }

    /// The current phase.
    pub fn phase(&self) -> DrainPhase {
        self.phase.get()
    }

    /// Sets the phase and wakes every session.
    pub fn advance(&self, phase: DrainPhase) {
        self.begin(phase);
        let mut next = Some(0);
        while let Some(first) = next {
            next = self.wake_some(first);
        }
    }

    /// Sets the phase. A session at rest notices it only once it is woken.
    pub fn begin(&self, phase: DrainPhase) {
        self.phase.set(phase);
    }

    /// Wakes some of the sessions, from place `first` on, and says where the next ones are, if there may be more. To
    /// wake thousands at once would have a request wait for all of them.
    pub fn wake_some(&self, first: usize) -> Option<usize> {
        let sessions = self.sessions.borrow();
        let next = first.saturating_add(WOKEN_MAX).min(sessions.capacity());
        for seat in (first..next).filter_map(|key| sessions.get(key)) {
            seat.waker.wake_by_ref();
        }
        (next < sessions.capacity()).then_some(next)
    }

    /// Wakes the sessions whose rest ends soon after second `now`, whatever seconds count from. That is one look at each
    /// session, a nanosecond; a timer for each would take 112 bytes.
    pub fn sweep(&self, now: u32) {
        self.swept.set(Some(now));
        for (_, seat) in &mut *self.sessions.borrow_mut() {
            if seat.wakes_at <= now {
                seat.wakes_at = NEVER;
                seat.waker.wake_by_ref();
            }
        }
    }

    /// Registers a session until the guard is dropped.
    pub fn enter(self: &Rc<Self>) -> SessionGuard {
        let mut sessions = self.sessions.borrow_mut();
        let key = sessions.insert(Seat { waker: Waker::noop().clone(), wakes_at: NEVER });
        self.place.session_begun(sessions.len());
        SessionGuard { drain: Rc::clone(self), key }
    }

    /// The worker's place among all.
    pub fn place(&self) -> &WorkerPlace {
        &self.place
    }

    /// The number of sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.borrow().len()
    }

    /// Ready once the last session has ended. Only one task may wait for it.
    pub fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sessions() == 0 {
            return Poll::Ready(());
        }
        *self.emptied.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Keeps a session registered.
pub struct SessionGuard {
    drain: Rc<Drain>,
    key: usize,
}

impl SessionGuard {
    /// The current phase.
    pub fn phase(&self) -> DrainPhase {
        self.drain.phase()
    }

    /// Makes changes of phase wake this task from now on; the current phase it has to read itself.
    pub fn wakes(&self, task: &Waker) {
        if let Some(seat) = self.drain.sessions.borrow_mut().get_mut(self.key) {
            seat.waker.clone_from(task);
        }
    }

    /// Has a sweep wake this task in time for second `end`, and says whether one will: if that is too soon, or nobody
    /// sweeps, it has to see to that itself.
    pub fn rest_until(&self, end: u32) -> bool {
        let wakes_at = end.saturating_sub(EARLY_SECONDS);
        let is_long =
            self.drain.swept.get().is_some_and(|swept| swept.saturating_add(1) < wakes_at);
        if is_long && let Some(seat) = self.drain.sessions.borrow_mut().get_mut(self.key) {
            seat.wakes_at = wakes_at;
        }
        is_long
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let mut sessions = self.drain.sessions.borrow_mut();
        sessions.remove(self.key);
        self.drain.place.session_ended(sessions.len());
        if sessions.is_empty()
            && let Some(waker) = self.drain.emptied.borrow_mut().take()
        {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often it has been woken.
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_sweep_wakes_a_session_once_and_at_least_a_second_before_its_rest_ends() {
        let drain = Drain::new(WorkerPlace::apart(0));
        let (guard, other) = (drain.enter(), drain.enter());
        let count = Arc::new(Count(AtomicUsize::new(0)));
        guard.wakes(&Waker::from(Arc::clone(&count)));
        drain.sweep(10);
        assert!(guard.rest_until(75) && other.rest_until(100));
        let woken = (11..=80).filter(|now| {
            let before = count.0.load(Ordering::Relaxed);
            drain.sweep(*now);
            count.0.load(Ordering::Relaxed) > before
        });
        assert_eq!(woken.collect::<Vec<_>>(), [73]);
    }

    #[test]
    fn a_phase_is_noticed_by_a_few_sessions_at_a_time_and_in_the_end_by_all() {
        let drain = Drain::new(WorkerPlace::apart(0));
        let sessions = 2 * WOKEN_MAX + 1;
        let (count, mut guards) = (Arc::new(Count(AtomicUsize::new(0))), Vec::new());
        for _ in 0..sessions {
            let guard = drain.enter();
            guard.wakes(&Waker::from(Arc::clone(&count)));
            guards.push(guard);
        }
        let woken = || count.0.load(Ordering::Relaxed);
        drain.begin(DrainPhase::Leaving);
        assert_eq!((drain.phase(), woken()), (DrainPhase::Leaving, 0));
        let mut next = Some(0);
        while let Some(first) = next {
            let before = woken();
            next = drain.wake_some(first);
            assert!(woken() - before <= WOKEN_MAX);
            // Those that end meanwhile do not change where the others are.
            drop(guards.pop());
        }
        assert!(woken() <= sessions && woken() >= guards.len());
        let before = woken();
        drain.advance(DrainPhase::Closing);
        assert_eq!(woken() - before, guards.len());
    }

    #[test]
    fn no_session_is_left_to_a_sweep_that_does_not_come_in_time() {
        let drain = Drain::new(WorkerPlace::apart(0));
        let guard = drain.enter();
        assert!(!guard.rest_until(75));
        drain.sweep(10);
        // Eleven may be over already.
        assert_eq!([12, 13, 14].map(|end| guard.rest_until(end)), [false, false, true]);
    }

    #[test]
    fn empty_when_the_last_session_has_left() {
        let drain = Drain::new(WorkerPlace::apart(0));
        let mut cx = Context::from_waker(Waker::noop());
        let (first, second) = (drain.enter(), drain.enter());
        drop(first);
        assert_eq!(drain.poll_empty(&mut cx), Poll::Pending);
        drop(second);
        assert_eq!(drain.poll_empty(&mut cx), Poll::Ready(()));
    }
}
