//! Upgrade without loss: one process hands its listeners, what it knows of its endpoints and its
//! connections at rest to another, and ends when the rest has.
//!
//! ```text
//! old, at SIGQUIT                         new, started with -u
//!   joins the meeting                       waits at --upgrade-sock
//!   Hello, Listener…, Health…, Offered ──▶  reads its configuration, binds, starts its workers
//!   leaves the listeners  ◀── Ready         could accept
//!   Health…, Yours ──────────────────────▶  accepts
//!   HandedOff (a connection) … ──────────▶  serves it
//!   ends when nothing is left
//! ```
//!
//! Until the old process has said Yours nothing has changed for it, and the new one has accepted
//! nothing: whatever goes wrong, the old one goes on, and the new one ends. Between the two the
//! kernel's queues hold what comes.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::SendFlags;
use serde::{Deserialize, Serialize};
use socket2::Socket;
use tokio::sync::mpsc;

use crate::address::Address;
use crate::config::value;
use crate::net::hand_off::HandedOff;
use crate::net::listen::{self, Bound};
use crate::net::upgrade_socket::{
    Channel, DESCRIPTORS_MAX, MESSAGE_BYTES_MAX, Received, UpgradeSocket,
};
use crate::plan::Plan;
use crate::upstream::Traffic;
use crate::upstream::health::Tick;
use crate::worker::command::WorkerCommand;

/// What both sides must agree on. A process that says another number is not followed.
const VERSION: u32 = 1;

/// What one message may say of endpoints, in bytes of their names: JSON adds to them, at most to
/// several times as much, but of names nobody has.
const NAMES_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 8;

/// Bytes of what else is said of one.
const KNOWN_BYTES: usize = 100;

/// How long a message may take to be sent or to come once the other side is there.
const MESSAGE_LIMIT: Duration = Duration::from_secs(2);

/// How long who joins may take to say who it is.
const HELLO_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// From the old process: who it is, and for how long it has counted ticks.
    Hello { version: u32, pid: u32, age_millis: u64 },
    /// An address it listens on, with sockets. One of many sockets takes several.
    Listener { configured: String, bound: String, sockets: usize },
    /// The admin listener, with its socket.
    Admin { configured: String, bound: String },
    /// What it knows of endpoints.
    Health(Vec<KnownEndpoint>),
    /// That is all.
    Offered,
    /// From the new process: it could accept connections at these addresses.
    Ready(Vec<String>),
    /// That is what it does from now on.
    Yours,
}

/// What is known of an endpoint.
#[derive(Debug, Serialize, Deserialize)]
struct KnownEndpoint {
    upstream: String,
    is_tcp: bool,
    address: String,
    word: u64,
    orders: u64,
}

/// What a new process has been handed over.
#[derive(Debug)]
pub struct Takeover {
    /// Who hands over; a service manager does not wait for an answer.
    old: Option<Old>,
    /// For how long the old process has counted ticks.
    pub(crate) age: Duration,
    pub(crate) listeners: Vec<InheritedListener>,
    /// The admin listener.
    pub(crate) admin: Option<InheritedListener>,
    health: Vec<KnownEndpoint>,
}

/// The process that hands over.
#[derive(Debug)]
struct Old {
    channel: Channel,
    pid: u32,
}

/// An address that the old process listens on.
#[derive(Debug)]
pub(crate) struct InheritedListener {
    pub(crate) configured: Address,
    pub(crate) bound: Address,
    sockets: Vec<Socket>,
}

/// The admin listener, for another process.
#[derive(Clone, Copy)]
pub(crate) struct LentListener<'a> {
    pub(crate) configured: &'a Address,
    pub(crate) bound: &'a Address,
    pub(crate) socket: BorrowedFd<'a>,
}

impl InheritedListener {
    /// One socket that was opened for this process.
    pub(crate) fn new(address: Address, socket: Socket) -> Self {
        Self { configured: address.clone(), bound: address, sockets: vec![socket] }
    }

    /// At least one socket for each worker. All there were are kept, be there fewer workers now: what
    /// waits at one that is closed would be lost.
    pub(crate) fn for_workers(self, workers: usize) -> io::Result<Bound> {
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
    let Received { bytes, descriptors } = channel.receive()?.ok_or_else(gone)?;
    Ok((serde_json::from_slice(&bytes)?, descriptors))
}

fn unexpected(message: &Message) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected: {message:?}"))
}

