//! Commands to a running worker.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use socket2::Socket;
use tokio::time::Instant;

use crate::id::ListenerId;
use crate::log::access_logger::LogNames;
use crate::net::hand_off::HandedOff;
use crate::net::upgrade_socket::Channel;
use crate::plan::Plan;
use crate::plan::listener::ListenerKind;
use crate::plan::shelves::Shelves;

/// A command to a running worker.
pub enum WorkerCommand {
    /// Switches to another plan.
    Adopt(PlanChange),
    /// Replies, which shows that the worker is not stuck.
    Answer(SyncSender<()>),
    /// Lends its listening sockets, with the IDs of their listeners.
    Lend(SyncSender<io::Result<Vec<(ListenerId, OwnedFd)>>>),
    /// Takes over a connection from another process.
    Take(HandedOff, OwnedFd),
    /// Hands over listeners and idle connections to another process, and ends by the deadline.
    HandOver {
        /// The channel to that process.
        channel: Channel,
        /// The listeners that it continues with; others are closed.
        kept: Vec<ListenerId>,
        /// When remaining sessions are cut.
        deadline: Instant,
    },
    /// Stops accepting connections, and ends by the deadline.
    Drain {
        /// When remaining sessions are cut.
        deadline: Instant,
    },
}

/// A new plan with its listeners.
pub struct PlanChange {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Where workers share idle connections to its endpoints.
    pub shelves: Shelves,
    /// What is logged of it, if anything is.
    pub log_names: Option<Arc<LogNames>>,
    /// All listeners of the plan; others are closed.
    pub listeners: Vec<ListenerHandle>,
    /// Receives the result.
    pub done: SyncSender<io::Result<()>>,
}

/// A listener of one worker.
pub struct ListenerHandle {
    /// The same for all workers, and fixed while the listener is open.
    pub id: ListenerId,
    /// Its listening sockets, unless the worker has them already.
    pub sockets: Vec<Socket>,
    /// What its connections are for.
    pub kind: ListenerKind,
}
