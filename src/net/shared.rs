//! The HTTP/2 connections to one endpoint, which the requests of one worker share.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::freed::Freed;
use super::mux::Mux;
use super::mux_stream::MuxStream;
use crate::fault::{Fault, Kind, Stage};
use crate::http::h2::hpack::Encoder;

/// Connections to one endpoint and worker. One takes a hundred streams and more: there are others for
/// endpoints that allow few.
pub const CONNECTIONS_MAX: usize = 8;

/// Those that there are.
#[derive(Default)]
pub struct SharedConnections {
    connections: Vec<SharedConnection>,
    opening: Option<Rc<ConnectionOpening>>,
    freed: Rc<Freed>,
}

struct SharedConnection {
    mux: Rc<Mux>,
    opened: Instant,
}

/// A connection that is being opened, and what comes of it: all who wait for it share that.
pub struct ConnectionOpening {
    /// What is wrong if it takes any longer.
    pub late: Cell<Fault>,
    outcome: OnceCell<Result<(), Fault>>,
    done: Notify,
}

/// What can be done where no connection has room for a stream.
pub enum Full {
    /// One is being opened.
    Opens(Rc<ConnectionOpening>),
    /// The caller is to open one, and to say what has come of it.
    MayOpen(Rc<ConnectionOpening>),
    /// There are as many as there may be, or another one would take no streams either.
    Waits(Rc<Freed>),
}

impl SharedConnections {
    /// Opens a stream on the connection that has the fewest, of those that were opened at `from` or
    /// later if that is given.
    pub fn open_stream(
        &mut self,
        from: Option<Instant>,
        answers_head: bool,
        ends: bool,
        encode: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) -> Option<MuxStream> {
        self.sweep();
        let takes = |known: &&SharedConnection| {
            from.is_none_or(|from| known.opened >= from) && known.mux.connection().can_open()
        };
        let best = self.connections.iter().filter(takes);
        let best = best.min_by_key(|known| known.mux.connection().streams())?;
        let key = best.mux.open_stream(answers_head, ends, encode)?;
        Some(MuxStream::opened(&best.mux, key))
    }

    /// Whether there is one on which the endpoint has said that it takes no extended CONNECT (RFC 8441 §3).
    pub fn refuses_tunnels(&self) -> bool {
        let refuses = |known: &SharedConnection| {
            known.mux.is_usable() && !known.mux.connection().peer().takes_extended_connect
        };
        self.connections.iter().any(refuses)
    }

    /// Whether there is none that takes streams, now or later.
    pub fn is_empty(&self) -> bool {
        !self.connections.iter().any(|known| known.mux.is_usable())
    }

    /// What to do instead.
    pub fn when_full(&mut self) -> Full {
        if let Some(opening) = &self.opening {
            return Full::Opens(Rc::clone(opening));
        }
        let takes_none = |known: &SharedConnection| known.mux.connection().takes_none();
        if self.connections.len() >= CONNECTIONS_MAX || self.connections.iter().any(takes_none) {
            return Full::Waits(Rc::clone(&self.freed));
        }
        let opening = Rc::new(ConnectionOpening::new());
        self.opening = Some(Rc::clone(&opening));
        Full::MayOpen(opening)
    }

    /// What has come of opening one.
    pub fn opened(&mut self, outcome: Result<Rc<Mux>, Fault>, now: Instant) {
        let Some(opening) = self.opening.take() else { return };
        let outcome = outcome.map(|mux| {
            mux.tells(&self.freed);
            self.connections.push(SharedConnection { mux, opened: now });
        });
        // It is set nowhere else.
        let _ = opening.outcome.set(outcome);
        opening.done.notify_waiters();
    }

    /// Lets go of those on which no more streams are opened: each closes once it has none left.
    pub fn sweep(&mut self) {
        self.connections.retain(|known| known.mux.is_usable());
    }

    /// Streams go on, and no more are opened on these connections.
    pub fn retire(&mut self) {
        for known in self.connections.drain(..) {
            known.mux.retire();
        }
    }

    /// Those without a stream leave, and say so to the endpoint. Returns how many there were.
    pub fn retire_idle(&self) -> usize {
        let idle = self.connections.iter().filter(|known| known.is_idle());
        idle.map(|known| known.mux.retire()).count()
    }

    /// How many there are without a stream.
    pub fn idle(&self) -> usize {
        self.connections.iter().filter(|known| known.is_idle()).count()
    }
}

impl SharedConnection {
    fn is_idle(&self) -> bool {
        self.mux.is_usable() && self.mux.connection().streams() == 0
    }
}

impl ConnectionOpening {
    fn new() -> Self {
        let late = Cell::new(Fault::upstream(Stage::Connect, Kind::TimedOut));
        Self { late, outcome: OnceCell::new(), done: Notify::new() }
    }

    /// Waits until it has come to something.
    pub async fn outcome(&self) -> Result<(), Fault> {
        loop {
            let done = self.done.notified();
            if let Some(outcome) = self.outcome.get() {
                return *outcome;
            }
            done.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::buffer::Buffer;
    use crate::http::h2::connection::{Connection, Role};
    use crate::http::h2::flow::WINDOW_BYTES;
    use crate::http::h2::limits::ConnectionLimits;
    use crate::http::h2::section::SectionLimits;
    use crate::net::memory::Memory;
    use crate::net::socket::Socket;
    use crate::net::stream::Stream;

    #[test]
    fn a_connection_that_takes_no_more_makes_room_for_another_and_is_let_go_of() {
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let limits = ConnectionLimits { streams_max: 0, window_bytes: WINDOW_BYTES, section };
        let connection = Connection::new(Role::Client, limits, 1, Rc::default());
        let (ours, theirs) = Memory::pair(1 << 16);
        let mux = Mux::new(Stream::Plain(Socket::Memory(ours)), connection, Buffer::new());
        let mut shared = SharedConnections::default();
        shared.when_full();
        shared.opened(Ok(Rc::clone(&mux)), Instant::now());
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(theirs.poll_write(cx, b"\0\0\0\x04\0\0\0\0\0").is_ready());
        assert!(mux.poll(cx).is_pending());
        let freed = Rc::clone(&shared.freed);
        let mut waiting = pin!(freed.wait());
        assert!(waiting.as_mut().poll(cx).is_pending());
        let go_away = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
        assert!(theirs.poll_write(cx, go_away).is_ready());
        assert!(mux.poll(cx).is_ready() && waiting.poll(cx).is_ready());
        shared.sweep();
        assert_eq!(Rc::strong_count(&mux), 1);
    }
}
