//! One stream of an HTTP/2 connection, for whoever does the work on it.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::mux::{Mux, State};
use super::socket::Socket;
use super::stream::WriteHalf;
use crate::fault::Kind;
use crate::http::h2::connection::StreamKey;
use crate::http::h2::error_code::ErrorCode;
use crate::http::h2::hpack::Encoder;
use crate::http::h2::section::{FieldSection, NeverIndexed};
use crate::http::h2::sending::Available;
use crate::http::h2::stream::{Abort, Arrived};

/// One stream, for whoever does the work on it. It ends when this is dropped.
pub struct MuxStream {
    mux: Rc<Mux>,
    key: StreamKey,
    /// What the peer is told if this is dropped before all has been sent.
    unfinished: Cell<ErrorCode>,
}

impl MuxStream {
    /// One that the peer has opened.
    pub fn accepted(mux: &Rc<Mux>, key: StreamKey) -> Self {
        Self { mux: Rc::clone(mux), key, unfinished: Cell::new(ErrorCode::InternalError) }
    }

    /// One that was opened from here.
    pub fn opened(mux: &Rc<Mux>, key: StreamKey) -> Self {
        Self { mux: Rc::clone(mux), key, unfinished: Cell::new(ErrorCode::Cancel) }
    }

    /// The connection it belongs to.
    pub fn mux(&self) -> &Rc<Mux> {
        &self.mux
    }

    /// Its identifier.
    pub fn id(&self) -> u32 {
        self.mux.connection().id(self.key)
    }

    /// The head that has come, if one has.
    pub fn take_head(&self) -> Option<Arrived> {
        self.mux.state().connection.take_head(self.key)
    }

