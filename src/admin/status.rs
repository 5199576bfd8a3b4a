//! `/status`: the whole state of the balancer, as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use super::metrics::{cumulated, open_http2};
use super::state::report;
use crate::control::state::{ControlState, ServingPhase};
use crate::discovery::board::SourceReport;
use crate::ejection_reason::EjectionReason;
use crate::http::h2::error_code::ErrorCode;
use crate::id::UpstreamId;
use crate::log::access_log::AccessLog;
use crate::metrics::{Counter, EndpointMetrics};
use crate::net::tls::certificate::Certificate;
use crate::net::wall_clock::since_1970;
use crate::plan::{Plan, Route};
use crate::reject::Reject;
use crate::shed::Shed;
use crate::upstream::endpoint::{Endpoint, EndpointRole};
use crate::upstream::endpoint_set::Availability;
use crate::upstream::endpoint_tls::Verification;
use crate::upstream::health::Tick;
use crate::upstream::record::UpstreamRecord;
use crate::upstream::settings::Ceiling;
use crate::upstream::{Traffic, Upstream};

/// The classes of responses, with their index among the counters.
const CLASSES: [(usize, &str); 5] = [(1, "1xx"), (2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")];

#[derive(Serialize)]
struct StatusReport {
    version: &'static str,
    pid: u32,
    uptime_seconds: f64,
    state: &'static str,
    ready: bool,
    /// The upstreams without anyone to ask.
    unavailable: Vec<String>,
    config: Configuration,
    threads: usize,
    connections: Connections,
    requests: Requests,
    http2: Http2,
    latency: Latency,
    bytes: Bytes,
    rejects: BTreeMap<String, u64>,
    log: Option<Log>,
    listeners: Vec<String>,
    certificates: Vec<OfCertificate>,
    routes: Vec<OfRoute>,
    upstreams: Vec<OfUpstream>,
    discovery: Vec<OfSource>,
}

/// A source of endpoints; times in seconds.
#[derive(Serialize)]
struct OfSource {
    source: String,
    /// The upstreams that depend on it.
    upstreams: Vec<String>,
    endpoints: usize,
    /// How many more it has than are taken.
    cut: usize,
    last_success_seconds_ago: Option<f64>,
    last_error: Option<String>,
    next_lookup_seconds: f64,
    lookups: u64,
    failures: u64,
}

/// A certificate of the TLS listeners; times in seconds since 1970.
#[derive(Serialize)]
struct OfCertificate {
    file: String,
    key_file: String,
    names: Vec<String>,
    key: String,
    sha256: String,
    not_before: i64,
    not_after: i64,
    warning: Option<String>,
}

#[derive(Serialize)]
struct Log {
    written: u64,
    dropped: u64,
}

#[derive(Serialize)]
struct Configuration {
    generation: u64,
    loaded_seconds_ago: f64,
    file: Option<String>,
    refused: Option<String>,
}

#[derive(Serialize)]
struct Connections {
    active: usize,
    accepted: u64,
    max: usize,
    refused: u64,
    accept_errors: u64,
}

#[derive(Serialize)]
struct Requests {
    total: u64,
    in_flight: u64,
    classes: BTreeMap<&'static str, u64>,
    retries: u64,
    failed_attempts: u64,
    cut_answers: u64,
}

/// HTTP/2 of clients.
#[derive(Serialize)]
struct Http2 {
    connections: u64,
    streams: u64,
    requests: u64,
    resets_by_clients: u64,
    resets_by_evener: u64,
    refused_streams: u64,
    failed_connections: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Latency {
    buckets: Vec<(Option<f64>, u64)>,
    sum_seconds: f64,
    count: u64,
}

#[derive(Serialize)]
struct Bytes {
    up: u64,
    down: u64,
    spliced: u64,
}

#[derive(Serialize)]
struct OfRoute {
    route: String,
    upstream: String,
    requests: u64,
}

#[derive(Serialize)]
struct OfUpstream {
    name: String,
    traffic: &'static str,
    policy: &'static str,
    /// What is hashed, if that is the policy.
    hash_on: Option<String>,
    /// The name of the cookie, if clients stick.
    sticky: Option<String>,
    availability: &'static str,
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

/// Writes the current status.
pub(crate) fn write(control_state: &ControlState) -> Result<String, serde_json::Error> {
    let facts = control_state.facts();
    let now = control_state.epoch.tick(Instant::now());
    let serves = facts.phase == ServingPhase::Serving;
    let status = StatusReport {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_seconds: control_state.started.elapsed().as_secs_f64(),
        state: if serves { "serving" } else { "draining" },
        ready: serves,
        unavailable: unavailable(&facts.plan),
        config: Configuration {
            generation: facts.generation,
            loaded_seconds_ago: facts.loaded.elapsed().as_secs_f64(),
            file: facts.file.as_ref().map(|path| path.display().to_string()),
            refused: facts.refusal().map(str::to_owned),
        },
        threads: control_state.metrics.len(),
        connections: Connections {
            active: control_state.limiter.open(),
            accepted: control_state.sum(|counts| &counts.accepted),
            max: control_state.limiter.connections_max(),
            refused: control_state.sum(|counts| &counts.turned_away),
            accept_errors: control_state.sum(|counts| &counts.accept_errors),
        },
        requests: requests(control_state, &facts.plan),
        http2: http2(control_state),
        latency: latency(control_state),
        bytes: Bytes {
            up: control_state.sum(|counts| &counts.bytes_up),
            down: control_state.sum(|counts| &counts.bytes_down),
            spliced: control_state.sum(|counts| &counts.bytes_spliced),
        },
        rejects: rejects(control_state),
        log: control_state
            .access_log
            .as_ref()
            .and_then(AccessLog::counts)
            .map(|(written, dropped)| Log { written, dropped }),
        listeners: facts.listeners.iter().map(ToString::to_string).collect(),
        certificates: certificates(&facts.plan),
        routes: routes(&facts.plan),
        upstreams: facts.plan.upstreams.iter().map(|upstream| of_upstream(upstream, now)).collect(),
        discovery: sources(control_state, &facts.plan),
    };
    serde_json::to_string(&status)
}

fn requests(control_state: &ControlState, plan: &Plan) -> Requests {
    let http = plan.upstreams.iter().filter(|upstream| upstream.traffic == Traffic::Http);
    let endpoints = http.flat_map(|upstream| upstream.endpoints.iter());
    let in_flight = endpoints.map(in_flight).sum();
    let class = |index: usize| control_state.sum(|counts| &counts.responses[index]);
    Requests {
        total: control_state.sum(|counts| &counts.requests),
        in_flight,
        classes: CLASSES.iter().map(|(index, name)| (*name, class(*index))).collect(),
        retries: control_state.sum(|counts| &counts.retries),
        failed_attempts: control_state.sum(|counts| &counts.failed_attempts),
        cut_answers: control_state.metrics.iter().map(|all| all.all_cut_answers()).sum(),
    }
}

fn http2(control_state: &ControlState) -> Http2 {
    let open = open_http2(control_state);
    let failed = |code: ErrorCode| control_state.sum(|all| &all.http2.failed[code as usize]);
    let failed = ErrorCode::ALL.map(|code| (code.name(), failed(code))).into_iter();
    Http2 {
        connections: open.connections,
        streams: open.streams,
        requests: control_state.sum(|all| &all.http2.requests),
        resets_by_clients: control_state.sum(|all| &all.http2.resets_by_clients),
        resets_by_evener: control_state.sum(|all| &all.http2.resets_by_us),
        refused_streams: control_state.sum(|all| &all.http2.streams_refused),
        failed_connections: failed.filter(|(_, count)| *count > 0).collect(),
    }
}

fn in_flight(endpoint: &Endpoint) -> u64 {
    endpoint.record.total(EndpointMetrics::in_flight)
}

fn latency(control_state: &ControlState) -> Latency {
    let (buckets, sum_seconds) =
        cumulated(control_state.metrics.iter().map(|worker| &worker.durations));
    let count = buckets.last().map_or(0, |(_, count)| *count);
    Latency { buckets, sum_seconds, count }
}

/// The rejects that have occurred.
fn rejects(control_state: &ControlState) -> BTreeMap<String, u64> {
    let count = |reject: Reject| control_state.sum(|counts| &counts.rejects[reject as usize]);
    let counted = Reject::ALL.into_iter().map(|reject| (reject.name(), count(reject)));
    counted.filter(|(_, count)| *count > 0).collect()
}

fn unavailable(plan: &Plan) -> Vec<String> {
    let is =
        |upstream: &&Arc<Upstream>| upstream.endpoints.availability() != Availability::Available;
    plan.upstreams.iter().filter(is).map(|upstream| upstream.name.to_string()).collect()
}

fn certificates(plan: &Plan) -> Vec<OfCertificate> {
    let now = since_1970();
    let of_certificate = |certificate: &Arc<Certificate>| OfCertificate {
        file: certificate.cert.display().to_string(),
        key_file: certificate.key.display().to_string(),
        names: certificate.hosts().collect(),
        key: certificate.kind.to_string(),
        sha256: certificate.fingerprint_hex(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        warning: certificate.warning(now),
    };
    plan.tls.iter().flat_map(|tls| tls.certificates.iter()).map(of_certificate).collect()
}

fn sources(control_state: &ControlState, plan: &Plan) -> Vec<OfSource> {
    // A reload may have come between the two.
    let name = |id: &UpstreamId| Some(plan.upstreams.get(id.index())?.name.to_string());
    let of_source = |report: SourceReport| OfSource {
        source: report.source,
        upstreams: report.upstreams.iter().filter_map(name).collect(),
        endpoints: report.endpoints,
        cut: report.cut,
        last_success_seconds_ago: report.succeeded.map(|since| since.as_secs_f64()),
        last_error: report.failure,
        next_lookup_seconds: report.next.as_secs_f64(),
        lookups: report.lookups,
        failures: report.failures,
    };
    control_state.discovery.report().into_iter().map(of_source).collect()
}

fn upstream_names<'a>(route: &Route, plan: &'a Plan) -> Vec<&'a str> {
    route.upstreams.iter().map(|goes| &*plan.upstream(goes.upstream).name).collect()
}

fn routes(plan: &Plan) -> Vec<OfRoute> {
    let of_route = |route: &Route| OfRoute {
        route: route.name.to_string(),
        upstream: upstream_names(route, plan).join(","),
        requests: route.counts.iter().flat_map(|counts| &counts.responses).map(Counter::get).sum(),
    };
    plan.routes.iter().map(of_route).collect()
}

fn of_upstream(upstream: &Upstream, now: Tick) -> OfUpstream {
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

/// The time between two ticks, in seconds.
fn between(from: Tick, to: Tick) -> f64 {
    std::time::Duration::from_millis(to.as_millis().saturating_sub(from.as_millis())).as_secs_f64()
}
