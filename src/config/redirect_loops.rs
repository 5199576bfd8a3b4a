//! Routes whose redirects come back to them without end. Only what is certain is told: clients are sent to the
//! host that they asked for, by a scheme and to a port that this balancer listens for.

use std::net::IpAddr;

use ipnet::IpNet;

use super::listeners::SaidListener;
use super::mistake::Mistakes;
use super::routes::Routes;
use crate::address::Address;
use crate::http::h1::parse;
use crate::http::h1::scan::Limits;
use crate::http::message::authority::host;
use crate::http::message::head::{RequestHead, Storage};
use crate::http::message::hop::ClientScheme;
use crate::http::rules::head_edits::FieldChange;
use crate::http::rules::outcome::RouteOutcome;
use crate::http::rules::table::RouteTable;
use crate::http::rules::variable::{Variable, Variables};
use crate::id::RouteId;
use crate::plan::listener::{Service, Transport};
use crate::route::{Pattern, normalise};

/// How often a redirect is followed before it is taken to have no end. Browsers give up about then, too.
const HOPS_MAX: usize = 20;

/// A host of its own, for routes that take any.
const ANY_HOST: &str = "host.invalid";

/// A segment that no other route is likely to name.
const BELOW: &str = "evener-sample";

/// The variables whose values are known of a request that has not been made.
const KNOWN: [Variable; 6] = [
    Variable::Scheme,
    Variable::Host,
    Variable::Method,
    Variable::Target,
    Variable::Path,
    Variable::Query,
];

/// A request on its way from redirect to redirect, with nothing else in its head.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hop {
    scheme: ClientScheme,
    host: String,
    target: String,
    client: Option<IpAddr>,
}

/// What such a request says.
struct HopValues<'a> {
    scheme: ClientScheme,
    head: &'a RequestHead<'a, 'a>,
    path: &'a [u8],
}

impl Variables for HopValues<'_> {
    fn write(&self, variable: Variable, mut part: impl FnMut(&[u8])) {
        let query = self.head.query();
        match variable {
            Variable::Scheme => part(self.scheme.name().as_bytes()),
            Variable::Host => part(host(self.head.authority)),
            Variable::Method => part(self.head.method.as_bytes()),
            Variable::Target => part(self.head.path_and_query().as_bytes()),
            Variable::Path => part(self.path),
            Variable::Query => part(query.strip_prefix('?').unwrap_or(query).as_bytes()),
            _ => {}
        }
    }
}

/// The table in which routes are found, and what of it and of redirects may not be what was meant.
pub(super) fn table(
    routes: &mut Routes,
    reached: (&[SaidListener], bool),
    mistakes: &mut Mistakes,
) -> (RouteTable, Vec<String>) {
    let (table, mut warnings) = routes.table(mistakes);
    warnings.extend(RedirectLoops::of(routes, &table, reached).warnings());
    (table, warnings)
}

/// What redirects lead to.
struct RedirectLoops<'a> {
    routes: &'a Routes,
    table: &'a RouteTable,
    /// Where clients may come to.
    ports: Vec<(ClientScheme, u16)>,
    /// Whether whoever comes by plain HTTP is sent to https before anything else.
    to_https: bool,
}

impl<'a> RedirectLoops<'a> {
    fn of(
        routes: &'a Routes,
        table: &'a RouteTable,
        (listeners, to_https): (&[SaidListener], bool),
    ) -> Self {
        let port = |SaidListener { listener, .. }: &SaidListener| {
            let Address::Tcp(address) = &listener.address else { return None };
            let scheme = match listener.kind.transport {
                Transport::Plain => ClientScheme::Http,
                Transport::Tls => ClientScheme::Https,
            };
            matches!(listener.kind.service, Service::Http).then_some((scheme, address.port()))
        };
        Self { routes, table, ports: listeners.iter().filter_map(port).collect(), to_https }
    }

    /// A warning for each route whose redirects do not end.
    fn warnings(&self) -> Vec<String> {
        let ids = (0..self.routes.built.len()).map(RouteId::new);
        ids.filter_map(|route| self.samples(route).find_map(|asked| self.endless(route, &asked)))
            .collect()
    }

