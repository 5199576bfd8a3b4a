//! Describes why a request takes its route, and why others do not take it.

use std::fmt::Write as _;

use crate::http::rules::conditions::Subject;
use crate::http::rules::table::{FoundRoute, RouteMatch, RouteTable};
use crate::id::RouteId;
use crate::plan::Plan;
use crate::route::{Pattern, Router};

/// Of the routes whose conditions fail, so many are shown, the nearest ones.
const SHOWN_MAX: usize = 8;

/// Which route a request of this normalised path takes, and why, in lines.
pub(super) fn of_request(
    plan: &Plan,
    subject: &Subject<'_, '_, '_>,
    path: &[u8],
) -> (String, FoundRoute) {
    let Subject { head, client } = *subject;
    let table = &plan.route_table;
    let found = table.find(head, path, client);
    let matching = table.candidates(head.authority, path);
    let takes = |route: &RouteId| {
        table.of(*route).conditions.as_ref().is_none_or(|conditions| conditions.hold(subject))
    };
    let (fitting, failing): (Vec<RouteId>, Vec<RouteId>) =
        matching.iter().partition(|id| takes(id));
    let mut text = String::new();
    match &found {
        FoundRoute::Route(route) => {
            let others = fitting.iter().filter(|other| *other != route);
            let others: Vec<&str> = others.map(|other| &*plan.route(*other).name).collect();
            let is_first = matching.first() == Some(route);
            let why = why(table.of(*route), (head.authority, path), &others, is_first);
            let _ = writeln!(text, "route {}: {why}", plan.route(*route).name);
            text.push_str(&of_conditions(table, *route, subject));
        }
        FoundRoute::MethodNotAllowed(methods) => {
            let _ = writeln!(
                text,
                "route: none takes {}, the response is 405 with Allow: {methods}",
                head.method
            );
        }
        FoundRoute::Nothing => text.push_str("route: none matches, the response is 404\n"),
    }
    for route in failing.iter().take(SHOWN_MAX) {
        let conditions = table.of(*route).conditions.iter().flat_map(|all| all.each(subject));
        let failed: Vec<String> =
            conditions.filter(|(_, holds)| !holds).map(|(condition, _)| condition).collect();
        let name = &plan.route(*route).name;
        let _ = writeln!(text, "not route {name}: {}", in_words(&failed, "fails", "fail"));
    }
    if failing.len() > SHOWN_MAX {
        let _ = writeln!(
            text,
            "not {} more routes, whose conditions fail too",
            failing.len() - SHOWN_MAX
        );
    }
    (text, found)
}

/// The conditions of a route that takes the request.
fn of_conditions(table: &RouteTable, route: RouteId, subject: &Subject<'_, '_, '_>) -> String {
    let Some(conditions) = &table.of(route).conditions else { return String::new() };
    let all: Vec<String> =
        conditions.each(subject).into_iter().map(|(condition, _)| condition).collect();
    format!("conditions: {}\n", in_words(&all, "holds", "hold"))
}

fn in_words(all: &[String], one: &str, several: &str) -> String {
    format!("{} {}", all.join(", "), if all.len() == 1 { one } else { several })
}

fn why(
    taken: &RouteMatch,
    (host, path): (&[u8], &[u8]),
    others: &[&str],
    is_first: bool,
) -> String {
    let matches = |pattern: &&Pattern| {
        let alone = Router::new(&[Pattern::clone(pattern)]);
        alone.is_ok_and(|router| router.find(host, path, |_| None).is_some())
    };
    let mut matching = taken.patterns.iter().filter(matches);
    let Some(first) = matching.next() else { return String::new() };
    // An exact host is what counts if it has a wildcard for the same, too.
    let is_exact = |pattern: &&Pattern| pattern.host().is_some_and(|host| !host.starts_with('*'));
    let pattern = matching.find(is_exact).filter(|_| !is_exact(&first)).unwrap_or(first);
    let kind = if pattern.is_exact() { "path" } else { "prefix" };
    let of_host = match pattern.host() {
        Some(wildcard) if wildcard.starts_with('*') => format!(" of {wildcard}"),
        Some(_) => " of this host".to_owned(),
        None => String::new(),
    };
    let fits = if taken.conditions.is_some() { ", and all conditions hold" } else { "" };
    let mut why = match (others, pattern.host(), is_first) {
        ([], Some(_), true) => format!("the only one that matches, by host and {kind}{fits}"),
        ([], None, true) => format!("the only one whose {kind} matches{fits}"),
        (_, _, false) => {
            format!("the most specific one whose conditions hold, by its {kind}{of_host}")
        }
        _ if pattern.is_exact() => format!("the exact path{of_host}{fits}"),
        _ => format!("the longest prefix{of_host}{fits}"),
    };
    if !others.is_empty() {
        let _ = write!(why, "; other matches: {}", others.join(", "));
    }
    why
}
