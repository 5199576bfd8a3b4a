//! Where every endpoint that may be asked is full: a request waits until there is room, and is told 503 if
//! there is none in time.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::time::Instant;

use super::client::{ClientConnection, WaitEnded, WaitingClient};
use super::request::Request;
use super::request_log::RequestLog;
use crate::balance::tried::Tried;
use crate::balance::{Affinity, NoneLeft, Picked, Standing};
use crate::fault::{Fault, Stage};
use crate::filters::Filters;
use crate::id::UpstreamId;
use crate::metrics::UpstreamMetrics;
use crate::plan::context::WorkerContext;
use crate::shed::Shed;
use crate::termination::{Ender, ExchangePhase, Termination};
use crate::upstream::request_permit::RequestPermit;

/// Why a request gets no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// None could be asked, whether there was room or not.
    None(NoneLeft),
    /// There was no room.
    Shed(Shed),
    /// Its client has left, or its time was up.
    ClientLeft(Fault),
}

impl NotAdmitted {
    /// How it ended.
    pub fn termination(self) -> Termination {
        match self {
            Self::None(_) => Termination::new(Ender::Upstream, ExchangePhase::Connect),
            Self::Shed(Shed::TimedOut) => {
                Termination::new(Ender::UpstreamSilence, ExchangePhase::Queue)
            }
            Self::Shed(Shed::Full | Shed::Late) => {
                Termination::new(Ender::Rule, ExchangePhase::Queue)
            }
            Self::ClientLeft(fault) => fault.termination(),
        }
    }
}

/// What is waited for.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// An endpoint of this upstream.
    pub upstream: UpstreamId,
    /// What ties the request to one.
    pub affinity: Affinity,
    /// None of the first, and failing that none of the second.
    pub tried: [&'a Tried; 2],
}

/// Picks an endpoint, if there is one with room.
pub fn pick(
    context: &WorkerContext,
    wanted: &Wanted<'_>,
    now: Instant,
) -> Result<Picked, NotAdmitted> {
    let Wanted { upstream, affinity, tried: [tried, spent] } = *wanted;
    let pick = |tried| context.pick(upstream, now, affinity, tried);
    pick(tried).or_else(|_| pick(spent)).map_err(NotAdmitted::None)
}

/// Waits in the queue of an upstream for an endpoint.
pub async fn wait<F: Filters>(
    client: &mut ClientConnection<'_>,
    request: &mut Request<'_, F>,
    context: &WorkerContext,
    wanted: Wanted<'_>,
) -> Result<Picked, NotAdmitted> {
    // It may take its time, and many may wait at once.
    request.outgoing.settle();
    let logged = (context, request.timing.request_log());
    wait_as(logged, wanted, &mut client.waiting()).await
}

/// The same on behalf of a client of any kind.
pub async fn wait_as(
    (context, request_log): (&WorkerContext, Option<&RequestLog>),
    wanted: Wanted<'_>,
    client: &mut WaitingClient<'_>,
) -> Result<Picked, NotAdmitted> {
    let began = Instant::now();
    if let Some(request_log) = request_log {
        request_log.queues(wanted.upstream);
    }
    let counts = context.upstream_counts(wanted.upstream);
    let mut guard = WaitGuard { counts, request_log, began, has_ended: false };
    let outcome = wait_since(began, context, wanted, client).await;
    guard.has_ended = !matches!(outcome, Err(NotAdmitted::ClientLeft(_)));
    if let Err(NotAdmitted::Shed(shed)) = outcome {
        counts.shed[shed as usize].add(1);
    }
    outcome
}

/// Tells how long a request has waited, and that it was given up if so, even if the task is cancelled.
struct WaitGuard<'a> {
    counts: &'a UpstreamMetrics,
    request_log: Option<&'a RequestLog>,
    began: Instant,
    has_ended: bool,
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.counts.queue_left.add(1);
        }
        if let Some(request_log) = self.request_log {
            request_log.queued(self.began.elapsed());
        }
    }
}

async fn wait_since(
    began: Instant,
    context: &WorkerContext,
    wanted: Wanted<'_>,
    client: &mut WaitingClient<'_>,
) -> Result<Picked, NotAdmitted> {
    let Wanted { upstream, affinity, tried: [tried, spent] } = wanted;
    let Some(ceiling) = &context.plan.upstream(upstream).ceiling else {
        return Err(NotAdmitted::None(NoneLeft::AllFull));
    };
    let entered = context.enter_queue(upstream, ceiling, began, tried);
    let mut entry = Some(entered.map_err(NotAdmitted::Shed)?);
    let mut has_waited = false;
    let admitted = pin!(poll_fn(|cx| loop {
        let Some(waits) = &mut entry else { return Poll::Pending };
        let freed = match waits.poll(cx.waker()) {
            Poll::Ready(Ok(freed)) => freed,
            Poll::Ready(Err(shed)) => return Poll::Ready(Err(NotAdmitted::Shed(shed))),
            Poll::Pending => {
                if !std::mem::replace(&mut has_waited, true) {
                    context.upstream_counts(upstream).queued.add(1);
                }
                return Poll::Pending;
            }
        };
        let (standing, now) = (Standing::Called(freed), Instant::now());
        let pick = |tried| context.pick_as(standing, upstream, now, affinity, tried);
        match pick(tried).or_else(|_| pick(spent)) {
            Ok(picked) => {
                let permit = picked.permit.as_ref();
                let more = permit.is_none_or(RequestPermit::has_room_beside);
                if let Some(entry) = entry.take() {
                    entry.served(permit.map(RequestPermit::at), more);
                }
                return Poll::Ready(Ok(picked));
            }
            Err(NoneLeft::AllFull) => waits.not_served(),
            Err(none) => return Poll::Ready(Err(NotAdmitted::None(none))),
        }
    }));
    client.wait_for(ceiling.queue_timeout, admitted).await.unwrap_or_else(|ended| {
        Err(match ended {
            WaitEnded::TimedOut => NotAdmitted::Shed(Shed::TimedOut),
            WaitEnded::ClientLeft(kind) => {
                NotAdmitted::ClientLeft(Fault::client(Stage::Queue, kind))
            }
        })
    })
}
