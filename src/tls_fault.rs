//! Why TLS with a peer failed: one word for both sides, precise enough to be counted and acted on.

/// One way in which a handshake, or a record after it, fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The peer's certificate, or one that vouches for it, has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is for other names than the one that was asked for.
    NameMismatch,
    /// It is signed by nobody but itself.
    SelfSigned,
    /// None of the authorities that are trusted vouches for it.
    UnknownIssuer,
    /// It is revoked, wrongly signed, for another purpose, or cannot be read.
    BadCertificate,
    /// The peer showed none though one is required.
    NoCertificate,
    /// There is no version, cipher or key exchange that both sides have.
    NothingInCommon,
    /// There is no application protocol (ALPN) that both sides have.
    NoProtocol,
    /// The peer gave up with this alert (RFC 8446 §6).
    Alert(u8),
    /// What came is HTTP in plain text.
    PlainHttp,
    /// What came is no TLS record.
    NotTls,
    /// The peer broke a rule of TLS.
    Misbehaved,
    /// The peer ended the connection during the handshake.
    Closed,
    /// The handshake took too long.
    TimedOut,
}

impl TlsFault {
    /// All there are, for those that count them; one stands for all alerts.
    pub const ALL: [Self; 15] = [
        Self::Expired,
        Self::NotYetValid,
        Self::NameMismatch,
        Self::SelfSigned,
        Self::UnknownIssuer,
        Self::BadCertificate,
        Self::NoCertificate,
        Self::NothingInCommon,
        Self::NoProtocol,
        Self::Alert(0),
        Self::PlainHttp,
        Self::NotTls,
        Self::Misbehaved,
        Self::Closed,
        Self::TimedOut,
    ];

    /// Its place in [`TlsFault::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::Expired => 0,
            Self::NotYetValid => 1,
            Self::NameMismatch => 2,
            Self::SelfSigned => 3,
            Self::UnknownIssuer => 4,
            Self::BadCertificate => 5,
            Self::NoCertificate => 6,
            Self::NothingInCommon => 7,
            Self::NoProtocol => 8,
            Self::Alert(_) => 9,
            Self::PlainHttp => 10,
            Self::NotTls => 11,
            Self::Misbehaved => 12,
            Self::Closed => 13,
            Self::TimedOut => 14,
        }
    }

    /// As a label of a metric.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NameMismatch => "name_mismatch",
            Self::SelfSigned => "self_signed",
            Self::UnknownIssuer => "unknown_issuer",
            Self::BadCertificate => "bad_certificate",
            Self::NoCertificate => "no_certificate",
            Self::NothingInCommon => "nothing_in_common",
            Self::NoProtocol => "no_protocol",
            Self::Alert(_) => "alert",
            Self::PlainHttp => "plain_http",
            Self::NotTls => "not_tls",
            Self::Misbehaved => "misbehaved",
            Self::Closed => "closed",
            Self::TimedOut => "timed_out",
        }
    }

    /// The reason in words, fixed and free of anything a peer wrote.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Expired => "certificate has expired",
            Self::NotYetValid => "certificate is not valid yet",
            Self::NameMismatch => "certificate is for another name",
            Self::SelfSigned => "certificate is self-signed",
            Self::UnknownIssuer => "certificate is from an unknown issuer",
            Self::BadCertificate => "certificate is not acceptable",
            Self::NoCertificate => "no certificate was presented",
            Self::NothingInCommon => "no TLS version or cipher in common",
            Self::NoProtocol => "no application protocol in common",
            Self::Alert(code) => alert_phrase(code),
            Self::PlainHttp => "plain HTTP was sent to a TLS port: use https://",
            Self::NotTls => "TLS was answered with something else",
            Self::Misbehaved => "a rule of TLS was broken",
            Self::Closed => "connection was closed during the TLS handshake",
            Self::TimedOut => "TLS handshake timed out",
        }
    }
}

/// RFC 8446 §6 and its registry, as far as peers send them in practice.
const fn alert_phrase(code: u8) -> &'static str {
    match code {
        10 => "peer sent TLS alert unexpected_message",
        20 => "peer sent TLS alert bad_record_mac",
        40 => "peer sent TLS alert handshake_failure",
        42 => "peer sent TLS alert bad_certificate",
        43 => "peer sent TLS alert unsupported_certificate",
        44 => "peer sent TLS alert certificate_revoked",
        45 => "peer sent TLS alert certificate_expired",
        46 => "peer sent TLS alert certificate_unknown",
        47 => "peer sent TLS alert illegal_parameter",
        48 => "peer sent TLS alert unknown_ca",
        49 => "peer sent TLS alert access_denied",
        50 => "peer sent TLS alert decode_error",
        51 => "peer sent TLS alert decrypt_error",
        70 => "peer sent TLS alert protocol_version",
        71 => "peer sent TLS alert insufficient_security",
        80 => "peer sent TLS alert internal_error",
        109 => "peer sent TLS alert missing_extension",
        112 => "peer sent TLS alert unrecognized_name",
        116 => "peer sent TLS alert certificate_required",
        120 => "peer sent TLS alert no_application_protocol",
        _ => "peer sent a TLS alert",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_place_and_its_name() {
        for (place, fault) in TlsFault::ALL.into_iter().enumerate() {
            assert_eq!(fault.index(), place, "{fault:?}");
        }
        let mut names = TlsFault::ALL.map(TlsFault::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
