//! Reading a head: httparse, and around it the strictness httparse leaves out.
//!
//! First [`super::scan::Scan`] finds the end of the head and refuses bare LF and folded lines on the
//! way. Then [`request`] or [`response`] parses exactly those bytes. What the fields mean together is
//! `framing`'s and `persistence`'s business.
//!
//! Nearly all heads come whole and have nothing odd about them: [`whole_request`] and [`whole_response`]
//! read those in one pass (`one_pass`), and leave the others to the above.

use std::mem::MaybeUninit;

use httparse::{Error, Header};

use super::one_pass::{self, RequestLine, StatusLine};
use super::scan::Limits;
use crate::http::message::authority::Absolute;
use crate::http::message::head::{
    FIELDS_CEILING, Fields, Method, RequestHead, ResponseHead, Storage, Version,
};
use crate::http::message::rules;
use crate::reject::Reject;

/// Parses the head of a request at the front of `bytes` and says how long it is, if it is whole and plain.
/// If it is not, that means nothing yet.
#[inline]
pub fn whole_request<'h, 'b>(
    bytes: &'b [u8],
    limits: &Limits,
    storage: &'h mut Storage<'b>,
) -> Option<(Result<RequestHead<'h, 'b>, Reject>, usize)> {
    let (line, length) = one_pass::request(bytes, limits, storage)?;
    Some((understood(line, bytes, storage), length))
}

/// The same of a response.
#[inline]
pub fn whole_response<'h, 'b>(
    bytes: &'b [u8],
    limits: &Limits,
    storage: &'h mut Storage<'b>,
) -> Option<(ResponseHead<'h, 'b>, usize)> {
    let (line, length) = one_pass::response(bytes, limits, storage)?;
    let StatusLine { status, reason, version, length: line_length } = line;
    let goes_on = version == Version::Http11;
    let fields = Fields::new(storage, bytes).after_line(if goes_on { line_length } else { 0 });
    Some((ResponseHead { status, reason, protocol: None, version, fields }, length))
}

/// Parses the head of a request; `bytes` is exactly what [`super::scan::Scan`] found.
pub fn request<'h, 'b>(
    bytes: &'b [u8],
    limits: &Limits,
    storage: &'h mut Storage<'b>,
) -> Result<RequestHead<'h, 'b>, Reject> {
    let mut headers = [const { MaybeUninit::uninit() }; FIELDS_CEILING];
    let mut parsed = httparse::Request::new(&mut []);
    let room = &mut headers[..limits.fields_max.min(FIELDS_CEILING)];
    match parsed.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Reject::RequestLine),
        Err(error) => return Err(refusal(error, bytes, Reject::RequestLine)),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Reject::RequestLine);
    };
    keep(parsed.headers, storage)?;
    let line = RequestLine { method, target, version: version(minor), length: 0 };
    understood(line, b"", storage)
}

/// What the parts of a head mean together. Its lines are in `bytes`, if they can go on as they came.
fn understood<'h, 'b>(
    RequestLine { method, target: written, version, length }: RequestLine<'b>,
    bytes: &'b [u8],
    storage: &'h Storage<'b>,
) -> Result<RequestHead<'h, 'b>, Reject> {
    let semantics = Method::of(method);
    if semantics == Method::Connect {
        return Err(Reject::Connect);
    }
    let fields = Fields::new(storage, bytes);
    let host = rules::host(&fields)?;
    if version == Version::Http11 {
        // An HTTP/1.0 request may have none (RFC 9112 §3.2).
        if host.is_none() {
            return Err(Reject::MissingHost);
        }
        rules::refuse_odd_expectation(&fields)?;
    }
    let (authority, target) = target(written, method, host)?;
    let goes_on = version == Version::Http11 && rules::is_in_origin_form(written, method);
    let fields = if goes_on { fields.after_line(length) } else { fields };
    Ok(RequestHead { method, protocol: None, semantics, target, version, authority, fields })
}

/// Keeps the fields that httparse has found.
fn keep<'b>(headers: &[Header<'b>], storage: &mut Storage<'b>) -> Result<(), Reject> {
    storage.listed.clear();
    headers.iter().try_for_each(|header| storage.add(header.name.as_bytes(), header.value))
}

/// Parses the head of a response; `bytes` is exactly what [`super::scan::Scan`] found.
pub fn response<'h, 'b>(
    bytes: &'b [u8],
    limits: &Limits,
    storage: &'h mut Storage<'b>,
) -> Result<ResponseHead<'h, 'b>, Reject> {
    let mut headers = [const { MaybeUninit::uninit() }; FIELDS_CEILING];
    let mut parsed = httparse::Response::new(&mut []);
    let room = &mut headers[..limits.fields_max.min(FIELDS_CEILING)];
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, bytes, room) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Reject::StatusLine),
        Err(error) => return Err(refusal(error, bytes, Reject::StatusLine)),
    }
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(Reject::StatusLine);
    };
    if !(100..600).contains(&status) {
        return Err(Reject::StatusCode);
    }
    keep(parsed.headers, storage)?;
    let reason = parsed.reason.unwrap_or_default();
    let fields = Fields::new(storage, b"");
    Ok(ResponseHead { status, reason, protocol: None, version: version(minor), fields })
}

