//! What is in force: routes, upstreams, timeouts and limits, and one worker's share of them.

pub mod context;
pub mod find;
pub mod handle;
pub mod listener;
mod share;
pub mod shelves;
pub mod sni;
mod steps;
pub mod trusted;

use std::sync::Arc;
use std::time::Duration;

use crate::access_log::{LineLayout, SampleRate};
use crate::http::h1::scan::Limits;
use crate::http::message::via::Via;
use crate::http::rules::RouteRules;
use crate::http::rules::table::RouteTable;
use crate::id::{RouteId, SniTableId, UpstreamId};
use crate::log::access_logger::LogNames;
use crate::metrics::RouteMetrics;
use crate::net::tls::server::ServerTls;
use crate::route;
use crate::upstream::Upstream;
use crate::upstream::custom_policy::SharedPolicy;
use crate::upstream::endpoint_set::EndpointSet;
use crate::upstream::retries::Retries;
use crate::upstream::settings::UpstreamTimeouts;
use crate::upstream::split_cookie::SplitCookie;
use sni::SniTable;
use trusted::Trusted;

/// How long each wait for a client may last. None is infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For a client's TLS handshake, from its acceptance to its end.
    pub handshake: Duration,
    /// For a client's head, from its first byte to its last.
    pub header: Duration,
    /// For a client's next request.
    pub keepalive: Duration,
    /// For a client to take what we answer ourselves, between two bytes.
    pub idle: Duration,
    /// For something to pass on to a client that has ended its direction; zero: none is waited for.
    pub half_close: Duration,
}

/// What is done about the traces that requests belong to (W3C Trace Context).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// How far we take part.
    pub role: TraceRole,
    /// The share of traces that begin here which is sampled.
    pub sample: SampleRate,
}

/// How far we take part in traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceRole {
    /// They are read, for the access log.
    Reads,
    /// Requests without one begin one.
    Begins,
    /// The same, and spans are sent of those that are sampled.
    Records,
}

impl Tracing {
    /// Whether requests without a trace begin one.
    pub fn begins(self) -> bool {
        self.role != TraceRole::Reads
    }

    /// Whether spans are sent.
    pub fn records(self) -> bool {
        self.role == TraceRole::Records
    }
}

/// HTTP/2 of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// Streams of a connection at a time; at least 1 (`SETTINGS_MAX_CONCURRENT_STREAMS`, RFC 9113 §6.5.2).
    pub streams_max: u32,
}

/// Where requests go that match a pattern, and what is changed about them.
#[derive(Clone, Debug)]
pub struct Route {
    /// The pattern, in its canonical form.
    pub name: Box<str>,
    /// What each worker has counted; outlives the plan, as long as a later one has the route too.
    pub counts: Arc<[RouteMetrics]>,
    /// Where its requests go: to one of these, by weight; none, if they are answered here.
    pub upstreams: Box<[WeightedUpstream]>,
    /// What Host says to endpoints, if not what their upstream says.
    pub host_header: Option<String>,
    /// What becomes of the prefix of the target, if that is changed.
    pub prefix: Option<PrefixChange>,
    /// Whether its requests have lines in the access log.
    pub is_logged: bool,
    /// What keeps a client with one of its upstreams, if anything does.
    pub split_cookie: Option<SplitCookie>,
    /// What else is done to its requests and answers, if anything is; with what holds everywhere.
    pub rules: Option<Arc<RouteRules>>,
}

/// What becomes of the first segments of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixChange {
    /// The segments, without a slash at their end; none, if the others are put before any path.
    pub from: Box<str>,
    /// What stands in their place, likewise; none, if they are stripped.
    pub to: Box<str>,
}

impl PrefixChange {
    /// What becomes of a path that was sent, and of what it is normalised to ([`route::strip`]), in two parts, of
    /// which one may be empty; `None` if it has no such prefix.
    pub fn path<'a>(&'a self, sent: &'a [u8], normal: &'a [u8]) -> Option<[&'a [u8]; 2]> {
        let rest = route::strip(sent, normal, &self.from)?;
        let is_nothing = self.to.is_empty() && rest.is_empty();
        Some(if is_nothing { [b"/", b""] } else { [self.to.as_bytes(), rest] })
    }
}

/// Where the requests of a route go, or some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightedUpstream {
    /// The upstream.
    pub upstream: UpstreamId,
    /// Its share of the requests, beside those of the others.
    pub weight: u16,
    /// How long waits for its endpoints may last.
    pub timeouts: UpstreamTimeouts,
    /// When requests go to another endpoint of it.
    pub retries: Retries,
}

impl Route {
    /// The place of the upstream that a number leads to, each to its share of all numbers.
    pub fn share(&self, number: u64) -> usize {
        let total: u64 = self.upstreams.iter().map(|goes| u64::from(goes.weight)).sum();
        // Below the total: no bias that 2^32 numbers could show.
        let mut left = ((number >> 32) * total) >> 32;
        let place = self.upstreams.iter().position(|goes| {
            let weight = u64::from(goes.weight);
            let is_here = left < weight;
            left = left.saturating_sub(weight);
            is_here
        });
        place.unwrap_or_default()
    }

