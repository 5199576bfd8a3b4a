//! One certificate of a listener: its chain, its key, and what it says of itself.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::pem::{PemFile, hex};
use super::provider::provider;
use super::watched_file::WatchedFile;
use crate::calendar::{Day, SECOND_MAX};

/// How long before a certificate expires that is said.
pub const EXPIRY_NOTICE: Duration = Duration::from_secs(14 * DAY_SECONDS);

const DAY_SECONDS: u64 = 24 * 3600;

/// What a certificate's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, of so many bits.
    Rsa(usize),
    /// ECDSA, on the NIST curve of so many bits.
    Ecdsa(usize),
    /// Any other, such as Ed25519.
    Other,
}

impl KeyKind {
    /// Whether a client that can verify signatures of the other can verify those of this one.
    pub(super) fn suits_as(self, other: Self) -> bool {
        match (self, other) {
            (Self::Rsa(_), Self::Rsa(_)) => true,
            _ => self == other,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ecdsa(bits) => write!(f, "ECDSA P-{bits}"),
            Self::Other => f.write_str("Ed25519"),
        }
    }
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Certificate {
    /// The file of its chain, as it was given.
    pub cert: PathBuf,
    /// The file of its key; the same for a bundle of both.
    pub key: PathBuf,
    /// The names of hosts it is for (`subjectAltName`), in lower case; `*.` may stand in front.
    pub names: Box<[Box<str>]>,
    /// The addresses it is for.
    pub addresses: Box<[IpAddr]>,
    /// Since when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of the certificate in DER.
    pub fingerprint: [u8; 32],
    /// What its key is.
    pub kind: KeyKind,
    pub(super) certified: Arc<CertifiedKey>,
    /// The files as they were when they were read: one or two.
    pub(super) files: Vec<WatchedFile>,
}

impl Certificate {
    /// Reads its files again. The second is what to say of them, if anything.
    pub(super) fn read_again(&self) -> Result<(Self, Option<String>), String> {
        let chain = PemFile::read(&self.cert)?;
        let key = if self.key == self.cert { None } else { Some(PemFile::read(&self.key)?) };
        let certificate = Self::new(&chain, key.as_ref())?;
        Ok((certificate, key.as_ref().unwrap_or(&chain).warning()))
    }

    /// Checks what was read: the first certificate is that of the host, the others vouch for it. The
    /// key is in `key`, or else beside it. The error names the file, what is wrong and what helps.
    pub fn new(chain: &PemFile, key: Option<&PemFile>) -> Result<Self, String> {
        let (shown, holder) = (chain.path.display(), key.unwrap_or(chain));
        let first = chain.certificates.first().ok_or_else(|| no_certificate(chain, holder))?;
        let (_, parsed) = X509Certificate::from_der(first)
            .map_err(|error| format!("{shown}: the certificate cannot be read: {error}"))?;
        // Before the names: in a chain in the wrong order, the first has none.
        let secret = holder.key.as_ref().ok_or_else(|| no_key(holder))?;
        let certified = certified(chain, secret, holder)?;
        let Names { names, addresses } =
            names(&parsed).map_err(|error| format!("{shown}: {error}: have it issued again"))?;
        if names.is_empty() && addresses.is_empty() {
            return Err(format!(
                "{shown}: the certificate has no subjectAltName, and clients do not look at its \
                 common name: have it issued for DNS names"
            ));
        }
        let validity = parsed.validity();
        Ok(Self {
            cert: chain.path.clone(),
            key: holder.path.clone(),
            names,
            addresses,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            fingerprint: sha256(first),
            kind: kind(&parsed),
            certified: Arc::new(certified),
            files: std::iter::once(chain).chain(key).map(|read| read.file.clone()).collect(),
        })
    }

    /// Its chain, that of the host first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The names and addresses it is for, as text.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        let names = self.names.iter().map(ToString::to_string);
        names.chain(self.addresses.iter().map(ToString::to_string))
    }

    /// Its fingerprint in hexadecimal.
    pub fn fingerprint_hex(&self) -> String {
        hex(&self.fingerprint)
    }

