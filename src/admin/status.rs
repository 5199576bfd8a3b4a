//! `/status`: the whole state of the balancer, as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use super::metrics::open_http2;
use super::traffic_status::{
    CLASSES, HandshakeCounts, LatencyReport, OfRoute, TcpCounts, handshakes, routes, tcp,
};
use super::upstream_status::{OfUpstream, in_flight, of_upstream};
use crate::control::state::{ControlState, ServingPhase};
use crate::discovery::board::SourceReport;
use crate::http::h2::error_code::ErrorCode;
use crate::id::UpstreamId;
use crate::log::access_log::AccessLog;
use crate::net::tls::certificate::Certificate;
use crate::net::wall_clock::since_1970;
use crate::plan::Plan;
use crate::reject::Reject;
use crate::upstream::endpoint_set::Availability;
use crate::upstream::{Traffic, Upstream};

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
    latency: LatencyReport,
    handshakes: HandshakeCounts,
    tcp: TcpCounts,
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
struct Bytes {
    up: u64,
    down: u64,
    spliced: u64,
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
        latency: LatencyReport::of(control_state.metrics.iter().map(|worker| &worker.durations)),
        handshakes: handshakes(control_state),
        tcp: tcp(control_state),
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
