//! What TLS to an endpoint needs, apart from the connection.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// Whether an endpoint has to prove who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Its certificate must be valid for its name and vouched for by an authority that is trusted.
    #[default]
    Full,
    /// Any certificate will do: whoever is on the way can read and change everything.
    Off,
}

/// The SHA-256 of all that a connection depends on: the name, the roots, the client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsDigest(pub [u8; 32]);

/// TLS to one endpoint.
#[derive(Clone)]
pub struct EndpointTls {
    /// As rustls takes it, with the sessions of this endpoint that can be resumed.
    pub config: Arc<ClientConfig>,
    /// Whose certificate is expected; unless it is an IP address, SNI asks for it.
    pub server_name: ServerName<'static>,
    /// Whether that is verified.
    pub verification: Verification,
    /// Connections with the same one can stand in for each other.
    pub digest: TlsDigest,
    /// By which roots it is verified, and what certificate it is shown, in words.
    pub summary: Arc<str>,
}

impl fmt::Debug for EndpointTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointTls({self})")
    }
}

/// As `-t` shows it.
impl fmt::Display for EndpointTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS as {}, {}", self.server_name.to_str(), self.summary)
    }
}
