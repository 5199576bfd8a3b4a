//! The answers of our own: short, plain, and nothing in them that a peer wrote but where it is sent to.

use std::io::Write;

use super::encode::Connection;
use crate::buffer::Buffer;
use crate::http::message::date::HttpDate;
use crate::http::message::head::Method;

/// What may be asked of an endpoint through us: it may take other methods, and refuse some of these.
const ALLOW: &[u8] = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";

/// An answer the proxy gives itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The status code.
    pub status: u16,
    /// The reason, for the person who reads the body.
    pub phrase: &'static str,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u32>,
    /// Where to go instead: visible ASCII that leaves room for the rest of a head.
    pub location: Option<&'a str>,
}

impl Reply<'_> {
    /// An answer without Retry-After and Location.
    pub fn new(status: u16, phrase: &'static str) -> Self {
        Self { status, phrase, retry_after: None, location: None }
    }

    /// Writes head and body to `out`; the answer to HEAD leaves out the body.
    pub fn write(&self, to: Method, connection: Connection, date: HttpDate, out: &mut Buffer) {
        let reason = reason(self.status);
        let body_bytes = reason.len() + self.phrase.len() + "000 : \n".len();
        let mut spare = out.spare_mut();
        let room = spare.len();
        // An answer takes a few hundred bytes, and its Location, of an empty 64 KiB buffer: it cannot fail to fit.
        let _ = write!(spare, "HTTP/1.1 {} {reason}\r\nDate: ", self.status);
        let _ = spare.write_all(&date);
        let _ = spare.write_all(b"\r\n");
        let _ = write!(spare, "Content-Type: text/plain\r\nContent-Length: {body_bytes}\r\n");
        // A cache may keep these without being told so, and for longer than they are true.
        if is_cacheable(self.status) {
            let _ = spare.write_all(b"Cache-Control: no-store\r\n");
        }
        // A 200 of our own answers OPTIONS.
        if matches!(self.status, 200 | 405) {
            let _ = spare.write_all(ALLOW);
        }
        if let Some(seconds) = self.retry_after {
            let _ = write!(spare, "Retry-After: {seconds}\r\n");
        }
        if let Some(location) = self.location {
            let _ = write!(spare, "Location: {location}\r\n");
        }
        let _ = spare.write_all(connection.line());
        let _ = spare.write_all(b"\r\n");
        if to != Method::Head {
            let _ = writeln!(spare, "{} {reason}: {}", self.status, self.phrase);
        }
        let used = room - spare.len();
        out.fill(used);
    }
}

/// Whether caches may keep an answer of this status that says nothing of it (RFC 9110 §15.1).
fn is_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The standard reason phrase of a status this proxy answers with (RFC 9110 §15, RFC 6585 §5, RFC 5842 §7.2).
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: Reply<'_>, to: Method) -> String {
        let mut out = Buffer::new();
        reply.write(to, Connection::Close, HttpDate::of(784_111_777), &mut out);
        String::from_utf8(out.filled().to_vec()).unwrap()
    }

    #[test]
    fn the_length_is_that_of_the_body() {
        let text = written(Reply::new(404, "no route"), Method::Other);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "404 Not Found: no route\n");
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(head.ends_with("Connection: close"));
    }

    #[test]
    fn head_is_answered_without_a_body() {
        assert!(written(Reply::new(502, "x"), Method::Head).ends_with("\r\n\r\n"));
    }

    #[test]
    fn it_says_when_it_was_made() {
        let text = written(Reply::new(404, "no route"), Method::Other);
        assert!(text.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{text}");
    }

    #[test]
    fn retry_after_is_in_seconds() {
        let reply = Reply { retry_after: Some(1), ..Reply::new(503, "x") };
        assert!(written(reply, Method::Other).contains("\r\nRetry-After: 1\r\n"));
    }

    #[test]
    fn a_redirect_says_where_to_go() {
        let reply = Reply { location: Some("https://a/b"), ..Reply::new(308, "x") };
        let text = written(reply, Method::Other);
        assert!(text.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"), "{text}");
        assert!(text.contains("\r\nLocation: https://a/b\r\n"), "{text}");
    }

    #[test]
    fn what_a_cache_might_keep_says_that_it_must_not() {
        for status in [404, 405, 414, 501] {
            let text = written(Reply::new(status, "x"), Method::Other);
            assert!(text.contains("\r\nCache-Control: no-store\r\n"), "{text}");
        }
        assert!(!written(Reply::new(502, "x"), Method::Other).contains("Cache-Control"));
    }
}
