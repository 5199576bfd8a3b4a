//! Moving exactly one framed body.

use super::body_copy::PieceForm;
use super::copy::{Broken, End, Flow, Meter};
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::grpc::status::Status;
use crate::http::h1::chunked::{Chunked, Emit};
use crate::http::h1::framing::Framing;
use crate::net::splice::Filled;
use crate::net::stream::{ReadHalf, WriteHalf};
use crate::reject::Reject;

/// From how many bytes to come, if their number is known, splicing pays from the first. Simulations
/// have no time for bodies as long as that.
const SPLICED_MIN: u64 = if cfg!(any(test, fuzzing)) { 16 } else { 32 * 1024 };

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
    /// How many bytes a stream may bring whose length is not known before.
    stream_max: u64,
    /// How a call of gRPC ended, if this is the answer to one that has said so.
    call_status: Option<Status>,
}

#[derive(Clone, Copy, Debug)]
enum Remaining {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// Whatever comes until its stream ends.
    Stream(Framing),
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
        let left = if framing.has_body() { Remaining::Stream(framing) } else { Remaining::Nothing };
        Self::of(left)
    }

    fn of(left: Remaining) -> Self {
        let (standing, trailer_bytes, passed) = (0, 0, 0);
        let (form, stream_max, call_status) = (form_of(&left), u64::MAX, None);
        Self { left, standing, trailer_bytes, passed, form, stream_max, call_status }
    }

    /// Refuses what would make it longer than this, in bytes, if its length is not known before.
    pub fn set_data_max(&mut self, data_max: u64) {
        match &mut self.left {
            Remaining::Chunked(chunked) => chunked.set_data_max(data_max),
            Remaining::Stream(Framing::Chunked) => self.stream_max = data_max,
            Remaining::Stream(_)
            | Remaining::Length(_)
            | Remaining::UntilClose
            | Remaining::Nothing => {}
        }
    }

    /// How many more bytes of its stream may go on.
    pub(super) fn stream_room(&self) -> usize {
        usize::try_from(self.stream_max.saturating_sub(self.passed)).unwrap_or(usize::MAX)
    }

    /// Whether so many more bytes of its stream may come.
    pub fn admit_of_stream(&self, more: usize) -> Result<(), Reject> {
        if more > self.stream_room() { Err(Reject::BodyTooLong) } else { Ok(()) }
    }

    /// How HTTP/1.1 frames what is left, if it comes from a stream.
    pub(super) fn stream_framing(&self) -> Option<Framing> {
        if let Remaining::Stream(framing) = self.left { Some(framing) } else { None }
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
        matches!(self.left, Remaining::Chunked(_) | Remaining::Stream(Framing::Chunked))
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
            Remaining::Length(left) | Remaining::Stream(Framing::Length(left)) => left > max,
            Remaining::Chunked(_)
            | Remaining::Stream(_)
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
            Remaining::Nothing | Remaining::Stream(_) => 0,
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
        matches!(self.left, Remaining::Length(SPLICED_MIN..))
    }

    /// How many of the bytes to come belong to this body whatever they are, if it pays to pass them
    /// on unseen while they come in such a `flow`.
    pub(super) fn unseen(&self, flow: Flow) -> Option<usize> {
        match self.left {
            Remaining::Length(left) if flow == Flow::Bulk => {
                Some(usize::try_from(left).unwrap_or(usize::MAX))
            }
            Remaining::UntilClose if flow == Flow::Bulk => Some(usize::MAX),
            Remaining::Length(_)
            | Remaining::UntilClose
            | Remaining::Chunked(_)
            | Remaining::Stream(_)
            | Remaining::Nothing => None,
        }
    }

    /// So many bytes that never were in a buffer have gone on, or been lost on the way.
    pub(super) fn pass_unseen(&mut self, count: usize) {
        self.passed += count as u64;
        if let Remaining::Length(left) = &mut self.left {
            *left -= count as u64;
            if *left == 0 {
                self.left = Remaining::Nothing;
            }
        }
    }

    /// The source has ended: fine for a body that ends with its connection, too early otherwise.
    pub fn close(&mut self) -> Result<(), Kind> {
        match self.left {
            Remaining::UntilClose | Remaining::Nothing => {
                self.left = Remaining::Nothing;
                Ok(())
            }
            Remaining::Length(_) | Remaining::Chunked(_) | Remaining::Stream(_) => {
                Err(Kind::Closed)
            }
        }
    }
}

fn form_of(left: &Remaining) -> PieceForm {
    match left {
        Remaining::Chunked(chunked) if chunked.emits_chunks() => PieceForm::Chunks,
        Remaining::Stream(Framing::Chunked) => PieceForm::Chunks,
        Remaining::Chunked(_)
        | Remaining::Stream(_)
        | Remaining::Length(_)
        | Remaining::UntilClose
        | Remaining::Nothing => PieceForm::Data,
    }
}