    /// What is wrong with its dates `now`, in time since 1970, or soon will be.
    pub fn warning(&self, now: Duration) -> Option<String> {
        let (now, shown) = (seconds(now), self.cert.display());
        if self.not_after < now {
            let day = date(self.not_after);
            return Some(format!("{shown}: expired on {day}: clients refuse it"));
        }
        if self.not_before > now {
            let day = date(self.not_before);
            return Some(format!("{shown}: not valid before {day}: clients refuse it until then"));
        }
        let left = self.not_after - now;
        (left <= seconds(EXPIRY_NOTICE)).then(|| {
            let days = left / seconds(Duration::from_secs(DAY_SECONDS));
            let when = match days {
                0 => "within a day".to_owned(),
                1 => "in a day".to_owned(),
                days => format!("in {days} days"),
            };
            format!("{shown}: expires {when}, on {}", date(self.not_after))
        })
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// A day such as `2026-11-26`, of a moment in seconds since 1970.
pub fn date(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0).min(SECOND_MAX);
    let Day { year, month, of_month, .. } = Day::after_epoch(seconds / DAY_SECONDS);
    format!("{year:04}-{month:02}-{of_month:02}")
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// The two files are easily swapped.
pub(super) fn no_certificate(chain: &PemFile, holder: &PemFile) -> String {
    let shown = chain.path.display();
    if chain.key.is_some() && !holder.certificates.is_empty() {
        let other = holder.path.display();
        return format!("{shown}: holds the key, and {other} the certificate: swap the two");
    }
    format!("{shown}: holds no certificate: expected PEM with -----BEGIN CERTIFICATE-----")
}

/// A file holds no key.
pub(super) fn no_key(holder: &PemFile) -> String {
    let shown = holder.path.display();
    if holder.certificates.is_empty() {
        format!("{shown}: holds no private key: expected -----BEGIN PRIVATE KEY-----")
    } else {
        format!("{shown}: holds no private key: name the file that does, or put the key into it")
    }
}

/// The key of a file, in the form that signs.
pub(super) fn signing_key(
    secret: &PrivateKeyDer<'static>,
    holder: &PemFile,
) -> Result<Arc<dyn SigningKey>, String> {
    let shown = holder.path.display();
    provider().key_provider.load_private_key(secret.clone_key()).map_err(|_| {
        format!(
            "{shown}: the private key cannot be used: expected RSA of 2048 to 8192 bits, ECDSA on P-256, \
             P-384 or P-521, or Ed25519"
        )
    })
}

fn certified(
    chain: &PemFile,
    secret: &PrivateKeyDer<'static>,
    holder: &PemFile,
) -> Result<CertifiedKey, String> {
    let key = signing_key(secret, holder)?;
    let certified = CertifiedKey::new(chain.certificates.clone(), key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => Err(mismatch(chain, &certified, holder)),
        Err(error) => Err(format!("{}: not a usable certificate: {error}", chain.path.display())),
    }
}

/// Chains are often written in the wrong order.
fn mismatch(chain: &PemFile, certified: &CertifiedKey, holder: &PemFile) -> String {
    let fits = |certificate: &CertificateDer<'static>| {
        let alone = vec![certificate.clone()];
        CertifiedKey::new(alone, Arc::clone(&certified.key)).keys_match().is_ok()
    };
    let shown = chain.path.display();
    match chain.certificates.iter().position(fits) {
        Some(place) => format!(
            "{shown}: the key is that of certificate {} in the file: put that one first, and those \
             that vouch for it after it",
            place + 1
        ),
        None => format!(
            "{}: this is not the key of the certificate in {shown}: give the one that was made for it",
            holder.path.display()
        ),
    }
}

/// What a certificate is for.
struct Names {
    names: Box<[Box<str>]>,
    addresses: Box<[IpAddr]>,
}

/// The names and addresses of a certificate (RFC 5280 §4.2.1.6).
fn names(parsed: &X509Certificate<'_>) -> Result<Names, String> {
    let (mut names, mut addresses) = (Vec::<Box<str>>::new(), Vec::new());
    let extension = parsed.subject_alternative_name();
    let extension = extension.map_err(|error| format!("subjectAltName is broken: {error}"))?;
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                // What is in it goes to logs and to the page.
                if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) {
                    names.push(name.into());
                }
            }
            GeneralName::IPAddress(octets) => {
                let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
                addresses.extend(v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)));
            }
            _ => {}
        }
    }
    Ok(Names { names: names.into(), addresses: addresses.into() })
}

