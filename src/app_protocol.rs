//! The versions of HTTP that are spoken over TLS and towards endpoints, by their names in ALPN.

/// A version of HTTP, as application protocols go (RFC 7301): HTTP/1.0 and HTTP/1.1 are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppProtocol {
    /// RFC 9112.
    Http1,
    /// RFC 9113.
    Http2,
}

impl AppProtocol {
    /// HTTP/1.1 alone.
    pub const HTTP1: &'static [Self] = &[Self::Http1];

    /// Both, HTTP/2 preferred.
    pub const BOTH: &'static [Self] = &[Self::Http2, Self::Http1];

    /// Its identification sequence in ALPN (RFC 7301 §6, RFC 9113 §3.1).
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    /// What was agreed on by ALPN. Peers that do not use it speak HTTP/1.1.
    pub fn agreed(name: Option<&[u8]>) -> Self {
        if name == Some(Self::Http2.alpn()) { Self::Http2 } else { Self::Http1 }
    }
}
