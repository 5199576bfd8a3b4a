//! One core: a thread with its own runtime, its own listening sockets and its own connections.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use socket2::Socket;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout_at};

use crate::buffer::Buffer;
use crate::drain::{Drain, Phase};
use crate::log::access_logger::Journal;
use crate::metrics::Metrics;
use crate::net::deadline::Epoch;
use crate::net::hand_off::{Departure, Exit};
use crate::net::limiter::{Gate, Ticket};
use crate::net::listen::{Listener, Peer};
use crate::net::pool::Lease;
use crate::net::stream::Stream;
use crate::net::upgrade_socket::Channel;
use crate::plan::Plan;
use crate::plan::context::Services;
use crate::plan::handle::Current;
use crate::plan::listener::Entrance;
use crate::session;
use crate::session::client_info::Caller;
use crate::session::h1::{self, Wait};

/// How long a drain leaves idle clients be: a request that is already on its way to us is still
/// answered, with `Connection: close`, instead of meeting a closed connection.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// How often idle upstream connections are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The wait after a failure to accept, doubling up to the second one while failures go on.
const ACCEPT_BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Between two warnings that there is no room.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// What a worker is told while it runs.
pub enum Command {
    /// To follow another plan.
    Adopt(Adoption),
    /// To answer, which shows that it is not stuck.
    Answer(SyncSender<()>),
    /// To lend its listening sockets, by the ids of their listeners.
    Lend(SyncSender<io::Result<Vec<(u64, OwnedFd)>>>),
    /// To take a connection in that another process has handed over.
    Take(Departure, OwnedFd),
    /// To leave its listeners and all that rests to another process, and end by then at the latest.
    HandOver {
        /// Where that process is.
        channel: Channel,
        /// The listeners that it goes on with; others are closed.
        kept: Vec<u64>,
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
pub struct Adoption {
    /// The plan.
    pub plan: Arc<Plan>,
    /// All listeners there are to be; those that are not named are closed.
    pub listeners: Vec<Doorway>,
    /// Where the worker says that it has adopted it, or why it cannot.
    pub done: SyncSender<io::Result<()>>,
}

/// A listener of one worker.
pub struct Doorway {
    /// The same for all workers, and for as long as it is open.
    pub id: u64,
    /// Its listening sockets, unless the worker has them already.
    pub sockets: Vec<Socket>,
    /// What it is for.
    pub entrance: Entrance,
}

/// What a worker starts with.
pub struct Setup {
    /// Which of the workers it is.
    pub index: usize,
    /// Its listeners.
    pub listeners: Vec<Doorway>,
    /// What its sessions follow.
    pub plan: Arc<Plan>,
    /// Its counters.
    pub metrics: Arc<Metrics>,
    /// Where its sessions log, if they do.
    pub journal: Option<Journal>,
    /// How many connections there may be.
    pub gate: Arc<Gate>,
    /// Where ticks count from.
    pub epoch: Epoch,
    /// Where it says that it is listening, or why it cannot.
    pub ready: SyncSender<io::Result<()>>,
    /// What it is told.
    pub commands: mpsc::Receiver<Command>,
}

/// Runs a worker on this thread until it is told to end; says how many sessions were cut.
pub fn run(setup: Setup) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    match runtime {
        Ok(runtime) => runtime.block_on(work(setup)),
        Err(error) => {
            // Whoever started this worker waits for the word.
            let _ = setup.ready.send(Err(error));
            0
        }
    }
}

async fn work(mut setup: Setup) -> usize {
    let journal = setup.journal.map(Rc::new);
    let flushing = journal.clone().map(|journal| spawn_local(journal.keep_flushing()));
    let services = Services::new(setup.plan, setup.metrics, journal, setup.index, setup.epoch);
    let (gate, doors) = (setup.gate, Vec::new());
    let mut worker = Worker { current: Current::new(services), gate, doors };
    let opened = worker.open(setup.listeners);
    let failed = opened.is_err();
    let _ = setup.ready.send(opened);
    if failed {
        return 0;
    }
    let sweeping = spawn_local(sweep(Rc::clone(&worker.current)));
    let ending = loop {
        match setup.commands.recv().await {
            Some(Command::Adopt(Adoption { plan, listeners, done })) => {
                // What waits at a listener that goes was meant for the plan that goes.
                worker.close_all_but(&listeners).await;
                worker.current.adopt(plan);
                let _ = done.send(worker.open(listeners));
            }
            Some(Command::Answer(answer)) => {
                let _ = answer.try_send(());
            }
            Some(Command::Lend(sockets)) => {
                let _ = sockets.send(worker.lend());
            }
            Some(Command::Take(departure, descriptor)) => worker.take(departure, descriptor),
            Some(Command::HandOver { channel, kept, deadline }) => {
                worker.leave_doors(&kept).await;
                break (deadline, Some(channel));
            }
            Some(Command::Drain { deadline }) => break (deadline, None),
            // Whoever commanded is gone: nobody is left to wait for.
            None => break (Instant::now(), None),
        }
    };
    let (deadline, successor) = ending;
    worker.close_all_but(&[]).await;
    let sessions = Rc::clone(&worker.current.get().drain);
    let leaving = async {
        if let Some(channel) = successor {
            worker.hand_over(channel, deadline).await;
        }
        drain(&sessions, deadline).await;
    };
    tokio::select! {
        () = leaving => {}
        () = hurry(&mut setup.commands) => {}
    }
    // What is left is cut when the runtime drops it.
    let cut = sessions.sessions();
    sweeping.abort();
    flushing.inspect(JoinHandle::abort);
    cut
}

struct Worker {
    current: Rc<Current>,
    gate: Arc<Gate>,
    doors: Vec<Door>,
}

impl Worker {
    async fn close_all_but(&mut self, staying: &[Doorway]) {
        let stays = |door: &mut Door| staying.iter().any(|doorway| doorway.id == door.id);
        let closing: Vec<Door> = self.doors.extract_if(.., |door| !stays(door)).collect();
        for door in closing {
            door.close().await;
        }
    }

