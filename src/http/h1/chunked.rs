//! Checks a chunked body as it passes and chunks it again in place (RFC 9112 §7.1).
//!
//! What goes on is only what was understood: sizes as plain hexadecimal numbers, no extensions
//! (RFC 9112 §7.1.1 lets a proxy drop them; what they hid has smuggled requests elsewhere), the
//! data, and well-formed trailer fields.
//!
//! No size goes on before its data is here. A peer may claim 63 bits; a recipient that keeps 32 of
//! them would find the end of the chunk, and a message of an attacker's choice after it, where we
//! see data. So each call yields whole chunks: one that has come whole stays as it is, and of any
//! other the part at hand becomes a chunk of its own. Its size line fits where the larger size
//! stood; a part of a chunk that began earlier gets its line from [`Buffer::prepend`].

use std::ops::Range;

use super::chunk_lines::{SizeLine, refuse_bad_extension, refuse_bad_trailer, size};
use crate::buffer::Buffer;
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
    /// The data alone, and then the trailer section, if there are fields in it: HTTP/2 has frames for both.
    Frames,
}

impl Emit {
    /// Whether the receiver finds the end of the body by its chunks.
    fn has_chunks(self) -> bool {
        matches!(self, Self::Chunks | Self::BareChunks)
    }
}

/// The reader of one chunked body.
///
/// ```text
///        ┌─────────────── LF ──────────────────┐
///        ▼                                     │
///      Size ── n > 0 ──▶ Data(n) ──▶ DataEnd ──CR──▶ LineEnd
///        └──── n = 0, trailers, empty line ──▶ Done
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Chunked {
    state: ChunkState,
    emit: Emit,
    trailer_bytes: usize,
    /// How many bytes of data may still be announced.
    data_max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    Size,
    /// So many bytes of data are still to come.
    Data(u64),
    DataEnd,
    LineEnd,
    Done,
    /// A rule was broken: nothing after it can be trusted to be body, or not to be.
    Broken(Reject),
}

impl Chunked {
    /// At the first chunk of a body.
    pub fn new(emit: Emit) -> Self {
        Self { state: ChunkState::Size, emit, trailer_bytes: 0, data_max: u64::MAX }
    }

    /// Refuses the first chunk with which there would be more data than this, in bytes, before any of it.
    pub fn set_data_max(&mut self, data_max: u64) {
        self.data_max = data_max;
    }

    /// How many bytes at the end of what was admitted last are the trailer section, its empty line
    /// included: with [`Emit::Frames`] only.
    pub fn trailer_bytes(&self) -> usize {
        self.trailer_bytes
    }

    /// Goes on for another receiver: between two calls nothing is left half done.
    pub fn set_emit(&mut self, emit: Emit) {
        self.emit = emit;
    }

    /// Whether its receiver gets chunks.
    pub fn emits_chunks(&self) -> bool {
        self.emit.has_chunks()
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }

    /// Checks as much of `buffer` as can be understood and says how many bytes may now go on from
    /// its front: whole chunks only. What follows them there is to be presented again together
    /// with what comes next, once they have been consumed.
    ///
    /// Once it has failed it fails forever.
    pub fn admit(&mut self, buffer: &mut Buffer) -> Result<usize, Reject> {
        let admitted = self.advance(buffer.filled_mut());
        let work = admitted.inspect_err(|reject| self.state = ChunkState::Broken(*reject))?;
        let Work { front, mut ready, used, resumed, is_open, trailer_bytes, .. } = work;
        self.trailer_bytes = trailer_bytes;
        buffer.cut(ready, used);
        buffer.consume(front);
        ready -= front;
        if let Some(size) = resumed {
            let line = SizeLine::of(size);
            buffer.prepend(line.bytes());
            ready += line.bytes().len();
        }
        if is_open {
            ready += buffer.append(b"\r\n");
        }
        Ok(ready)
    }

    fn advance<'a>(&mut self, bytes: &'a mut [u8]) -> Result<Work<'a>, Reject> {
        let (front, ready, used) = (0, 0, 0);
        let (emit, resumed, is_open, trailer_bytes) = (self.emit, None, false, 0);
        let data_max = self.data_max;
        let mut work =
            Work { bytes, emit, front, ready, used, resumed, is_open, trailer_bytes, data_max };
        loop {
            let next = match self.state {
                ChunkState::Size => work.size()?,
                ChunkState::Data(left) => work.resume(left),
                ChunkState::DataEnd => work.data_end()?,
                ChunkState::LineEnd => work.line_end()?,
                ChunkState::Done => None,
                ChunkState::Broken(reject) => return Err(reject),
            };
            let Some(state) = next else {
                self.data_max = work.data_max;
                return Ok(work);
            };
            self.state = state;
        }
    }
}

