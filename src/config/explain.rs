//! `evener explain`: describes how a request would be handled.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::describe::{Item, of_sources, of_upstream};
use super::{Config, ListenerConfig, describe_rules, explain_pick, explain_route, explain_rules};
use crate::http::h1::framing;
use crate::http::h1::parse;
use crate::http::h1::scan::{Limits, Scan};
use crate::http::message::authority::host as host_of;
use crate::http::message::head::{RequestHead, Storage};
use crate::http::message::hop::ClientScheme;
use crate::http::message::redirect;
use crate::http::rules::conditions::Subject;
use crate::http::rules::table::FoundRoute;
use crate::id::UpstreamId;
use crate::plan::listener::Service;
use crate::plan::sni::SniTable;
use crate::plan::{PrefixChange, WeightedUpstream};
use crate::reject::Reject;
use crate::route::normalise;
use crate::tls_hello::ServerName;
use crate::upstream::Upstream;

/// How a request would be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The explanation, in lines.
    pub text: String,
    /// Whether a route matches.
    pub is_routed: bool,
}

/// The request that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct AskedRequest<'a> {
    /// Its method.
    pub method: &'a str,
    /// What Host says.
    pub host: &'a str,
    /// How it comes.
    pub scheme: ClientScheme,
    /// Path and query.
    pub target: &'a str,
    /// Its other headers, each as `Name: value`.
    pub headers: &'a [String],
    /// The address of the client, the real one, if that is known.
    pub client: Option<IpAddr>,
}

impl<'a> AskedRequest<'a> {
    /// GET for `target` on `host`, without anything else.
    pub const fn to(host: &'a str, target: &'a str) -> Self {
        let scheme = ClientScheme::Http;
        Self { method: "GET", host, scheme, target, headers: &[], client: None }
    }
}

/// What a request is asked about by: a path, a host and a path, or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedUrl {
    /// How it comes, if that is said.
    pub scheme: Option<ClientScheme>,
    /// Its host, if that is said.
    pub host: Option<String>,
    /// Its path and query.
    pub target: String,
}

impl AskedUrl {
    /// Reads it, and puts these queries behind its own.
    pub fn read(text: &str, queries: &[String]) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(ClientScheme::Http), rest),
            Some(("https", rest)) => (Some(ClientScheme::Https), rest),
            Some((scheme, _)) if is_scheme(scheme) => {
                return Err(format!("{text:?}: expected http:// or https://, or a path"));
            }
            _ => (None, text),
        };
        let is_path = scheme.is_none() && (text.starts_with('/') || text == "*");
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = if is_path { ("", text) } else { rest.split_at(end) };
        // A name alone may be meant as either.
        let is_name = scheme.is_none() && !target.starts_with('/');
        if (host.is_empty() || is_name) && !is_path {
            return Err(format!("{text:?}: expected PATH, HOST/PATH or a URL"));
        }
        let slash = if target.starts_with(['/', '*']) { "" } else { "/" };
        let mut target = format!("{slash}{target}");
        for query in queries {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(query.trim_start_matches('?'));
        }
        let host = Some(host.to_owned()).filter(|host| !host.is_empty());
        Ok(Self { scheme, host, target })
    }
}

/// Whether that may be the scheme of a URL (RFC 3986 §3.1).
fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Explains which route, upstream and rules a request would take. Fails if it would be refused.
pub fn explain(config: &Config, asked: AskedRequest<'_>) -> Result<Explanation, String> {
    let AskedRequest { method, host, scheme, target, headers, client } = asked;
    if host.chars().any(char::is_control) {
        return Err(format!("{target:?} of {host:?} would be answered 400: control characters"));
    }
    let headers = headers.iter().fold(String::new(), |lines, line| lines + line + "\r\n");
    let bytes = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").into_bytes();
    let mut storage = Storage::new();
    let head = read(&bytes, &config.plan.limits, &mut storage).map_err(|reject| {
        format!("{target:?} of {host:?} would be answered {}: {}", reject.status(), reject.phrase())
    })?;
    let (authority, query) = (String::from_utf8_lossy(head.authority), head.query());
    let target = head.path_and_query();
    let path = normalise(head.path().as_bytes()).map_err(|_| {
        let reject = Reject::PathAboveRoot;
        format!("{target:?} would be answered {}: {}", reject.status(), reject.phrase())
    })?;
    let shown = String::from_utf8_lossy(&path).into_owned();
    let mut text = format!("request: {method} {authority} {target}\n");
    if shown != target {
        let _ = writeln!(text, "path: {shown}, normalised and without its query");
    }
    if let Some(tls) = &config.plan.tls {
        let name = String::from_utf8_lossy(host_of(head.authority)).to_ascii_lowercase();
        let files = tls.certificates.candidates(Some(&name));
        let files: Vec<String> = files.map(|shown| shown.cert.display().to_string()).collect();
        let _ = writeln!(text, "certificate: on a TLS listener {}", files.join(" or "));
    }
    let port = config.plan.redirect_https.filter(|_| scheme == ClientScheme::Http);
    if let Some(Ok(location)) = port.and_then(|port| redirect::of(&head, &path, false, port)) {
        let _ = writeln!(text, "redirect: on a plain listener to {location}");
    }
    let host = &*authority;
    let plan = &config.plan;
    let subject = Subject { head: &head, client };
    let (of_route, found) = explain_route::of_request(plan, &subject, &path);
    text.push_str(&of_route);
    let FoundRoute::Route(found) = found else {
        text.push_str(&of_server_name(host, config));
        return Ok(Explanation { text, is_routed: false });
    };
    let route = plan.route(found);
    if let Some(change) = &route.prefix {
        let changed = change.path(head.path().as_bytes(), &path).unwrap_or([&path, b""]).concat();
        let PrefixChange { from, to } = change;
        let why = match (&**from, &**to) {
            (from, "") => format!("without {from}"),
            ("", to) => format!("after {to}"),
            (from, to) => format!("with {to} instead of {from}"),
        };
        let _ = writeln!(text, "target: {}{query}, {why}", String::from_utf8_lossy(&changed));
    }
    for host in describe_rules::hosts(route, plan) {
        let _ = writeln!(text, "Host: {host}, instead of the client's");
    }
    if let Some(via) = &plan.via {
        let _ = writeln!(text, "Via: 1.1 {} is added", via.name());
    }
    let of_rules = explain_rules::of_request((route, plan), (&head, scheme), &path, client);
    text.push_str(&config.hide(of_rules));
    text.push_str(&explain_rules::of_split(&route.upstreams, plan));
    text.push_str(&explain_rules::of_mirror(route, plan));
    for goes in &route.upstreams {
        text.push_str(&of_destination(goes, config));
        let upstream = plan.upstream(goes.upstream);
        text.push_str(&explain_pick::of_request(upstream, &head, &path, client));
    }
    text.push_str(&of_server_name(host, config));
    Ok(Explanation { text, is_routed: true })
}

