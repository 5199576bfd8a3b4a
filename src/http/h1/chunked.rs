//! Checks a chunked body as it passes and makes it canonical in place (RFC 9112 §7.1).
//!
//! What goes on is only what was understood: sizes as plain hexadecimal numbers, no extensions
//! (RFC 9112 §7.1.1 lets a proxy drop them; what they hid has smuggled requests elsewhere), the
//! data, and well-formed trailer fields. Canonical is never longer than what came, so the bytes
//! are moved together inside the buffer they arrived in.

use crate::http::message::field::{self, Name};
use crate::reject::Reject;

/// The longest line of a chunk size with its extensions, in bytes.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;

/// The longest trailer section, in bytes.
pub const TRAILER_BYTES_MAX: usize = 8192;

/// What the receiver understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Chunks and trailers.
    Chunks,
    /// Chunks without trailers, which RFC 9110 §6.5.1 allows: some of them may have been named by
    /// Connection, and so be meant for us only.
    BareChunks,
    /// The data alone: an HTTP/1.0 client knows no chunks.
    Data,
}

/// What one call to [`Chunked::admit`] found at the front of the bytes it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// So many bytes at the front may go on.
    pub ready: usize,
    /// So many bytes have been understood; those from `ready` to here are to be dropped, those
    /// behind are to be presented again together with what comes next.
    pub used: usize,
}

/// The reader of one chunked body.
///
/// ```text
///        ┌──────────── CRLF ────────────┐
///        ▼                              │
///      Size ── n > 0 ──▶ Data(n) ──▶ DataEnd
///        └──── n = 0, trailers, empty line ──▶ Done
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Chunked {
    state: ChunkState,
    emit: Emit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    Size,
    Data(u64),
    DataEnd,
    Done,
    /// A rule was broken: nothing behind it can be trusted to be body, or not to be.
    Broken(Reject),
}

impl Chunked {
    /// At the first chunk of a body.
    pub fn new(emit: Emit) -> Self {
        Self { state: ChunkState::Size, emit }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }

    /// Checks as much of `bytes` as can be understood and moves what may go on to its front.
    ///
    /// Once it has failed it fails for ever.
    pub fn admit(&mut self, bytes: &mut [u8]) -> Result<Admitted, Reject> {
        self.advance(bytes).inspect_err(|reject| self.state = ChunkState::Broken(*reject))
    }

    fn advance(&mut self, bytes: &mut [u8]) -> Result<Admitted, Reject> {
        let mut work = Work { bytes, emit: self.emit, at: Admitted::default() };
        loop {
            let next = match self.state {
                ChunkState::Size => work.size()?,
                ChunkState::Data(left) => Some(work.data(left)),
                ChunkState::DataEnd => work.data_end()?,
                ChunkState::Done => None,
                ChunkState::Broken(reject) => return Err(reject),
            };
            match next {
                Some(state) => self.state = state,
                None => return Ok(work.at),
            }
            if let ChunkState::Data(left) = self.state
                && work.at.used == work.bytes.len()
                && left > 0
            {
                return Ok(work.at);
            }
        }
    }
}

/// One pass over the bytes at hand. Each step returns the next state, or `None` for "not yet".
struct Work<'a> {
    bytes: &'a mut [u8],
    emit: Emit,
    at: Admitted,
}

