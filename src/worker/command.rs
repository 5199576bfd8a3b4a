//! What a worker is told while it runs.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use socket2::Socket;
use tokio::time::Instant;

use crate::id::ListenerId;
use crate::net::hand_off::HandedOff;
use crate::net::upgrade_socket::Channel;
use crate::plan::Plan;
use crate::plan::listener::ListenerKind;

/// What a worker is told while it runs.
pub enum WorkerCommand {
    /// To follow another plan.
    Adopt(PlanChange),
    /// To answer, which shows that it is not stuck.
    Answer(SyncSender<()>),
    /// To lend its listening sockets, by the ids of their listeners.
    Lend(SyncSender<io::Result<Vec<(ListenerId, OwnedFd)>>>),
    /// To take a connection in that another process has handed over.
    Take(HandedOff, OwnedFd),
    /// To leave its listeners and all that rests to another process, and end by then at the latest.
    HandOver {
        /// Where that process is.
        channel: Channel,
        /// The listeners that it goes on with; others are closed.
        kept: Vec<ListenerId>,
        /// When what still runs is cut.
        deadline: Instant,
    },
    /// To take no more connections and end by then at the latest.
    Drain {
        /// When what still runs is cut.
        deadline: Instant,
    },
}

/// Another plan, and where connections come from under it.
pub struct PlanChange {
    /// The plan.
    pub plan: Arc<Plan>,
    /// All listeners there are to be; those that are not named are closed.
    pub listeners: Vec<ListenerHandle>,
    /// Where the worker says that it has adopted it, or why it cannot.
    pub done: SyncSender<io::Result<()>>,
}

/// A listener of one worker.
pub struct ListenerHandle {
    /// The same for all workers, and for as long as it is open.
    pub id: ListenerId,
    /// Its listening sockets, unless the worker has them already.
    pub sockets: Vec<Socket>,
    /// What it is for.
    pub kind: ListenerKind,
}