/// Tells another process what it needs to go on from here.
pub(crate) fn offer<'a>(
    channel: &Channel,
    age: Tick,
    listeners: impl Iterator<Item = (&'a Address, &'a Address, Vec<OwnedFd>)>,
    admin: Option<LentListener<'_>>,
    plan: &Plan,
    deadline: Instant,
) -> io::Result<()> {
    let send = |message: &Message, descriptors: &[BorrowedFd<'_>]| {
        let left = deadline.saturating_duration_since(Instant::now()).min(MESSAGE_LIMIT);
        channel.set_limit(Some(left.max(Duration::from_millis(1))))?;
        send(channel, message, descriptors)
    };
    let (pid, age_millis) = (std::process::id(), age.as_millis());
    send(&Message::Hello { version: VERSION, pid, age_millis }, &[])?;
    for (configured, bound, sockets) in listeners {
        for sockets in sockets.chunks(DESCRIPTORS_MAX) {
            let (configured, bound) = (configured.to_string(), bound.to_string());
            let message = Message::Listener { configured, bound, sockets: sockets.len() };
            let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            send(&message, &sockets)?;
        }
    }
    if let Some(LentListener { configured, bound, socket }) = admin {
        let (configured, bound) = (configured.to_string(), bound.to_string());
        send(&Message::Admin { configured, bound }, &[socket])?;
    }
    tell_known(plan, |message| send(message, &[]))?;
    send(&Message::Offered, &[])
}

/// Tells what is known of the endpoints of a plan.
fn tell_known(plan: &Plan, send: impl Fn(&Message) -> io::Result<()>) -> io::Result<()> {
    let (mut known, mut bytes) = (Vec::new(), 0);
    for upstream in &plan.upstreams {
        for endpoint in &upstream.endpoints {
            let (name, address) = (upstream.name.to_string(), endpoint.address.to_string());
            bytes += KNOWN_BYTES + name.len() + address.len();
            let is_tcp = upstream.traffic == Traffic::Tcp;
            let word = endpoint.health().word();
            let orders = endpoint.record.admin_state.word();
            known.push(KnownEndpoint { upstream: name, is_tcp, address, word, orders });
            if bytes > NAMES_BYTES_MAX {
                send(&Message::Health(std::mem::take(&mut known)))?;
                bytes = 0;
            }
        }
    }
    send(&Message::Health(known))
}

