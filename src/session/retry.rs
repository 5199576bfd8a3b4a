//! Whether a request goes to another endpoint, and to which.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use super::admission::{self, NotAdmitted, Wanted};
use super::attempt::Freshness;
use super::client::Begun;
use super::record::AttemptTarget;
use super::request::Request;
use crate::app_protocol::AppProtocol;
use crate::balance::tried::{ATTEMPTS_MAX, Tried};
use crate::balance::{Affinity, Picked};
use crate::fault::{Fault, Kind, Progress};
use crate::filters::Filters;
use crate::http::h2::error_code::ErrorCode;
use crate::id::{EndpointId, RouteId, UpstreamId};
use crate::log::once_per_second::OncePerSecond;
use crate::plan::context::{AttemptKind, WorkerContext};
use crate::upstream::Upstream;
use crate::upstream::budget::RetryToken;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::retries::{Retries, RetryOn, RetryReason};
use crate::upstream::settings::UpstreamTimeouts;

/// How an attempt failed.
pub struct FailedAttempt {
    /// What ended it.
    pub fault: Fault,
    /// How far it had come.
    pub progress: Progress,
    /// The answer, if the client has seen the beginning of it.
    pub begun: Option<Begun>,
    /// Whether the connection had been idle and ended before any byte of an answer.
    pub was_stale: bool,
    /// What the endpoint has reset its stream with, if that is what ended it.
    pub reset: Option<ErrorCode>,
}

impl FailedAttempt {
    /// Before anything was sent.
    pub fn unsent(fault: Fault) -> Self {
        let progress = Progress::Unsent;
        Self { fault, progress, begun: None, was_stale: false, reset: None }
    }

    /// Whether its connection had ended by itself, and no more is known: another one may do.
    fn is_replaceable(&self) -> bool {
        self.was_stale && self.reset != Some(ErrorCode::RefusedStream)
    }

    /// What it is for those who decide about retries. An endpoint of HTTP/2 may have said that it has done
    /// nothing about the request, which is then as good as not sent.
    fn reasons(&self, protocol: AppProtocol) -> RetryOn {
        let stale = if self.is_replaceable() {
            RetryOn::NOTHING.with(RetryReason::Stale)
        } else {
            RetryOn::NOTHING
        };
        match self.progress {
            Progress::Unsent if self.was_stale && protocol == AppProtocol::Http1 => stale,
            Progress::Unsent => stale.with(RetryReason::Connect),
            _ if self.fault.kind == Kind::TimedOut => stale.with(RetryReason::Timeout),
            _ => stale.with(RetryReason::Reset),
        }
    }
}

/// How long an attempt may take.
#[derive(Clone, Copy)]
pub struct AttemptLimits<'a> {
    /// Its other waits.
    pub timeouts: &'a UpstreamTimeouts,
    /// For the head of the answer, from the last byte of the request.
    pub head: Duration,
    /// When that must have come in any case: all attempts together may take no longer.
    pub by: Option<Instant>,
}

/// The attempts at one request.
pub struct Attempts<'a> {
    context: &'a WorkerContext,
    upstream: UpstreamId,
    affinity: Affinity,
    retries: &'a Retries,
    timeouts: &'a UpstreamTimeouts,
    /// `spent` holds the endpoints that failed on a new connection; one whose idle connection had
    /// merely gone stale gets a second chance when there is no other.
    tried: Tried,
    spent: Tried,
    /// How many have begun.
    begun: u8,
    /// How many of them were retries.
    retried: u8,
    /// Whether a stale connection has been replaced, which is no retry the first time.
    has_replaced: bool,
    /// What ended the last one, unless that has answered.
    last: Option<Fault>,
    /// When the first one began.
    first: Instant,
    /// Where the last one went.
    at: EndpointId,
    next: Cell<NextAttempt>,
    /// What the next one takes out of the budget when it begins, if it is a retry.
    token: Cell<Option<RetryToken>>,
    /// Where the next one goes, if that is known. Boxed, since it seldom is.
    picked: Cell<Option<Box<Picked>>>,
}

