//! What rustls says of a failure, as a [`TlsFault`] and as words for the log.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible};

use crate::calendar::{Day, SECOND_MAX};
use crate::tls_fault::TlsFault;

/// The names of a certificate that are shown.
const NAMES_MAX: usize = 8;

/// The bytes that are shown of a name: as many as a host name can have (RFC 1035 §2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// The bytes that are shown of anything else.
const DETAIL_BYTES_MAX: usize = 200;

/// Which of the faults an error of rustls is.
pub fn fault_of(error: &Error) -> TlsFault {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::InvalidCertRevocationList(_) | Error::UnsupportedNameType => {
            TlsFault::BadCertificate
        }
        Error::NoCertificatesPresented => TlsFault::NoCertificate,
        Error::AlertReceived(alert) => TlsFault::Alert(u8::from(*alert)),
        Error::NoApplicationProtocol => TlsFault::NoProtocol,
        Error::PeerIncompatible(what) => of_incompatible(what),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => TlsFault::NotTls,
        _ => TlsFault::Misbehaved,
    }
}

fn of_certificate(error: &CertificateError) -> TlsFault {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsFault::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::NameMismatch
        }
        CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
        CertificateError::Other(OtherError(other)) if other.is::<SelfSigned>() => {
            TlsFault::SelfSigned
        }
        // Revoked, badly encoded or signed, for another purpose, with an extension nobody knows.
        _ => TlsFault::BadCertificate,
    }
}

fn of_incompatible(what: &PeerIncompatible) -> TlsFault {
    match what {
        PeerIncompatible::IncorrectCertificateTypeExtension
        | PeerIncompatible::UnsolicitedCertificateTypeExtension
        | PeerIncompatible::ServerSentHelloRetryRequestWithUnknownExtension => TlsFault::Misbehaved,
        _ => TlsFault::NothingInCommon,
    }
}

/// Whether bytes that are no TLS record are the beginning of an HTTP request or response in plain text.
pub fn is_plain_http(first: &[u8]) -> bool {
    let is_of_word = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'-';
    let word = first.iter().take_while(|byte| is_of_word(byte)).count();
    first.first().is_some_and(u8::is_ascii_uppercase)
        && matches!(first.get(word), None | Some(b' ' | b'/'))
}

/// A certificate that nobody but itself vouches for.
#[derive(Debug)]
struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("self-signed certificate")
    }
}

impl std::error::Error for SelfSigned {}

/// What a verifier says that refuses a chain for `error`: rustls does not tell a certificate that is
/// self-signed from one of an unknown issuer, and calls one that is its own authority neither.
pub fn refused(error: Error, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Error {
    let is_unknown = matches!(
        error,
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_))
    );
    if is_unknown && others.iter().all(|other| other == leaf) && is_self_issued(leaf) {
        return CertificateError::Other(OtherError(Arc::new(SelfSigned))).into();
    }
    error
}

/// Whether a certificate names itself as its issuer.
fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, read)| read.subject().as_raw() == read.issuer().as_raw())
}

/// What there is to say besides the phrase of the fault, in printable ASCII and bounded: the names in a
/// certificate, when it expired, which rule was broken.
pub fn detail_of(error: &Error) -> Option<String> {
    match error {
        Error::InvalidCertificate(error) => of_certificate_in_words(error),
        Error::PeerIncompatible(what) => Some(bounded(&format!("{what:?}"), DETAIL_BYTES_MAX)),
        Error::PeerMisbehaved(what) => Some(bounded(&format!("{what:?}"), DETAIL_BYTES_MAX)),
        Error::InvalidMessage(what) => Some(bounded(&format!("{what:?}"), DETAIL_BYTES_MAX)),
        Error::AlertReceived(alert) => Some(format!("alert {}", u8::from(*alert))),
        Error::NoCertificatesPresented | Error::NoApplicationProtocol => None,
        _ => Some(bounded(&error.to_string(), DETAIL_BYTES_MAX)),
    }
}

