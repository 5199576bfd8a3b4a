//! What an endpoint has to show over TLS, and what it is shown.

use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore,
    SignatureScheme,
};

use super::certificate::{no_certificate, no_key, signing_key};
use super::failure::refused;
use super::pem::PemFile;
use super::provider::provider;
use crate::app_protocol::AppProtocol;
use crate::upstream::endpoint_tls::{EndpointTls, TlsDigest, Verification};

/// Sessions kept for resumption: as many tickets as rustls keeps of one server, and an endpoint is one.
const SESSIONS_MAX: usize = 8;

/// The authorities that are trusted to vouch for endpoints.
#[derive(Debug)]
pub struct Roots {
    verifier: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Those of the system; reads their files.
    pub fn of_system() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        // Of so many a few may be older than the rules that rustls goes by.
        let (known, _) = store.add_parsable_certificates(found.certs.iter().cloned());
        if known == 0 {
            let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            return Err(format!("the system has no root certificates{why}"));
        }
        Self::of(store, found.certs)
    }

    /// Those in a PEM file.
    pub fn of_file(file: &PemFile) -> Result<Self, String> {
        Self::of(file.authorities()?, file.certificates.clone())
    }

    fn of(
        store: RootCertStore,
        certificates: Vec<CertificateDer<'static>>,
    ) -> Result<Self, String> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider());
        let verifier = verifier.build().map_err(|error| error.to_string())?;
        Ok(Self { verifier, certificates })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.certificates.len()
    }

    /// The SHA-256 of all of them, in whatever order.
    pub fn digest(&self) -> TlsDigest {
        let mut sorted: Vec<&[u8]> = self.certificates.iter().map(AsRef::as_ref).collect();
        sorted.sort_unstable();
        digest(sorted)
    }
}

/// The certificate that endpoints are shown, and its key.
#[derive(Debug)]
pub struct OwnCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl OwnCertificate {
    /// From a PEM file with the chain, its end first, and one with the key.
    pub fn of_files(chain: &PemFile, key: &PemFile) -> Result<Self, String> {
        let (shown, holder) = (chain.path.display(), key.path.display());
        if chain.certificates.is_empty() {
            return Err(no_certificate(chain, key));
        }
        let secret = key.key.as_ref().ok_or_else(|| no_key(key))?;
        signing_key(secret, key)?;
        let (chain, key) = (chain.certificates.clone(), secret.clone_key());
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()) {
            Ok(_) => Ok(Self { chain, key }),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(format!(
                "{holder}: this is not the key of the certificate in {shown}: give the one that was \
                 made for it"
            )),
            Err(error) => Err(format!("{shown}, {holder}: cannot be used: {error}")),
        }
    }

    /// The SHA-256 of its chain and key.
    pub fn digest(&self) -> TlsDigest {
        digest(self.chain.iter().map(AsRef::as_ref).chain([self.key.secret_der()]))
    }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> TlsDigest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    TlsDigest(digest)
}

/// TLS to the endpoints of an upstream.
#[derive(Debug)]
pub struct UpstreamTls {
    config: ClientConfig,
    digest: TlsDigest,
    verification: Verification,
    summary: Arc<str>,
}

impl UpstreamTls {
    /// With these roots, or any certificate if there are none, and this certificate of our own, if any;
    /// `summary` says so in words.
    pub fn new(
        roots: Option<Arc<Roots>>,
        own: Option<OwnCertificate>,
        summary: &str,
    ) -> Result<Self, Error> {
        let verification = if roots.is_some() { Verification::Full } else { Verification::Off };
        let trusted = roots.as_ref().map(|roots| roots.digest().0);
        let shown = own.as_ref().map(|own| own.digest().0);
        let digest =
            digest([trusted, shown].iter().map(|part| part.as_ref().map_or(&[][..], |part| part)));
        let verifier: Arc<dyn ServerCertVerifier> = match roots {
            Some(roots) => Arc::new(Verifier(roots)),
            None => Arc::new(Unverified),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match own {
            Some(own) => builder.with_client_auth_cert(own.chain, own.key)?,
            None => builder.with_no_client_auth(),
        };
        config.enable_secret_extraction = true;
        Ok(Self { config, digest, verification, summary: summary.into() })
    }

    /// To the endpoint of this name, which speaks this.
    pub fn to_endpoint(
        &self,
        server_name: ServerName<'static>,
        protocol: AppProtocol,
    ) -> EndpointTls {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let name = server_name.to_str();
        let digest = digest([&self.digest.0[..], name.as_bytes(), protocol.alpn()]);
        EndpointTls {
            config: Arc::new(config),
            server_name,
            verification: self.verification,
            digest,
            summary: Arc::clone(&self.summary),
        }
    }
}

/// Verifies an endpoint's certificate by the roots. One that is itself among them is trusted as it is,
/// which webpki does not do for most self-signed ones.
#[derive(Debug)]
struct Verifier(Arc<Roots>);

impl Verifier {
    /// Accepts a certificate that is one of the roots, if it is valid for that name now.
    fn verify_root(
        leaf: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (_, read) =
            x509_parser::parse_x509_certificate(leaf).map_err(|_| CertificateError::BadEncoding)?;
        let validity = read.validity();
        let at = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if at < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if at > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verifier.verify_server_cert(leaf, others, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::Other(_),
            )) if self.0.certificates.contains(leaf) => Self::verify_root(leaf, name, now),
            verified => verified.map_err(|error| refused(error, leaf, others)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verifier.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verifier.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.verifier.supported_verify_schemes()
    }
}

/// Accepts any certificate, of whose key the endpoint must still prove possession.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};

