//! The log formats, and the names of routes, upstreams and endpoints as they appear in them.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::field::LogField;
use super::sample_rate::SampleRate;
use super::text::{self, Escape};
use crate::address::Address;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The combined log format of Apache and nginx, followed by more fields.
    Combined,
    /// One JSON object per line (RFC 8259).
    Json,
}

/// What lines are like, and which requests have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineLayout {
    /// How they are written.
    pub format: Format,
    /// What they say, in order; `None`: what the format says by itself.
    pub fields: Option<Box<[LogField]>>,
    /// The share of requests that have one, beside those that fail, which all do.
    pub sample: SampleRate,
}

impl Default for LineLayout {
    fn default() -> Self {
        Self { format: Format::Combined, fields: None, sample: SampleRate::ALL }
    }
}

/// A name escaped for the log format, once instead of for each line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(pub(super) Box<[u8]>);

impl Label {
    /// A name as it is.
    pub fn plain(name: &str) -> Self {
        Self(name.as_bytes().into())
    }

    /// Its text, as it is written.
    pub fn text(&self) -> &[u8] {
        &self.0
    }
}

/// The names in a plan, by index, and what its lines are like.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// What lines are like; the names are escaped for its format.
    pub layout: Arc<LineLayout>,
    /// The names of the routes.
    pub routes: Arc<[Label]>,
    /// The name of each upstream, and the names of its endpoints.
    pub upstreams: Box<[(Label, Box<[Label]>)]>,
}

impl Format {
    /// The label of a route or an upstream, which is written between quotes.
    pub fn name(self, name: &str) -> Label {
        self.label(name.as_bytes(), text::quoted)
    }

    /// The label of an endpoint: its address as displayed, escaped.
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
    fn an_ip_address_is_written_as_displayed() {
        for text in ["192.0.2.7:80", "[fe80::1%3]:8080", "[::ffff:192.0.2.1]:1"] {
            let address = Address::Tcp(text.parse().unwrap());
            assert_eq!(&*Format::Combined.address(&address).0, address.to_string().as_bytes());
        }
    }
}