fn of_certificate_in_words(error: &CertificateError) -> Option<String> {
    match error {
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = bounded(&expected.to_str(), NAME_BYTES_MAX);
            Some(format!("expected {expected}, but it is for {}", names(presented)))
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            Some(format!("valid until {}", date(*not_after)))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(format!("valid from {}", date(*not_before)))
        }
        CertificateError::Expired
        | CertificateError::NotValidYet
        | CertificateError::NotValidForName
        | CertificateError::UnknownIssuer => None,
        CertificateError::Other(OtherError(other)) if other.is::<SelfSigned>() => None,
        _ => Some(bounded(&error.to_string(), DETAIL_BYTES_MAX)),
    }
}

/// The names in a certificate, which rustls gives as `DnsName("a.example")` or `IpAddress(10.0.0.1)`.
fn names(presented: &[String]) -> String {
    let inner = |name: &str| {
        let known = name.strip_prefix("DnsName(\"").and_then(|rest| rest.strip_suffix("\")"));
        let address = name.strip_prefix("IpAddress(").and_then(|rest| rest.strip_suffix(')'));
        bounded(known.or(address).unwrap_or(name), NAME_BYTES_MAX)
    };
    let shown: Vec<String> = presented.iter().take(NAMES_MAX).map(|name| inner(name)).collect();
    let mut text = shown.join(", ");
    match presented.len() {
        0 => "no host".clone_into(&mut text),
        known if known > NAMES_MAX => {
            let _ = write!(text, " and {} more", known - NAMES_MAX);
        }
        _ => {}
    }
    text
}

/// The same in printable ASCII, cut after so many bytes.
fn bounded(text: &str, bytes_max: usize) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        let start = shown.len();
        match character {
            ' '..='~' => shown.push(character),
            other => shown.extend(other.escape_unicode()),
        }
        if shown.len() > bytes_max {
            shown.truncate(start);
            shown.push_str("...");
            break;
        }
    }
    shown
}

