//! Writes heads as header blocks (RFC 9113 §8.2, §8.3), again from their parsed form and without what
//! concerns the connection they came by.

use std::borrow::Cow;

use super::hpack::encoder::Encoder;
use super::section::NeverIndexed;
use crate::decimal::decimal;
use crate::grpc::call::CONTENT_TYPE;
use crate::grpc::status::{Status, write_message};
use crate::http::h1::framing;
use crate::http::h1::persistence::{Named, Options};
use crate::http::h1::reply::{Reply, edited_fields};
use crate::http::message::date::HttpDate;
use crate::http::message::edits::{Edit, Edits, Operation};
use crate::http::message::field::{self, Name};
use crate::http::message::head::{Fields, Method, RequestHead, ResponseHead};
use crate::http::message::hop::ClientScheme;

/// What most header blocks fit in.
const BLOCK_BYTES: usize = 512;

/// A header block that is being written. What must never be indexed is written as such.
pub(super) struct BlockWriter<'a> {
    /// The encoder of its connection.
    pub(super) encoder: &'a Encoder,
    /// The fields that came so.
    pub(super) never_indexed: &'a NeverIndexed,
    /// Where it is written.
    pub(super) out: &'a mut Vec<u8>,
}

impl BlockWriter<'_> {
    fn status(&mut self, status: u16) {
        if self.never_indexed.has(b":status") {
            self.encoder.guarded_field(b":status", &decimal(status.into()), self.out);
        } else {
            self.encoder.status(status, self.out);
        }
    }

    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        if self.never_indexed.has(name) {
            self.encoder.guarded_field(name, value, self.out);
        } else {
            self.encoder.field(name, value, self.out);
        }
    }
}

/// Appends the head of a response to a client. What HTTP/1.1 calls 101 agrees to a tunnel, and is 200 here
/// (RFC 8441 §5).
///
/// Content-Length says what the sender said, where there is room for a body at all: the end of one that
/// has none is that of its stream.
pub fn response(
    head: &ResponseHead<'_, '_>,
    options: Options,
    edits: &Edits<'_>,
    never_indexed: &NeverIndexed,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) {
    out.reserve(BLOCK_BYTES);
    encoder.begin(out);
    let mut block = BlockWriter { encoder, never_indexed, out };
    block.status(if head.status == 101 { 200 } else { head.status });
    let named = Named::of(&head.fields, options);
    for (place, (known, name, value)) in head.fields.iter().enumerate() {
        let is_named = || named.as_ref().is_some_and(|named| named.has(place));
        if !known.is_of_one_hop() && !is_named() && !edits.withholds(known, name) {
            block.field(name, value);
        }
    }
    write_edits(edits, &head.fields, &mut block);
    let is_bodiless = matches!(head.status, 100..200 | 204);
    if let Some(length) = framing::announced_length(head).filter(|_| !is_bodiless) {
        block.field(b"content-length", &decimal(length));
    }
}

/// Appends the head of a request to an endpoint, which is one of HTTP/1.1 as we write it ourselves
/// ([`crate::http::h1::encode::request`]). If `tunnel`, the upgrade it asks for becomes an extended CONNECT
/// (RFC 8441); another upgrade is not asked for, as a proxy may decide (RFC 9110 §7.8).
pub fn request(
    head: &RequestHead<'_, '_>,
    scheme: ClientScheme,
    tunnel: bool,
    never_indexed: &NeverIndexed,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) {
    encoder.begin(out);
    let mut block = BlockWriter { encoder, never_indexed, out };
    let method = if tunnel { "CONNECT" } else { head.method };
    block.field(b":method", method.as_bytes());
    if tunnel {
        block.field(b":protocol", b"websocket");
    }
    block.field(b":scheme", scheme.name().as_bytes());
    // RFC 9113 §8.3.1: where there is none to tell, it is left out.
    if !head.authority.is_empty() {
        // It may have come as the one or the other.
        if never_indexed.has(b"host") {
            encoder.guarded_field(b":authority", head.authority, block.out);
        } else {
            block.field(b":authority", head.authority);
        }
    }
    block.field(b":path", head.path_and_query().as_bytes());
    for (known, name, value) in head.fields.iter() {
        match known {
            // What a tunnel carries is no body.
            Name::ContentLength if !tunnel => block.field(name, value),
            Name::Te if field::takes_trailers(value) => block.field(b"te", b"trailers"),
            Name::Host => {}
            _ if known.is_of_one_hop() => {}
            // RFC 8441 §5: HTTP/2 proves by other means that its server knows the protocol.
            Name::Other if tunnel && name.eq_ignore_ascii_case(b"sec-websocket-key") => {}
            _ => block.field(name, value),
        }
    }
}

