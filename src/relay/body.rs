//! Moving exactly one framed body.

use super::body_copy::PieceForm;
use super::copy::{Broken, End, Flow, Meter};
use super::incoming::{Came, NextRead};
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::grpc::status::Status;
use crate::http::h1::chunk_lines::SizeLine;
use crate::http::h1::chunked::{Chunked, Emit};
use crate::http::h1::framing::Framing;
use crate::net::splice::{self, Pipe};
use crate::net::stream::{ReadHalf, WriteHalf};
use crate::reject::Reject;

/// From how many bytes to come, if their number is known, splicing pays from the first. Simulations
/// have no time for bodies as long as that.
const SPLICED_MIN: u64 = if cfg!(any(test, fuzzing)) { 16 } else { 32 * 1024 };

/// From which size on chunks are read so that their data can be spliced. With one of 32 KiB, the system calls around it
/// cost more than copies.
const SPLICED_CHUNK_MIN: u64 = if cfg!(any(test, fuzzing)) { 16 } else { 48 * 1024 };

/// What is still to come of a body.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    left: Remaining,
    /// Bytes admitted that still stand at the front of their buffer.
    standing: usize,
    /// How many of them, at their end, are the trailer section.
    trailer_bytes: usize,
    passed: u64,
    /// What its bytes are as they go on over HTTP/1.1, those that stand included.
    form: PieceForm,
    /// How a call of gRPC ended, if this is the answer to one that has said so.
    call_status: Option<Status>,
}

#[derive(Clone, Copy, Debug)]
enum Remaining {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// Whatever comes until its stream ends, framed like this, and so many bytes at most if their number is not known
    /// before.
    Stream(Framing, u64),
    Nothing,
}

impl Body {
    /// All of it. `emit` matters to chunked bodies only.
    pub fn new(framing: Framing, emit: Emit) -> Self {
        let left = match framing {
            Framing::Empty | Framing::Length(0) => Remaining::Nothing,
            Framing::Length(length) => Remaining::Length(length),
            Framing::Chunked => Remaining::Chunked(Chunked::new(emit)),
            Framing::UntilClose => Remaining::UntilClose,
        };
        Self::of(left)
    }

    /// Of a stream whose protocol says where it ends. `framing` is how HTTP/1.1 is to frame it.
    pub fn of_stream(framing: Framing) -> Self {
        let left = if framing.has_body() {
            Remaining::Stream(framing, u64::MAX)
        } else {
            Remaining::Nothing
        };
        Self::of(left)
    }

    fn of(left: Remaining) -> Self {
        let (standing, trailer_bytes, passed) = (0, 0, 0);
        let (form, call_status) = (form_of(&left), None);
        Self { left, standing, trailer_bytes, passed, form, call_status }
    }

    /// Refuses what would make it longer than this, in bytes, if its length is not known before.
    pub fn set_data_max(&mut self, data_max: u64) {
        match &mut self.left {
            Remaining::Chunked(chunked) => chunked.set_data_max(data_max),
            Remaining::Stream(Framing::Chunked, max) => *max = data_max,
            Remaining::Stream(..)
            | Remaining::Length(_)
            | Remaining::UntilClose
            | Remaining::Nothing => {}
        }
    }

    /// How many more bytes of its stream may go on.
    pub(super) fn stream_room(&self) -> usize {
        let Remaining::Stream(_, data_max) = self.left else { return usize::MAX };
        usize::try_from(data_max.saturating_sub(self.passed)).unwrap_or(usize::MAX)
    }

    /// Whether so many more bytes of its stream may come.
    pub fn admit_of_stream(&self, more: usize) -> Result<(), Reject> {
        if more > self.stream_room() { Err(Reject::BodyTooLong) } else { Ok(()) }
    }

    /// How HTTP/1.1 frames what is left, if it comes from a stream.
    pub(super) fn stream_framing(&self) -> Option<Framing> {
        if let Remaining::Stream(framing, _) = self.left { Some(framing) } else { None }
    }

    /// So many bytes of a stream have gone on.
    pub(super) fn pass_of_stream(&mut self, count: usize) {
        self.passed += count as u64;
    }

    /// It was the answer to a call of gRPC, if it has said how that ended.
    pub fn set_call_status(&mut self, status: Option<Status>) {
        self.call_status = status;
    }

    /// How a call of gRPC ended that this is the answer to.
    pub fn call_status(&self) -> Option<Status> {
        self.call_status
    }

    /// The stream has ended.
    pub(super) fn end_of_stream(&mut self) {
        self.left = Remaining::Nothing;
    }

    /// Goes on for another receiver, if it is chunked.
    pub fn set_emit(&mut self, emit: Emit) {
        if let Remaining::Chunked(chunked) = &mut self.left {
            chunked.set_emit(emit);
            self.form = form_of(&self.left);
        }
    }

    /// How many of the first `ready` bytes that were admitted last come before the trailer section.
    pub fn data_of(&self, ready: usize) -> usize {
        ready.min(self.standing - self.trailer_bytes)
    }

