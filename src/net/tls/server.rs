//! What TLS listeners show their clients, and what they ask of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::certificate::sha256;
use super::certificates::Certificates;
use super::pem::{PemFile, hex};
use super::provider::provider;
use super::tickets::{TicketKeys, Ticketer};
use super::watched_file::WatchedFile;
use crate::app_protocol::AppProtocol;

/// Tickets given to a TLS 1.3 client after its handshake: browsers use each once.
const TICKETS: usize = 2;

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Tls12 => &FROM_12,
            Self::Tls13 => &FROM_12[..1],
        }
    }
}

/// Whether a client has to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// It has to.
    Required,
    /// It may.
    Optional,
}

/// Which certificates of clients are accepted.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// Whether one has to be shown.
    pub mode: ClientAuthMode,
    /// The file of the authorities that may vouch for them.
    pub ca: PathBuf,
    /// That file as it was when it was read.
    file: WatchedFile,
    /// SHA-256 of these authorities and of the mode.
    digest: [u8; 32],
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientAuth {
    /// By the authorities in a file. The error names the file, what is wrong and what helps.
    pub fn new(mode: ClientAuthMode, ca: &PemFile) -> Result<Self, String> {
        let roots = Arc::new(ca.authorities()?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = match mode {
            ClientAuthMode::Required => builder,
            ClientAuthMode::Optional => builder.allow_unauthenticated(),
        };
        let verifier =
            builder.build().map_err(|error| format!("{}: {error}", ca.path.display()))?;
        let mut bytes = vec![mode as u8];
        for certificate in &ca.certificates {
            bytes.extend_from_slice(&(certificate.len() as u64).to_be_bytes());
            bytes.extend_from_slice(certificate);
        }
        let file = ca.file.clone();
        Ok(Self { mode, ca: ca.path.clone(), file, digest: sha256(&bytes), verifier })
    }

    /// A short name for the authorities and the mode, the same for the same ones.
    pub fn digest_hex(&self) -> String {
        hex(&self.digest[..8])
    }
}

/// What TLS listeners show their clients, and what they ask of them; never changed, only replaced.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// The application protocols that are offered (ALPN), the preferred one first.
    pub protocols: &'static [AppProtocol],
    /// Which certificates of clients are accepted; none is asked for otherwise.
    pub client_auth: Option<ClientAuth>,
    /// The certificates.
    pub certificates: Arc<Certificates>,
    /// The keys of session tickets.
    pub ticket_keys: Arc<TicketKeys>,
    /// All that in the form that rustls takes.
    pub config: Arc<ServerConfig>,
}