/// One pass over the bytes at hand. Each step returns the next state, or `None` for "not yet".
struct Work<'a> {
    bytes: &'a mut [u8],
    emit: Emit,
    /// What may go on lies from here…
    front: usize,
    /// …to here.
    ready: usize,
    /// What lies before this has been understood.
    used: usize,
    /// How much there is of a chunk whose size line has come earlier: it still needs one of ours.
    resumed: Option<usize>,
    /// Whether the last chunk of what may go on still lacks its line end.
    is_open: bool,
    /// How long the trailer section is that goes on.
    trailer_bytes: usize,
    /// How many bytes of data may still be announced.
    data_max: u64,
}

impl Work<'_> {
    fn size(&mut self) -> Result<Option<ChunkState>, Reject> {
        self.refuse_early_size()?;
        let from = self.used;
        let Some(line) = self.line(from, CHUNK_LINE_BYTES_MAX, Reject::ChunkLineTooLong)? else {
            return Ok(None);
        };
        let bytes = &self.bytes[from..from + line];
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = size(&bytes[..digits]).ok_or(Reject::ChunkSize)?;
        refuse_bad_extension(&bytes[digits..])?;
        let data = from + line + 2;
        if size == 0 {
            return self.last(data);
        }
        self.data_max = self.data_max.checked_sub(size).ok_or(Reject::BodyTooLong)?;
        let zeros = bytes[..digits - 1].iter().take_while(|byte| **byte == b'0').count();
        self.used = data;
        let (here, next) = self.take(size);
        if here > 0 {
            let start = self.write_size(from + zeros..from + digits, data, here as u64 == size);
            self.keep(start, self.used - start);
        }
        Ok(Some(next))
    }

    /// Writes a size line right before the data at `data`, over the line that came with the size
    /// in `digits`, and says where it begins.
    fn write_size(&mut self, digits: Range<usize>, data: usize, is_whole: bool) -> usize {
        if !self.emit.has_chunks() {
            return data;
        }
        if is_whole {
            let start = data - 2 - digits.len();
            self.bytes.copy_within(digits, start);
            return start;
        }
        let line = SizeLine::of(self.used - data);
        // A smaller number has no more digits.
        let start = data - line.bytes().len();
        self.bytes[start..data].copy_from_slice(line.bytes());
        start
    }

    /// Takes what is here of `left` bytes of data: how many, and what comes next.
    fn take(&mut self, left: u64) -> (usize, ChunkState) {
        let here = self.bytes.len() - self.used;
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(here);
        self.used += here;
        self.is_open |= here > 0 && self.emit.has_chunks();
        let left = left - here as u64;
        (here, if left == 0 { ChunkState::DataEnd } else { ChunkState::Data(left) })
    }

    /// Goes on with a chunk that has come in part.
    fn resume(&mut self, left: u64) -> Option<ChunkState> {
        let from = self.used;
        let (here, next) = self.take(left);
        if here == 0 {
            return None;
        }
        self.keep(from, here);
        self.resumed = self.emit.has_chunks().then_some(here);
        Some(next)
    }

    fn data_end(&mut self) -> Result<Option<ChunkState>, Reject> {
        match self.bytes[self.used..] {
            [b'\r', b'\n', ..] => {
                if self.is_open {
                    self.keep(self.used, 2);
                    self.is_open = false;
                }
                self.used += 2;
                Ok(Some(ChunkState::Size))
            }
            [b'\r'] => {
                self.used += 1;
                Ok(Some(ChunkState::LineEnd))
            }
            [] => Ok(None),
            _ => Err(Reject::ChunkEnd),
        }
    }

    fn line_end(&mut self) -> Result<Option<ChunkState>, Reject> {
        match self.bytes[self.used..] {
            [b'\n', ..] => {
                self.used += 1;
                Ok(Some(ChunkState::Size))
            }
            [] => Ok(None),
            _ => Err(Reject::ChunkEnd),
        }
    }

    /// The last chunk and the trailer section after it, whose first line begins at `from`. Nothing
    /// of them goes on before all is here: its reader may act at the last chunk.
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
        // The shortest line this can have been is as long.
        self.bytes[from - 3..from].copy_from_slice(b"0\r\n");
        match self.emit {
            Emit::Chunks => self.keep(from - 3, end - from + 3),
            Emit::BareChunks => {
                self.bytes[from..from + 2].copy_from_slice(b"\r\n");
                self.keep(from - 3, 5);
            }
            Emit::Frames if end - from > 2 => {
                self.trailer_bytes = end - from;
                self.keep(from, end - from);
            }
            Emit::Data | Emit::Frames => {}
        }
        self.used = end;
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
        match self.bytes.get(self.used) {
            Some(byte) if !byte.is_ascii_hexdigit() => Err(Reject::ChunkSize),
            _ => Ok(()),
        }
    }

    /// Lets `count` bytes at `from` go on, closing the gap before them from its shorter side.
    fn keep(&mut self, from: usize, count: usize) {
        let before = self.ready - self.front;
        if from == self.ready {
            self.ready += count;
        } else if before < count {
            self.bytes.copy_within(self.front..self.ready, from - before);
            (self.front, self.ready) = (from - before, from + count);
        } else {
            self.bytes.copy_within(from..from + count, self.ready);
            self.ready += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `body` in pieces of `step` bytes; what went on, and what was left over after the end.
    fn pass(body: &[u8], step: usize, emit: Emit) -> Result<(Vec<u8>, Vec<u8>), Reject> {
        let mut chunked = Chunked::new(emit);
        let (mut held, mut out) = (Buffer::new(), Vec::new());
        for piece in body.chunks(step) {
            held.append(piece);
            let ready = chunked.admit(&mut held)?;
            out.extend_from_slice(&held.filled()[..ready]);
            held.consume(ready);
        }
        assert!(chunked.is_done(), "body ended early");
        Ok((out, held.filled().to_vec()))
    }

    #[test]
    fn what_is_understood_does_not_depend_on_where_the_body_is_split() {
        let body = b"005;a=\"b;\\\"c\"\r\nhello\r\n1 ; x\r\n!\r\n0\r\nA: b\r\n\r\nrest";
        let whole = pass(body, body.len(), Emit::Chunks).unwrap();
        assert_eq!(whole.0, b"5\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n");
        assert_eq!(whole.1, b"rest");
        for step in 1..body.len() {
            let (out, rest) = pass(body, step, Emit::Chunks).unwrap();
            let trailers = out.strip_suffix(b"0\r\nA: b\r\n\r\n").expect("the same trailers");
            let bare = [trailers, b"0\r\n\r\n"].concat();
            assert_eq!(pass(&bare, bare.len(), Emit::Data).unwrap().0, b"hello!", "step {step}");
            assert_eq!(rest, b"rest", "step {step}");
        }
    }

    /// What goes on of `pieces`, each of which comes alone.
    fn passed(pieces: &[&[u8]]) -> Vec<String> {
        let (mut chunked, mut held) = (Chunked::new(Emit::Chunks), Buffer::new());
        let mut out = Vec::new();
        for piece in pieces {
            held.append(piece);
            let ready = chunked.admit(&mut held).unwrap();
            out.push(String::from_utf8_lossy(&held.filled()[..ready]).into_owned());
            held.consume(ready);
        }
        out
    }

    #[test]
    fn a_size_goes_on_with_its_data_only() {
        let out = passed(&[b"7fffffffffffffff\r\n", b"hel", b"l", b"o"]);
        assert_eq!(out, ["", "3\r\nhel\r\n", "1\r\nl\r\n", "1\r\no\r\n"]);
        let out = passed(&[b"1\r\na\r\n0100000001;x=y\r\nhello", b"!"]);
        assert_eq!(out, ["1\r\na\r\n5\r\nhello\r\n", "1\r\n!\r\n"]);
    }

    #[test]
    fn a_line_end_that_comes_after_its_chunk_goes_on_before() {
        let out = passed(&[b"2\r\nhi", b"\r\n1\r\n!\r", b"\n0\r\n\r", b"\n"]);
        assert_eq!(out, ["2\r\nhi\r\n", "1\r\n!\r\n", "", "0\r\n\r\n"]);
    }

    /// A block that was filled to its last byte has room for the line and the line end.
    #[test]
    fn a_full_buffer_is_a_chunk() {
        let (mut chunked, mut held) = (Chunked::new(Emit::Chunks), Buffer::new());
        held.append(b"fffff\r\n");
        assert_eq!(chunked.admit(&mut held), Ok(0));
        for _ in 0..2 {
            let room = held.spare_mut().len();
            held.fill(room);
            let line = format!("{room:x}\r\n");
            assert_eq!(chunked.admit(&mut held), Ok(line.len() + room + 2));
            assert!(held.filled().starts_with(line.as_bytes()));
            held.consume(line.len() + room + 2);
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
        let (mut chunked, mut held) = (Chunked::new(Emit::Chunks), Buffer::new());
        held.append(b"5\r\n");
        assert_eq!(chunked.admit(&mut held), Ok(0));
        held.append(b"0\r\n\r\n\r\nZ");
        assert_eq!(chunked.admit(&mut held), Err(Reject::ChunkSize));
        assert_eq!(chunked.admit(&mut held), Err(Reject::ChunkSize));
        assert!(!chunked.is_done());
    }

    #[test]
    fn more_data_than_there_may_be_is_refused_by_the_size_of_its_chunk() {
        for (data_max, expected) in [(7, Ok(20)), (6, Err(Reject::BodyTooLong))] {
            let mut chunked = Chunked::new(Emit::Chunks);
            chunked.set_data_max(data_max);
            let mut buffer = Buffer::new();
            buffer.append(b"3\r\nabc\r\n");
            assert_eq!(chunked.admit(&mut buffer), Ok(8));
            buffer.consume(8);
            buffer.append(b"4\r\n");
            let announced = chunked.admit(&mut buffer);
            buffer.append(b"defg\r\n0\r\n\r\n");
            let all = announced.and_then(|_| chunked.admit(&mut buffer));
            assert_eq!(all.map(|ready| ready + 6), expected);
            assert!(announced.is_ok() == expected.is_ok());
        }
    }
}
