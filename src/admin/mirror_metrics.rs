//! The metrics of requests that are copied.

use super::exposition::{Exposition, Type};
use crate::control::state::ControlState;
use crate::http::rules::mirror::MirrorOutcome;
use crate::plan::Plan;

/// Those of all routes together, if one of them has a mirror or had one.
pub(super) fn write(out: &mut Exposition, control_state: &ControlState, plan: &Plan) {
    let were_copied = control_state.metrics.iter().any(|worker| worker.copies_begun.get() > 0);
    if !were_copied && plan.routes.iter().all(|route| route.mirror().is_none()) {
        return;
    }
    let name = "evener_mirrored_requests_total";
    out.family(name, Type::Counter, "Requests to be copied, by what became of the copy.");
    for outcome in MirrorOutcome::ALL {
        let count = control_state.sum(|all| &all.mirrors[outcome as usize]);
        out.sample(name, &[("outcome", outcome.name())], count);
    }
    let workers = control_state.metrics.iter();
    let in_flight = workers.map(|worker| worker.copies_in_flight()).sum::<u64>();
    let help = "Copies of requests that are under way.";
    out.one("evener_mirrored_requests_in_flight", Type::Gauge, help, in_flight);
}
