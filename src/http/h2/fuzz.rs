//! The fuzz target of messages between HTTP/2 and HTTP/1.1.

use super::hpack::decoder::Decoder;
use super::hpack::encoder::Encoder;
use super::section::{FieldSection, NeverIndexed, SectionLimits};
use super::{encode, request, response, trailers};
use crate::http::chunks_fuzz::admit;
use crate::http::fuzz::{
    INPUT_BYTES_MAX, LIMITS, WIDER, check_fields, is_suffix_of_target, kept, others,
    others_written, with_request, write_request, write_response,
};
use crate::http::h1::chunked::Emit;
use crate::http::h1::encode::ConnectionHeader;
use crate::http::h1::framing::{self, Framing};
use crate::http::h1::parse;
use crate::http::h1::persistence::Options;
use crate::http::h1::scan::Scan;
use crate::http::message::edits::Edits;
use crate::http::message::field::Name;
use crate::http::message::head::{Fields, Method, RequestHead, ResponseHead, Storage};
use crate::http::message::hop::ClientScheme;
use crate::http::message::websocket;
use crate::http::oracle::{self, Then};
use crate::reject::Reject;

/// Ends a field of a section, and the name of one: no field holds either.
const FIELD_END: u8 = 0x1e;
const NAME_END: u8 = 0x1f;

/// A message that comes by one protocol says the same in the other: what is accepted of HTTP/2 becomes a
/// head that our parser of HTTP/1.1 and hyper read the same, and what is written to HTTP/2 is read there as
/// it was meant. The first byte chooses what a section is about.
pub fn h2_message(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_BYTES_MAX)];
    let Some((choice, bytes)) = data.split_first() else { return };
    let ends = choice & 1 != 0;
    let to = if choice & 2 != 0 { Method::Head } else { Method::Idempotent };
    check_request(&mut section(bytes), ends);
    check_response(&section(bytes), to, choice & 4 != 0, ends);
    check_trailers(&section(bytes));
    check_h1(bytes, to);
}

fn section(bytes: &[u8]) -> FieldSection {
    let mut section = FieldSection::new();
    for field in bytes.split(|byte| *byte == FIELD_END) {
        let name_end = field.iter().position(|byte| *byte == NAME_END);
        let (name, value) = field.split_at(name_end.unwrap_or(field.len()));
        section.push(name, value.get(1..).unwrap_or_default());
    }
    section
}

fn decoded(block: &[u8]) -> FieldSection {
    let limits = SectionLimits { bytes_max: 1 << 20, fields_max: 1 << 10 };
    let mut section = FieldSection::new();
    Decoder::new(0).decode(block, &limits, &mut section).expect("a block of ours");
    section
}

/// Names and values, as HTTP/2 writes them.
type Said = Vec<(String, Vec<u8>)>;

fn said<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Said {
    let fields = fields.into_iter();
    let text = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
    fields.map(|(name, value)| (text(name), value.to_vec())).collect()
}

/// The same with all cookies in one field at the end, if there are several.
fn with_one_cookie(mut said: Said) -> Said {
    let is_cookie = |(name, _): &(String, Vec<u8>)| name == "cookie";
    let crumbs: Vec<_> = said.iter().filter(|field| is_cookie(field)).cloned().collect();
    if crumbs.len() > 1 {
        said.retain(|field| !is_cookie(field));
        let values = crumbs.into_iter().map(|(_, value)| value);
        let values: Vec<_> = values.filter(|value| !value.is_empty()).collect();
        said.push(("cookie".to_owned(), values.join(&b"; "[..])));
    }
    said
}

/// What was accepted of HTTP/2 is read the same by those who speak HTTP/1.1.
fn check_request(section: &mut FieldSection, ends: bool) {
    let mut storage = Storage::new();
    let Ok(head) = request::read(section, LIMITS.fields_max, &mut storage) else { return };
    let Ok(framing) = request::framing(&head, ends) else { return };
    let method = if head.protocol.is_some() { "GET" } else { head.method };
    let written = write_request(&head, framing);
    let fields = with_request(&written, &WIDER, |again, framing_again| {
        assert_eq!((again.method, again.target), (method, head.target));
        assert_eq!((again.authority, framing_again), (head.authority, framing));
        assert_eq!(others(&again.fields), others_written(&head));
        check_fields(&head, again);
        check_request_in_h2(again, framing);
        sorted(said(again.fields.iter().map(|(_, name, value)| (name, value))))
    });
    let fields = fields.expect("what was written is a head");
    if oracle::takes_target(head.target) {
        let observed = oracle::requests(&written);
        assert_eq!(observed.refused, None, "hyper takes what we write");
        assert_eq!((observed.seen[0].method.as_str(), observed.seen.len()), (method, 1));
        assert!(is_suffix_of_target(&observed.seen[0].target, head.target));
        assert_eq!(sorted(observed.fields), fields);
    }
}

/// hyper keeps the order of fields of one name only.
fn sorted(mut said: Said) -> Said {
    said.sort_by(|(one, _), (other, _)| one.cmp(other));
    said
}

