//! A balancer at work: its workers, its checks, and how they end.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::Socket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::checks;
use crate::address::Address;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::deadline::Epoch;
use crate::net::listen;
use crate::session::Entrance;
use crate::session::services::Plan;
use crate::worker::{self, Command, Setup};

/// Why nothing was started.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be bound.
    Bind(Address, io::Error),
    /// A thread or a runtime could not be made.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "{address} is in use: stop what listens there or choose another address")
            }
            Self::Bind(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A balancer at work.
pub struct Running {
    /// Where it listens, with the ports the kernel chose.
    pub addresses: Vec<Address>,
    /// What it follows.
    pub plan: Arc<Plan>,
    /// The counters of each worker.
    pub metrics: Vec<Arc<Metrics>>,
    commands: Vec<mpsc::Sender<Command>>,
    workers: Vec<JoinHandle<usize>>,
    checker: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// Binds every address, then starts the workers and the checks.
pub fn start(config: &Config) -> Result<Running, StartError> {
    let epoch = Epoch::begin();
    let workers = config.threads.get();
    let mut addresses = Vec::new();
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in &config.listeners {
        let bound = listen::bind(&listener.address, workers).map_err(|error| {
            remove_socket_files(&addresses);
            StartError::Bind(listener.address.clone(), error)
        })?;
        addresses.push(bound.address);
        for (own, socket) in sockets.iter_mut().zip(bound.sockets) {
            own.push((socket, listener.entrance));
        }
    }
    let mut running = Running {
        addresses,
        plan: Arc::clone(&config.plan),
        metrics: Vec::new(),
        commands: Vec::new(),
        workers: Vec::new(),
        checker: None,
    };
    for (index, sockets) in sockets.into_iter().enumerate() {
        running.start_worker(index, sockets, epoch).map_err(StartError::Thread)?;
    }
    running.checker = checks::start(config, epoch).map_err(StartError::Thread)?;
    Ok(running)
}

impl Running {
    fn start_worker(
        &mut self,
        index: usize,
        sockets: Vec<(Socket, Entrance)>,
        epoch: Epoch,
    ) -> io::Result<()> {
        let endpoints = self.plan.upstreams.iter().map(|upstream| upstream.endpoints.len()).sum();
        let metrics = Arc::new(Metrics::new(endpoints));
        let (sender, commands) = mpsc::channel(4);
        let plan = Arc::clone(&self.plan);
        let (ready, started) = sync_channel(1);
        let own = Arc::clone(&metrics);
        let setup = Setup { index, sockets, plan, metrics: own, epoch, ready, commands };
        let name = format!("worker-{index}");
        self.workers.push(thread::Builder::new().name(name).spawn(move || worker::run(setup))?);
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the worker panicked")))?;
        self.commands.push(sender);
        self.metrics.push(metrics);
        Ok(())
    }

    /// Takes no more connections, lets what runs finish for up to `limit`, and says how many
    /// sessions were cut then. Blocks until every worker has ended.
    pub fn drain(mut self, limit: Duration) -> usize {
        // Now, while they are still ours: a successor may bind the same paths while we drain.
        remove_socket_files(&self.addresses);
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
        if let Some((stop, checker)) = self.checker.take() {
            drop(stop);
            if checker.join().is_err() {
                log::error!("the checks panicked");
            }
        }
        cut
    }
}

/// Removes the files of unix listeners.
pub(super) fn remove_socket_files(addresses: &[Address]) {
    for address in addresses {
        if let Address::Unix(path) = address {
            // Best effort: a file that is left is recognised as stale at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}
