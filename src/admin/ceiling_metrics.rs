//! The metrics of upstreams that have a ceiling, and of what waits there.

use std::sync::Arc;

use super::exposition::{Exposition, Type};
use crate::metrics::UpstreamMetrics;
use crate::plan::Plan;
use crate::shed::Shed;
use crate::upstream::Upstream;

/// The name, help text and value of a counter.
type UpstreamRow = (&'static str, &'static str, fn(&UpstreamMetrics) -> u64);

const COUNTERS: [UpstreamRow; 2] = [
    ("evener_upstream_queued_total", "Requests that have waited for room.", |own| own.queued.get()),
    ("evener_upstream_queue_left_total", "Requests whose client left the queue.", |own| {
        own.queue_left.get()
    }),
];

/// Nothing, if no upstream has one; `names` are the labels of all upstreams.
pub(super) fn write(out: &mut Exposition, plan: &Plan, names: &[String]) {
    let all = plan.upstreams.iter().zip(names);
    let rows: Vec<(&Arc<Upstream>, &str)> = all
        .filter(|(upstream, _)| upstream.ceiling.is_some())
        .map(|(upstream, name)| (upstream, name.as_str()))
        .collect();
    if rows.is_empty() {
        return;
    }
    let name = "evener_upstream_queue_waiting";
    out.family(name, Type::Gauge, "Requests that wait for room at an endpoint.");
    for (upstream, label) in &rows {
        out.sample(name, &[("upstream", label)], upstream.record.queue.waiting());
    }
    for (name, help, number) in COUNTERS {
        out.family(name, Type::Counter, help);
        for (upstream, label) in &rows {
            out.sample(name, &[("upstream", label)], upstream.record.total(number));
        }
    }
    let name = "evener_upstream_shed_total";
    out.family(name, Type::Counter, "Requests turned away for want of room, by reason.");
    for (upstream, label) in &rows {
        for shed in Shed::ALL {
            let count = upstream.record.total(|own| own.shed[shed as usize].get());
            out.sample(name, &[("upstream", label), ("reason", shed.name())], count);
        }
    }
    let name = "evener_endpoint_full";
    out.family(name, Type::Gauge, "Whether an endpoint has as many requests as it may.");
    for (upstream, label) in &rows {
        for endpoint in upstream.endpoints.iter() {
            let labels = [("upstream", *label), ("endpoint", &*endpoint.address.to_string())];
            out.sample(name, &labels, u8::from(upstream.is_full(endpoint)));
        }
    }
}