/// Moves what is left of `body`: first what `buffer` holds, then what `from` brings. Bytes after
/// the end of the body stay in `buffer`.
pub async fn relay(
    body: &mut Body,
    buffer: &mut Buffer,
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    meter: &Meter<'_>,
) -> Result<(), Broken> {
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
            let filled = match body.unseen(flow).filter(|_| !meter.is_tapped()) {
                Some(most) => meter.fill(from, to, most).await?,
                None => Filled::Unavailable,
            };
            let count = match filled {
                Filled::Pipe(pipe) => {
                    let count = pipe.held();
                    // Now, and not when they have arrived: they have left the source.
                    body.pass_unseen(count);
                    meter.drain(pipe, to).await?;
                    count
                }
                Filled::Unavailable => meter.read(from, buffer).await?,
            };
            if count == 0 {
                body.close().map_err(source)?;
            }
            flow = if body.is_long() { Flow::amid(count) } else { flow.after(count) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::deadline::Activity;
    use crate::net::memory::Memory;
    use crate::net::socket::Socket;

    fn holding(bytes: &[u8]) -> Buffer {
        let mut buffer = Buffer::new();
        buffer.append(bytes);
        buffer
    }

    #[test]
    fn bytes_after_the_body_are_left_alone() {
        let mut buffer = holding(b"helloGET");
        let mut body = Body::new(Framing::Length(5), Emit::Chunks);
        assert_eq!(body.admit(&mut buffer, usize::MAX), Ok(5));
        body.pass(&mut buffer, 5);
        assert!(body.has_ended());
        assert_eq!(body.admit(&mut buffer, usize::MAX), Ok(0));
        assert_eq!(buffer.filled(), b"GET");
    }

    #[test]
    fn a_body_has_not_ended_while_bytes_of_it_stand() {
        let mut buffer = holding(b"hello");
        let mut body = Body::new(Framing::Length(5), Emit::Chunks);
        assert_eq!(body.admit(&mut buffer, usize::MAX), Ok(5));
        assert!(!body.has_ended());
        assert_eq!(body.admit(&mut buffer, usize::MAX), Ok(5));
    }

    #[test]
    fn no_more_is_admitted_than_there_is_room_for() {
        let mut buffer = holding(b"a\r\n0123456789\r\n0\r\n\r\n");
        let mut body = Body::new(Framing::Chunked, Emit::Chunks);
        assert_eq!(body.admit(&mut buffer, 8), Ok(8));
        body.pass(&mut buffer, 8);
        assert_eq!(body.admit(&mut buffer, 100), Ok(12));
        body.pass(&mut buffer, 12);
        assert!(body.has_ended());
    }

    /// A copy of what another endpoint gets, after a write to the first has failed, is decoded as before.
    #[test]
    fn chunks_that_stand_are_chunks_though_all_have_come() {
        let mut buffer = holding(b"1\r\na\r\n0\r\n\r\n");
        let mut body = Body::new(Framing::Chunked, Emit::Chunks);
        body.admit(&mut buffer, usize::MAX).unwrap();
        assert!(body.stands() && !body.is_chunked());
        assert_eq!(body.form(), PieceForm::Chunks);
    }

    #[test]
    fn dropped_framing_leaves_no_gap() {
        let mut buffer = holding(b"1;x\r\na\r\n0\r\n\r\nGET");
        let mut body = Body::new(Framing::Chunked, Emit::Data);
        assert_eq!(body.admit(&mut buffer, usize::MAX), Ok(1));
        assert_eq!(buffer.filled(), b"aGET");
    }

    /// However far it came: a retry would send the rest without them, and what the client sends
    /// after the body would be read as body.
    #[tokio::test]
    async fn what_was_taken_unseen_counts_as_passed_when_its_sink_breaks() {
        let (source, client) = Memory::pair(100);
        let (sink, endpoint) = Memory::pair(10);
        client.write(&[b'x'; 100]).await.unwrap();
        let mut body = Body::new(Framing::Length(1000), Emit::Chunks);
        let (activity, mut buffer) = (Activity::new(), Buffer::new());
        let meter = Meter::new(&activity);
        let (source, sink) = (Socket::Memory(source), Socket::Memory(sink));
        let (mut from, mut to) = (ReadHalf::Plain(&source), WriteHalf::Plain(&sink));
        let relaying = relay(&mut body, &mut buffer, &mut from, &mut to, &meter);
        let breaking = async {
            tokio::task::yield_now().await;
            endpoint.set_reset_on_close(true);
            drop(endpoint);
        };
        let (relayed, ()) = tokio::join!(relaying, breaking);
        assert_eq!(relayed.map_err(|broken| broken.end), Err(End::Sink));
        assert_eq!((body.passed(), meter.bytes(), meter.unseen()), (100, 10, 10));
    }

    #[test]
    fn only_a_body_that_ends_with_its_connection_may_end_with_it() {
        assert_eq!(Body::new(Framing::UntilClose, Emit::Chunks).close(), Ok(()));
        assert_eq!(Body::new(Framing::Length(1), Emit::Chunks).close(), Err(Kind::Closed));
        assert_eq!(Body::new(Framing::Chunked, Emit::Chunks).close(), Err(Kind::Closed));
    }
}
