//! The copy of a request, written for the upstream that gets it.

use super::attempt_edits::{WRITTEN_LIMITS, append};
use super::request_copy::WrittenRequest;
use crate::buffer::Buffer;
use crate::http::h1::encode::{self, ConnectionHeader};
use crate::http::h1::framing::{self, Framing};
use crate::http::h1::parse;
use crate::http::h1::persistence::Options;
use crate::http::h2::section::NeverIndexed;
use crate::http::message::edits::{EditName, Edits, Value};
use crate::http::message::field::Name;
use crate::http::message::head::{Method, Storage};
use crate::http::rules::mirror::MirrorOutcome;
use crate::reject::Reject;
use crate::relay::body_copy::{BodyCopy, PieceForm};

/// A copy as it is sent.
pub(super) struct PreparedCopy {
    /// As it goes over HTTP/1.1.
    pub outgoing: Buffer,
    /// Its method.
    pub method: Method,
    /// Which of its fields are never to be indexed in HTTP/2.
    pub never_indexed: NeverIndexed,
}

impl PreparedCopy {
    /// Writes a request once more, with all of its body, for this host if not for the same.
    pub(super) fn of(
        begin: &WrittenRequest,
        rest: &[u8],
        host: Option<&str>,
    ) -> Result<Self, MirrorOutcome> {
        let bytes = &begin.bytes;
        let end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
        let (head, part) = bytes.split_at(end);
        let mut storage = Storage::new();
        let failed = |_: Reject| MirrorOutcome::Failed;
        let head = parse::request(head, &WRITTEN_LIMITS, &mut storage).map_err(failed)?;
        let framing = framing::request(&head).map_err(failed)?;
        let body = body_of(framing, part, rest).ok_or(MirrorOutcome::TooLong)?;
        let framing =
            if framing.has_body() { Framing::Length(body.len() as u64) } else { Framing::Empty };
        let mut edits = Edits::new();
        edits.set(EditName::X_MIRROR, Value::checked(b"1"));
        if let Some(host) = host {
            edits.set_host(host.as_bytes());
        }
        // All of it is here, and it has no trailers.
        edits.withhold(Name::Expect);
        edits.remove(EditName::TRAILER);
        let (options, mut outgoing) = (Options::of(&head.fields), Buffer::new());
        let connection = ConnectionHeader::Implied;
        let written = encode::request(&head, options, &edits, framing, connection, &mut outgoing);
        written.and_then(|_| append(&mut outgoing, &body)).map_err(failed)?;
        let never_indexed = begin.never_indexed.clone();
        Ok(Self { outgoing, method: head.semantics, never_indexed })
    }
}

/// The data of a body: `part` as it was written for HTTP/1.1, and then `rest`. `None` if it is too long.
fn body_of(framing: Framing, part: &[u8], rest: &[u8]) -> Option<Vec<u8>> {
    let form = if framing == Framing::Chunked { PieceForm::Chunks } else { PieceForm::Data };
    let body = BodyCopy::default();
    body.add(part, form);
    body.add(rest, PieceForm::Data);
    body.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(begin: &[u8], rest: &[u8]) -> Result<String, MirrorOutcome> {
        let begin = WrittenRequest { bytes: begin.into(), never_indexed: NeverIndexed::NONE };
        let copy = PreparedCopy::of(&begin, rest, Some("y"))?;
        Ok(String::from_utf8_lossy(copy.outgoing.filled()).into_owned())
    }

    #[test]
    fn a_copy_has_all_of_the_body_and_its_length() {
        let begin = b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n\
                      2\r\nab\r\n";
        let expected =
            "POST /a HTTP/1.1\r\nHost: y\r\nX-Mirror: 1\r\nContent-Length: 5\r\n\r\nabcde";
        assert_eq!(copied(begin, b"cde").unwrap(), expected);
        let begin = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(
            copied(begin, b"").unwrap(),
            "GET /a HTTP/1.1\r\nHost: y\r\nX-Mirror: 1\r\n\r\n"
        );
    }

    #[test]
    fn a_body_that_is_too_long_with_all_of_its_parts_is_not_copied() {
        let begin = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\na";
        assert_eq!(copied(begin, &[b'x'; 65536]), Err(MirrorOutcome::TooLong));
    }
}
