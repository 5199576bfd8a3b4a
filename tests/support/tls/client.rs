//! A client that speaks TLS.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};

use evener::net::tls::provider::provider;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DEFAULT_VERSIONS, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, SupportedProtocolVersion,
};

use super::authority::{Authority, Identity};
use super::stream::{Handshake, TlsStream};
use crate::support::Client;

/// A [`Client`] over TLS. Dropping it ends the TCP connection without a word of TLS.
pub type TlsClient = Client<TlsStream>;

/// What a client offers and accepts. Its connections share one cache of sessions if they resume.
pub struct TlsOptions {
    trusted: Option<RootCertStore>,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    identity: Option<Identity>,
    resuming: bool,
    provider: CryptoProvider,
    config: OnceLock<Arc<ClientConfig>>,
}

impl TlsOptions {
    fn new(trusted: Option<RootCertStore>) -> Self {
        Self {
            trusted,
            versions: DEFAULT_VERSIONS.to_vec(),
            alpn: Vec::new(),
            identity: None,
            resuming: false,
            provider: CryptoProvider::clone(&provider()),
            config: OnceLock::new(),
        }
    }

    /// Trusts this authority alone; offers TLS 1.2 and 1.3 and no ALPN, and does not resume.
    pub fn trusting(authority: &Authority) -> Self {
        Self::new(Some(authority.roots()))
    }

    /// Takes any certificate for any name.
    pub fn unverified() -> Self {
        Self::new(None)
    }

    /// Offers these versions only, such as `rustls::version::TLS12`.
    pub fn versions(self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self { versions: versions.to_vec(), ..self }
    }

    /// Offers these application protocols, the preferred one first.
    pub fn alpn(self, names: &[&str]) -> Self {
        Self { alpn: names.iter().map(|name| name.as_bytes().to_vec()).collect(), ..self }
    }

    /// Shows this certificate if asked.
    pub fn identity(self, identity: &Identity) -> Self {
        Self { identity: Some(identity.clone()), ..self }
    }

    /// Resumes its earlier sessions.
    pub fn resuming(self) -> Self {
        Self { resuming: true, ..self }
    }

    /// Changes the ciphers or key exchanges it offers.
    pub fn offering(mut self, change: impl FnOnce(&mut CryptoProvider)) -> Self {
        change(&mut self.provider);
        self
    }

    /// As rustls takes it.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(self.config.get_or_init(|| Arc::new(self.make())))
    }

    fn make(&self) -> ClientConfig {
        let provider = Arc::new(self.provider.clone());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .expect("versions");
        let config = match &self.trusted {
            Some(roots) => config.with_root_certificates(roots.clone()),
            None => config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        };
        let mut config = match &self.identity {
            Some(identity) => config
                .with_client_auth_cert(identity.chain(), identity.key())
                .expect("a client certificate"),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        // For records that rustls would not write.
        config.enable_secret_extraction = true;
        if !self.resuming {
            config.resumption = Resumption::disabled();
        }
        config
    }

    /// The client's side of a session, which sends SNI unless the name is an IP address.
    pub fn session(&self, name: &str) -> ClientConnection {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        ClientConnection::new(self.config(), name).expect("a session")
    }

    /// The bytes of a whole `ClientHello` in its record.
    pub fn hello(&self, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.session(name).write_tls(&mut bytes).expect("a hello");
        bytes
    }

    /// A new connection over which the handshake is complete, as far as the client can tell: with TLS
    /// 1.3 a server refuses a client's certificate only when the client reads.
    pub fn connect(&self, address: SocketAddr, name: &str) -> TlsClient {
        self.try_connect(address, name).expect("a handshake")
    }

    /// Like [`TlsOptions::connect`] where the handshake may fail.
    pub fn try_connect(&self, address: SocketAddr, name: &str) -> io::Result<TlsClient> {
        self.over(Client::connect(address).stream, name)
    }

    /// Shakes hands over an existing connection.
    pub fn over(&self, tcp: TcpStream, name: &str) -> io::Result<TlsClient> {
        Ok(Client::over(TlsStream::new(self.session(name), tcp)?))
    }
}

impl TlsClient {
    pub fn handshake(&self) -> Handshake {
        self.stream.handshake()
    }

    /// The certificate that the server has shown.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.handshake().peer[0].clone()
    }

    /// Waits for the connection to end; what ended TLS with an error, if something did.
    pub fn error(&mut self) -> Option<Error> {
        let _ = io::copy(&mut self.stream, &mut io::sink());
        self.stream.error.clone()
    }
}

/// Verifies only that the server has the key of the certificate it shows.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