    /// What Host says to endpoints of the upstream that its requests go to, if not what the client said.
    pub fn host_at<'a>(&'a self, upstream: Option<&'a Upstream>) -> Option<&'a str> {
        self.host_header.as_deref().or_else(|| upstream?.host())
    }

    /// The upstream that gets copies of its requests, if one does.
    pub fn mirror(&self) -> Option<UpstreamId> {
        self.rules.as_ref()?.mirror.map(|mirror| mirror.upstream)
    }

    /// Where its requests go, unless something else is decided about them: to the first upstream.
    pub fn upstream(&self) -> Option<UpstreamId> {
        self.upstreams.first().map(|first| first.upstream)
    }

    /// Nothing counted by any of so many workers.
    pub fn counts(workers: usize) -> Arc<[RouteMetrics]> {
        (0..workers).map(|_| RouteMetrics::default()).collect()
    }
}

/// Everything that was decided before a session began; never changed, only replaced.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many copies of requests a worker has under way, from the first byte that is kept to the last of the answer.
    pub copies_max: u64,
    /// Finds the route of a request.
    pub route_table: Arc<RouteTable>,
    /// What its requests take; by [`RouteId`].
    pub routes: Arc<[Route]>,
    /// What is done to requests that no route takes, and to their answers, if anything is.
    pub rules: Option<Arc<RouteRules>>,
    /// What routes and listeners lead to; by [`UpstreamId`].
    pub upstreams: Vec<Arc<Upstream>>,
    /// Where TLS connections go by the name they ask for; by [`SniTableId`].
    pub sni_tables: Arc<[SniTable]>,
    /// How long waits for clients may last.
    pub timeouts: ClientTimeouts,
    /// How messages say that they have been here, if they do.
    pub via: Option<Via>,
    /// What a head may cost.
    pub limits: Limits,
    /// HTTP/2 of clients, on both kinds of listener; HTTP/1.1 alone without it.
    pub http2: Option<Http2>,
    /// Whose word is believed.
    pub trusted: Trusted,
    /// What lines of the access log are like.
    pub log_layout: Arc<LineLayout>,
    /// What is done about traces, if anything is.
    pub tracing: Option<Tracing>,
    /// What TLS listeners show their clients; there if there are any.
    pub tls: Option<Arc<ServerTls>>,
    /// The port of https that plain listeners send clients to, if they do; 0 until the kernel has chosen it.
    pub redirect_https: Option<u16>,
}

impl Plan {
    /// One of its routes.
    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[id.index()]
    }

    /// One of its upstreams.
    pub fn upstream(&self, id: UpstreamId) -> &Arc<Upstream> {
        &self.upstreams[id.index()]
    }

    /// The upstream of this name.
    pub fn upstream_named(&self, name: &str) -> Option<UpstreamId> {
        let at = self.upstreams.iter().position(|upstream| *upstream.name == *name);
        at.map(UpstreamId::new)
    }

    /// How long waits for the endpoints of an upstream may last, and when requests go to another one: as their
    /// route says, or else the upstream.
    pub fn limits(&self, route: RouteId, upstream: UpstreamId) -> (&UpstreamTimeouts, &Retries) {
        let mut of_route = self.route(route).upstreams.iter();
        let known = of_route.find(|known| known.upstream == upstream);
        known.map_or_else(
            || {
                let known = self.upstream(upstream);
                (&known.timeouts, &known.retries)
            },
            |known| (&known.timeouts, &known.retries),
        )
    }

    /// One of its tables of server names.
    pub fn sni_table(&self, id: SniTableId) -> &SniTable {
        &self.sni_tables[id.index()]
    }

    /// What its log says of routes, upstreams and endpoints.
    pub fn log_names(&self, sends_spans: bool) -> LogNames {
        let routes = self.routes.iter().map(|route| (&*route.name, route.is_logged));
        LogNames::new(&self.log_layout, routes, &self.upstreams, sends_spans)
    }

    /// The same in place of those of an earlier plan, which stay if nothing is different: lines that wait keep them.
    pub fn log_names_after(
        &self,
        before: &Self,
        earlier: &Arc<LogNames>,
        sends_spans: bool,
    ) -> Arc<LogNames> {
        let names = if Arc::ptr_eq(&self.routes, &before.routes) {
            earlier.with_upstreams(&self.upstreams)
        } else {
            self.log_names(sends_spans)
        };
        if names == **earlier { Arc::clone(earlier) } else { Arc::new(names) }
    }

    /// The same with a policy of the program around for one upstream.
    #[must_use]
    pub fn with_policy(&self, id: UpstreamId, policy: SharedPolicy) -> Self {
        let mut next = self.clone();
        next.upstreams[id.index()] = Arc::new(self.upstream(id).with_policy(policy));
        next
    }

    /// The same with other endpoints for one upstream. What does not depend on them is shared.
    #[must_use]
    pub fn with_endpoints(&self, id: UpstreamId, endpoints: EndpointSet) -> Self {
        let mut next = self.clone();
        next.upstreams[id.index()] = Arc::new(self.upstream(id).with_endpoints(endpoints));
        next
    }
}