    /// Waits for a head.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Arrived, Abort>> {
        let mut state = self.mux.state();
        if let Some(arrived) = state.connection.take_head(self.key) {
            return Poll::Ready(Ok(arrived));
        }
        if let Some(abort) = state.connection.abort_of(self.key) {
            return Poll::Ready(Err(abort));
        }
        state.waiting.wait(self.key, cx.waker());
        Poll::Pending
    }

    /// Waits for a part of the body, or its end.
    pub fn poll_available(&self, cx: &mut Context<'_>) -> Poll<Result<bool, Abort>> {
        let mut state = self.mux.state();
        match state.connection.available(self.key) {
            Available::Bytes => Poll::Ready(Ok(true)),
            Available::End => Poll::Ready(Ok(false)),
            Available::Cut(abort) => Poll::Ready(Err(abort)),
            Available::Nothing => {
                state.waiting.wait(self.key, cx.waker());
                Poll::Pending
            }
        }
    }

    /// How many bytes of the body have come and not been taken.
    pub fn body_bytes(&self) -> usize {
        self.mux.state().connection.body(self.key).len()
    }

    /// Takes bytes of the body: as many as `take` says it has taken of those it is shown.
    pub fn take_body(&self, take: impl FnOnce(&[u8]) -> usize) -> usize {
        let mut state = self.mux.state();
        let count = take(state.connection.body(self.key));
        state.connection.consume(self.key, count);
        state.wake_driver();
        count
    }

    /// Writes what there is of the body to another connection, once, and takes what that took. The peer may have
    /// cut the body since there was something to take.
    pub fn poll_forward(
        &self,
        cx: &mut Context<'_>,
        to: &WriteHalf<'_>,
    ) -> Poll<Result<io::Result<usize>, Abort>> {
        let mut state = self.mux.state();
        if let Available::Cut(abort) = state.connection.available(self.key) {
            return Poll::Ready(Err(abort));
        }
        let written = to.poll_write(cx, state.connection.body(self.key));
        if let Poll::Ready(Ok(count)) = written {
            state.connection.consume(self.key, count);
            state.wake_driver();
        }
        written.map(Ok)
    }

    /// Whether all of the body has been taken, and it was whole.
    pub fn has_ended(&self) -> bool {
        self.mux.connection().available(self.key) == Available::End
    }

    /// The trailers that ended the body, if there were any.
    pub fn take_trailers(&self) -> Option<Box<FieldSection>> {
        self.mux.state().connection.take_trailers(self.key)
    }

    /// Which fields of those trailers came as literals never to be indexed.
    pub fn never_indexed_trailers(&self) -> NeverIndexed {
        self.mux.connection().never_indexed_trailers(self.key)
    }

    /// Sends a head, or trailers; `ends` if nothing follows. Fails if the stream was cut: then nothing is sent.
    pub fn send_head(
        &self,
        ends: bool,
        encode: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) -> Result<(), Abort> {
        let mut state = self.mux.state();
        if let Some(abort) = state.connection.abort_of(self.key) {
            return Err(abort);
        }
        state.connection.send_head(self.key, ends, encode);
        state.wake_driver();
        Ok(())
    }

    /// Waits until less waits to be written than may be: heads take no credit, and many may come one after the
    /// other.
    pub fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), Abort>> {
        let mut state = self.mux.state();
        if let Some(abort) = state.connection.abort_of(self.key) {
            return Poll::Ready(Err(abort));
        }
        if state.connection.output().room() > 0 {
            return Poll::Ready(Ok(()));
        }
        state.waiting.wait_for_head(self.key, cx.waker());
        Poll::Pending
    }

    /// Waits until some of `bytes` can be sent, and says how many were. If that was all, `ends` says
    /// whether nothing follows.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        ends: bool,
    ) -> Poll<Result<usize, Abort>> {
        let mut state = self.mux.state();
        if let Some(abort) = state.connection.abort_of(self.key) {
            return Poll::Ready(Err(abort));
        }
        let count = state.connection.send_data(self.key, bytes, ends);
        if count > 0 || bytes.is_empty() {
            state.wake_driver();
            return Poll::Ready(Ok(count));
        }
        self.wait_to_send(&mut state, cx);
        Poll::Pending
    }

    /// How many bytes can be sent now.
    pub fn room(&self) -> usize {
        self.mux.connection().room(self.key)
    }

    /// Whether the peer has given credit, to this stream and to its connection.
    pub fn is_credited(&self) -> bool {
        let connection = self.mux.connection();
        connection.is_stream_credited(self.key) && connection.is_credited()
    }

    /// Waits until something can be sent.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Abort>> {
        let mut state = self.mux.state();
        if let Some(abort) = state.connection.abort_of(self.key) {
            return Poll::Ready(Err(abort));
        }
        if state.connection.room(self.key) > 0 {
            return Poll::Ready(Ok(()));
        }
        self.wait_to_send(&mut state, cx);
        Poll::Pending
    }

    /// Room for the connection is of no use to a stream that has no credit of its own: a hundred of those
    /// must not be woken whenever there is some.
    fn wait_to_send(&self, state: &mut State, cx: &mut Context<'_>) {
        if state.connection.is_stream_credited(self.key) {
            state.waiting.wait_for_room(self.key, cx.waker());
        } else {
            state.waiting.wait(self.key, cx.waker());
        }
    }

    /// Waits until there is something to read, and sends it without another copy, if there is room: up to
    /// `most` bytes, after which nothing follows. Says how many they were; 0 is the end of `from`.
    pub fn poll_read_from(
        &self,
        cx: &mut Context<'_>,
        from: &Socket,
        most: usize,
    ) -> Poll<io::Result<Option<usize>>> {
        ready!(from.poll_readable(cx))?;
        let mut state = self.mux.state();
        let mut payloads = state.connection.payloads_mut(self.key, most);
        if payloads[0].is_empty() {
            return Poll::Ready(Ok(None));
        }
        let read = from.poll_read_vectored(cx, &mut payloads);
        let count = if let Poll::Ready(Ok(count)) = read { count } else { 0 };
        state.connection.send_payloads(self.key, count, count == most);
        state.wake_driver();
        read.map_ok(Some)
    }

    /// Sends on another stream what there is of the body, as far as there is room. Says how much that was, and
    /// whether the body has ended with it.
    pub fn poll_pass_on(
        &self,
        cx: &mut Context<'_>,
        to: &MuxStream,
        most: usize,
    ) -> Poll<Result<(usize, bool), Abort>> {
        let mut state = self.mux.state();
        let bytes = state.connection.body(self.key);
        let bytes = &bytes[..bytes.len().min(most)];
        let is_last = state.connection.ends_after(self.key, bytes.len());
        let (most, sent) = (bytes.len(), to.poll_send(cx, bytes, is_last));
        let count = ready!(sent)?;
        state.connection.consume(self.key, count);
        state.wake_driver();
        Poll::Ready(Ok((count, is_last && count == most)))
    }

    /// Waits until the peer has given up the stream, or is gone.
    pub fn poll_aborted(&self, cx: &mut Context<'_>) -> Poll<Abort> {
        let mut state = self.mux.state();
        if let Some(abort) = state.connection.abort_of(self.key) {
            return Poll::Ready(abort);
        }
        state.waiting.wait(self.key, cx.waker());
        Poll::Pending
    }

    /// Why it was cut, if it was.
    pub fn aborted(&self) -> Option<Abort> {
        self.mux.connection().abort_of(self.key)
    }

    /// Whether all has been sent.
    pub fn has_sent(&self) -> bool {
        self.mux.connection().has_sent(self.key)
    }

    /// Whether the peer has said all, whether or not it was taken.
    pub fn has_received(&self) -> bool {
        self.mux.connection().has_received(self.key)
    }

    /// What the peer is told if the stream ends before all has been sent.
    pub fn set_unfinished(&self, code: ErrorCode) {
        self.unfinished.set(code);
    }

    /// Ends the stream: the peer broke a rule.
    pub fn reset(&self, code: ErrorCode) {
        let mut state = self.mux.state();
        if let Err(error) = state.connection.break_stream(self.key, code) {
            state.fail(error);
        }
        state.wake_driver();
    }

    /// Whether trailers have ended the body that have not been taken.
    pub fn has_trailers(&self) -> bool {
        self.mux.connection().has_trailers(self.key)
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        let code = self.unfinished.get();
        let mut state = self.mux.state();
        state.connection.release(self.key, code);
        state.waiting.forget(self.key);
        if let Some(freed) = &state.freed {
            freed.tell();
        }
        // Also if nothing is to be written: one less may make the connection idle.
        if let Some(driver) = &state.driver {
            driver.wake_by_ref();
        }
    }
}

