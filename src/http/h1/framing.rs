//! Where a body ends (RFC 9112 §6.3), decided from the head alone and in one place.
//!
//! Whatever two readers might understand differently is refused, not interpreted. The rules, in
//! the order of RFC 9112 §6.3:
//!
//! 1. Responses to HEAD, and 1xx, 204, 304, have no body, whatever their fields say.
//! 2. (CONNECT is refused earlier.)
//! 3. Transfer-Encoding and Content-Length together: refused.
//! 4. Transfer-Encoding that is exactly `chunked`: chunked. Any other: refused, in responses too.
//! 5. Content-Length that is invalid or given twice (even twice the same): refused.
//! 6. One valid Content-Length: that many bytes.
//! 7. A request with neither has no body.
//! 8. A response with neither ends with its connection.

use crate::http::message::field::{self, Name};
use crate::http::message::head::{Fields, Method, RequestHead, ResponseHead, Version};
use crate::http::message::rules;
use crate::reject::Reject;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks, then a trailer section.
    Chunked,
    /// Whatever comes until the connection ends; responses only.
    UntilClose,
}

impl Framing {
    /// Whether any byte may follow the head.
    pub fn has_body(self) -> bool {
        !matches!(self, Self::Empty | Self::Length(0))
    }

    /// Whether it is known to be longer than this, in bytes.
    pub fn is_longer_than(self, bytes_max: Option<u64>) -> bool {
        matches!((self, bytes_max), (Self::Length(length), Some(max)) if length > max)
    }
}

/// The framing of a request's body.
pub fn request(head: &RequestHead<'_, '_>) -> Result<Framing, Reject> {
    Ok(declared(&head.fields, head.version)?.unwrap_or(Framing::Empty))
}

/// The framing of the body of a response to a request of method `to`.
pub fn response(head: &ResponseHead<'_, '_>, to: Method) -> Result<Framing, Reject> {
    // Contradictory fields are refused even where there is no body to frame: an endpoint that
    // sends them cannot be trusted with the next response on the same connection.
    let declared = declared(&head.fields, head.version)?;
    let bodiless = head.status < 200 || matches!(head.status, 204 | 304) || to == Method::Head;
    Ok(if bodiless { Framing::Empty } else { declared.unwrap_or(Framing::UntilClose) })
}

/// The length a bodiless response declares for the body it leaves out (RFC 9110 §8.6).
pub fn announced_length(head: &ResponseHead<'_, '_>) -> Option<u64> {
    head.fields.values(Name::ContentLength).next().and_then(field::decimal)
}

fn declared(fields: &Fields<'_, '_>, version: Version) -> Result<Option<Framing>, Reject> {
    match (fields.has(Name::ContentLength), fields.has(Name::TransferEncoding)) {
        (false, false) => Ok(None),
        (true, true) => Err(Reject::LengthAndEncoding),
        (true, false) => Ok(rules::content_length(fields)?.map(Framing::Length)),
        (false, true) if version == Version::Http10 => Err(Reject::EncodingInHttp10),
        (false, true) => {
            let mut encodings = fields.values(Name::TransferEncoding);
            match (encodings.next(), encodings.next()) {
                (Some(encoding), None) => encoding_framing(encoding).map(Some),
                _ => Err(Reject::ChunkedNotLast),
            }
        }
    }
}

