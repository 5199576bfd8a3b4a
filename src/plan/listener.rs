//! What a listener is for.

use crate::id::UpstreamId;

/// What connections to a listener begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preamble {
    /// With what they carry.
    Nothing,
    /// With a header of the PROXY protocol.
    ProxyHeader,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerKind {
    /// What its connections begin with.
    pub preamble: Preamble,
    /// What is done with them.
    pub service: Service,
}

impl ListenerKind {
    /// For requests of clients that come by themselves.
    pub const HTTP: Self = Self { preamble: Preamble::Nothing, service: Service::Http };
}

/// What is done with the connections of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Their requests are routed.
    Http,
    /// Each goes to an endpoint of this upstream as it is.
    Tcp {
        /// The upstream.
        upstream: UpstreamId,
    },
}
