//! Routes, from flags and file.

use serde_saphyr::Spanned;

use super::conditions;
use super::file::File;
use super::mistake::{Mistakes, Place};
use super::retries;
use super::route_entry::RouteEntry;
use super::sources::Sources;
use super::upstreams::{At, Upstreams};
use super::value;
use crate::http::rules::conditions::Overlap;
use crate::http::rules::table::{RouteMatch, RouteTable};
use crate::id::{RouteId, UpstreamId};
use crate::plan::{Route, WeightedUpstream};
use crate::upstream::Traffic;
use crate::upstream::retries::Retries;
use crate::upstream::settings::UpstreamTimeouts;

/// Routes that may be looked at one after the other before that is warned of.
const LIST_MAX: usize = 100;

/// The routes collected so far; the three lists have one entry per route.
pub(super) struct Routes {
    pub(super) built: Vec<Route>,
    matches: Vec<RouteMatch>,
    places: Vec<Place>,
    workers: usize,
    /// The default Host header for endpoints.
    host_header: Option<String>,
}

impl Routes {
    /// Collects the routes of the flags, then those of the file.
    pub(super) fn of<'a>(
        sources: &'a Sources,
        upstreams: &mut Upstreams<'a>,
        mistakes: &mut Mistakes,
    ) -> Self {
        let host = sources.flags.host_header.as_deref().map(value::host_header).transpose();
        let host_header = mistakes.note(&sources.place("host-header"), host, None);
        let (built, matches, places) = (Vec::new(), Vec::new(), Vec::new());
        let workers = upstreams.workers;
        let mut routes = Self { built, matches, places, workers, host_header };
        for (nth, text) in sources.flags.route.iter().enumerate() {
            let place = sources.nth_place("route", nth);
            let Some(route) = mistakes.take(&place, value::route(text)) else { continue };
            let taken = RouteMatch { patterns: vec![route.pattern], conditions: None };
            let name = conditions::name_of(&taken);
            let within = (&place, &mut *mistakes);
            let upstream = upstreams.add(&name, route.destination, Traffic::Http, within);
            let settings = &upstreams.settings;
            let usual = (settings.timeouts, settings.retrying.retries);
            routes.add((name, taken), upstream, usual, place);
        }
        for file in sources.files() {
            for entry in &file.routes {
                routes.add_entry(entry, file, upstreams, mistakes);
            }
        }
        if !sources.any_routes() && (!sources.any_relays() || sources.listens_for_http()) {
            let what = "none is given: write --route PREFIX=ENDPOINT, or try `evener demo`";
            mistakes.add(&sources.place("route"), what);
        }
        routes
    }

    fn add_entry(
        &mut self,
        entry: &Spanned<RouteEntry>,
        file: &File,
        upstreams: &mut Upstreams<'_>,
        mistakes: &mut Mistakes,
    ) {
        let (whole, entry) = (entry.referenced, &entry.value);
        let place = file.place(conditions::place_of(entry, whole));
        let taken = conditions::of(entry, whole, &mut At { file, mistakes });
        let name = taken.as_ref().map_or_else(String::new, conditions::name_of);
        let upstream = match (&entry.upstream, &entry.endpoints) {
            (Some(named), None) => {
                let place = file.place(named.referenced);
                mistakes.take(&place, upstreams.find(&named.value, Traffic::Http))
            }
            (None, Some(listed)) => {
                let at = (&place, &mut At { file, mistakes });
                Some(upstreams.add_listed(&name, listed, at, Traffic::Http))
            }
            _ => {
                mistakes.add(&place, "a route needs either upstream: NAME or endpoints: [ADDRESS]");
                None
            }
        };
        let (Some(taken), Some(upstream)) = (taken, upstream) else { return };
        let pattern = &taken.patterns[0];
        let strips = (entry.strip_prefix == Some(true)).then(|| pattern.segments().map(Box::from));
        if strips == Some(None) {
            let what = format!("strip_prefix requires whole segments, and {pattern} has none");
            mistakes.add(&place, what);
        }
        let strips = strips.flatten();
        let usual = upstreams.get(upstream);
        self.add((name, taken), upstream, (usual.timeouts, usual.retries), place);
        let Some(route) = self.built.last_mut() else { return };
        route.strips = strips;
        let mut at = At { file, mistakes };
        let host = |text: &str| value::host_header(text).map(Some);
        let otherwise = route.host_header.take();
        route.host_header = at.over(entry.host_header.as_ref(), host, otherwise);
        for goes in &mut route.upstreams {
            let UpstreamTimeouts { response, idle, tunnel, .. } = goes.timeouts;
            let duration = value::duration;
            goes.timeouts.response = at.over(entry.response_timeout.as_ref(), duration, response);
            goes.timeouts.idle = at.over(entry.idle_timeout.as_ref(), duration, idle);
            goes.timeouts.tunnel = at.over(entry.tunnel_timeout.as_ref(), duration, tunnel);
            goes.retries = retries::of_route(goes.retries, entry, &mut at);
        }
    }

    fn add(
        &mut self,
        (name, taken): (String, RouteMatch),
        upstream: UpstreamId,
        (timeouts, retries): (UpstreamTimeouts, Retries),
        place: Place,
    ) {
        self.built.push(Route {
            name: name.into(),
            counts: Route::counts(self.workers),
            upstreams: [WeightedUpstream { upstream, weight: 1, timeouts, retries }].into(),
            host_header: self.host_header.clone(),
            strips: None,
        });
        self.matches.push(taken);
        self.places.push(place);
    }

    /// Where each is said, and where it leads.
    pub(super) fn leads(&self) -> impl Iterator<Item = (&Place, UpstreamId)> {
        let routes = self.places.iter().zip(&self.built);
        routes.flat_map(|(place, route)| {
            route.upstreams.iter().map(move |goes| (place, goes.upstream))
        })
    }

    /// Builds the table in which routes are found, and says what of it may not be what was meant. Two that tie are
    /// a mistake.
    pub(super) fn table(&self, mistakes: &mut Mistakes) -> (RouteTable, Vec<String>) {
        let (table, duplicates) = RouteTable::new(self.matches.clone());
        for duplicate in duplicates {
            let name = &self.built[duplicate.second.index()].name;
            let what = match self.place(duplicate.first) {
                Place::Flag(_) | Place::Argument(_) => format!("{name} is given twice"),
                earlier @ Place::File { .. } => {
                    format!("unreachable: the route at {earlier} already matches {name}")
                }
            };
            mistakes.add(self.place(duplicate.second), what);
        }
        let overlaps = table.overlaps();
        let (ties, clients): (Vec<_>, Vec<_>) =
            overlaps.into_iter().partition(|(.., overlap)| *overlap == Overlap::Some);
        for (first, second, _) in once(ties) {
            let what = format!(
                "ties with the route at {}: the same host and path, as many conditions, and some requests \
                 fulfil those of both: add a condition to one of them",
                self.place(first)
            );
            mistakes.add(self.place(second), what);
        }
        let warnings = self.warnings(&table, once(clients));
        (table, warnings)
    }

    fn warnings(&self, table: &RouteTable, clients: Vec<FoundOverlap>) -> Vec<String> {
        let mut warnings = Vec::new();
        let shown = |route: RouteId| {
            format!("route {} at {}", self.built[route.index()].name, self.place(route))
        };
        for (first, second, overlap) in clients {
            let what = if overlap == Overlap::AllClients {
                "overlap: the latter takes nothing where both match, since the former has all of its clients"
            } else {
                "overlap: clients that both name are taken by the former"
            };
            warnings.push(format!("clients of {} and {} {what}", shown(first), shown(second)));
        }
        for route in table.unreached() {
            warnings.push(format!(
                "{} takes nothing: routes without conditions take its path, and all below it",
                shown(route)
            ));
        }
        if let Some((count, route)) = table.longest_list().filter(|(count, _)| *count > LIST_MAX) {
            warnings.push(format!(
                "{count} routes like {} have the same host and path, and no header or parameter tells them apart: \
                 each request looks at one after the other",
                shown(route)
            ));
        }
        warnings
    }

    fn place(&self, route: RouteId) -> &Place {
        &self.places[route.index()]
    }
}

/// The earlier and the later route, and what requests fulfil both.
type FoundOverlap = (RouteId, RouteId, Overlap);

/// The first with each later route: what is changed about that may end the others too.
fn once(mut overlaps: Vec<FoundOverlap>) -> Vec<FoundOverlap> {
    overlaps.dedup_by_key(|(_, second, _)| *second);
    overlaps
}
