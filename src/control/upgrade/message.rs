//! What the two processes of an upgrade say to each other.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::SendFlags;
use serde::{Deserialize, Serialize};

use crate::id::ListenerId;
use crate::net::tls::tickets::TicketKeys;
use crate::net::upgrade_socket::{Channel, Received};

/// What both sides must agree on. A process that says another number is not followed.
pub(super) const VERSION: u32 = 4;

/// How long a message may take to be sent or to come once the other side is there.
pub(super) const MESSAGE_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// From the old process: what it speaks, and for how long it has counted ticks.
    Hello { version: u32, age_millis: u64 },
    /// An address it listens on, with sockets. One of many sockets takes several. The new process
    /// keeps the identifier, by which connections say where they came in.
    /// It removes the file of a Unix socket in the end, unless a service manager has created that.
    Listener {
        id: ListenerId,
        configured: String,
        bound: String,
        sockets: usize,
        #[serde(default)]
        owns_file: bool,
    },
    /// The admin listener, with its socket.
    Admin { configured: String, bound: String },
    /// The keys of session tickets: what clients have been given is good with the new process, too.
    TicketKeys(TicketKeys),
    /// What it knows of endpoints.
    Health(Vec<KnownEndpoint>),
    /// That is all.
    Offered,
    /// From the new process: it could accept connections at these addresses.
    Ready(Vec<String>),
    /// That is what it does from now on. Its pid file comes along.
    Yours,
    /// From the new process: it does. Until this has come the old one goes on.
    Mine { pid_file: bool },
    /// From the old process: nothing has come of it.
    GoesOn,
}

/// What is known of an endpoint.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KnownEndpoint {
    pub(super) upstream: String,
    pub(super) is_tcp: bool,
    pub(super) address: String,
    pub(super) word: u64,
    pub(super) orders: u64,
}

pub(super) fn send(
    channel: &Channel,
    message: &Message,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    channel.send(&serde_json::to_vec(message)?, descriptors, SendFlags::empty())
}

pub(super) fn receive(channel: &Channel) -> io::Result<(Message, Vec<OwnedFd>)> {
    let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the other process has ended");
    let Received { bytes, descriptors } = channel.receive()?.ok_or_else(gone)?;
    Ok((serde_json::from_slice(&bytes)?, descriptors))
}

pub(super) fn unexpected(message: &Message) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected: {message:?}"))
}