    /// Requests that a route may take, if it takes those without further headers and parameters.
    fn samples(&self, route: RouteId) -> impl Iterator<Item = Hop> {
        let taken = self.table.of(route);
        let redirects = matches!(self.outcome(route), Some(RouteOutcome::Redirect(_)));
        let conditions = taken.conditions.as_deref();
        let is_plain = conditions.is_none_or(|conditions| conditions.named().is_empty());
        let network = conditions.and_then(|conditions| conditions.clients().first());
        let client = network.map(IpNet::addr);
        let patterns = taken.patterns.iter().filter(move |_| redirects && is_plain);
        let schemes = [ClientScheme::Http, ClientScheme::Https];
        let comes = move |scheme: &ClientScheme| {
            let is_sent_away = self.to_https && *scheme == ClientScheme::Http;
            !is_sent_away && self.ports.iter().any(|(known, _)| known == scheme)
        };
        let schemes = schemes.into_iter().filter(comes);
        schemes.flat_map(move |scheme| {
            patterns.clone().flat_map(move |pattern| {
                let host = host_of(pattern);
                targets(pattern).map(move |target| Hop {
                    scheme,
                    host: host.clone(),
                    target,
                    client,
                })
            })
        })
    }

    fn outcome(&self, route: RouteId) -> Option<&RouteOutcome> {
        self.routes.built[route.index()].rules.as_ref().map(|rules| &rules.outcome)
    }

    /// What is said of a route that takes this request, if it is redirected without end, to that route again.
    fn endless(&self, route: RouteId, first: &Hop) -> Option<String> {
        let mut asked = first.clone();
        let (mut locations, mut comes_back) = (Vec::new(), false);
        for hop in 0..HOPS_MAX {
            let (taker, location) = self.redirected(&asked)?;
            if hop == 0 && taker != route {
                return None;
            }
            comes_back |= hop > 0 && taker == route;
            asked = self.followed(&asked, &location)?;
            locations.push(location);
        }
        let [one, two, ..] = &locations[..] else { return None };
        let then = if one == two { "again".to_owned() } else { format!("to {two}") };
        let host = if first.host == ANY_HOST { "" } else { &*first.host };
        comes_back.then(|| {
            let shown = self.routes.shown(route);
            format!(
                "{shown} redirects without end: {host}{} leads to {one}, then {then}, and so on",
                first.target
            )
        })
    }

    /// The route that takes a request, and where it sends its client.
    fn redirected(&self, asked: &Hop) -> Option<(RouteId, String)> {
        let Hop { scheme, host, target, client } = asked;
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        let limits = Limits { head_bytes_max: bytes.len(), fields_max: 1 };
        let mut storage = Storage::new();
        let head = parse::request(&bytes, &limits, &mut storage).ok()?;
        let path = normalise(head.path().as_bytes()).ok()?;
        let route = self.table.find(&head, &path, *client).route()?;
        let rules = self.routes.built[route.index()].rules.as_ref()?;
        let RouteOutcome::Redirect(redirect) = &rules.outcome else { return None };
        // A client that is given a cookie may be taken by another route then.
        let gives_cookie = rules.response.iter().any(|edit| {
            edit.name().eq_ignore_ascii_case("set-cookie")
                && !matches!(edit.change(), FieldChange::Remove)
        });
        if gives_cookie || redirect.to().variables().any(|variable| !KNOWN.contains(&variable)) {
            return None;
        }
        let mut location = Vec::new();
        let values = HopValues { scheme: *scheme, head: &head, path: &path };
        redirect.append_location(&values, &mut location).ok()?;
        Some((route, String::from_utf8(location).ok()?))
    }

    /// What a client asks for that is sent there, if it is sure to come back here.
    fn followed(&self, asked: &Hop, location: &str) -> Option<Hop> {
        let location = location.split('#').next()?;
        if location.starts_with('/') {
            return Some(Hop { target: location.to_owned(), ..asked.clone() });
        }
        let (scheme, rest) = location.split_once("://")?;
        let (scheme, usual) = match scheme {
            "http" => (ClientScheme::Http, 80),
            "https" => (ClientScheme::Https, 443),
            _ => return None,
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, usual),
        };
        let comes_here =
            host.eq_ignore_ascii_case(&asked.host) && self.ports.contains(&(scheme, port));
        let scheme = if self.to_https { ClientScheme::Https } else { scheme };
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        comes_here.then(|| Hop { scheme, target, ..asked.clone() })
    }
}

/// A host that a pattern takes.
fn host_of(pattern: &Pattern) -> String {
    match pattern.host() {
        None => ANY_HOST.to_owned(),
        Some(host) => host.replacen('*', "a", 1),
    }
}

/// Targets that a pattern may take.
fn targets(pattern: &Pattern) -> impl Iterator<Item = String> {
    let path = pattern.path();
    let below = format!("{}/{BELOW}", path.trim_end_matches('/'));
    std::iter::once(path.to_owned()).chain((!pattern.is_exact()).then_some(below))
}
