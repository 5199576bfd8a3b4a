//! One request and its response: attempt after attempt until one of them answers, and what follows
//! for both connections.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use tokio::time::Instant;

use super::admission::{self, NotAdmitted};
use super::affinity::reason_name;
use super::attempt::{self, Freshness};
use super::attempt_edits;
use super::client::{AfterExchange, Begun, ClientConnection, ClientSide, WaitEnded};
use super::cut;
use super::give_back::{Rest, give_back, let_go};
use super::local_answer::{after_fault, no_endpoint, unavailable};
use super::mirror;
use super::presence::Presence;
use super::record::{self, AttemptTarget};
use super::request::Request;
use super::request_log::RequestLog;
use super::retry::{Attempts, FailedAttempt};
use super::transfer::{self, Completed, SentAnswer};
use super::transfer_state::UploadState;
use super::tunnel::{self, Ends};
use super::upstream_h2::{await_end, open_stream};
use super::upstream_side::{Outgoing, UpstreamSide};
use crate::app_protocol::AppProtocol;
use crate::balance::{NoneLeft, PickReason, Picked};
use crate::fault::{Fault, Kind, Side, Stage};
use crate::filters::calls::{ExchangeEnd, ReplyTo};
use crate::filters::exchange_record::ExchangeRecord;
use crate::filters::reply::LocalReply;
use crate::filters::{Filtered, Filters, Verdict};
use crate::http::h1::encode::ConnectionHeader;
use crate::http::message::head::Version;
use crate::http::message::hop::ClientScheme;
use crate::http::rules::refusal::RefusingRule;
use crate::id::{RouteId, UpstreamId};
use crate::plan::context::WorkerContext;
use crate::reject::Reject;
use crate::termination::{Ender, ExchangePhase, Termination};
use crate::upstream::request_permit::RequestPermit;

/// Tells filters how an exchange has ended.
#[inline]
pub fn ended<F: Filters>(request: &mut Request<'_, F>, context: &WorkerContext) {
    let (plan, began) = (&*context.plan, request.timing.began);
    let (route, upstream) = (request.route, request.upstream);
    let Filtered { filters, context: kept, status } = &mut request.filtered;
    let recorded = request.timing.request_log.as_mut().filter(|_| F::RECORDS);
    let record = recorded.map(|request_log| {
        let (facts, texts) = request_log.close();
        ExchangeRecord { facts, texts, plan }
    });
    let end = ExchangeEnd { status: status.get(), began, record, plan, route, upstream };
    filters.end(&end, kept);
}

/// Sends the request to endpoint after endpoint until one answers or none is left.
///
/// Not an async function, nor is what it calls on the way to an answer: those keep their arguments twice.
pub fn run<'a, F: Filters>(
    client: &'a mut ClientConnection<'_>,
    request: &'a mut Request<'_, F>,
    context: &'a Rc<WorkerContext>,
) -> impl Future<Output = AfterExchange> {
    async move {
        let half_close = Some(context.plan.timeouts.half_close);
        client.presence = Presence::new(half_close, request.timing.expires);
        log_route(request);
        let Some(goes) = request.goes() else { return answer_here(client, request, context).await };
        match admit(client, request, (context, goes)).await {
            Ok(Verdict::Continue) => mirror::begin(request, context),
            Ok(Verdict::Reply(reply)) => return refuse(client, request, context, *reply).await,
            Err(fault) => return answer_fault(client, request, context, fault).await,
        }
        let mut attempts = Attempts::new(context, goes, request);
        loop {
            let Picked { endpoint, on_trial, reason, mut permit } = {
                let mut picked = attempts.pick();
                if let Err(NotAdmitted::None(NoneLeft::AllFull)) = picked {
                    // Boxed: every request would have room for it.
                    let waiting = admission::wait(client, request, context, attempts.wanted());
                    // It would be kept meanwhile.
                    drop(picked);
                    picked = Box::pin(waiting).await;
                    attempts.has_waited();
                }
                match picked {
                    Ok(picked) => picked,
                    Err(why) => {
                        let last = attempts.not_admitted();
                        return answer_none(client, request, context, why, last).await;
                    }
                }
            };
            let (target, freshness) = attempts.begin(endpoint, on_trial);
            let in_flight = context.begin(target.upstream, target.endpoint);
            begin(request, context, &target, reason);
            let tried = match edit(request, context, &target) {
                Ok(()) => {
                    let with = (freshness, &attempts, &mut permit);
                    try_endpoint(client, request, context, &target, with).await
                }
                Err(reject) => Err(FailedAttempt::unsent(unsuited(reject))),
            };
            let failure = match tried {
                Ok(Some(next)) => return next,
                Ok(None) => {
                    attempts.declined();
                    continue;
                }
                Err(failure) => failure,
            };
            blame(client, (context, &target), &attempts, &failure);
            // Its connection is closed: a client that is slow to read our answer takes no room there.
            drop((in_flight, permit));
            if let Some(request_log) = request.timing.request_log() {
                request_log.end_by_fault(failure.fault);
            }
            if let Some(begun) = failure.begun {
                return cut_short(client, request, context, begun, failure.fault);
            }
            if !attempts.goes_on(request, &failure) {
                return answer_fault(client, request, context, failure.fault).await;
            }
        }
    }
}

