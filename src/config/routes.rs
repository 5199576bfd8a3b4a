//! Routes, from flags and file.

use serde_saphyr::{Location, Spanned};

use super::entries::{RouteEntry, Said};
use super::file::File;
use super::mistake::{Mistakes, Place};
use super::retries;
use super::sources::Sources;
use super::upstreams::{At, Upstreams};
use super::value;
use crate::id::UpstreamId;
use crate::plan::{Route, WeightedUpstream};
use crate::route::{Pattern, Router};
use crate::upstream::Traffic;
use crate::upstream::retries::Retries;
use crate::upstream::settings::UpstreamTimeouts;

/// The routes collected so far; the three lists have one entry per route.
pub(super) struct Routes {
    pub(super) built: Vec<Route>,
    patterns: Vec<Pattern>,
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
        let (built, patterns, places) = (Vec::new(), Vec::new(), Vec::new());
        let workers = upstreams.workers;
        let mut routes = Self { built, patterns, places, workers, host_header };
        for (nth, text) in sources.flags.route.iter().enumerate() {
            let place = sources.nth_place("route", nth);
            let Some(route) = mistakes.take(&place, value::route(text)) else { continue };
            let name = route.pattern.to_string();
            let within = (&place, &mut *mistakes);
            let upstream = upstreams.add(&name, route.destination, Traffic::Http, within);
            let settings = &upstreams.settings;
            let usual = (settings.timeouts, settings.retrying.retries);
            routes.add(route.pattern, upstream, usual, place);
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
        let whole = file.place(entry.referenced);
        let entry = &entry.value;
        let Some(prefix) = &entry.prefix else {
            return mistakes.add(&whole, "a route needs prefix: /…");
        };
        let place = file.place(prefix.referenced);
        let parsed = pattern(entry.host.as_ref(), prefix);
        let parsed = parsed.map_err(|(at, what)| mistakes.add(&file.place(at), what)).ok();
        let name = parsed.as_ref().map_or_else(String::new, ToString::to_string);
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
        let (Some(pattern), Some(upstream)) = (parsed, upstream) else { return };
        let strips = (entry.strip_prefix == Some(true)).then(|| pattern.segments().map(Box::from));
        if strips == Some(None) {
            let what = format!("strip_prefix requires whole segments, and {pattern} has none");
            mistakes.add(&place, what);
        }
        let strips = strips.flatten();
        let usual = upstreams.get(upstream);
        self.add(pattern, upstream, (usual.timeouts, usual.retries), place);
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
        pattern: Pattern,
        upstream: UpstreamId,
        (timeouts, retries): (UpstreamTimeouts, Retries),
        place: Place,
    ) {
        self.built.push(Route {
            name: pattern.to_string().into(),
            counts: Route::counts(self.workers),
            upstreams: [WeightedUpstream { upstream, weight: 1, timeouts, retries }].into(),
            host_header: self.host_header.clone(),
            strips: None,
        });
        self.patterns.push(pattern);
        self.places.push(place);
    }

    /// Where each is said, and where it leads.
    pub(super) fn leads(&self) -> impl Iterator<Item = (&Place, UpstreamId)> {
        let routes = self.places.iter().zip(&self.built);
        routes.flat_map(|(place, route)| {
            route.upstreams.iter().map(move |goes| (place, goes.upstream))
        })
    }

    /// Builds the router; two routes with the same pattern are a mistake.
    pub(super) fn router(&self, mistakes: &mut Mistakes) -> Router {
        Router::new(&self.patterns).unwrap_or_else(|duplicate| {
            let pattern = &self.patterns[duplicate.second.index()];
            let what = match &self.places[duplicate.first.index()] {
                Place::Flag(_) | Place::Argument(_) => format!("{pattern} is given twice"),
                earlier @ Place::File { .. } => {
                    format!("unreachable: the route at {earlier} already matches {pattern}")
                }
            };
            mistakes.add(&self.places[duplicate.second.index()], what);
            Router::default()
        })
    }
}

/// Parses the pattern of a route; returns the place and text of a mistake.
fn pattern(host: Option<&Said>, prefix: &Said) -> Result<Pattern, (Location, String)> {
    if !prefix.value.starts_with('/') {
        let what = format!("{:?}: a prefix must begin with /", prefix.value);
        return Err((prefix.referenced, what));
    }
    if let Some(host) = host.filter(|host| host.value.is_empty()) {
        let what = "\"\" is no host: write one, or leave the key out to take every host";
        return Err((host.referenced, what.to_owned()));
    }
    if let Some(host) = host.filter(|host| host.value.contains('/')) {
        let what = format!("invalid host {:?}: put the path into prefix", host.value);
        return Err((host.referenced, what));
    }
    let text = format!("{}{}", host.map_or("", |host| &host.value), prefix.value);
    text.parse().map_err(|error| (prefix.referenced, format!("{text:?}: {error}")))
}
