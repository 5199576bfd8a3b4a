//! The upstreams in `/status`, with their endpoints.

use std::collections::BTreeMap;

use serde::Serialize;

use super::state::report;
use super::traffic_status::LatencyReport;
use crate::ejection_reason::EjectionReason;
use crate::metrics::EndpointMetrics;
use crate::shed::Shed;
use crate::upstream::endpoint::{Endpoint, EndpointRole};
use crate::upstream::endpoint_tls::Verification;
use crate::upstream::health::Tick;
use crate::upstream::record::UpstreamRecord;
use crate::upstream::settings::Ceiling;
use crate::upstream::{Traffic, Upstream};

#[derive(Serialize)]
pub(super) struct OfUpstream {
    name: String,
    traffic: &'static str,
    policy: &'static str,
    /// What is hashed, if that is the policy.
    hash_on: Option<String>,
    /// The name of the cookie, if clients stick.
    sticky: Option<String>,
    availability: &'static str,
    /// Requests and connections, without further attempts at them.
    requests: u64,
    /// Of attempts that were answered.
    latency: LatencyReport,
    ejections: Ejections,
    ceiling: Option<OfCeiling>,
    retries: RetryCounts,
    endpoints: Vec<OfEndpoint>,
}

/// How many requests may be at an endpoint, and what has become of the rest.
#[derive(Serialize)]
struct OfCeiling {
    max_requests: u32,
    queue_max: usize,
    queue_timeout_seconds: f64,
    waiting: usize,
    queued: u64,
    left: u64,
    shed: BTreeMap<&'static str, u64>,
}

/// Retries, and those that the budget did not allow.
#[derive(Serialize)]
struct RetryCounts {
    made: u64,
    refused: u64,
}

#[derive(Serialize)]
struct Ejections {
    /// Endpoints that are ejected or on trial now, and how many may be.
    now: usize,
    max: usize,
    /// How often endpoints were ejected, by reason, and how often not for that maximum.
    reasons: BTreeMap<&'static str, u64>,
    withheld: u64,
}

#[derive(Serialize)]
struct OfEndpoint {
    name: String,
    scheme: Option<&'static str>,
    tls: Option<Tls>,
    address: String,
    weight: u16,
    backup: bool,
    state: &'static str,
    why: Option<String>,
    since_seconds: Option<f64>,
    until_seconds: Option<f64>,
    requests: u64,
    failures: u64,
    in_flight: u64,
    full: bool,
    connections: ConnectionCounts,
    last_failures: Vec<FailureReport>,
}

#[derive(Serialize)]
struct Tls {
    /// The name that its certificate is for.
    name: String,
    verified: bool,
}

#[derive(Serialize)]
struct ConnectionCounts {
    idle: u64,
    opened: u64,
    reused: u64,
}

#[derive(Serialize)]
struct FailureReport {
    seconds_ago: f64,
    what: String,
}

/// What is said of an upstream at `now`.
pub(super) fn of_upstream(upstream: &Upstream, now: Tick) -> OfUpstream {
    let traffic = match upstream.traffic {
        Traffic::Http => "http",
        Traffic::Tcp => "tcp",
    };
    let endpoints = upstream.endpoints.iter();
    OfUpstream {
        name: upstream.name.to_string(),
        traffic,
        policy: upstream.policy.name(),
        hash_on: upstream.hash_on.as_ref().map(ToString::to_string),
        sticky: upstream.sticky.as_ref().map(|sticky| sticky.cookie.name.to_string()),
        availability: upstream.endpoints.availability().name(),
        requests: upstream.record.total(|counts| counts.requests.get()),
        latency: LatencyReport::of(upstream.record.counts.iter().map(|own| &own.durations)),
        ejections: ejections(upstream, now),
        ceiling: upstream.ceiling.map(|ceiling| of_ceiling(&ceiling, &upstream.record)),
        retries: RetryCounts {
            made: upstream.record.total(|counts| counts.retries.get()),
            refused: upstream.record.total(|counts| counts.retries_refused.get()),
        },
        endpoints: endpoints.map(|endpoint| of_endpoint(endpoint, upstream, now)).collect(),
    }
}

fn ejections(upstream: &Upstream, now: Tick) -> Ejections {
    let record = &upstream.record;
    let count = |reason: EjectionReason| (reason.name(), record.ejections(reason));
    let reasons = EjectionReason::ALL.into_iter().map(count);
    Ejections {
        now: upstream.endpoints.ejected(),
        max: upstream.endpoints.ejected_max(upstream.thresholds.eject_max, now),
        reasons: reasons.filter(|(_, count)| *count > 0).collect(),
        withheld: record.total(|counts| counts.ejections_withheld.get()),
    }
}

fn of_ceiling(ceiling: &Ceiling, record: &UpstreamRecord) -> OfCeiling {
    let shed = |shed: Shed| (shed.name(), record.total(|own| own.shed[shed as usize].get()));
    OfCeiling {
        max_requests: ceiling.requests_max.get(),
        queue_max: ceiling.queue_max,
        queue_timeout_seconds: ceiling.queue_timeout.as_secs_f64(),
        waiting: record.queue.waiting(),
        queued: record.total(|own| own.queued.get()),
        left: record.total(|own| own.queue_left.get()),
        shed: Shed::ALL.map(shed).into(),
    }
}

fn of_endpoint(endpoint: &Endpoint, upstream: &Upstream, now: Tick) -> OfEndpoint {
    let (record, report) = (&endpoint.record, report(endpoint, upstream, now));
    let failed = record.failures.last().into_iter();
    OfEndpoint {
        name: endpoint.name.to_string(),
        scheme: (upstream.traffic == Traffic::Http).then(|| endpoint.scheme.name()),
        tls: endpoint.tls.as_ref().map(|tls| Tls {
            name: tls.server_name.to_str().into_owned(),
            verified: tls.verification == Verification::Full,
        }),
        address: endpoint.address.to_string(),
        weight: endpoint.weight.get(),
        backup: endpoint.role == EndpointRole::Backup,
        state: report.state.name(),
        why: report.why,
        since_seconds: report.since.map(|since| between(since, now)),
        until_seconds: report.until.map(|until| between(now, until)),
        requests: record.begun(),
        failures: record.total(|counts| counts.failed.get()),
        in_flight: in_flight(endpoint),
        full: upstream.is_full(endpoint),
        connections: ConnectionCounts {
            idle: record.total(|counts| counts.idle.get()),
            opened: record.total(|counts| counts.connects.get()),
            reused: record.total(|counts| counts.reuses.get()),
        },
        last_failures: failed
            .map(|failed| FailureReport {
                seconds_ago: between(failed.at, now),
                what: failed.to_string(),
            })
            .collect(),
    }
}

/// Attempts in progress at an endpoint.
pub(super) fn in_flight(endpoint: &Endpoint) -> u64 {
    endpoint.record.total(EndpointMetrics::in_flight)
}

/// The time between two ticks, in seconds.
fn between(from: Tick, to: Tick) -> f64 {
    std::time::Duration::from_millis(to.as_millis().saturating_sub(from.as_millis())).as_secs_f64()
}
