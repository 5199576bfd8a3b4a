//! PEM files: certificates and keys as they are written (RFC 7468).

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::watched_file::{FileStamp, WatchedFile};

/// The largest file that is read, in bytes: the roots of a whole system take a quarter of it.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// Keys that only a passphrase opens: PKCS#8 (RFC 7468 §11) and the older format of OpenSSL.
const ENCRYPTED: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];

/// What is in a PEM file. Other sections, such as parameters of curves, are left out.
pub struct PemFile {
    /// Its path.
    pub path: PathBuf,
    /// Its certificates, in order.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Its key in PKCS#8, SEC1 or PKCS#1, if it has one.
    pub key: Option<PrivateKeyDer<'static>>,
    /// Its permissions.
    mode: u32,
    /// It as it was when it was read.
    pub file: WatchedFile,
}

impl PemFile {
    /// Reads a file. The error names the file, what is wrong and what helps.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| {
            // Before its contents: a later change is noticed then.
            let metadata = file.metadata()?;
            file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map(|_| metadata)
        });
        let metadata = read.map_err(|error| format!("{shown}: {error}"))?;
        if bytes.len() as u64 > PEM_BYTES_MAX {
            return Err(format!(
                "{shown}: larger than {PEM_BYTES_MAX} bytes: not a PEM file of ours"
            ));
        }
        let mode = metadata.permissions().mode();
        Self::parse(WatchedFile::new(path, Some(FileStamp::of(&metadata))), &bytes, mode)
    }

    pub(super) fn parse(file: WatchedFile, bytes: &[u8], mode: u32) -> Result<Self, String> {
        let path = file.path.clone();
        let shown = path.display();
        if ENCRYPTED.iter().any(|mark| memchr::memmem::find(bytes, mark).is_some()) {
            return Err(format!(
                "{shown}: the key is encrypted: remove the passphrase (openssl pkey -in OLD -out NEW)"
            ));
        }
        if let Some(what) = binary(bytes) {
            return Err(format!(
                "{shown}: expected -----BEGIN CERTIFICATE----- or a key in PEM: {what}"
            ));
        }
        let (mut certificates, mut keys) = (Vec::new(), Vec::new());
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
            let (kind, der) =
                section.map_err(|error| format!("{shown}: not valid PEM: {}", damage(error)))?;
            match kind {
                SectionKind::Certificate => certificates.push(CertificateDer::from(der)),
                SectionKind::PrivateKey => keys.push(PrivateKeyDer::Pkcs8(der.into())),
                SectionKind::EcPrivateKey => keys.push(PrivateKeyDer::Sec1(der.into())),
                SectionKind::RsaPrivateKey => keys.push(PrivateKeyDer::Pkcs1(der.into())),
                _ => {}
            }
        }
        if keys.len() > 1 {
            return Err(format!("{shown}: holds {} private keys: leave one", keys.len()));
        }
        Ok(Self { path, certificates, key: keys.pop(), mode, file })
    }

    /// What to say if everybody on this machine can read the key in it.
    pub fn warning(&self) -> Option<String> {
        let is_open = self.key.is_some() && self.mode & 0o004 != 0;
        is_open.then(|| {
            let mode = self.mode & 0o7777;
            format!(
                "{}: every user of this machine can read this private key (mode {mode:o}): chmod 640",
                self.path.display()
            )
        })
    }

    /// Its certificates as authorities that vouch for others.
    pub fn authorities(&self) -> Result<RootCertStore, String> {
        let shown = self.path.display();
        if self.certificates.is_empty() {
            return Err(format!(
                "{shown}: holds no certificate: expected -----BEGIN CERTIFICATE----- of an authority"
            ));
        }
        let mut roots = RootCertStore::empty();
        for (place, certificate) in (1..).zip(&self.certificates) {
            roots.add(certificate.clone()).map_err(|error| {
                format!("{shown}: certificate {place} cannot serve as an authority: {error}")
            })?;
        }
        Ok(roots)
    }
}

