//! A worker: a thread with its own runtime, listening sockets and connections; one per core.

mod acceptor;
pub mod command;
pub mod fresh_queue;
mod rebalancing;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io;
use std::iter;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::drain::{Drain, DrainPhase, IDLE_GRACE};
use crate::filters::Filters;
use crate::id::ListenerId;
use crate::log::access_log;
use crate::log::access_logger::{AccessLogger, LogNames};
use crate::metrics::Metrics;
use crate::net::deadline::{Epoch, SpareAlarms};
use crate::net::descriptors;
use crate::net::hand_off::{HandOff, HandedOff};
use crate::net::lease::{Lease, Origin};
use crate::net::limiter::ConnectionLimiter;
use crate::net::listen::ListeningSocket;
use crate::net::stream::Stream;
use crate::net::upgrade_socket::Channel;
use crate::placement::WorkerPlace;
use crate::plan::Plan;
use crate::plan::context::WorkerContext;
use crate::plan::handle::PlanHandle;
use crate::plan::listener::{Listener, ListenerKind};
use crate::plan::shelves::Shelves;
use crate::session::accepted::Accepted;
use crate::session::client_info::ClientInfo;
use crate::session::h1;
use crate::session::parking::Wait;
use acceptor::{AcceptTask, Acceptor};
use command::{ListenerHandle, PlanChange, WorkerCommand};
use fresh_queue::FreshQueue;
use rebalancing::Rebalancing;

/// How often idle upstream connections are swept, and Date is updated.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How late that must be to count as a stall of the worker.
const STALL_MIN: Duration = Duration::from_secs(1);

/// Everything a worker needs to start.
pub struct WorkerSetup {
    /// Its place among the workers.
    pub place: WorkerPlace,
    /// The connections that workers give to each other, by the index of who is to serve them.
    pub fresh: Arc<[FreshQueue]>,
    /// Its listeners.
    pub listeners: Vec<ListenerHandle>,
    /// The plan for its sessions.
    pub plan: Arc<Plan>,
    /// Where it shares idle connections to the endpoints of the plan with other workers.
    pub shelves: Shelves,
    /// What is logged of it, if anything is.
    pub log_names: Option<Arc<LogNames>>,
    /// Its counters.
    pub metrics: Arc<Metrics>,
    /// The access logger for its sessions, if any.
    pub access_logger: Option<AccessLogger>,
    /// Limits the number of connections.
    pub limiter: Arc<ConnectionLimiter>,
    /// The origin of ticks.
    pub epoch: Epoch,
    /// Receives the result of the start.
    pub ready: SyncSender<io::Result<()>>,
    /// Receives commands.
    pub commands: mpsc::Receiver<WorkerCommand>,
}

/// Runs a worker on this thread until a command ends it; returns how many sessions were cut.
pub fn run<F: Filters>(mut setup: WorkerSetup, filters: Arc<F>) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let unwritten = F::RECORDS && setup.access_logger.is_none();
    match (runtime, unwritten.then(|| access_log::logger(None, None)).transpose()) {
        (Ok(runtime), Ok(unwritten)) => {
            setup.access_logger = setup.access_logger.or(unwritten);
            runtime.block_on(work(setup, filters))
        }
        (Err(error), _) | (_, Err(error)) => {
            // The thread that started this worker waits for the result.
            let _ = setup.ready.send(Err(error));
            0
        }
    }
}