impl Work<'_> {
    fn size(&mut self) -> Result<Option<ChunkState>, Reject> {
        self.refuse_early_size()?;
        let from = self.at.used;
        let Some(line) = self.line(from, CHUNK_LINE_BYTES_MAX, Reject::ChunkLineTooLong)? else {
            return Ok(None);
        };
        let bytes = &self.bytes[self.at.used..self.at.used + line];
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = hexadecimal(&bytes[..digits]).ok_or(Reject::ChunkSize)?;
        refuse_bad_extension(&bytes[digits..])?;
        if size == 0 {
            return self.last(from + line + 2);
        }
        let zeros = bytes[..digits - 1].iter().take_while(|byte| **byte == b'0').count();
        let start = self.at.used + zeros;
        self.keep_framing(start, digits - zeros);
        self.keep_line_end();
        self.at.used += line + 2;
        Ok(Some(ChunkState::Data(size)))
    }

    fn data(&mut self, left: u64) -> ChunkState {
        let here = self.bytes.len() - self.at.used;
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(here);
        self.keep(self.at.used, count);
        self.at.used += count;
        let left = left - count as u64;
        if left == 0 { ChunkState::DataEnd } else { ChunkState::Data(left) }
    }

    fn data_end(&mut self) -> Result<Option<ChunkState>, Reject> {
        match self.bytes[self.at.used..] {
            [b'\r', b'\n', ..] => {
                self.keep_line_end();
                self.at.used += 2;
                Ok(Some(ChunkState::Size))
            }
            [] | [b'\r'] => Ok(None),
            _ => Err(Reject::ChunkEnd),
        }
    }

    /// The last chunk and the trailer section behind it, whose first line begins at `from`. Nothing
    /// of them goes on before all is here: whoever reads it may act at the last chunk.
    fn last(&mut self, from: usize) -> Result<Option<ChunkState>, Reject> {
        let mut end = from;
        loop {
            let room = TRAILER_BYTES_MAX - (end - from).min(TRAILER_BYTES_MAX);
            let Some(line) = self.line(end, room, Reject::TrailerTooLarge)? else {
                return Ok(None);
            };
            refuse_bad_trailer(&self.bytes[end..end + line])?;
            end += line + 2;
            if line == 0 {
                break;
            }
        }
        if self.emit != Emit::Data {
            self.bytes[self.at.ready] = b'0';
            self.at.ready += 1;
            self.keep_line_end();
        }
        match self.emit {
            Emit::Chunks => self.keep(from, end - from),
            Emit::BareChunks => self.keep_line_end(),
            Emit::Data => {}
        }
        self.at.used = end;
        Ok(Some(ChunkState::Done))
    }

    /// The length of the line that begins at `from` without its CRLF, once it is whole.
    fn line(&self, from: usize, max: usize, too_long: Reject) -> Result<Option<usize>, Reject> {
        let rest = &self.bytes[from..];
        match memchr::memchr(b'\n', rest) {
            Some(end) if end >= max => Err(too_long),
            Some(end) if end == 0 || rest[end - 1] != b'\r' => Err(Reject::BareLf),
            Some(end) => Ok(Some(end - 1)),
            None if rest.len() >= max => Err(too_long),
            None => Ok(None),
        }
    }

    /// A peer that sends no size at all need not be waited for.
    fn refuse_early_size(&self) -> Result<(), Reject> {
        match self.bytes.get(self.at.used) {
            Some(byte) if !byte.is_ascii_hexdigit() => Err(Reject::ChunkSize),
            _ => Ok(()),
        }
    }

    fn keep(&mut self, from: usize, count: usize) {
        if from != self.at.ready {
            self.bytes.copy_within(from..from + count, self.at.ready);
        }
        self.at.ready += count;
    }

    fn keep_framing(&mut self, from: usize, count: usize) {
        if self.emit != Emit::Data {
            self.keep(from, count);
        }
    }

    /// Writes CRLF; what stood there has been read already, since the canonical form is no longer.
    fn keep_line_end(&mut self) {
        if self.emit != Emit::Data {
            self.bytes[self.at.ready..self.at.ready + 2].copy_from_slice(b"\r\n");
            self.at.ready += 2;
        }
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for &byte in digits {
        if number >> 59 != 0 {
            return None;
        }
        let digit = char::from(byte).to_digit(16)?;
        number = number << 4 | u64::from(digit);
    }
    Some(number)
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 §7.1.1).
fn refuse_bad_extension(mut rest: &[u8]) -> Result<(), Reject> {
    if !rest.is_empty() && !matches!(rest[0], b';' | b' ' | b'\t') {
        return Err(Reject::ChunkSize);
    }
    while !rest.is_empty() {
        rest = after_blank(rest).strip_prefix(b";").ok_or(Reject::ChunkExtension)?;
        rest = after_token(after_blank(rest))?;
        if let Some(value) = after_blank(rest).strip_prefix(b"=") {
            let value = after_blank(value);
            rest = match value.strip_prefix(b"\"") {
                Some(quoted) => after_quoted(quoted)?,
                None => after_token(value)?,
            };
        }
    }
    Ok(())
}

fn after_blank(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &bytes[blank..]
}

fn after_token(bytes: &[u8]) -> Result<&[u8], Reject> {
    match bytes.iter().take_while(|byte| field::is_token_byte(**byte)).count() {
        0 => Err(Reject::ChunkExtension),
        count => Ok(&bytes[count..]),
    }
}

fn after_quoted(bytes: &[u8]) -> Result<&[u8], Reject> {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] if field::is_value(&[*byte]) => rest,
            _ => return Err(Reject::ChunkExtension),
        }
    }
}

