//! One core: a thread with its own runtime, its own listening sockets and its own connections.

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
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout_at};

use crate::drain::Phase;
use crate::metrics::Metrics;
use crate::net::deadline::Epoch;
use crate::net::listen::Listener;
use crate::session::services::{Plan, Services};
use crate::session::{self, Entrance};

/// How long a drain leaves idle clients be: a request that is already on its way to us is still
/// answered, with `Connection: close`, instead of meeting a closed connection.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// How often idle upstream connections are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The wait after a failure to accept, doubling up to the second one while failures go on.
const ACCEPT_BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// What a worker is told while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// To take no more connections and end by then at the latest.
    Drain {
        /// When what still runs is cut.
        deadline: Instant,
    },
}

/// What a worker starts with.
pub struct Setup {
    /// Which of the workers it is.
    pub index: usize,
    /// Its listening sockets.
    pub sockets: Vec<(Socket, Entrance)>,
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
    let services = Services::new(setup.plan, Arc::clone(&setup.metrics), setup.index, setup.epoch);
    let register = |(socket, entrance)| Ok((Rc::new(Listener::register(socket)?), entrance));
    let registered: io::Result<Vec<_>> = setup.sockets.into_iter().map(register).collect();
    let listeners = match registered {
        Ok(listeners) => listeners,
        Err(error) => {
            let _ = setup.ready.send(Err(error));
            return 0;
        }
    };
    let accept = |(listener, entrance): &(Rc<_>, _)| {
        spawn_local(accept(Rc::clone(listener), *entrance, Rc::clone(&services)))
    };
    let accepting: Vec<_> = listeners.iter().map(accept).collect();
    let _ = setup.ready.send(Ok(()));
    let sweeping = spawn_local(sweep(Rc::clone(&services)));
    let deadline = match setup.commands.recv().await {
        Some(Command::Drain { deadline }) => deadline,
        // Whoever commanded is gone: nobody is left to wait for.
        None => Instant::now(),
    };
    for task in accepting {
        task.abort();
    }
    for (listener, entrance) in listeners {
        accept_waiting(&listener, entrance, &services);
    }
    let cut = drain(&services, deadline).await;
    sweeping.abort();
    cut
}

async fn drain(services: &Services, deadline: Instant) -> usize {
    let drain = &services.drain;
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

async fn accept(listener: Rc<Listener>, entrance: Entrance, services: Rc<Services>) {
    let mut backoff = ACCEPT_BACKOFF.0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                backoff = ACCEPT_BACKOFF.0;
                services.metrics.accepted.add(1);
                session::spawn(stream, peer, entrance, Rc::clone(&services));
            }
            Err(error) if is_of_one_connection(&error) => services.metrics.accept_errors.add(1),
            Err(error) => {
                services.metrics.accept_errors.add(1);
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
fn accept_waiting(listener: &Listener, entrance: Entrance, services: &Rc<Services>) {
    let mut cx = Context::from_waker(Waker::noop());
    // Unconstrained: the cooperative budget would end this before the queue is empty.
    let mut next = || pin!(unconstrained(listener.accept())).poll(&mut cx);
    while let Poll::Ready(Ok((stream, peer))) = next() {
        services.metrics.accepted.add(1);
        session::spawn(stream, peer, entrance, Rc::clone(services));
    }
}

async fn sweep(services: Rc<Services>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        services.sweep();
    }
}
