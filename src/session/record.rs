//! Records once how an attempt or an exchange ended: in counters, health and the log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::request_log::RequestLog;
use super::secure;
use crate::address::Address;
use crate::balance::AttemptOutcome;
use crate::ejection_reason::EjectionReason;
use crate::fault::{Fault, Kind, Side, Stage};
use crate::http::h2::error_code::ErrorCode;
use crate::id::{EndpointId, RouteId, UpstreamId};
use crate::log::once_per_second::OncePerSecond;
use crate::metrics::Observation;
use crate::plan::context::WorkerContext;
use crate::upstream::endpoint_set::Availability;
use crate::upstream::failures::{Detail, Failed, Met};
use crate::upstream::health::{FailureKind, Tick, Transition};
use crate::upstream::settings::ServerErrors;
use crate::upstream::{Traffic, Upstream};

/// Which endpoint an attempt went to, and when it began.
#[derive(Clone, Copy, Debug)]
pub struct AttemptTarget {
    /// The upstream.
    pub upstream: UpstreamId,
    /// The endpoint of it that is tried.
    pub endpoint: EndpointId,
    /// When the attempt began.
    pub started: Instant,
    /// How long opening a connection for it may take.
    pub connect_within: Duration,
}

/// Something that came from a client was refused.
pub fn refusal(context: &WorkerContext, fault: Fault) {
    match fault.kind {
        Kind::Rejected(reject) => context.metrics.rejects[reject as usize].add(1),
        Kind::TimedOut => context.metrics.head_timeouts.add(1),
        _ => {}
    }
}

/// An answer with this status, no interim one, goes to the client.
pub fn response(
    context: &WorkerContext,
    route: Option<RouteId>,
    request_log: Option<&RequestLog>,
    status: u16,
) {
    context.metrics.response(status);
    if let Some(route) = route {
        context.route_counts(route).response(status);
    }
    if let Some(request_log) = request_log {
        request_log.answered(status);
    }
}

/// The endpoint accepted a connection, which is all that can be said of a connection whose bytes are
/// not parsed.
pub fn accepted(context: &WorkerContext, target: &AttemptTarget) {
    let upstream = context.plan.upstream(target.upstream);
    let health = upstream.endpoint(target.endpoint).health();
    context.observe(target.upstream, target.endpoint, target.started, AttemptOutcome::Answered);
    let (started, now) = (context.tick(target.started), context.tick(Instant::now()));
    if let Some(transition) = health.on_success(started, now) {
        log_transition(upstream, target.endpoint, transition, now, &"accepted a connection");
    }
}

/// The head of the endpoint's answer has come.
pub fn answered(context: &WorkerContext, target: &AttemptTarget, status: u16) {
    let &AttemptTarget { upstream, endpoint, started, .. } = target;
    let outcome = if status < 500 { AttemptOutcome::Answered } else { AttemptOutcome::Failed };
    context.observe(upstream, endpoint, started, outcome);
}

/// The endpoint answered, and at `now` the client had been sent that, whole, to its request for a route, which
/// began to come at `began`.
pub fn completed(
    context: &WorkerContext,
    target: &AttemptTarget,
    (route, began): (Option<RouteId>, Instant),
    status: u16,
    now: Instant,
) {
    let duration = success(context, target, status, now);
    let has_begun_with_it = began == target.started;
    let since = || Observation::from(now.saturating_duration_since(began));
    let duration = if has_begun_with_it { duration } else { since() };
    context.observe_duration(route, duration);
}

/// The endpoint answered, and at `now` had done so whole: how long that took.
pub fn success(
    context: &WorkerContext,
    target: &AttemptTarget,
    status: u16,
    now: Instant,
) -> Observation {
    let duration = Observation::from(now.saturating_duration_since(target.started));
    context.upstream_counts(target.upstream).durations.observe(duration);
    let upstream = context.plan.upstream(target.upstream);
    let is_failure = upstream.server_errors == ServerErrors::Failures && status >= 500;
    // Most answers change nothing, and need not be put in ticks.
    if is_failure || !upstream.endpoint(target.endpoint).health().is_untroubled() {
        tell_health(context, target, status, now);
    }
    duration
}

/// Health is told of an answer.
#[cold]
fn tell_health(context: &WorkerContext, target: &AttemptTarget, status: u16, now: Instant) {
    let upstream = context.plan.upstream(target.upstream);
    let record = &upstream.endpoint(target.endpoint).record;
    let health = &record.health;
    let (started, now) = (context.tick(target.started), context.tick(now));
    let transition = if upstream.server_errors == ServerErrors::Failures && status >= 500 {
        // What ejects is counted, and can be looked up.
        context.metrics.failed_attempts.add(1);
        context.counts(target.upstream, target.endpoint).failed.add(1);
        let fault = Fault::upstream(Stage::ResponseHead, Kind::Unhealthy);
        let detail = Detail::Text(format!("HTTP status {status}").into());
        record.failures.add(Failed::new(now, Met::ByRequest, fault).with(Some(detail)));
        let thresholds = upstream.thresholds_of(target.endpoint, now);
        health.on_failure(started, now, FailureKind::Exchange, &thresholds)
    } else {
        health.on_success(started, now)
    };
    if let Some(transition) = transition {
        count_ejection(context, target.upstream, transition, EjectionReason::ServerError);
        let why = format_args!("answered {status}");
        log_transition(upstream, target.endpoint, transition, now, &why);
    }
}

