//! The listeners of a balancer: bound or taken over, lent and closed, and the files of unix sockets.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use socket2::Socket;

use super::start_error::StartError;
use crate::address::Address;
use crate::config::{self, Config, leads_to};
use crate::id::ListenerId;
use crate::net::interfaces::LocalAddresses;
use crate::net::listen::{self, Bound};
use crate::net::socket_file::SocketFile;
use crate::plan::Plan;
use crate::plan::listener::Transport;
use crate::upstream::endpoint::Endpoint;
use crate::worker::command::ListenerHandle;

/// A listener, open on every worker.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) id: ListenerId,
    /// As it was configured.
    pub(super) configured: Address,
    /// With the port the kernel chose.
    pub(super) bound: Address,
    pub(super) source: SocketSource,
    /// The file of a Unix socket, unless a service manager has created it.
    pub(super) file: Option<SocketFile>,
}

/// Plain clients are sent to a port of a TLS listener; where the kernel chose it, it is known by now.
pub(super) fn settle_redirect(config: &mut Config, open: &[Open]) {
    if config.plan.redirect_https != Some(0) {
        return;
    }
    let is_tls = |listener: &config::ListenerConfig| listener.kind.transport == Transport::Tls;
    let mut tls = config.listeners.iter().zip(open).filter(|(wanted, _)| is_tls(wanted));
    let redirect_https = tls.find_map(|(_, open)| match open.bound {
        Address::Tcp(address) => Some(address.port()),
        Address::Unix(_) => None,
    });
    config.plan = Arc::new(Plan { redirect_https, ..Plan::clone(&config.plan) });
}

/// Where the sockets of a listener come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketSource {
    /// This process has bound them.
    Bound,
    /// Another one has, and goes on with them if this one fails.
    HandedOver,
}

/// All listeners of a balancer.
#[derive(Default)]
pub(super) struct Listeners {
    pub(super) open: Vec<Open>,
    /// Of the next listener.
    next_id: ListenerId,
}

impl Listeners {
    /// Where they listen, with the ports the kernel chose.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.open.iter().map(|open| &open.bound)
    }

    /// The listeners as they are to be, and what that means for each worker. Those that are open
    /// stay, others are bound; nothing is if one of them cannot be.
    pub(super) fn prepare(
        &self,
        wanted: &[config::ListenerConfig],
        mut inherited: Vec<InheritedListener>,
        workers: usize,
    ) -> Result<(Vec<Open>, Vec<Vec<ListenerHandle>>), StartError> {
        let mut listener_handles: Vec<Vec<ListenerHandle>> =
            (0..workers).map(|_| Vec::new()).collect();
        let mut open: Vec<Open> = Vec::new();
        // Above all that another process has given away.
        let given = inherited.iter().filter_map(|inherited| inherited.id).max();
        let mut next_id = given.map_or(self.next_id, |given| self.next_id.max(given.next()));
        for config::ListenerConfig { address, kind } in wanted {
            let taken = |known: &&Open| {
                known.configured == *address && open.iter().all(|open| open.id != known.id)
            };
            if let Some(known) = self.open.iter().find(taken) {
                for own in &mut listener_handles {
                    own.push(ListenerHandle { id: known.id, sockets: Vec::new(), kind: *kind });
                }
                open.push(known.clone());
                continue;
            }
            let known = inherited.iter().position(|inherited| inherited.configured == *address);
            // In order: of two listeners on port 0 each goes on with its own.
            let inherited = known.map(|known| inherited.remove(known));
            let id = inherited.as_ref().and_then(|inherited| inherited.id).unwrap_or(next_id);
            next_id = next_id.max(id.next());
            let (bound, source) = match inherited {
                Some(inherited) => (inherited.for_workers(workers), SocketSource::HandedOver),
                None => (listen::bind(address, workers), SocketSource::Bound),
            };
            let mut bound = bound.map_err(|error| {
                let is_new = |open: &&Open| self.open.iter().all(|known| known.id != open.id);
                remove_fresh_files(open.iter().filter(is_new));
                self.held_by(address)
                    .filter(|_| error.kind() == io::ErrorKind::AddrInUse)
                    .unwrap_or_else(|| StartError::binding(address, error))
            })?;
            let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
            for (place, socket) in bound.sockets.drain(..).enumerate() {
                sockets[place % workers].push(socket);
            }
            for (own, sockets) in listener_handles.iter_mut().zip(sockets) {
                own.push(ListenerHandle { id, sockets, kind: *kind });
            }
            let Bound { address: bound, file, .. } = bound;
            open.push(Open { id, configured: address.clone(), bound, source, file });
        }
        for InheritedListener { bound, .. } in &inherited {
            log::warn!("{bound} is handed over, but no listener is for it: closed");
        }
        Ok((open, listener_handles))
    }

    /// These are open from now on.
    pub(super) fn follow(&mut self, open: Vec<Open>) {
        let after = open.iter().map(|open| open.id.next()).max();
        self.next_id = after.map_or(self.next_id, |after| self.next_id.max(after));
        self.open = open;
    }

    /// Refuses a plan with an endpoint that one of these is at; the others were found when the
    /// configuration was read, but the ports that the kernel would choose were not known then. What was
    /// bound for it is given back.
    pub(super) fn refuse_loops(&self, open: &[Open], plan: &Plan) -> Result<(), StartError> {
        let chosen: Vec<_> = open.iter().filter(|open| open.bound != open.configured).collect();
        let local = LocalAddresses::default();
        let mut endpoints = plan.upstreams.iter().flat_map(|upstream| upstream.endpoints.iter());
        let is_loop = |endpoint: &&Endpoint| {
            let to = &endpoint.address;
            chosen.iter().any(|open| leads_to(to, &open.bound, &|ip| local.contains(ip)))
        };
        let Some(found) = endpoints.find(is_loop) else { return Ok(()) };
        remove_fresh_files(open.iter().filter(|open| open.id >= self.next_id));
        Err(StartError::Loop(found.address.clone()))
    }

    /// Why an address cannot be bound that overlaps with one of ours.
    fn held_by(&self, wanted: &Address) -> Option<StartError> {
        let Address::Tcp(tcp) = wanted else { return None };
        let same_port =
            |open: &&Open| matches!(&open.bound, Address::Tcp(bound) if bound.port() == tcp.port());
        let held = self.open.iter().find(same_port)?;
        Some(StartError::Held(wanted.clone(), held.bound.clone()))
    }
}