fn kind(parsed: &X509Certificate<'_>) -> KeyKind {
    match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => KeyKind::Rsa(key.key_size()),
        Ok(PublicKey::EC(point)) => KeyKind::Ecdsa(match point.key_size() {
            // A coordinate of P-521 takes 66 bytes.
            528 => 521,
            bits => bits,
        }),
        _ => KeyKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, pem_file};
    use super::*;

    /// 2026-11-26.
    const NOW: Duration = Duration::from_secs(1_795_651_200);

    const DAY: i64 = 86_400;

    fn read(sample: &Sample) -> Result<Certificate, String> {
        Certificate::new(&pem_file("c.pem", &sample.cert), Some(&pem_file("k.pem", &sample.key)))
    }

    #[test]
    fn it_says_what_it_is_for() {
        let certificate = read(&Sample::of(&["A.example", "*.b.example", "192.0.2.1", "::1"]));
        let certificate = certificate.unwrap();
        let names: Vec<&str> = certificate.names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["a.example", "*.b.example"]);
        let addresses: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(&*certificate.addresses, addresses);
        assert_eq!(certificate.kind, KeyKind::Ecdsa(256));
        assert_eq!(certificate.fingerprint_hex().len(), 64);
    }

    #[test]
    fn a_bundle_holds_its_key() {
        let Sample { cert, key } = Sample::of(&["a.example"]);
        for text in [format!("{cert}{key}"), format!("{key}{cert}")] {
            let certificate = Certificate::new(&pem_file("b.pem", &text), None).unwrap();
            assert_eq!(certificate.key, PathBuf::from("b.pem"));
        }
    }

    #[test]
    fn what_cannot_serve_is_refused_by_file_reason_and_remedy() {
        let (one, other) = (Sample::of(&["a.example"]), Sample::of(&["b.example"]));
        let nameless = Sample::of(&[]);
        let reversed = format!("{}{}", other.cert, one.cert);
        let authority_first = format!("{}{}", nameless.cert, one.cert);
        let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let unusable = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        let rows = [
            (&*one.cert, unusable, "k.pem: the private key cannot be used: expected RSA of"),
            (&one.key, &one.key, "c.pem: holds no certificate: expected"),
            (&one.cert, &one.cert, "k.pem: holds no private key: name the file"),
            (&one.cert, "", "k.pem: holds no private key: expected"),
            (&one.cert, &other.key, "k.pem: this is not the key of the certificate in c.pem: give"),
            (&reversed, &one.key, "c.pem: the key is that of certificate 2 in the file: put"),
            (
                &authority_first,
                &one.key,
                "c.pem: the key is that of certificate 2 in the file: put",
            ),
            (&one.key, &one.cert, "c.pem: holds the key, and k.pem the certificate: swap"),
            (&nameless.cert, &nameless.key, "c.pem: the certificate has no subjectAltName"),
            (broken, &one.key, "c.pem: the certificate cannot be read"),
        ];
        for (cert, key, expected) in rows {
            let files = (pem_file("c.pem", cert), pem_file("k.pem", key));
            let error = Certificate::new(&files.0, Some(&files.1)).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn its_dates_are_warned_about() {
        let now = seconds(NOW);
        let rows = [
            (-10 * DAY, -1, Some("c.pem: expired on 2026-11-25: clients refuse it")),
            (
                DAY,
                90 * DAY,
                Some("c.pem: not valid before 2026-11-27: clients refuse it until then"),
            ),
            (-DAY, 14 * DAY, Some("c.pem: expires in 14 days, on 2026-12-10")),
            (-DAY, 3600, Some("c.pem: expires within a day, on 2026-11-26")),
            (-DAY, 14 * DAY + 1, None),
        ];
        for (from, until, expected) in rows {
            let sample = Sample::valid(&["a.example"], now + from, now + until);
            let certificate = read(&sample).unwrap();
            assert_eq!(certificate.warning(NOW).as_deref(), expected, "{from} {until}");
        }
    }
}
