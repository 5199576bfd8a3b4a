//! The worker threads, seen from the control thread.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::net::upgrade_socket::Channel;
use crate::plan::Plan;
use crate::worker::command::{ListenerHandle, PlanChange, WorkerCommand};
use crate::worker::{self, WorkerSetup};

/// How long a worker may take to follow a reload: one is at work for milliseconds at a time.
const ADOPTION_LIMIT: Duration = Duration::from_secs(10);

/// How long a worker may take to lend its sockets.
const LENDING_LIMIT: Duration = Duration::from_secs(1);

/// The worker threads.
#[derive(Default)]
pub(crate) struct Workers {
    pub(super) commands: Vec<mpsc::Sender<WorkerCommand>>,
    threads: Vec<JoinHandle<usize>>,
}

impl Workers {
    /// Starts one more, and waits until it listens.
    pub(super) fn start(
        &mut self,
        setup: impl FnOnce(
            std::sync::mpsc::SyncSender<io::Result<()>>,
            mpsc::Receiver<WorkerCommand>,
        ) -> WorkerSetup,
    ) -> io::Result<()> {
        let (sender, commands) = mpsc::channel(4);
        let (ready, started) = sync_channel(1);
        let setup = setup(ready, commands);
        let name = format!("worker-{}", setup.index);
        self.threads.push(thread::Builder::new().name(name).spawn(move || worker::run(setup))?);
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the worker panicked")))?;
        self.commands.push(sender);
        Ok(())
    }

    /// Has every worker follow a plan, at these listeners.
    pub(super) fn adopt(&self, plan: &Arc<Plan>, listener_handles: Vec<Vec<ListenerHandle>>) {
        let (done, adopted) = sync_channel(self.threads.len());
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

    /// Their listening sockets, by the ids of the listeners.
    pub(super) fn lend(&self) -> io::Result<HashMap<u64, Vec<OwnedFd>>> {
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
        Ok(lent)
    }

    /// Has them leave the listeners `kept`, and all connections that rest, to another process.
    pub(super) fn hand_over(&self, channel: &Channel, kept: &[u64], deadline: Instant) {
        for sender in &self.commands {
            let command = match channel.try_clone() {
                Ok(channel) => WorkerCommand::HandOver { channel, kept: kept.to_vec(), deadline },
                Err(error) => {
                    log::warn!("connections are not handed over: {error}");
                    WorkerCommand::Drain { deadline }
                }
            };
            let _ = sender.blocking_send(command);
        }
    }

    /// Has them take no more connections and end by then.
    pub(super) fn drain(&self, deadline: Instant) {
        for sender in &self.commands {
            // A worker that is gone already has nothing to drain.
            let _ = sender.blocking_send(WorkerCommand::Drain { deadline });
        }
    }

    /// Waits until every worker has ended; says how many sessions were cut.
    pub(super) fn join(&mut self) -> usize {
        let mut cut = 0;
        for worker in self.threads.drain(..) {
            match worker.join() {
                Ok(sessions) => cut += sessions,
                Err(_) => log::error!("a worker panicked"),
            }
        }
        cut
    }
}
