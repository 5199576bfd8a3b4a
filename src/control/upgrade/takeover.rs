//! The side of the new process: what it has been handed over, and when it goes on with that.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};
use socket2::Socket;

use super::message::{KnownEndpoint, MESSAGE_LIMIT, Message, VERSION, receive, send, unexpected};
use crate::address::Address;
use crate::config::value;
use crate::control::listeners::InheritedListener;
use crate::id::ListenerId;
use crate::net::tls::tickets::TicketKeys;
use crate::net::upgrade_socket::{Channel, UpgradeSocket};
use crate::plan::Plan;
use crate::upstream::Traffic;

/// How long a new process may take to introduce itself.
const HELLO_LIMIT: Duration = Duration::from_secs(1);

/// How long the old process may take to end after it has closed its side.
const END_LIMIT_SECONDS: i64 = 1;

/// What a new process has been handed over.
#[derive(Debug)]
pub struct Takeover {
    /// The process that hands over; a service manager does not wait for an answer.
    old: Option<Old>,
    /// For how long the old process has counted ticks.
    pub(crate) age: Duration,
    pub(crate) listeners: Vec<InheritedListener>,
    /// The admin listener.
    pub(crate) admin: Option<InheritedListener>,
    health: Vec<KnownEndpoint>,
    /// The keys of session tickets, if it terminates TLS.
    pub(crate) ticket_keys: Option<TicketKeys>,
}

/// The process that hands over.
#[derive(Debug)]
struct Old {
    channel: Channel,
    /// As the kernel knows it.
    pid: Pid,
}

impl Takeover {
    /// Sockets that a service manager has opened.
    pub(crate) fn of_listeners(listeners: Vec<InheritedListener>) -> Self {
        Self {
            old: None,
            age: Duration::ZERO,
            listeners,
            admin: None,
            health: Vec::new(),
            ticket_keys: None,
        }
    }

    /// What another process hands over that comes to the meeting within `pause`, if one does.
    pub(crate) fn receive(
        upgrade_socket: &UpgradeSocket,
        pause: Duration,
    ) -> io::Result<Option<Self>> {
        let Some(channel) = upgrade_socket.accept(pause)? else { return Ok(None) };
        channel.set_limit(Some(HELLO_LIMIT))?;
        let age_millis = match receive(&channel) {
            Ok((Message::Hello { version: VERSION, age_millis }, _)) => age_millis,
            Ok((other, _)) => {
                log::warn!("ignored a connection that is not a handover: {other:?}");
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => {
                log::warn!("ignored a connection that is not a handover: {error}");
                return Ok(None);
            }
        };
        let pid = channel.peer()?;
        log::info!("process {pid} hands over");
        channel.set_limit(Some(MESSAGE_LIMIT))?;
        let age = Duration::from_millis(age_millis);
        let mut inheritance = Self { age, ..Self::of_listeners(Vec::new()) };
        loop {
            match receive(&channel)? {
                (Message::Listener { id, configured, bound, sockets, owns_file }, came) => {
                    if came.len() != sockets || sockets == 0 {
                        return Err(io::Error::other(format!("sockets of {bound} were lost")));
                    }
                    let (configured, bound) = (address(&configured)?, address(&bound)?);
                    inheritance.inherit(id, (configured, bound), came, owns_file);
                }
                (Message::Admin { configured, bound }, sockets) => {
                    let (configured, bound) = (address(&configured)?, address(&bound)?);
                    let sockets = sockets.into_iter().map(Socket::from).collect();
                    let admin =
                        InheritedListener::handed_over(None, (configured, bound), sockets, true);
                    inheritance.admin = Some(admin);
                }
                (Message::TicketKeys(keys), _) => inheritance.ticket_keys = Some(keys),
                (Message::Health(known), _) => inheritance.health.extend(known),
                (Message::Offered, _) => {
                    inheritance.old = Some(Old { channel, pid });
                    return Ok(Some(inheritance));
                }
                (other, _) => return Err(unexpected(&other)),
            }
        }
    }

    fn inherit(
        &mut self,
        id: ListenerId,
        addresses: (Address, Address),
        sockets: Vec<OwnedFd>,
        owns_file: bool,
    ) {
        let sockets = sockets.into_iter().map(Socket::from);
        let mut known = self.listeners.iter_mut();
        if let Some(known) = known.find(|known| known.bound == addresses.1) {
            known.sockets.extend(sockets);
        } else {
            let (id, sockets) = (Some(id), sockets.collect());
            self.listeners.push(InheritedListener::handed_over(id, addresses, sockets, owns_file));
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
            for endpoint in upstream.endpoints.iter() {
                let is_tcp = upstream.traffic == Traffic::Tcp;
                let key = (upstream.name.to_string(), is_tcp, endpoint.address.to_string());
                if let Some(known) = known.get(&key) {
                    endpoint.health().restore(known.word);
                    endpoint.record.admin_state.restore(known.orders);
                }
            }
        }
    }

    /// The process that hands over, if there is one.
    pub(crate) fn predecessor(&self) -> Option<u32> {
        self.old.as_ref().map(|old| old.pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Says that this process could accept connections at these addresses, and waits to be told to,
    /// which it confirms: the old process goes on until then. If that has ended meanwhile, this one goes
    /// on all the same. `claim` gets its pid file, and says whether that is ours now.
    pub(crate) fn settle<'a>(
        mut self,
        addresses: impl Iterator<Item = &'a Address>,
        plan: &Plan,
        claim: impl FnOnce(Option<OwnedFd>) -> bool,
    ) -> io::Result<Option<Channel>> {
        let Some(old) = self.old.take() else { return Ok(None) };
        let addresses = addresses.map(ToString::to_string).collect();
        let told = send(&old.channel, &Message::Ready(addresses), &[]);
        self.health.clear();
        let given = told.and_then(|()| self.await_gift(&old.channel)).and_then(|pid_file| {
            let pid_file = claim(pid_file);
            send(&old.channel, &Message::Mine { pid_file }, &[])
        });
        match given {
            Ok(()) => {
                self.restore(plan);
                Ok(Some(old.channel))
            }
            Err(error) if error.kind() != io::ErrorKind::Interrupted && old.has_ended() => {
                let pid = old.pid;
                log::warn!("process {pid} has ended while it handed over: going on without it");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The pid file, if one comes along.
    fn await_gift(&mut self, channel: &Channel) -> io::Result<Option<OwnedFd>> {
        loop {
            match receive(channel)? {
                (Message::Health(known), _) => self.health.extend(known),
                (Message::Yours, came) => return Ok(came.into_iter().next()),
                (Message::GoesOn, _) => {
                    let goes_on = "the old process goes on";
                    return Err(io::Error::new(io::ErrorKind::Interrupted, goes_on));
                }
                (other, _) => return Err(unexpected(&other)),
            }
        }
    }
}

impl Old {
    /// Whether it ends within a while: its side of the channel is closed a little before.
    fn has_ended(&self) -> bool {
        let Ok(process) = pidfd_open(self.pid, PidfdFlags::empty()) else {
            return test_kill_process(self.pid) == Err(Errno::SRCH);
        };
        let limit = Timespec { tv_sec: END_LIMIT_SECONDS, tv_nsec: 0 };
        poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)) == Ok(1)
    }
}

fn address(text: &str) -> io::Result<Address> {
    let named = |_: &str| Err(io::ErrorKind::InvalidData.into());
    let mut found = value::addresses(text, &named).unwrap_or_default();
    found.pop().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text.to_owned()))
}