/// The attempt failed, by a reset of its stream with that code if there is one. A reused connection that ended
/// before any byte of an answer is no fault of the endpoint's: it was free to close it.
pub fn failure(
    context: &WorkerContext,
    target: &AttemptTarget,
    fault: Fault,
    was_stale: bool,
    reset: Option<ErrorCode>,
) {
    context.metrics.failed_attempts.add(1);
    match fault.side {
        Side::Upstream => context.counts(target.upstream, target.endpoint).failed.add(1),
        Side::Local => {
            context.metrics.local_failures.add(1);
            let upstream = context.plan.upstream(target.upstream);
            log_local(&upstream.endpoint(target.endpoint).address, fault);
        }
        Side::Client => {}
    }
    if let (Side::Upstream, Kind::Rejected(reject)) = (fault.side, fault.kind) {
        context.metrics.bad_responses[reject as usize].add(1);
    }
    if fault.side != Side::Upstream {
        return;
    }
    let upstream = context.plan.upstream(target.upstream);
    let record = &upstream.endpoint(target.endpoint).record;
    let (started, now) = (context.tick(target.started), context.tick(Instant::now()));
    let is_blamed = !was_stale && fault.blames_endpoint();
    let met = if is_blamed { Met::ByRequest } else { Met::Unblamed };
    // Whatever is counted can be looked up.
    let failed = Failed::new(now, met, fault).with(reset.map(Detail::Reset));
    let failed = record.failures.add(failed);
    if !is_blamed {
        return;
    }
    context.observe(target.upstream, target.endpoint, target.started, AttemptOutcome::Failed);
    let failure = match (fault.stage, fault.kind) {
        (Stage::Connect, _) => FailureKind::Connect,
        (Stage::ResponseHead, Kind::TimedOut) => FailureKind::Silence,
        _ => FailureKind::Exchange,
    };
    let thresholds = upstream.thresholds_of(target.endpoint, now);
    let transition = record.health.on_failure(started, now, failure, &thresholds);
    if let Some(transition) = transition {
        count_ejection(context, target.upstream, transition, EjectionReason::of(fault));
        log_transition(upstream, target.endpoint, transition, now, &failed.reason());
    } else {
        secure::log_failure(upstream, upstream.endpoint(target.endpoint), &failed);
    }
}

fn count_ejection(
    context: &WorkerContext,
    upstream: UpstreamId,
    transition: Transition,
    reason: EjectionReason,
) {
    let counts = context.upstream_counts(upstream);
    match transition {
        Transition::Ejected { .. } => counts.ejections[reason as usize].add(1),
        Transition::Withheld => counts.ejections_withheld.add(1),
        Transition::Readmitted | Transition::CheckedDown | Transition::CheckedUp => {}
    }
}

static LOCAL_WARNINGS: OncePerSecond = OncePerSecond::new();

/// Logs that this machine is short of something, which may concern every request there is.
pub fn log_local(address: &Address, fault: Fault) {
    let Some(before) = LOCAL_WARNINGS.permits(Instant::now()) else { return };
    let errno = fault.errno.map_or_else(String::new, |errno| format!(": {errno}"));
    log::warn!("cannot connect to {address}: {fault}{errno} ({before} times before)");
}

/// Logs what has become of an endpoint at `now`, once per change.
pub fn log_transition(
    upstream: &Upstream,
    endpoint: EndpointId,
    transition: Transition,
    now: Tick,
    why: &dyn std::fmt::Display,
) {
    let endpoint = upstream.endpoint(endpoint);
    let route = &upstream.name;
    let is_withheld = transition == Transition::Withheld;
    let was_withheld = upstream.record.withholding_said.swap(is_withheld, Ordering::Relaxed);
    if !is_withheld {
        endpoint.record.failures.turn(now);
    }
    match transition {
        Transition::Withheld if was_withheld => {}
        Transition::Withheld => {
            let (out, all) = (upstream.endpoints.ejected(), upstream.endpoints.len());
            let share = upstream.thresholds.eject_max.percent();
            log::warn!(
                "{route}: {endpoint} fails and is not ejected, since {out} of {all} are \
                 (--eject-max {share}%): {why}"
            );
        }
        Transition::Ejected { until, round } => {
            let time = until.as_millis().saturating_sub(now.as_millis());
            let time = Duration::from_millis(time);
            log::warn!(
                "{route}: {endpoint} ejected for {time:?} (ejection {round} in a row): {why}"
            );
        }
        Transition::Readmitted => log::info!("{route}: {endpoint} is back: {why}"),
        Transition::CheckedDown => log::warn!("{route}: {endpoint} is down: {why}"),
        Transition::CheckedUp => log::info!("{route}: {endpoint} is up: {why}"),
    }
    if matches!(transition, Transition::CheckedDown | Transition::CheckedUp) {
        log_availability(upstream);
    }
}

/// Logs whether an upstream has anyone to ask, once per change.
pub fn log_availability(upstream: &Upstream) {
    let Upstream { name, endpoints, traffic, .. } = upstream;
    let happens = match traffic {
        Traffic::Http => "requests are answered with 503",
        Traffic::Tcp => "connections are reset",
    };
    match endpoints.turn() {
        Some(Availability::Available) => log::info!("{name}: endpoints are available again"),
        Some(Availability::Drained) => {
            log::warn!("{name}: every endpoint has been taken out of service: {happens}");
        }
        Some(Availability::Down) if endpoints.is_empty() => {
            log::error!("{name}: no endpoint has been found: {happens}");
        }
        Some(Availability::Down) => log::error!("{name}: no endpoint is left: {happens}"),
        None => {}
    }
}
