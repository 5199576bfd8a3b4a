//! `/metrics`, in the text format of Prometheus.
//!
//! How many series there are is in docs/metrics.md. Nothing that a client sends becomes a label.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::exposition::{Exposition, LabelPair, Type};
use super::{
    ceiling_metrics, endpoint_metrics, limit_metrics, log_metrics, mirror_metrics, process_metrics,
};
use crate::control::state::{ControlSnapshot, ControlState, ServingPhase};
use crate::discovery::board::SourceReport;
use crate::ejection_reason::EjectionReason;
use crate::fault::Side;
use crate::grpc::status::Status;
use crate::http::h2::budget::Exhausted;
use crate::http::h2::error_code::ErrorCode;
use crate::metrics::{Counter, HandshakeMetrics, Histogram, Metrics, UpstreamMetrics};
use crate::plan::{Plan, WeightedUpstream};
use crate::reject::Reject;
use crate::tls_fault::TlsFault;
use crate::upstream::Upstream;
use crate::upstream::endpoint_set::Availability;

/// The name, help text and value of a worker's counter.
type Row = (&'static str, &'static str, fn(&Metrics) -> &Counter);

const COUNTERS: [Row; 24] = [
    ("connections_accepted_total", "Client connections accepted.", |all| &all.accepted),
    ("connections_refused_total", "Client connections reset: per-client limit reached.", |all| {
        &all.turned_away
    }),
    (
        "connections_refused_by_filters_total",
        "Client connections reset: refused by a filter.",
        |all| &all.refused_by_filters,
    ),
    (
        "rule_values_dropped_total",
        "Headers left out: a rule would have made them too long.",
        |all| &all.rule_values_dropped,
    ),
    ("connections_waited_total", "Client connections that had to wait: limit reached.", |all| {
        &all.waited
    }),
    ("connections_rebalanced_total", "Client connections given to a thread with fewer.", |all| {
        &all.rebalanced
    }),
    ("accept_errors_total", "Errors from accepting a connection.", |all| &all.accept_errors),
    ("relays_opened_total", "TCP connections relayed.", |all| &all.tcp_opened),
    ("relays_refused_total", "TCP connections closed for lack of an endpoint.", |all| {
        &all.tcp_refused
    }),
    ("sni_unmatched_total", "TCP connections closed: no upstream for their server name.", |all| {
        &all.sni_unmatched
    }),
    ("sni_not_tls_total", "TCP connections closed: not TLS, and no upstream for that.", |all| {
        &all.sni_not_tls
    }),
    ("hello_timeouts_total", "TCP connections closed: no complete ClientHello in time.", |all| {
        &all.hello_timeouts
    }),
    ("requests_read_total", "Requests read, without refused ones.", |all| &all.requests),
    ("head_timeouts_total", "Requests whose headers were not complete in time.", |all| {
        &all.head_timeouts
    }),
    ("aliased_fields_total", "Headers removed that could be mistaken for others.", |all| {
        &all.aliases
    }),
    ("retries_total", "Attempts after the first of a request.", |all| &all.retries),
    ("failed_attempts_total", "Attempts that failed, for whatever reason.", |all| {
        &all.failed_attempts
    }),
    ("local_failures_total", "Attempts for which this machine had no descriptor or port.", |all| {
        &all.local_failures
    }),
    ("upstream_connections_opened_total", "Connections to endpoints opened.", |all| &all.connects),
    ("upstream_connections_reused_total", "Attempts on a reused connection.", |all| &all.reuses),
    (
        "upstream_shelf_reuses_total",
        "Attempts on a reused connection from the shelf that workers share.",
        |all| &all.shelf_reuses,
    ),
    ("upstream_sent_bytes_total", "Bytes sent to endpoints from clients.", |all| &all.bytes_up),
    ("client_sent_bytes_total", "Bytes sent to clients from endpoints.", |all| &all.bytes_down),
    ("spliced_bytes_total", "Bytes of both that were moved with splice(2).", |all| {
        &all.bytes_spliced
    }),
];

