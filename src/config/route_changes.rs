//! Which routes a reload may change. Of a hundred thousand it changes few, and to compare all takes a tenth of the time
//! that it takes to describe them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::{RouteId, UpstreamId};
use crate::plan::{Plan, Route, WeightedUpstream};
use crate::upstream::Upstream;

/// Whether each route of a plan, and each of the one after it, may be described in other words.
pub(super) fn changed(now: &Plan, next: &Plan) -> [Vec<bool>; 2] {
    let mut changed = [vec![true; now.routes.len()], vec![true; next.routes.len()]];
    if now.rules != next.rules {
        return changed;
    }
    let comparison = Comparison { now, next, heirs: heirs(now, next) };
    let mut names: Option<HashMap<&str, usize>> = None;
    for (at, route) in next.routes.iter().enumerate() {
        let is_there = now.routes.get(at).is_some_and(|known| known.name == route.name);
        let earlier = if is_there {
            Some(at)
        } else {
            let known = now.routes.iter().zip(0..).map(|(route, at)| (&*route.name, at));
            names.get_or_insert_with(|| known.collect()).get(&*route.name).copied()
        };
        if let Some(earlier) = earlier.filter(|earlier| comparison.are_alike(*earlier, at)) {
            (changed[0][earlier], changed[1][at]) = (false, false);
        }
    }
    changed
}

struct Comparison<'a> {
    now: &'a Plan,
    next: &'a Plan,
    /// For each upstream of `next`, the one of `now` that routes are described by in the same words.
    heirs: Vec<Option<UpstreamId>>,
}

fn heirs(now: &Plan, next: &Plan) -> Vec<Option<UpstreamId>> {
    let known = now.upstreams.iter().enumerate();
    let known =
        known.map(|(at, known)| ((known.traffic, &*known.name), (UpstreamId::new(at), known)));
    let known: HashMap<_, _> = known.collect();
    let heir = |upstream: &Arc<Upstream>| {
        let (id, known) = known.get(&(upstream.traffic, &*upstream.name))?;
        let said = |upstream: &Upstream| (upstream.timeouts, upstream.retries);
        let is_alike = said(known) == said(upstream) && known.host() == upstream.host();
        is_alike.then_some(*id)
    };
    next.upstreams.iter().map(heir).collect()
}

impl Comparison<'_> {
    /// Whether a route of `now` and one of `next` are described in the same words.
    fn are_alike(&self, now: usize, next: usize) -> bool {
        let known = &self.now.routes[now];
        let Route {
            name,
            counts: _,
            upstreams,
            host_header,
            prefix,
            is_logged,
            split_cookie,
            rules,
        } = &self.next.routes[next];
        let is_heir = |known: UpstreamId, next: UpstreamId| self.heirs[next.index()] == Some(known);
        let goes_alike = |(known, next): (&WeightedUpstream, &WeightedUpstream)| {
            let WeightedUpstream { upstream, weight, timeouts, retries } = *next;
            is_heir(known.upstream, upstream)
                && (known.weight, known.timeouts, known.retries) == (weight, timeouts, retries)
        };
        let mirror = self.next.routes[next].mirror();
        let conditions = |plan: &Plan, at| plan.route_table.of(RouteId::new(at)).conditions.clone();
        known.name == *name
            && known.upstreams.len() == upstreams.len()
            && known.upstreams.iter().zip(upstreams).all(goes_alike)
            && known.host_header == *host_header
            && known.prefix == *prefix
            && known.is_logged == *is_logged
            && known.split_cookie == *split_cookie
            && known.rules == *rules
            && mirror.is_none_or(|mirror| is_heir(mirror, mirror))
            && conditions(self.now, now) == conditions(self.next, next)
    }
}
