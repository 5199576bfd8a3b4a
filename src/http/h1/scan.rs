//! Finds the end of a head, looking at each byte once however it drips in.

use crate::http::message::field;
use crate::reject::Reject;

/// What a head may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a head, its last empty line included.
    pub head_bytes_max: usize,
    /// Fields of a head; at most [`crate::http::message::head::FIELDS_CEILING`].
    pub fields_max: usize,
}

/// The search for the end of a head, resumed as bytes arrive. Where they are split makes no
/// difference to what is found.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// Bytes already looked at.
    seen: usize,
    /// Where the line that is being looked at begins.
    line: usize,
    /// What a malformed first line is called.
    first_line: Reject,
}

impl Scan {
    /// At the first byte of a request.
    pub fn request() -> Self {
        Self { seen: 0, line: 0, first_line: Reject::RequestLine }
    }

    /// At the first byte of a response.
    pub fn response() -> Self {
        Self { first_line: Reject::StatusLine, ..Self::request() }
    }

    /// Looks at what has come since the last call; `bytes` begins with the head's first byte.
    /// `Some(length)` once the head is whole, `None` while more is needed.
    pub fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Reject> {
        if !self.may_be_http(bytes) {
            return self.refuse_other(bytes).map(|()| None);
        }
        for at in memchr::memchr_iter(b'\n', &bytes[self.seen..]) {
            let end = self.seen + at;
            if end >= limits.head_bytes_max {
                return Err(self.too_long());
            }
            if bytes[end - 1] != b'\r' {
                return Err(Reject::BareLf);
            }
            let line = &bytes[self.line..end - 1];
            if matches!(line.first(), Some(b' ' | b'\t')) {
                return Err(Reject::ObsFold);
            }
            self.line = end + 1;
            if line.is_empty() {
                return Ok(Some(self.line));
            }
        }
        self.seen = bytes.len();
        if self.seen >= limits.head_bytes_max { Err(self.too_long()) } else { Ok(None) }
    }

    /// What is not HTTP at all need not be waited for.
    fn may_be_http(&self, bytes: &[u8]) -> bool {
        if self.first_line == Reject::StatusLine {
            return bytes.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected);
        }
        bytes.first().is_none_or(|first| field::is_token_byte(*first) || *first == b'\r')
    }

    /// Refuses what is not HTTP/1, unless it may turn out to be HTTP/2 once more of it is there.
    fn refuse_other(&self, bytes: &[u8]) -> Result<(), Reject> {
        match begins_http2(bytes) {
            _ if self.first_line != Reject::StatusLine => Err(self.first_line),
            None => Ok(()),
            Some(true) => Err(Reject::SpeaksHttp2),
            Some(false) => Err(self.first_line),
        }
    }

    fn too_long(&self) -> Reject {
        let is_request = self.first_line == Reject::RequestLine;
        if self.line == 0 && is_request { Reject::TargetTooLong } else { Reject::HeadTooLarge }
    }
}

/// The length of the head of an HTTP/2 frame, in bytes.
pub const FRAME_HEAD_BYTES: usize = 9;

/// Whether an HTTP/2 server begins so: with the head of a SETTINGS or GOAWAY frame of less than 256 bytes
/// (RFC 9113 §4.1, §3.4). `None` as long as it cannot be told.
pub fn begins_http2(bytes: &[u8]) -> Option<bool> {
    let is_possible = bytes.iter().zip(0..FRAME_HEAD_BYTES).all(|(byte, at)| match at {
        2 => true,
        3 => matches!(byte, 0x4 | 0x7),
        // The rest of the length, flags, and stream 0.
        _ => *byte == 0,
    });
    if is_possible && bytes.len() < FRAME_HEAD_BYTES { None } else { Some(is_possible) }
}

/// How many bytes of empty lines stand before a request: skipped, as RFC 9112 §2.2 asks.
pub fn leading_blank(bytes: &[u8]) -> usize {
    let mut skip = 0;
    while bytes[skip..].starts_with(b"\r\n") {
        skip += 2;
    }
    skip
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { head_bytes_max: 1024, fields_max: 8 };

    #[test]
    fn what_is_no_response_is_known_by_its_first_byte_that_differs() {
        for greeting in ["2", "H2", "HTTP 200", "HTTP/2 200 OK", "\r\nHTTP/1.1 200 OK"] {
            let found = Scan::response().advance(greeting.as_bytes(), &LIMITS);
            assert_eq!(found, Err(Reject::StatusLine), "{greeting:?}");
        }
        assert_eq!(Scan::response().advance(b"HTTP/1", &LIMITS), Ok(None));
    }

    #[test]
    fn a_frame_of_http_2_is_known_by_its_head_however_it_drips() {
        for frame in [b"\0\0\x12\x04\0\0\0\0\0\0\x03", b"\0\0\x0a\x07\0\0\0\0\0\0\0"] {
            let mut scan = Scan::response();
            for cut in 0..FRAME_HEAD_BYTES {
                assert_eq!(scan.advance(&frame[..cut], &LIMITS), Ok(None), "{cut}");
            }
            assert_eq!(scan.advance(frame, &LIMITS), Err(Reject::SpeaksHttp2));
            assert_eq!(Scan::request().advance(frame, &LIMITS), Err(Reject::RequestLine));
        }
        for other in [&b"\0\x01"[..], b"\0\0\x12\x06", b"\0\0\0\x04\x01", b"\0\0\0\x04\0\0\0\0\x01"]
        {
            let found = Scan::response().advance(other, &LIMITS);
            assert_eq!(found, Err(Reject::StatusLine), "{other:?}");
        }
    }

    #[test]
    fn the_end_is_found_however_the_head_drips() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for cut in 0..bytes.len() {
            let mut scan = Scan::request();
            let first = scan.advance(&bytes[..cut], &LIMITS).unwrap();
            let whole = if first.is_some() { first } else { scan.advance(bytes, &LIMITS).unwrap() };
            assert_eq!(whole, Some(bytes.len() - 4), "cut at {cut}");
        }
    }
}