async fn work<F: Filters>(mut setup: WorkerSetup, filters: Arc<F>) -> usize {
    let _spares = SpareAlarms::keep();
    let access_logger = setup.access_logger.map(Rc::new);
    let flushing =
        access_logger.clone().map(|access_logger| spawn_local(access_logger.keep_flushing()));
    let (metrics, place, plan) = (setup.metrics, setup.place, (setup.plan, setup.log_names));
    let context =
        WorkerContext::new(plan, &setup.shelves, metrics, access_logger, place, setup.epoch);
    // Kept here, they would outlast the plan that they are for.
    drop(setup.shelves);
    context.update_date();
    context.note_sweep();
    let (limiter, accept_tasks) = (setup.limiter, Vec::new());
    let handle = PlanHandle::new(context);
    let rebalancing = Rebalancing::new(&handle, &limiter, setup.fresh);
    let mut worker = Worker { handle, filters, limiter, rebalancing, accept_tasks };
    let opened = worker.open(setup.listeners);
    let failed = opened.is_err();
    let _ = setup.ready.send(opened);
    if failed {
        return 0;
    }
    let sweeping = spawn_local(sweep(Rc::clone(&worker.handle), Rc::clone(&worker.rebalancing)));
    spawn_local(Rc::clone(&worker.rebalancing).keep_taking());
    let ending = loop {
        match setup.commands.recv().await {
            Some(WorkerCommand::Adopt(change)) => worker.adopt(change).await,
            Some(WorkerCommand::Answer(answer)) => {
                let _ = answer.try_send(());
            }
            Some(WorkerCommand::Lend(sockets)) => {
                let _ = sockets.send(worker.lend());
            }
            Some(WorkerCommand::Take(handed_off, descriptor)) => {
                worker.take(handed_off, descriptor);
            }
            Some(WorkerCommand::HandOver { channel, kept, deadline }) => {
                worker.leave_listeners(&kept).await;
                break (deadline, Some(channel));
            }
            Some(WorkerCommand::Drain { deadline }) => break (deadline, None),
            // The control thread has ended, so there is nothing to wait for.
            None => break (Instant::now(), None),
        }
    };
    let (deadline, successor) = ending;
    worker.close_all_but(&[]).await;
    let sessions = Rc::clone(&worker.handle.get().drain);
    let leaving = async {
        if let Some(channel) = successor {
            worker.hand_over(channel, deadline).await;
        }
        drain(&sessions, deadline).await;
        worker.handle.end_shared().await;
    };
    tokio::select! {
        () = leaving => {}
        () = hurry(&mut setup.commands) => {}
    }
    // Remaining sessions are cut when the runtime drops them.
    let cut = sessions.sessions();
    sweeping.abort();
    worker.handle.get().metrics.swept.set(Metrics::ENDED);
    flushing.inspect(JoinHandle::abort);
    cut
}

struct Worker<F: Filters> {
    handle: Rc<PlanHandle>,
    filters: Arc<F>,
    limiter: Arc<ConnectionLimiter>,
    rebalancing: Rc<Rebalancing<F>>,
    accept_tasks: Vec<AcceptTask<F>>,
}

impl<F: Filters> Worker<F> {
    async fn adopt(&mut self, change: PlanChange) {
        let PlanChange { plan, shelves, log_names, listeners, done } = change;
        // Connections waiting at a removed listener belong to the old plan.
        self.close_all_but(&listeners).await;
        self.handle.adopt(plan, &shelves, log_names).await;
        let _ = done.send(self.open(listeners));
    }

    async fn close_all_but(&mut self, staying: &[ListenerHandle]) {
        self.rebalancing.close();
        let stays =
            |task: &mut AcceptTask<F>| staying.iter().any(|listener| listener.id == task.id());
        let closing: Vec<AcceptTask<F>> =
            self.accept_tasks.extract_if(.., |task| !stays(task)).collect();
        for task in closing {
            task.close().await;
        }
    }

    fn open(&mut self, listener_handles: Vec<ListenerHandle>) -> io::Result<()> {
        for ListenerHandle { id, sockets, kind } in listener_handles {
            let listener = self.listener(id).unwrap_or_else(|| self.new_listener(id, kind));
            listener.set_kind(kind);
            for socket in sockets {
                let acceptor = Acceptor {
                    socket: ListeningSocket::register(socket)?,
                    listener: Rc::clone(&listener),
                    limiter: Arc::clone(&self.limiter),
                    rebalancing: Rc::clone(&self.rebalancing),
                    waiting: RefCell::new(None),
                };
                self.accept_tasks.push(AcceptTask::open(acceptor));
            }
        }
        self.rebalancing.open(self.listeners());
        Ok(())
    }

    fn new_listener(&self, id: ListenerId, kind: ListenerKind) -> Rc<Listener<F>> {
        Listener::new(id, kind, &self.handle, Arc::clone(&self.filters))
    }

    /// Those that are open; of more sockets than one each is named once for each.
    fn listeners(&self) -> Vec<Rc<Listener<F>>> {
        self.accept_tasks.iter().map(|task| Rc::clone(&task.acceptor.listener)).collect()
    }

    /// An open listener.
    fn listener(&self, id: ListenerId) -> Option<Rc<Listener<F>>> {
        let task = self.accept_tasks.iter().find(|task| task.id() == id)?;
        Some(Rc::clone(&task.acceptor.listener))
    }
}

impl<F: Filters> Worker<F> {
    fn lend(&self) -> io::Result<Vec<(ListenerId, OwnedFd)>> {
        let lend = |task: &AcceptTask<F>| Ok((task.id(), task.acceptor.socket.lend()?));
        self.accept_tasks.iter().map(lend).collect()
    }

