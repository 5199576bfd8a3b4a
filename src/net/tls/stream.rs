//! A TLS session and the connection it goes over.

use std::cell::{Cell, Ref, RefCell};
use std::io;
use std::task::{Context, Poll, Waker, ready};

use rustls::Error;

use super::session::{Readable, TlsSession};
use crate::buffer::Buffer;
use crate::net::socket::{Socket, Unasked};

/// How often is read at a time to find out what has come unasked, of which there is next to nothing: a flood
/// of what belongs to the protocol only must not hold up the others.
pub(super) const READS_MAX: usize = 4;

/// A connection over which TLS is spoken. Both directions are used through shared borrows.
///
/// While it rests it holds no block. Of what is written, as many bytes count as taken as the kernel has of
/// the records, the last one only with the last of these.
#[derive(Debug)]
pub struct TlsStream {
    socket: Socket,
    session: RefCell<TlsSession>,
    /// Bytes given to the kernel in all.
    carried: Cell<u64>,
    resets_on_close: Cell<bool>,
}

impl TlsStream {
    /// With a session that is about to begin.
    pub fn new(socket: Socket, session: TlsSession) -> Self {
        let (carried, resets_on_close) = (Cell::new(0), Cell::new(false));
        Self { socket, session: RefCell::new(session), carried, resets_on_close }
    }

