//! The formats, and what lines in them call the things of the configuration.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::text::{self, Escape};
use crate::address::Address;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The combined log format of Apache and nginx, and more fields behind it.
    Combined,
    /// One JSON object per line (RFC 8259).
    Json,
}

/// A name as it stands in a line: escaped once, and not for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(pub(super) Box<[u8]>);

/// The names of a plan, by its indices.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Those of the routes.
    pub routes: Arc<[Label]>,
    /// Those of the upstreams, and of the endpoints of each.
    pub upstreams: Box<[(Label, Box<[Label]>)]>,
}

impl Format {
    /// The name of a route or an upstream, for a place between quotes.
    pub fn name(self, name: &str) -> Label {
        self.label(name.as_bytes(), text::quoted)
    }

    /// The address of an endpoint, as it displays but for the escapes.
    pub fn address(self, address: &Address) -> Label {
        match address {
            Address::Tcp(address) => self.label(address.to_string().as_bytes(), text::word),
            Address::Unix(path) => {
                self.label(&[b"unix:", path.as_os_str().as_bytes()].concat(), text::word)
            }
        }
    }

    fn label(self, bytes: &[u8], escape: Escape) -> Label {
        let mut out = Vec::new();
        match self {
            Self::Combined => escape(bytes, &mut out),
            Self::Json => text::json(bytes, &mut out),
        }
        Label(out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_unix_socket_is_escaped() {
        let address = Address::Unix("/run/a b,c\n".into());
        assert_eq!(&*Format::Combined.address(&address).0, br"unix:/run/a\x20b\x2Cc\x0A");
        assert_eq!(&*Format::Json.address(&address).0, br"unix:/run/a b,c\u000a");
    }

    #[test]
    fn an_address_is_as_it_displays() {
        for text in ["192.0.2.7:80", "[fe80::1%3]:8080", "[::ffff:192.0.2.1]:1"] {
            let address = Address::Tcp(text.parse().unwrap());
            assert_eq!(&*Format::Combined.address(&address).0, address.to_string().as_bytes());
        }
    }
}