    use super::super::samples::pem_file;
    use super::*;
    use crate::net::tls::failure::fault_of;
    use crate::tls_fault::TlsFault;

    /// As `openssl req -x509` makes it: its own authority.
    fn own_authority(names: &[&str]) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        (params.self_signed(&key).unwrap(), key)
    }

    fn verdict(
        roots: &Certificate,
        leaf: &Certificate,
        name: &str,
        years: u64,
    ) -> Option<TlsFault> {
        let verifier =
            Verifier(Arc::new(Roots::of_file(&pem_file("ca.pem", &roots.pem())).unwrap()));
        let name = ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs((years - 1970) * 31_557_600));
        let outcome = verifier.verify_server_cert(leaf.der(), &[], &name, &[], now);
        outcome.err().map(|error| fault_of(&error))
    }

    #[test]
    fn a_certificate_among_the_roots_is_trusted_for_its_names_while_it_is_valid() {
        let (ours, other) = (own_authority(&["a.example"]).0, own_authority(&["a.example"]).0);
        // Half a year is added by the length of the years.
        let during = 2000;
        assert_eq!(verdict(&ours, &ours, "b.example", during), Some(TlsFault::NameMismatch));
        assert_eq!(verdict(&ours, &ours, "a.example", 2002), Some(TlsFault::Expired));
        assert_eq!(verdict(&ours, &ours, "a.example", 1999), Some(TlsFault::NotYetValid));
        assert_eq!(verdict(&other, &ours, "a.example", during), Some(TlsFault::SelfSigned));
        assert_eq!(verdict(&ours, &ours, "a.example", during), None);
    }

    #[test]
    fn files_that_hold_no_pair_are_refused() {
        let ((one, key), (_, other)) = (own_authority(&["a"]), own_authority(&["b"]));
        let (one, key, other) = (one.pem(), key.serialize_pem(), other.serialize_pem());
        let unusable = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n".to_owned();
        let rows = [
            (&one, &key, ""),
            (&one, &other, "k.pem: this is not the key of the certificate in c.pem"),
            (&key, &key, "c.pem: holds no certificate"),
            (&one, &one, "k.pem: holds no private key"),
            (&key, &one, "c.pem: holds the key, and k.pem the certificate: swap the two"),
            (&one, &unusable, "k.pem: the private key cannot be used: expected RSA of"),
        ];
        for (chain, key, expected) in rows {
            let files = (pem_file("c.pem", chain), pem_file("k.pem", key));
            let told = OwnCertificate::of_files(&files.0, &files.1).err().unwrap_or_default();
            assert!(told.starts_with(expected) && told.is_empty() == expected.is_empty(), "{told}");
        }
    }

    #[test]
    fn connections_are_told_apart_by_name_roots_certificate_and_protocol() {
        let ((one, key), (other, _)) = (own_authority(&["a"]), own_authority(&["b"]));
        let roots = |of: &Certificate| {
            Some(Arc::new(Roots::of_file(&pem_file("ca.pem", &of.pem())).unwrap()))
        };
        let files = (pem_file("c.pem", &one.pem()), pem_file("k.pem", &key.serialize_pem()));
        let own = || OwnCertificate::of_files(&files.0, &files.1);
        let spoken = |roots, own, name: &'static str, protocol| {
            let upstream = UpstreamTls::new(roots, own, "").unwrap();
            upstream.to_endpoint(ServerName::try_from(name).unwrap(), protocol).digest
        };
        let tls = |roots, own, name| spoken(roots, own, name, AppProtocol::Http1);
        let digests = [
            tls(roots(&one), None, "a"),
            tls(roots(&one), None, "b"),
            tls(roots(&other), None, "a"),
            tls(None, None, "a"),
            tls(roots(&one), own().ok(), "a"),
            spoken(roots(&one), None, "a", AppProtocol::Http2),
        ];
        for (nth, digest) in digests.iter().enumerate() {
            assert_eq!(digests.iter().position(|known| known == digest), Some(nth));
        }
        assert_eq!(tls(roots(&one), own().ok(), "a"), digests[4]);
    }
}
