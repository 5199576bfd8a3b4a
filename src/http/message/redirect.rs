//! Where a request in plain text is sent to: the same host and target on https.

use super::authority;
use super::forwarded::says_https;
use super::head::RequestHead;

/// The longest Location that is written, in bytes; browsers follow about as much.
const LOCATION_BYTES_MAX: usize = 16 * 1024;

/// Where certificate authorities fetch what proves the control of a host (RFC 8555 §8.3): over http, so
/// that a host without a certificate gets one.
const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";

/// The port that https stands for.
const HTTPS: u16 = 443;

/// Why there is nowhere to send a request to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// It names no host.
    NoHost,
    /// It would be too long.
    TooLong,
}

/// Where the client of a request in plain text is sent to, unless the normalised path of it is one that
/// is served over http all the same. One that a trusted proxy has received over https would come back
/// for ever.
pub fn of(
    head: &RequestHead<'_, '_>,
    path: &[u8],
    trusted: bool,
    port: u16,
) -> Option<Result<Box<str>, Nowhere>> {
    let is_exempt = path.starts_with(CHALLENGES) || trusted && says_https(head);
    (!is_exempt).then(|| to_https(head, port))
}

/// The same host and target on https at this port. All of it has been checked as part of the head: the
/// host as one, and the target as visible ASCII. It begins with a host, so that no target is taken for
/// one.
fn to_https(head: &RequestHead<'_, '_>, port: u16) -> Result<Box<str>, Nowhere> {
    let host = std::str::from_utf8(authority::host(head.authority)).unwrap_or_default();
    if host.is_empty() {
        return Err(Nowhere::NoHost);
    }
    let port = if port == HTTPS { String::new() } else { format!(":{port}") };
    // That of all of a server is written as nothing (RFC 9112 §3.2.4).
    let target = head.path_and_query();
    let target = if target == "*" { "" } else { &*target };
    let location = ["https://", host, &port, target].concat();
    if location.len() > LOCATION_BYTES_MAX { Err(Nowhere::TooLong) } else { Ok(location.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::head::Storage;

    fn read<T>(head: &str, then: impl FnOnce(&RequestHead<'_, '_>) -> T) -> T {
        let limits = Limits { head_bytes_max: 65_536, fields_max: 32 };
        let head = format!("{head}\r\n\r\n");
        let mut storage = Storage::new();
        then(&parse::request(head.as_bytes(), &limits, &mut storage).unwrap())
    }

    fn location(head: &str, port: u16) -> Result<Box<str>, Nowhere> {
        read(head, |head| to_https(head, port))
    }

    #[test]
    fn host_and_target_stay_the_same() {
        let rows = [
            ("GET /a?b=c HTTP/1.1\r\nHost: A.example", 443, "https://A.example/a?b=c"),
            ("GET / HTTP/1.1\r\nHost: a:8080", 8443, "https://a:8443/"),
            ("GET / HTTP/1.1\r\nHost: [::1]:80", 443, "https://[::1]/"),
            ("GET //evil.example/x HTTP/1.1\r\nHost: a", 443, "https://a//evil.example/x"),
            ("GET /../x HTTP/1.1\r\nHost: a", 443, "https://a/../x"),
            ("GET http://a:80?x HTTP/1.1\r\nHost: a", 443, "https://a/?x"),
            ("OPTIONS * HTTP/1.1\r\nHost: a", 443, "https://a"),
        ];
        for (head, port, expected) in rows {
            assert_eq!(location(head, port).as_deref(), Ok(expected), "{head:?}");
        }
    }

    #[test]
    fn without_a_host_or_room_there_is_nowhere_to_go() {
        for head in ["GET / HTTP/1.0", "GET / HTTP/1.1\r\nHost:"] {
            assert_eq!(location(head, 443), Err(Nowhere::NoHost), "{head:?}");
        }
        let path = |count: usize| format!("GET /{} HTTP/1.1\r\nHost: a", "x".repeat(count));
        let room = LOCATION_BYTES_MAX - "https://a/".len();
        assert!(location(&path(room), 443).is_ok());
        assert_eq!(location(&path(room + 1), 443), Err(Nowhere::TooLong));
    }

    #[test]
    fn some_requests_stay_where_they_are() {
        let challenge = "/.well-known/acme-challenge/token";
        let https = "\r\nX-Forwarded-Proto: HTTPS";
        let rows = [
            (challenge, "", false, false),
            ("/.well-known/acme-challenge", "", false, true),
            ("/.well-known/acme-challenges/x", "", false, true),
            ("/x/.well-known/acme-challenge/x", "", false, true),
            ("/", https, false, true),
            ("/", https, true, false),
            ("/", "\r\nX-Forwarded-Proto: http", true, true),
            ("/", "", true, true),
        ];
        for (path, fields, trusted, goes) in rows {
            let head = format!("GET {path} HTTP/1.1\r\nHost: a{fields}");
            let sent = read(&head, |head| of(head, path.as_bytes(), trusted, 443));
            assert_eq!(sent.is_some(), goes, "{head:?} {trusted}");
        }
    }
}
