//! The names of fields that may be edited.

use super::field::{self, Name, unsigned};

/// The name of a field that may be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditName<'a> {
    text: &'a str,
    known: Name,
}

impl EditName<'static> {
    /// Date.
    pub const DATE: Self = Self::known("Date", Name::Date);
    /// Forwarded.
    pub const FORWARDED: Self = Self::known("Forwarded", Name::Forwarded);
    /// Via.
    pub const VIA: Self = Self::known("Via", Name::Via);
    /// X-Forwarded-For.
    pub const X_FORWARDED_FOR: Self = Self::known("X-Forwarded-For", Name::ForwardedFor);
    /// X-Forwarded-Host.
    pub const X_FORWARDED_HOST: Self = Self::known("X-Forwarded-Host", Name::ForwardedHost);
    /// X-Forwarded-Proto.
    pub const X_FORWARDED_PROTO: Self = Self::known("X-Forwarded-Proto", Name::ForwardedProto);
    /// X-Forwarded-Prefix.
    pub const X_FORWARDED_PREFIX: Self = Self::known("X-Forwarded-Prefix", Name::ForwardedOther);
    /// X-Real-IP.
    pub const X_REAL_IP: Self = Self::known("X-Real-IP", Name::ForwardedOther);
    /// X-Client-Cert-Subject.
    pub const X_CLIENT_CERT_SUBJECT: Self = Self::known("X-Client-Cert-Subject", Name::ClientCert);
    /// X-Client-Cert-SHA256.
    pub const X_CLIENT_CERT_SHA256: Self = Self::known("X-Client-Cert-SHA256", Name::ClientCert);
    /// Max-Forwards.
    pub const MAX_FORWARDS: Self = Self::known("Max-Forwards", Name::MaxForwards);
    /// Sec-WebSocket-Key.
    pub const SEC_WEBSOCKET_KEY: Self = Self::known("Sec-WebSocket-Key", Name::Other);
    /// Sec-WebSocket-Accept.
    pub const SEC_WEBSOCKET_ACCEPT: Self = Self::known("Sec-WebSocket-Accept", Name::Other);
    /// Set-Cookie.
    pub const SET_COOKIE: Self = Self::known("Set-Cookie", Name::Other);
    /// X-Mirror.
    pub const X_MIRROR: Self = Self::known("X-Mirror", Name::Other);
    /// Trailer: where a message has none any more.
    pub(crate) const TRAILER: Self = Self::known("Trailer", Name::Other);
    /// traceparent (W3C Trace Context §3.2).
    pub const TRACEPARENT: Self = Self::known("traceparent", Name::Other);
    /// tracestate (W3C Trace Context §3.3).
    pub const TRACESTATE: Self = Self::known("tracestate", Name::Other);
    /// X-Request-Id.
    pub const X_REQUEST_ID: Self = Self::known("X-Request-Id", Name::RequestId);

    const fn known(text: &'static str, known: Name) -> Self {
        Self { text, known }
    }
}

impl<'a> EditName<'a> {
    /// `None` for what is no name of a field, and for the fields that only the encoder writes:
    /// those that frame or route the message or belong to one connection (RFC 9110 §7.6.1), and
    /// what an endpoint may take for one of them.
    pub fn new(text: &'a str) -> Option<Self> {
        let known = Name::of(text.as_bytes());
        let is_ours = match known {
            Name::Connection
            | Name::ContentLength
            | Name::TransferEncoding
            | Name::Host
            | Name::Expect
            | Name::Upgrade
            | Name::Te
            | Name::HopByHop
            | Name::Alias => true,
            Name::Other => text.eq_ignore_ascii_case("trailer"),
            _ => false,
        };
        (!is_ours && field::is_token(text.as_bytes())).then_some(Self { text, known })
    }

    /// A name that [`EditName::new`] has taken.
    pub(in crate::http) const fn taken(text: &'a str, known: Name) -> Self {
        Self { text, known }
    }

    /// What the name means.
    pub(in crate::http) const fn meaning(&self) -> Name {
        self.known
    }

    /// The name as it is written.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether a field of this name is meant, or of one that an endpoint may take for it.
    pub(in crate::http) fn is(&self, known: Name, name: &[u8]) -> bool {
        known == self.known && (known.is_one_name() || are_alike(self.text, name))
    }
}

/// Whether two names are the same to gateways (RFC 3875 §4.1.18), which have no hyphens in theirs.
fn are_alike(one: &str, other: &[u8]) -> bool {
    let plain = |byte: &u8| unsigned(*byte).to_ascii_lowercase();
    one.len() == other.len() && one.as_bytes().iter().map(plain).eq(other.iter().map(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_constants_mean_what_they_say() {
        for known in [
            EditName::DATE,
            EditName::VIA,
            EditName::FORWARDED,
            EditName::X_FORWARDED_FOR,
            EditName::X_FORWARDED_HOST,
            EditName::X_FORWARDED_PROTO,
            EditName::X_FORWARDED_PREFIX,
            EditName::X_REAL_IP,
            EditName::X_REQUEST_ID,
            EditName::TRACEPARENT,
            EditName::TRACESTATE,
            EditName::SET_COOKIE,
            EditName::X_CLIENT_CERT_SUBJECT,
            EditName::X_CLIENT_CERT_SHA256,
        ] {
            assert_eq!(EditName::new(known.text), Some(known));
        }
    }

    #[test]
    fn what_frames_a_message_or_a_connection_cannot_be_named() {
        let framing = [
            "Content-Length",
            "TRANSFER-ENCODING",
            "Connection",
            "host",
            "Upgrade",
            "Trailer",
            "TE",
            "Expect",
            "Keep-Alive",
            "Proxy-Connection",
            "HTTP2-Settings",
            "Content_Length",
        ];
        for text in framing.into_iter().chain(["", "a b", "a:", "a\r\n"]) {
            assert_eq!(EditName::new(text), None, "{text:?}");
        }
        assert!(EditName::new("X-Real-IP").is_some() && EditName::new("Server").is_some());
    }
}
