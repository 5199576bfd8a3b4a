//! Sends the copy of a request to an endpoint, and throws its answer away.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::time::Instant;

use super::admission::{self, Wanted};
use super::answer::{self, Answer, AnswerRules, Finality, HeadIn, HeadOut, HeadRead};
use super::attempt::{self, Freshness, RequestTraits, WithoutDescriptor};
use super::give_back::{Rest, let_go};
use super::hearing::{FirstRead, Heard, hear, hear_on_stream};
use super::prepared_copy::PreparedCopy;
use super::record::{self, AttemptTarget};
use super::upstream_h2::opened;
use super::upstream_side::{Outgoing, RequestOpening, UpstreamSide, reset_of, verdict};
use crate::app_protocol::AppProtocol;
use crate::balance::tried::Tried;
use crate::balance::{Affinity, Picked};
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Stage};
use crate::filters::Filtered;
use crate::http::h2::error_code::ErrorCode;
use crate::http::message::head::{Method, Version};
use crate::http::message::hop::ClientScheme;
use crate::http::rules::mirror::MirrorOutcome;
use crate::id::UpstreamId;
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::plan::context::{AttemptKind, WorkerContext};
use crate::reject::Reject;
use crate::relay::copy::{Broken, End, Meter};
use crate::relay::ends::Source;
use crate::relay::message;

/// How much of an answer is read to be thrown away, in bytes, so that its connection can be used again. Closing the
/// connection of a longer one costs less.
const DISCARDED_BYTES_MAX: usize = 1024 * 1024;

/// Interim answers before the final one must come.
const INTERIM_MAX: usize = 16;

/// Sends a copy: once, and once more if an idle connection turns out to have ended.
pub(super) async fn send(
    mut copy: PreparedCopy,
    context: &Rc<WorkerContext>,
    upstream: UpstreamId,
) -> MirrorOutcome {
    let first = attempt(&mut copy, context, upstream, AttemptKind::First).await;
    match first {
        Ok(outcome) => outcome,
        Err(Stale) if !copy.method.is_idempotent() => MirrorOutcome::Failed,
        Err(Stale) => {
            let again = attempt(&mut copy, context, upstream, AttemptKind::Replacement).await;
            again.unwrap_or(MirrorOutcome::Failed)
        }
    }
}

/// The idle connection that was taken had ended.
struct Stale;

async fn attempt(
    copy: &mut PreparedCopy,
    context: &Rc<WorkerContext>,
    upstream: UpstreamId,
    kind: AttemptKind,
) -> Result<MirrorOutcome, Stale> {
    let (none, started) = (Tried::default(), Instant::now());
    let wanted = Wanted { upstream, affinity: Affinity::default(), tried: [&none, &none] };
    let Ok(picked) = admission::pick(context, &wanted, started) else {
        return Ok(MirrorOutcome::Unavailable);
    };
    let Picked { endpoint, on_trial, permit: _permit, .. } = picked;
    let connect_within = context.plan.upstream(upstream).timeouts.connect;
    let target = &AttemptTarget { upstream, endpoint, started, connect_within };
    let freshness = match kind {
        _ if on_trial => Freshness::Trial,
        AttemptKind::First => Freshness::Any,
        AttemptKind::Replacement | AttemptKind::Retry => Freshness::New,
    };
    let _in_flight = context.begin(upstream, endpoint);
    context.count_attempt(upstream, kind);
    let mut side = match approach(copy, context, target, freshness).await {
        Ok(side) => side,
        Err(fault) => {
            record::failure(context, target, fault, false, None);
            return Ok(MirrorOutcome::Failed);
        }
    };
    match exchange(copy, context, target, &mut side).await {
        Ok(rest) => {
            let_go(context, target, side, rest);
            Ok(MirrorOutcome::Answered)
        }
        Err(unanswered) => {
            let (was_stale, reset) = unanswered.as_told_by(&side);
            record::failure(context, target, unanswered.fault, was_stale, reset);
            let_go(context, target, side, None);
            if was_stale { Err(Stale) } else { Ok(MirrorOutcome::Failed) }
        }
    }
}

