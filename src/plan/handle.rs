//! The plan in force on one worker, as its sessions reach it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::yield_now;
use tokio::time::Instant;

use super::Plan;
use super::context::WorkerContext;
use super::shelves::Shelves;
use crate::drain::DrainPhase;
use crate::log::access_logger::LogNames;
use crate::net::hand_off::{HandOff, HandOffClosed, HandedOff};
use crate::net::stream::Stream;

/// The services of one worker under the plan that is in force now. A session takes those in force
/// for each request, and keeps them until the request has ended.
pub struct PlanHandle {
    context: RefCell<Rc<WorkerContext>>,
    hand_off: RefCell<Option<Rc<HandOff>>>,
    /// Those of earlier plans, until the last session that works with them has ended.
    retired: RefCell<Vec<Rc<WorkerContext>>>,
}

/// What has become of a connection that was to go to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetGo {
    /// It has gone.
    Gone,
    /// There is something to read, which comes first.
    Readable,
}

impl PlanHandle {
    /// These, to begin with.
    pub fn new(context: Rc<WorkerContext>) -> Rc<Self> {
        let (context, retired) = (RefCell::new(context), RefCell::default());
        Rc::new(Self { context, hand_off: RefCell::new(None), retired })
    }

    /// Those in force.
    pub fn get(&self) -> Rc<WorkerContext> {
        Rc::clone(&self.context.borrow())
    }

    /// Puts another plan in force, with the names that its log writes. Requests go by the earlier one until it is.
    pub async fn adopt(&self, plan: Arc<Plan>, shelves: &Shelves, names: Option<Arc<LogNames>>) {
        let earlier = self.get();
        let next = earlier.succeeded_by(plan, shelves, names).await;
        self.context.replace(next);
        self.retired.borrow_mut().push(earlier);
    }

    /// Frees what was in force once and no session works with any more. No session does that itself when it ends: it
    /// can take longer than others should wait.
    pub async fn free_retired(&self) {
        let is_free = |context: &mut Rc<WorkerContext>| Rc::strong_count(context) == 1;
        let free: Vec<_> = self.retired.borrow_mut().extract_if(.., is_free).collect();
        for context in free {
            if let Some(context) = Rc::into_inner(context) {
                context.free().await;
            }
        }
    }

    /// From now on connections that rest leave by this way.
    pub fn open_exit(&self, hand_off: HandOff) {
        self.hand_off.replace(Some(Rc::new(hand_off)));
        self.get().drain.begin(DrainPhase::Leaving);
    }

    /// Sends a client's connection out, if there is a way, unless a request comes before that. Where there is
    /// no way any more, what is left is finished here.
    pub async fn let_go(
        &self,
        stream: &Stream,
        client: &HandedOff,
    ) -> Result<LetGo, HandOffClosed> {
        let hand_off = self.hand_off.borrow().clone().ok_or(HandOffClosed)?;
        let is_readable = poll_fn(|cx| Poll::Ready(stream.poll_readable(cx).is_ready()));
        if hand_off.is_crowded() && is_readable.await {
            return Ok(LetGo::Readable);
        }
        let left = match stream.handed_over() {
            Some(descriptor) => tokio::select! {
                biased;
                left = async { hand_off.turn().await?.leave(client, descriptor).await } => {
                    left.map(|()| LetGo::Gone)
                }
                _ = poll_fn(|cx| stream.poll_readable(cx)) => return Ok(LetGo::Readable),
            },
            None => Err(HandOffClosed),
        };
        if left.is_err() {
            self.close_exit();
        }
        left
    }

    /// Nothing goes out any more: all that is left is finished here.
    fn close_exit(&self) {
        let drain = &self.get().drain;
        if drain.phase() == DrainPhase::Leaving {
            drain.advance(DrainPhase::Draining);
        }
    }

    /// Has the clients' connections that rest leave, a few at a time: meanwhile requests have their turn.
    pub async fn let_sessions_go(&self) {
        let Some(hand_off) = self.hand_off.borrow().clone() else { return };
        let drain = Rc::clone(&self.get().drain);
        let mut next = Some(0);
        while let Some(first) = next
            && drain.phase() == DrainPhase::Leaving
        {
            next = drain.wake_some(first);
            yield_now().await;
            // It comes once they are out.
            if hand_off.turn().await.is_err() {
                return self.close_exit();
            }
        }
        hand_off.end_crowd();
    }

    /// Ends the idle HTTP/2 connections to endpoints, in order: they cannot go on elsewhere.
    pub async fn end_shared(&self) {
        let context = self.get();
        let pools = context.shares.iter().flat_map(|share| &share.pools);
        let retired: usize = pools.map(|pool| pool.borrow().shared.retire_idle()).sum();
        if retired > 0 {
            // Each has a task that tells its endpoint: that may be the last thing this process does.
            yield_now().await;
        }
    }

    /// Sends the idle connections to endpoints out.
    pub async fn let_pools_go(&self) {
        let Some(hand_off) = self.hand_off.borrow().clone() else { return };
        self.end_shared().await;
        let context = self.get();
        for (upstream, share) in context.plan.upstreams.iter().zip(&context.shares) {
            for (endpoint, pool) in upstream.endpoints.iter().zip(&share.pools) {
                let leases = pool.borrow_mut().take(Instant::now());
                for lease in leases {
                    let handed_off = HandedOff::Idle {
                        upstream: upstream.name.to_string(),
                        address: endpoint.address.to_string(),
                        carried: lease.carried,
                    };
                    let Some(descriptor) = lease.stream.handed_over() else { continue };
                    let Ok(turn) = hand_off.turn().await else { return };
                    if turn.leave(&handed_off, descriptor).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
