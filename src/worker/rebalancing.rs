//! What one worker has to do with the connections of others: it gives some away, takes what it is given, and helps
//! out for one that is stuck.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::fresh_queue::{FreshConnection, FreshQueue};
use crate::drain::Drain;
use crate::filters::Filters;
use crate::id::ListenerId;
use crate::log::once_per_second::OncePerSecond;
use crate::net::limiter::ConnectionLimiter;
use crate::placement::WorkerPlace;
use crate::plan::handle::PlanHandle;
use crate::plan::listener::Listener;
use crate::session;

static REGISTER_WARNINGS: OncePerSecond = OncePerSecond::new();

/// A worker among the others.
pub(super) struct Rebalancing<F: Filters> {
    handle: Rc<PlanHandle>,
    drain: Rc<Drain>,
    limiter: Arc<ConnectionLimiter>,
    /// Of all workers, by their index.
    queues: Arc<[FreshQueue]>,
    /// Those whose connections it takes.
    listeners: RefCell<Vec<Rc<Listener<F>>>>,
}

impl<F: Filters> Rebalancing<F> {
    pub(super) fn new(
        handle: &Rc<PlanHandle>,
        limiter: &Arc<ConnectionLimiter>,
        queues: Arc<[FreshQueue]>,
    ) -> Rc<Self> {
        let (handle, limiter) = (Rc::clone(handle), Arc::clone(limiter));
        let drain = Rc::clone(&handle.get().drain);
        Rc::new(Self { handle, drain, limiter, queues, listeners: RefCell::default() })
    }

    /// Serves a connection that this worker has accepted, or has another one serve it.
    pub(super) fn place(&self, connection: FreshConnection, listener: &Rc<Listener<F>>) {
        let open = self.limiter.open();
        let stays = match self.place_of().choose(open, || self.handle.get().millis()) {
            None => connection,
            Some(worker) => match self.queues[worker].push(connection) {
                Ok(()) => return self.handle.get().metrics.rebalanced.add(1),
                Err(back) => {
                    self.arrived(worker, 1);
                    back
                }
            },
        };
        serve(stays, listener);
    }

    /// Takes connections that came in at these listeners, and at no others.
    pub(super) fn open(&self, listeners: Vec<Rc<Listener<F>>>) {
        self.own().open(listeners.iter().map(|listener| listener.id).collect());
        self.listeners.replace(listeners);
        self.place_of().set_open(true);
    }

    /// Takes none any more. Those that have come are served.
    pub(super) fn close(&self) {
        self.place_of().set_open(false);
        let left = self.own().close();
        self.serve_all(self.place_of().index(), left);
        self.listeners.take();
    }

    /// Serves what others give to this worker.
    pub(super) async fn keep_taking(self: Rc<Self>) {
        loop {
            let given = poll_fn(|cx| self.own().poll_take(cx)).await;
            self.serve_all(self.place_of().index(), given);
        }
    }

    /// Serves what waits for a worker that is stuck, or gone.
    pub(super) fn rescue(&self) {
        for worker in self.place_of().overdue(self.handle.get().millis()) {
            let waiting = self.queues[worker].rescue(|id| self.listener(id).is_some());
            self.serve_all(worker, waiting);
        }
    }

    fn serve_all(&self, worker: usize, connections: Vec<FreshConnection>) {
        let count = connections.len();
        for connection in connections {
            if let Some(listener) = self.listener(connection.listener) {
                serve(connection, &listener);
            }
        }
        self.arrived(worker, count);
    }

    fn arrived(&self, worker: usize, count: usize) {
        self.place_of().loads().arrived(worker, count, self.handle.get().millis());
    }

    fn listener(&self, id: ListenerId) -> Option<Rc<Listener<F>>> {
        self.listeners.borrow().iter().find(|listener| listener.id == id).cloned()
    }

    fn place_of(&self) -> &WorkerPlace {
        self.drain.place()
    }

    fn own(&self) -> &FreshQueue {
        &self.queues[self.place_of().index()]
    }
}

impl<F: Filters> Drop for Rebalancing<F> {
    /// After a panic others serve what is left.
    fn drop(&mut self) {
        self.place_of().set_open(false);
    }
}

/// Serves a connection on this worker.
pub(super) fn serve<F: Filters>(connection: FreshConnection, listener: &Rc<Listener<F>>) {
    let FreshConnection { incoming, permit, .. } = connection;
    match incoming.register() {
        Ok((stream, peer)) => session::admit(stream, peer, permit, listener),
        Err(error) => {
            listener.handle.get().metrics.accept_errors.add(1);
            if let Some(before) = REGISTER_WARNINGS.permits(Instant::now()) {
                log::warn!("cannot serve a connection: {error} ({before} times before)");
            }
        }
    }
}