/// What is known of the upstream that a request goes to.
fn of_destination(goes: &WeightedUpstream, config: &Config) -> String {
    let (plan, mut text) = (&config.plan, String::new());
    let upstream = plan.upstream(goes.upstream);
    let of_route = Upstream { timeouts: goes.timeouts, ..Upstream::clone(upstream) };
    let looked_up = config.discovery.upstreams.iter().filter(|known| known.id == goes.upstream);
    let sources = looked_up.flat_map(|known| of_sources(known, plan));
    for Item { subject, predicate, .. } in of_upstream(&of_route).chain(sources) {
        let _ = writeln!(text, "{subject}: {predicate}");
    }
    if upstream.endpoints.is_empty() {
        text.push_str("endpoints: none has been found, the response is 503\n");
    }
    text
}

/// Where TLS connections that ask for this host go at listeners that do not terminate TLS.
fn of_server_name(authority: &str, config: &Config) -> String {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let name = ServerName::read(host.as_bytes()).ok();
    let mut text = String::new();
    for ListenerConfig { address, kind } in &config.listeners {
        let Service::Sni { table } = kind.service else { continue };
        let SniTable { names, fallback } = config.plan.sni_table(table);
        let named = |upstream: UpstreamId| &config.plan.upstream(upstream).name;
        let found = name.as_ref().and_then(|name| names.find(name));
        let outcome = match (found, *fallback) {
            (Some((pattern, upstream)), _) => format!("to {}, by {pattern}", named(*upstream)),
            (None, Some(upstream)) => format!("to {}, since no name matches", named(upstream)),
            (None, None) => "closed, since no name matches".to_owned(),
        };
        let _ = writeln!(text, "server name {host} at {address}: {outcome}");
    }
    text
}

/// Parses a head like a session.
fn read<'h, 'b>(
    bytes: &'b [u8],
    limits: &Limits,
    storage: &'h mut Storage<'b>,
) -> Result<RequestHead<'h, 'b>, Reject> {
    let length = Scan::request().advance(bytes, limits)?;
    // Nothing may follow the end of the head.
    if length != Some(bytes.len()) {
        return Err(Reject::RequestLine);
    }
    let head = parse::request(bytes, limits, storage)?;
    framing::request(&head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, queries: &[&str]) -> Result<(String, String), String> {
        let queries: Vec<String> = queries.iter().map(ToString::to_string).collect();
        let AskedUrl { scheme, host, target } = AskedUrl::read(text, &queries)?;
        let scheme = scheme.map_or("", ClientScheme::name);
        Ok((format!("{scheme} {}", host.unwrap_or_default()), target))
    }

    #[test]
    fn a_request_is_asked_about_by_its_path_its_host_or_its_url() {
        for (text, queries, from, target) in [
            ("/a?b", &[][..], " ", "/a?b"),
            ("/a//b://c", &[], " ", "/a//b://c"),
            ("a.example:80/b", &["c=d", "?e"], " a.example:80", "/b?c=d&e"),
            ("a.example/?b", &["c"], " a.example", "/?b&c"),
            ("https://a.example", &[], "https a.example", "/"),
            ("http://[::1]:8080/a", &[], "http [::1]:8080", "/a"),
        ] {
            assert_eq!(read(text, queries), Ok((from.to_owned(), target.to_owned())), "{text}");
        }
        assert!(read("ftp://a/", &[]).is_err() && read("https:///a", &[]).is_err());
        assert!(["", "?a", "a", "a.example?b"].iter().all(|text| read(text, &[]).is_err()));
    }
}