/// The name, help text and value of an upstream's counter.
type UpstreamRow = (&'static str, &'static str, fn(&UpstreamMetrics) -> u64);

const OF_UPSTREAMS: [UpstreamRow; 2] = [
    ("retries_total", "Retries of requests and connections of an upstream.", |own| {
        own.retries.get()
    }),
    ("retry_budget_exhausted_total", "Retries that the budget did not allow.", |own| {
        own.retries_refused.get()
    }),
];

const CLASSES: [(usize, &str); 5] = [(1, "1xx"), (2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")];

/// Writes the current metrics.
pub(crate) fn write(control_state: &ControlState) -> String {
    let mut out = Exposition::default();
    let facts = control_state.facts();
    let now = control_state.epoch.tick(Instant::now());
    of_balancer(&mut out, control_state, &facts);
    for (name, help, counter) in COUNTERS {
        out.one(&format!("evener_{name}"), Type::Counter, help, control_state.sum(counter));
    }
    of_responses(&mut out, control_state);
    of_http2(&mut out, control_state);
    of_handshakes(&mut out, control_state, "client", |all| &all.client_handshakes);
    of_handshakes(&mut out, control_state, "upstream", |all| &all.upstream_handshakes);
    log_metrics::write(&mut out, control_state);
    of_certificates(&mut out, &facts.plan);
    let names = names(&facts.plan);
    of_routes(&mut out, &facts.plan, &names);
    of_upstreams(&mut out, &facts.plan, &names);
    of_discovery(&mut out, &control_state.discovery.report());
    endpoint_metrics::write(&mut out, &facts.plan, &names, now);
    ceiling_metrics::write(&mut out, &facts.plan, &names);
    mirror_metrics::write(&mut out, control_state, &facts.plan);
    process_metrics::of_workers(&mut out, control_state, now);
    process_metrics::of_process(&mut out);
    out.text
}

/// The cumulative buckets of what all workers have observed, each with its bound in seconds, and the sum.
pub(crate) fn cumulated<'a>(
    workers: impl IntoIterator<Item = &'a Histogram>,
) -> (Vec<(Option<f64>, u64)>, f64) {
    let mut counts = vec![0; Histogram::BOUNDS.len() + 1];
    let mut micros = 0;
    for worker in workers {
        for (sum, count) in counts.iter_mut().zip(worker.counts()) {
            *sum += count;
        }
        micros += worker.sum_micros();
    }
    let bounds = Histogram::BOUNDS.iter().map(|micros| Some(seconds(*micros))).chain([None]);
    let sums = counts.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum)
    });
    (bounds.zip(sums).collect(), seconds(micros))
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

fn of_balancer(out: &mut Exposition, control_state: &ControlState, facts: &ControlSnapshot) {
    out.family("evener_build_info", Type::Gauge, "The version of Evener.");
    out.sample("evener_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let rows = [
        ("config_generation", "Configurations loaded so far.", facts.generation),
        ("config_last_reload_refused", "Whether the last reload was refused.", {
            u64::from(facts.refusal().is_some())
        }),
        (
            "config_loaded_timestamp_seconds",
            "When the configuration in force was loaded, since the Unix epoch.",
            facts.loaded_at.as_secs(),
        ),
        (
            "draining",
            "Whether the process is draining.",
            u64::from(facts.phase == ServingPhase::Draining),
        ),
        ("threads", "Worker threads.", control_state.metrics.len() as u64),
        ("connections_active", "Client connections open.", control_state.limiter.open() as u64),
        (
            "connections_max",
            "Limit on client connections.",
            control_state.limiter.connections_max() as u64,
        ),
    ];
    for (name, help, value) in rows {
        out.one(&format!("evener_{name}"), Type::Gauge, help, value);
    }
}

/// The name, type, help text and value of a source's metric.
type SourceRow = (&'static str, Type, &'static str, fn(&SourceReport) -> u64);