/// Leases a connection, or opens a stream on one, as the endpoint's protocol has it.
async fn approach(
    copy: &mut PreparedCopy,
    context: &Rc<WorkerContext>,
    target: &AttemptTarget,
    freshness: Freshness,
) -> Result<UpstreamSide, Fault> {
    let endpoint = context.plan.upstream(target.upstream).endpoint(target.endpoint);
    let (mut timer, limit) = (Timer::new(), target.connect_within);
    if endpoint.protocol() == AppProtocol::Http1 {
        if let Some(lease) = attempt::idle(context, target, freshness) {
            return Ok(UpstreamSide::H1(lease));
        }
        copy.outgoing.settle();
        let late = Cell::new(Fault::upstream(Stage::Connect, Kind::TimedOut));
        let connecting =
            pin!(attempt::connected(context, target, (None, WithoutDescriptor::Fails), &late));
        let connected = timer.within(limit, connecting).await;
        let connected =
            connected.unwrap_or_else(|Elapsed| Err(attempt::overdue(context, late.get())));
        return connected.and_then(attempt::silent).map(UpstreamSide::H1);
    }
    let scheme = if endpoint.tls.is_some() { ClientScheme::Https } else { ClientScheme::Http };
    let shape = (true, false);
    let translated = Outgoing::translate(&copy.outgoing, shape, scheme, &copy.never_indexed);
    let unsuited = |reject| Fault::client(Stage::RequestHead, Kind::Rejected(reject));
    let outgoing = translated.map_err(unsuited)?;
    copy.outgoing.settle();
    let awaited = RefCell::new(None);
    let opened = {
        let opening = pin!(opened(context, target, freshness, outgoing.head(), &awaited));
        timer.within(limit, opening).await
    };
    let opened = opened.unwrap_or_else(|Elapsed| {
        let late = awaited.take().map(|opening| opening.late.get());
        Err(late.unwrap_or(Fault::upstream(Stage::Connect, Kind::Busy)))
    });
    opened.map(|opened| UpstreamSide::H2(opened, outgoing))
}

/// Sends it, and reads the answer, or as much of that as is worth reading. What is known of the connection if it may
/// rest.
async fn exchange(
    copy: &mut PreparedCopy,
    context: &WorkerContext,
    target: &AttemptTarget,
    side: &mut UpstreamSide,
) -> Result<Option<Rest>, Unanswered> {
    let timeouts = &context.plan.upstream(target.upstream).timeouts;
    let (mut timer, activity, mut received) = (Timer::new(), Activity::new(), Buffer::new());
    let (up, down) = (Meter::new(&activity), Meter::new(&activity));
    let ended = {
        let (mut source, _, opening) = side.parts(&mut copy.outgoing);
        let answered = {
            let (of, to) = (traits_of(copy.method), (context, target));
            let answer = final_answer((&mut source, &mut received), of, to, &down);
            let answering = pin!(answer_to(opening, answer, &up));
            timer.within(timeouts.response, answering).await
        };
        let late = |Elapsed| Err(Fault::upstream(Stage::ResponseHead, Kind::TimedOut));
        match answered.unwrap_or_else(late) {
            Ok((mut answer, was_sent)) => {
                let now = Instant::now();
                record::answered(context, target, answer.status);
                record::success(context, target, answer.status, now);
                let is_whole = {
                    let discarding = pin!(discard(&mut answer, source, &mut received, &down));
                    matches!(timer.within(timeouts.idle, discarding).await, Ok(Ok(true)))
                };
                let (ending, surplus) = (answer.ending, !received.is_empty());
                let may_rest = is_whole && was_sent && answer.upstream_persists;
                Ok(may_rest.then_some(Rest { ending, surplus, now }))
            }
            Err(fault) => Err(Unanswered { fault, has_heard: !received.is_empty() }),
        }
    };
    context.metrics.bytes_up.add(up.bytes());
    if let UpstreamSide::H1(lease) = side {
        lease.carried = lease.stream.carried_after(lease.carried, up.bytes());
    }
    ended
}

/// What the answer needs to know of a copy, whose client is nobody.
fn traits_of(method: Method) -> RequestTraits {
    RequestTraits {
        method,
        version: Version::Http11,
        upgrade: false,
        expects: false,
        persists: false,
    }
}

