//! Describes rules in text, one line each: for `--test`, and for the changes made by a reload.

use std::fmt::Write as _;
use std::sync::Arc;

use ipnet::IpNet;

use super::item::{Item, item};
use crate::http::rules::RouteRules;
use crate::http::rules::access::Access;
use crate::http::rules::head_edits::{FieldChange, FieldEdit, HeadEdits};
use crate::http::rules::outcome::{Redirect, Respond, RouteOutcome};
use crate::http::rules::rate_limit::RateLimiter;
use crate::http::rules::request_limit::RequestLimit;
use crate::plan::{Plan, Route, WeightedUpstream};

/// How much of a value is shown, in characters.
const SHOWN_CHARS_MAX: usize = 120;

/// Describes what the route that `subject` names does with requests that go to no upstream, if it does.
pub(super) fn of_outcome(subject: &str, rules: &RouteRules) -> Option<Item> {
    match &rules.outcome {
        RouteOutcome::Forward => None,
        RouteOutcome::Redirect(redirect) => Some(of_redirect(subject, redirect)),
        RouteOutcome::Respond(respond) => Some(of_answer(subject, respond)),
    }
}

fn of_redirect(subject: &str, redirect: &Redirect) -> Item {
    let redirects = format!("redirects by {}", redirect.status());
    let whole = format!("{redirects} to {}", redirect.to());
    Item { logged: Some(redirects), ..item(subject, whole) }
}

fn of_answer(subject: &str, respond: &Respond) -> Item {
    let (body, mut logged) = (respond.body(), format!("answers {}", of_status(respond)));
    let mut text = logged.clone();
    if body.as_text() != Some(b"") {
        let _ = write!(logged, " with {}", respond.content_type());
        let _ = write!(text, " with {}, {}", respond.content_type(), shown(&body.to_string()));
    }
    for edit in respond.headers().iter() {
        if let FieldChange::Set(value) = edit.change() {
            let _ = write!(logged, ", {}", edit.name());
            let _ = write!(text, ", {}: {}", edit.name(), shown(&value.to_string()));
        }
    }
    Item { logged: Some(logged), ..item(subject, text) }
}

/// The status of an answer, and whether it says nothing.
pub(super) fn of_status(respond: &Respond) -> String {
    let is_silent = respond.body().as_text() == Some(b"");
    format!("{}{}", respond.status(), if is_silent { " without a body" } else { "" })
}

/// What Host says to endpoints, if not what the client said: once, or for each upstream that has something else.
pub(super) fn hosts(route: &Route, plan: &Plan) -> Vec<String> {
    let at = |goes: &WeightedUpstream| route.host_at(Some(plan.upstream(goes.upstream)));
    let Some(first) = route.upstreams.first().map(at) else { return Vec::new() };
    if route.upstreams.iter().all(|goes| at(goes) == first) {
        return first.map(str::to_owned).into_iter().collect();
    }
    let upstreams = route.upstreams.iter();
    let own = |goes| Some(format!("{} at {}", at(goes)?, plan.upstream(goes.upstream).name));
    upstreams.filter_map(own).collect()
}

/// Describes what holds everywhere.
pub(super) fn of_everywhere(plan: &Plan) -> Vec<Item> {
    plan.rules.iter().flat_map(|rules| of_rules(rules, None, "")).collect()
}

/// Describes what holds for a route only.
pub(super) fn of_route(route: &Route, plan: &Plan) -> Vec<Item> {
    let none = RouteRules::default();
    let rules = route.rules.as_deref().unwrap_or(&none);
    of_rules(rules, plan.rules.as_deref(), &format!(" of route {}", route.name))
}

/// Those that do not hold everywhere anyway.
fn of_rules(rules: &RouteRules, base: Option<&RouteRules>, of: &str) -> Vec<Item> {
    let request = of_edits("request", (&rules.request, base.map(|base| &base.request)), of);
    let response = of_edits("response", (&rules.response, base.map(|base| &base.response)), of);
    let is_own = |page| !base.is_some_and(|base| base.error_pages.iter().any(|of| of == page));
    let pages = rules.error_pages.iter().filter(|page| is_own(*page));
    let pages = pages.map(|(status, page)| item(format!("error page {status}{of}"), page));
    let limits = of_limits(rules, base, of);
    request.into_iter().chain(response).chain(limits).chain(pages).collect()
}

/// Describes the limits of a route, of those that do not hold everywhere anyway.
pub(super) fn of_limits(rules: &RouteRules, base: Option<&RouteRules>, of: &str) -> Vec<Item> {
    let of_access = |access: &Access| {
        let listed = |networks: &[IpNet]| {
            networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let (allowed, denied) = access.written();
        let allowed = if allowed.is_empty() { "any".to_owned() } else { listed(allowed) };
        let denied =
            if denied.is_empty() { String::new() } else { format!(", none of {}", listed(denied)) };
        item(format!("clients{of}"), format!("{allowed}{denied}"))
    };
    let of_rate = |limiter: &Arc<RateLimiter>| item(format!("rate limit{of}"), limiter.limit());
    let of_requests =
        |limit: &RequestLimit| item(format!("requests{of}"), format!("{} in flight", limit.max()));
    let own_max = base.is_none_or(|base| base.body_max != rules.body_max);
    let of_bodies = own_max.then(|| {
        rules.body_max.map_or_else(|| "of any size".to_owned(), |max| format!("{max} bytes"))
    });
    let is_said = base.is_some() || rules.body_max.is_some();
    let of_bodies =
        of_bodies.filter(|_| is_said).map(|text| item(format!("request bodies{of}"), text));
    let access = rules.access.iter().map(of_access);
    let limits = rules.rate_limit.iter().map(of_rate);
    let requests = rules.max_requests.iter().map(of_requests);
    access.chain(limits).chain(requests).chain(of_bodies).collect()
}

fn of_edits(head: &str, (edits, base): (&HeadEdits, Option<&HeadEdits>), of: &str) -> Vec<Item> {
    let is_own = |edit| !base.is_some_and(|base| base.iter().any(|known| known == edit));
    let own = edits.iter().filter(|edit| is_own(*edit));
    own.map(|edit| of_edit(format!("{head} header {}{of}", edit.name()), edit)).collect()
}

/// What is done with the headers of one name.
fn of_edit(subject: String, edit: &FieldEdit) -> Item {
    let (logged, text) = match edit.change() {
        FieldChange::Set(value) => ("set", format!("set to {}", shown(&value.to_string()))),
        FieldChange::Add(value) => ("added", format!("added, {}", shown(&value.to_string()))),
        FieldChange::Remove => ("removed", "removed".to_owned()),
    };
    Item { logged: Some(logged.to_owned()), ..item(subject, text) }
}

/// A value in quotes, on one line, as far as it is shown.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
    }
}