/// What a stream's early end means for an exchange.
pub fn kind_of_abort(abort: Abort) -> Kind {
    match abort {
        Abort::Malformed(reject) => Kind::Rejected(reject),
        Abort::Reset(_)
        | Abort::Broke(_)
        | Abort::Dropped
        | Abort::Unprocessed
        | Abort::ConnectionLost => Kind::Reset,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};

    use super::*;
    use crate::buffer::Buffer;
    use crate::http::h2::connection::{Connection, Role};
    use crate::http::h2::flow::WINDOW_BYTES;
    use crate::http::h2::limits::ConnectionLimits;
    use crate::http::h2::output::OUTPUT_BYTES_MAX;
    use crate::http::h2::section::SectionLimits;
    use crate::net::memory::Memory;
    use crate::net::mux::MuxEvent;
    use crate::net::stream::Stream;

    /// Preface, SETTINGS and a request.
    const REQUEST: &[u8] =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x82";

    /// A stream of a client, and the client.
    fn stream(cx: &mut Context<'_>) -> (MuxStream, Memory) {
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let limits = ConnectionLimits { streams_max: 1, window_bytes: WINDOW_BYTES, section };
        let connection = Connection::new(Role::Server, limits, 0, Rc::default());
        let (ours, theirs) = Memory::pair(1 << 10);
        let mux = Mux::new(Stream::Plain(Socket::Memory(ours)), connection, Buffer::new());
        assert!(theirs.poll_write(cx, REQUEST).is_ready());
        let Poll::Ready(MuxEvent::Opened(key)) = mux.poll(cx) else { panic!("a stream") };
        (MuxStream::accepted(&mux, key), theirs)
    }

    #[test]
    fn a_head_waits_until_what_is_before_it_is_written() {
        let cx = &mut Context::from_waker(Waker::noop());
        let (stream, client) = stream(cx);
        assert!(stream.poll_written(cx).is_ready());
        let long = |_: &mut Encoder, block: &mut Vec<u8>| block.resize(OUTPUT_BYTES_MAX, 0);
        stream.send_head(false, long).expect("a stream");
        assert!(stream.poll_written(cx).is_pending());
        assert!(stream.mux.poll(cx).is_pending());
        while stream.poll_written(cx).is_pending() {
            assert!(client.poll_read(cx, &mut [0; 4096]).is_ready());
            assert!(stream.mux.poll(cx).is_pending());
        }
    }

    #[test]
    fn a_head_for_a_stream_that_its_peer_has_reset_is_not_sent() {
        let cx = &mut Context::from_waker(Waker::noop());
        let (stream, client) = stream(cx);
        assert!(client.poll_write(cx, b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08").is_ready());
        assert!(stream.mux.poll(cx).is_pending());
        let cancelled = Abort::Reset(ErrorCode::Cancel);
        assert_eq!(stream.send_head(true, |_, _| panic!("it is encoded")), Err(cancelled));
        assert_eq!(stream.poll_written(cx), Poll::Ready(Err(cancelled)));
    }

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_stream_without_credit_is_woken_by_credit_of_its_own_and_by_no_other() {
        let idle = &mut Context::from_waker(Waker::noop());
        let (stream, client) = stream(idle);
        let mut says = |bytes: &[u8]| {
            assert!(client.poll_write(idle, bytes).is_ready());
            assert!(stream.mux.poll(idle).is_pending());
        };
        // SETTINGS_INITIAL_WINDOW_SIZE of 0.
        says(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0");
        let woken = Arc::new(Woken::default());
        let task = Waker::from(Arc::clone(&woken));
        let cx = &mut Context::from_waker(&task);
        assert!(stream.poll_room(cx).is_pending());
        says(b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x09");
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        says(b"\0\0\x04\x08\0\0\0\0\x01\0\0\0\x09");
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(stream.poll_room(cx).is_ready());
    }

    #[test]
    fn a_head_that_waits_is_sent_though_its_connection_has_no_credit() {
        let idle = || Context::from_waker(Waker::noop());
        let (stream, client) = stream(&mut idle());
        let reads = || {
            while stream.mux.connection().output_bytes() > 0 {
                assert!(stream.mux.poll(&mut idle()).is_pending());
                assert!(client.poll_read(&idle(), &mut [0; 4096]).is_ready());
            }
            assert!(stream.mux.poll(&mut idle()).is_pending());
        };
        let body = [0; WINDOW_BYTES as usize];
        let mut sent = 0;
        while let Poll::Ready(Ok(count @ 1..)) = stream.poll_send(&mut idle(), &body[sent..], false)
        {
            sent += count;
            reads();
        }
        assert!(!stream.mux.connection().is_credited());
        let long = |_: &mut Encoder, block: &mut Vec<u8>| block.resize(OUTPUT_BYTES_MAX, 0);
        stream.send_head(false, long).expect("a stream");
        let woken = Arc::new(Woken::default());
        let task = Waker::from(Arc::clone(&woken));
        assert!(stream.poll_written(&mut Context::from_waker(&task)).is_pending());
        reads();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn settings_wake_a_stream_that_they_give_credit_and_no_other() {
        let idle = &mut Context::from_waker(Waker::noop());
        let (stream, client) = stream(idle);
        let mut says = |window: u8| {
            let settings = [&b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0"[..], &[window]].concat();
            assert!(client.poll_write(idle, &settings).is_ready());
            assert!(stream.mux.poll(idle).is_pending());
        };
        says(0);
        let woken = Arc::new(Woken::default());
        let task = Waker::from(Arc::clone(&woken));
        assert!(stream.poll_room(&mut Context::from_waker(&task)).is_pending());
        says(0);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        says(1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }
}