/// What filters decide about a request before it goes on.
fn admit<'a, F: Filters>(
    client: &'a mut ClientConnection<'_>,
    request: &'a mut Request<'_, F>,
    (context, goes): (&'a WorkerContext, (RouteId, UpstreamId)),
) -> impl Future<Output = Result<Verdict, Fault>> {
    async move {
        let mut admitting = pin!(request.filtered.filters.admit(&mut request.filtered.context));
        // Most decide at once, and nothing is prepared for a wait.
        match poll_fn(|cx| Poll::Ready(admitting.as_mut().poll(cx))).await {
            Poll::Ready(verdict) => Ok(verdict),
            Poll::Pending => {
                let ready = &mut request.timing.ready;
                wait_to_admit(client, (context, goes), admitting, ready).await
            }
        }
    }
}

fn log_route<F: Filters>(request: &Request<'_, F>) {
    if let (Some(request_log), Some(route)) = (request.timing.request_log(), request.route) {
        request_log.routed(route);
    }
}

/// Waits for filters that take their time to decide whether a request goes on, which is `ready` then.
async fn wait_to_admit(
    client: &mut ClientConnection<'_>,
    (context, (route, upstream)): (&WorkerContext, (RouteId, UpstreamId)),
    admitting: Pin<&mut impl Future<Output = Verdict>>,
    ready: &mut Instant,
) -> Result<Verdict, Fault> {
    let limit = context.plan.limits(route, upstream).0.response;
    let waited = client.waiting().wait_for(limit, admitting).await;
    *ready = Instant::now();
    waited.or_else(|ended| match ended {
        WaitEnded::TimedOut => {
            let late = LocalReply::new(504, "what decides about it did not answer in time");
            Ok(Verdict::Reply(Box::new(late)))
        }
        WaitEnded::ClientLeft(kind) => Err(Fault::client(Stage::Connect, kind)),
    })
}

/// Records that an attempt has failed.
fn blame(
    client: &mut ClientConnection<'_>,
    (context, target): (&WorkerContext, &AttemptTarget),
    attempts: &Attempts<'_>,
    &FailedAttempt { fault, was_stale, reset, .. }: &FailedAttempt,
) {
    client.endpoint_reset = reset;
    let is_unblamed = was_stale || attempts.was_hurried(target, fault);
    record::failure(context, target, fault, is_unblamed, reset);
}

/// Has filters edit the head of a request for its next attempt.
#[inline]
fn edit<F: Filters>(
    request: &mut Request<'_, F>,
    context: &WorkerContext,
    target: &AttemptTarget,
) -> Result<(), Reject> {
    let Request { outgoing, head_before, filtered, traits, timing, .. } = request;
    let retold = timing.request_log().and_then(RequestLog::retold);
    let how = (traits.upgrade, retold);
    attempt_edits::edit((outgoing, head_before), filtered, how, (context, target))
}