/// What a file in a binary format is, and how it is converted.
fn binary(bytes: &[u8]) -> Option<&'static str> {
    // A SEQUENCE with its length (X.690 §8.1.3), then the tag and the beginning of what is in it.
    let header = match bytes {
        [0x30, 0x82, _, _, ..] => 4,
        [0x30, 0x81, _, ..] => 3,
        // In a text, this would be a digit and a letter.
        [0x30, length, 0x02, ..] if *length < 0x80 => 2,
        _ => return None,
    };
    Some(match &bytes[header..] {
        // PFX, version 3 (RFC 7292 §4).
        [0x02, 0x01, 0x03, ..] => {
            "this is PKCS#12: convert it (openssl pkcs12 -in OLD -out NEW -nodes)"
        }
        [0x02, ..] => {
            "this is a key in DER: convert it (openssl pkey -inform DER -in OLD -out NEW)"
        }
        [0x30, ..] => "this is DER: convert it (openssl x509 -inform DER -in OLD -out NEW)",
        _ => "this is a binary file",
    })
}

/// What is wrong with a section.
fn damage(error: pem::Error) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().chars().take(64).collect();
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            let label: String = text(&end_marker);
            let label = label.escape_debug();
            format!("there is no -----END {label}-----: the file has been cut short or changed")
        }
        pem::Error::IllegalSectionStart { line } => {
            let line: String = text(&line);
            format!("{line:?} does not begin a section: expected five dashes at its end")
        }
        pem::Error::Base64Decode(_) => {
            "what is between BEGIN and END is not Base64: the file has been damaged".to_owned()
        }
        other => other.to_string(),
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";

    fn parse(text: &str, mode: u32) -> Result<PemFile, String> {
        PemFile::parse(WatchedFile::new(Path::new("x.pem"), None), text.as_bytes(), mode)
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let rows = [
            (KEY.replace(" PRIVATE", " ENCRYPTED PRIVATE"), "x.pem: the key is encrypted: remove"),
            (KEY.replace("MAA=", "Proc-Type: 4,ENCRYPTED"), "x.pem: the key is encrypted: remove"),
            ([KEY, KEY].concat(), "x.pem: holds 2 private keys: leave one"),
            (
                KEY.replace("MAA=", "~"),
                "x.pem: not valid PEM: what is between BEGIN and END is not",
            ),
            (
                KEY.replace("END", "EN"),
                "x.pem: not valid PEM: there is no -----END PRIVATE KEY-----: the file",
            ),
            (
                KEY.replacen("KEY-----", "KEY", 1),
                "x.pem: not valid PEM: \"-----BEGIN PRIVATE KEY\"",
            ),
        ];
        for (text, expected) in rows {
            let error = parse(&text, 0o600).map(drop).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_binary_file_is_refused_with_the_command_that_converts_it() {
        let rows: [(&[u8], &str); 4] = [
            (&[0x30, 0x82, 9, 9, 0x02, 0x01, 0x03], "PKCS#12: convert it (openssl pkcs12 "),
            (&[0x30, 0x82, 9, 9, 0x30, 0x82], "DER: convert it (openssl x509 -inform DER "),
            (&[0x30, 0x81, 0x87, 0x02, 0x01, 0], "DER: convert it (openssl pkey -inform DER "),
            (&[0x30, 0x77, 0x02, 0x01, 1], "DER: convert it (openssl pkey -inform DER "),
        ];
        for (bytes, expected) in rows {
            let file = WatchedFile::new(Path::new("x.pem"), None);
            let error = PemFile::parse(file, bytes, 0o600).map(drop).unwrap_err();
            assert!(error.starts_with("x.pem: expected -----BEGIN CERTIFICATE-----"), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_key_that_everybody_can_read_is_warned_about() {
        let warning = parse(KEY, 0o100_644).unwrap().warning();
        assert!(warning.is_some_and(|text| text.contains("(mode 644): chmod 640")));
        assert_eq!(parse(KEY, 0o100_640).unwrap().warning(), None);
        assert_eq!(parse("", 0o100_644).unwrap().warning(), None);
    }
}