const OF_SOURCES: [SourceRow; 5] = [
    ("endpoints", Type::Gauge, "Endpoints of the last good answer.", |own| own.endpoints as u64),
    ("endpoints_cut", Type::Gauge, "Endpoints above the ceiling of a source.", |own| {
        own.cut as u64
    }),
    ("lookups_total", Type::Counter, "Lookups.", |own| own.lookups),
    ("failures_total", Type::Counter, "Lookups without a good answer.", |own| own.failures),
    ("failing", Type::Gauge, "Whether the last lookup failed.", |own| own.failure.is_some().into()),
];

/// Sources of endpoints.
fn of_discovery(out: &mut Exposition, sources: &[SourceReport]) {
    if sources.is_empty() {
        return;
    }
    for (name, of, help, value) in OF_SOURCES {
        let name = format!("evener_discovery_{name}");
        out.family(&name, of, help);
        for source in sources {
            out.sample(&name, &[("source", &source.source)], value(source));
        }
    }
}

/// Handshakes of one side, by its name in the metrics.
fn of_handshakes(
    out: &mut Exposition,
    control_state: &ControlState,
    side: &str,
    of: fn(&Metrics) -> &HandshakeMetrics,
) {
    let sum = |counter: &dyn Fn(&HandshakeMetrics) -> u64| {
        control_state.metrics.iter().map(|worker| counter(of(worker))).sum::<u64>()
    };
    let (full, resumed) = (sum(&|all| all.full.get()), sum(&|all| all.resumed.get()));
    let tls12 = sum(&|all| all.tls12.get());
    let name = format!("evener_{side}_handshakes_total");
    out.family(&name, Type::Counter, "TLS handshakes, full or resumed.");
    out.sample(&name, &[("kind", "full")], full);
    out.sample(&name, &[("kind", "resumed")], resumed);
    let name = format!("evener_{side}_handshakes_by_version_total");
    out.family(&name, Type::Counter, "TLS handshakes, by the version agreed on.");
    out.sample(&name, &[("version", "1.2")], tls12);
    out.sample(&name, &[("version", "1.3")], (full + resumed).saturating_sub(tls12));
    let name = format!("evener_{side}_handshakes_failed_total");
    out.family(&name, Type::Counter, "TLS handshakes that failed, by reason.");
    for fault in TlsFault::ALL {
        let failed = sum(&|all| all.failed[fault.index()].get());
        out.sample(&name, &[("reason", fault.name())], failed);
    }
}

/// HTTP/2 of clients, and how many requests came by it.
fn of_http2(out: &mut Exposition, control_state: &ControlState) {
    let sum = |counter: fn(&Metrics) -> &Counter| control_state.sum(counter);
    let http2 = sum(|all| &all.http2.requests);
    let name = "evener_requests_by_protocol_total";
    out.family(name, Type::Counter, "Requests read, by the protocol of the client.");
    let others = sum(|all| &all.requests).saturating_sub(http2);
    out.sample(name, &[("protocol", "http/1")], others);
    out.sample(name, &[("protocol", "http/2")], http2);
    let name = "evener_grpc_calls_total";
    out.family(name, Type::Counter, "gRPC calls ended, by the status that their client was told.");
    for (place, status) in Status::ALL.map(Status::name).into_iter().chain(["none"]).enumerate() {
        let calls = control_state.sum(|all| &all.http2.calls[place]);
        out.sample(name, &[("status", status)], calls);
    }
    let open = open_http2(control_state);
    let help = "HTTP/2 connections of clients that are open.";
    out.one("evener_http2_connections_active", Type::Gauge, help, open.connections);
    let help = "Streams of HTTP/2 clients that are open.";
    out.one("evener_http2_streams_active", Type::Gauge, help, open.streams);
    let name = "evener_http2_streams_reset_total";
    out.family(name, Type::Counter, "Streams of HTTP/2 clients that were reset, by whom.");
    out.sample(name, &[("by", "client")], sum(|all| &all.http2.resets_by_clients));
    out.sample(name, &[("by", "evener")], sum(|all| &all.http2.resets_by_us));
    let name = "evener_http2_streams_refused_total";
    out.family(name, Type::Counter, "Streams of HTTP/2 clients that were not taken, by reason.");
    out.sample(name, &[("reason", "max_streams")], sum(|all| &all.http2.streams_refused));
    out.sample(name, &[("reason", "leaving")], sum(|all| &all.http2.streams_late));
    let name = "evener_http2_floods_total";
    out.family(name, Type::Counter, "HTTP/2 connections ended for a flood, by what they used up.");
    for exhausted in Exhausted::ALL {
        let ended = control_state.sum(|all| &all.http2.floods[exhausted as usize]);
        out.sample(name, &[("budget", exhausted.name())], ended);
    }
    let name = "evener_http2_connections_failed_total";
    out.family(name, Type::Counter, "HTTP/2 connections ended for a broken rule, by error code.");
    for code in ErrorCode::ALL {
        let failed = control_state.sum(|all| &all.http2.failed[code as usize]);
        out.sample(name, &[("code", code.name())], failed);
    }
}