/// What is known of an attempt that has not begun.
#[derive(Clone, Copy)]
struct NextAttempt {
    started: Instant,
    kind: AttemptKind,
}

impl<'a> Attempts<'a> {
    /// None so far, at a request of this route for this upstream.
    pub fn new<F: Filters>(
        context: &'a WorkerContext,
        (route, upstream): (RouteId, UpstreamId),
        request: &Request<'_, F>,
    ) -> Self {
        let ready = request.timing.ready;
        let (timeouts, retries) = context.plan.limits(route, upstream);
        let next = NextAttempt { started: ready, kind: AttemptKind::First };
        Self {
            context,
            upstream,
            affinity: request.ties.affinity(),
            retries,
            timeouts,
            tried: Tried::default(),
            spent: Tried::default(),
            begun: 0,
            retried: 0,
            has_replaced: false,
            last: None,
            first: ready,
            at: EndpointId::new(0),
            next: Cell::new(next),
            token: Cell::new(None),
            picked: Cell::new(None),
        }
    }

    /// What the next one wants.
    pub fn wanted(&self) -> Wanted<'_> {
        let Self { upstream, affinity, tried, spent, .. } = self;
        Wanted { upstream: *upstream, affinity: *affinity, tried: [tried, spent] }
    }

    /// Picks the endpoint of the next attempt, if there is one with room.
    #[inline]
    pub fn pick(&self) -> Result<Picked, NotAdmitted> {
        match self.picked.take() {
            Some(known) => Ok(*known),
            None => admission::pick(self.context, &self.wanted(), self.next.get().started),
        }
    }

    /// The next one has had to wait for room.
    pub fn has_waited(&self) {
        self.next.set(NextAttempt { started: Instant::now(), ..self.next.get() });
    }

    /// There is no endpoint for the next one: what ended the last one, unless that has answered.
    pub fn not_admitted(&self) -> Option<Fault> {
        // Not only once it is answered.
        drop(self.token.take());
        self.last
    }

    /// An attempt begins at the endpoint that was picked.
    #[inline]
    pub fn begin(&mut self, endpoint: EndpointId, on_trial: bool) -> (AttemptTarget, Freshness) {
        let NextAttempt { started, kind, .. } = self.next.get();
        self.begun += 1;
        self.at = endpoint;
        if let Some(token) = self.token.take() {
            token.spend();
            self.retried += 1;
        }
        self.context.count_attempt(self.upstream, kind);
        let freshness = match self.last {
            _ if on_trial => Freshness::Trial,
            None => Freshness::Any,
            Some(_) => Freshness::New,
        };
        let mut connect_within = self.timeouts.connect;
        if let Some(attempt) = self.retries.attempt_timeout {
            let left = self.by().map_or(Duration::MAX, |by| by.saturating_duration_since(started));
            connect_within = connect_within.min(attempt).min(left);
        }
        (AttemptTarget { upstream: self.upstream, endpoint, started, connect_within }, freshness)
    }

    /// How long the last one may take once it is connected.
    pub fn limits(&self) -> AttemptLimits<'a> {
        let head = self.timeouts.response;
        let head = self.retries.attempt_timeout.map_or(head, |attempt| head.min(attempt));
        AttemptLimits { timeouts: self.timeouts, head, by: self.by() }
    }

    /// When the answer's head must have come at a further attempt, where attempts are bounded.
    fn by(&self) -> Option<Instant> {
        let is_bounded = self.begun > 1 && self.retries.attempt_timeout.is_some();
        is_bounded.then(|| self.first + self.timeouts.response)
    }

    /// Whether the attempt at `target` was ended by what was left for all of them, before it had had its own time.
    pub fn was_hurried(&self, target: &AttemptTarget, fault: Fault) -> bool {
        let own = self.retries.attempt_timeout.unwrap_or_default();
        let hurries = |by| Instant::now() >= by && by < target.started + own;
        fault.status() == Some(504) && self.by().is_some_and(hurries)
    }

    /// The last one has failed: whether there is to be another one.
    pub fn goes_on<F: Filters>(
        &mut self,
        request: &Request<'_, F>,
        failure: &FailedAttempt,
    ) -> bool {
        let idempotent = request.traits.method.is_idempotent();
        let upstream = self.context.plan.upstream(self.upstream);
        let reasons = failure.reasons(upstream.endpoint(self.at).protocol());
        let on = self.retries.on();
        if !failure.fault.retryable(failure.progress, idempotent)
            || !on.meets(reasons)
            || is_bound(request, upstream)
        {
            return false;
        }
        // Other connections may be as stale as the one before; an endpoint that refuses twice means it.
        let is_first = self.tried.insert(self.at);
        let refuses = !is_first && failure.reset == Some(ErrorCode::RefusedStream);
        if !failure.was_stale || refuses {
            self.spent.insert(self.at);
        }
        let replaces = failure.is_replaceable() && on.has(RetryReason::Stale) && !self.has_replaced;
        if !self.may_begin() || !replaces && !self.take() {
            return false;
        }
        self.has_replaced |= replaces;
        self.last = Some(failure.fault);
        let kind = if replaces { AttemptKind::Replacement } else { AttemptKind::Retry };
        self.next.set(NextAttempt { started: Instant::now(), kind });
        true
    }

    /// Whether an answer with this status is declined, so that another endpoint is asked: only if there is one.
    pub fn declines(&self, status: u16) -> bool {
        if !self.retries.on().has_status(status) || !self.may_begin() || !self.take() {
            return false;
        }
        let (mut tried, mut spent, now) = (self.tried, self.spent, Instant::now());
        tried.insert(self.at);
        spent.insert(self.at);
        let wanted = Wanted { tried: [&tried, &spent], ..self.wanted() };
        let picked = admission::pick(self.context, &wanted, now).ok();
        if picked.is_none() {
            drop(self.token.take());
            return false;
        }
        self.picked.set(picked.map(Box::new));
        self.next.set(NextAttempt { started: now, kind: AttemptKind::Retry });
        true
    }

    /// The answer to the last one has been declined.
    pub fn declined(&mut self) {
        self.tried.insert(self.at);
        self.spent.insert(self.at);
        self.last = None;
    }

    /// Whether there may be one more, as far as their number and the time are concerned.
    fn may_begin(&self) -> bool {
        let is_late = self.retries.attempt_timeout.is_some()
            && Instant::now() >= self.first + self.timeouts.response;
        usize::from(self.begun) < ATTEMPTS_MAX && !is_late
    }

    /// Takes a retry out of what there is for this request, and for all of them, until it begins.
    fn take(&self) -> bool {
        if self.retried >= self.retries.max {
            return false;
        }
        let token = take(self.context, self.upstream);
        let is_granted = token.is_some();
        self.token.set(token);
        is_granted
    }
}

/// Whether a request cannot go elsewhere: where another endpoint speaks another protocol, not once a part of
/// the body that came later has been framed for this one.
fn is_bound<F: Filters>(request: &Request<'_, F>, upstream: &Upstream) -> bool {
    let mut endpoints = upstream.endpoints.iter();
    let protocol = endpoints.next().map(Endpoint::protocol);
    request.body.stands() && endpoints.any(|other| Some(other.protocol()) != protocol)
}

static EXHAUSTED_WARNINGS: OncePerSecond = OncePerSecond::new();

/// Takes a retry out of the budget of an upstream.
pub fn take(context: &WorkerContext, upstream: UpstreamId) -> Option<RetryToken> {
    let Upstream { name, record, retry_budget, .. } = &**context.plan.upstream(upstream);
    let now = Instant::now();
    let requests = record.total(|counts| counts.requests.get());
    let token = record.budget.grant(context.tick(now), *retry_budget, requests);
    if token.is_some() {
        return token;
    }
    context.upstream_counts(upstream).retries_refused.add(1);
    if let Some(before) = EXHAUSTED_WARNINGS.permits(now) {
        log::warn!(
            "{name}: the retry budget is used up: a failed attempt is not repeated ({before} more since \
             the last line)"
        );
    }
    None
}
