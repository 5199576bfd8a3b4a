//! Certificate authorities, and the certificates they issue: ECDSA on P-256, made in microseconds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::temporary;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Issues certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// What its certificates need besides themselves for a chain to the root: itself, if it is none.
    chain: Vec<CertificateDer<'static>>,
    chain_pem: String,
    root: CertificateDer<'static>,
    root_pem: String,
}

/// A certificate with its chain and its key.
#[derive(Clone)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    chain_pem: String,
    key: Vec<u8>,
    key_pem: String,
}

/// A certificate and its key as PEM files, which are removed with this.
pub struct Files {
    pub cert: String,
    pub key: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Since yesterday, for so many days from now.
    Days(u32),
    /// Until yesterday.
    Expired,
    /// From tomorrow.
    NotYet,
}

impl Validity {
    fn set(self, params: &mut CertificateParams) {
        let epoch = date_time_ymd(1970, 1, 1);
        let now = epoch + SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        (params.not_before, params.not_after) = match self {
            Self::Days(days) => (now - DAY, now + DAY * days),
            Self::Expired => (now - DAY * 30, now - DAY),
            Self::NotYet => (now + DAY, now + DAY * 30),
        };
    }
}

/// An authority's own certificate, unsigned.
fn authority(name: &str) -> CertificateParams {
    let mut params = subject(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Validity::Days(365).set(&mut params);
    params
}

fn subject(name: &str, alternatives: &[&str]) -> CertificateParams {
    let alternatives: Vec<String> = alternatives.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(alternatives).expect("names");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

impl Authority {
    /// The one that tests share unless they need another.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Authority> = LazyLock::new(|| Authority::new("Test Authority"));
        &SHARED
    }

    /// A root of its own, with this common name.
    pub fn new(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority(name), key()).expect("an authority");
        let (root, root_pem) = (issuer.der().clone(), issuer.pem());
        Self { issuer, chain: Vec::new(), chain_pem: String::new(), root, root_pem }
    }

    /// An intermediate one, whose certificates carry its own in their chain.
    pub fn subordinate(&self, name: &str) -> Self {
        let issuer = CertifiedIssuer::signed_by(authority(name), key(), &self.issuer);
        let issuer = issuer.expect("an authority");
        Self {
            chain: [vec![issuer.der().clone()], self.chain.clone()].concat(),
            chain_pem: issuer.pem() + &self.chain_pem,
            root: self.root.clone(),
            root_pem: self.root_pem.clone(),
            issuer,
        }
    }

    /// A server's certificate for these names and IP addresses; the first is its subject.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_valid(names, Validity::Days(90))
    }

    /// Like [`Authority::issue`], valid as said.
    pub fn issue_valid(&self, names: &[&str], validity: Validity) -> Identity {
        self.identity(
            names,
            names.first().unwrap_or(&"nameless"),
            validity,
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// A client's certificate with this common name.
    pub fn client(&self, name: &str) -> Identity {
        self.client_valid(name, Validity::Days(90))
    }

    /// Like [`Authority::client`], valid as said.
    pub fn client_valid(&self, name: &str, validity: Validity) -> Identity {
        self.identity(&[], name, validity, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn identity(
        &self,
        names: &[&str],
        common_name: &str,
        validity: Validity,
        usage: ExtendedKeyUsagePurpose,
    ) -> Identity {
        let mut params = subject(common_name, names);
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        validity.set(&mut params);
        let key = key();
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = [vec![leaf.der().clone()], self.chain.clone()].concat();
        Identity::new(chain, leaf.pem() + &self.chain_pem, &key)
    }

    /// A certificate that only its own key signs, for these names and IP addresses.
    pub fn self_signed(names: &[&str]) -> Identity {
        let mut params = subject(names.first().unwrap_or(&"nameless"), names);
        Validity::Days(90).set(&mut params);
        let key = key();
        let leaf = params.self_signed(&key).expect("a certificate");
        Identity::new(vec![leaf.der().clone()], leaf.pem(), &key)
    }

    /// The root alone, for those that trust it.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a root");
        roots
    }

    /// The root's certificate in a PEM file, for `--client-ca` and `--upstream-ca`.
    pub fn file(&self) -> String {
        let path = temporary("ca.pem");
        fs::write(&path, &self.root_pem).expect("write");
        path.to_str().expect("UTF-8").to_owned()
    }
}

impl Identity {
    fn new(chain: Vec<CertificateDer<'static>>, chain_pem: String, key: &KeyPair) -> Self {
        Self { chain, chain_pem, key: key.serialize_der(), key_pem: key.serialize_pem() }
    }

    /// One for `localhost` and its addresses, from the shared authority.
    pub fn localhost() -> &'static Self {
        static LOCALHOST: LazyLock<Identity> =
            LazyLock::new(|| Authority::shared().issue(&["localhost", "127.0.0.1", "::1"]));
        &LOCALHOST
    }

    /// The certificate itself.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// The certificate and what links it to the root.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }

    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Writes it to new files.
    pub fn files(&self) -> Files {
        let path = |name| temporary(name).to_str().expect("UTF-8").to_owned();
        let files = Files { cert: path("cert.pem"), key: path("key.pem") };
        files.replace(self);
        files
    }
}

impl Files {
    /// Puts another certificate in their place, as a renewal does: each file in one step.
    pub fn replace(&self, identity: &Identity) {
        put(&self.key, &identity.key_pem);
        put(&self.cert, &identity.chain_pem);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in [&self.cert, &self.key] {
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes a file that only its owner reads, and puts it in the place of an older one.
fn put(path: &str, text: &str) {
    let new = format!("{path}.new");
    fs::write(&new, text).expect("write");
    fs::set_permissions(Path::new(&new), fs::Permissions::from_mode(0o600)).expect("permissions");
    fs::rename(new, path).expect("rename");
}
