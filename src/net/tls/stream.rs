//! A TLS session and the connection it goes over.

use std::cell::{Cell, Ref, RefCell};
use std::io;
use std::task::{Context, Poll, Waker, ready};

use rustls::Error;

use super::session::{Readable, TlsSession};
use crate::buffer::Buffer;
use crate::net::socket::{Socket, Unasked};

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
                Readable::Failed(error) => return Poll::Ready(Err(protocol_error(error))),
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

    /// As [`Socket::unasked`]; what belongs to the protocol only, such as a ticket, is nothing.
    pub fn unasked(&self) -> Unasked {
        match self.receive_now() {
            Readable::Bytes(_) => Unasked::Bytes,
            Readable::Nothing => Unasked::Nothing,
            Readable::End | Readable::Truncated | Readable::Failed(_) => Unasked::End,
        }
    }

    /// As [`Socket::is_quiet`].
    pub fn is_quiet(&self) -> bool {
        let heard = self.receive_now();
        let is_open = !matches!(heard, Readable::Bytes(_) | Readable::Failed(_));
        is_open && self.session.borrow().partial().is_empty() && self.socket.is_quiet()
    }

    /// What there is to read without waiting.
    fn receive_now(&self) -> Readable {
        let session = &mut *self.session.borrow_mut();
        loop {
            if session.is_readable() {
                return session.peek();
            }
            let mut incoming = session.begin_receiving();
            match self.socket.try_read(incoming.spare_mut()) {
                Ok(0) => session.receive_end(),
                Ok(count) => {
                    incoming.fill(count);
                    session.receive(incoming, None);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Readable::Nothing;
                }
                Err(_) => session.receive_end(),
            }
        }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{AlertDescription, ClientConfig, RootCertStore, ServerConfig};

    use super::*;
    use crate::buffer::BUFFER_BYTES;
    use crate::net::memory::Memory;
    use crate::net::tls::handshake::{HandshakeTurns, accept, connect};
    use crate::net::tls::provider::provider;

    /// Two ends of a session over a connection that holds so many bytes.
    async fn pair(capacity: usize) -> (TlsStream, TlsStream) {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let key = PrivateKeyDer::try_from(key).unwrap();
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        server.enable_secret_extraction = true;
        client.enable_secret_extraction = true;
        let (ours, theirs) = Memory::pair(capacity);
        let (turns, early) = (HandshakeTurns::default(), Buffer::new());
        let name = "a.example".try_into().unwrap();
        let accepting = accept(Socket::Memory(ours), &early, Arc::new(server), &turns);
        let connecting = connect(Socket::Memory(theirs), Arc::new(client), name);
        // The last message of the client goes with the first thing that it writes.
        let connecting = async {
            let (stream, _) = connecting.await.unwrap();
            poll_fn(|cx| stream.poll_flush(&mut stream.session.borrow_mut(), cx)).await.unwrap();
            stream
        };
        let (accepted, connected) = tokio::join!(accepting, connecting);
        (accepted.unwrap().0, connected)
    }

    async fn send(stream: &TlsStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| stream.poll_write(cx, bytes)).await.unwrap();
            bytes = &bytes[count..];
        }
    }

    async fn read(stream: &TlsStream) -> io::Result<Vec<u8>> {
        let mut buffer = Buffer::new();
        poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await?;
        Ok(buffer.filled().to_vec())
    }

    async fn read_all(stream: &TlsStream, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            bytes.extend(read(stream).await.unwrap());
        }
        bytes
    }

    #[tokio::test]
    async fn what_is_written_arrives_however_little_the_connection_holds() {
        for capacity in [1000, 20_000, 1 << 20] {
            let (ours, theirs) = pair(capacity).await;
            let sent: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
            let (up, down) = (read_all(&theirs, sent.len()), read_all(&ours, sent.len()));
            let both = async { tokio::join!(send(&ours, &sent), send(&theirs, &sent)) };
            let ((), (up, down)) = tokio::join!(
                async {
                    both.await;
                },
                async { tokio::join!(up, down) }
            );
            assert!(up == sent && down == sent, "{capacity}");
        }
    }

    #[tokio::test]
    async fn as_much_as_a_block_holds_is_written_at_once() {
        let (ours, _theirs) = pair(1 << 20).await;
        send(&ours, b"tickets go first").await;
        let bytes = [7; BUFFER_BYTES];
        let count = poll_fn(|cx| ours.poll_write(cx, &bytes)).await.unwrap();
        assert_eq!(count, bytes.len());
    }

    /// Writes until the connection is full, and returns how much was taken.
    fn fill(stream: &TlsStream, bytes: &[u8]) -> usize {
        let (mut taken, mut cx) = (0, Context::from_waker(Waker::noop()));
        while let Poll::Ready(count) = stream.poll_write(&mut cx, &bytes[taken..]) {
            taken += count.unwrap();
        }
        taken
    }

    #[tokio::test]
    async fn what_the_kernel_has_of_a_block_counts_as_taken() {
        let (ours, theirs) = pair(20_000).await;
        let (before, bytes) = (ours.carried(), [7; 60_000]);
        let taken = fill(&ours, &bytes);
        assert!((15_000..20_000).contains(&taken), "{taken}");
        assert_eq!(ours.carried() - before, 20_000);
        let (rest, arrived) = tokio::join!(
            async {
                send(&ours, &bytes[taken..]).await;
            },
            read_all(&theirs, bytes.len())
        );
        assert_eq!((rest, arrived), ((), bytes.to_vec()));
    }

    #[tokio::test]
    async fn an_answer_is_read_even_if_nothing_more_can_be_sent() {
        let (ours, theirs) = pair(20_000).await;
        fill(&ours, &[7; 60_000]);
        send(&theirs, b"enough").await;
        drop(theirs);
        assert_eq!(read(&ours).await.unwrap(), b"enough");
    }

    #[tokio::test]
    async fn an_end_in_order_is_told_from_a_cut() {
        let (ours, theirs) = pair(1 << 20).await;
        send(&ours, b"all").await;
        drop(ours);
        assert_eq!(read(&theirs).await.unwrap(), b"all");
        assert_eq!(read(&theirs).await.unwrap(), b"");
        let (ours, theirs) = pair(1 << 20).await;
        send(&ours, b"some").await;
        ours.socket.shutdown().unwrap();
        assert_eq!(read(&theirs).await.unwrap(), b"some");
        let cut = read(&theirs).await.map_err(|error| error.kind());
        assert_eq!(cut, Err(io::ErrorKind::UnexpectedEof));
    }

    #[tokio::test]
    async fn a_peer_that_has_ended_its_direction_is_still_answered() {
        let (ours, theirs) = pair(1 << 20).await;
        poll_fn(|cx| theirs.poll_shutdown(cx)).await.unwrap();
        assert_eq!(read(&ours).await.unwrap(), b"");
        send(&ours, b"answer").await;
        assert_eq!(read(&theirs).await.unwrap(), b"answer");
    }

    #[tokio::test]
    async fn what_is_kept_free_in_a_buffer_stays_free() {
        let (ours, theirs) = pair(1 << 20).await;
        send(&theirs, b"1234").await;
        let mut buffer = Buffer::new();
        buffer.append(&[7; BUFFER_BYTES - 3]);
        let count = poll_fn(|cx| ours.poll_read(cx, &mut buffer)).await.unwrap();
        assert_eq!((count, buffer.append(b"\r\n")), (3, 2));
        assert_eq!(read(&ours).await.unwrap(), b"4");
    }

    #[tokio::test]
    async fn nothing_follows_an_alert() {
        let (ours, theirs) = pair(1 << 20).await;
        let garbage = [23, 3, 3, 0, 32, 7, 7];
        let garbage = [&garbage[..], &[7; 30]].concat();
        poll_fn(|cx| theirs.socket.poll_write(cx, &garbage)).await.unwrap();
        let broken = read(&ours).await.unwrap_err();
        assert_eq!(broken_rule(&broken), Some(&Error::DecryptError));
        assert!(poll_fn(|cx| ours.poll_write(cx, b"x")).await.is_err());
        drop(ours);
        let told = read(&theirs).await.unwrap_err();
        let alert = Error::AlertReceived(AlertDescription::BadRecordMac);
        assert_eq!(broken_rule(&told), Some(&alert));
    }

    #[tokio::test]
    async fn tickets_are_nothing_unasked() {
        let (ours, theirs) = pair(1 << 20).await;
        poll_fn(|cx| ours.poll_flush(&mut ours.session.borrow_mut(), cx)).await.unwrap();
        assert!(!theirs.socket.is_quiet());
        assert_eq!(theirs.unasked(), Unasked::Nothing);
        assert!(theirs.is_quiet());
        send(&ours, b"x").await;
        assert_eq!(theirs.unasked(), Unasked::Bytes);
        assert!(!theirs.is_quiet());
        drop(ours);
        read(&theirs).await.unwrap();
        assert_eq!(theirs.unasked(), Unasked::End);
    }

    #[tokio::test]
    async fn no_more_is_received_than_there_is_room_for() {
        let (ours, theirs) = pair(1 << 20).await;
        send(&theirs, &[7; 4 * BUFFER_BYTES]).await;
        let mut buffer = Buffer::new();
        for _ in 0..4 {
            buffer.clear();
            buffer.begin_with_room(16 * 1024);
            poll_fn(|cx| ours.poll_read(cx, &mut buffer)).await.unwrap();
            let session = ours.session();
            assert_eq!((buffer.len(), session.peek()), (16 * 1024, Readable::Nothing));
            assert!(session.partial().len() < 100);
        }
    }

    #[tokio::test]
    async fn a_session_that_rests_holds_no_block() {
        let (ours, theirs) = pair(1 << 20).await;
        send(&theirs, b"request").await;
        read(&ours).await.unwrap();
        send(&ours, b"answer").await;
        let session = ours.session();
        assert_eq!(format!("{session:?}").matches(": 0").count(), 4, "{session:?}");
        assert!(!session.holds_block());
    }
}
