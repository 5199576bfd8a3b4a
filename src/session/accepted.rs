//! A connection that has been accepted, before anything has been read from it.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use crate::drain::SessionGuard;
use crate::net::limiter::ConnectionPermit;
use crate::net::listen::Peer;
use crate::net::stream::Stream;
use crate::plan::listener::Listener;

/// A connection that has been accepted. It counts as a session of its worker from here on, though its
/// task may not run before the worker is told to end.
pub struct Accepted {
    /// The connection.
    pub stream: Stream,
    /// Who connected.
    pub peer: Peer,
    /// Its place among all connections.
    pub permit: ConnectionPermit,
    /// Its place among the sessions of its worker.
    pub guard: SessionGuard,
    /// Where it came in.
    pub listener: Rc<Listener>,
}

impl Accepted {
    /// By this listener.
    pub fn new(
        stream: Stream,
        peer: Peer,
        permit: ConnectionPermit,
        listener: &Rc<Listener>,
    ) -> Self {
        let guard = listener.handle.get().drain.enter();
        Self { stream, peer, permit, guard, listener: Rc::clone(listener) }
    }
}

/// Has a drain wake the task that this is called from.
pub async fn begin(guard: &SessionGuard) {
    poll_fn(|cx| {
        guard.wakes(cx.waker());
        Poll::Ready(())
    })
    .await;
}