    fn open(&mut self, doorways: Vec<Doorway>) -> io::Result<()> {
        for Doorway { id, sockets, entrance } in doorways {
            for door in self.doors.iter().filter(|door| door.id == id) {
                door.reception.entrance.set(entrance);
            }
            for socket in sockets {
                let reception = Reception {
                    listener: Listener::register(socket)?,
                    entrance: Cell::new(entrance),
                    gate: Arc::clone(&self.gate),
                    current: Rc::clone(&self.current),
                    waiting: RefCell::new(None),
                };
                self.doors.push(Door::open(id, reception));
            }
        }
        Ok(())
    }
}

impl Worker {
    fn lend(&self) -> io::Result<Vec<(u64, OwnedFd)>> {
        let lend = |door: &Door| Ok((door.id, door.reception.listener.lend()?));
        self.doors.iter().map(lend).collect()
    }

    /// Lets go of the listening sockets that another process accepts from.
    async fn leave_doors(&mut self, kept: &[u64]) {
        let left: Vec<Door> = self.doors.extract_if(.., |door| kept.contains(&door.id)).collect();
        for door in left {
            door.leave().await;
        }
    }

    /// Takes in what another process has let go.
    fn take(&self, departure: Departure, descriptor: OwnedFd) {
        let stream = match Stream::adopt(descriptor) {
            Ok(stream) => stream,
            Err(error) => return log::warn!("a connection was handed over and lost: {error}"),
        };
        match departure {
            Departure::Client { peer, header, is_answered } => {
                let mut ticket = self.gate.enter_anyway();
                ticket.name_anyway(peer);
                let wait = if is_answered { Wait::Next } else { Wait::First };
                let caller = Caller::known(peer, header.map(Into::into));
                let current = Rc::clone(&self.current);
                spawn_local(h1::serve(stream, caller, Buffer::new(), ticket, wait, current));
            }
            Departure::Idle { upstream, address, carried } => {
                let lease = Lease { stream, carried, is_reused: true };
                self.current.get().take_in(&upstream, &address, lease);
            }
        }
    }