fn version(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}

/// httparse's word for what is wrong, in ours.
fn refusal(error: Error, bytes: &[u8], first_line: Reject) -> Reject {
    match error {
        Error::HeaderName => Reject::FieldName,
        Error::HeaderValue => Reject::FieldValue,
        Error::TooManyHeaders => Reject::TooManyFields,
        Error::Version if names_a_version(bytes) => Reject::Version,
        Error::NewLine if bare_cr_begins_a_field(bytes) => Reject::FieldName,
        _ => first_line,
    }
}

/// Whether the first line is that of HTTP in another version: `method SP target SP HTTP/d.d`.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|&byte| byte == b' ').skip(2);
    let version = parts.next().unwrap_or_default();
    let is_version = matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit());
    is_version && parts.next().is_none()
}

fn bare_cr_begins_a_field(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|three| three.starts_with(b"\n\r") && three[2] != b'\n')
}

/// The authority a request is for, and its target in origin-form.
fn target<'b>(
    written: &'b str,
    method: &str,
    host: Option<&'b [u8]>,
) -> Result<(&'b [u8], &'b str), Reject> {
    if !rules::is_clean_target(written) {
        return Err(Reject::Target);
    }
    if rules::is_in_origin_form(written, method) {
        return Ok((host.unwrap_or_default(), written));
    }
    let absolute = Absolute::of(written).ok_or(Reject::Target)?;
    let target = match absolute.origin {
        // RFC 9112 §3.2.4: OPTIONS of a whole server.
        "" if method == "OPTIONS" => "*",
        "" => "/",
        origin => origin,
    };
    match host {
        // RFC 9112 §3.2.2 lets the target win; a client that sends two names means to confuse.
        Some(host) if !absolute.agrees_with(host) => Err(Reject::HostMismatch),
        _ => Ok((absolute.authority, target)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::Scan;
    use super::*;

    const LIMITS: Limits = Limits { head_bytes_max: 1024, fields_max: 8 };

    fn scan(bytes: &[u8]) -> Result<Option<usize>, Reject> {
        Scan::request().advance(bytes, &LIMITS)
    }

    /// What reading a whole head comes to: method, target and authority, or the refusal.
    fn read(bytes: &[u8]) -> Result<(String, String, String), Reject> {
        let length = scan(bytes)?.expect("a whole head");
        let mut storage = Storage::new();
        let head = request(&bytes[..length], &LIMITS, &mut storage)?;
        let authority = String::from_utf8_lossy(head.authority).into_owned();
        Ok((head.method.to_owned(), head.path_and_query().into_owned(), authority))
    }

    fn refused(head: &str) -> Reject {
        read(head.as_bytes()).expect_err(head)
    }

    /// httparse looks at values many bytes at a time; what we leave to it had better hold at every
    /// place of a value.
    #[test]
    fn no_control_byte_is_taken_wherever_it_stands() {
        let controls = (0..b' ').chain([0x7f]).filter(|byte| !b"\t\n".contains(byte));
        for (control, length) in controls.flat_map(|byte| (1..72).map(move |length| (byte, length)))
        {
            for at in 0..length {
                let mut value = vec![b'a'; length];
                value[at] = control;
                let lines = [b"Host: a\r\nX: ", &value[..], b"\r\n\r\n"].concat();
                let ask = [b"GET / HTTP/1.1\r\n", &lines[..]].concat();
                let answer = [b"HTTP/1.1 200 OK\r\n", &lines[..]].concat();
                let case = || format!("{control:#x} at {at} of {length}");
                assert!(request(&ask, &LIMITS, &mut Storage::new()).is_err(), "{}", case());
                assert!(response(&answer, &LIMITS, &mut Storage::new()).is_err(), "{}", case());
            }
        }
    }

    #[test]
    fn request_lines_that_are_refused() {
        let rows = [
            ("GET  / HTTP/1.1", Reject::RequestLine),
            ("GET /  HTTP/1.1", Reject::RequestLine),
            ("GET\t/ HTTP/1.1", Reject::RequestLine),
            ("GET /", Reject::RequestLine),
            ("G(T / HTTP/1.1", Reject::RequestLine),
            (" GET / HTTP/1.1", Reject::RequestLine),
            ("GET / HTTP/1.1 ", Reject::RequestLine),
            ("GET / HTTP/x", Reject::RequestLine),
            ("GET / http/1.1", Reject::RequestLine),
            ("GET / HTTP/2.0", Reject::Version),
            ("GET / HTTP/1.2", Reject::Version),
            ("GET / HTTP/0.9", Reject::Version),
            ("CONNECT a:1 HTTP/1.1", Reject::Connect),
            ("GET a HTTP/1.1", Reject::Target),
            ("GET * HTTP/1.1", Reject::Target),
            ("GET /#a HTTP/1.1", Reject::Target),
            ("GET ftp://a/ HTTP/1.1", Reject::Target),
            ("GET http:///a HTTP/1.1", Reject::Target),
            ("GET http://u@a/ HTTP/1.1", Reject::Target),
            ("GET http://b/ HTTP/1.1", Reject::HostMismatch),
        ];
        for (line, reject) in rows {
            assert_eq!(refused(&format!("{line}\r\nHost: a\r\n\r\n")), reject, "{line:?}");
        }
    }

    #[test]
    fn field_lines_that_are_refused() {
        let rows = [
            ("Host: a\r\nA : b\r\n", Reject::FieldName),
            ("Host: a\r\n: b\r\n", Reject::FieldName),
            ("Host: a\r\nA b: c\r\n", Reject::FieldName),
            ("Host: a\r\nA\r\n", Reject::FieldName),
            ("Host: a\r\nA: b\0c\r\n", Reject::FieldValue),
            ("Host: a\r\nA: b\rc\r\n", Reject::FieldValue),
            ("Host: a\r\nA: b\x1bc\r\n", Reject::FieldValue),
            ("Host: a\r\nA: b\nC: d\r\n", Reject::BareLf),
            ("Host: a\r\nA: b\r\n c\r\n", Reject::ObsFold),
            ("Host: a\r\nA: b\r\n\tc\r\n", Reject::ObsFold),
            ("", Reject::MissingHost),
            ("Host: a\r\nHost: a\r\n", Reject::DuplicateHost),
            ("Host: a\r\nExpect: x\r\n", Reject::Expectation),
            ("Host: a\r\nExpect: 100-continue, x\r\n", Reject::Expectation),
            ("Host: a b\r\n", Reject::InvalidHost),
            ("Host: a,b\r\n", Reject::InvalidHost),
            ("Host: a/b\r\n", Reject::InvalidHost),
            ("Host: u@a\r\n", Reject::InvalidHost),
            ("Host: a:b\r\n", Reject::InvalidHost),
            ("Host: :80\r\n", Reject::InvalidHost),
            ("Host: [::1\r\n", Reject::InvalidHost),
        ];
        for (fields, reject) in rows {
            assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{fields}\r\n")), reject, "{fields:?}");
        }
    }

    #[test]
    fn hosts_and_targets_that_pass() {
        let rows = [
            ("GET /a?b HTTP/1.1\r\nHost: a:80\r\n", "/a?b", "a:80"),
            ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n", "/", "[::1]:80"),
            ("GET / HTTP/1.1\r\nHost:\r\n", "/", ""),
            ("GET / HTTP/1.0\r\n", "/", ""),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n", "*", "a"),
            ("GET http://A HTTP/1.1\r\nHost: a\r\n", "/", "A"),
            ("GET http://a?b HTTP/1.1\r\nHost: a\r\n", "/?b", "a"),
            ("GET http://a/b HTTP/1.1\r\nHost: a\r\n", "/b", "a"),
            ("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n", "*", "a"),
            ("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n", "/", "a:80"),
        ];
        for (head, target, authority) in rows {
            let (_, found, host) = read(format!("{head}\r\n").as_bytes()).expect(head);
            assert_eq!((found.as_str(), host.as_str()), (target, authority), "{head:?}");
        }
    }

    #[test]
    fn limits_hold_before_the_head_is_whole() {
        assert_eq!(scan(&[b'a'; 1024]), Err(Reject::TargetTooLong));
        let mut long = b"GET / HTTP/1.1\r\nA: ".to_vec();
        long.resize(1024, b'b');
        assert_eq!(scan(&long), Err(Reject::HeadTooLarge));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(8));
        assert_eq!(refused(&many), Reject::TooManyFields);
    }

    #[test]
    fn what_is_not_http_is_refused_at_its_first_bytes() {
        assert_eq!(scan(b"\x16\x03\x01"), Err(Reject::RequestLine));
        assert_eq!(scan(b"\0"), Err(Reject::RequestLine));
        assert_eq!(scan(b"\n"), Err(Reject::RequestLine));
        assert_eq!(refused("PRI * HTTP/2.0\r\n\r\n"), Reject::Version);
    }

    #[test]
    fn responses() {
        let rows = [
            ("HTTP/1.1 200 OK", Ok(200)),
            ("HTTP/1.0 404", Ok(404)),
            ("HTTP/1.1 099 A", Err(Reject::StatusCode)),
            ("HTTP/1.1 600 A", Err(Reject::StatusCode)),
            ("HTTP/1.1 20 A", Err(Reject::StatusLine)),
            ("HTTP/1.1 2000 A", Err(Reject::StatusLine)),
            ("HTTP/2.0 200 OK", Err(Reject::StatusLine)),
            ("ICY 200 OK", Err(Reject::StatusLine)),
        ];
        for (line, status) in rows {
            let bytes = format!("{line}\r\nA: b\r\n\r\n");
            let mut storage = Storage::new();
            let head = response(bytes.as_bytes(), &LIMITS, &mut storage);
            assert_eq!(head.map(|head| head.status), status, "{line:?}");
        }
    }
}
