//! The metrics of endpoints.

use super::exposition::{Exposition, Type};
use super::state::{EndpointState, is_healthy, report};
use crate::metrics::EndpointMetrics;
use crate::plan::Plan;
use crate::upstream::Upstream;
use crate::upstream::check::{CheckKind, CheckOutcome};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::health::Tick;

/// The name, type, help text and value of an endpoint's metric.
type EndpointRow = (&'static str, Type, &'static str, fn(&EndpointMetrics) -> u64);

const ROWS: [EndpointRow; 6] = [
    ("requests_total", Type::Counter, "Attempts at an endpoint.", |own| own.begun.get()),
    ("failures_total", Type::Counter, "Attempts that the endpoint failed.", |own| own.failed.get()),
    ("requests_in_flight", Type::Gauge, "Attempts in progress.", EndpointMetrics::in_flight),
    ("connections_idle", Type::Gauge, "Idle connections, at most a second ago.", |own| {
        own.idle.get()
    }),
    ("connections_opened_total", Type::Counter, "Connections opened.", |own| own.connects.get()),
    ("connections_reused_total", Type::Counter, "Attempts on a reused connection.", |own| {
        own.reuses.get()
    }),
];

/// `names` are the labels of all upstreams.
pub(super) fn write(out: &mut Exposition, plan: &Plan, names: &[String], now: Tick) {
    let rows: Vec<(&str, String, &Upstream, &Endpoint)> = plan
        .upstreams
        .iter()
        .zip(names)
        .flat_map(|(upstream, name)| {
            let endpoints = upstream.endpoints.iter();
            endpoints.map(move |own| (name.as_str(), own.address.to_string(), &**upstream, own))
        })
        .collect();
    let name = "evener_endpoint_up";
    out.family(name, Type::Gauge, "Whether an endpoint is healthy, even if drained.");
    for (upstream, address, _, endpoint) in &rows {
        let labels = [("upstream", *upstream), ("endpoint", address.as_str())];
        out.sample(name, &labels, u8::from(is_healthy(endpoint, now)));
    }
    let name = "evener_endpoint_state";
    out.family(name, Type::Gauge, "1 for the current state of an endpoint.");
    for (upstream, address, own, endpoint) in &rows {
        let is = report(endpoint, own, now).state;
        for state in EndpointState::ALL {
            let endpoint = [("upstream", *upstream), ("endpoint", address.as_str())];
            let labels = [endpoint[0], endpoint[1], ("state", state.name())];
            out.sample(name, &labels, u8::from(state == is));
        }
    }
    let name = "evener_endpoint_checks_total";
    out.family(name, Type::Counter, "Active checks, by what came of them.");
    for (upstream, address, own, endpoint) in &rows {
        if own.check.kind == CheckKind::Off {
            continue;
        }
        for outcome in CheckOutcome::ALL {
            let endpoint_labels = [("upstream", *upstream), ("endpoint", address.as_str())];
            let labels = [endpoint_labels[0], endpoint_labels[1], ("result", outcome.name())];
            out.sample(name, &labels, endpoint.record.checks[outcome as usize].get());
        }
    }
    for (name, of, help, number) in ROWS {
        let name = format!("evener_endpoint_{name}");
        out.family(&name, of, help);
        for (upstream, address, _, endpoint) in &rows {
            let labels = [("upstream", *upstream), ("endpoint", address.as_str())];
            out.sample(&name, &labels, endpoint.record.total(number));
        }
    }
}