fn encoding_framing(encoding: &[u8]) -> Result<Framing, Reject> {
    if encoding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let chunked = field::list(encoding).filter(|c| c.eq_ignore_ascii_case(b"chunked")).count();
    let known = field::list(encoding).all(|coding| {
        ["chunked", "gzip", "x-gzip", "deflate", "compress", "x-compress"]
            .iter()
            .any(|known| coding.eq_ignore_ascii_case(known.as_bytes()))
    });
    let last_is_chunked =
        field::list(encoding).last().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    match (chunked, last_is_chunked) {
        // `gzip, chunked` is legal, but whether the next hop undoes one coding or two is anyone's
        // guess; no browser sends it.
        (1, true) | (0, _) => Err(Reject::UnknownEncoding),
        _ if known => Err(Reject::ChunkedNotLast),
        _ => Err(Reject::UnknownEncoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::head::Storage;

    const LIMITS: Limits = Limits { head_bytes_max: 16384, fields_max: 100 };

    fn of_request(fields: &str) -> Result<Framing, Reject> {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        request(&parse::request(bytes.as_bytes(), &LIMITS, &mut Storage::new())?)
    }

    fn of_response(status: &str, fields: &str, to: Method) -> Result<Framing, Reject> {
        let bytes = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        response(&parse::response(bytes.as_bytes(), &LIMITS, &mut Storage::new())?, to)
    }

    #[test]
    fn requests() {
        let rows = [
            ("", Ok(Framing::Empty)),
            ("Content-Length: 0\r\n", Ok(Framing::Length(0))),
            ("Content-Length: 42\r\n", Ok(Framing::Length(42))),
            ("Content-Length:  42\t\r\n", Ok(Framing::Length(42))),
            ("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: CHUNKED\r\n", Ok(Framing::Chunked)),
            ("Content-Length: 1\r\nContent-Length: 2\r\n", Err(Reject::DuplicateContentLength)),
            ("Content-Length: 1\r\ncontent-length: 1\r\n", Err(Reject::DuplicateContentLength)),
            ("Content-Length: 1, 1\r\n", Err(Reject::ContentLength)),
            ("Content-Length: +1\r\n", Err(Reject::ContentLength)),
            ("Content-Length: 0x1\r\n", Err(Reject::ContentLength)),
            ("Content-Length:\r\n", Err(Reject::ContentLength)),
            ("Content-Length: 9223372036854775808\r\n", Err(Reject::ContentLength)),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Err(Reject::LengthAndEncoding)),
            ("Transfer-Encoding: gzip\r\n", Err(Reject::UnknownEncoding)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(Reject::UnknownEncoding)),
            ("Transfer-Encoding: identity\r\n", Err(Reject::UnknownEncoding)),
            ("Transfer-Encoding: xchunked\r\n", Err(Reject::UnknownEncoding)),
            ("Transfer-Encoding:\r\n", Err(Reject::UnknownEncoding)),
            ("Transfer-Encoding: chunked, gzip\r\n", Err(Reject::ChunkedNotLast)),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(Reject::ChunkedNotLast)),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Err(Reject::ChunkedNotLast),
            ),
        ];
        for (fields, framing) in rows {
            assert_eq!(of_request(fields), framing, "{fields:?}");
        }
    }

    #[test]
    fn an_http_1_0_message_has_no_transfer_encoding() {
        let bytes = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut storage = Storage::new();
        let head = parse::request(bytes, &LIMITS, &mut storage).unwrap();
        assert_eq!(request(&head), Err(Reject::EncodingInHttp10));
    }

    #[test]
    fn responses() {
        let get = Method::Idempotent;
        let rows = [
            ("200 OK", "", get, Ok(Framing::UntilClose)),
            ("200 OK", "Content-Length: 5\r\n", get, Ok(Framing::Length(5))),
            ("200 OK", "Content-Length: 5\r\n", Method::Head, Ok(Framing::Empty)),
            ("204 No Content", "", get, Ok(Framing::Empty)),
            ("304 Not Modified", "Content-Length: 5\r\n", get, Ok(Framing::Empty)),
            ("103 Early Hints", "", get, Ok(Framing::Empty)),
            ("200 OK", "Transfer-Encoding: chunked\r\n", get, Ok(Framing::Chunked)),
            ("200 OK", "Transfer-Encoding: gzip\r\n", get, Err(Reject::UnknownEncoding)),
            (
                "304 Not Modified",
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                get,
                Err(Reject::LengthAndEncoding),
            ),
        ];
        for (status, fields, to, framing) in rows {
            assert_eq!(of_response(status, fields, to), framing, "{status} {fields:?}");
        }
    }
}
