//! Moving bytes, copied or spliced, and knowing at any time which end is being waited for.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::task::yield_now;

use super::body_copy::{BodyTap, PieceForm};
use super::incoming::{Came, NextRead};
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::http::h2::hpack::Encoder;
use crate::http::h2::stream::Arrived;
use crate::net::deadline::Activity;
use crate::net::mux_stream::{MuxStream, kind_of_abort};
use crate::net::socket::Socket;
use crate::net::splice::{self, Filled, Pipe};
use crate::net::splice_line;
use crate::net::stream::{ReadHalf, WriteHalf, kind_of};

/// What has come at once, in bytes, when more is likely to come than a read takes. Simulations send
/// less.
const BULK_BYTES: usize = if cfg!(any(test, fuzzing)) { 8 } else { 32 * 1024 };

/// What has come at once when a copy costs less than splicing.
const TRICKLE_BYTES: usize = if cfg!(any(test, fuzzing)) { 4 } else { 4 * 1024 };

/// What is forwarded of a stream, in bytes, before it is the turn of others.
const TURN_BYTES: u32 = 128 * 1024;

/// One end of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where the bytes come from.
    Source,
    /// Where they go.
    Sink,
}

/// Which end broke, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The end.
    pub end: End,
    /// How it broke.
    pub kind: Kind,
}

/// What one direction has done so far.
pub struct Meter<'a> {
    activity: &'a Activity,
    waits_for: Cell<End>,
    bytes: Cell<u64>,
    unseen: Cell<u64>,
    /// Bytes forwarded since others had their turn.
    turn_bytes: Cell<u32>,
    /// What sees the body as it passes, if anything does.
    tap: Option<&'a dyn BodyTap>,
}

impl<'a> Meter<'a> {
    /// Nothing yet. Both directions of an exchange keep the same `activity` going.
    pub fn new(activity: &'a Activity) -> Self {
        let (waits_for, bytes, unseen) = (Cell::new(End::Sink), Cell::new(0), Cell::new(0));
        Self { activity, waits_for, bytes, unseen, turn_bytes: Cell::new(0), tap: None }
    }

    /// The same of a body that is seen as it passes.
    pub fn tapped(activity: &'a Activity, tap: &'a dyn BodyTap) -> Self {
        Self { tap: Some(tap), ..Self::new(activity) }
    }

    /// Whether the bytes of the body have to be seen.
    pub fn is_tapped(&self) -> bool {
        self.tap.is_some_and(BodyTap::goes_on)
    }

    /// A piece of the body has gone on.
    pub fn passed(&self, piece: &[u8], form: PieceForm) {
        if let Some(tap) = self.tap {
            tap.add(piece, form);
        }
    }

    /// The end that was being waited for when the work was last left.
    pub fn waits_for(&self) -> End {
        self.waits_for.get()
    }

    /// Something has happened that is as good as bytes.
    pub fn touch(&self) {
        self.activity.touch();
    }

    /// Bytes written, seen or not.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Bytes among them that were spliced.
    pub fn unseen(&self) -> u64 {
        self.unseen.get()
    }

