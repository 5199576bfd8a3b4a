//! What is asked, and of whom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{IpAddr, ServerName};

use super::h1::CheckConnection;
use crate::address::Address;
use crate::app_protocol::AppProtocol;
use crate::id::EndpointId;
use crate::plan::Plan;
use crate::proxy_protocol::Version;
use crate::upstream::check::{Check, CheckKind};
use crate::upstream::endpoint::{ConnectionKind, Endpoint};
use crate::upstream::{Traffic, Upstream};

/// The longest interval over which a connection is kept from one check to the next: few servers wait longer for the next
/// request of theirs.
const KEPT_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// What is asked, of whom, how and how often.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct CheckSpec {
    pub(super) address: Address,
    pub(super) traffic: Traffic,
    pub(super) announces: Option<Version>,
    pub(super) kind: ConnectionKind,
    /// Shared by all endpoints of an upstream.
    pub(super) check: Arc<Check>,
    /// Host of an HTTP check, where it has one of its own, or routes to the endpoint do.
    pub(super) host: Option<String>,
}

impl CheckSpec {
    /// Whether nothing is asked but to accept a connection.
    pub(super) fn only_connects(&self) -> bool {
        self.check.kind == CheckKind::Tcp || self.traffic == Traffic::Tcp
    }

    /// What Host says.
    pub(super) fn host_of(&self, asked: &Endpoint) -> String {
        self.host.clone().unwrap_or_else(|| usual_host(asked, &self.address))
    }

    /// Whether TLS is spoken, with an endpoint that does.
    pub(super) fn is_over_tls(&self) -> bool {
        let is_implied = matches!(self.check.kind, CheckKind::Https(_) | CheckKind::Grpc(_));
        is_implied || self.check.is_of_requests()
    }

    /// Whether a connection for requests is opened as that of the check is, and no more is asked. Then an endpoint that
    /// has just taken a request has answered already. What another path or a health service would say is not known.
    pub(super) fn is_proven_by_requests(&self) -> bool {
        self.check.kind == CheckKind::Tcp && self.check.is_of_requests()
    }

    /// Whether the next check uses the connection of the last one: if there is one before endpoints tire of waiting.
    pub(super) fn connection_after(&self) -> CheckConnection {
        if self.check.interval <= KEPT_INTERVAL_MAX {
            CheckConnection::Kept
        } else {
            CheckConnection::Closed
        }
    }

    /// The version of HTTP.
    pub(super) fn protocol(&self, asked: &Endpoint) -> AppProtocol {
        match self.check.kind {
            CheckKind::Http(_) if !self.check.is_of_requests() => AppProtocol::Http1,
            _ => asked.protocol(),
        }
    }
}

/// An endpoint that a question is asked for.
#[derive(Clone)]
pub(super) struct CheckTarget {
    pub(super) upstream: Arc<Upstream>,
    pub(super) endpoint: EndpointId,
}

impl CheckTarget {
    pub(super) fn endpoint(&self) -> &Endpoint {
        self.upstream.endpoint(self.endpoint)
    }
}

/// What Host says on the first route to each upstream that says it.
pub(super) fn hosts_of_routes(plan: &Plan) -> Vec<Option<&str>> {
    let mut hosts = vec![None; plan.upstreams.len()];
    for route in plan.routes.iter() {
        for goes in &route.upstreams {
            let host = &mut hosts[goes.upstream.index()];
            *host = host.or(route.host_header.as_deref());
        }
    }
    hosts
}

/// What Host says of an endpoint whose check and routes do not say it: the name that its certificate is for, or
/// else the address that is asked.
fn usual_host(endpoint: &Endpoint, address: &Address) -> String {
    match (&endpoint.tls, address) {
        (Some(tls), _) => authority(&tls.server_name),
        (None, Address::Tcp(address)) => address.to_string(),
        (None, Address::Unix(_)) => "localhost".to_owned(),
    }
}

/// A name as Host has it: an IPv6 address in brackets (RFC 3986 §3.2.2).
fn authority(name: &ServerName<'_>) -> String {
    match name {
        ServerName::IpAddress(IpAddr::V6(address)) => {
            format!("[{}]", std::net::Ipv6Addr::from(*address))
        }
        name => name.to_str().into_owned(),
    }
}

/// Where a check of an endpoint at this address goes.
pub(super) fn asked_at(address: &Address, check: &Check) -> Address {
    match (address, check.port) {
        (Address::Tcp(address), Some(port)) => {
            Address::Tcp(SocketAddr::new(address.ip(), port.get()))
        }
        _ => address.clone(),
    }
}