    /// Whether nothing comes after the bytes that were admitted last, of which there are `ready`.
    pub fn ends_after(&self, ready: usize) -> bool {
        matches!(self.left, Remaining::Nothing) && self.standing == ready
    }

    /// Whether nothing is left: what follows in the buffer is another message.
    pub fn has_ended(&self) -> bool {
        matches!(self.left, Remaining::Nothing) && self.standing == 0
    }

    /// Whether bytes of it have been admitted, and framed, that have not been passed on.
    pub fn stands(&self) -> bool {
        self.standing > 0
    }

    /// Whether HTTP/1.1 frames what is left of it in chunks.
    pub fn is_chunked(&self) -> bool {
        matches!(self.left, Remaining::Chunked(_) | Remaining::Stream(Framing::Chunked, _))
    }

    /// Whether its end is that of its connection, and can only be believed.
    pub fn is_unframed(&self) -> bool {
        matches!(self.left, Remaining::UntilClose)
    }

    /// What its bytes are as they go on over HTTP/1.1.
    pub(super) fn form(&self) -> PieceForm {
        self.form
    }

    /// Whether it is known to be longer than this, in bytes.
    pub fn is_longer_than(&self, max: u64) -> bool {
        match self.left {
            Remaining::Length(left) | Remaining::Stream(Framing::Length(left), _) => left > max,
            Remaining::Chunked(_)
            | Remaining::Stream(..)
            | Remaining::UntilClose
            | Remaining::Nothing => false,
        }
    }

    /// How many bytes have been passed on in all.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Finds bytes at the front of `buffer` that belong to this body and may go on, `room` at the
    /// most, and drops what is not to go on. They stand there, and are found again, until they
    /// are passed on: a write that fails leaves no doubt about what is body.
    #[inline]
    pub fn admit(&mut self, buffer: &mut Buffer, room: usize) -> Result<usize, Reject> {
        if self.standing > 0 {
            return Ok(self.standing.min(room));
        }
        let here = buffer.len().min(room);
        let count = match &mut self.left {
            Remaining::Nothing | Remaining::Stream(..) => 0,
            Remaining::UntilClose => here,
            Remaining::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(here);
                *left -= count as u64;
                if *left == 0 {
                    self.left = Remaining::Nothing;
                }
                count
            }
            Remaining::Chunked(chunked) => {
                // All at once: a chunk that is not whole is one of what is here.
                let count = chunked.admit(buffer)?;
                self.trailer_bytes = chunked.trailer_bytes();
                if chunked.is_done() {
                    self.left = Remaining::Nothing;
                }
                count
            }
        };
        self.standing = count;
        Ok(count.min(room))
    }

    /// Drops `count` admitted bytes from the front of `buffer`: they have gone on.
    #[inline]
    pub fn pass(&mut self, buffer: &mut Buffer, count: usize) {
        buffer.consume(count);
        self.standing -= count.min(self.standing);
        self.trailer_bytes = self.trailer_bytes.min(self.standing);
        self.passed += count as u64;
    }

    /// Whether so much is known to come that it pays to splice it.
    fn is_long(&self) -> bool {
        match self.left {
            Remaining::Length(left) => left >= SPLICED_MIN,
            Remaining::Chunked(chunked) => {
                has_large(&chunked) && chunked.data_left() >= SPLICED_MIN
            }
            Remaining::UntilClose | Remaining::Stream(..) | Remaining::Nothing => false,
        }
    }

    /// How many of the bytes to come belong to this body whatever they are, if it pays to pass them
    /// on unseen while they come in such a `flow`.
    pub(super) fn unseen(&self, flow: Flow) -> Option<usize> {
        match self.left {
            Remaining::Length(left) if flow == Flow::Bulk => {
                Some(usize::try_from(left).unwrap_or(usize::MAX))
            }
            Remaining::UntilClose if flow == Flow::Bulk => Some(usize::MAX),
            // The few bytes at the end of a chunk come with the next line.
            Remaining::Chunked(chunked) if flow == Flow::Bulk && self.is_long() => {
                Some(usize::try_from(chunked.data_left()).unwrap_or(usize::MAX))
            }
            Remaining::Length(_)
            | Remaining::UntilClose
            | Remaining::Chunked(_)
            | Remaining::Stream(..)
            | Remaining::Nothing => None,
        }
    }

    /// The same if nothing of the message follows them.
    pub(super) fn last_unseen(&self) -> Option<usize> {
        self.unseen(Flow::Bulk).filter(|_| !self.is_chunked())
    }

    /// So many bytes that never were in a buffer have gone on, or been lost on the way. `Some` is what has to
    /// go on before them.
    pub(super) fn pass_unseen(&mut self, count: usize) -> Option<SizeLine> {
        self.passed += count as u64;
        match &mut self.left {
            Remaining::Length(left) => {
                *left -= count as u64;
                if *left == 0 {
                    self.left = Remaining::Nothing;
                }
                None
            }
            Remaining::Chunked(chunked) => {
                let line = chunked.size_line(count);
                chunked.pass_unseen(count);
                line
            }
            Remaining::UntilClose | Remaining::Stream(..) | Remaining::Nothing => None,
        }
    }

    /// How many bytes are to be read at a time, if only so many are: what comes after them may be passed on
    /// unseen, while it comes in such a `flow`.
    pub(super) fn line_bytes(&self, flow: Flow) -> Option<usize> {
        match self.left {
            Remaining::Chunked(chunked) if flow == Flow::Bulk && has_large(&chunked) => {
                chunked.to_next_data()
            }
            Remaining::Length(_)
            | Remaining::UntilClose
            | Remaining::Chunked(_)
            | Remaining::Stream(..)
            | Remaining::Nothing => None,
        }
    }

    /// What has to go on before anything is waited for.
    fn owed(&self) -> &'static [u8] {
        if let Remaining::Chunked(chunked) = &self.left { chunked.owed() } else { &[] }
    }

    /// It has gone on.
    fn pass_owed(&mut self) {
        if let Remaining::Chunked(chunked) = &mut self.left {
            chunked.pass_owed();
        }
    }

    /// The source has ended: fine for a body that ends with its connection, too early otherwise.
    pub fn close(&mut self) -> Result<(), Kind> {
        match self.left {
            Remaining::UntilClose | Remaining::Nothing => {
                self.left = Remaining::Nothing;
                Ok(())
            }
            Remaining::Length(_) | Remaining::Chunked(_) | Remaining::Stream(..) => {
                Err(Kind::Closed)
            }
        }
    }
}

