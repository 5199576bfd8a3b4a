//! The authority of a request: `host[:port]`, in the Host field or in an absolute target.

use std::net::Ipv6Addr;

/// An absolute target, taken apart (RFC 9112 §3.2.2).
pub(in crate::http) struct Absolute<'b> {
    /// The port it means where it names none.
    default_port: u16,
    /// `host[:port]`, as written.
    pub(in crate::http) authority: &'b [u8],
    /// Path and query. Either may be missing.
    pub(in crate::http) origin: &'b str,
}

impl<'b> Absolute<'b> {
    /// Reads `http://authority/path`, or the same of https.
    pub(in crate::http) fn of(written: &'b str) -> Option<Self> {
        let (scheme, rest) = written.split_once("://")?;
        let default_port = default_port(scheme.as_bytes())?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, origin) = rest.split_at(end);
        let authority = authority.as_bytes();
        if authority.is_empty() || !is_authority(authority) {
            return None;
        }
        Some(Self { default_port, authority, origin })
    }

    /// Whether a valid Host means the same: an empty port and none are the default one (RFC 9110
    /// §4.2.3).
    pub(in crate::http) fn agrees_with(&self, host: &[u8]) -> bool {
        agree(self.authority, host, self.default_port)
    }
}

/// Whether two valid authorities mean the same where this is the default port.
pub(in crate::http) fn agree(one: &[u8], other: &[u8], default_port: u16) -> bool {
    let parts = |authority| {
        let (name, port) = split(authority);
        (name, port_number(port).unwrap_or(default_port))
    };
    let ((one, one_port), (other, other_port)) = (parts(one), parts(other));
    one.eq_ignore_ascii_case(other) && one_port == other_port
}

/// The default port of a scheme, if that is http or https, in any case (RFC 9110 §4.2).
pub(in crate::http) fn default_port(scheme: &[u8]) -> Option<u16> {
    match scheme.len() {
        4 if scheme.eq_ignore_ascii_case(b"http") => Some(80),
        5 if scheme.eq_ignore_ascii_case(b"https") => Some(443),
        _ => None,
    }
}

/// Whether it is `host[:port]` (RFC 3986 §3.2.2, without user information) or empty, as Host may
/// be (RFC 9110 §7.2).
pub fn is_authority(value: &[u8]) -> bool {
    if value.is_empty() {
        return true;
    }
    let (name, port) = split(value);
    let is_name = match name {
        [b'[', literal @ .., b']'] => is_ipv6(literal),
        _ => is_reg_name(name),
    };
    is_name && is_port(port)
}

/// The host of a valid authority, without its port.
pub fn host(authority: &[u8]) -> &[u8] {
    split(authority).0
}

/// A port with its colon.
const PORT_BYTES_MAX: usize = b":65535".len();

/// The host, and the port with its colon, if there is one.
fn split(authority: &[u8]) -> (&[u8], &[u8]) {
    let (from, colon) = if authority.starts_with(b"[") {
        let from = memchr::memchr(b']', authority).unwrap_or(0);
        (from, memchr::memchr(b':', &authority[from..]))
    } else {
        // A colon before the digits that a port may have is none of a host's name either.
        let from = authority.len().saturating_sub(PORT_BYTES_MAX);
        (from, authority[from..].iter().rposition(|byte| *byte == b':'))
    };
    authority.split_at(colon.map_or(authority.len(), |at| from + at))
}

/// Nothing, or a colon and a port, which may be left out.
fn is_port(bytes: &[u8]) -> bool {
    match bytes {
        [] | [b':'] => true,
        _ => is_port_number(bytes),
    }
}

/// The number after the colon.
fn port_number(bytes: &[u8]) -> Option<u16> {
    let [b':', digits @ ..] = bytes else { return None };
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let add = |port: u16, byte: &u8| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        port.checked_mul(10)?.checked_add(digit.into())
    };
    digits.iter().try_fold(0, add)
}

/// Whether that is a port that fits 16 bits.
#[inline]
fn is_port_number(bytes: &[u8]) -> bool {
    match bytes {
        [b':', digits @ ..] if (1..5).contains(&digits.len()) => {
            digits.iter().fold(true, |all, byte| all & byte.is_ascii_digit())
        }
        _ => port_number(bytes).is_some(),
    }
}

fn is_ipv6(literal: &[u8]) -> bool {
    std::str::from_utf8(literal).is_ok_and(|literal| literal.parse::<Ipv6Addr>().is_ok())
}

/// `reg-name` (RFC 3986 §3.2.2) without the comma, since a list of hosts is no host, and not empty.
fn is_reg_name(name: &[u8]) -> bool {
    let found = name.iter().fold(0, |found, byte| found | IN_NAMES[usize::from(*byte)]);
    let escapes = || memchr::memchr_iter(b'%', name).all(|at| is_escape(&name[at + 1..]));
    !name.is_empty() && (found == 0 || found == ESCAPES && escapes())
}

fn is_escape(digits: &[u8]) -> bool {
    matches!(digits, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

const ESCAPES: u8 = 1;
const FORBIDDEN: u8 = 2;

/// What a byte means in a `reg-name`; nothing if it is `unreserved` or one of the `sub-delims`.
const IN_NAMES: [u8; 256] = {
    let (mut table, mut byte) = ([FORBIDDEN; 256], 0);
    while byte < 128 {
        table[byte as usize] = match byte {
            b'%' => ESCAPES,
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b'+' | b';' | b'=' => 0,
            _ if byte.is_ascii_alphanumeric() => 0,
            _ => FORBIDDEN,
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        let good = [
            "",
            "a",
            "a.b:80",
            "a:",
            "[::1]",
            "[::1]:80",
            "[::1]:",
            "127.0.0.1:65535",
            "a_b",
            "a%20b",
            "a%2F",
            "a:00080",
            "[::ffff:1.2.3.4]",
        ];
        let bad = [
            ":80",
            "a b",
            "a,b",
            "a:b",
            "a:123456",
            "a:65536",
            "a:99999",
            "a:000080",
            "[]",
            "[::1",
            "[g]",
            "[::1]a",
            "[::1]:65536",
            "[1]",
            "[1.2.3.4]",
            "[::1%25eth0]",
            "[:::]",
            "[]:80",
            "u@a",
            "a/",
            "a%",
            "a%2",
            "a%zz",
            "%",
            "a%2g",
            "a]",
            "::1",
            "a:80:80",
        ];
        for (list, expected) in [(&good[..], true), (&bad[..], false)] {
            for value in list {
                assert_eq!(is_authority(value.as_bytes()), expected, "{value:?}");
            }
        }
    }

    #[test]
    fn a_host_agrees_whatever_names_the_default_port() {
        let rows = [
            ("http://a", "A", true),
            ("http://a:80/", "a", true),
            ("http://a/", "a:80", true),
            ("http://a:/", "a:080", true),
            ("https://a/", "a:443", true),
            ("http://[::1]:80", "[::1]", true),
            ("https://a/", "a:80", false),
            ("http://a:81/", "a", false),
            ("http://a/", "b", false),
            ("http://a/", "", false),
        ];
        for (target, host, agrees) in rows {
            let absolute = Absolute::of(target).unwrap();
            assert_eq!(absolute.agrees_with(host.as_bytes()), agrees, "{target} {host}");
        }
    }
}
