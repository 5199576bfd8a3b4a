//! Tells everybody once how an attempt or an exchange ended: counters, health, the log.

use tokio::time::Instant;

use super::request_log::Draft;
use crate::fault::{Fault, Kind, Side, Stage};
use crate::plan::context::Services;
use crate::upstream::Upstream;
use crate::upstream::failures::{Failed, Met};
use crate::upstream::health::{Failure, Tick, Transition};
use crate::upstream::settings::ServerErrors;

/// Which endpoint an attempt went to, and when it began.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The upstream.
    pub upstream: usize,
    /// The endpoint behind it.
    pub endpoint: usize,
    /// When the attempt began.
    pub started: Instant,
}

/// Something that came from a client was refused.
pub fn refusal(services: &Services, fault: Fault) {
    match fault.kind {
        Kind::Rejected(reject) => services.metrics.rejects[reject as usize].add(1),
        Kind::TimedOut => services.metrics.head_timeouts.add(1),
        _ => {}
    }
}

/// An answer with this status, no interim one, goes to the client.
pub fn response(services: &Services, route: Option<usize>, draft: Option<&Draft>, status: u16) {
    services.metrics.response(status);
    if let Some(route) = route {
        services.route_counts(route).response(status);
    }
    if let Some(draft) = draft {
        draft.answered(status);
    }
}

/// The endpoint accepted a connection, which is all that can be said of one that is not looked into.
pub fn accepted(services: &Services, target: Target) {
    let upstream = &services.plan.upstreams[target.upstream];
    let health = upstream.endpoints[target.endpoint].health();
    let (started, now) = (services.tick(target.started), services.tick(Instant::now()));
    if let Some(transition) = health.on_success(started, now) {
        log_transition(upstream, target.endpoint, transition, now, &"accepted a connection");
    }
}

/// The endpoint answered, and at `now` had done so whole.
pub fn success(services: &Services, target: Target, status: u16, now: Instant) {
    let upstream = &services.plan.upstreams[target.upstream];
    let health = upstream.endpoints[target.endpoint].health();
    let (started, now) = (services.tick(target.started), services.tick(now));
    let transition = if upstream.server_errors == ServerErrors::Failures && status >= 500 {
        health.on_failure(started, now, Failure::Exchange, &upstream.thresholds)
    } else {
        health.on_success(started, now)
    };
    if let Some(transition) = transition {
        let why = format_args!("answered {status}");
        log_transition(upstream, target.endpoint, transition, now, &why);
    }
}

/// The attempt failed. A reused connection that ended before any byte of an answer is no fault of
/// the endpoint's: it was free to close it.
pub fn failure(services: &Services, target: Target, fault: Fault, was_stale: bool) {
    services.metrics.failed_attempts.add(1);
    services.counts(target.upstream, target.endpoint).failed.add(1);
    if let (Side::Upstream, Kind::Rejected(reject)) = (fault.side, fault.kind) {
        services.metrics.bad_responses[reject as usize].add(1);
    }
    if was_stale || !fault.blames_endpoint() {
        return;
    }
    let upstream = &services.plan.upstreams[target.upstream];
    let failure = if fault.stage == Stage::Connect { Failure::Connect } else { Failure::Exchange };
    let record = &upstream.endpoints[target.endpoint].record;
    let (started, now) = (services.tick(target.started), services.tick(Instant::now()));
    record.failures.add(Failed { at: now, met: Met::ByRequest, fault });
    let transition = record.health.on_failure(started, now, failure, &upstream.thresholds);
    if let Some(transition) = transition {
        log_transition(upstream, target.endpoint, transition, now, &fault);
    }
}

/// Logs what has become of an endpoint at `now`, once per change.
pub fn log_transition(
    upstream: &Upstream,
    endpoint: usize,
    transition: Transition,
    now: Tick,
    why: &dyn std::fmt::Display,
) {
    upstream.endpoints[endpoint].record.failures.turn(now);
    let address = &upstream.endpoints[endpoint].address;
    let route = &upstream.name;
    match transition {
        Transition::Ejected { round, .. } => {
            log::warn!("{route}: {address} ejected (time {round} in a row): {why}");
        }
        Transition::Readmitted => log::info!("{route}: {address} is back: {why}"),
        Transition::CheckedDown => log::warn!("{route}: {address} is down: {why}"),
        Transition::CheckedUp => log::info!("{route}: {address} is up: {why}"),
    }
}