/// An attempt begins, at an endpoint that was picked for this reason.
fn begin<F: Filters>(
    request: &mut Request<'_, F>,
    context: &WorkerContext,
    &AttemptTarget { upstream, endpoint, started, .. }: &AttemptTarget,
    reason: PickReason,
) {
    let known = context.plan.upstream(upstream);
    request.ties.trying(known, endpoint);
    if let Some(request_log) = request.timing.request_log() {
        let picked = reason_name(reason, known, request.ties.affinity());
        request_log.trying(upstream, endpoint, picked, started);
    }
}

/// An answer has been cut, whose client may have been told how it ends.
fn cut_short<F: Filters>(
    client: &ClientConnection<'_>,
    request: &Request<'_, F>,
    context: &WorkerContext,
    begun: Begun,
    fault: Fault,
) -> AfterExchange {
    cut::tell(client, begun, fault);
    context.metrics.cut_answers[fault.side as usize].add(1);
    context.observe_duration(request.route, request.timing.began.elapsed());
    // A client that does not read, or is gone, will not tell us when it has read all.
    if fault.side == Side::Client { begun.next.hastened() } else { begun.next }
}

/// Answers what no endpoint is to be asked.
async fn answer_here<F: Filters>(
    client: &mut ClientConnection<'_>,
    request: &mut Request<'_, F>,
    context: &WorkerContext,
) -> AfterExchange {
    let reply = request.own_reply.take();
    let reply =
        reply.map_or_else(|| LocalReply::new(404, "no route for this path"), |reply| *reply);
    refuse(client, request, context, reply).await
}

/// Answers as a rule of ours has it.
async fn refuse<F: Filters>(
    client: &mut ClientConnection<'_>,
    request: &mut Request<'_, F>,
    context: &WorkerContext,
    reply: LocalReply,
) -> AfterExchange {
    if let Some(request_log) = request.timing.request_log() {
        request_log.end(Termination::new(Ender::Rule, ExchangePhase::Connect), None);
    }
    answer(client, request, context, reply).await
}

async fn answer_none<F: Filters>(
    client: &mut ClientConnection<'_>,
    request: &mut Request<'_, F>,
    context: &WorkerContext,
    why: NotAdmitted,
    last: Option<Fault>,
) -> AfterExchange {
    if let NotAdmitted::ClientLeft(fault) = why {
        if let Some(request_log) = request.timing.request_log() {
            request_log.end_by_fault(fault);
        }
        return answer_fault(client, request, context, fault).await;
    }
    if let (Some(request_log), None) = (request.timing.request_log(), last) {
        request_log.end(why.termination(), None);
    }
    let reply = match why {
        NotAdmitted::None(NoneLeft::AllDown) if finds_none(request, context) => {
            unavailable("no endpoint of this route has been found")
        }
        why => no_endpoint(why, last),
    };
    answer(client, request, context, reply).await
}

/// Whether all sources of the upstream's endpoints are without an answer.
fn finds_none<F: Filters>(request: &Request<'_, F>, context: &WorkerContext) -> bool {
    request.upstream.is_some_and(|id| context.plan.upstream(id).endpoints.is_empty())
}

async fn answer_fault<F: Filters>(
    client: &mut ClientConnection<'_>,
    request: &mut Request<'_, F>,
    context: &WorkerContext,
    fault: Fault,
) -> AfterExchange {
    if let (Side::Client, Kind::Rejected(reject)) = (fault.side, fault.kind) {
        context.metrics.rejects[reject as usize].add(1);
        if reject == Reject::BodyTooLong {
            let route = request.route.map(|route| context.route_counts(route));
            route.inspect(|counts| counts.refuse(RefusingRule::MaxBody));
            return answer(client, request, context, LocalReply::too_long()).await;
        }
    }
    let Some(status) = fault.status() else { return AfterExchange::Close };
    answer(client, request, context, after_fault(fault, status)).await
}

