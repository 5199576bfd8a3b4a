//! The way out of a process that hands over to another one: connections that rest go there as they
//! are, without their peers noticing.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::net::SendFlags;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use super::upgrade_socket::Channel;
use crate::id::ListenerId;
use crate::proxy_protocol::Header;

/// How long the other process may take to make room for a connection.
const LIMIT: Duration = Duration::from_secs(5);

/// Between two tries while it does not: rare, and ends once the other process has read.
const PAUSE: Duration = Duration::from_millis(1);

/// Room for some thirty connections on their way: a request that has come on one waits for those before it.
const ROOM_BYTES: usize = 16 * 1024;

/// What is said of a connection that goes along.
#[derive(Debug, Serialize, Deserialize)]
pub enum HandedOff {
    /// A client's, between two requests.
    Client {
        /// Where it came in.
        listener: ListenerId,
        /// The address of the connection.
        peer: Option<IpAddr>,
        /// What a proxy in front said of it.
        header: Option<Header>,
        /// Whether it has been answered before.
        is_answered: bool,
    },
    /// One to an endpoint, idle.
    Idle {
        /// The name of the upstream.
        upstream: String,
        /// The address of the endpoint.
        address: String,
        /// Bytes written to it so far.
        carried: u64,
    },
}

/// The way out.
pub struct HandOff {
    channel: Channel,
    is_barred: Cell<bool>,
    is_crowded: Cell<bool>,
    /// Since when the other process has made no room, whichever connection waits for it.
    full_since: Cell<Option<Instant>>,
    /// One sends at a time, so that a full socket is tried by one.
    turn: Semaphore,
}

/// Its turn to go out, which lasts until this is dropped.
pub struct ExitTurn<'a> {
    hand_off: &'a HandOff,
    _permit: SemaphorePermit<'a>,
}

/// Nothing goes out any more: the other process is gone, or takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOffClosed;

impl HandOff {
    /// Through a channel.
    pub fn new(channel: Channel) -> Self {
        // Without this more of them wait, and nothing else changes.
        let _ = channel.set_room(ROOM_BYTES);
        Self {
            channel,
            is_barred: Cell::new(false),
            is_crowded: Cell::new(true),
            full_since: Cell::new(None),
            turn: Semaphore::new(1),
        }
    }

    /// Whether anything goes out.
    pub fn is_barred(&self) -> bool {
        self.is_barred.get()
    }

    /// Whether all that rest are on their way out. Then a request is not to go with its connection, which may have to
    /// wait in the other process.
    pub fn is_crowded(&self) -> bool {
        self.is_crowded.get()
    }

    /// Those that rest are out.
    pub fn end_crowd(&self) {
        self.is_crowded.set(false);
    }

    /// Waits until those that came before are out, unless nothing goes out any more.
    pub async fn turn(&self) -> Result<ExitTurn<'_>, HandOffClosed> {
        let turn = self.turn.acquire().await.map_err(|_| HandOffClosed)?;
        if self.is_barred() {
            Err(HandOffClosed)
        } else {
            Ok(ExitTurn { hand_off: self, _permit: turn })
        }
    }

    async fn send(&self, handed_off: &HandedOff, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let bytes = serde_json::to_vec(handed_off)?;
        loop {
            match self.channel.send(&bytes, &[descriptor], SendFlags::DONTWAIT) {
                Err(error) if makes_room(&error) => {
                    let since = self.full_since.get().unwrap_or_else(Instant::now);
                    self.full_since.set(Some(since));
                    if since.elapsed() >= LIMIT {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    sleep(PAUSE).await;
                }
                sent => {
                    self.full_since.set(None);
                    return sent;
                }
            }
        }
    }
}

impl ExitTurn<'_> {
    /// Sends a connection out. It is the other process's from then on: here it is only to be dropped. One that is no longer
    /// polled has not gone.
    pub async fn leave(
        self,
        handed_off: &HandedOff,
        descriptor: BorrowedFd<'_>,
    ) -> Result<(), HandOffClosed> {
        let hand_off = self.hand_off;
        let Err(error) = hand_off.send(handed_off, descriptor).await else { return Ok(()) };
        if !hand_off.is_barred.replace(true) {
            log::warn!("the new process takes no more connections: {error}");
        }
        Err(HandOffClosed)
    }
}

/// Whether the other process has only to take what is on its way: the socket is full, or too many
/// descriptors are (`ETOOMANYREFS`, unix(7)).
fn makes_room(error: &io::Error) -> bool {
    let too_many = rustix::io::Errno::TOOMANYREFS.raw_os_error();
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(too_many)
}
