//! The answers of our own: short, plain, and nothing in them that a peer wrote but where it is sent to and
//! what rules copy from its request.

use super::encode::ConnectionHeader;
use crate::buffer::Buffer;
use crate::decimal::decimal;
use crate::http::message::date::HttpDate;
use crate::http::message::edits::{Edits, Operation};
use crate::http::message::field::Name;
use crate::http::message::head::Method;

/// What may be asked of an endpoint through us: it may take other methods, and refuse some of these.
const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// An answer the proxy gives itself.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The status code.
    pub status: u16,
    /// The reason, for the person who reads the body.
    pub phrase: &'static str,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u32>,
    /// Where to go instead: visible ASCII that leaves room for the rest of a head.
    pub location: Option<&'a str>,
    /// The methods that would do, for a 405; those that could do, if it is not known.
    pub allow: Option<&'a str>,
    /// What it says, if not status and phrase.
    pub body: Option<ReplyBody<'a>>,
}

/// What an answer of ours says.
#[derive(Clone, Copy, Debug)]
pub struct ReplyBody<'a> {
    /// Its media type; none if empty.
    pub content_type: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl<'a> Reply<'a> {
    /// An answer that says status and phrase, and nothing else.
    pub const fn new(status: u16, phrase: &'static str) -> Self {
        let (retry_after, location, allow) = (None, None, None);
        Self { status, phrase, retry_after, location, allow, body: None }
    }

    /// Writes the head to `out`, and of the body as much as there is room for; the answer to HEAD leaves out
    /// the body. Returns the rest of the body. A head that edits have made too large is replaced by a plain
    /// one of a 500.
    #[must_use]
    pub fn write(
        &self,
        edits: &Edits<'_>,
        to: Method,
        connection: ConnectionHeader,
        date: HttpDate,
        out: &mut Buffer,
    ) -> &'a [u8] {
        if !self.write_head(edits, connection, date, out) {
            out.clear();
            let plain = Reply::new(500, "the headers of this answer are too large");
            plain.write_head(&Edits::new(), connection, date, out);
            if to != Method::Head {
                plain.parts(|part| {
                    out.append(part);
                });
            }
            return b"";
        }
        if to == Method::Head || self.is_bodiless() {
            return b"";
        }
        if let Some(body) = &self.body {
            let written = out.append(body.bytes);
            return &body.bytes[written..];
        }
        // Status and phrase take a few hundred bytes of 64 KiB.
        self.parts(|part| {
            out.append(part);
        });
        b""
    }

    /// Returns whether there was room for all of it.
    fn write_head(
        &self,
        edits: &Edits<'_>,
        connection: ConnectionHeader,
        date: HttpDate,
        out: &mut Buffer,
    ) -> bool {
        // Has a block leased, so that there is room for the first parts at once.
        out.spare_mut();
        let mut is_whole = true;
        let mut part = |part: &[u8]| is_whole &= out.append(part) == part.len();
        for piece in [b"HTTP/1.1 ", &*decimal(self.status.into()), b" ", self.reason(), b"\r\n"] {
            part(piece);
        }
        self.fields(edits, &date, |name, value| {
            for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
                part(piece);
            }
        });
        part(connection.line());
        part(b"\r\n");
        is_whole
    }

    /// Hands over the fields of its head, in order, but those that concern the connection.
    pub(in crate::http) fn fields(
        &self,
        edits: &Edits<'_>,
        date: &HttpDate,
        mut field: impl FnMut(&str, &[u8]),
    ) {
        self.own_fields(date, |name, value| {
            if !edits.withholds(Name::of(name.as_bytes()), name.as_bytes()) {
                field(name, value);
            }
        });
        edited_fields(edits, field);
    }

    /// The same before edits.
    fn own_fields(&self, date: &HttpDate, mut field: impl FnMut(&str, &[u8])) {
        field("Date", date);
        if !self.is_bodiless() {
            let content_type = self.body.map_or("text/plain", |body| body.content_type);
            if !content_type.is_empty() {
                field("Content-Type", content_type.as_bytes());
            }
            let mut body_bytes = 0;
            self.parts(|part| body_bytes += part.len() as u64);
            field("Content-Length", &decimal(body_bytes));
        }
        // A cache may keep these without being told so, and for longer than they are true.
        if self.body.is_none() && is_cacheable(self.status) {
            field("Cache-Control", b"no-store");
        }
        // A 200 of our own answers OPTIONS.
        match (self.allow, self.status) {
            (Some(allow), _) => field("Allow", allow.as_bytes()),
            (None, 405) => field("Allow", ALLOW.as_bytes()),
            (None, 200) if self.body.is_none() => field("Allow", ALLOW.as_bytes()),
            (None, _) => {}
        }
        if let Some(seconds) = self.retry_after {
            field("Retry-After", &decimal(seconds.into()));
        }
        if let Some(location) = self.location {
            field("Location", location.as_bytes());
        }
    }

    /// Hands over its body, piece by piece.
    pub(in crate::http) fn parts(&self, mut part: impl FnMut(&[u8])) {
        if self.is_bodiless() {
            return;
        }
        if let Some(body) = &self.body {
            return part(body.bytes);
        }
        let status = decimal(self.status.into());
        [&*status, b" ", self.reason(), b": ", self.phrase.as_bytes(), b"\n"]
            .into_iter()
            .for_each(part);
    }

    /// Whether its status leaves no room for a body (RFC 9110 §15.3.5, §15.4.5).
    fn is_bodiless(&self) -> bool {
        matches!(self.status, 204 | 304)
    }

    fn reason(&self) -> &'static [u8] {
        reason(self.status).as_bytes()
    }
}

/// Hands over the fields that edits say besides those of an answer of our own.
pub(in crate::http) fn edited_fields(edits: &Edits<'_>, mut field: impl FnMut(&str, &[u8])) {
    let mut value = Vec::new();
    for edit in edits.iter().filter(|edit| edit.operation != Operation::Remove) {
        if let Some(text) = edits.text_of(edit) {
            field(edit.name.text(), text.trim_ascii());
            continue;
        }
        value.clear();
        edits.write_value(edit, |part| value.extend_from_slice(part));
        field(edit.name.text(), &value);
    }
}

/// Whether caches may keep an answer of this status that says nothing of it (RFC 9110 §15.1).
fn is_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The standard reason phrase of a status (RFC 9110 §15, RFC 6585, RFC 5842 §7.2); `Status` for one that has none.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: Reply<'_>, to: Method) -> String {
        let mut out = Buffer::new();
        let date = HttpDate::of(784_111_777);
        let rest = reply.write(&Edits::new(), to, ConnectionHeader::Close, date, &mut out);
        assert_eq!(rest, b"");
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