/// Answers the request ourselves. The connection goes on if all of the request has been read.
async fn answer<F: Filters>(
    client: &mut ClientConnection<'_>,
    request: &mut Request<'_, F>,
    context: &WorkerContext,
    reply: LocalReply,
) -> AfterExchange {
    let request_id = request.timing.request_log().map(RequestLog::request_id);
    let asked = ReplyTo { request_id, route: request.route, context };
    let reply = request.filtered.revised(reply, &asked);
    if let (Some(request_log), Some(rule)) = (request.timing.request_log(), reply.rule()) {
        request_log.ruled(rule);
    }
    discard_body(client, request);
    let is_last = context.is_last_answer(client.side.connection().mobility());
    let stays = request.body.has_ended() && request.traits.persists && !is_last;
    let connection = match request.traits.version {
        _ if !stays => ConnectionHeader::Close,
        Version::Http10 => ConnectionHeader::KeepAlive,
        Version::Http11 | Version::Http2 => ConnectionHeader::Implied,
    };
    let request_log = request.timing.request_log();
    record::response(context, request.route, request_log, reply.status());
    request.filtered.status.set(Some(reply.status()));
    let (by, to) = ((&request.filtered, request.route), (request.traits.method, connection));
    let sent = client.send(&reply, by, to, (context, request_log)).await;
    context.observe_duration(request.route, request.timing.began.elapsed());
    match sent {
        Ok(()) if stays => AfterExchange::Reuse,
        Ok(()) => AfterExchange::Linger,
        Err(_) => AfterExchange::Close,
    }
}

/// What has come of a request's body goes nowhere.
fn discard_body<F: Filters>(client: &mut ClientConnection<'_>, request: &mut Request<'_, F>) {
    let ClientSide::H1 { input, .. } = &mut client.side else { return };
    while let Ok(count @ 1..) = request.body.admit(input, usize::MAX) {
        request.body.pass(input, count);
        if let Some(request_log) = request.timing.request_log() {
            request_log.took(count as u64);
        }
    }
}

/// One attempt from the lease of a connection to its return. None: its answer was declined.
fn try_endpoint<'a, F: Filters>(
    client: &'a mut ClientConnection<'_>,
    request: &'a mut Request<'_, F>,
    context: &'a Rc<WorkerContext>,
    target: &'a AttemptTarget,
    (freshness, attempts, permit): (Freshness, &'a Attempts<'_>, &'a mut Option<RequestPermit>),
) -> impl Future<Output = Result<Option<AfterExchange>, FailedAttempt>> {
    async move {
        let mut upstream = match attempt::idle(context, target, freshness) {
            Some(lease) => UpstreamSide::H1(lease),
            None => approach(client, request, context, target, freshness).await?,
        };
        match transfer::run(client, request, (context, target), attempts, &mut upstream).await? {
            Completed::Answered(answer) => {
                let now = Instant::now();
                let asked = (request.route, request.timing.began);
                record::completed(context, target, asked, answer.status, now);
                client.call_status.set(answer.call_status);
                let SentAnswer { upload, ending, surplus, .. } = answer;
                finish(request, upload, now);
                let is_shared = context.plan.upstream(target.upstream).announces.is_none();
                match upstream {
                    UpstreamSide::H1(lease)
                        if upload == UploadState::Done && answer.upstream_persists && is_shared =>
                    {
                        if let ClientSide::H2(_) = client.side {
                            lease.stream.forget_task();
                        }
                        give_back(context, target, lease, Rest { ending, surplus, now });
                    }
                    UpstreamSide::H2(opened, _) if upload == UploadState::Done => {
                        await_end(opened.stream, permit.take());
                    }
                    UpstreamSide::H1(_) | UpstreamSide::H2(..) => {}
                }
                Ok(Some(after_answer(client, request, (upload, answer.client_persists))))
            }
            Completed::Declined { status, rest } => {
                let now = Instant::now();
                record::answered(context, target, status);
                record::success(context, target, status, now);
                let rest = rest.map(|ending| Rest { ending, surplus: false, now });
                let_go(context, target, upstream, rest);
                Ok(None)
            }
            Completed::Upgraded { early } => {
                let now = Instant::now();
                record::completed(context, target, (request.route, request.timing.began), 101, now);
                let ClientConnection { side, timer, .. } = client;
                let (ends, client_early) = Ends::of(side, &mut upstream);
                let both = (client_early, early);
                let limit = attempts.limits().timeouts.tunnel;
                let logged = (&*context.metrics, request.timing.request_log());
                // Boxed: what becomes no tunnel would have room for it.
                let ended = Box::pin(tunnel::run(ends, both, logged, limit, timer)).await;
                Ok(Some(if ended.is_ok() { AfterExchange::Close } else { AfterExchange::Reset }))
            }
        }
    }
}