fn refuse_bad_trailer(line: &[u8]) -> Result<(), Reject> {
    if line.is_empty() {
        return Ok(());
    }
    let colon = memchr::memchr(b':', line).ok_or(Reject::Trailer)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !field::is_token(name) || !field::is_value(value) {
        return Err(Reject::Trailer);
    }
    if Name::of(name).forbidden_in_trailer() {
        return Err(Reject::ForbiddenTrailer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `body` in pieces of `step` bytes; what went on, and what was left over behind the end.
    fn pass(body: &[u8], step: usize, emit: Emit) -> Result<(Vec<u8>, Vec<u8>), Reject> {
        let mut chunked = Chunked::new(emit);
        let (mut held, mut out) = (Vec::new(), Vec::new());
        for piece in body.chunks(step) {
            held.extend_from_slice(piece);
            let Admitted { ready, used } = chunked.admit(&mut held)?;
            out.extend_from_slice(&held[..ready]);
            held.drain(..used);
        }
        assert!(chunked.is_done(), "body ended early");
        Ok((out, held))
    }

    #[test]
    fn the_result_does_not_depend_on_where_the_body_is_split() {
        let body = b"005;a=\"b;\\\"c\"\r\nhello\r\n1 ; x\r\n!\r\n0\r\nA: b\r\n\r\nrest";
        let whole = pass(body, body.len(), Emit::Chunks).unwrap();
        assert_eq!(whole.0, b"5\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n");
        assert_eq!(whole.1, b"rest");
        for step in 1..body.len() {
            assert_eq!(pass(body, step, Emit::Chunks).unwrap(), whole, "step {step}");
        }
    }

    #[test]
    fn an_http_1_0_client_gets_the_data_alone() {
        for step in [1, 3, 100] {
            let out = pass(b"5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n", step, Emit::Data);
            assert_eq!(out.unwrap().0, b"hello world");
        }
    }

    #[test]
    fn trailers_are_left_out_where_they_may_be_meant_for_us() {
        for step in [1, 3, 100] {
            let out = pass(b"1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n", step, Emit::BareChunks);
            assert_eq!(out.unwrap().0, b"1\r\na\r\n0\r\n\r\n");
        }
    }

    #[test]
    fn refusals() {
        let long = format!("1;{}\r\n", "a".repeat(CHUNK_LINE_BYTES_MAX));
        let many = format!("0\r\n{}", "A: b\r\n".repeat(TRAILER_BYTES_MAX / 6 + 1));
        let rows = [
            ("\r\n", Reject::ChunkSize),
            ("x\r\n", Reject::ChunkSize),
            ("-1\r\n", Reject::ChunkSize),
            ("+1\r\n", Reject::ChunkSize),
            ("0x1\r\n", Reject::ChunkSize),
            ("1_0\r\n", Reject::ChunkSize),
            (" 1\r\n", Reject::ChunkSize),
            ("10000000000000000\r\n", Reject::ChunkSize),
            ("1 \r\n", Reject::ChunkExtension),
            ("1;\r\n", Reject::ChunkExtension),
            ("1;a=\r\n", Reject::ChunkExtension),
            ("1;a=\"b\r\n", Reject::ChunkExtension),
            ("1;a\rb\r\n", Reject::ChunkExtension),
            ("1 \r;a=b\r\n", Reject::ChunkExtension),
            ("1;\x0ca\r\n", Reject::ChunkExtension),
            ("1;a=\"\\\r\"\r\n", Reject::ChunkExtension),
            ("1\n", Reject::BareLf),
            ("1\r\nab\r\n", Reject::ChunkEnd),
            ("1\r\na\n", Reject::ChunkEnd),
            ("0\r\nA\r\n", Reject::Trailer),
            ("0\r\nA : b\r\n", Reject::Trailer),
            ("0\r\n A: b\r\n", Reject::Trailer),
            ("0\r\nA: b\0\r\n", Reject::Trailer),
            ("0\r\nContent-Length: 5\r\n", Reject::ForbiddenTrailer),
            ("0\r\nhost: a\r\n", Reject::ForbiddenTrailer),
            ("0\r\n\n", Reject::BareLf),
            (long.as_str(), Reject::ChunkLineTooLong),
            (many.as_str(), Reject::TrailerTooLarge),
        ];
        for (body, reject) in rows {
            for step in [1, body.len()] {
                assert_eq!(pass(body.as_bytes(), step, Emit::Chunks), Err(reject), "{body:?}");
            }
        }
    }

    #[test]
    fn what_is_broken_stays_broken() {
        let mut chunked = Chunked::new(Emit::Chunks);
        let mut bytes = *b"5\r\n";
        assert_eq!(chunked.admit(&mut bytes), Ok(Admitted { ready: 3, used: 3 }));
        let mut bytes = *b"0\r\n\r\n\r\nZ";
        assert_eq!(chunked.admit(&mut bytes), Err(Reject::ChunkSize));
        assert_eq!(chunked.admit(&mut bytes), Err(Reject::ChunkSize));
        assert!(!chunked.is_done());
    }

    #[test]
    fn data_goes_on_before_its_chunk_is_whole() {
        let mut chunked = Chunked::new(Emit::Chunks);
        let mut bytes = *b"a\r\nhell";
        assert_eq!(chunked.admit(&mut bytes), Ok(Admitted { ready: 7, used: 7 }));
    }
}