/// Appends the head of an answer of our own to `out` and its body to `body`; the answer to HEAD has none.
pub fn reply(
    (reply, edits): (&Reply<'_>, &Edits<'_>),
    to: Method,
    date: &HttpDate,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    body: &mut Vec<u8>,
) {
    encoder.begin(out);
    encoder.status(reply.status, out);
    reply.fields(edits, date, |name, value| encoder.field(name.as_bytes(), value, out));
    if to != Method::Head {
        reply.parts(|part| body.extend_from_slice(part));
    }
}

/// Appends an answer of our own to a call of gRPC: a section that says all and ends the stream
/// (`Trailers-Only`). It has come to `status`, and its message is the reason of `reply`.
pub fn reply_to_call(
    (reply, edits): (&Reply<'_>, &Edits<'_>),
    status: Status,
    date: &HttpDate,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) {
    encoder.begin(out);
    encoder.status(200, out);
    encoder.field(b"date", date, out);
    encoder.field(b"content-type", CONTENT_TYPE, out);
    edited_fields(edits, |name, value| {
        if !name.eq_ignore_ascii_case("content-type") {
            encoder.field(name.as_bytes(), value, out);
        }
    });
    status_of_call(reply, status, encoder, out);
}

/// Appends the fields that say how a call of gRPC has ended: those of `Trailers-Only`, or of trailers after an
/// answer that is cut.
pub fn status_of_call(reply: &Reply<'_>, status: Status, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.field(b"grpc-status", &decimal(status.code().into()), out);
    let mut message = Vec::new();
    write_message(reply.phrase, |part| message.extend_from_slice(part));
    encoder.field(b"grpc-message", &message, out);
}

/// What is to be said besides what the sender wrote in `fields`.
fn write_edits(edits: &Edits<'_>, fields: &Fields<'_, '_>, block: &mut BlockWriter<'_>) {
    for edit in edits.iter() {
        if let Some(value) = value_of(edits, edit, fields) {
            block.field(edit.name.text().as_bytes(), value.trim_ascii());
        }
    }
}

