//! A balancer at work: its workers, its checks, and how they end.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::access_log::AccessLog;
use super::checks::Checks;
use crate::address::Address;
use crate::config::describe::difference;
use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::net::deadline::Epoch;
use crate::net::listen;
use crate::session::gate::Gate;
use crate::session::services::Plan;
use crate::upstream::Upstream;
use crate::worker::{self, Adoption, Command, Doorway, Setup};

/// Why nothing was started.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be bound.
    Bind(Address, io::Error),
    /// A thread or a runtime could not be made.
    Thread(io::Error),
    /// The user or group asked for could not be assumed.
    Identity(io::Error),
    /// A file could not be written.
    File(PathBuf, io::Error),
    /// What a reload cannot change.
    Fixed(&'static str),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "{address} is in use: stop what listens there or choose another address")
            }
            Self::Bind(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
            Self::Identity(error) => {
                write!(f, "cannot become the user or group asked for: {error}; start as root")
            }
            Self::File(path, error) => write!(f, "cannot write {}: {error}", path.display()),
            Self::Fixed(what) => write!(f, "a reload cannot change {what}: restart for that"),
        }
    }
}

impl std::error::Error for StartError {}

/// A listener, open on every worker.
struct Open {
    id: u64,
    /// As it was configured.
    configured: Address,
    /// With the port the kernel chose.
    bound: Address,
}

/// A balancer at work.
pub struct Running {
    /// The counters of each worker.
    pub metrics: Vec<Arc<Metrics>>,
    /// How many connections there are, and may be.
    pub gate: Arc<Gate>,
    config: Config,
    open: Vec<Open>,
    /// Of the next listener.
    next_id: u64,
    commands: Vec<mpsc::Sender<Command>>,
    workers: Vec<JoinHandle<usize>>,
    checks: Option<Checks>,
    access_log: Option<AccessLog>,
}

/// Binds every address, then starts the workers and the checks.
///
/// `between` is done when everything is bound and there are no threads yet.
pub fn start(
    config: Config,
    between: impl FnOnce() -> Result<(), StartError>,
) -> Result<Running, StartError> {
    let epoch = Epoch::begin();
    let workers = config.threads.get();
    let mut running = Running {
        metrics: Vec::new(),
        open: Vec::new(),
        next_id: 0,
        commands: Vec::new(),
        workers: Vec::new(),
        checks: None,
        access_log: None,
        gate: Gate::new(config.capacity),
        config,
    };
    let (open, doorways) = running.doorways(&running.config.listeners)?;
    running.next_id += open.len() as u64;
    running.open = open;
    between()
        .and_then(|()| running.open_access_log())
        .inspect_err(|_| remove_socket_files(running.addresses()))?;
    for (index, listeners) in (0..workers).zip(doorways) {
        running.start_worker(index, listeners, epoch).map_err(StartError::Thread)?;
    }
    let checks = Checks::start(Arc::clone(&running.config.plan), epoch);
    running.checks = Some(checks.map_err(StartError::Thread)?);
    Ok(running)
}

