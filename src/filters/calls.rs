//! What filters are shown, and what they decide about.

use std::borrow::Cow;
use std::net::SocketAddr;

use tokio::time::Instant;

use super::exchange_record::ExchangeRecord;
use crate::http::message::head::{RequestHead, ResponseHead};
use crate::http::message::hop::ClientScheme;
use crate::http::message::lookup;
use crate::id::{EndpointId, RouteId, UpstreamId};
use crate::net::listen::Peer;
use crate::net::tls::info::TlsInfo;
use crate::plan::context::WorkerContext;
use crate::plan::{Plan, Route};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::{Traffic, Upstream};

/// A connection that has been accepted.
#[derive(Clone, Copy)]
pub struct NewConnection<'a> {
    /// Whose it is: the address of the peer, or the one that its PROXY header names; none over a Unix socket.
    pub client: Peer,
    pub(crate) context: &'a WorkerContext,
}

impl NewConnection<'_> {
    /// The configuration in force.
    pub fn plan(&self) -> &Plan {
        &self.context.plan
    }
}

/// A request whose head has been read.
#[derive(Clone, Copy)]
pub struct ClientRequest<'a> {
    /// Its head.
    pub head: &'a RequestHead<'a, 'a>,
    /// Its path, normalised and without the query: what routes are found by.
    pub path: &'a [u8],
    /// Whom it is from: the real client, behind trusted proxies the one that they name.
    pub client: Peer,
    /// How it came here.
    pub scheme: ClientScheme,
    /// What was agreed on with the client, if it speaks TLS.
    pub tls: Option<&'a TlsInfo>,
    /// Its identifier, if it has one: requests are given one where an access log is written.
    pub request_id: Option<&'a [u8]>,
    /// When its head had come whole: what a rate is counted by, so that heads that are held back do not count as early ones.
    pub arrived: Instant,
    pub(crate) route: Option<RouteId>,
    pub(crate) context: &'a WorkerContext,
    /// Where its connection is from. A call, since that can take a system call.
    pub(crate) source: &'a dyn Fn() -> Option<SocketAddr>,
}

impl<'a> ClientRequest<'a> {
    /// The configuration in force.
    pub fn plan(&self) -> &'a Plan {
        &self.context.plan
    }

    /// The route it takes, once that is known.
    pub fn route(&self) -> Option<&'a Route> {
        self.route.map(|route| self.context.plan.route(route))
    }

    /// What its first header of this name says, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        lookup::headers(&self.head.fields, name).next()
    }

    /// The value of its first cookie of this name.
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        lookup::cookies(&self.head.fields, name).next()
    }

    /// The value of the first parameter of this name in its query, decoded.
    pub fn parameter(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        lookup::parameters(self.head.query(), name).next()
    }

    /// The port its client connected from: that of the connection, or the one that a PROXY header names.
    pub fn client_port(&self) -> Option<u16> {
        (self.source)().map(|source| source.port())
    }
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub struct RouteChoice<'a> {
    /// The upstream; none where the route answers by itself.
    pub upstream: Option<UpstreamId>,
    /// The endpoint that is asked first, if it can be: like the one of a sticky session.
    pub endpoint: Option<EndpointId>,
    /// How long the body may be, in bytes.
    pub body_max: Option<u64>,
    /// The upstream that gets a copy of the request, if any does.
    pub mirror: Option<UpstreamId>,
    pub(crate) plan: &'a Plan,
}

impl<'a> RouteChoice<'a> {
    /// To an upstream of the configuration, by its name. Returns whether there is one.
    pub fn set_upstream(&mut self, name: &str) -> bool {
        let found = self.plan.upstream_named(name);
        self.upstream = found.or(self.upstream);
        self.endpoint = self.endpoint.filter(|_| found.is_none());
        found.is_some()
    }

    /// To an endpoint of the upstream first, by its address as it was configured or found, such as `10.0.0.1:80`; to others
    /// if it cannot be asked. Returns whether there is one.
    pub fn set_endpoint(&mut self, address: &str) -> bool {
        let endpoints: &[Endpoint] = self.upstream().map_or(&[], |upstream| &upstream.endpoints);
        let found = endpoints.iter().position(|endpoint| *endpoint.name == *address);
        self.endpoint = found.map(EndpointId::new).or(self.endpoint);
        found.is_some()
    }