impl ServerTls {
    /// The error is that of the cryptography behind it.
    pub fn new(
        min_version: MinVersion,
        protocols: &'static [AppProtocol],
        client_auth: Option<ClientAuth>,
        certificates: Arc<Certificates>,
        ticket_keys: Arc<TicketKeys>,
    ) -> Result<Self, String> {
        let binding = client_auth.as_ref().map_or([0; 32], |auth| auth.digest);
        let ticketer = Ticketer::new(&ticket_keys, binding).ok_or("session tickets have no key")?;
        let provider: Arc<CryptoProvider> = provider();
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(min_version.versions())
            .map_err(|error| error.to_string())?;
        let builder = match &client_auth {
            Some(auth) => builder.with_client_cert_verifier(Arc::clone(&auth.verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&certificates) as Arc<_>);
        config.alpn_protocols = protocols.iter().map(|known| known.alpn().to_vec()).collect();
        // Tickets are all there is: a store would be a lock that every handshake takes.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::new(ticketer);
        config.send_tls13_tickets = TICKETS;
        // Early data can be replayed.
        config.max_early_data_size = 0;
        config.enable_secret_extraction = true;
        let config = Arc::new(config);
        Ok(Self { min_version, protocols, client_auth, certificates, ticket_keys, config })
    }

    /// The files that all this was read from, each once.
    pub fn files(&self) -> Vec<WatchedFile> {
        let certificates = self.certificates.iter().flat_map(|certificate| &certificate.files);
        let mut files: Vec<WatchedFile> = Vec::new();
        for file in certificates.chain(self.client_auth.as_ref().map(|auth| &auth.file)) {
            if !files.contains(file) {
                files.push(file.clone());
            }
        }
        files
    }

    /// Reads all files again, at a time since 1970. The second are warnings; or else there are mistakes,
    /// and nothing of it counts.
    pub fn read_again(&self, now: Duration) -> Result<(Self, Vec<String>), Vec<String>> {
        let (mut certificates, mut warnings, mut mistakes) = (Vec::new(), Vec::new(), Vec::new());
        for certificate in self.certificates.iter() {
            match certificate.read_again() {
                Ok((certificate, warning)) => {
                    warnings.extend(warning.into_iter().chain(certificate.warning(now)));
                    certificates.push(Arc::new(certificate));
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let client_auth = self.client_auth.as_ref();
        let client_auth = client_auth
            .map(|auth| ClientAuth::new(auth.mode, &PemFile::read(&auth.ca)?))
            .transpose();
        let client_auth = client_auth.unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            None
        });
        let Some(certificates) = Certificates::new(certificates).filter(|_| mistakes.is_empty())
        else {
            return Err(mistakes);
        };
        let keys = Arc::clone(&self.ticket_keys);
        let (version, protocols) = (self.min_version, self.protocols);
        let again = Self::new(version, protocols, client_auth, Arc::new(certificates), keys);
        again.map(|again| (again, warnings)).map_err(|mistake| vec![mistake])
    }

    /// The same with other keys of session tickets.
    pub fn with_ticket_keys(&self, keys: Arc<TicketKeys>) -> Result<Self, String> {
        let (version, protocols) = (self.min_version, self.protocols);
        let certificates = Arc::clone(&self.certificates);
        Self::new(version, protocols, self.client_auth.clone(), certificates, keys)
    }
}

#[cfg(test)]
mod tests {
    use rustls::{
        ClientConfig, ClientConnection, CommonState, Error, ServerConnection, SupportedCipherSuite,
    };

    use super::super::certificate::Certificate;
    use super::super::client::UpstreamTls;
    use super::super::info::TlsInfo;
    use super::super::samples::{Sample, authority, pem_file};
    use super::*;

    fn server(client_auth: Option<ClientAuth>) -> ServerTls {
        let Sample { cert, key } = Sample::of(&["a.example"]);
        let certificate = Certificate::new(&pem_file("a.pem", &(cert + &key)), None).unwrap();
        let certificates = Arc::new(Certificates::new(vec![Arc::new(certificate)]).unwrap());
        let keys = Arc::new(TicketKeys::new(Duration::ZERO, &[7; 48]));
        let protocols = AppProtocol::HTTP1;
        ServerTls::new(MinVersion::Tls12, protocols, client_auth, certificates, keys).unwrap()
    }

    /// What a client that offers these agrees on with a server of these.
    fn agreed(protocols: &'static [AppProtocol], offered: &[&str]) -> Result<AppProtocol, Error> {
        let ServerTls { min_version, certificates, ticket_keys, .. } = server(None);
        let tls = ServerTls::new(min_version, protocols, None, certificates, ticket_keys).unwrap();
        let mut server = ServerConnection::new(tls.config)?;
        let name = "a.example".try_into().unwrap();
        let endpoint = UpstreamTls::new(None, None, "")?.to_endpoint(name, AppProtocol::Http1);
        let mut config = ClientConfig::clone(&endpoint.config);
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut client = ClientConnection::new(Arc::new(config), endpoint.server_name)?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets()?;
        }
        assert_eq!(server.alpn_protocol(), client.alpn_protocol());
        let agreed: &CommonState = &server;
        Ok(TlsInfo::of(Some(agreed)).protocol)
    }

    #[test]
    fn http2_is_agreed_on_where_both_sides_offer_it() {
        let (one, both) = (AppProtocol::HTTP1, AppProtocol::BOTH);
        let rows = [
            (both, &["http/1.1", "h2"][..], Some(AppProtocol::Http2)),
            (both, &["h2"], Some(AppProtocol::Http2)),
            (both, &["http/1.1"], Some(AppProtocol::Http1)),
            (both, &[], Some(AppProtocol::Http1)),
            (both, &["h2c", "http/1.0", "h3"], None),
            (one, &["h2", "http/1.1"], Some(AppProtocol::Http1)),
            (one, &["h2"], None),
        ];
        for (protocols, offered, expected) in rows {
            let found = agreed(protocols, offered);
            match expected {
                Some(expected) => assert_eq!(found, Ok(expected), "{protocols:?} {offered:?}"),
                None => assert_eq!(found, Err(Error::NoApplicationProtocol), "{offered:?}"),
            }
        }
    }

    #[test]
    fn certificates_that_are_read_again_change_nothing_about_protocols() {
        let folder = std::env::temp_dir().join(format!("evener-{}-alpn", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, Sample { cert, key }) = (folder.join("a.pem"), Sample::of(&["a.example"]));
        std::fs::write(&path, cert + &key).unwrap();
        let certificate = Certificate::new(&PemFile::read(&path).unwrap(), None).unwrap();
        let certificates = Arc::new(Certificates::new(vec![Arc::new(certificate)]).unwrap());
        let keys = || Arc::new(TicketKeys::new(Duration::ZERO, &[7; 48]));
        let both = AppProtocol::BOTH;
        let tls = ServerTls::new(MinVersion::Tls13, both, None, certificates, keys()).unwrap();
        let again = tls.read_again(Duration::ZERO).unwrap().0.with_ticket_keys(keys()).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        assert_eq!((again.min_version, again.protocols), (MinVersion::Tls13, both));
        assert_eq!(again.config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
    }

    /// RFC 9113 §9.2.2: none of the suites of its appendix A, which are all those of TLS 1.2 without an
    /// ephemeral key exchange or without an AEAD cipher.
    #[test]
    fn no_cipher_suite_is_prohibited_by_http2() {
        let suites = provider().cipher_suites.clone();
        let old = suites.iter().filter(|suite| matches!(suite, SupportedCipherSuite::Tls12(_)));
        for suite in old {
            let name = suite.suite().as_str().unwrap();
            assert!(name.starts_with("TLS_ECDHE_"), "{name}");
            assert!(name.contains("_GCM_SHA") || name.contains("_CHACHA20_POLY1305_"), "{name}");
        }
        assert!(suites.len() > 3);
    }

    #[test]
    fn a_ticket_resumes_only_where_as_much_is_asked_of_clients() {
        let (one, other) = (authority(), authority());
        let auth = |mode, ca: &str| Some(ClientAuth::new(mode, &pem_file("ca.pem", ca)).unwrap());
        let (required, optional) = (ClientAuthMode::Required, ClientAuthMode::Optional);
        let servers = [
            server(None),
            server(auth(optional, &one)),
            server(auth(required, &one)),
            server(auth(required, &other)),
        ];
        for (given, giver) in servers.iter().enumerate() {
            let ticket = giver.config.ticketer.encrypt(b"session").unwrap();
            for (asked, taker) in servers.iter().enumerate() {
                let opened = taker.config.ticketer.decrypt(&ticket).is_some();
                assert_eq!(opened, given == asked, "{given} {asked}");
            }
        }
        let again = server(auth(required, &one));
        let ticket = again.config.ticketer.encrypt(b"session").unwrap();
        assert!(servers[2].config.ticketer.decrypt(&ticket).is_some());
    }

    #[test]
    fn a_file_without_an_authority_is_refused() {
        let key = Sample::of(&["a"]).key;
        let error = ClientAuth::new(ClientAuthMode::Required, &pem_file("ca.pem", &key));
        let error = error.unwrap_err();
        assert!(error.starts_with("ca.pem: holds no certificate"), "{error}");
    }
}