/// The addresses at which the other process could accept connections; `None` if it has not said so
/// within `pause`.
pub(crate) fn is_ready(channel: &Channel, pause: Duration) -> io::Result<Option<Vec<String>>> {
    channel.set_limit(Some(pause))?;
    match receive(channel) {
        Ok((Message::Ready(addresses), _)) => Ok(Some(addresses)),
        Ok((other, _)) => Err(unexpected(&other)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Leaves everything to the other process, with what has become of endpoints since it was offered.
pub(crate) fn give(channel: &Channel, plan: &Plan) -> io::Result<()> {
    channel.set_limit(Some(MESSAGE_LIMIT))?;
    tell_known(plan, |message| send(channel, message, &[]))?;
    send(channel, &Message::Yours, &[])
}

impl Takeover {
    /// Sockets that a service manager has opened.
    pub(crate) fn of_listeners(listeners: Vec<InheritedListener>) -> Self {
        Self { old: None, age: Duration::ZERO, listeners, admin: None, health: Vec::new() }
    }

    /// What another process hands over that comes to the meeting within `pause`, if one does.
    pub(crate) fn receive(
        upgrade_socket: &UpgradeSocket,
        pause: Duration,
    ) -> io::Result<Option<Self>> {
        let Some(channel) = upgrade_socket.accept(pause)? else { return Ok(None) };
        channel.set_limit(Some(HELLO_LIMIT))?;
        let (pid, age_millis) = match receive(&channel) {
            Ok((Message::Hello { version: VERSION, pid, age_millis }, _)) => (pid, age_millis),
            Ok((other, _)) => {
                log::warn!("somebody came who does not hand over: {other:?}");
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => {
                log::warn!("somebody came who does not hand over: {error}");
                return Ok(None);
            }
        };
        log::info!("process {pid} hands over");
        channel.set_limit(Some(MESSAGE_LIMIT))?;
        let age = Duration::from_millis(age_millis);
        let (listeners, health) = (Vec::new(), Vec::new());
        let mut inheritance = Self { old: None, age, listeners, admin: None, health };
        loop {
            match receive(&channel)? {
                (Message::Listener { configured, bound, sockets }, came) => {
                    if came.len() != sockets || sockets == 0 {
                        return Err(io::Error::other(format!("sockets of {bound} were lost")));
                    }
                    let (configured, bound) = (address(&configured)?, address(&bound)?);
                    inheritance.inherit(configured, bound, came);
                }
                (Message::Admin { configured, bound }, sockets) => {
                    let (configured, bound) = (address(&configured)?, address(&bound)?);
                    let sockets = sockets.into_iter().map(Socket::from).collect();
                    inheritance.admin = Some(InheritedListener { configured, bound, sockets });
                }
                (Message::Health(known), _) => inheritance.health.extend(known),
                (Message::Offered, _) => {
                    inheritance.old = Some(Old { channel, pid });
                    return Ok(Some(inheritance));
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
            self.listeners.push(InheritedListener { configured, bound, sockets });
        }
    }

    /// Whether it is from another process, which goes on until it is told otherwise.
    pub(crate) fn is_of_process(&self) -> bool {
        self.old.is_some()
    }

    /// Puts what was known of the endpoints of a plan in place.
    pub(crate) fn restore(&self, plan: &Plan) {
        let key =
            |known: &KnownEndpoint| (known.upstream.clone(), known.is_tcp, known.address.clone());
        let known: HashMap<_, _> = self.health.iter().map(|known| (key(known), known)).collect();
        for upstream in &plan.upstreams {
            for endpoint in &upstream.endpoints {
                let is_tcp = upstream.traffic == Traffic::Tcp;
                let key = (upstream.name.to_string(), is_tcp, endpoint.address.to_string());
                if let Some(known) = known.get(&key) {
                    endpoint.health().restore(known.word);
                    endpoint.record.admin_state.restore(known.orders);
                }
            }
        }
    }

    /// Says that this process could accept connections at these addresses, and waits to be told to.
    /// If the old process has ended meanwhile, nobody else is there to go on.
    pub(crate) fn settle<'a>(
        mut self,
        addresses: impl Iterator<Item = &'a Address>,
        plan: &Plan,
    ) -> io::Result<Option<Channel>> {
        let Some(Old { channel, pid }) = self.old.take() else { return Ok(None) };
        let addresses = addresses.map(ToString::to_string).collect();
        let told = send(&channel, &Message::Ready(addresses), &[]);
        self.health.clear();
        match told.and_then(|()| self.await_gift(&channel)) {
            Ok(()) => {
                self.restore(plan);
                Ok(Some(channel))
            }
            Err(_) if is_gone(pid) => {
                log::warn!("process {pid} has ended while it handed over: going on without it");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn await_gift(&mut self, channel: &Channel) -> io::Result<()> {
        loop {
            match receive(channel)? {
                (Message::Health(known), _) => self.health.extend(known),
                (Message::Yours, _) => return Ok(()),
                (other, _) => return Err(unexpected(&other)),
            }
        }
    }
}

fn is_gone(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_none_or(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// What comes from the old process, until it ends or nothing more is taken.
pub(crate) struct Arrivals {
    channel: Channel,
    taking: JoinHandle<()>,
}

impl Arrivals {
    /// Takes in what the old process lets go, on a thread of its own.
    pub(crate) fn start(
        channel: Channel,
        workers: Vec<mpsc::Sender<WorkerCommand>>,
    ) -> io::Result<Self> {
        channel.set_limit(None)?;
        let own = channel.try_clone()?;
        let taking = move || {
            let count = take_all(&own, &workers);
            // What is not taken here is kept and finished there.
            let _ = own.close_entry();
            log::info!("the old process has handed over {count} connections");
        };
        let taking = thread::Builder::new().name("arrivals".to_owned()).spawn(taking)?;
        Ok(Self { channel, taking })
    }

    /// Takes in what is on its way, and no more: the old process keeps the rest.
    pub(crate) fn end(self) {
        let ended = self.channel.close_entry().is_ok();
        if ended && self.taking.join().is_err() {
            log::error!("the thread of arrivals has panicked");
        }
    }
}

fn take_all(channel: &Channel, workers: &[mpsc::Sender<WorkerCommand>]) -> usize {
    let mut count = 0;
    loop {
        let Received { bytes, descriptors } = match channel.receive() {
            Ok(Some(parcel)) => parcel,
            Ok(None) => return count,
            Err(error) => {
                log::error!("a connection that was handed over is lost: {error}");
                return count;
            }
        };
        let handed_off: Result<HandedOff, _> = serde_json::from_slice(&bytes);
        let (Ok(handed_off), Some(descriptor)) = (handed_off, descriptors.into_iter().next())
        else {
            log::warn!("something was handed over that is no connection");
            continue;
        };
        let worker = &workers[count % workers.len()];
        if worker.blocking_send(WorkerCommand::Take(handed_off, descriptor)).is_err() {
            log::error!("a connection that was handed over is lost: its worker has panicked");
        }
        count += 1;
    }
}

fn address(text: &str) -> io::Result<Address> {
    let named = |_: &str| Err(io::ErrorKind::InvalidData.into());
    let mut found = value::addresses(text, &named).unwrap_or_default();
    found.pop().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text.to_owned()))
}
