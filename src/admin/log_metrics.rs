//! The metrics of the access log and of spans.

use super::exposition::{Exposition, Type};
use crate::control::state::ControlState;
use crate::log::access_log::AccessLog;
use crate::otlp::exporter::SpanExporter;

/// Writes those of what there is.
pub(super) fn write(out: &mut Exposition, control_state: &ControlState) {
    of_lines(out, control_state);
    of_spans(out, control_state);
}

fn of_spans(out: &mut Exposition, control_state: &ControlState) {
    let Some(report) = control_state.spans.as_ref().map(SpanExporter::report) else { return };
    let name = "evener_spans_total";
    out.family(name, Type::Counter, "Spans, taken by the collector or dropped.");
    out.sample(name, &[("result", "exported")], report.exported);
    out.sample(name, &[("result", "dropped")], report.dropped);
    let (name, help) = ("evener_span_export_failures_total", "Attempts to send spans that failed.");
    out.one(name, Type::Counter, help, report.failures);
}

fn of_lines(out: &mut Exposition, control_state: &ControlState) {
    let counts = control_state.access_log.as_ref().and_then(AccessLog::counts);
    let Some((written, dropped)) = counts else { return };
    let name = "evener_access_log_lines_total";
    out.family(
        name,
        Type::Counter,
        "Lines of the access log: written, dropped, or left out by its sample rate.",
    );
    out.sample(name, &[("result", "written")], written);
    out.sample(name, &[("result", "dropped")], dropped);
    let sampled_out = control_state.sum(|counts| &counts.lines_sampled_out);
    out.sample(name, &[("result", "sampled_out")], sampled_out);
}