/// What HTTP/2 clients have open.
pub(crate) struct OpenHttp2 {
    pub(crate) connections: u64,
    pub(crate) streams: u64,
}

/// What HTTP/2 clients have open now.
pub(crate) fn open_http2(control_state: &ControlState) -> OpenHttp2 {
    // What has ended is read first: there is never less that has begun.
    let closed = control_state.sum(|all| &all.http2.closed);
    let streams_closed = control_state.sum(|all| &all.http2.streams_closed);
    let connections = control_state.sum(|all| &all.http2.opened).saturating_sub(closed);
    let streams = control_state.sum(|all| &all.http2.streams_opened);
    OpenHttp2 { connections, streams: streams.saturating_sub(streams_closed) }
}

fn of_responses(out: &mut Exposition, control_state: &ControlState) {
    let name = "evener_responses_total";
    out.family(name, Type::Counter, "Responses by class, including generated ones.");
    for (index, class) in CLASSES {
        let count = control_state.sum(|counts| &counts.responses[index]);
        out.sample(name, &[("class", class)], count);
    }
    let name = "evener_cut_answers_total";
    out.family(
        name,
        Type::Counter,
        "Responses that ended before their full length, by whose doing.",
    );
    for side in Side::ALL {
        let count = control_state.sum(|counts| &counts.cut_answers[side as usize]);
        out.sample(name, &[("by", side.name())], count);
    }
    let of_rejects = |out: &mut Exposition, name, help, of: fn(&Metrics) -> &[Counter]| {
        out.family(name, Type::Counter, help);
        for reject in Reject::ALL {
            let count = control_state.sum(|counts| &of(counts)[reject as usize]);
            out.sample(name, &[("reason", &reject.name())], count);
        }
    };
    let help = "Requests refused, by the rule they break.";
    of_rejects(out, "evener_rejects_total", help, |counts| &counts.rejects);
    let help = "Responses refused, by the rule they break.";
    of_rejects(out, "evener_bad_responses_total", help, |counts| &counts.bad_responses);
    let name = "evener_upstream_connections_dropped_total";
    out.family(name, Type::Counter, "Reusable connections to endpoints that were closed.");
    let full = control_state.sum(|counts| &counts.pool_full);
    out.sample(name, &[("reason", "pool_full")], full);
    out.sample(
        name,
        &[("reason", "not_quiet")],
        control_state.sum(|counts| &counts.pool_not_quiet),
    );
    let name = "evener_request_duration_seconds";
    let help = "From the first byte of a request to the last byte of its response.";
    out.family(name, Type::Histogram, help);
    of_durations(out, name, &[], control_state.metrics.iter().map(|worker| &worker.durations));
}

/// The samples of a histogram, with these labels.
fn of_durations<'a>(
    out: &mut Exposition,
    name: &str,
    labels: &[LabelPair<'_>],
    workers: impl IntoIterator<Item = &'a Histogram>,
) {
    let (buckets, sum) = cumulated(workers);
    for (bound, count) in &buckets {
        let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
        let labels: Vec<_> = labels.iter().copied().chain([("le", &*bound)]).collect();
        out.sample(&format!("{name}_bucket"), &labels, count);
    }
    out.sample(&format!("{name}_sum"), labels, sum);
    out.sample(&format!("{name}_count"), labels, buckets.last().map_or(0, |(_, count)| *count));
}

