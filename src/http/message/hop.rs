//! How a request came here.

use std::net::IpAddr;

/// The hop that a request took to get here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The address of the client; it has none over a unix socket.
    pub client: Option<IpAddr>,
    /// Whether that was over TLS.
    pub scheme: ClientScheme,
}

#[cfg(any(test, fuzzing))]
impl Hop {
    /// From an address for documentation, in plain text.
    pub const SAMPLE: Self = Self {
        client: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
        scheme: ClientScheme::Http,
    };
}

/// What clients write before `://`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientScheme {
    /// In plain text.
    Http,
    /// Over TLS.
    Https,
}

impl ClientScheme {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}
