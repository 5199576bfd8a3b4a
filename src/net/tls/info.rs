//! What a handshake has come to.

use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use super::client_certificate::ClientCertificate;
use crate::app_protocol::AppProtocol;
use crate::metrics::HandshakeMetrics;

/// What was agreed on in a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The version.
    pub version: TlsVersion,
    /// The application protocol.
    pub protocol: AppProtocol,
    /// The cipher suite, by its name in the registry, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// Whether it took up an earlier session.
    pub resumption: Resumption,
    /// The name the client asked for (SNI), in lower case.
    pub server_name: Option<Box<str>>,
    /// What the client has shown, if it was asked to and did.
    pub client: Option<ClientCertificate>,
}

/// A version of TLS that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Whether a session took up an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// It is a new one.
    Full,
    /// It took up one, by a ticket.
    Resumed,
}

impl TlsVersion {
    /// As OpenSSL and the logs of others write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

impl TlsVersion {
    /// Its number alone.
    pub const fn number(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

impl TlsInfo {
    /// Of a session whose handshake is done.
    pub fn of(agreed: Option<&CommonState>) -> Self {
        let version = match agreed.and_then(CommonState::protocol_version) {
            Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
            _ => TlsVersion::Tls13,
        };
        let suite =
            agreed.and_then(CommonState::negotiated_cipher_suite).map(|suite| suite.suite());
        let cipher = match suite.and_then(|suite| suite.as_str()).unwrap_or("-") {
            // rustls has names of its own for these.
            "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
            "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
            "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
            name => name,
        };
        let resumption = match agreed.and_then(CommonState::handshake_kind) {
            Some(HandshakeKind::Resumed) => Resumption::Resumed,
            _ => Resumption::Full,
        };
        let protocol = AppProtocol::agreed(agreed.and_then(|agreed| agreed.alpn_protocol()));
        Self { version, protocol, cipher, resumption, server_name: None, client: None }
    }

    /// Counts it.
    pub fn count(&self, handshakes: &HandshakeMetrics) {
        match self.resumption {
            Resumption::Full => handshakes.full.add(1),
            Resumption::Resumed => handshakes.resumed.add(1),
        }
        handshakes.tls12.add(u64::from(self.version == TlsVersion::Tls12));
    }

    /// As the access log has it: version, cipher, the name that was asked for or `-`, and whether the
    /// session took up an earlier one.
    pub fn log_text(&self) -> String {
        let name = self.server_name.as_deref().unwrap_or("-");
        let kind = match self.resumption {
            Resumption::Full => "full",
            Resumption::Resumed => "resumed",
        };
        format!("{}/{}/{name}/{kind}", self.version.name(), self.cipher)
    }
}
