//! One core: a thread with its own runtime, its own listening sockets and its own connections.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::Socket;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;
use tokio::task::coop::unconstrained;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout_at};

use crate::drain::{Drain, Phase};
use crate::metrics::Metrics;
use crate::net::deadline::Epoch;
use crate::net::listen::Listener;
use crate::session::services::{Current, Plan, Services};
use crate::session::{self, Entrance};

/// How long a drain leaves idle clients be: a request that is already on its way to us is still
/// answered, with `Connection: close`, instead of meeting a closed connection.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// How often idle upstream connections are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The wait after a failure to accept, doubling up to the second one while failures go on.
const ACCEPT_BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// What a worker is told while it runs.
pub enum Command {
    /// To follow another plan.
    Adopt(Adoption),
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
    /// Its listening socket, unless the worker has it already.
    pub socket: Option<Socket>,
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
    let services = Services::new(setup.plan, setup.metrics, setup.index, setup.epoch);
    let mut worker = Worker { current: Current::new(services), doors: Vec::new() };
    let opened = worker.open(setup.listeners);
    let failed = opened.is_err();
    let _ = setup.ready.send(opened);
    if failed {
        return 0;
    }
    let sweeping = spawn_local(sweep(Rc::clone(&worker.current)));
    let deadline = loop {
        match setup.commands.recv().await {
            Some(Command::Adopt(Adoption { plan, listeners, done })) => {
                // What waits at a listener that goes was meant for the plan that goes.
                worker.close_all_but(&listeners);
                worker.current.adopt(plan);
                let _ = done.send(worker.open(listeners));
            }
            Some(Command::Drain { deadline }) => break deadline,
            // Whoever commanded is gone: nobody is left to wait for.
            None => break Instant::now(),
        }
    };
    worker.close_all_but(&[]);
    let cut = drain(&worker.current.get().drain, deadline).await;
    sweeping.abort();
    cut
}

struct Worker {
    current: Rc<Current>,
    doors: Vec<Door>,
}

impl Worker {
    fn close_all_but(&mut self, staying: &[Doorway]) {
        let stays = |door: &mut Door| staying.iter().any(|doorway| doorway.id == door.id);
        for door in self.doors.extract_if(.., |door| !stays(door)) {
            door.close(&self.current);
        }
    }

    fn open(&mut self, doorways: Vec<Doorway>) -> io::Result<()> {
        for Doorway { id, socket, entrance } in doorways {
            if let Some(door) = self.doors.iter().find(|door| door.id == id) {
                door.entrance.set(entrance);
            } else if let Some(socket) = socket {
                self.doors.push(Door::open(id, socket, entrance, &self.current)?);
            }
        }
        Ok(())
    }
}

/// A listening socket, and the task that accepts from it.
struct Door {
    id: u64,
    listener: Rc<Listener>,
    entrance: Rc<Cell<Entrance>>,
    accepting: JoinHandle<()>,
}

impl Door {
    fn open(
        id: u64,
        socket: Socket,
        entrance: Entrance,
        current: &Rc<Current>,
    ) -> io::Result<Self> {
        let listener = Rc::new(Listener::register(socket)?);
        let entrance = Rc::new(Cell::new(entrance));
        let accepting = accept(Rc::clone(&listener), Rc::clone(&entrance), Rc::clone(current));
        Ok(Self { id, listener, entrance, accepting: spawn_local(accepting) })
    }

    fn close(self, current: &Rc<Current>) {
        self.accepting.abort();
        accept_waiting(&self.listener, self.entrance.get(), current);
    }
}

async fn drain(drain: &Drain, deadline: Instant) -> usize {
    drain.advance(Phase::Draining);
    let grace = deadline.min(Instant::now() + IDLE_GRACE);
    let empty = || poll_fn(|cx| drain.poll_empty(cx));
    if timeout_at(grace, empty()).await.is_err() {
        drain.advance(Phase::Closing);
        // What is left at the deadline is cut when the runtime drops it.
        let _ = timeout_at(deadline, empty()).await;
    }
    drain.sessions()
}

async fn accept(listener: Rc<Listener>, entrance: Rc<Cell<Entrance>>, current: Rc<Current>) {
    let mut backoff = ACCEPT_BACKOFF.0;
    let metrics = Arc::clone(&current.get().metrics);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                backoff = ACCEPT_BACKOFF.0;
                metrics.accepted.add(1);
                session::spawn(stream, peer, entrance.get(), Rc::clone(&current));
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

/// Takes the connections that the kernel has already accepted for us: closing the socket would
/// reset them.
fn accept_waiting(listener: &Listener, entrance: Entrance, current: &Rc<Current>) {
    let mut cx = Context::from_waker(Waker::noop());
    // Unconstrained: the cooperative budget would end this before the queue is empty.
    let mut next = || pin!(unconstrained(listener.accept())).poll(&mut cx);
    while let Poll::Ready(Ok((stream, peer))) = next() {
        current.get().metrics.accepted.add(1);
        session::spawn(stream, peer, entrance, Rc::clone(current));
    }
}

async fn sweep(current: Rc<Current>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        current.get().sweep();
    }
}
