//! Ending gently: who is still there, and the word that it is time to go.
//!
//! One [`Drain`] per worker, never shared between threads. A session counts from the moment its
//! connection is accepted, before its task has run, until it is dropped; a change of phase wakes them
//! all, so that a session parked between two requests notices without looking at anything but a
//! `Cell` while it works.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// What a worker is doing as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainPhase {
    /// Taking connections and requests.
    Serving,
    /// Handing over: connections that rest go to another process, nothing is ended.
    Leaving,
    /// Finishing what has begun: every answer says `Connection: close`.
    Draining,
    /// Idle connections, too, end now.
    Closing,
}

/// The sessions of one worker and their common phase.
pub struct Drain {
    phase: Cell<DrainPhase>,
    sessions: RefCell<Slab<Waker>>,
    emptied: RefCell<Option<Waker>>,
}

impl Drain {
    /// Serving, with nobody there.
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(DrainPhase::Serving),
            sessions: RefCell::new(Slab::new()),
            emptied: RefCell::new(None),
        })
    }

    /// The phase now.
    pub fn phase(&self) -> DrainPhase {
        self.phase.get()
    }

    /// Enters the next phase and wakes every session to look at it.
    pub fn advance(&self, phase: DrainPhase) {
        self.phase.set(phase);
        for (_, waker) in &*self.sessions.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Counts a session in; it is counted out when the guard drops.
    pub fn enter(self: &Rc<Self>) -> SessionGuard {
        let key = self.sessions.borrow_mut().insert(Waker::noop().clone());
        SessionGuard { drain: Rc::clone(self), key }
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.borrow().len()
    }

    /// Ready once the last session has left. One task may wait for it.
    pub fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sessions() == 0 {
            return Poll::Ready(());
        }
        *self.emptied.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A session's presence.
pub struct SessionGuard {
    drain: Rc<Drain>,
    key: usize,
}

impl SessionGuard {
    /// The phase now.
    pub fn phase(&self) -> DrainPhase {
        self.drain.phase()
    }

    /// Has changes of phase wake this task from now on, which sees the phase now by itself.
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
        let drain = Drain::new();
        let mut cx = Context::from_waker(Waker::noop());
        let (first, second) = (drain.enter(), drain.enter());
        drop(first);
        assert_eq!(drain.poll_empty(&mut cx), Poll::Pending);
        drop(second);
        assert_eq!(drain.poll_empty(&mut cx), Poll::Ready(()));
    }
}
