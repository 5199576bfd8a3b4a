//! Trailer sections (RFC 9113 §8.1), between HTTP/2 and HTTP/1.1. Both obey the same rules.

use super::encode::BlockWriter;
use super::fields::{is_field_value, is_name};
use super::hpack::encoder::Encoder;
use super::section::{FieldSection, NeverIndexed};
use crate::http::h1::chunked::TRAILER_BYTES_MAX;
use crate::http::message::field::Name;
use crate::reject::Reject;

/// Refuses what may not be a trailer section: one with pseudo-header fields, with fields that break the
/// syntax, that frame, route or control (RFC 9110 §6.5.1), or longer than [`TRAILER_BYTES_MAX`] in HTTP/1.1.
pub fn check(section: &FieldSection) -> Result<(), Reject> {
    let mut length = b"\r\n".len();
    for (name, value) in section.iter() {
        if name.starts_with(b":") {
            return Err(Reject::PseudoHeader);
        }
        if !is_name(name) || !is_field_value(value) {
            return Err(Reject::Trailer);
        }
        if Name::of(name).forbidden_in_trailer() {
            return Err(Reject::ForbiddenTrailer);
        }
        length += name.len() + value.len() + b": \r\n".len();
    }
    if length > TRAILER_BYTES_MAX { Err(Reject::TrailerTooLarge) } else { Ok(()) }
}

/// Appends a section that has passed [`check`] as that of a chunked body, with the empty line at its end.
pub fn write_h1(section: &FieldSection, out: &mut Vec<u8>) {
    for (name, value) in section.iter() {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a section that has passed [`check`] as a header block.
pub fn encode(section: &FieldSection, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    let mut block = BlockWriter { encoder, never_indexed: section.never_indexed(), out };
    section.iter().for_each(|(name, value)| block.field(name, value));
}

/// Appends the trailer section of a chunked body as a header block: lines that
/// [`Chunked`](crate::http::h1::chunked::Chunked) has let pass, to the empty one. Appends nothing and says
/// so if there are no fields: then the body itself is the end.
pub fn encode_h1(
    lines: &[u8],
    never_indexed: &NeverIndexed,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) -> bool {
    let lines = lines.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut fields =
        lines.filter_map(|line| Some(line.split_at(memchr::memchr(b':', line)?))).peekable();
    if fields.peek().is_none() {
        return false;
    }
    encoder.begin(out);
    let mut block = BlockWriter { encoder, never_indexed, out };
    for (name, value) in fields {
        block.field(name, value[1..].trim_ascii());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::hpack::decoder::Decoder;
    use super::super::section::SectionLimits;
    use super::*;

    fn section(fields: &[(&str, &str)]) -> FieldSection {
        let mut section = FieldSection::new();
        for (name, value) in fields {
            section.push(name.as_bytes(), value.as_bytes());
        }
        section
    }

    fn decoded(block: &[u8]) -> FieldSection {
        let limits = SectionLimits { bytes_max: 65_536, fields_max: 100 };
        let mut section = FieldSection::new();
        Decoder::new(4096).decode(block, &limits, &mut section).unwrap();
        section
    }

    #[test]
    fn what_may_not_be_a_trailer_is_refused() {
        let long = "x".repeat(TRAILER_BYTES_MAX - "a: \r\n\r\n".len());
        let longer = format!("{long}x");
        let rows = [
            (("grpc-status", "0"), Ok(())),
            (("a", &*long), Ok(())),
            (("a", &*longer), Err(Reject::TrailerTooLarge)),
            ((":status", "200"), Err(Reject::PseudoHeader)),
            ((":path", "/"), Err(Reject::PseudoHeader)),
            (("Grpc-Status", "0"), Err(Reject::Trailer)),
            (("", "0"), Err(Reject::Trailer)),
            (("a", "b\r\nc: d"), Err(Reject::Trailer)),
            (("a", "b "), Err(Reject::Trailer)),
            (("content-length", "0"), Err(Reject::ForbiddenTrailer)),
            (("te", "trailers"), Err(Reject::ForbiddenTrailer)),
            (("connection", "close"), Err(Reject::ForbiddenTrailer)),
            (("host", "a"), Err(Reject::ForbiddenTrailer)),
            (("x-forwarded-for", "a"), Err(Reject::ForbiddenTrailer)),
            (("content_length", "0"), Err(Reject::ForbiddenTrailer)),
        ];
        for (field, expected) in rows {
            assert_eq!(check(&section(&[field])), expected, "{field:?}");
        }
    }

    #[test]
    fn trailers_say_the_same_in_both_protocols() {
        let fields = [("grpc-status", "0"), ("a", ""), ("b", "c: d")];
        let (mut lines, mut block) = (Vec::new(), Vec::new());
        write_h1(&section(&fields), &mut lines);
        assert_eq!(lines, b"grpc-status: 0\r\na: \r\nb: c: d\r\n\r\n");
        assert!(encode_h1(&lines, &NeverIndexed::NONE, &mut Encoder::new(), &mut block));
        assert_eq!(decoded(&block), section(&fields));
        block.clear();
        encode(&section(&fields), &mut Encoder::new(), &mut block);
        assert_eq!(decoded(&block), section(&fields));
    }

    #[test]
    fn without_fields_there_is_no_block() {
        let mut block = Vec::new();
        assert!(!encode_h1(b"\r\n", &NeverIndexed::NONE, &mut Encoder::new(), &mut block));
        assert_eq!(block, b"");
    }

    #[test]
    fn white_space_around_a_value_is_left_out() {
        let mut block = Vec::new();
        encode_h1(b"A:\t b c \r\n\r\n", &NeverIndexed::NONE, &mut Encoder::new(), &mut block);
        assert_eq!(decoded(&block), section(&[("a", "b c")]));
    }
}
