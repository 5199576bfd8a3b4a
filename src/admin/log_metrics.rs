//! The metrics of the access log.

use super::exposition::{Exposition, Type};
use crate::control::state::ControlState;
use crate::log::access_log::AccessLog;

/// Writes them, if there is one.
pub(super) fn write(out: &mut Exposition, control_state: &ControlState) {
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
