//! Graceful shutdown: a worker's sessions, and the phase that tells them to finish.
//!
//! There is one [`Drain`] per worker, never shared between threads. A session counts from the accept of
//! its connection, before its task has run, until it is dropped. A change of phase wakes all sessions,
//! so that idle ones notice it and busy ones only have to read a `Cell`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

use crate::placement::WorkerPlace;

/// How long idle connections stay open once they are to be closed, so that a request already on its way
/// is still answered, with `Connection: close`.
pub const IDLE_GRACE: Duration = Duration::from_secs(1);

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

/// The sessions of one worker and its phase.
pub struct Drain {
    phase: Cell<DrainPhase>,
    sessions: RefCell<Slab<Waker>>,
    emptied: RefCell<Option<Waker>>,
    place: WorkerPlace,
}

impl Drain {
    /// A drain in phase `Serving`, without sessions; other workers see at this place how many there are.
    pub fn new(place: WorkerPlace) -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(DrainPhase::Serving),
            sessions: RefCell::new(Slab::new()),
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
        self.phase.set(phase);
        for (_, waker) in &*self.sessions.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Registers a session until the guard is dropped.
    pub fn enter(self: &Rc<Self>) -> SessionGuard {
        let mut sessions = self.sessions.borrow_mut();
        let key = sessions.insert(Waker::noop().clone());
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
        if let Some(waker) = self.drain.sessions.borrow_mut().get_mut(self.key) {
            waker.clone_from(task);
        }
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
    use super::*;

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