/// Sends a request while its answer is waited for: an endpoint may give it before it has read all. Says whether all
/// had been sent by then.
async fn answer_to(
    mut opening: RequestOpening<'_>,
    answer: impl Future<Output = Result<Answer, Fault>>,
    up: &Meter<'_>,
) -> Result<(Answer, bool), Fault> {
    let (mut sending, mut answer) = (pin!(opening.send(up)), pin!(answer));
    let mut sent = None;
    poll_fn(|cx| {
        if sent.is_none()
            && let Poll::Ready(now) = sending.as_mut().poll(cx)
        {
            sent = Some(now);
        }
        let was_sent = matches!(sent, Some(Ok(())));
        answer.as_mut().poll(cx).map(|answer| answer.map(|answer| (answer, was_sent)))
    })
    .await
}

/// Waits for the final answer, and reads its head.
async fn final_answer(
    (source, received): (&mut Source<'_>, &mut Buffer),
    traits: RequestTraits,
    (context, target): (&WorkerContext, &AttemptTarget),
    down: &Meter<'_>,
) -> Result<Answer, Fault> {
    let (limits, date, mut out) = (&context.plan.limits, context.date(), Buffer::new());
    let filtered = &Filtered::new(&());
    let (accept, via, set_cookie, route) = (None, None, None, None);
    let rules =
        AnswerRules { limits, date, accept, via, set_cookie, filtered, context, target, route };
    let mut answer = Answer::awaited();
    let unread = |Broken { kind, .. }| Fault::upstream(Stage::ResponseHead, kind);
    let bad = |reject| Fault::upstream(Stage::ResponseHead, Kind::Rejected(reject));
    let mut interim = 0;
    while interim <= INTERIM_MAX {
        let came = match source {
            Source::H1(from) => hear(from, (received, FirstRead::Large), limits, down, None).await,
            Source::H2(from) => hear_on_stream(from, down, None).await,
        };
        let came = came.map_err(unread)?;
        let head = match &came {
            Heard::Bytes => HeadIn::H1(received, None),
            Heard::Whole(length) => HeadIn::H1(received, Some(*length)),
            Heard::Section(arrived) => HeadIn::H2(arrived),
        };
        out.clear();
        let out = HeadOut::H1(&mut out);
        let read = answer::read_answer(head, traits, &rules, out, &mut answer).map_err(bad)?;
        if read == HeadRead::NotYet {
            continue;
        }
        interim += 1;
        if answer.finality == Finality::Final {
            return Ok(answer);
        }
    }
    Err(bad(Reject::TooManyInterim))
}

/// Reads what is left of an answer, as far as it pays, and says whether that was all.
async fn discard(
    answer: &mut Answer,
    source: Source<'_>,
    received: &mut Buffer,
    down: &Meter<'_>,
) -> Result<bool, Broken> {
    let (body, mut count) = (&mut answer.body, 0);
    match source {
        Source::H1(mut from) => {
            let malformed = |reject| Broken { end: End::Source, kind: Kind::Rejected(reject) };
            loop {
                let ready = body.admit(received, usize::MAX).map_err(malformed)?;
                body.pass(received, ready);
                count += ready;
                if body.has_ended() || count > DISCARDED_BYTES_MAX {
                    return Ok(body.has_ended());
                }
                if down.read(&mut from, received).await? == 0 {
                    return Ok(false);
                }
            }
        }
        Source::H2(from) => {
            let mut waste = Buffer::new();
            while count <= DISCARDED_BYTES_MAX && down.available(from).await? {
                message::take_data(body, from, &mut waste);
                count += waste.len();
                waste.clear();
            }
            Ok(count <= DISCARDED_BYTES_MAX)
        }
    }
}

/// Why there is no answer, and whether a part of one has come.
struct Unanswered {
    fault: Fault,
    has_heard: bool,
}

impl Unanswered {
    /// Whether it says nothing of the endpoint, whose connection had been idle and ended; and what its stream was
    /// reset with.
    fn as_told_by(&self, side: &UpstreamSide) -> (bool, Option<ErrorCode>) {
        match side {
            UpstreamSide::H1(lease) => {
                let has_ended =
                    matches!(self.fault.kind, Kind::Closed | Kind::Reset | Kind::Broken);
                (lease.is_reused() && has_ended && !self.has_heard, None)
            }
            UpstreamSide::H2(opened, _) => {
                (verdict(opened, self.fault).1, reset_of(opened, self.fault))
            }
        }
    }
}
