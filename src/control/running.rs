//! A balancer at work: its workers, its checks, and how they end.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::carry_over;
use super::start_error::StartError;
use super::upgrade::{self, Arrivals, InheritedListener, LentListener, Takeover};
use crate::address::Address;
use crate::checks::Checks;
use crate::config::describe::difference;
use crate::config::{self, Config};
use crate::log::access_log::AccessLog;
use crate::metrics::Metrics;
use crate::net::deadline::Epoch;
use crate::net::limiter::ConnectionLimiter;
use crate::net::listen;
use crate::net::upgrade_socket::Channel;
use crate::plan::Plan;
use crate::worker::command::{ListenerHandle, PlanChange, WorkerCommand};
use crate::worker::{self, WorkerSetup};

/// How long a worker may take to follow a reload: one is at work for milliseconds at a time.
const ADOPTION_LIMIT: Duration = Duration::from_secs(10);

/// How long a worker may take to lend its sockets.
const LENDING_LIMIT: Duration = Duration::from_secs(1);

/// A listener, open on every worker.
struct Open {
    id: u64,
    /// As it was configured.
    configured: Address,
    /// With the port the kernel chose.
    bound: Address,
    source: Source,
}

/// Where the sockets of a listener come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// This process has bound them.
    Bound,
    /// Another one has, and goes on with them if this one fails.
    HandedOver,
}

/// A balancer at work.
pub struct Running {
    /// The counters of each worker.
    pub metrics: Vec<Arc<Metrics>>,
    /// How many connections there are, and may be.
    pub limiter: Arc<ConnectionLimiter>,
    config: Config,
    open: Vec<Open>,
    /// Of the next listener.
    next_id: u64,
    commands: Vec<mpsc::Sender<WorkerCommand>>,
    workers: Vec<JoinHandle<usize>>,
    checks: Option<Checks>,
    epoch: Epoch,
    /// What the workers will accept from.
    pending: Vec<Vec<ListenerHandle>>,
    /// What another process hands over.
    arrivals: Option<Arrivals>,
    access_log: Option<AccessLog>,
}

