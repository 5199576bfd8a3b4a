//! Upgrade without loss: one process hands its listeners, what it knows of its endpoints and its
//! connections at rest to another, and ends when the rest has.
//!
//! ```text
//! old, at SIGQUIT                         new, started with -u
//!   joins the meeting                       waits at --upgrade-sock
//!   Hello, Listener…, Health…, Offered ──▶  reads its configuration, starts its workers
//!   leaves the listeners  ◀── Ready         accepts
//!   Departure (a connection) … ──────────▶  serves it
//!   ends when nothing is left
//! ```
//!
//! Until Ready nothing has changed for the old process: whatever goes wrong, it goes on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::SendFlags;
use serde::{Deserialize, Serialize};
use socket2::Socket;
use tokio::sync::mpsc;

use crate::address::Address;
use crate::config::value;
use crate::net::handover::{Channel, DESCRIPTORS_MAX, Meeting, Parcel};
use crate::net::listen::{self, Bound};
use crate::session::exit::Departure;
use crate::session::services::Plan;
use crate::upstream::Traffic;
use crate::upstream::health::Tick;
use crate::worker::Command;

/// What both sides must agree on. A process that says another number is not followed.
const VERSION: u32 = 1;

/// Endpoints told of in one message.
const ENDPOINTS_MAX: usize = 200;

/// How long a message may take to be sent or to come once the other side is there.
const MESSAGE_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// From the old process: who it is, and for how long it has counted ticks.
    Hello { version: u32, pid: u32, age_millis: u64 },
    /// An address it listens on, with sockets. One of many sockets takes several.
    Listener { configured: String, bound: String },
    /// The admin listener, with its socket.
    Admin { configured: String, bound: String },
    /// What it knows of endpoints.
    Health(Vec<Known>),
    /// That is all.
    Offered,
    /// From the new process: it accepts connections.
    Ready,
}

/// What is known of an endpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    upstream: String,
    is_tcp: bool,
    address: String,
    word: u64,
    orders: u64,
}

/// What a new process has been handed over.
#[derive(Debug)]
pub struct Inheritance {
    /// To the old process; a service manager needs none.
    channel: Option<Channel>,
    /// For how long the old process has counted ticks.
    pub(super) age: Duration,
    pub(super) listeners: Vec<Inherited>,
    /// The admin listener.
    pub(super) admin: Option<Inherited>,
    health: Vec<Known>,
}

/// An address that the old process listens on.
#[derive(Debug)]
pub(super) struct Inherited {
    pub(super) configured: Address,
    pub(super) bound: Address,
    sockets: Vec<Socket>,
}

/// The admin listener, for another process.
#[derive(Clone, Copy)]
pub(super) struct Lent<'a> {
    pub(super) configured: &'a Address,
    pub(super) bound: &'a Address,
    pub(super) socket: BorrowedFd<'a>,
}

impl Inherited {
    /// One socket that was opened for this process.
    pub(super) fn new(address: Address, socket: Socket) -> Self {
        Self { configured: address.clone(), bound: address, sockets: vec![socket] }
    }

    /// At least one socket for each worker. All there were are kept, be there fewer workers now: what
    /// waits at one that is closed would be lost.
    pub(super) fn for_workers(self, workers: usize) -> io::Result<Bound> {
        let Self { bound, mut sockets, .. } = self;
        let missing = workers.saturating_sub(sockets.len());
        if let Some(first) = sockets.first() {
            sockets.extend(listen::bind_more(first, missing)?);
        }
        Ok(Bound { address: bound, sockets })
    }
}

fn send(channel: &Channel, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    channel.send(&serde_json::to_vec(message)?, descriptors, SendFlags::empty())
}

fn receive(channel: &Channel) -> io::Result<(Message, Vec<OwnedFd>)> {
    let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the other process has ended");
    let Parcel { bytes, descriptors } = channel.receive()?.ok_or_else(gone)?;
    Ok((serde_json::from_slice(&bytes)?, descriptors))
}

fn unexpected(message: &Message) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected: {message:?}"))
}

/// Tells another process what it needs to go on from here.
pub(super) fn offer<'a>(
    channel: &Channel,
    age: Tick,
    listeners: impl Iterator<Item = (&'a Address, &'a Address, Vec<OwnedFd>)>,
    admin: Option<Lent<'_>>,
    plan: &Plan,
) -> io::Result<()> {
    channel.set_limit(Some(MESSAGE_LIMIT))?;
    let (pid, age_millis) = (std::process::id(), age.as_millis());
    send(channel, &Message::Hello { version: VERSION, pid, age_millis }, &[])?;
    for (configured, bound, sockets) in listeners {
        for sockets in sockets.chunks(DESCRIPTORS_MAX) {
            let (configured, bound) = (configured.to_string(), bound.to_string());
            let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            send(channel, &Message::Listener { configured, bound }, &sockets)?;
        }
    }
    if let Some(Lent { configured, bound, socket }) = admin {
        let (configured, bound) = (configured.to_string(), bound.to_string());
        send(channel, &Message::Admin { configured, bound }, &[socket])?;
    }
    let known = plan.upstreams.iter().flat_map(|upstream| {
        upstream.endpoints.iter().map(|endpoint| Known {
            upstream: upstream.name.to_string(),
            is_tcp: upstream.traffic == Traffic::Tcp,
            address: endpoint.address.to_string(),
            word: endpoint.health().word(),
            orders: endpoint.record.standing.word(),
        })
    });
    let mut known = known.peekable();
    while known.peek().is_some() {
        let some = known.by_ref().take(ENDPOINTS_MAX).collect();
        send(channel, &Message::Health(some), &[])?;
    }
    send(channel, &Message::Offered, &[])
}

