//! What the variables of rules say about one request.

use std::net::IpAddr;

use super::calls::{ClientRequest, ClientResponse};
use crate::decimal::{decimal, ipv4};
use crate::http::message::authority;
use crate::http::rules::variable::{Variable, VariableSet, Variables};

/// Those of a request whose head is at hand.
pub(super) struct RequestValues<'a, 'b> {
    pub(super) request: &'b ClientRequest<'a>,
    /// The upstream it goes to; empty if none.
    pub(super) upstream: &'b str,
    /// Its identifier.
    pub(super) request_id: &'b [u8],
}

impl Variables for RequestValues<'_, '_> {
    fn write(&self, variable: Variable, mut part: impl FnMut(&[u8])) {
        let Self { request, upstream, request_id } = *self;
        match variable {
            Variable::Client => match request.client.map(|client| client.to_canonical()) {
                None => {}
                Some(IpAddr::V4(address)) => part(&ipv4(address)),
                Some(address) => part(address.to_string().as_bytes()),
            },
            Variable::ClientPort => {
                if let Some(port) = request.client_port() {
                    part(&decimal(port.into()));
                }
            }
            Variable::Scheme => part(request.scheme.name().as_bytes()),
            Variable::Host => {
                let host = authority::host(request.head.authority);
                part(&host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase());
            }
            Variable::Method => part(request.head.method.as_bytes()),
            Variable::Target if request.head.is_unread() => {}
            Variable::Target => part(request.head.path_and_query().as_bytes()),
            Variable::Path => part(request.path),
            Variable::Query => {
                let query = request.head.query();
                part(query.strip_prefix('?').unwrap_or(query).as_bytes());
            }
            Variable::Route => {
                part(request.route().map_or("", |route| &*route.name).as_bytes());
            }
            Variable::Upstream => part(upstream.as_bytes()),
            // There is none yet.
            Variable::Endpoint => {}
            Variable::RequestId => part(request_id),
            Variable::TlsVersion => {
                if let Some(tls) = request.tls {
                    part(tls.version.number().as_bytes());
                }
            }
            Variable::Sni => {
                if let Some(name) = request.tls.and_then(|tls| tls.server_name.as_deref()) {
                    part(name.as_bytes());
                }
            }
            Variable::ClientCertSubject => {
                if let Some(certificate) = request.tls.and_then(|tls| tls.client.as_ref()) {
                    part(certificate.subject.as_bytes());
                }
            }
        }
    }

    fn address(&self, variable: Variable) -> Option<IpAddr> {
        self.request.client.filter(|_| variable == Variable::Client)
    }
}

/// What the variables said that an answer needs, when the head of its request is gone.
#[derive(Debug, Default)]
pub(super) struct KeptValues {
    bytes: Vec<u8>,
    /// Where each of them ends in `bytes`, in order.
    ends: Vec<(Variable, usize)>,
}

impl KeptValues {
    /// Keeps what these say.
    pub(super) fn keep(wanted: VariableSet, values: &impl Variables) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for variable in wanted.iter() {
            values.write(variable, |part| bytes.extend_from_slice(part));
            ends.push((variable, bytes.len()));
        }
        Self { bytes, ends }
    }

    fn get(&self, variable: Variable) -> &[u8] {
        let Some(at) = self.ends.iter().position(|(known, _)| *known == variable) else {
            return b"";
        };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before].1);
        &self.bytes[start..self.ends[at].1]
    }
}

/// Those of an answer.
pub(super) struct ResponseValues<'a> {
    /// What was kept of its request, if anything was.
    pub(super) kept: Option<&'a KeptValues>,
    /// The answer.
    pub(super) response: &'a ClientResponse<'a>,
}

impl Variables for ResponseValues<'_> {
    fn write(&self, variable: Variable, mut part: impl FnMut(&[u8])) {
        match (variable, self.kept) {
            (Variable::Endpoint, _) => {
                let from = self.response.from.as_ref();
                from.inspect(|from| part(from.endpoint().name.as_bytes()));
            }
            (_, Some(kept)) => part(kept.get(variable)),
            (_, None) => {}
        }
    }
}
