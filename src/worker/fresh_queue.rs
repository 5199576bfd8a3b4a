//! The connections that other workers give to one, before a byte of them is read.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

use crate::id::ListenerId;
use crate::net::limiter::ConnectionPermit;
use crate::net::listen::Incoming;
use crate::placement::COMING_MAX;

/// A connection that has been accepted by another worker.
pub struct FreshConnection {
    /// The connection, which no reactor knows.
    pub incoming: Incoming,
    /// Its place among all connections.
    pub permit: ConnectionPermit,
    /// Where it came in.
    pub listener: ListenerId,
}

/// The connections that others give to one worker. Whoever adds one has reserved a place in
/// [`WorkerLoads`](crate::placement::WorkerLoads), so that there are at most [`COMING_MAX`].
///
/// The lock is held for a few moves, by the worker and by those who give: for connections that do not stay where
/// they were accepted, and for no others. Each worker's lies on cache lines of its own.
#[repr(align(128))]
pub struct FreshQueue(Mutex<Fresh>);

struct Fresh {
    /// Those that the worker can serve at: a connection that is in the queue is of one of these.
    listeners: Vec<ListenerId>,
    connections: Vec<FreshConnection>,
    /// The worker, if it waits.
    waiting: Option<Waker>,
}

impl Default for FreshQueue {
    fn default() -> Self {
        let connections = Vec::with_capacity(COMING_MAX);
        Self(Mutex::new(Fresh { listeners: Vec::new(), connections, waiting: None }))
    }
}

impl FreshQueue {
    /// Adds a connection, or gives it back: if the worker does not serve at its listener, or somebody else is at
    /// the queue and would have to be waited for.
    pub fn push(&self, connection: FreshConnection) -> Result<(), FreshConnection> {
        let Some(mut fresh) = self.try_lock() else { return Err(connection) };
        if !fresh.listeners.contains(&connection.listener) {
            return Err(connection);
        }
        fresh.connections.push(connection);
        let waiting = fresh.waiting.take();
        drop(fresh);
        if let Some(waker) = waiting {
            waker.wake();
        }
        Ok(())
    }

    /// From now on connections of these listeners are taken.
    pub fn open(&self, listeners: Vec<ListenerId>) {
        self.lock().listeners = listeners;
    }

    /// From now on none is; those that have come are returned.
    pub fn close(&self) -> Vec<FreshConnection> {
        let mut fresh = self.lock();
        fresh.listeners.clear();
        std::mem::take(&mut fresh.connections)
    }

    /// Those that have come, as soon as there are some. Only the worker may wait for them.
    pub fn poll_take(&self, cx: &Context<'_>) -> Poll<Vec<FreshConnection>> {
        let mut fresh = self.lock();
        if fresh.connections.is_empty() {
            fresh.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(fresh.connections.drain(..).collect())
    }

    /// Takes from a worker that is stuck, or gone, what another can serve.
    pub fn rescue(&self, can_serve: impl Fn(ListenerId) -> bool) -> Vec<FreshConnection> {
        let Some(mut fresh) = self.try_lock() else { return Vec::new() };
        fresh.connections.extract_if(.., |connection| can_serve(connection.listener)).collect()
    }

    /// What is in it is whole even if its worker has panicked.
    fn lock(&self) -> MutexGuard<'_, Fresh> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Fresh>> {
        match self.0.try_lock() {
            Ok(fresh) => Some(fresh),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn fresh(listener: ListenerId) -> FreshConnection {
        let incoming = Incoming::Unix(UnixStream::pair().unwrap().0);
        FreshConnection { incoming, permit: ConnectionPermit::alone(), listener }
    }

    #[test]
    fn a_connection_is_given_back_where_nobody_serves_at_its_listener() {
        let (queue, here) = (FreshQueue::default(), ListenerId::FIRST);
        assert!(queue.push(fresh(here)).is_err());
        queue.open(vec![here]);
        assert!(queue.push(fresh(here.next())).is_err());
        assert!(queue.push(fresh(here)).is_ok());
    }

    #[test]
    fn a_queue_that_closes_returns_what_has_come_and_takes_no_more() {
        let (queue, here) = (FreshQueue::default(), ListenerId::FIRST);
        queue.open(vec![here]);
        assert!(queue.push(fresh(here)).is_ok());
        assert_eq!(queue.close().len(), 1);
        assert!(queue.push(fresh(here)).is_err());
    }

    #[test]
    fn who_gives_does_not_wait_for_the_queue() {
        let (queue, here) = (FreshQueue::default(), ListenerId::FIRST);
        queue.open(vec![here]);
        let held = queue.lock();
        assert!(queue.push(fresh(here)).is_err());
        drop(held);
        assert!(queue.push(fresh(here)).is_ok());
    }

    #[test]
    fn another_worker_takes_what_it_can_serve_and_leaves_the_rest() {
        let (queue, here) = (FreshQueue::default(), ListenerId::FIRST);
        queue.open(vec![here, here.next()]);
        assert!(queue.push(fresh(here)).is_ok() && queue.push(fresh(here.next())).is_ok());
        assert_eq!(queue.rescue(|listener| listener == here).len(), 1);
        assert_eq!(queue.close().len(), 1);
    }
}
