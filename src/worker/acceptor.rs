//! Accepts connections, with one task per listening socket.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep};

use super::fresh_queue::FreshConnection;
use super::rebalancing::{Rebalancing, serve};
use crate::filters::Filters;
use crate::id::ListenerId;
use crate::log::once_per_second::OncePerSecond;
use crate::net::descriptors;
use crate::net::limiter::{ConnectionLimiter, ConnectionPermit};
use crate::net::listen::{Incoming, ListeningSocket};
use crate::plan::listener::Listener;

/// The first and the longest pause after an error from accepting; it doubles while errors continue.
const ACCEPT_BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The least time between two warnings that the connection limit is reached.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

static ACCEPT_WARNINGS: OncePerSecond = OncePerSecond::new();

/// Accepts the connections of one listening socket.
pub(super) struct Acceptor<F: Filters> {
    pub(super) socket: ListeningSocket,
    pub(super) listener: Rc<Listener<F>>,
    pub(super) limiter: Arc<ConnectionLimiter>,
    pub(super) rebalancing: Rc<Rebalancing<F>>,
    /// An accepted connection that waits for a permit.
    pub(super) waiting: RefCell<Option<Incoming>>,
}

/// A listening socket, and the task that accepts from it.
pub(super) struct AcceptTask<F: Filters> {
    pub(super) acceptor: Rc<Acceptor<F>>,
    accepting: JoinHandle<()>,
}

impl<F: Filters> AcceptTask<F> {
    pub(super) fn open(acceptor: Acceptor<F>) -> Self {
        let acceptor = Rc::new(acceptor);
        let accepting = spawn_local(Rc::clone(&acceptor).accept());
        Self { acceptor, accepting }
    }

    pub(super) fn id(&self) -> ListenerId {
        self.acceptor.listener.id
    }

    /// Stops accepting; connections in the kernel's queue are left to the other process that has the
    /// socket.
    pub(super) async fn leave(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
        if let Some(incoming) = self.acceptor.waiting.take() {
            let permit = self.acceptor.limiter.enter_anyway();
            serve(self.acceptor.fresh(incoming, permit), &self.acceptor.listener);
        }
    }

    pub(super) async fn close(self) {
        self.accepting.abort();
        // The task holds a reference to the acceptor, and is dropped only once it is awaited.
        let _ = self.accepting.await;
        if let Some(acceptor) = Rc::into_inner(self.acceptor) {
            acceptor.close();
        }
    }
}

impl<F: Filters> Acceptor<F> {
    async fn accept(self: Rc<Self>) {
        let mut backoff = ACCEPT_BACKOFF.0;
        let mut warned: Option<Instant> = None;
        let metrics = Arc::clone(&self.listener.handle.get().metrics);
        loop {
            match self.socket.accept().await {
                Ok(incoming) => {
                    backoff = ACCEPT_BACKOFF.0;
                    metrics.accepted.add(1);
                    if let Some(permit) = self.limiter.try_enter() {
                        self.admit(incoming, permit);
                        continue;
                    }
                    metrics.waited.add(1);
                    if warned.is_none_or(|warned| warned.elapsed() > WARNING_INTERVAL) {
                        warned = Some(Instant::now());
                        let most = self.limiter.connections_max();
                        log::warn!("{most} connections are open, others wait: --max-connections");
                    }
                    self.waiting.replace(Some(incoming));
                    let permit = self.limiter.enter().await;
                    if let Some(incoming) = self.waiting.take() {
                        self.admit(incoming, permit);
                    }
                }
                Err(error) if is_of_one_connection(&error) => metrics.accept_errors.add(1),
                Err(error) => {
                    metrics.accept_errors.add(1);
                    if descriptors::are_exhausted(&error) {
                        self.listener.handle.get().shed();
                        descriptors::ask();
                    }
                    if let Some(before) = ACCEPT_WARNINGS.permits(Instant::now()) {
                        log::warn!("cannot accept connections: {error} ({before} times before)");
                    }
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(ACCEPT_BACKOFF.1);
                }
            }
        }
    }

    /// Serves the connections that the kernel has already accepted, even above the limit.
    fn close(self) {
        let Self { socket, listener, limiter, waiting, .. } = self;
        let id = listener.id;
        let queued = socket.close();
        listener.handle.get().metrics.accepted.add(queued.len() as u64);
        for incoming in waiting.take().into_iter().chain(queued) {
            let permit = limiter.enter_anyway();
            serve(FreshConnection { incoming, permit, listener: id }, &listener);
        }
    }

    fn admit(&self, incoming: Incoming, permit: ConnectionPermit) {
        self.rebalancing.place(self.fresh(incoming, permit), &self.listener);
    }

    fn fresh(&self, incoming: Incoming, permit: ConnectionPermit) -> FreshConnection {
        FreshConnection { incoming, permit, listener: self.listener.id }
    }
}

/// Whether an error belongs to the new connection and says nothing about the next one (accept(2)).
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
