//! Encodes header blocks (RFC 7541 §6).
//!
//! Without a dynamic table: measured, it would save bytes on the wire but no time, and its memory would be
//! needed on every connection.

use super::{huffman, integer, static_table};
use crate::decimal;

/// The first bit of a field that is in the table (RFC 7541 §6.1).
const INDEXED: u8 = 0b1000_0000;

/// The first bit of a string in the Huffman code (RFC 7541 §5.2).
const HUFFMAN: u8 = 0b1000_0000;

/// Lengths of strings from here on take more than one byte.
const LENGTH_PREFIX_MAX: u8 = 0b0111_1111;

/// A table size update to 0 (RFC 7541 §6.3).
const NO_TABLE: u8 = 0b0010_0000;

/// The first bits of a literal without indexing, and of one never indexed (RFC 7541 §6.2.2, §6.2.3).
const WITHOUT_INDEXING: u8 = 0;
const NEVER_INDEXED: u8 = 0b0001_0000;

/// Indices of the static table.
const STATUS_200: usize = 8;
const AUTHORIZATION: usize = 23;
const COOKIE: usize = 32;
const PROXY_AUTHORIZATION: usize = 49;
const SET_COOKIE: usize = 55;

/// Cookies shorter than that may be guessed from how well they compress. nghttp2 draws the line there too.
const GUESSABLE_BYTES_MAX: usize = 19;

/// Shorter strings, in bytes, are not put in the Huffman code: for the answers of a file server that would
/// save 25 bytes and take half of the time that encoding does.
const CODED_BYTES_MIN: usize = 32;

/// Encodes the header blocks of one connection.
#[derive(Debug, Default)]
pub struct Encoder {
    begun: bool,
}

impl Encoder {
    /// For a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// For blocks that are put behind what another one has begun.
    pub fn continued() -> Self {
        Self { begun: true }
    }

    /// Begins a block. The first of a connection gives up the dynamic table: whatever size the peer allows
    /// later, there is nothing to adapt, and no further update is due (RFC 7541 §4.2).
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            out.push(NO_TABLE);
        }
    }

    /// Appends a field, its name in lower case. Credentials and short cookies are never to be indexed by
    /// whoever forwards them (RFC 7541 §7.1.3).
    pub fn field(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let known = static_table::find_name(name);
        if known.is_some_and(|first| is_guarded(first, value)) {
            return literal(NEVER_INDEXED, known, name, value, out);
        }
        match known.and_then(|first| static_table::find_value(first, value)) {
            Some(index) => integer::encode(index, 7, INDEXED, out),
            None => literal(WITHOUT_INDEXING, known, name, value, out),
        }
    }

    /// Appends a field as a literal never to be indexed: one that came so (RFC 7541 §6.2.3).
    pub fn guarded_field(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        literal(NEVER_INDEXED, static_table::find_name(name), name, value, out);
    }

    /// Appends the pseudo-header field `:status`, three digits (RFC 9113 §8.3.2).
    pub fn status(&self, status: u16, out: &mut Vec<u8>) {
        let digits: [u8; 3] = decimal::padded(status.into());
        match static_table::find_value(STATUS_200, &digits) {
            Some(index) => integer::encode(index, 7, INDEXED, out),
            None => literal(WITHOUT_INDEXING, Some(STATUS_200), b"", &digits, out),
        }
    }
}

/// Whether the field with this name has a value that must not be guessed.
fn is_guarded(name: usize, value: &[u8]) -> bool {
    match name {
        AUTHORIZATION | PROXY_AUTHORIZATION => true,
        COOKIE | SET_COOKIE => value.len() <= GUESSABLE_BYTES_MAX,
        _ => false,
    }
}

fn literal(flags: u8, known: Option<usize>, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    integer::encode(known.unwrap_or(0), 4, flags, out);
    if known.is_none() {
        integer::encode(name.len(), 7, 0, out);
        let start = out.len();
        out.extend_from_slice(name);
        out[start..].make_ascii_lowercase();
    }
    string(value, out);
}

/// A string, in the Huffman code if it is long and that is shorter (RFC 7541 §5.2).
fn string(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.len() < CODED_BYTES_MIN {
        return plain_string(bytes, out);
    }
    let start = out.len();
    // Its length is not known yet, but in most cases takes one byte.
    out.push(HUFFMAN | LENGTH_PREFIX_MAX);
    huffman::encode(bytes, out);
    let coded_bytes = out.len() - start - 1;
    if coded_bytes >= bytes.len() {
        out.truncate(start);
        return plain_string(bytes, out);
    }
    if let Ok(length @ ..LENGTH_PREFIX_MAX) = u8::try_from(coded_bytes) {
        out[start] = HUFFMAN | length;
        return;
    }
    let end = out.len();
    integer::encode_rest(coded_bytes - usize::from(LENGTH_PREFIX_MAX), out);
    let length_bytes = out.len() - end;
    out[start + 1..].rotate_right(length_bytes);
}