/// Whether the other process has said that it accepts connections; `None` if it has not within
/// `pause`.
pub(super) fn is_ready(channel: &Channel, pause: Duration) -> io::Result<Option<()>> {
    channel.set_limit(Some(pause))?;
    match receive(channel) {
        Ok((Message::Ready, _)) => Ok(Some(())),
        Ok((other, _)) => Err(unexpected(&other)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

impl Inheritance {
    /// Sockets that a service manager has opened.
    pub(super) fn of_listeners(listeners: Vec<Inherited>) -> Self {
        Self { channel: None, age: Duration::ZERO, listeners, admin: None, health: Vec::new() }
    }

    /// Waits at `path` until another process hands over, for up to `limit`.
    pub fn receive(path: &Path, limit: Duration) -> io::Result<Self> {
        log::info!("waiting for up to {limit:?} to be handed over to: SIGQUIT to the old process");
        let (meeting, deadline) = (Meeting::at(path)?, Instant::now() + limit);
        let (channel, hello) = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let channel = meeting.accept(left)?;
            channel.set_limit(Some(MESSAGE_LIMIT))?;
            match receive(&channel) {
                Ok((hello, _)) => break (channel, hello),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(error),
            }
        };
        let Message::Hello { version: VERSION, pid, age_millis } = hello else {
            return Err(unexpected(&hello));
        };
        log::info!("process {pid} hands over");
        let age = Duration::from_millis(age_millis);
        let (listeners, health) = (Vec::new(), Vec::new());
        let mut inheritance = Self { channel: None, age, listeners, admin: None, health };
        loop {
            match receive(&channel)? {
                (Message::Listener { configured, bound }, sockets) => {
                    let (configured, bound) = (address(&configured)?, address(&bound)?);
                    inheritance.inherit(configured, bound, sockets);
                }
                (Message::Admin { configured, bound }, sockets) => {
                    let (configured, bound) = (address(&configured)?, address(&bound)?);
                    let sockets = sockets.into_iter().map(Socket::from).collect();
                    inheritance.admin = Some(Inherited { configured, bound, sockets });
                }
                (Message::Health(known), _) => inheritance.health.extend(known),
                (Message::Offered, _) => {
                    inheritance.channel = Some(channel);
                    return Ok(inheritance);
                }
                (other, _) => return Err(unexpected(&other)),
            }
        }
    }

    fn inherit(&mut self, configured: Address, bound: Address, sockets: Vec<OwnedFd>) {
        let sockets = sockets.into_iter().map(Socket::from);
        let mut known = self.listeners.iter_mut();
        if let Some(known) = known.find(|known| known.bound == bound) {
            known.sockets.extend(sockets);
        } else {
            let sockets = sockets.collect();
            self.listeners.push(Inherited { configured, bound, sockets });
        }
    }

    /// Puts what was known of the endpoints of a plan in place.
    pub(super) fn restore(&self, plan: &Plan) {
        for upstream in &plan.upstreams {
            for endpoint in &upstream.endpoints {
                let address = endpoint.address.to_string();
                let is_tcp = upstream.traffic == Traffic::Tcp;
                let mut known = self
                    .health
                    .iter()
                    .filter(|known| known.is_tcp == is_tcp && known.address == address);
                if let Some(known) = known.find(|known| known.upstream == *upstream.name) {
                    endpoint.health().restore(known.word);
                    endpoint.record.standing.restore(known.orders);
                }
            }
        }
    }

    /// Says that this process accepts connections, and takes in what the other one lets go, on a
    /// thread that ends with that process.
    pub(super) fn take_over(self, workers: Vec<mpsc::Sender<Command>>) -> io::Result<()> {
        let Some(channel) = self.channel else { return Ok(()) };
        send(&channel, &Message::Ready, &[])?;
        channel.set_limit(None)?;
        let taking = move || {
            let mut count = 0_usize;
            while let Ok(Some(Parcel { bytes, descriptors })) = channel.receive() {
                let departure: Result<Departure, _> = serde_json::from_slice(&bytes);
                let (Ok(departure), Some(descriptor)) = (departure, descriptors.into_iter().next())
                else {
                    log::warn!("something was handed over that is no connection");
                    continue;
                };
                let worker = &workers[count % workers.len()];
                count += 1;
                if worker.blocking_send(Command::Take(departure, descriptor)).is_err() {
                    break;
                }
            }
            log::info!("the old process has handed over {count} connections and ended");
        };
        thread::Builder::new().name("arrivals".to_owned()).spawn(taking)?;
        Ok(())
    }
}

fn address(text: &str) -> io::Result<Address> {
    let named = |_: &str| Err(io::ErrorKind::InvalidData.into());
    let mut found = value::addresses(text, &named).unwrap_or_default();
    found.pop().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text.to_owned()))
}
