//! The answers of our own: short, plain, and nothing in them that a peer wrote but where it is sent to.

use std::io::Write;

use super::encode::ConnectionHeader;
use crate::buffer::Buffer;
use crate::decimal::decimal;
use crate::http::message::date::HttpDate;
use crate::http::message::head::Method;

/// What may be asked of an endpoint through us: it may take other methods, and refuse some of these.
const ALLOW: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

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
    pub fn write(
        &self,
        to: Method,
        connection: ConnectionHeader,
        date: HttpDate,
        out: &mut Buffer,
    ) {
        let mut spare = out.spare_mut();
        let room = spare.len();
        // An answer takes a few hundred bytes, and its Location, of an empty 64 KiB buffer: it cannot fail to fit.
        let mut part = |part: &[u8]| drop(spare.write_all(part));
        for piece in [b"HTTP/1.1 ", &*decimal(self.status.into()), b" ", self.reason(), b"\r\n"] {
            part(piece);
        }
        self.fields(&date, |name, value| {
            for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
                part(piece);
            }
        });
        part(connection.line());
        part(b"\r\n");
        if to != Method::Head {
            self.body(part);
        }
        let used = room - spare.len();
        out.fill(used);
    }

    /// Hands over the fields of its head, in order, but those that concern the connection.
    pub(in crate::http) fn fields(&self, date: &HttpDate, mut field: impl FnMut(&str, &[u8])) {
        let mut body_bytes = 0;
        self.body(|part| body_bytes += part.len() as u64);
        field("Date", date);
        field("Content-Type", b"text/plain");
        field("Content-Length", &decimal(body_bytes));
        // A cache may keep these without being told so, and for longer than they are true.
        if is_cacheable(self.status) {
            field("Cache-Control", b"no-store");
        }
        // A 200 of our own answers OPTIONS.
        if matches!(self.status, 200 | 405) {
            field("Allow", ALLOW);
        }
        if let Some(seconds) = self.retry_after {
            field("Retry-After", &decimal(seconds.into()));
        }
        if let Some(location) = self.location {
            field("Location", location.as_bytes());
        }
    }

    /// Hands over its body, piece by piece.
    pub(in crate::http) fn body(&self, part: impl FnMut(&[u8])) {
        let status = decimal(self.status.into());
        [&*status, b" ", self.reason(), b": ", self.phrase.as_bytes(), b"\n"]
            .into_iter()
            .for_each(part);
    }

    fn reason(&self) -> &'static [u8] {
        reason(self.status).as_bytes()
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
        reply.write(to, ConnectionHeader::Close, HttpDate::of(784_111_777), &mut out);
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
