//! What passes, in `/status`: latencies, routes, TLS handshakes and TCP connections.

use std::collections::BTreeMap;

use serde::Serialize;

use super::metrics::cumulated;
use crate::control::state::ControlState;
use crate::metrics::{Counter, HandshakeMetrics, Histogram};
use crate::plan::{Plan, Route};
use crate::tls_fault::TlsFault;
use crate::upstream::endpoint_set::Availability;

/// The classes of responses, with their index among the counters.
pub(super) const CLASSES: [(usize, &str); 5] =
    [(1, "1xx"), (2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")];

/// A histogram of durations.
#[derive(Serialize)]
pub(super) struct LatencyReport {
    /// Upper bounds in seconds, `None` for none, each with the number of durations up to it.
    buckets: Vec<(Option<f64>, u64)>,
    sum_seconds: f64,
    count: u64,
}

impl LatencyReport {
    /// What all workers have observed.
    pub(super) fn of<'a>(workers: impl IntoIterator<Item = &'a Histogram>) -> Self {
        let (buckets, sum_seconds) = cumulated(workers);
        let count = buckets.last().map_or(0, |(_, count)| *count);
        Self { buckets, sum_seconds, count }
    }
}

/// A route, with what it has answered.
#[derive(Serialize)]
pub(super) struct OfRoute {
    route: String,
    upstream: String,
    /// `available`, or why no request that goes to an endpoint can be answered.
    availability: &'static str,
    requests: u64,
    classes: BTreeMap<&'static str, u64>,
    latency: LatencyReport,
}

/// The routes, in their order.
pub(super) fn routes(plan: &Plan) -> Vec<OfRoute> {
    plan.routes.iter().map(|route| of_route(route, plan)).collect()
}

fn of_route(route: &Route, plan: &Plan) -> OfRoute {
    let upstreams = route.upstreams.iter().map(|goes| &**plan.upstream(goes.upstream));
    let names: Vec<&str> = upstreams.clone().map(|upstream| &*upstream.name).collect();
    let class = |index: usize| route.counts.iter().map(|own| own.responses[index].get()).sum();
    OfRoute {
        route: route.name.to_string(),
        upstream: names.join(","),
        availability: availability(upstreams.map(|upstream| upstream.endpoints.availability())),
        requests: route.counts.iter().flat_map(|own| &own.responses).map(Counter::get).sum(),
        classes: CLASSES.iter().map(|(index, name)| (*name, class(*index))).collect(),
        latency: LatencyReport::of(route.counts.iter().map(|own| &own.durations)),
    }
}

/// That of a route with such upstreams, by its name: a split is impaired if one of several has nobody to ask.
fn availability(upstreams: impl Iterator<Item = Availability>) -> &'static str {
    let (available, others): (Vec<_>, Vec<_>) =
        upstreams.partition(|known| *known == Availability::Available);
    match (available.is_empty(), others.first()) {
        (_, None) => Availability::Available.name(),
        (false, Some(_)) => "impaired",
        (true, Some(_)) if others.contains(&Availability::Down) => Availability::Down.name(),
        (true, Some(_)) => Availability::Drained.name(),
    }
}

/// TLS handshakes of clients.
#[derive(Serialize)]
pub(super) struct HandshakeCounts {
    full: u64,
    resumed: u64,
    /// By the version agreed on.
    versions: BTreeMap<&'static str, u64>,
    /// By reason.
    failed: BTreeMap<&'static str, u64>,
}

/// The handshakes of clients so far.
pub(super) fn handshakes(control_state: &ControlState) -> HandshakeCounts {
    let sum = |of: &dyn Fn(&HandshakeMetrics) -> u64| -> u64 {
        control_state.metrics.iter().map(|worker| of(&worker.client_handshakes)).sum()
    };
    let (full, resumed) = (sum(&|all| all.full.get()), sum(&|all| all.resumed.get()));
    let tls12 = sum(&|all| all.tls12.get());
    let failed = |fault: &TlsFault| (fault.name(), sum(&|all| all.failed[fault.index()].get()));
    HandshakeCounts {
        full,
        resumed,
        versions: [("1.2", tls12), ("1.3", (full + resumed).saturating_sub(tls12))].into(),
        failed: TlsFault::ALL.iter().map(failed).filter(|(_, count)| *count > 0).collect(),
    }
}

/// TCP connections that are relayed.
#[derive(Serialize)]
pub(super) struct TcpCounts {
    opened: u64,
    refused: u64,
}

/// The TCP connections so far.
pub(super) fn tcp(control_state: &ControlState) -> TcpCounts {
    TcpCounts {
        opened: control_state.sum(|all| &all.tcp_opened),
        refused: control_state.sum(|all| &all.tcp_refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_as_available_as_its_upstreams() {
        use Availability::{Available, Down, Drained};
        let rows: [(&[Availability], &str); 7] = [
            (&[], "available"),
            (&[Available, Available], "available"),
            (&[Available, Down], "impaired"),
            (&[Drained, Available], "impaired"),
            (&[Down], "down"),
            (&[Drained], "drained"),
            (&[Drained, Down], "down"),
        ];
        for (upstreams, expected) in rows {
            assert_eq!(availability(upstreams.iter().copied()), expected, "{upstreams:?}");
        }
    }
}
