//! A scripted origin that speaks TLS.

use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use evener::net::tls::provider::provider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{DEFAULT_VERSIONS, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::authority::{Authority, Identity};
use super::stream::{Handshake, TlsStream};
use crate::support::{Conn, Origin};

/// One connection to an origin over TLS.
pub type TlsConn = Conn<TlsStream>;

/// What a server shows and accepts.
pub struct TlsServer {
    identity: Identity,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    client_authority: Option<Arc<rustls::RootCertStore>>,
    resuming: bool,
}

/// An [`Origin`] over TLS.
pub struct TlsOrigin {
    origin: Origin,
    handshakes: Arc<Mutex<Vec<Result<Handshake, String>>>>,
}

impl TlsServer {
    /// Shows this certificate; takes TLS 1.2 and 1.3 and any ALPN, and resumes sessions.
    pub fn showing(identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            versions: DEFAULT_VERSIONS.to_vec(),
            alpn: Vec::new(),
            client_authority: None,
            resuming: true,
        }
    }

    /// Accepts these versions only, such as `rustls::version::TLS12`.
    pub fn versions(self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self { versions: versions.to_vec(), ..self }
    }

    /// Accepts these application protocols only, the preferred one first.
    pub fn alpn(self, names: &[&str]) -> Self {
        Self { alpn: names.iter().map(|name| name.as_bytes().to_vec()).collect(), ..self }
    }

    /// Requires a client certificate from this authority.
    pub fn requiring(self, authority: &Authority) -> Self {
        Self { client_authority: Some(Arc::new(authority.roots())), ..self }
    }

    /// Resumes no session.
    pub fn forgetting(self) -> Self {
        Self { resuming: false, ..self }
    }

    /// As rustls takes it.
    pub fn config(&self) -> Arc<ServerConfig> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions)
            .expect("versions");
        let config = match &self.client_authority {
            None => config.with_no_client_auth(),
            Some(roots) => config.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
                    .build()
                    .expect("an authority"),
            ),
        };
        let mut config = config
            .with_single_cert(self.identity.chain(), self.identity.key())
            .expect("a certificate");
        config.alpn_protocols.clone_from(&self.alpn);
        if !self.resuming {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Arc::new(config)
    }
}

impl TlsOrigin {
    /// Serves every connection whose handshake succeeds with `serve`, each on its own thread.
    pub fn start(server: &TlsServer, serve: impl Fn(TlsConn) + Send + Sync + 'static) -> Self {
        let config = server.config();
        let handshakes = Arc::<Mutex<Vec<_>>>::default();
        let ours = Arc::clone(&handshakes);
        let origin = Origin::start(move |conn| {
            let conn = conn.tls(&config);
            let outcome = conn.as_ref().map(|conn| conn.stream.handshake());
            ours.lock().expect("lock").push(outcome.map_err(ToString::to_string));
            if let Ok(conn) = conn {
                serve(conn);
            }
        });
        Self { origin, handshakes }
    }

    /// Answers every request with the same bytes.
    pub fn answering(server: &TlsServer, answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(server, move |conn| conn.answer_all(&answer))
    }

    /// For a route: `https://` and its address.
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The handshakes so far, or why they failed.
    pub fn handshakes(&self) -> Vec<Result<Handshake, String>> {
        self.handshakes.lock().expect("lock").clone()
    }
}

impl Deref for TlsOrigin {
    type Target = Origin;

    fn deref(&self) -> &Origin {
        &self.origin
    }
}

impl Conn {
    /// Shakes hands as the server.
    pub fn tls(self, config: &Arc<ServerConfig>) -> io::Result<TlsConn> {
        let session = ServerConnection::new(Arc::clone(config)).expect("a session");
        self.over(|tcp| TlsStream::new(session, tcp))
    }
}
