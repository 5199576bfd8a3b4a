//! What rules would do about a request that is asked about, with the values that they would write.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::describe_rules::{of_limits, of_status, shown};
use super::item::Item;
use crate::http::message::authority::host;
use crate::http::message::head::RequestHead;
use crate::http::message::hop::ClientScheme;
use crate::http::rules::RouteRules;
use crate::http::rules::head_edits::{FieldChange, HeadEdits};
use crate::http::rules::mirror::Mirror;
use crate::http::rules::outcome::RouteOutcome;
use crate::http::rules::template::Template;
use crate::http::rules::variable::{Variable, Variables};
use crate::plan::{Plan, Route, WeightedUpstream};

/// What is known of the request. What is not stands for itself.
struct AskedValues<'a> {
    head: &'a RequestHead<'a, 'a>,
    path: &'a [u8],
    client: Option<IpAddr>,
    route: &'a str,
    /// If there is only one.
    upstream: Option<&'a str>,
    /// How it comes.
    scheme: ClientScheme,
}

impl Variables for AskedValues<'_> {
    fn write(&self, variable: Variable, mut part: impl FnMut(&[u8])) {
        let Self { head, path, client, route, upstream, scheme } = self;
        match (variable, client, upstream) {
            (Variable::Client, Some(client), _) => {
                part(client.to_canonical().to_string().as_bytes());
            }
            (Variable::Host, ..) => part(&host(head.authority).to_ascii_lowercase()),
            (Variable::Scheme, ..) => part(scheme.name().as_bytes()),
            (Variable::Method, ..) => part(head.method.as_bytes()),
            (Variable::Target, ..) => part(head.path_and_query().as_bytes()),
            (Variable::Path, ..) => part(path),
            (Variable::Query, ..) => part(head.query().trim_start_matches('?').as_bytes()),
            (Variable::Route, ..) => part(route.as_bytes()),
            (Variable::Upstream, _, Some(upstream)) => part(upstream.as_bytes()),
            (unknown, ..) => part(unknown.to_string().as_bytes()),
        }
    }
}

/// What the rules of a route would do about a request for this normalised path, from this client if that is known.
pub(super) fn of_request(
    (route, plan): (&Route, &Plan),
    (head, scheme): (&RequestHead<'_, '_>, ClientScheme),
    path: &[u8],
    client: Option<IpAddr>,
) -> String {
    let Some(rules) = &route.rules else { return String::new() };
    let upstream = match &route.upstreams[..] {
        [] => Some(""),
        [one] => Some(&*plan.upstream(one.upstream).name),
        _ => None,
    };
    let values = &AskedValues { head, path, client, route: &route.name, upstream, scheme };
    let mut text = held_to(rules, client);
    text.push_str(&of_outcome(rules, values));
    if rules.outcome == RouteOutcome::Forward {
        of_edits("request", &rules.request, values, &mut text);
    }
    of_edits("response", &rules.response, values, &mut text);
    for (status, page) in rules.error_pages.iter() {
        let _ = writeln!(text, "error page {status}: {page}");
    }
    text
}

/// The limits that the request is held to, and whether this client is served at all.
fn held_to(rules: &RouteRules, client: Option<IpAddr>) -> String {
    let mut text = String::new();
    for Item { subject, predicate, .. } in of_limits(rules, None, "") {
        let _ = writeln!(text, "{subject}: {predicate}");
    }
    if let (Some(access), Some(address)) = (&rules.access, client)
        && !access.admits(client)
    {
        let rule = if access.denies(client) { "deny" } else { "allow" };
        let _ = writeln!(text, "client {address}: answered 403, by {rule}");
    }
    text
}

fn of_outcome(rules: &RouteRules, values: &AskedValues<'_>) -> String {
    match &rules.outcome {
        RouteOutcome::Forward => String::new(),
        RouteOutcome::Redirect(redirect) => {
            format!("redirect: {} to {}\n", redirect.status(), made(redirect.to(), values))
        }
        RouteOutcome::Respond(respond) => {
            let mut text = format!("response: {}\n", of_status(respond));
            if respond.body().as_text() != Some(b"") {
                let body = made(respond.body(), values);
                let _ = writeln!(text, "body: {}, {}", respond.content_type(), shown(&body));
            }
            of_edits("response", respond.headers(), values, &mut text);
            text
        }
    }
}

fn of_edits(head: &str, edits: &HeadEdits, values: &AskedValues<'_>, text: &mut String) {
    for edit in edits.iter() {
        let change = match edit.change() {
            FieldChange::Set(value) => format!("set to {}", shown(&made(value, values))),
            FieldChange::Add(value) => format!("added, {}", shown(&made(value, values))),
            FieldChange::Remove => "removed".to_owned(),
        };
        let _ = writeln!(text, "{head} header {}: {change}", edit.name());
    }
}

/// What comes of a text.
fn made(template: &Template, values: &AskedValues<'_>) -> String {
    let mut out = Vec::new();
    match template.append(values, &mut out) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => "too long".to_owned(),
    }
}

/// How a route shares its requests among several upstreams.
pub(super) fn of_split(upstreams: &[WeightedUpstream], plan: &Plan) -> String {
    let [_, _, ..] = upstreams else { return String::new() };
    let all: u32 = upstreams.iter().map(|goes| u32::from(goes.weight)).sum();
    let one = |goes: &WeightedUpstream| {
        format!("{} of {all} requests to {}", goes.weight, plan.upstream(goes.upstream).name)
    };
    let shares: Vec<String> = upstreams.iter().map(one).collect();
    format!("split: {}\n", shares.join(", "))
}

/// Who gets copies of a route's requests.
pub(super) fn of_mirror(route: &Route, plan: &Plan) -> String {
    let mirror = route.rules.as_ref().and_then(|rules| rules.mirror);
    mirror.map_or_else(String::new, |Mirror { upstream, share }| {
        format!("mirror: {share} of its requests are copied to {}\n", plan.upstream(upstream).name)
    })
}