/// What the field of an edit says, if there is to be one.
fn value_of<'a>(
    edits: &'a Edits<'_>,
    edit: &Edit<'a>,
    fields: &Fields<'_, '_>,
) -> Option<Cow<'a, [u8]>> {
    let mut value = Vec::new();
    match (edit.operation, edits.text_of(edit)) {
        (Operation::Remove, _) => return None,
        (Operation::Append, _) => {
            edits.write_list(edit, fields, |part| value.extend_from_slice(part));
            return (!value.is_empty()).then_some(value.into());
        }
        (Operation::Set | Operation::Add, Some(text)) => return Some(text.into()),
        (Operation::Set | Operation::Add, None) => {
            edits.write_value(edit, |part| value.extend_from_slice(part));
        }
    }
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::super::hpack::decoder::Decoder;
    use super::super::section::{FieldSection, SectionLimits};
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::edits::{EditName, Value};
    use crate::http::message::forwarded;
    use crate::http::message::head::Storage;
    use crate::http::message::hop::Hop;
    use crate::http::message::websocket;

    const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 32 };

    /// The fields of a block, as `name=value` with spaces between.
    fn decoded(block: &[u8]) -> String {
        let limits = SectionLimits { bytes_max: 65_536, fields_max: 100 };
        let mut section = FieldSection::new();
        Decoder::new(4096).decode(block, &limits, &mut section).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let fields = section.iter().map(|(name, value)| text(name) + "=" + &text(value));
        fields.collect::<Vec<_>>().join(" ")
    }

    fn answered(head: &str, edits: &Edits<'_>) -> String {
        let bytes = format!("HTTP/1.1 {head}\r\n");
        let mut storage = Storage::new();
        let head = parse::response(bytes.as_bytes(), &LIMITS, &mut storage).unwrap();
        let mut out = Vec::new();
        let (options, none) = (Options::of(&head.fields), &NeverIndexed::NONE);
        response(&head, options, edits, none, &mut Encoder::new(), &mut out);
        decoded(&out)
    }

    fn asked(head: &str, scheme: ClientScheme) -> String {
        let bytes = format!("{head}\r\n");
        let mut storage = Storage::new();
        let head = parse::request(bytes.as_bytes(), &LIMITS, &mut storage).unwrap();
        let mut out = Vec::new();
        let (tunnel, none) = (websocket::is_asked_for(&head), &NeverIndexed::NONE);
        request(&head, scheme, tunnel, none, &mut Encoder::new(), &mut out);
        decoded(&out)
    }

    #[test]
    fn a_response_keeps_its_fields_but_those_of_the_connection() {
        let rows = [
            ("200 OK\r\nContent-Length: 5\r\nA: b\r\n", ":status=200 a=b content-length=5"),
            ("200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n", ":status=200 a=b"),
            ("304 A\r\nContent-Length: 5\r\n", ":status=304 content-length=5"),
            ("204 A\r\nContent-Length: 5\r\n", ":status=204"),
            ("103 A\r\nLink: b\r\n", ":status=103 link=b"),
            (
                "200 OK\r\nConnection: X-Mine, close\r\nx-mine: 1\r\nKeep-Alive: 1\r\nTE: a\r\n\
                 Proxy-Connection: a\r\nUpgrade: h9\r\nTrailer: b\r\n",
                ":status=200 trailer=b",
            ),
            ("426 A\r\nConnection: upgrade\r\nUpgrade: h9\r\n", ":status=426"),
            ("101 A\r\nConnection: upgrade\r\nUpgrade: websocket\r\nA: b\r\n", ":status=200 a=b"),
        ];
        for (head, expected) in rows {
            assert_eq!(answered(head, &Edits::new()), expected, "{head:?}");
        }
    }

    #[test]
    fn edits_change_a_response_as_in_http_1_1() {
        let mut edits = Edits::new();
        edits.set(EditName::DATE, Value::checked(b"now"));
        edits.add(EditName::VIA, Value::checked(b"1.1 edge"));
        edits.remove(EditName::new("Server").unwrap());
        edits.append(EditName::new("X-List").unwrap(), Value::checked(b" c "));
        let head =
            "200 OK\r\nServer: x\r\nDate: then\r\nVia: 1.0 a\r\nX-List: a,,\r\nx-list: b\r\n";
        assert_eq!(
            answered(head, &edits),
            ":status=200 via=1.0 a date=now via=1.1 edge x-list=a, b,  c"
        );
    }

    #[test]
    fn edits_that_are_no_texts_are_written_out() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=b\r\n\r\n";
        let mut storage = Storage::new();
        let head = parse::request(bytes, &LIMITS, &mut storage).unwrap();
        let mut edits = Edits::new();
        forwarded::edit(&mut edits, &head, Hop::SAMPLE, true);
        let mut out = Vec::new();
        let (encoder, never_indexed) = (&Encoder::new(), &NeverIndexed::NONE);
        write_edits(
            &edits,
            &head.fields,
            &mut BlockWriter { encoder, never_indexed, out: &mut out },
        );
        assert_eq!(
            decoded(&out),
            "x-forwarded-for=192.0.2.7 forwarded=for=b, for=192.0.2.7;proto=http;host=a \
             x-forwarded-proto=http x-forwarded-host=a"
        );
    }

    #[test]
    fn a_request_is_one_of_http_2_without_the_fields_of_its_connection() {
        let rows = [
            (
                "GET /a?b HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\nTE: trailers\r\nConnection: TE\r\n",
                ":method=GET :scheme=http :authority=a:1 :path=/a?b accept=*/* te=trailers",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
                ":method=POST :scheme=http :authority=a :path=/ expect=100-continue",
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n",
                ":method=PUT :scheme=http :authority=a :path=/ content-length=5",
            ),
            ("GET / HTTP/1.1\r\nHost:\r\n", ":method=GET :scheme=http :path=/"),
            (
                "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
                ":method=OPTIONS :scheme=http :authority=a :path=*",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n",
                ":method=GET :scheme=http :authority=a :path=/",
            ),
        ];
        for (head, expected) in rows {
            assert_eq!(asked(head, ClientScheme::Http), expected, "{head:?}");
        }
    }

    #[test]
    fn an_upgrade_to_a_websocket_is_an_extended_connect() {
        let head = "GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\
                    Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n";
        assert_eq!(
            asked(head, ClientScheme::Https),
            ":method=CONNECT :protocol=websocket :scheme=https :authority=a :path=/a \
             sec-websocket-version=13"
        );
        assert!(
            asked(&head.replacen("GET", "POST", 1), ClientScheme::Http).contains(":method=POST")
        );
    }

    #[test]
    fn an_answer_of_ours_to_a_call_is_one_section() {
        let (date, mut out) = (HttpDate::of(784_111_777), Vec::new());
        let (ours, status) = (Reply::new(404, "no route"), Status::Unimplemented);
        reply_to_call((&ours, &Edits::new()), status, &date, &mut Encoder::new(), &mut out);
        assert_eq!(
            decoded(&out),
            ":status=200 date=Sun, 06 Nov 1994 08:49:37 GMT content-type=application/grpc \
             grpc-status=12 grpc-message=no route"
        );
    }

    #[test]
    fn an_answer_of_ours_says_what_it_says_in_http_1_1() {
        let date = HttpDate::of(784_111_777);
        let ours = Reply {
            retry_after: Some(1),
            location: Some("https://a/"),
            ..Reply::new(404, "no route")
        };
        for (to, text) in [(Method::Other, "404 Not Found: no route\n"), (Method::Head, "")] {
            let (mut out, mut body) = (Vec::new(), Vec::new());
            reply((&ours, &Edits::new()), to, &date, &mut Encoder::new(), &mut out, &mut body);
            assert_eq!(
                decoded(&out),
                ":status=404 date=Sun, 06 Nov 1994 08:49:37 GMT content-type=text/plain \
                 content-length=24 cache-control=no-store retry-after=1 location=https://a/"
            );
            assert_eq!(body, text.as_bytes());
        }
    }
}
