//! Certificates for tests, made in memory.

use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ED25519, date_time_ymd};

use super::pem::PemFile;
use super::watched_file::WatchedFile;

/// A certificate and its key, in PEM.
pub(super) struct Sample {
    pub(super) cert: String,
    pub(super) key: String,
}

impl Sample {
    /// For these names and addresses, ECDSA, self-signed, always valid.
    pub(super) fn of(names: &[&str]) -> Self {
        Self::signed(&params(names), &KeyPair::generate().unwrap())
    }

    /// The same with another kind of key.
    pub(super) fn ed25519(names: &[&str]) -> Self {
        Self::signed(&params(names), &KeyPair::generate_for(&PKCS_ED25519).unwrap())
    }

    /// Valid between these seconds since 1970.
    pub(super) fn valid(names: &[&str], from: i64, until: i64) -> Self {
        let at = |seconds: i64| {
            date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap())
        };
        let mut params = params(names);
        (params.not_before, params.not_after) = (at(from), at(until));
        Self::signed(&params, &KeyPair::generate().unwrap())
    }

    fn signed(params: &CertificateParams, key: &KeyPair) -> Self {
        Self { cert: params.self_signed(key).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// The certificate of an authority, in PEM.
pub(super) fn authority() -> String {
    let mut params = params(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// A file of this text that only its owner can read.
pub(super) fn pem_file(path: &str, text: &str) -> PemFile {
    PemFile::parse(WatchedFile::new(Path::new(path), None), text.as_bytes(), 0o600).unwrap()
}
