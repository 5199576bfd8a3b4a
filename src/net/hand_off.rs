//! The way out of a process that hands over to another one: connections that rest go there as they
//! are, without their peers noticing.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::time::Duration;

use rustix::net::SendFlags;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::deadline::{Elapsed, Timer};
use super::upgrade_socket::Channel;
use crate::id::ListenerId;
use crate::proxy_protocol::Header;

/// How long the other process may take to make room for a connection.
const LIMIT: Duration = Duration::from_secs(5);

/// Between two tries while it does not: rare, and ends once the other process has read.
const PAUSE: Duration = Duration::from_millis(1);

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
    /// One sends at a time, so that a full socket is tried by one.
    turn: Semaphore,
}

/// Nothing goes out any more: the other process is gone, or takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOffClosed;

impl HandOff {
    /// Through a channel.
    pub fn new(channel: Channel) -> Self {
        Self { channel, is_barred: Cell::new(false), turn: Semaphore::new(1) }
    }

    /// Whether anything goes out.
    pub fn is_barred(&self) -> bool {
        self.is_barred.get()
    }

    /// Sends a connection out, unless nothing goes out any more. It is the other process's from then
    /// on: here it is only to be dropped.
    pub async fn leave(
        &self,
        handed_off: &HandedOff,
        descriptor: BorrowedFd<'_>,
    ) -> Result<(), HandOffClosed> {
        let _turn = self.turn.acquire().await.map_err(|_| HandOffClosed)?;
        if self.is_barred() {
            return Err(HandOffClosed);
        }
        let sending = pin!(self.send(handed_off, descriptor));
        let error = match Timer::new().within(LIMIT, sending).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(Elapsed) => io::ErrorKind::TimedOut.into(),
        };
        if !self.is_barred.replace(true) {
            log::warn!("the new process takes no more connections: {error}");
        }
        Err(HandOffClosed)
    }

    async fn send(&self, handed_off: &HandedOff, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let bytes = serde_json::to_vec(handed_off)?;
        loop {
            match self.channel.send(&bytes, &[descriptor], SendFlags::DONTWAIT) {
                Err(error) if makes_room(&error) => sleep(PAUSE).await,
                sent => return sent,
            }
        }
    }
}

/// Whether the other process has only to take what is on its way: the socket is full, or too many
/// descriptors are (`ETOOMANYREFS`, unix(7)).
fn makes_room(error: &io::Error) -> bool {
    let too_many = rustix::io::Errno::TOOMANYREFS.raw_os_error();
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(too_many)
}