    /// Sends what rests to another process, as soon as it does, until nothing is left.
    async fn hand_over(&self, channel: Channel, deadline: Instant) {
        self.current.open_exit(Exit::new(channel));
        let drain = Rc::clone(&self.current.get().drain);
        loop {
            self.current.let_pools_go().await;
            let pause = deadline.min(Instant::now() + SWEEP_INTERVAL);
            let empty = poll_fn(|cx| drain.poll_empty(cx));
            let is_empty = timeout_at(pause, empty).await.is_ok();
            if is_empty || drain.phase() != Phase::Leaving || Instant::now() >= deadline {
                return self.current.let_pools_go().await;
            }
        }
    }
}

/// What a listener needs to take connections in.
struct Reception {
    listener: Listener,
    entrance: Cell<Entrance>,
    gate: Arc<Gate>,
    current: Rc<Current>,
    /// A connection for which there is no room yet.
    waiting: RefCell<Option<(Stream, Peer)>>,
}

/// A listening socket, and the task that accepts from it.
struct Door {
    id: u64,
    reception: Rc<Reception>,
    accepting: JoinHandle<()>,
}

impl Door {
    fn open(id: u64, reception: Reception) -> Self {
        let reception = Rc::new(reception);
        let accepting = spawn_local(Rc::clone(&reception).accept());
        Self { id, reception, accepting }
    }

    /// What the kernel has accepted is left to who else has the socket.
    async fn leave(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
        if let Some((stream, peer)) = self.reception.waiting.take() {
            let ticket = self.reception.gate.enter_anyway();
            self.reception.admit(stream, peer, ticket);
        }
    }

    async fn close(self) {
        self.accepting.abort();
        // Its share of the listener goes with the task, which is not dropped before it is awaited.
        let _ = self.accepting.await;
        if let Some(reception) = Rc::into_inner(self.reception) {
            reception.close();
        }
    }
}

/// Waits until it is told again to end: nobody has the time to wait for the rest.
async fn hurry(commands: &mut mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Drain { .. } => return,
            Command::Answer(answer) => {
                let _ = answer.try_send(());
            }
            // What is over is over.
            Command::Adopt(_) | Command::Lend(_) | Command::Take(..) | Command::HandOver { .. } => {
            }
        }
    }
    pending::<()>().await;
}

async fn drain(drain: &Drain, deadline: Instant) {
    drain.advance(Phase::Draining);
    let grace = deadline.min(Instant::now() + IDLE_GRACE);
    let empty = || poll_fn(|cx| drain.poll_empty(cx));
    if timeout_at(grace, empty()).await.is_err() {
        drain.advance(Phase::Closing);
        let _ = timeout_at(deadline, empty()).await;
    }
}

impl Reception {
    async fn accept(self: Rc<Self>) {
        let mut backoff = ACCEPT_BACKOFF.0;
        let mut warned: Option<Instant> = None;
        let metrics = Arc::clone(&self.current.get().metrics);
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    backoff = ACCEPT_BACKOFF.0;
                    metrics.accepted.add(1);
                    if let Some(ticket) = self.gate.try_enter() {
                        self.admit(stream, peer, ticket);
                        continue;
                    }
                    metrics.waited.add(1);
                    if warned.is_none_or(|warned| warned.elapsed() > WARNING_INTERVAL) {
                        warned = Some(Instant::now());
                        let most = self.gate.connections_max();
                        log::warn!("{most} connections are open, others wait: --max-connections");
                    }
                    self.waiting.replace(Some((stream, peer)));
                    let ticket = self.gate.enter().await;
                    if let Some((stream, peer)) = self.waiting.take() {
                        self.admit(stream, peer, ticket);
                    }
                }
                Err(error) if is_of_one_connection(&error) => metrics.accept_errors.add(1),
                Err(error) => {
                    metrics.accept_errors.add(1);
                    log::warn!("cannot accept connections: {error}; next try in {backoff:?}");
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(ACCEPT_BACKOFF.1);
                }
            }
        }
    }

    /// Takes the connections that the kernel has already accepted for us, be there room or not.
    fn close(self) {
        let Self { listener, entrance, gate, current, waiting } = self;
        let queued = listener.close();
        current.get().metrics.accepted.add(queued.len() as u64);
        for (stream, peer) in waiting.take().into_iter().chain(queued) {
            session::admit(stream, peer, entrance.get(), gate.enter_anyway(), &current);
        }
    }

    fn admit(&self, stream: Stream, peer: Peer, ticket: Ticket) {
        session::admit(stream, peer, self.entrance.get(), ticket, &self.current);
    }
}

/// accept(2): errors that were waiting on the new connection say nothing about the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
    )
}

async fn sweep(current: Rc<Current>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        current.get().sweep();
    }
}