/// An address that the old process listens on.
#[derive(Debug)]
pub(crate) struct InheritedListener {
    /// What the old process calls it; a service manager has no name for it.
    pub(crate) id: Option<ListenerId>,
    pub(crate) configured: Address,
    pub(crate) bound: Address,
    pub(super) sockets: Vec<Socket>,
    /// The file of a Unix socket, if this process is to remove it.
    file: Option<SocketFile>,
}

/// The admin listener, for another process.
#[derive(Clone, Copy)]
pub(crate) struct LentListener<'a> {
    pub(crate) configured: &'a Address,
    pub(crate) bound: &'a Address,
    pub(crate) socket: BorrowedFd<'a>,
}

impl InheritedListener {
    /// One socket that a service manager has opened for this process. Its file stays: clients that
    /// connect before the next process starts wait in the socket's queue.
    pub(crate) fn activated(address: Address, socket: Socket) -> Self {
        let sockets = vec![socket];
        Self { id: None, configured: address.clone(), bound: address, sockets, file: None }
    }

    /// Sockets that another process hands over.
    pub(crate) fn handed_over(
        id: Option<ListenerId>,
        (configured, bound): (Address, Address),
        sockets: Vec<Socket>,
        owns_file: bool,
    ) -> Self {
        let file = match &bound {
            Address::Unix(path) if owns_file => SocketFile::found(path).ok(),
            Address::Unix(_) | Address::Tcp(_) => None,
        };
        Self { id, configured, bound, sockets, file }
    }

    /// At least one socket for each worker. All there were are kept, be there fewer workers now: what
    /// waits at one that is closed would be lost.
    pub(crate) fn for_workers(self, workers: usize) -> io::Result<Bound> {
        let Self { bound, mut sockets, file, .. } = self;
        let missing = workers.saturating_sub(sockets.len());
        if let Some(first) = sockets.first() {
            sockets.extend(listen::bind_more(first, missing)?);
        }
        Ok(Bound { address: bound, sockets, file })
    }
}

/// Removes the files of unix listeners that this process has bound: others go on with theirs.
pub(super) fn remove_fresh_files<'a>(open: impl IntoIterator<Item = &'a Open>) {
    remove_files(open.into_iter().filter(|open| open.source == SocketSource::Bound));
}

/// Removes the files of unix listeners, whose sockets must still be open.
pub(super) fn remove_files<'a>(open: impl IntoIterator<Item = &'a Open>) {
    open.into_iter().filter_map(|open| open.file.as_ref()).for_each(SocketFile::remove);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ListenerConfig;
    use crate::plan::listener::ListenerKind;

    #[test]
    fn a_listener_that_is_taken_over_keeps_its_identifier() {
        let fourth = ListenerId::FIRST.next().next().next();
        let addresses = [[127, 0, 0, 1], [127, 0, 0, 2]].map(|ip| Address::Tcp((ip, 0).into()));
        let socket = listen::bind(&addresses[0], 1).unwrap().sockets.remove(0);
        let mut inherited = InheritedListener::activated(addresses[0].clone(), socket);
        inherited.id = Some(fourth);
        let wanted = addresses.map(|address| ListenerConfig { address, kind: ListenerKind::HTTP });
        let (open, _) = Listeners::default().prepare(&wanted, vec![inherited], 1).unwrap();
        let ids: Vec<ListenerId> = open.iter().map(|open| open.id).collect();
        assert_eq!(ids, [fourth, fourth.next()]);
    }
}
