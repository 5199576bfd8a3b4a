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
//!
//! Data of a large chunk can go on without being here: [`Chunked::size_line`] opens a chunk of ours for each part
//! that has been taken from its source, and its line end goes on with what comes next.

use std::ops::Range;

use super::chunk_lines::{LINE_END, SizeLine, refuse_bad_extension, refuse_bad_trailer, size};
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
    latest: Announced,
    /// Whether the last chunk of ours has no line end yet: its data went on unseen.
    owes_line_end: bool,
}

/// A chunk as its size line has announced it.
#[derive(Clone, Copy, Debug)]
struct Announced {
    size: u64,
    /// How long that line was, its end included.
    line: usize,
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
        let (state, latest) = (ChunkState::Size, Announced { size: 0, line: 0 });
        let (trailer_bytes, data_max, owes_line_end) = (0, u64::MAX, false);
        Self { state, emit, trailer_bytes, data_max, latest, owes_line_end }
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

    /// How many bytes of data are still to come of the chunk that has begun.
    pub fn data_left(&self) -> u64 {
        if let ChunkState::Data(left) = self.state { left } else { 0 }
    }

    /// What goes on before so many bytes of these if they go on unseen, nothing being admitted before: at most as
    /// many as a block has. `None` if the receiver gets the data alone.
    pub fn size_line(&self, count: usize) -> Option<SizeLine> {
        let line = SizeLine::of(count);
        let is_first = !self.owes_line_end;
        self.emits_chunks().then(|| if is_first { line } else { line.after_line_end() })
    }

    /// So many of them have gone on so.
    pub fn pass_unseen(&mut self, count: usize) {
        let left = self.data_left().saturating_sub(count as u64);
        self.state = if left == 0 { ChunkState::DataEnd } else { ChunkState::Data(left) };
        self.owes_line_end = self.emits_chunks();
    }

    /// What is to go on before anything is waited for: a receiver may act when a chunk ends.
    pub fn owed(&self) -> &'static [u8] {
        if self.owes_line_end { LINE_END } else { &[] }
    }

    /// It has gone on.
    pub fn pass_owed(&mut self) {
        self.owes_line_end = false;
    }

    /// How many bytes of data its size line has announced of that chunk, or of the last one.
    pub fn size(&self) -> u64 {
        self.latest.size
    }

    /// How many bytes there are to the end of the next size line, if that is as long as the last one: whoever reads
    /// no more leaves the data after it where it is. `None` after the end.
    pub fn to_next_data(&self) -> Option<usize> {
        let end = match self.state {
            ChunkState::Data(left) => usize::try_from(left).ok()?.checked_add(LINE_END.len())?,
            ChunkState::DataEnd => LINE_END.len(),
            ChunkState::LineEnd => 1,
            ChunkState::Size => 0,
            ChunkState::Done | ChunkState::Broken(_) => return None,
        };
        end.checked_add(self.latest.line)
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
        if ready > 0 && self.owes_line_end {
            buffer.prepend(LINE_END);
            ready += LINE_END.len();
            self.owes_line_end = false;
        }
        if is_open {
            ready += buffer.append(b"\r\n");
        }
        Ok(ready)
    }

    fn advance<'a>(&mut self, bytes: &'a mut [u8]) -> Result<Work<'a>, Reject> {
        let (front, ready, used) = (0, 0, 0);
        let (emit, resumed, is_open, trailer_bytes) = (self.emit, None, false, 0);
        let (data_max, latest) = (self.data_max, self.latest);
        let mut work = Work {
            bytes,
            emit,
            front,
            ready,
            used,
            resumed,
            is_open,
            trailer_bytes,
            data_max,
            latest,
        };
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
                (self.data_max, self.latest) = (work.data_max, work.latest);
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
    latest: Announced,
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
        self.latest = Announced { size, line: line + LINE_END.len() };
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
