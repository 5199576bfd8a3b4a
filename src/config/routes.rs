//! Routes, from flags and file.

use super::spanned::Spanned;

use super::access_log;
use super::conditions;
use super::file::File;
use super::mirror;
use super::mistake::{Mistakes, Place};
use super::outcome::{self, RouteTarget};
use super::prefix_change;
use super::retries;
use super::route_entry::RouteEntry;
use super::rules::{RuleSources, host_naming};
use super::sources::Sources;
use super::upstreams::{At, Upstreams};
use super::value;
use crate::http::rules::conditions::Overlap;
use crate::http::rules::table::{RouteMatch, RouteTable};
use crate::id::{RouteId, UpstreamId};
use crate::plan::{Route, WeightedUpstream};
use crate::upstream::Traffic;

/// Routes that may be looked at one after the other before that is warned of.
const LIST_MAX: usize = 100;

/// The routes collected so far; the three lists have one entry per route, until the table is built from one of them.
pub(super) struct Routes {
    pub(super) built: Vec<Route>,
    matches: Vec<RouteMatch>,
    places: Vec<Place>,
    workers: usize,
    /// The rules that hold everywhere.
    pub(super) rules: RuleSources,
}

impl Routes {
    /// Collects the routes of the flags, then those of the file.
    pub(super) fn of<'a>(
        sources: &'a Sources,
        upstreams: &mut Upstreams<'a>,
        mistakes: &mut Mistakes,
    ) -> Self {
        let written = sources.files().map(|file| file.routes.len()).sum::<usize>();
        let count = sources.flags.route.len() + written;
        let (built, places) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let matches = Vec::with_capacity(count);
        let workers = upstreams.workers;
        let rules = RuleSources::of(sources, mistakes);
        let mut routes = Self { built, matches, places, workers, rules };
        for (nth, text) in sources.flags.route.iter().enumerate() {
            let place = sources.nth_place("route", nth);
            let Some(route) = mistakes.take(&place, value::route(text)) else { continue };
            let taken = RouteMatch { patterns: vec![route.pattern], conditions: None };
            let name = conditions::name_of(&taken);
            let within = (&place, &mut *mistakes);
            let upstream = upstreams.add(&name, route.destination, Traffic::Http, within);
            let settings = &upstreams.settings;
            let (timeouts, retries) = (settings.timeouts, settings.retrying.retries);
            let goes = WeightedUpstream { upstream, weight: 1, timeouts, retries };
            routes.add((name, taken), vec![goes], place);
        }
        for file in sources.files() {
            for entry in &file.routes {
                routes.add_entry(entry, file, upstreams, mistakes);
            }
        }
        if !sources.any_routes() && (!sources.any_relays() || sources.listens_for_http()) {
            none(sources, mistakes);
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
        let hosts = host_naming(taken.as_ref().map_or(&[], |taken| &taken.patterns));
        let mut at = At { file, mistakes };
        let target = outcome::of_route(entry, (&name, &place), hosts, upstreams, &mut at);
        let outcome = target.as_ref().map(|target| target.outcome.clone()).unwrap_or_default();
        let shares = target.as_ref().map_or(&[][..], |target| &target.shares);
        let mirror = mirror::read(entry, shares, upstreams, &mut at);
        let rules = self.rules.of_route(entry, (outcome, mirror), hosts, &mut at);
        let Some(taken) = taken else { return };
        let prefix = prefix_change::read(entry, &taken.patterns[0], (&place, &mut at));
        let Some(RouteTarget { shares, split_cookie, .. }) = target else { return };
        let goes = goes(entry, &shares, upstreams, &mut at);
        let host = |text: &str| value::host_header(text).map(Some);
        let host_header = at.over(entry.host_header.as_deref(), host, None);
        let is_logged = access_log::is_logged(entry, &mut at);
        let route = self.add((name, taken), goes, place);
        route.host_header = host_header;
        route.prefix = prefix;
        route.split_cookie = split_cookie;
        route.rules = rules;
        route.is_logged = is_logged;
    }

    fn add(
        &mut self,
        (name, taken): (String, RouteMatch),
        goes: Vec<WeightedUpstream>,
        place: Place,
    ) -> &mut Route {
        let at = self.built.len();
        self.built.push(Route {
            name: name.into(),
            counts: Route::counts(self.workers),
            upstreams: goes.into(),
            host_header: None,
            is_logged: true,
            prefix: None,
            split_cookie: None,
            rules: self.rules.everywhere.clone(),
        });
        self.matches.push(taken);
        self.places.push(place);
        &mut self.built[at]
    }

    /// Where each is said, and where it leads.
    pub(super) fn leads(&self) -> impl Iterator<Item = (&Place, UpstreamId)> {
        let routes = self.places.iter().zip(&self.built);
        routes.flat_map(|(place, route)| {
            let goes = route.upstreams.iter().map(|goes| goes.upstream);
            goes.chain(route.mirror()).map(move |upstream| (place, upstream))
        })
    }

    /// Builds the table in which routes are found, and says what of it may not be what was meant. Two that tie are
    /// a mistake.
    pub(super) fn table(&mut self, mistakes: &mut Mistakes) -> (RouteTable, Vec<String>) {
        let (table, duplicates) = RouteTable::new(std::mem::take(&mut self.matches));
        for duplicate in duplicates {
            let name = &self.built[duplicate.second.index()].name;
            let what = match self.place(duplicate.first) {
                Place::Flag(_) | Place::Argument(_) => format!("{name} is given twice"),
                earlier @ (Place::File { .. } | Place::Item { .. }) => {
                    format!("unreachable: the route at {earlier} already matches {name}")
                }
            };
            mistakes.follow(self.place(duplicate.second), what);
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
            mistakes.follow(self.place(second), what);
        }
        let warnings = self.warnings(&table, once(clients));
        (table, warnings)
    }

    fn warnings(&self, table: &RouteTable, clients: Vec<FoundOverlap>) -> Vec<String> {
        let mut warnings = Vec::new();
        let shown = |route: RouteId| self.shown(route);
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

    /// A route in a warning.
    pub(super) fn shown(&self, route: RouteId) -> String {
        format!("route {} at {}", self.built[route.index()].name, self.place(route))
    }

    fn place(&self, route: RouteId) -> &Place {
        &self.places[route.index()]
    }
}

/// Notes that there are no routes: in the file, if there is one.
fn none(sources: &Sources, mistakes: &mut Mistakes) {
    if let Some(file) = sources.file.as_ref().filter(|file| !file.is_code()) {
        let what = "there are no routes: write where requests go, as in routes: [{prefix: /, endpoints: \
                    [127.0.0.1:3000]}]";
        mistakes.follow(&file.place_of_routes(), what);
    } else {
        let what = "none is given: write where requests go, as in --route /=127.0.0.1:3000, or name a file with \
                    -c conf.yaml, or try `evener demo`";
        mistakes.follow(&sources.place("route"), what);
    }
}

/// The earlier and the later route, and what requests fulfil both.
type FoundOverlap = (RouteId, RouteId, Overlap);

/// The first with each later route: what is changed about that may end the others too.
fn once(mut overlaps: Vec<FoundOverlap>) -> Vec<FoundOverlap> {
    overlaps.dedup_by_key(|(_, second, _)| *second);
    overlaps
}

/// Where requests go with these shares, and what holds there.
fn goes(
    entry: &RouteEntry,
    shares: &[(UpstreamId, u16)],
    upstreams: &Upstreams<'_>,
    at: &mut At<'_>,
) -> Vec<WeightedUpstream> {
    let mut goes = Vec::with_capacity(shares.len());
    for (upstream, weight) in shares {
        let usual = upstreams.get(*upstream);
        // What is wrong with an entry is told once.
        let mut unheard = Mistakes::default();
        let told = if goes.is_empty() { &mut *at.mistakes } else { &mut unheard };
        let mut at = At { file: at.file, mistakes: told };
        let mut timeouts = usual.timeouts;
        for (said, own) in [
            (&entry.response_timeout, &mut timeouts.response),
            (&entry.idle_timeout, &mut timeouts.idle),
            (&entry.tunnel_timeout, &mut timeouts.tunnel),
        ] {
            *own = at.over(said.as_deref(), value::duration, *own);
        }
        let retries = retries::of_route(usual.retries, entry, &mut at);
        goes.push(WeightedUpstream { upstream: *upstream, weight: *weight, timeouts, retries });
    }
    goes
}