    /// Reads once into `buffer`, which must not be full; 0 is the end.
    ///
    /// Neither this nor what writes is an async function: those keep their arguments twice.
    pub fn read<'b>(
        &'b self,
        from: &'b mut ReadHalf<'_>,
        buffer: &'b mut Buffer,
    ) -> impl Future<Output = Result<usize, Broken>> {
        async move {
            self.waits_for.set(End::Source);
            let read = poll_fn(|cx| from.poll_read(cx, buffer)).await;
            let count = read.map_err(|error| Broken { end: End::Source, kind: kind_of(&error) })?;
            self.activity.touch();
            Ok(count)
        }
    }

    /// Waits for what is `wanted` of a source. What is `owed` to the sink is written before, if that has to be waited
    /// for; says whether it was.
    pub fn next<'b>(
        &'b self,
        wanted: NextRead,
        (from, to): (&'b ReadHalf<'_>, &'b mut WriteHalf<'_>),
        buffer: &'b mut Buffer,
        owed: &'b [u8],
    ) -> impl Future<Output = Result<(Came, bool), Broken>> {
        async move {
            self.waits_for.set(End::Source);
            let came = poll_fn(|cx| match wanted.poll(cx, (from, to), buffer) {
                Poll::Pending if !owed.is_empty() => Poll::Ready(None),
                polled => polled.map(Some),
            });
            let (came, is_paid) = if let Some(came) = came.await {
                (came, false)
            } else {
                self.write(to, owed).await?;
                self.waits_for.set(End::Source);
                (poll_fn(|cx| wanted.poll(cx, (from, to), buffer)).await, true)
            };
            let came = came.map_err(|error| Broken { end: End::Source, kind: kind_of(&error) })?;
            self.activity.touch();
            Ok((came, is_paid))
        }
    }

    /// Waits until there is something to read.
    pub async fn readable(&self, from: &ReadHalf<'_>) -> Result<(), Broken> {
        self.waits_for.set(End::Source);
        let readable = poll_fn(|cx| from.poll_readable(cx)).await;
        readable.map_err(|error| Broken { end: End::Source, kind: kind_of(&error) })
    }

    /// Writes all of `bytes`.
    pub fn write<'b>(
        &'b self,
        to: &'b mut WriteHalf<'_>,
        mut bytes: &'b [u8],
    ) -> impl Future<Output = Result<(), Broken>> {
        async move {
            self.waits_for.set(End::Sink);
            while !bytes.is_empty() {
                let written = to.write(bytes).await;
                let count = self.sent(written)?;
                bytes = &bytes[count..];
            }
            Ok(())
        }
    }

    /// Writes all of `bytes`, of which some may leave with what is written next only.
    pub fn write_line<'b>(
        &'b self,
        to: &'b WriteHalf<'_>,
        mut bytes: &'b [u8],
    ) -> impl Future<Output = Result<(), Broken>> {
        async move {
            self.waits_for.set(End::Sink);
            while !bytes.is_empty() {
                let written = poll_fn(|cx| splice_line::poll_write(to, cx, bytes)).await;
                let count = self.sent(written)?;
                bytes = &bytes[count..];
            }
            Ok(())
        }
    }

    /// Writes what is taken at once, which nearly always is all there is, and says how much that was. What is left
    /// has to wait.
    #[inline]
    pub fn try_write(&self, to: &WriteHalf<'_>, bytes: &[u8]) -> Result<usize, Broken> {
        to.try_write(bytes).map_or(Ok(0), |written| self.sent(written))
    }

    /// The same of two pieces, the second of which follows the first.
    pub fn try_write_both(&self, to: &WriteHalf<'_>, pieces: [&[u8]; 2]) -> Result<usize, Broken> {
        to.try_write_both(pieces).map_or(Ok(0), |written| self.sent(written))
    }

    /// Waits for a head on a stream.
    pub async fn head(&self, from: &MuxStream) -> Result<Arrived, Broken> {
        self.waits_for.set(End::Source);
        let arrived = poll_fn(|cx| from.poll_head(cx)).await;
        self.activity.touch();
        arrived.map_err(|abort| Broken { end: End::Source, kind: kind_of_abort(abort) })
    }

    /// Waits until something of a stream's body is there, which is `true`, or its end.
    pub async fn available(&self, from: &MuxStream) -> Result<bool, Broken> {
        self.waits_for.set(End::Source);
        let available = poll_fn(|cx| from.poll_available(cx)).await;
        self.activity.touch();
        available.map_err(|abort| Broken { end: End::Source, kind: kind_of_abort(abort) })
    }

    /// Writes once what is there of a stream's body, and says how much that was. Who takes it all fast enough
    /// would otherwise be served before anybody else.
    pub async fn forward(&self, from: &MuxStream, to: &WriteHalf<'_>) -> Result<usize, Broken> {
        if self.turn_bytes.get() >= TURN_BYTES {
            self.turn_bytes.set(0);
            yield_now().await;
        }
        self.waits_for.set(End::Sink);
        let written = poll_fn(|cx| from.poll_forward(cx, to)).await;
        let cut = |abort| Broken { end: End::Source, kind: kind_of_abort(abort) };
        let count = self.sent(written.map_err(cut)?)?;
        let turn_bytes =
            self.turn_bytes.get().saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.turn_bytes.set(turn_bytes);
        Ok(count)
    }

    /// Sends all of `bytes` on a stream; `ends` if nothing follows.
    pub fn send<'b>(
        &'b self,
        to: &'b MuxStream,
        mut bytes: &'b [u8],
        ends: bool,
    ) -> impl Future<Output = Result<(), Broken>> {
        async move {
            self.waits_for.set(End::Sink);
            loop {
                let sent = poll_fn(|cx| to.poll_send(cx, bytes, ends)).await;
                let broken = |abort| Broken { end: End::Sink, kind: kind_of_abort(abort) };
                let count = sent.map_err(broken)?;
                self.bytes.set(self.bytes.get() + count as u64);
                self.activity.touch();
                bytes = &bytes[count..];
                if bytes.is_empty() {
                    return Ok(());
                }
            }
        }
    }

    /// Reads up to `most` bytes, after which nothing follows, and sends them on a stream without another copy.
    /// Says how many they were; 0 is the end of `from`.
    pub async fn read_to_stream(
        &self,
        from: &Socket,
        to: &MuxStream,
        most: usize,
    ) -> Result<usize, Broken> {
        loop {
            self.waits_for.set(End::Sink);
            let room = poll_fn(|cx| to.poll_room(cx)).await;
            room.map_err(|abort| Broken { end: End::Sink, kind: kind_of_abort(abort) })?;
            self.waits_for.set(End::Source);
            let read = poll_fn(|cx| to.poll_read_from(cx, from, most)).await;
            let read = read.map_err(|error| Broken { end: End::Source, kind: kind_of(&error) })?;
            // Others may have taken the room meanwhile.
            if let Some(count) = read {
                self.bytes.set(self.bytes.get() + count as u64);
                self.activity.touch();
                return Ok(count);
            }
        }
    }

    /// Sends on a stream what is there of another's body. Says how much that was, and whether the body has
    /// ended with it.
    pub async fn pass_on(
        &self,
        from: &MuxStream,
        to: &MuxStream,
        most: usize,
    ) -> Result<(usize, bool), Broken> {
        self.waits_for.set(End::Sink);
        let passed = poll_fn(|cx| from.poll_pass_on(cx, to, most)).await;
        let broken = |abort| Broken { end: End::Sink, kind: kind_of_abort(abort) };
        let (count, is_last) = passed.map_err(broken)?;
        self.bytes.set(self.bytes.get() + count as u64);
        self.activity.touch();
        Ok((count, is_last))
    }

    /// Waits until a head can be sent on a stream without more waiting to be written than may.
    pub async fn written(&self, to: &MuxStream) -> Result<(), Broken> {
        self.waits_for.set(End::Sink);
        let written = poll_fn(|cx| to.poll_written(cx)).await;
        written.map_err(|abort| Broken { end: End::Sink, kind: kind_of_abort(abort) })
    }

    /// Sends trailers on a stream.
    pub async fn send_trailers(
        &self,
        to: &MuxStream,
        encode: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) -> Result<(), Broken> {
        self.written(to).await?;
        let mut count = 0;
        let sent = to.send_head(true, |encoder, block| {
            encode(encoder, block);
            count = block.len();
        });
        sent.map_err(|abort| Broken { end: End::Sink, kind: kind_of_abort(abort) })?;
        self.sent_head(count);
        Ok(())
    }

    /// So many bytes of a head have been sent on a stream.
    pub fn sent_head(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
        self.activity.touch();
    }

    /// Notes what one write has come to.
    #[inline]
    fn sent(&self, written: io::Result<usize>) -> Result<usize, Broken> {
        let broken = |kind| Broken { end: End::Sink, kind };
        let count = written.map_err(|error| broken(kind_of(&error)))?;
        if count == 0 {
            return Err(broken(Kind::Closed));
        }
        self.bytes.set(self.bytes.get() + count as u64);
        self.activity.touch();
        Ok(count)
    }

    /// Waits for bytes and takes up to `most` of them unseen, if that can be done.
    pub async fn fill(
        &self,
        from: &ReadHalf<'_>,
        to: &WriteHalf<'_>,
        most: usize,
    ) -> Result<Filled, Broken> {
        self.waits_for.set(End::Source);
        let filled = splice::fill(from, to, most).await;
        let filled = filled.map_err(|error| Broken { end: End::Source, kind: kind_of(&error) })?;
        self.activity.touch();
        Ok(filled)
    }

    /// Passes on what was taken so.
    pub fn drain<'b>(
        &'b self,
        pipe: &'b mut Pipe,
        to: &'b WriteHalf<'_>,
    ) -> impl Future<Output = Result<(), Broken>> {
        async move {
            self.waits_for.set(End::Sink);
            while pipe.held() > 0 {
                let count = self.sent(pipe.drain(to).await)?;
                self.unseen.set(self.unseen.get() + count as u64);
            }
            Ok(())
        }
    }
}

/// How much comes at a time, and so which way of passing it on costs less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Little: a copy is cheaper than three system calls.
    Trickle,
    /// Much: it pays not to touch it.
    Bulk,
}

impl Flow {
    /// After so many bytes have come at once, when it is not known how many more will.
    #[must_use]
    pub fn after(self, count: usize) -> Self {
        match count {
            BULK_BYTES.. => Self::Bulk,
            TRICKLE_BYTES.. => self,
            _ => Self::Trickle,
        }
    }

    /// After so many bytes of what is known to be long.
    #[must_use]
    pub fn amid(count: usize) -> Self {
        if count >= TRICKLE_BYTES { Self::Bulk } else { Self::Trickle }
    }
}