/// The names of the upstreams as labels: relays may share a name, but labels must be unique.
fn names(plan: &Plan) -> Vec<String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let name = |upstream: &Arc<Upstream>| upstream.name.to_string();
    let numbered = plan.upstreams.iter().map(|upstream| {
        let count = seen.entry(&upstream.name).and_modify(|count| *count += 1).or_insert(1);
        if *count == 1 { name(upstream) } else { format!("{}#{count}", upstream.name) }
    });
    numbered.collect()
}

fn of_routes(out: &mut Exposition, plan: &Plan, names: &[String]) {
    let name = "evener_requests_total";
    out.family(name, Type::Counter, "Requests answered, by route, upstream and class of response.");
    for route in plan.routes.iter() {
        for (index, class) in CLASSES {
            let count: u64 = route.counts.iter().map(|own| own.responses[index].get()).sum();
            let upstream = |goes: &WeightedUpstream| names[goes.upstream.index()].as_str();
            let upstreams = route.upstreams.iter().map(upstream).collect::<Vec<_>>().join(",");
            let labels = [("route", &*route.name), ("upstream", &*upstreams), ("class", class)];
            out.sample(name, &labels, count);
        }
    }
    limit_metrics::of_limits(out, plan);
    let name = "evener_route_duration_seconds";
    let help = "From the first byte of a request to the last byte of its response, by route.";
    out.family(name, Type::Histogram, help);
    for route in plan.routes.iter() {
        let workers = route.counts.iter().map(|own| &own.durations);
        of_durations(out, name, &[("route", &route.name)], workers);
    }
}

fn of_upstreams(out: &mut Exposition, plan: &Plan, names: &[String]) {
    let name = "evener_upstream_available";
    out.family(name, Type::Gauge, "Whether an upstream has anyone to ask.");
    for (upstream, label) in plan.upstreams.iter().zip(names) {
        let is = upstream.endpoints.availability() == Availability::Available;
        out.sample(name, &[("upstream", label)], u8::from(is));
    }
    let name = "evener_ejections_total";
    out.family(name, Type::Counter, "Endpoints ejected, by upstream and reason.");
    for (upstream, label) in plan.upstreams.iter().zip(names) {
        for reason in EjectionReason::ALL {
            let labels = [("upstream", label.as_str()), ("reason", reason.name())];
            out.sample(name, &labels, upstream.record.ejections(reason));
        }
    }
    let name = "evener_ejections_withheld_total";
    out.family(name, Type::Counter, "Failures that ejected nobody: too many were ejected already.");
    for (upstream, label) in plan.upstreams.iter().zip(names) {
        let count = upstream.record.total(|counts| counts.ejections_withheld.get());
        out.sample(name, &[("upstream", label)], count);
    }
    for (name, help, number) in OF_UPSTREAMS {
        let name = format!("evener_upstream_{name}");
        out.family(&name, Type::Counter, help);
        for (upstream, label) in plan.upstreams.iter().zip(names) {
            out.sample(&name, &[("upstream", label)], upstream.record.total(number));
        }
    }
    let name = "evener_upstream_duration_seconds";
    let help = "From the begin of an attempt to the last byte of its answer, by upstream.";
    out.family(name, Type::Histogram, help);
    for (upstream, label) in plan.upstreams.iter().zip(names) {
        let workers = upstream.record.counts.iter().map(|own| &own.durations);
        of_durations(out, name, &[("upstream", label)], workers);
    }
}

fn of_certificates(out: &mut Exposition, plan: &Plan) {
    let Some(tls) = &plan.tls else { return };
    let name = "evener_certificate_not_after_seconds";
    out.family(name, Type::Gauge, "Until when a certificate is valid, since the Unix epoch.");
    let mut seen = HashSet::new();
    for certificate in tls.certificates.iter() {
        let file = certificate.cert.display().to_string();
        let host = certificate.hosts().next().unwrap_or_default();
        if seen.insert(file.clone()) {
            out.sample(name, &[("certificate", &host), ("file", &file)], certificate.not_after);
        }
    }
}
