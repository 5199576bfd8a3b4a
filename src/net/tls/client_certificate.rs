//! What a client's certificate says of it.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

use super::certificate::sha256;
use super::pem::hex;

/// The longest subject that is passed on, in bytes; what is longer is cut.
const SUBJECT_BYTES_MAX: usize = 1024;

/// A certificate that a client has shown, and that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject (RFC 4514), in visible ASCII: other bytes are escaped as that says.
    pub subject: Box<str>,
    /// SHA-256 of it, in hexadecimal digits.
    pub sha256: Box<str>,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
}

impl ClientCertificate {
    /// `None` if it cannot be read, which it could be when it was verified.
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(Self {
            subject: subject(parsed.subject()).into(),
            sha256: hex(&sha256(certificate)).into(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }
}

/// RFC 4514 §2: the last relative name first.
fn subject(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let relative: Vec<_> = name.iter_rdn().collect();
    for (nth, relative) in relative.into_iter().rev().enumerate() {
        for (place, attribute) in relative.iter().enumerate() {
            match (nth, place) {
                (0, 0) => {}
                (_, 0) => text.push(','),
                _ => text.push('+'),
            }
            write_attribute(attribute, &mut text);
        }
    }
    // Visible ASCII: any place is between two characters.
    text.truncate(SUBJECT_BYTES_MAX);
    text
}

/// The short names of RFC 4514 §3; others are written as their object identifiers.
const SHORT: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, text: &mut String) {
    let kind = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(id, _)| *id == kind);
    text.push_str(short.map_or(&*kind, |(_, short)| short));
    text.push('=');
    if let Ok(value) = attribute.as_str() {
        write_value(value, text);
    } else {
        // §2.4: what is no text is written as it is encoded.
        text.push('#');
        text.push_str(&hex(attribute.attr_value().data));
    }
}

/// RFC 4514 §2.4.
fn write_value(value: &str, text: &mut String) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                text.push('\\');
                text.push(byte.into());
            }
            b'#' if at == 0 => text.push_str("\\#"),
            b' ' if at == 0 || at == last => text.push_str("\\ "),
            b' '..=b'~' => text.push(byte.into()),
            // Nothing that is formatted into a string can fail.
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn read(parts: &[(DnType, &str)]) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientCertificate::read(made.der()).unwrap()
    }

    #[test]
    fn a_subject_is_written_from_its_end() {
        let parts = [(DnType::OrganizationName, "Acme"), (DnType::CommonName, "alice")];
        assert_eq!(&*read(&parts).subject, "CN=alice,O=Acme");
    }

    #[test]
    fn nothing_in_a_subject_ends_a_line_or_a_name() {
        for (value, expected) in [
            ("a,O=root", "CN=a\\,O\\=root"),
            ("a\r\nX: y", "CN=a\\0D\\0AX: y"),
            ("#a+b\\\"<>;", "CN=\\#a\\+b\\\\\\\"\\<\\>\\;"),
            (" a ", "CN=\\ a\\ "),
            ("é\0", "CN=\\C3\\A9\\00"),
        ] {
            assert_eq!(&*read(&[(DnType::CommonName, value)]).subject, expected, "{value:?}");
        }
        let long = "x".repeat(5000);
        let subject = read(&[(DnType::CommonName, &long)]).subject;
        assert_eq!(subject.len(), SUBJECT_BYTES_MAX);
    }

    #[test]
    fn a_fingerprint_is_that_of_the_certificate() {
        let certificate = read(&[(DnType::CommonName, "a")]);
        assert_eq!(certificate.sha256.len(), 64);
        assert!(certificate.not_after > 0);
    }
}
