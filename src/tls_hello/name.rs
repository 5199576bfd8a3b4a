//! The name of a host, as TLS clients send it.

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;

/// The longest name without a trailing dot, in bytes: 255 with its lengths on the wire (RFC 1035 §3.1).
pub const NAME_BYTES_MAX: usize = 253;

/// The longest label of a name, in bytes (RFC 1035 §3.1).
const LABEL_BYTES_MAX: usize = 63;

/// A DNS host name in lower case: up to [`NAME_BYTES_MAX`] bytes in labels of ASCII letters, digits, `-`
/// and `_`, without a trailing dot (RFC 6066 §3), and no IP address.
///
/// Looser than RFC 1123 §2.1 where names exist that break it: a label may begin or end with a hyphen,
/// and contain underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(Box<str>);

/// Why bytes are not a [`ServerName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoName {
    /// They are an IP address, which a server name must not be (RFC 6066 §3).
    Address,
    /// They have another form.
    Malformed,
}

impl ServerName {
    /// Reads a name in upper or lower case.
    pub fn read(bytes: &[u8]) -> Result<Self, NoName> {
        let text = str::from_utf8(bytes).map_err(|_| NoName::Malformed)?;
        if text.parse::<IpAddr>().is_ok() {
            return Err(NoName::Address);
        }
        let is_name = text.len() <= NAME_BYTES_MAX && text.split('.').all(is_label);
        is_name.then(|| Self(text.to_ascii_lowercase().into())).ok_or(NoName::Malformed)
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names are equal, and hash alike, as their texts do.
impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn is_label(label: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_letter)
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_lower_case() {
        let label = "l".repeat(LABEL_BYTES_MAX);
        let longest = [&*label, &label, &label, &label[..61]].join(".");
        assert_eq!(longest.len(), NAME_BYTES_MAX);
        for (text, name) in [
            ("a.example.com", "a.example.com"),
            ("A.Example.COM", "a.example.com"),
            ("localhost", "localhost"),
            ("_dmarc.a_b.example", "_dmarc.a_b.example"),
            ("r3---sn-.-x.example", "r3---sn-.-x.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.2.3", "1.2.3"),
            ("1.2.3.4.5", "1.2.3.4.5"),
            (&longest, &longest),
        ] {
            let read = ServerName::read(text.as_bytes());
            assert_eq!(read.as_ref().map(ServerName::as_str), Ok(name), "{text}");
        }
    }

    #[test]
    fn addresses_are_not_names() {
        for text in ["127.0.0.1", "255.255.255.255", "::1", "2001:db8::1", "::ffff:1.2.3.4"] {
            assert_eq!(ServerName::read(text.as_bytes()), Err(NoName::Address), "{text}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        let label = "l".repeat(LABEL_BYTES_MAX + 1);
        let long = ["a.".repeat(126), "bc".into()].concat();
        assert_eq!(long.len(), NAME_BYTES_MAX + 1);
        for bytes in [
            &b""[..],
            b".",
            b"a.",
            b".a",
            b"a..b",
            b"a b",
            b"a.example.com\0",
            b"a/b",
            b"*.example.com",
            b"a:443",
            b"[::1]",
            b"b\xc3\xbccher.example",
            b"b\xfccher.example",
            label.as_bytes(),
            long.as_bytes(),
        ] {
            let shown = bytes.escape_ascii();
            assert_eq!(ServerName::read(bytes), Err(NoName::Malformed), "{shown}");
        }
    }
}