/// Whether the chunk that has begun, or was the last, is large.
fn has_large(chunked: &Chunked) -> bool {
    chunked.size() >= SPLICED_CHUNK_MIN
}

fn form_of(left: &Remaining) -> PieceForm {
    match left {
        Remaining::Chunked(chunked) if chunked.emits_chunks() => PieceForm::Chunks,
        Remaining::Stream(Framing::Chunked, _) => PieceForm::Chunks,
        Remaining::Chunked(_)
        | Remaining::Stream(..)
        | Remaining::Length(_)
        | Remaining::UntilClose
        | Remaining::Nothing => PieceForm::Data,
    }
}

/// Moves what is left of `body`: first what `buffer` holds, then what `from` brings. Bytes after
/// the end of the body stay in `buffer`.
///
/// Not an async function: that would keep its arguments twice.
pub fn relay<'a>(
    body: &'a mut Body,
    buffer: &'a mut Buffer,
    from: &'a mut ReadHalf<'_>,
    to: &'a mut WriteHalf<'_>,
    meter: &'a Meter<'_>,
) -> impl Future<Output = Result<(), Broken>> {
    async move {
        let source = |kind| Broken { end: End::Source, kind };
        // Its end may stand in the buffer when it is over.
        let form = body.form();
        let mut flow = if body.is_long() { Flow::Bulk } else { Flow::Trickle };
        loop {
            let ready =
                body.admit(buffer, usize::MAX).map_err(|reject| source(Kind::Rejected(reject)))?;
            if ready > 0 {
                meter.write(to, &buffer.filled()[..ready]).await?;
                meter.passed(&buffer.filled()[..ready], form);
                body.pass(buffer, ready);
            } else if body.has_ended() {
                return Ok(());
            } else {
                let is_spliced = splice::is_possible(from, to) && !meter.is_tapped();
                let wanted = if is_spliced { next_read(body, buffer, flow) } else { NextRead::All };
                let owed = body.owed();
                let (mut came, is_paid) = meter.next(wanted, (from, to), buffer, owed).await?;
                if is_paid {
                    body.pass_owed();
                }
                let count = match came {
                    Came::Unseen(ref mut pipe) => {
                        let count = pipe.held();
                        pass_unseen(body, pipe, to, meter).await?;
                        count
                    }
                    // That no more came than one had asked for says nothing of the flow.
                    Came::Line(1..) => continue,
                    Came::Line(count) | Came::Read(count) => count,
                };
                if count == 0 {
                    body.close().map_err(source)?;
                }
                flow = if body.is_long() { Flow::amid(count) } else { flow.after(count) };
            }
        }
    }
}

/// What is wanted next while bytes come in such a `flow`, if they can be spliced.
fn next_read(body: &Body, buffer: &Buffer, flow: Flow) -> NextRead {
    match (body.unseen(flow), body.line_bytes(flow)) {
        (Some(most), _) => NextRead::Unseen(most),
        (None, Some(most)) if buffer.is_empty() => NextRead::Line(most),
        (None, _) => NextRead::All,
    }
}

/// Passes on what is in a pipe, as a chunk of its own if it goes on in chunks.
fn pass_unseen<'a>(
    body: &'a mut Body,
    pipe: &'a mut Pipe,
    to: &'a mut WriteHalf<'_>,
    meter: &'a Meter<'_>,
) -> impl Future<Output = Result<(), Broken>> {
    async move {
        // Now, and not when they have arrived: they have left the source.
        if let Some(line) = body.pass_unseen(pipe.held()) {
            meter.write_line(to, line.bytes()).await?;
            pipe.is_followed();
        }
        meter.drain(pipe, to).await
    }
}