/// Binds every address, then starts the workers and the checks.
///
/// `between` is done when everything is bound and there are no threads yet. What another process has
/// handed over is not accepted from before `Running::accept`.
pub fn start(
    config: Config,
    inheritance: Option<&mut Takeover>,
    between: impl FnOnce() -> Result<(), StartError>,
) -> Result<Running, StartError> {
    let age = inheritance.as_ref().map_or(Duration::ZERO, |inheritance| inheritance.age);
    let epoch = Epoch::since(age);
    let workers = config.threads.get();
    let mut running = Running {
        metrics: Vec::new(),
        open: Vec::new(),
        next_id: 0,
        epoch,
        commands: Vec::new(),
        workers: Vec::new(),
        checks: None,
        pending: Vec::new(),
        arrivals: None,
        access_log: None,
        limiter: ConnectionLimiter::new(config.capacity),
        config,
    };
    let (mut inherited, mut is_of_process) = (Vec::new(), false);
    if let Some(inheritance) = inheritance {
        is_of_process = inheritance.is_of_process();
        inheritance.restore(&running.config.plan);
        inherited = std::mem::take(&mut inheritance.listeners);
    }
    let (open, mut listener_handles) =
        running.listener_handles(&running.config.listeners, inherited)?;
    running.next_id += open.len() as u64;
    running.open = open;
    between()
        .and_then(|()| running.open_access_log())
        .inspect_err(|_| remove_fresh_files(&running.open))?;
    if is_of_process {
        let closed = (0..workers).map(|_| Vec::new()).collect();
        running.pending = std::mem::replace(&mut listener_handles, closed);
    }
    for (index, listeners) in (0..workers).zip(listener_handles) {
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

    /// Where its ticks count from.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where it listens, with the ports the kernel chose.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.open.iter().map(|open| &open.bound)
    }

    /// Its access log, if it has one.
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.access_log.as_ref()
    }

    /// By whom the process is by now: it must be able to open the file anew.
    fn open_access_log(&mut self) -> Result<(), StartError> {
        if let Some(config) = &self.config.access_log {
            let place = || config.target.to_string().into();
            let opened = AccessLog::open(config.target.clone(), config.format);
            self.access_log = Some(opened.map_err(|error| StartError::File(place(), error))?);
        }
        Ok(())
    }

    /// The listeners as they are to be, and what that means for each worker. Those that are open
    /// stay, others are bound; nothing is if one of them cannot be.
    fn listener_handles(
        &self,
        wanted: &[config::ListenerConfig],
        mut inherited: Vec<InheritedListener>,
    ) -> Result<(Vec<Open>, Vec<Vec<ListenerHandle>>), StartError> {
        let workers = self.config.threads.get();
        let mut listener_handles: Vec<Vec<ListenerHandle>> =
            (0..workers).map(|_| Vec::new()).collect();
        let mut open: Vec<Open> = Vec::new();
        for (id, config::ListenerConfig { address, kind }) in (self.next_id..).zip(wanted) {
            let taken = |known: &&Open| {
                known.configured == *address && open.iter().all(|open| open.id != known.id)
            };
            if let Some(Open { id, configured, bound, source }) = self.open.iter().find(taken) {
                let id = *id;
                for own in &mut listener_handles {
                    own.push(ListenerHandle { id, sockets: Vec::new(), kind: *kind });
                }
                open.push(Open {
                    id,
                    configured: configured.clone(),
                    bound: bound.clone(),
                    source: *source,
                });
                continue;
            }
            let known = inherited.iter().position(|inherited| inherited.configured == *address);
            // In order: of two listeners on port 0 each goes on with its own.
            let (bound, source) = match known.map(|known| inherited.remove(known)) {
                Some(inherited) => (inherited.for_workers(workers), Source::HandedOver),
                None => (listen::bind(address, workers), Source::Bound),
            };
            let bound = bound.map_err(|error| {
                remove_fresh_files(open.iter().filter(|open| open.id >= self.next_id));
                self.held_by(address)
                    .filter(|_| error.kind() == io::ErrorKind::AddrInUse)
                    .unwrap_or_else(|| StartError::Bind(address.clone(), error))
            })?;
            let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
            for (place, socket) in bound.sockets.into_iter().enumerate() {
                sockets[place % workers].push(socket);
            }
            for (own, sockets) in listener_handles.iter_mut().zip(sockets) {
                own.push(ListenerHandle { id, sockets, kind: *kind });
            }
            let (configured, bound) = (address.clone(), bound.address);
            open.push(Open { id, configured, bound, source });
        }
        for InheritedListener { bound, .. } in &inherited {
            log::warn!("{bound} is handed over, but no listener is for it: closed");
        }
        Ok((open, listener_handles))
    }

    /// Why an address cannot be bound that overlaps with one of ours.
    fn held_by(&self, wanted: &Address) -> Option<StartError> {
        let Address::Tcp(tcp) = wanted else { return None };
        let same_port =
            |open: &&Open| matches!(&open.bound, Address::Tcp(bound) if bound.port() == tcp.port());
        let held = self.open.iter().find(same_port)?;
        Some(StartError::Held(wanted.clone(), held.bound.clone()))
    }

    fn start_worker(
        &mut self,
        index: usize,
        listeners: Vec<ListenerHandle>,
        epoch: Epoch,
    ) -> io::Result<()> {
        let metrics = Arc::new(Metrics::new());
        let (sender, commands) = mpsc::channel(4);
        let plan = Arc::clone(&self.config.plan);
        let (ready, started) = sync_channel(1);
        let own = Arc::clone(&metrics);
        let limiter = Arc::clone(&self.limiter);
        let access_logger =
            self.access_log.as_ref().map(AccessLog::access_logger).transpose()?.flatten();
        let setup = WorkerSetup {
            index,
            listeners,
            plan,
            metrics: own,
            access_logger,
            limiter,
            epoch,
            ready,
            commands,
        };
        let name = format!("worker-{index}");
        self.workers.push(thread::Builder::new().name(name).spawn(move || worker::run(setup))?);
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the worker panicked")))?;
        self.commands.push(sender);
        self.metrics.push(metrics);
        Ok(())
    }

    /// What following another configuration would change. Nothing is bound, so whether its
    /// addresses are free is not known.
    pub fn preview(&self, next: &Config) -> Result<Vec<String>, StartError> {
        self.refuse_fixed(next)?;
        Ok(difference(&self.config, next))
    }

    fn refuse_fixed(&self, next: &Config) -> Result<(), StartError> {
        let now = &self.config;
        let rows = [
            (next.threads == now.threads, "threads"),
            (
                next.pid_file == now.pid_file && next.error_log == now.error_log,
                "pid_file or error_log",
            ),
            (next.admin == now.admin, "admin or admin_token_file"),
            (next.access_log == now.access_log, "access_log or access_log_format"),
        ];
        rows.iter()
            .find(|(stays, _)| !stays)
            .map_or(Ok(()), |(_, what)| Err(StartError::Fixed(what)))
    }

    /// Follows another configuration from now on, and says what that changes. Connections stay,
    /// whatever they are doing; endpoints that are in both keep what is known of them. If it is
    /// refused, nothing has changed.
    pub fn reload(&mut self, mut next: Config) -> Result<Vec<String>, StartError> {
        self.refuse_fixed(&next)?;
        next.plan = Arc::new(carry_over::succeed(&self.config.plan, &next.plan));
        let (open, listener_handles) = self.listener_handles(&next.listeners, Vec::new())?;
        let changes = difference(&self.config, &next);
        self.limiter.set(next.capacity);
        self.next_id += next.listeners.len() as u64;
        let plan = Arc::clone(&next.plan);
        self.tell(&plan, listener_handles);
        let closed = self.open.iter().filter(|old| open.iter().all(|new| new.id != old.id));
        remove_socket_files(closed.map(|closed| &closed.bound));
        if let Some(checks) = &self.checks {
            checks.adopt(Arc::clone(&next.plan));
        }
        self.open = open;
        self.config = next;
        Ok(changes)
    }

    /// Has every worker follow a plan, at these listeners.
    fn tell(&self, plan: &Arc<Plan>, listener_handles: Vec<Vec<ListenerHandle>>) {
        let (done, adopted) = sync_channel(self.workers.len());
        for (sender, listeners) in self.commands.iter().zip(listener_handles) {
            let (plan, done) = (Arc::clone(plan), done.clone());
            // A worker that is gone has panicked: that has been said.
            let _ =
                sender.blocking_send(WorkerCommand::Adopt(PlanChange { plan, listeners, done }));
        }
        drop(done);
        for _ in &self.commands {
            match adopted.recv_timeout(ADOPTION_LIMIT) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    log::error!("a worker cannot listen on all that is configured: {error}");
                }
                Err(_) => log::error!("a worker has not followed within {ADOPTION_LIMIT:?}"),
            }
        }
    }

    /// Begins to accept from what another process has handed over.
    pub(crate) fn accept(&mut self) {
        let listener_handles = std::mem::take(&mut self.pending);
        let plan = Arc::clone(&self.config.plan);
        if !listener_handles.is_empty() {
            self.tell(&plan, listener_handles);
        }
    }

    /// Takes in what another process lets go.
    pub(crate) fn take_in(&mut self, channel: Channel) -> io::Result<()> {
        self.arrivals = Some(Arrivals::start(channel, self.commands.clone())?);
        Ok(())
    }

    /// Tells another process all that it needs to go on from here.
    pub(crate) fn offer(
        &self,
        channel: &Channel,
        admin: Option<LentListener<'_>>,
        deadline: std::time::Instant,
    ) -> io::Result<()> {
        let mut lent: HashMap<u64, Vec<OwnedFd>> = HashMap::new();
        for sender in &self.commands {
            let (sockets, lending) = sync_channel(1);
            // A worker that is gone has panicked, and its sockets with it.
            if sender.blocking_send(WorkerCommand::Lend(sockets)).is_err() {
                continue;
            }
            let sockets = lending.recv_timeout(LENDING_LIMIT).map_err(io::Error::other)??;
            for (id, socket) in sockets {
                lent.entry(id).or_default().push(socket);
            }
        }
        let age = self.epoch.tick(Instant::now());
        let known = self.open.iter().map(|open| {
            let sockets = lent.remove(&open.id).unwrap_or_default();
            (&open.configured, &open.bound, sockets)
        });
        upgrade::offer(channel, age, known, admin, &self.config.plan, deadline)
    }

    /// Leaves the listeners and all connections that rest to another process, which accepts already;
    /// lets what runs finish, and says how many sessions were cut at the limit. Blocks until every
    /// worker has ended.
    pub(crate) fn hand_over(
        mut self,
        channel: &Channel,
        addresses: &[String],
        limit: Duration,
    ) -> usize {
        self.end_arrivals();
        let stays = |open: &&Open| addresses.contains(&open.bound.to_string());
        let kept: Vec<u64> = self.open.iter().filter(stays).map(|open| open.id).collect();
        let gone = self.open.iter().filter(|open| !kept.contains(&open.id));
        remove_socket_files(gone.map(|open| &open.bound));
        let deadline = Instant::now() + limit;
        for sender in &self.commands {
            let command = match channel.try_clone() {
                Ok(channel) => WorkerCommand::HandOver { channel, kept: kept.clone(), deadline },
                Err(error) => {
                    log::warn!("connections are not handed over: {error}");
                    WorkerCommand::Drain { deadline }
                }
            };
            let _ = sender.blocking_send(command);
        }
        self.join()
    }

    /// What is on its way from another process is taken in before anything else is done.
    fn end_arrivals(&mut self) {
        if let Some(arrivals) = self.arrivals.take() {
            arrivals.end();
        }
    }

    /// The ends at which the workers can be told something.
    pub(crate) fn commands(&self) -> &[mpsc::Sender<WorkerCommand>] {
        &self.commands
    }

    /// Takes no more connections, lets what runs finish for up to `limit`, and says how many
    /// sessions were cut then. Blocks until every worker has ended.
    pub fn drain(mut self, limit: Duration) -> usize {
        self.end_arrivals();
        // Now, while they are still ours: a successor may bind the same paths while we drain.
        remove_socket_files(self.addresses());
        let deadline = Instant::now() + limit;
        for sender in &self.commands {
            // A worker that is gone already has nothing to drain.
            let _ = sender.blocking_send(WorkerCommand::Drain { deadline });
        }
        self.join()
    }

    fn join(mut self) -> usize {
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

/// Removes the files of unix listeners that this process has bound: others go on with theirs.
fn remove_fresh_files<'a>(open: impl IntoIterator<Item = &'a Open>) {
    let fresh = open.into_iter().filter(|open| open.source == Source::Bound);
    remove_socket_files(fresh.map(|open| &open.bound));
}

/// Removes the files of unix listeners.
pub(crate) fn remove_socket_files<'a>(addresses: impl Iterator<Item = &'a Address>) {
    for address in addresses {
        if let Address::Unix(path) = address {
            // Best effort: a file that is left is recognised as stale at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}