    /// Stops accepting on the listening sockets that another process has taken over.
    async fn leave_listeners(&mut self, kept: &[ListenerId]) {
        self.rebalancing.close();
        let left: Vec<AcceptTask<F>> =
            self.accept_tasks.extract_if(.., |task| kept.contains(&task.id())).collect();
        for task in left {
            task.leave().await;
        }
    }

    /// Takes over a connection from another process.
    fn take(&self, handed_off: HandedOff, descriptor: OwnedFd) {
        let stream = match Stream::adopt(descriptor) {
            Ok(stream) => stream,
            Err(error) => return log::warn!("a connection was handed over and lost: {error}"),
        };
        match handed_off {
            HandedOff::Client { listener: id, peer, header, is_answered } => {
                let client_info = ClientInfo::known(peer, header);
                let mut permit = self.limiter.enter_anyway();
                if self.handle.get().is_limited(client_info.client) {
                    permit.name_anyway(client_info.client);
                }
                let wait = if is_answered { Wait::Next } else { Wait::First };
                // The listener may not exist here; the connection then continues with the rules for HTTP.
                let unknown = || self.new_listener(id, ListenerKind::HTTP);
                let listener = self.listener(id).unwrap_or_else(unknown);
                let accepted = Accepted::new(stream, peer, permit, &listener);
                spawn_local(h1::serve(accepted, client_info, iter::empty(), wait));
            }
            HandedOff::Idle { upstream, address, carried } => {
                let lease = Lease { stream, carried, origin: Origin::Shelf };
                self.handle.get().take_in(&upstream, &address, lease);
            }
        }
    }

    /// Hands over connections to another process as they become idle, until none are left.
    async fn hand_over(&self, channel: Channel, deadline: Instant) {
        self.handle.open_exit(HandOff::new(channel));
        let drain = Rc::clone(&self.handle.get().drain);
        self.handle.let_pools_go().await;
        let _ = timeout_at(deadline, self.handle.let_sessions_go()).await;
        loop {
            self.handle.let_pools_go().await;
            let pause = deadline.min(Instant::now() + SWEEP_INTERVAL);
            let empty = poll_fn(|cx| drain.poll_empty(cx));
            let is_empty = timeout_at(pause, empty).await.is_ok();
            if is_empty || drain.phase() != DrainPhase::Leaving || Instant::now() >= deadline {
                return self.handle.let_pools_go().await;
            }
        }
    }
}

/// Waits for a second command to end, which cuts the remaining sessions at once.
async fn hurry(commands: &mut mpsc::Receiver<WorkerCommand>) {
    while let Some(command) = commands.recv().await {
        match command {
            WorkerCommand::Drain { .. } => return,
            WorkerCommand::Answer(answer) => {
                let _ = answer.try_send(());
            }
            // Too late for these.
            WorkerCommand::Adopt(_)
            | WorkerCommand::Lend(_)
            | WorkerCommand::Take(..)
            | WorkerCommand::HandOver { .. } => {}
        }
    }
    pending::<()>().await;
}

async fn drain(drain: &Drain, deadline: Instant) {
    advance(drain, DrainPhase::Draining).await;
    let grace = deadline.min(Instant::now() + IDLE_GRACE);
    let empty = || poll_fn(|cx| drain.poll_empty(cx));
    if timeout_at(grace, empty()).await.is_err() {
        advance(drain, DrainPhase::Closing).await;
        let _ = timeout_at(deadline, empty()).await;
    }
}

/// Has all sessions notice a phase, a few at a time: meanwhile requests have their turn.
async fn advance(drain: &Drain, phase: DrainPhase) {
    drain.begin(phase);
    let mut next = Some(0);
    while let Some(first) = next {
        next = drain.wake_some(first);
        yield_now().await;
    }
}

async fn sweep<F: Filters>(handle: Rc<PlanHandle>, rebalancing: Rc<Rebalancing<F>>) {
    let mut next = Instant::now() + SWEEP_INTERVAL;
    loop {
        tokio::select! {
            () = sleep_until(next) => {
                let context = handle.get();
                context.update_date();
                context.sweep();
                context.note_sweep();
                rebalancing.rescue();
                if Instant::now().saturating_duration_since(next) > STALL_MIN {
                    context.metrics.stalls.add(1);
                }
                drop(context);
                handle.free_retired().await;
                next = Instant::now() + SWEEP_INTERVAL;
            }
            () = descriptors::asked() => handle.get().shed(),
        }
    }
}