fn plain_string(bytes: &[u8], out: &mut Vec<u8>) {
    integer::encode(bytes.len(), 7, 0, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::super::super::section::{FieldSection, SectionLimits};
    use super::super::decoder::{Decoder, Fit};
    use super::*;

    fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Encoder::new().field(name, value, &mut out);
        out
    }

    fn decoded(block: &[u8]) -> FieldSection {
        let limits = SectionLimits { bytes_max: usize::MAX, fields_max: usize::MAX };
        let mut section = FieldSection::new();
        assert_eq!(Decoder::new(4096).decode(block, &limits, &mut section), Ok(Fit::Whole));
        section
    }

    #[test]
    fn the_first_block_gives_up_the_table() {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        encoder.begin(&mut out);
        encoder.field(b":method", b"GET", &mut out);
        encoder.begin(&mut out);
        encoder.field(b":method", b"POST", &mut out);
        assert_eq!(out, [0x20, 0x82, 0x83]);
        out.clear();
        Encoder::continued().begin(&mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn a_field_of_the_static_table_is_one_byte() {
        assert_eq!(field(b":path", b"/"), [0x84]);
        assert_eq!(field(b"Accept-Encoding", b"gzip, deflate"), [0x90]);
        assert_eq!(field(b"accept", b""), [0x93]);
    }

    #[test]
    fn a_name_of_the_static_table_is_an_index() {
        assert_eq!(field(b":path", b"/1"), b"\x04\x02/1");
        assert_eq!(field(b"Age", b"\x01"), b"\x0f\x06\x01\x01");
    }

    #[test]
    fn names_are_put_in_lower_case() {
        let long = b"X-A-Name-Longer-Than-Any-Of-The-Static-Table";
        for name in [&b"X-Request-Id"[..], b"Content-Type", long] {
            let section = decoded(&field(name, b"value"));
            assert_eq!(section.get(0), Some((&name.to_ascii_lowercase()[..], &b"value"[..])));
        }
    }

    #[test]
    fn every_status_comes_back() {
        let mut out = Vec::new();
        for status in 100..=999 {
            out.clear();
            Encoder::new().status(status, &mut out);
            let text = status.to_string();
            assert_eq!(decoded(&out).get(0), Some((&b":status"[..], text.as_bytes())));
            assert_eq!(out.len() == 1, matches!(status, 200 | 204 | 206 | 304 | 400 | 404 | 500));
        }
    }

    #[test]
    fn credentials_and_short_cookies_are_never_indexed() {
        for (name, value, expected) in [
            (&b"authorization"[..], &b"Bearer a-token-of-many-bytes"[..], true),
            (b"Proxy-Authorization", b"Basic dTpw", true),
            (b"authorization", b"", true),
            (b"cookie", b"a=1", true),
            (b"set-cookie", b"a=1", true),
            (b"cookie", b"session=0123456789abcdef", false),
            (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT", false),
            (b"x-custom", b"1", false),
        ] {
            let section = decoded(&field(name, value));
            let is_guarded = section.never_indexed().has(name);
            assert_eq!(is_guarded, expected, "{}", name.escape_ascii());
            assert_eq!(section.get(0), Some((&name.to_ascii_lowercase()[..], value)));
        }
    }

    #[test]
    fn a_guarded_field_is_a_literal_never_to_be_indexed() {
        let (encoder, mut out) = (Encoder::new(), Vec::new());
        encoder.guarded_field(b":method", b"GET", &mut out);
        encoder.guarded_field(b"X", b"1", &mut out);
        assert_eq!(out, b"\x12\x03GET\x10\x01x\x011");
    }

    #[test]
    fn any_value_comes_back() {
        for bytes in (0..400).chain(16_000..16_010) {
            let value: Vec<u8> = (0..=u8::MAX).cycle().step_by(31).take(bytes).collect();
            let text = vec![b'a'; bytes];
            assert_eq!(decoded(&field(b"x", &value)).get(0), Some((&b"x"[..], &value[..])));
            assert_eq!(decoded(&field(b"x", &text)).get(0), Some((&b"x"[..], &text[..])));
        }
    }
}
