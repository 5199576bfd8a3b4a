//! Where a head ends: the same wherever its bytes are split. And what is read in one pass is what a closer look
//! reads: nothing is taken that it refuses, and nothing read differently.

use super::h1::encode::{self, ConnectionHeader};
use super::h1::framing;
use super::h1::parse;
use super::h1::persistence::Options;
use super::h1::scan::{Limits, Scan};
use super::message::edits::{EditName, Edits, Value};
use super::message::head::{Fields, Method, RequestHead, ResponseHead, Storage};
use crate::buffer::Buffer;

/// Where a long input is split: everywhere at its ends, here and there between.
pub(super) fn splits(length: usize) -> impl Iterator<Item = usize> {
    let stride = length / 64 + 1;
    (0..=length).filter(move |at| *at < 64 || at % stride == 0 || length - at < 8)
}

/// The length of the head at the front, wherever the bytes are split.
pub(super) fn scan_split_anywhere(
    bytes: &[u8],
    limits: &Limits,
    start: impl Fn() -> Scan,
) -> Option<usize> {
    let whole = start().advance(bytes, limits);
    for split in splits(bytes.len()) {
        let mut scan = start();
        let halves = match scan.advance(&bytes[..split], limits) {
            Ok(None) => scan.advance(bytes, limits),
            early => early,
        };
        assert_eq!(halves, whole, "split at {split}");
    }
    whole.ok().flatten()
}

/// One pass reads the request at the front of these bytes as a closer look does.
pub(super) fn check_request(bytes: &[u8], limits: &Limits) {
    let mut storage = Storage::new();
    let Some((read, length)) = parse::whole_request(bytes, limits, &mut storage) else { return };
    assert_eq!(Scan::request().advance(bytes, limits), Ok(Some(length)));
    let mut storage = Storage::new();
    match (read, parse::request(&bytes[..length], limits, &mut storage)) {
        (Ok(one), Ok(other)) => {
            let line = (one.method, one.target, one.version, one.authority);
            assert_eq!(line, (other.method, other.target, other.version, other.authority));
            check_fields(&one.fields, &other.fields);
            assert_eq!(written(&one), written(&other));
        }
        (one, other) => assert_eq!(one.err(), other.err()),
    }
}

/// The same of a response.
pub(super) fn check_response(bytes: &[u8], limits: &Limits) {
    let mut storage = Storage::new();
    let Some((one, length)) = parse::whole_response(bytes, limits, &mut storage) else { return };
    assert_eq!(Scan::response().advance(bytes, limits), Ok(Some(length)));
    let mut storage = Storage::new();
    let other = parse::response(&bytes[..length], limits, &mut storage).expect("a response");
    let line = (one.status, one.reason, one.version);
    assert_eq!(line, (other.status, other.reason, other.version));
    check_fields(&one.fields, &other.fields);
    assert_eq!(answered(&one), answered(&other));
}

/// Fields are the same, and stand in their head as they would be written where that is said.
fn check_fields(one: &Fields<'_, '_>, other: &Fields<'_, '_>) {
    assert_eq!(one.iter().collect::<Vec<_>>(), other.iter().collect::<Vec<_>>());
    for field in one.listed() {
        let line = [field.name, b": ", field.value, b"\r\n"].concat();
        assert!(field.line().is_none_or(|place| one.head()[place] == line));
    }
}

/// A request as it goes on, with edits and without, if it does.
fn written(head: &RequestHead<'_, '_>) -> Option<[Vec<u8>; 3]> {
    let (framing, options) = (framing::request(head).ok()?, Options::of(&head.fields));
    let (mut edited, mut moved) = (Edits::new(), Edits::new());
    edited.set(EditName::X_FORWARDED_FOR, Value::checked(b"192.0.2.7"));
    edited.set_host(b"there");
    moved.set_path([b"/there", b"/too"]);
    let all = [Edits::new(), edited, moved].map(|edits| {
        let (mut out, implied) = (Buffer::new(), ConnectionHeader::Implied);
        let written = encode::request(head, options, &edits, framing, implied, &mut out);
        written.map(|_| out.filled().to_vec()).ok()
    });
    let [plain, edited, moved] = all;
    Some([plain?, edited?, moved?])
}

/// A response as it goes on, to a request that has one with a body and to one that has not, if it does.
fn answered(head: &ResponseHead<'_, '_>) -> Option<[Vec<u8>; 3]> {
    let options = Options::of(&head.fields);
    let write = |to, connection| {
        let (framing, mut out) = (framing::response(head, to).ok()?, Buffer::new());
        let edits = Edits::new();
        encode::response(head, options, &edits, framing, connection, &mut out).ok()?;
        Some(out.filled().to_vec())
    };
    let implied = ConnectionHeader::Implied;
    Some([
        write(Method::Idempotent, implied)?,
        write(Method::Idempotent, ConnectionHeader::Close)?,
        write(Method::Head, implied)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 32 };

    /// Whether a request with these field lines is read in one pass.
    fn is_plain(fields: &str) -> bool {
        let bytes = format!("GET /a?b=c HTTP/1.1\r\nHost: a\r\n{fields}\r\nbody");
        check_request(bytes.as_bytes(), &LIMITS);
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\nbody");
        check_response(answer.as_bytes(), &LIMITS);
        let (mut storage, mut other) = (Storage::new(), Storage::new());
        let request = parse::whole_request(bytes.as_bytes(), &LIMITS, &mut storage);
        let response = parse::whole_response(answer.as_bytes(), &LIMITS, &mut other);
        assert_eq!(request.is_some(), response.is_some(), "{fields:?}");
        request.is_some()
    }

    #[test]
    fn what_is_plain_is_read_in_one_pass() {
        for fields in [
            "",
            "X:\r\n",
            "X: \t a b \t\r\n",
            "X_a.b!: 1\tb\r\n",
            "X: \u{e4}\r\n",
            "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nDNT: 1\r\n",
        ] {
            assert!(is_plain(fields), "{fields:?}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_a_closer_look() {
        for fields in [
            "X : 1\r\n",
            ": 1\r\n",
            "X\r\n",
            "X: a\0b\r\n",
            "X: a\x7f\r\n",
            "X: a\rb\r\n",
            "X: a\n",
            "X: a\r\n b\r\n",
            " X: a\r\n",
            "\u{e4}: a\r\n",
        ] {
            assert!(!is_plain(fields), "{fields:?}");
        }
        let many = "X: a\r\n".repeat(LIMITS.fields_max + 1);
        let long = format!("X: {}\r\n", "a".repeat(LIMITS.head_bytes_max));
        assert!(!is_plain(&many) && !is_plain(&long));
    }

    #[test]
    fn a_head_is_read_wherever_what_follows_it_begins() {
        let bytes = b"POST /a HTTP/1.0\r\nContent-Length: 5\r\n\r\nabcde";
        for end in 0..=bytes.len() {
            let mut storage = Storage::new();
            let read = parse::whole_request(&bytes[..end], &LIMITS, &mut storage);
            let length = read.map(|(_, length)| length);
            assert_eq!(length, (end >= bytes.len() - 5).then_some(bytes.len() - 5), "{end}");
        }
    }
}