/// A moment as in RFC 3339, in UTC.
fn date(time: UnixTime) -> String {
    let seconds = time.as_secs().min(SECOND_MAX);
    let Day { year, month, of_month, .. } = Day::after_epoch(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::ServerName;
    use rustls::{AlertDescription, PeerMisbehaved};

    use super::*;

    fn time(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn for_another_name(presented: &[&str]) -> Error {
        let expected = ServerName::try_from("one.example").unwrap();
        let presented = presented.iter().map(|&name| name.to_owned()).collect();
        CertificateError::NotValidForNameContext { expected, presented }.into()
    }

    fn expired() -> Error {
        CertificateError::ExpiredContext { time: time(2), not_after: time(951_786_061) }.into()
    }

    fn not_yet_valid() -> Error {
        CertificateError::NotValidYetContext { time: time(2), not_before: time(86_400) }.into()
    }

    #[test]
    fn every_error_has_its_fault() {
        let rows: &[(Error, TlsFault)] = &[
            (CertificateError::Expired.into(), TlsFault::Expired),
            (expired(), TlsFault::Expired),
            (CertificateError::NotValidYet.into(), TlsFault::NotYetValid),
            (not_yet_valid(), TlsFault::NotYetValid),
            (CertificateError::NotValidForName.into(), TlsFault::NameMismatch),
            (for_another_name(&[]), TlsFault::NameMismatch),
            (CertificateError::UnknownIssuer.into(), TlsFault::UnknownIssuer),
            (CertificateError::BadSignature.into(), TlsFault::BadCertificate),
            (CertificateError::InvalidPurpose.into(), TlsFault::BadCertificate),
            (CertificateError::Revoked.into(), TlsFault::BadCertificate),
            (Error::NoCertificatesPresented, TlsFault::NoCertificate),
            (Error::AlertReceived(AlertDescription::HandshakeFailure), TlsFault::Alert(40)),
            (Error::AlertReceived(AlertDescription::Unknown(200)), TlsFault::Alert(200)),
            (Error::NoApplicationProtocol, TlsFault::NoProtocol),
            (PeerIncompatible::NoCipherSuitesInCommon.into(), TlsFault::NothingInCommon),
            (InvalidMessage::InvalidContentType.into(), TlsFault::NotTls),
            (InvalidMessage::UnknownProtocolVersion.into(), TlsFault::NotTls),
            (InvalidMessage::MessageTooShort.into(), TlsFault::Misbehaved),
            (PeerMisbehaved::TooManyKeyUpdateRequests.into(), TlsFault::Misbehaved),
            (Error::DecryptError, TlsFault::Misbehaved),
            (Error::PeerSentOversizedRecord, TlsFault::Misbehaved),
        ];
        for (error, fault) in rows {
            assert_eq!(fault_of(error), *fault, "{error:?}");
        }
    }

    #[test]
    fn details_name_dates_names_and_rules() {
        let rows = [
            (expired(), Some("valid until 2000-02-29T01:01:01Z")),
            (not_yet_valid(), Some("valid from 1970-01-02T00:00:00Z")),
            (
                for_another_name(&["DnsName(\"*.b.example\")", "IpAddress(::1)", "DirectoryName"]),
                Some("expected one.example, but it is for *.b.example, ::1, DirectoryName"),
            ),
            (for_another_name(&[]), Some("expected one.example, but it is for no host")),
            (PeerMisbehaved::InvalidKeyShare.into(), Some("InvalidKeyShare")),
            (CertificateError::UnknownIssuer.into(), None),
        ];
        for (error, detail) in rows {
            assert_eq!(detail_of(&error).as_deref(), detail, "{error:?}");
        }
    }

    #[test]
    fn what_a_certificate_says_is_bounded_and_escaped() {
        let long = format!("DnsName(\"{}\n\u{202e}\")", "a".repeat(300));
        let names: Vec<&str> = (0..100).map(|_| &*long).collect();
        let detail = detail_of(&for_another_name(&names)).unwrap();
        assert!(detail.len() < 2500 && detail.ends_with("... and 92 more"), "{detail}");
        let detail = detail_of(&for_another_name(&["DnsName(\"a\n\u{202e}\")"])).unwrap();
        assert!(detail.ends_with("for a\\u{a}\\u{202e}"), "{detail}");
    }

    #[test]
    fn http_in_plain_text_is_recognised() {
        for http in ["G", "GET / HTTP/1.1", "HTTP/1.1 400", "M-SEARCH * HTTP/1.1"] {
            assert!(is_plain_http(http.as_bytes()), "{http}");
        }
        for other in [&b"\x16\x03\x01"[..], b"", b"EHLO\r\n", b"get / ", b"SSH-2.0-x"] {
            assert!(!is_plain_http(other), "{other:?}");
        }
    }

    #[test]
    fn self_signed_certificates_are_told_from_those_of_unknown_issuers() {
        let key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::new(["a.example".to_owned()]).unwrap();
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let alone = own.self_signed(&key).unwrap();
        let mut issued = CertificateParams::new(["b.example".to_owned()]).unwrap();
        issued.distinguished_name.push(rcgen::DnType::CommonName, "b");
        let issued = issued.signed_by(&key, &Issuer::new(own, &key)).unwrap();
        let unknown = || Error::from(CertificateError::UnknownIssuer);
        let fault = |leaf: &rcgen::Certificate, others: &[CertificateDer<'_>]| {
            fault_of(&refused(unknown(), leaf.der(), others))
        };
        assert_eq!(fault(&alone, &[]), TlsFault::SelfSigned);
        assert_eq!(fault(&alone, &[alone.der().clone()]), TlsFault::SelfSigned);
        assert_eq!(fault(&issued, &[]), TlsFault::UnknownIssuer);
        assert_eq!(fault(&issued, &[alone.der().clone()]), TlsFault::UnknownIssuer);
        let other = refused(Error::DecryptError, alone.der(), &[]);
        assert_eq!(fault_of(&other), TlsFault::Misbehaved);
    }
}