    /// A copy goes to an upstream of the configuration, by its name; the answer to it is dropped. Returns whether
    /// there is one, for HTTP and without `proxy`.
    pub fn set_mirror(&mut self, name: &str) -> bool {
        let takes_copies = |id: &UpstreamId| {
            let upstream = self.plan.upstream(*id);
            upstream.traffic == Traffic::Http && upstream.announces.is_none()
        };
        let found = self.plan.upstream_named(name).filter(takes_copies);
        self.mirror = found.or(self.mirror);
        found.is_some()
    }

    /// The upstream.
    pub fn upstream(&self) -> Option<&'a Upstream> {
        self.upstream.map(|upstream| &**self.plan.upstream(upstream))
    }
}

/// An endpoint of an upstream, and one of the two sides of an attempt. Looked up when it is asked for.
#[derive(Clone, Copy)]
pub(crate) struct AttemptedAt<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) upstream: UpstreamId,
    pub(crate) endpoint: EndpointId,
}

impl<'a> AttemptedAt<'a> {
    fn upstream(self) -> &'a Upstream {
        self.plan.upstream(self.upstream)
    }

    fn endpoint(self) -> &'a Endpoint {
        self.upstream().endpoint(self.endpoint)
    }
}

/// A request that is about to go to an endpoint.
#[derive(Clone, Copy)]
pub struct EndpointAttempt<'a> {
    pub(crate) at: AttemptedAt<'a>,
}

impl<'a> EndpointAttempt<'a> {
    /// The upstream.
    pub fn upstream(&self) -> &'a Upstream {
        self.at.upstream()
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &'a Endpoint {
        self.at.endpoint()
    }
}

/// An answer of an endpoint whose head has come.
#[derive(Clone, Copy)]
pub struct EndpointResponse<'a> {
    /// Its head.
    pub head: &'a ResponseHead<'a, 'a>,
    pub(crate) at: AttemptedAt<'a>,
}

impl<'a> EndpointResponse<'a> {
    /// The upstream.
    pub fn upstream(&self) -> &'a Upstream {
        self.at.upstream()
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &'a Endpoint {
        self.at.endpoint()
    }
}

/// An answer that is about to go to the client.
#[derive(Clone, Copy)]
pub struct ClientResponse<'a> {
    /// Its status.
    pub status: u16,
    /// The endpoint's answer; none if it is one of our own.
    pub from: Option<EndpointResponse<'a>>,
    pub(crate) route: Option<RouteId>,
    pub(crate) context: &'a WorkerContext,
}

impl<'a> ClientResponse<'a> {
    /// The configuration in force.
    pub fn plan(&self) -> &'a Plan {
        &self.context.plan
    }

    /// The route of its request, if that has one.
    pub fn route(&self) -> Option<&'a Route> {
        self.route.map(|route| self.context.plan.route(route))
    }
}

/// A request that is about to be given an answer of our own.
#[derive(Clone, Copy)]
pub struct ReplyTo<'a> {
    /// Its identifier, if it has one.
    pub request_id: Option<&'a [u8]>,
    pub(crate) route: Option<RouteId>,
    pub(crate) context: &'a WorkerContext,
}

impl<'a> ReplyTo<'a> {
    /// The configuration in force.
    pub fn plan(&self) -> &'a Plan {
        &self.context.plan
    }

    /// The route of the request, if it has one.
    pub fn route(&self) -> Option<&'a Route> {
        self.route.map(|route| self.context.plan.route(route))
    }
}

/// How an exchange has ended.
#[derive(Clone, Copy)]
pub struct ExchangeEnd<'a> {
    /// The status the client was sent; none if it was sent none.
    pub status: Option<u16>,
    /// When the first byte of the request came.
    pub began: Instant,
    /// All else that is known of it; none unless the filters have [`Filters::RECORDS`].
    ///
    /// [`Filters::RECORDS`]: super::Filters::RECORDS
    pub record: Option<ExchangeRecord<'a>>,
    pub(crate) plan: &'a Plan,
    pub(crate) route: Option<RouteId>,
    pub(crate) upstream: Option<UpstreamId>,
}

impl<'a> ExchangeEnd<'a> {
    /// The route, if the request had one.
    pub fn route(&self) -> Option<&'a Route> {
        self.route.map(|route| self.plan.route(route))
    }

    /// Where it was to go, unless it was answered here.
    pub fn upstream(&self) -> Option<&'a Upstream> {
        self.upstream.map(|upstream| &**self.plan.upstream(upstream))
    }
}
