//! The metrics of what limits of routes refuse.

use super::exposition::{Exposition, Type};
use crate::plan::Plan;

/// Those of routes that have limits.
pub(super) fn of_limits(out: &mut Exposition, plan: &Plan) {
    let limited = || plan.routes.iter().filter_map(|route| Some((route, route.rules.as_ref()?)));
    if limited().all(|(_, rules)| rules.limits().next().is_none()) {
        return;
    }
    let name = "evener_refusals_total";
    out.family(name, Type::Counter, "Requests refused by a limit, by route and limit.");
    for (route, rules) in limited() {
        for rule in rules.limits() {
            let count: u64 = route.counts.iter().map(|own| own.refusals[rule as usize].get()).sum();
            out.sample(name, &[("route", &*route.name), ("rule", rule.name())], count);
        }
    }
    if limited().all(|(_, rules)| rules.rate_limit.is_none()) {
        return;
    }
    let name = "evener_rate_limit_evictions_total";
    let help = "Keys of a rate limit given up before their burst was whole again, by route.";
    out.family(name, Type::Counter, help);
    for (route, rules) in limited() {
        if let Some(limiter) = &rules.rate_limit {
            out.sample(name, &[("route", &*route.name)], limiter.evicted());
        }
    }
}