/// What becomes of the client's connection, which `persists` as far as the answer goes.
fn after_answer<F: Filters>(
    client: &ClientConnection<'_>,
    request: &Request<'_, F>,
    (upload, persists): (UploadState, bool),
) -> AfterExchange {
    match (upload, persists) {
        (UploadState::Done, true) => AfterExchange::Reuse,
        (UploadState::Done, false) if client.is_quiet(request.traits.persists) => {
            AfterExchange::Close
        }
        (UploadState::Done, false)
        | (
            UploadState::Running
            | UploadState::Refused
            | UploadState::Reset
            | UploadState::BrokenOff(_),
            _,
        ) => AfterExchange::Linger,
    }
}

/// The request could not be written as its endpoint has to have it.
fn unsuited(reject: Reject) -> Fault {
    Fault::client(Stage::RequestHead, Kind::Rejected(reject))
}

/// Opens a connection to the endpoint, or a stream on one, as its protocol has it.
async fn approach<F: Filters>(
    client: &mut ClientConnection<'_>,
    request: &mut Request<'_, F>,
    context: &Rc<WorkerContext>,
    target: &AttemptTarget,
    freshness: Freshness,
) -> Result<UpstreamSide, FailedAttempt> {
    let upstream = context.plan.upstream(target.upstream);
    let endpoint = upstream.endpoint(target.endpoint);
    let side = match endpoint.protocol() {
        AppProtocol::Http1 => {
            let announces = upstream.announces.is_some();
            let header = announces.then(|| client.client_info.header(client.side.connection()));
            // Connections take their time, and many may be opened at once.
            request.outgoing.settle();
            let opened = attempt::fresh(context, target, header, &mut client.waiting()).await;
            UpstreamSide::H1(opened.map_err(FailedAttempt::unsent)?)
        }
        AppProtocol::Http2 => {
            let Request { traits, body, outgoing, never_indexed, .. } = request;
            let shape = (body.has_ended(), traits.upgrade);
            let scheme =
                if endpoint.tls.is_some() { ClientScheme::Https } else { ClientScheme::Http };
            let translated = Outgoing::translate(outgoing, shape, scheme, never_indexed);
            // It is kept for as long as the answer takes.
            outgoing.settle();
            let outgoing = translated.map_err(|reject| FailedAttempt::unsent(unsuited(reject)))?;
            let waiting = &mut client.waiting();
            let opening = open_stream(context, target, freshness, outgoing.head(), waiting);
            // Boxed: those of HTTP/1.1 would have room for it.
            let opened = Box::pin(opening).await.map_err(FailedAttempt::unsent)?;
            UpstreamSide::H2(opened, outgoing)
        }
    };
    if let (Some(request_log), false) = (request.timing.request_log(), side.is_reused()) {
        request_log.connected();
    }
    Ok(side)
}

/// The answer has gone to the client, whole; what it was an answer to may not have.
fn finish<F: Filters>(request: &mut Request<'_, F>, upload: UploadState, now: Instant) {
    request.timing.answered = Some(now);
    if let Some(request_log) = request.timing.request_log() {
        let termination = match upload {
            UploadState::BrokenOff(kind) => Fault::client(Stage::Request, kind).termination(),
            UploadState::Running
            | UploadState::Done
            | UploadState::Refused
            | UploadState::Reset => Termination::COMPLETE,
        };
        request_log.end(termination, Some(now));
    }
}
