//! A connection that has been accepted, and how the first bytes on it are read.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use crate::buffer::Buffer;
use crate::drain::{DrainPhase, SessionGuard};
use crate::fault::Kind;
use crate::net::limiter::ConnectionPermit;
use crate::net::listen::Peer;
use crate::net::stream::Stream;
use crate::plan::listener::Listener;
use crate::reject::Reject;

/// A connection that has been accepted. It counts as a session of its worker from here on, though its
/// task may not run before the worker is told to end.
pub struct Accepted<F> {
    /// The connection.
    pub stream: Stream,
    /// Who connected.
    pub peer: Peer,
    /// Its place among all connections.
    pub permit: ConnectionPermit,
    /// Its place among the sessions of its worker.
    pub guard: SessionGuard,
    /// Where it came in.
    pub listener: Rc<Listener<F>>,
}

impl<F> Accepted<F> {
    /// By this listener.
    pub fn new(
        stream: Stream,
        peer: Peer,
        permit: ConnectionPermit,
        listener: &Rc<Listener<F>>,
    ) -> Self {
        let guard = listener.handle.get().drain.enter();
        Self { stream, peer, permit, guard, listener: Rc::clone(listener) }
    }
}

/// Has a drain wake the task that this is called from.
pub fn begin(guard: &SessionGuard) -> impl Future<Output = ()> {
    poll_fn(|cx| {
        guard.wakes(cx.waker());
        Poll::Ready(())
    })
}

/// Reads from a connection that has just begun until `find` finds something at the start of what has
/// come, all of which is left in `early`. What waits for more takes no more memory than its size: many a
/// client may begin and not go on.
pub async fn read_opening<T>(
    (stream, guard): (&mut Stream, &SessionGuard),
    early: &mut Buffer,
    mut find: impl FnMut(&[u8]) -> Result<Option<T>, Reject>,
) -> Result<T, Kind> {
    loop {
        if let Some(found) = find(early.filled()).map_err(Kind::Rejected)? {
            return Ok(found);
        }
        match stream.read_now(early).await {
            Some(Ok(1..)) => {}
            Some(Ok(0)) => return Err(Kind::Closed),
            Some(Err(error)) => return Err(Kind::of(&error)),
            None => {
                early.settle();
                let is_idle = early.is_empty();
                let ready = poll_fn(|cx| match stream.poll_readable(cx) {
                    // A drain does not wait for a client that has sent nothing.
                    Poll::Pending if is_idle && guard.phase() == DrainPhase::Closing => {
                        Poll::Ready(Err(Kind::Closed))
                    }
                    poll => poll.map_err(|error| Kind::of(&error)),
                });
                ready.await?;
                early.unsettle();
            }
        }
    }
}