    /// The connection below.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The connection below, to have another reactor watch it.
    pub(in crate::net) fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The session.
    pub fn session(&self) -> Ref<'_, TlsSession> {
        self.session.borrow()
    }

    /// The session, to do with it what is done here.
    #[cfg(test)]
    pub(super) fn session_mut(&self) -> std::cell::RefMut<'_, TlsSession> {
        self.session.borrow_mut()
    }

    /// Counts what was written over the connection before TLS began.
    pub fn has_carried(&self, before: u64) {
        self.carried.set(self.carried.get() + before);
    }

    /// Takes in what has come of it already.
    pub(super) fn keep(&self, early: &Buffer) {
        self.session.borrow_mut().keep(early);
    }

    /// Bytes given to the kernel in all: what [`Socket::delivery`] counts in.
    pub fn carried(&self) -> u64 {
        self.carried.get()
    }

    /// Ready when there is something to read, which may turn out to be of the protocol only.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.session.borrow().is_readable() {
            return Poll::Ready(Ok(()));
        }
        self.socket.poll_readable(cx)
    }

    /// As [`Socket::poll_read`], in plaintext. An end without a `close_notify` is
    /// [`io::ErrorKind::UnexpectedEof`].
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        let session = &mut *self.session.borrow_mut();
        loop {
            match session.read(buffer) {
                Readable::Bytes(count) => return Poll::Ready(Ok(count)),
                Readable::Nothing => {}
                Readable::End => return Poll::Ready(Ok(0)),
                Readable::Truncated => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Readable::Failed(error) => {
                    if session.must_tell() {
                        // What was received elsewhere has not been told yet.
                        let _ = self.poll_flush(session, cx);
                    }
                    return Poll::Ready(Err(protocol_error(error)));
                }
            }
            ready!(self.socket.poll_readable(cx))?;
            let mut incoming = session.begin_receiving_up_to(buffer.room());
            let before = (incoming.len(), buffer.len());
            if ready!(self.socket.poll_read(cx, &mut incoming))? == 0 {
                session.receive_end();
                continue;
            }
            debug_assert!(incoming.len() > before.0);
            session.receive(incoming, Some(buffer));
            if session.must_tell() {
                // That it broke a rule, or asked for what is refused. Whether that arrives or not, what
                // it sent before counts.
                let _ = self.poll_flush(session, cx);
            }
            if buffer.len() > before.1 {
                return Poll::Ready(Ok(buffer.len() - before.1));
            }
        }
    }

    /// Writes as much of `bytes` as fits a block, and says how much of it the kernel has taken. What it
    /// has not, encrypted already, goes first the next time, when the bytes after those must be offered.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let session = &mut *self.session.borrow_mut();
        session.seal(bytes).map_err(protocol_error)?;
        let flushed = self.poll_flush(session, cx)?;
        match session.settle() {
            0 if flushed.is_pending() => Poll::Pending,
            taken => Poll::Ready(Ok(taken.min(bytes.len()))),
        }
    }

    /// Sends all that is to be sent.
    fn poll_flush(&self, session: &mut TlsSession, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let outgoing = session.outgoing();
            if outgoing.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let count = ready!(self.socket.poll_write(cx, outgoing))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.carried.set(self.carried.get() + count as u64);
            session.sent(count);
        }
    }

    /// Receives more of a handshake, without looking at it: that costs time, which
    /// [`TlsStream::proceed`] takes.
    pub(super) fn poll_gather(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = &mut *self.session.borrow_mut();
        ready!(self.socket.poll_readable(cx))?;
        let mut incoming = session.begin_receiving();
        match ready!(self.socket.poll_read(cx, &mut incoming))? {
            0 => session.receive_end(),
            _ => session.keep(&incoming),
        }
        Poll::Ready(Ok(()))
    }

    /// Goes on with a handshake, with what has come of it.
    pub(super) fn proceed(&self) {
        let session = &mut *self.session.borrow_mut();
        let incoming = session.begin_receiving();
        session.receive(incoming, None);
    }

    /// Sends what is to be sent of a handshake.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = &mut *self.session.borrow_mut();
        if session.must_send() { self.poll_flush(session, cx) } else { Poll::Ready(Ok(())) }
    }

    /// As [`TlsSession::leave_rustls`].
    pub(super) fn leave_rustls(&self) {
        self.session.borrow_mut().leave_rustls();
    }

    /// Ends our direction with a `close_notify`; the other stays open.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = &mut *self.session.borrow_mut();
        session.say_goodbye();
        ready!(self.poll_flush(session, cx))?;
        Poll::Ready(self.socket.shutdown())
    }

    /// As [`Socket::unasked`]; what belongs to the protocol only, such as a ticket, is nothing, unless it is
    /// more than is read at a time.
    pub fn unasked(&self) -> Unasked {
        match self.receive_now() {
            Some(Readable::Bytes(_)) | None => Unasked::Bytes,
            Some(Readable::Nothing) => Unasked::Nothing,
            Some(Readable::End | Readable::Truncated | Readable::Failed(_)) => Unasked::End,
        }
    }

    /// As [`Socket::is_quiet`].
    pub fn is_quiet(&self) -> bool {
        let heard = self.receive_now();
        let is_open = !matches!(heard, Some(Readable::Bytes(_) | Readable::Failed(_)) | None);
        is_open && self.session.borrow().partial().is_empty() && self.socket.is_quiet()
    }

    /// What there is to read without waiting; `None` if that has not come out after [`READS_MAX`] reads.
    fn receive_now(&self) -> Option<Readable> {
        let session = &mut *self.session.borrow_mut();
        for _ in 0..READS_MAX {
            if session.is_readable() {
                break;
            }
            let mut incoming = session.begin_receiving();
            match self.socket.try_read(incoming.spare_mut()) {
                Ok(0) => session.receive_end(),
                Ok(count) => {
                    incoming.fill(count);
                    session.receive(incoming, None);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Some(Readable::Nothing);
                }
                Err(_) => session.receive_end(),
            }
        }
        session.is_readable().then(|| session.peek())
    }

    /// As [`Socket::set_reset_on_close`]. A connection that is reset says no `close_notify`: what came
    /// over it must not look whole.
    pub fn set_reset_on_close(&self, reset: bool) {
        self.resets_on_close.set(reset);
        self.socket.set_reset_on_close(reset);
    }
}

/// A connection that is closed in order says so, as far as the kernel takes it at once: the peer could
/// not tell an end from a cut otherwise.
impl Drop for TlsStream {
    fn drop(&mut self) {
        if !self.resets_on_close.get() && !self.session.borrow().is_sending() {
            let mut cx = Context::from_waker(Waker::noop());
            let session = &mut *self.session.borrow_mut();
            session.say_goodbye();
            let _ = self.poll_flush(session, &mut cx);
        }
    }
}

fn protocol_error(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What TLS itself found wrong, if that is what an error of a connection is.
pub fn broken_rule(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}