/// A request as we write it to HTTP/1.1 is read by HTTP/2 as it was meant.
fn check_request_in_h2(head: &RequestHead<'_, '_>, framing: Framing) {
    let tunnel = websocket::is_asked_for(head);
    let mut block = Vec::new();
    let none = &NeverIndexed::NONE;
    encode::request(head, ClientScheme::Http, tunnel, none, &mut Encoder::new(), &mut block);
    let (mut section, mut storage) = (decoded(&block), Storage::new());
    if head.authority.is_empty() {
        // Without a host there is nobody in HTTP/2 to ask.
        let read = request::read(&mut section, WIDER.fields_max, &mut storage);
        assert_eq!(read.err(), Some(Reject::MissingHost));
        return;
    }
    let again = request::read(&mut section, WIDER.fields_max, &mut storage).expect("a head");
    let method = if tunnel { "CONNECT" } else { head.method };
    assert_eq!((again.method, again.target), (method, &*head.path_and_query()));
    assert_eq!((again.authority, again.protocol.is_some()), (head.authority, tunnel));
    let framing = if tunnel { Framing::Empty } else { framing };
    assert_eq!(request::framing(&again, !framing.has_body()), Ok(framing));
    let mut expected = with_one_cookie(said(others(&head.fields)));
    expected.retain(|(name, _)| !tunnel || name != "sec-websocket-key");
    assert_eq!(said(others(&again.fields)), expected);
    for name in [Name::Expect, Name::Te, Name::ForwardedFor, Name::ForwardedProto] {
        assert!(again.fields.values(name).eq(head.fields.values(name)));
    }
}

fn check_response(section: &FieldSection, to: Method, tunnel: bool, ends: bool) {
    let mut storage = Storage::new();
    let Ok(head) = response::read(section, LIMITS.fields_max, tunnel, &mut storage) else { return };
    let Ok(framing) = response::framing(&head, to, ends) else { return };
    let switches = head.protocol.is_some();
    let connection = if switches { ConnectionHeader::Upgrade } else { ConnectionHeader::Implied };
    let written = write_response(&head, framing, connection);
    let mut storage = Storage::new();
    let again = parse::response(&written, &WIDER, &mut storage).expect("a head");
    assert_eq!((again.status, again.reason), (head.status, ""));
    assert_eq!(framing::response(&again, to), Ok(framing));
    assert_eq!(others(&again.fields), others(&head.fields));
    assert_eq!(again.fields.has(Name::Upgrade), switches);
    check_response_in_h2(&head);
    if head.status >= 200 {
        let method = if to == Method::Head { "HEAD" } else { "GET" };
        oracle::response(&written, method, Then::Nothing).expect("hyper takes what we write");
    }
}

/// A response as we write it to HTTP/2 is read there as it was meant.
fn check_response_in_h2(head: &ResponseHead<'_, '_>) {
    let (options, mut block) = (Options::of(&head.fields), Vec::new());
    let (edits, none) = (Edits::new(), &NeverIndexed::NONE);
    encode::response(head, options, &edits, none, &mut Encoder::new(), &mut block);
    let (section, mut storage) = (decoded(&block), Storage::new());
    let tunnel = head.status == 101;
    let again = response::read(&section, WIDER.fields_max, tunnel, &mut storage).expect("a head");
    assert_eq!(again.status, head.status);
    assert_eq!(said(others(&again.fields)), said(kept(&head.fields)));
    let has_length = !matches!(head.status, 100..200 | 204);
    let length = |fields: &Fields<'_, '_>| crate::http::message::rules::content_length(fields);
    let expected = if has_length { length(&head.fields) } else { Ok(None) };
    assert_eq!(length(&again.fields), expected);
}

/// Trailers that are accepted are those of a chunked body, and the other way round.
fn check_trailers(section: &FieldSection) {
    if trailers::check(section).is_err() {
        return;
    }
    let mut lines = b"0\r\n".to_vec();
    trailers::write_h1(section, &mut lines);
    let passed = admit(&lines, Emit::Chunks, &[]).expect("a body");
    assert_eq!((passed.is_done, passed.trailers.as_deref()), (true, Some(&lines[3..])));
    let mut blocks = [Vec::new(), Vec::new()];
    trailers::encode(section, &mut Encoder::new(), &mut blocks[0]);
    trailers::encode_h1(&lines[3..], &NeverIndexed::NONE, &mut Encoder::new(), &mut blocks[1]);
    assert!(blocks.iter().all(|block| decoded(block).iter().eq(section.iter())));
}

/// What is accepted of HTTP/1.1 is read by HTTP/2 as it was meant.
fn check_h1(bytes: &[u8], to: Method) {
    if let Ok(Some(length)) = Scan::request().advance(bytes, &LIMITS) {
        let written = with_request(&bytes[..length], &LIMITS, write_request);
        if let Ok(written) = written {
            with_request(&written, &WIDER, check_request_in_h2).expect("a head");
        }
    }
    if let Ok(Some(length)) = Scan::response().advance(bytes, &LIMITS) {
        let mut storage = Storage::new();
        let head = parse::response(&bytes[..length], &LIMITS, &mut storage);
        if let Some(head) = head.ok().filter(|head| framing::response(head, to).is_ok()) {
            check_response_in_h2(&head);
        }
    }
    let chunked = [b"0\r\n", bytes].concat();
    if let Some(lines) = admit(&chunked, Emit::Chunks, &[]).ok().and_then(|body| body.trailers) {
        let mut block = Vec::new();
        let none = &NeverIndexed::NONE;
        let has_fields = trailers::encode_h1(&lines, none, &mut Encoder::new(), &mut block);
        assert_eq!(has_fields, lines != b"\r\n");
        let checked = trailers::check(&decoded(&block));
        // In HTTP/1.1 there need not be a space after a colon.
        assert!(matches!(checked, Ok(()) | Err(Reject::TrailerTooLarge)), "{checked:?}");
    }
}

#[cfg(test)]
mod tests {
    use crate::corpus::replay;

    #[test]
    fn h2_message() {
        replay("h2_message", 10_000, super::h2_message);
    }
}