impl Running {
    /// What it follows.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.config.plan
    }

    /// What is true now.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where it listens, with the ports the kernel chose.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.open.iter().map(|open| &open.bound)
    }

    /// Its access log, if it has one.
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.access_log.as_ref()
    }

    /// Lines of the access log that were written and dropped, if there is one.
    pub fn log_counts(&self) -> Option<(u64, u64)> {
        self.access_log.as_ref().and_then(AccessLog::counts)
    }

    /// By whom the process is by now: it must be able to open the file anew.
    fn open_access_log(&mut self) -> Result<(), StartError> {
        if let Some(config) = &self.config.access_log {
            let place = || config.target.to_string().into();
            let opened = AccessLog::open(config);
            self.access_log = Some(opened.map_err(|error| StartError::File(place(), error))?);
        }
        Ok(())
    }

    /// The listeners as they are to be, and what that means for each worker. Those that are open
    /// stay, others are bound; nothing is if one of them cannot be.
    fn doorways(
        &self,
        wanted: &[config::Listener],
    ) -> Result<(Vec<Open>, Vec<Vec<Doorway>>), StartError> {
        let workers = self.config.threads.get();
        let mut doorways: Vec<Vec<Doorway>> = (0..workers).map(|_| Vec::new()).collect();
        let mut open: Vec<Open> = Vec::new();
        for (id, config::Listener { address, entrance }) in (self.next_id..).zip(wanted) {
            let taken = |known: &&Open| {
                known.configured == *address && open.iter().all(|open| open.id != known.id)
            };
            if let Some(Open { id, configured, bound }) = self.open.iter().find(taken) {
                let id = *id;
                for own in &mut doorways {
                    own.push(Doorway { id, socket: None, entrance: *entrance });
                }
                open.push(Open { id, configured: configured.clone(), bound: bound.clone() });
                continue;
            }
            let bound = listen::bind(address, workers).map_err(|error| {
                let fresh = open.iter().filter(|open| open.id >= self.next_id);
                remove_socket_files(fresh.map(|open| &open.bound));
                StartError::Bind(address.clone(), error)
            })?;
            for (own, socket) in doorways.iter_mut().zip(bound.sockets) {
                own.push(Doorway { id, socket: Some(socket), entrance: *entrance });
            }
            open.push(Open { id, configured: address.clone(), bound: bound.address });
        }
        Ok((open, doorways))
    }

    fn start_worker(
        &mut self,
        index: usize,
        listeners: Vec<Doorway>,
        epoch: Epoch,
    ) -> io::Result<()> {
        let metrics = Arc::new(Metrics::new());
        let (sender, commands) = mpsc::channel(4);
        let plan = Arc::clone(&self.config.plan);
        let (ready, started) = sync_channel(1);
        let own = Arc::clone(&metrics);
        let gate = Arc::clone(&self.gate);
        let journal = self.access_log.as_ref().map(AccessLog::journal).transpose()?.flatten();
        let setup =
            Setup { index, listeners, plan, metrics: own, journal, gate, epoch, ready, commands };
        let name = format!("worker-{index}");
        self.workers.push(thread::Builder::new().name(name).spawn(move || worker::run(setup))?);
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the worker panicked")))?;
        self.commands.push(sender);
        self.metrics.push(metrics);
        Ok(())
    }

    /// Follows another configuration from now on, and says what that changes. Connections stay,
    /// whatever they are doing; endpoints that are in both keep what is known of them. If it is
    /// refused, nothing has changed.
    pub fn reload(&mut self, mut next: Config) -> Result<Vec<String>, StartError> {
        if next.threads != self.config.threads {
            return Err(StartError::Fixed("threads"));
        }
        if next.pid_file != self.config.pid_file || next.error_log != self.config.error_log {
            return Err(StartError::Fixed("pid_file or error_log"));
        }
        if next.access_log != self.config.access_log {
            return Err(StartError::Fixed("access_log or access_log_format"));
        }
        next.plan = Arc::new(succeed(&self.config.plan, &next.plan));
        let (open, doorways) = self.doorways(&next.listeners)?;
        let changes = difference(&self.config, &next);
        self.gate.set(next.capacity);
        self.next_id += next.listeners.len() as u64;
        let (done, adopted) = sync_channel(self.workers.len());
        for (sender, listeners) in self.commands.iter().zip(doorways) {
            let (plan, done) = (Arc::clone(&next.plan), done.clone());
            // A worker that is gone has panicked: that has been said.
            let _ = sender.blocking_send(Command::Adopt(Adoption { plan, listeners, done }));
        }
        drop(done);
        for result in adopted.iter().take(self.workers.len()) {
            if let Err(error) = result {
                log::error!("a worker cannot listen on all that is configured: {error}");
            }
        }
        let closed = self.open.iter().filter(|old| open.iter().all(|new| new.id != old.id));
        remove_socket_files(closed.map(|closed| &closed.bound));
        if let Some(checks) = &self.checks {
            checks.adopt(Arc::clone(&next.plan));
        }
        self.open = open;
        self.config = next;
        Ok(changes)
    }

    /// Takes no more connections, lets what runs finish for up to `limit`, and says how many
    /// sessions were cut then. Blocks until every worker has ended.
    pub fn drain(mut self, limit: Duration) -> usize {
        // Now, while they are still ours: a successor may bind the same paths while we drain.
        remove_socket_files(self.addresses());
        let deadline = Instant::now() + limit;
        for sender in &self.commands {
            // A worker that is gone already has nothing to drain.
            let _ = sender.try_send(Command::Drain { deadline });
        }
        let mut cut = 0;
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(sessions) => cut += sessions,
                Err(_) => log::error!("a worker panicked"),
            }
        }
        if let Some(checks) = self.checks.take() {
            checks.end();
        }
        self.access_log.inspect(AccessLog::close);
        cut
    }
}

/// Removes the files of unix listeners.
pub(super) fn remove_socket_files<'a>(addresses: impl Iterator<Item = &'a Address>) {
    for address in addresses {
        if let Address::Unix(path) = address {
            // Best effort: a file that is left is recognised as stale at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The plan `next`, with what is known of the endpoints that were in `before` already.
fn succeed(before: &Plan, next: &Plan) -> Plan {
    let is_same =
        |old: &Upstream, new: &Upstream| old.name == new.name && old.traffic == new.traffic;
    let goes = |old: &&Arc<Upstream>| !next.upstreams.iter().any(|new| is_same(old, new));
    let heirs = next.upstreams.iter().map(|new| {
        let mut named = before.upstreams.iter().filter(|old| is_same(old, new));
        // One that has another name now is known by its endpoints.
        let renamed = before.upstreams.iter().filter(goes).filter(|old| old.traffic == new.traffic);
        let earlier: Vec<&Upstream> =
            named.next().map_or_else(|| renamed.map(|old| &**old).collect(), |old| vec![&**old]);
        Arc::new(new.succeeding(&earlier))
    });
    let mut routes = next.routes.clone();
    for route in &mut routes {
        if let Some(old) = before.routes.iter().find(|old| old.name == route.name) {
            route.counts = Arc::clone(&old.counts);
        }
    }
    Plan { routes, upstreams: heirs.collect(), ..next.clone() }
}
