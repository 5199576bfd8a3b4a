//! The HTTP/2 connections to one endpoint, which the requests of one worker share.

use std::cell::OnceCell;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::freed::Freed;
use super::mux::Mux;
use super::mux_stream::MuxStream;
use crate::fault::Fault;
use crate::http::h2::connection::Connection;
use crate::http::h2::hpack::Encoder;

/// Connections to one endpoint and worker. One takes a hundred streams and more: there are others for
/// endpoints that allow few.
pub const CONNECTIONS_MAX: usize = 8;

/// Those that there are.
#[derive(Default)]
pub struct SharedConnections {
    connections: Vec<Shared>,
    opening: Option<Rc<Opening>>,
    freed: Rc<Freed>,
}

struct Shared {
    mux: Rc<Mux>,
    opened: Instant,
}

/// A connection that is being opened, and what comes of it: all who wait for it share that.
#[derive(Default)]
pub struct Opening {
    outcome: OnceCell<Result<(), Fault>>,
    done: Notify,
}

/// What can be done where no connection has room for a stream.
pub enum Full {
    /// One is being opened.
    Opens(Rc<Opening>),
    /// The caller is to open one, and to say what has come of it.
    MayOpen(Rc<Opening>),
    /// There are as many as there may be.
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
        self.connections.retain(|known| known.mux.is_usable());
        let takes = |known: &&Shared| {
            from.is_none_or(|from| known.opened >= from) && known.mux.connection().can_open()
        };
        let best = self.connections.iter().filter(takes);
        let best = best.min_by_key(|known| known.mux.connection().streams())?;
        let key = best.mux.open_stream(answers_head, ends, encode)?;
        Some(MuxStream::opened(&best.mux, key))
    }

    /// Whether there is one on which the endpoint has said that it takes no extended CONNECT (RFC 8441 §3).
    pub fn refuses_tunnels(&self) -> bool {
        let refuses = |known: &Shared| {
            known.mux.is_usable() && !known.mux.connection().peer().takes_extended_connect
        };
        self.connections.iter().any(refuses)
    }

    /// What to do instead.
    pub fn when_full(&mut self) -> Full {
        if let Some(opening) = &self.opening {
            return Full::Opens(Rc::clone(opening));
        }
        if self.connections.len() >= CONNECTIONS_MAX {
            return Full::Waits(Rc::clone(&self.freed));
        }
        let opening = Rc::<Opening>::default();
        self.opening = Some(Rc::clone(&opening));
        Full::MayOpen(opening)
    }

    /// What has come of opening one.
    pub fn opened(&mut self, outcome: Result<Rc<Mux>, Fault>, now: Instant) {
        let Some(opening) = self.opening.take() else { return };
        let outcome = outcome.map(|mux| {
            mux.tells(&self.freed);
            self.connections.push(Shared { mux, opened: now });
        });
        // It is set nowhere else.
        let _ = opening.outcome.set(outcome);
        opening.done.notify_waiters();
    }

    /// Streams go on, and no more are opened on these connections.
    pub fn retire(&mut self) {
        for known in self.connections.drain(..) {
            known.mux.act(Connection::leave);
        }
    }

    /// Those without a stream leave, and say so to the endpoint. Returns how many there were.
    pub fn retire_idle(&self) -> usize {
        let idle = self.connections.iter().filter(|known| known.is_idle());
        idle.map(|known| known.mux.act(Connection::leave)).count()
    }

    /// How many there are without a stream.
    pub fn idle(&self) -> usize {
        self.connections.iter().filter(|known| known.is_idle()).count()
    }
}

impl Shared {
    fn is_idle(&self) -> bool {
        self.mux.is_usable() && self.mux.connection().streams() == 0
    }
}

impl Opening {
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
