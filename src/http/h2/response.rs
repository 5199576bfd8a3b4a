//! The head of a response: from a field section to a [`ResponseHead`] (RFC 9113 §8.2, §8.3.2).

use super::fields;
use super::section::FieldSection;
use crate::http::h1::framing::Framing;
use crate::http::message::head::{Method, ResponseHead, Storage, Version};
use crate::http::message::rules;
use crate::reject::Reject;

/// Reads the head of a response of at most `fields_max` fields, `:status` not counted. If `tunnel`, it
/// answers an extended CONNECT, and a 2xx is what HTTP/1.1 calls 101 (RFC 8441 §5).
///
/// Any failure means that the response is malformed, or not to be passed on: its stream is reset.
pub fn read<'h, 'b>(
    section: &'b FieldSection,
    fields_max: usize,
    tunnel: bool,
    storage: &'h mut Storage<'b>,
) -> Result<ResponseHead<'h, 'b>, Reject> {
    let mut written = None;
    let fields = fields::read(section, fields_max, storage, |name, value| {
        let is_first = name == b":status" && written.replace(value).is_none();
        if is_first { Ok(()) } else { Err(Reject::PseudoHeader) }
    })?;
    let (status, protocol) = match written.and_then(status).ok_or(Reject::PseudoHeader)? {
        // RFC 9113 §8.6: no connection changes its protocol.
        101 => return Err(Reject::UnaskedUpgrade),
        200..300 if tunnel => (101, Some(super::request::WEBSOCKET)),
        status @ 100..600 => (status, None),
        _ => return Err(Reject::StatusCode),
    };
    Ok(ResponseHead { status, reason: "", protocol, version: Version::Http2, fields })
}

/// The framing of the body of a response to a request of method `to`. `ends` if nothing comes after the
/// head.
pub fn framing(head: &ResponseHead<'_, '_>, to: Method, ends: bool) -> Result<Framing, Reject> {
    if head.is_interim() && ends {
        return Err(Reject::InterimEnds);
    }
    let is_bodiless = head.status < 200 || matches!(head.status, 204 | 304) || to == Method::Head;
    match (rules::content_length(&head.fields)?, ends) {
        _ if is_bodiless => Ok(Framing::Empty),
        (Some(1..), true) => Err(Reject::LengthMismatch),
        (Some(length), _) => Ok(Framing::Length(length)),
        // HTTP/1.1 has to say so.
        (None, true) => Ok(Framing::Length(0)),
        (None, false) => Ok(Framing::Chunked),
    }
}

/// A number of three digits.
fn status(value: &[u8]) -> Option<u16> {
    let digits: &[u8; 3] = value.try_into().ok()?;
    let is_number = digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use crate::http::h1::encode::{self, ConnectionHeader};
    use crate::http::h1::persistence::Options;
    use crate::http::message::edits::Edits;

    /// A section of fields like `:status=200`, with spaces between.
    fn section(fields: &str) -> FieldSection {
        let mut section = FieldSection::new();
        for (name, value) in fields.split(' ').filter_map(|field| field.split_once('=')) {
            section.push(name.as_bytes(), value.as_bytes());
        }
        section
    }

    fn status_of(fields: &str, tunnel: bool) -> Result<u16, Reject> {
        Ok(read(&section(fields), 4, tunnel, &mut Storage::new())?.status)
    }

    #[test]
    fn a_status_is_there_once_and_has_three_digits() {
        let rows = [
            (":status=200 a=b", Ok(200)),
            (":status=100", Ok(100)),
            (":status=599", Ok(599)),
            (":status=099", Err(Reject::StatusCode)),
            (":status=600", Err(Reject::StatusCode)),
            (":status=101", Err(Reject::UnaskedUpgrade)),
            (":status=20", Err(Reject::PseudoHeader)),
            (":status=2000", Err(Reject::PseudoHeader)),
            (":status=+20", Err(Reject::PseudoHeader)),
            (":status=", Err(Reject::PseudoHeader)),
            ("a=b", Err(Reject::PseudoHeader)),
            ("", Err(Reject::PseudoHeader)),
            (":status=200 :status=200", Err(Reject::PseudoHeader)),
            ("a=b :status=200", Err(Reject::PseudoHeader)),
            (":status=200 :path=/", Err(Reject::PseudoHeader)),
        ];
        for (fields, expected) in rows {
            assert_eq!(status_of(fields, false), expected, "{fields:?}");
        }
    }

    #[test]
    fn its_fields_obey_the_rules_of_requests() {
        let rows = [
            ("A=b", Reject::FieldName),
            ("a=b\0", Reject::FieldValue),
            ("a=b\t", Reject::FieldValue),
            ("connection=close", Reject::ConnectionField),
            ("transfer-encoding=chunked", Reject::ConnectionField),
            ("keep-alive=1", Reject::ConnectionField),
            ("a=1 a=1 a=1 a=1 a=1", Reject::TooManyFields),
        ];
        for (fields, reject) in rows {
            assert_eq!(status_of(&format!(":status=200 {fields}"), false), Err(reject), "{fields}");
        }
    }

    #[test]
    fn a_body_ends_where_its_length_or_its_stream_does() {
        let get = Method::Idempotent;
        let rows = [
            (":status=200", get, false, Ok(Framing::Chunked)),
            (":status=200", get, true, Ok(Framing::Length(0))),
            (":status=200 content-length=5", get, false, Ok(Framing::Length(5))),
            (":status=200 content-length=0", get, true, Ok(Framing::Length(0))),
            (":status=200 content-length=5", get, true, Err(Reject::LengthMismatch)),
            (":status=200 content-length=5", Method::Head, true, Ok(Framing::Empty)),
            (":status=304 content-length=5", get, true, Ok(Framing::Empty)),
            (":status=204", get, false, Ok(Framing::Empty)),
            (":status=103", get, false, Ok(Framing::Empty)),
            (":status=103", get, true, Err(Reject::InterimEnds)),
            (":status=304 content-length=x", get, true, Err(Reject::ContentLength)),
            (
                ":status=200 content-length=5 content-length=5",
                get,
                false,
                Err(Reject::DuplicateContentLength),
            ),
        ];
        for (fields, to, ends, expected) in rows {
            let (section, mut storage) = (section(fields), Storage::new());
            let head = read(&section, 4, false, &mut storage).expect(fields);
            assert_eq!(framing(&head, to, ends), expected, "{fields:?} {ends}");
        }
    }

    #[test]
    fn a_tunnel_that_is_agreed_to_is_a_101() {
        for (fields, status) in [(":status=200", 101), (":status=299", 101), (":status=300", 300)] {
            assert_eq!(status_of(fields, true), Ok(status), "{fields}");
        }
        let (section, mut storage) = (section(":status=200 a=b content-length=5"), Storage::new());
        let head = read(&section, 4, true, &mut storage).unwrap();
        assert_eq!(framing(&head, Method::Idempotent, false), Ok(Framing::Empty));
        let (options, mut out) = (Options::of(&head.fields), Buffer::new());
        let edits = Edits::new();
        encode::response(
            &head,
            options,
            &edits,
            Framing::Empty,
            ConnectionHeader::Upgrade,
            &mut out,
        )
        .unwrap();
        assert_eq!(
            out.filled().escape_ascii().to_string(),
            "HTTP/1.1 101 \\r\\na: b\\r\\nUpgrade: websocket\\r\\nConnection: upgrade\\r\\n\\r\\n"
        );
    }
}
