//! Who a request is for: `host[:port]`, in the Host field or in an absolute target.

/// Splits `http://authority/path` into both (RFC 9112 §3.2.2); the path may be empty.
pub(in crate::http) fn absolute(written: &str) -> Option<(&[u8], &str)> {
    let (scheme, rest) = written.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, origin) = rest.split_at(end);
    if authority.is_empty() || !is_authority(authority.as_bytes()) {
        return None;
    }
    match origin.as_bytes().first() {
        None | Some(b'/') => Some((authority.as_bytes(), origin)),
        // `http://host?query` has no path to send: nobody writes it by accident.
        Some(_) => None,
    }
}

/// Whether it is `host[:port]` (RFC 3986 §3.2.2, without user information) or empty, as Host may
/// be (RFC 9110 §7.2).
pub fn is_authority(value: &[u8]) -> bool {
    match value {
        [] => true,
        [b'[', rest @ ..] => {
            let Some(close) = memchr::memchr(b']', rest) else { return false };
            close > 0
                && rest[..close].iter().all(|byte| is_literal_byte(*byte))
                && is_port(&rest[close + 1..])
        }
        _ => {
            let end = memchr::memchr(b':', value).unwrap_or(value.len());
            end > 0 && value[..end].iter().all(|byte| is_host_byte(*byte)) && is_port(&value[end..])
        }
    }
}

/// Nothing, or a colon and up to five digits.
fn is_port(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn is_literal_byte(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
}

/// `unreserved`, `%` and `sub-delims` without the comma: a list of hosts is no host.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        let good = ["", "a", "a.b:80", "a:", "[::1]", "[::1]:80", "127.0.0.1:65535", "a_b"];
        let bad =
            [":80", "a b", "a,b", "a:b", "a:123456", "[]", "[::1", "[g]", "[::1]a", "u@a", "a/"];
        for (list, expected) in [(&good[..], true), (&bad[..], false)] {
            for value in list {
                assert_eq!(is_authority(value.as_bytes()), expected, "{value:?}");
            }
        }
    }
}
