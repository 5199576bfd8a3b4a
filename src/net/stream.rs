//! A connection, plain or with TLS: one set of operations for both.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::net::TcpStream;

use super::delivery::Delivery;
use super::socket::{HangUp, Socket, Unasked};
use super::tls::failure::fault_of;
use super::tls::stream::{TlsStream, broken_rule};
use crate::buffer::Buffer;
use crate::fault::Kind;

/// An open connection.
#[derive(Debug)]
pub enum Stream {
    /// Bytes are what was sent.
    Plain(Socket),
    /// They are decrypted and encrypted here; boxed, since it has keys.
    Tls(Box<TlsStream>),
}

/// Whether a connection can be handed over to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mobility {
    /// As its descriptor.
    Moves,
    /// A TLS session is more than its descriptor: it ends here.
    Stays,
}

impl From<Socket> for Stream {
    fn from(socket: Socket) -> Self {
        Self::Plain(socket)
    }
}

impl Stream {
    /// A TCP connection that was opened from here; sets `TCP_NODELAY`, since heads and bodies leave
    /// in as few writes as they can and must not wait for an acknowledgement.
    pub fn tcp(stream: TcpStream) -> Self {
        // A peer that is gone already makes this fail; the first read will tell.
        let _ = stream.set_nodelay(true);
        Self::Plain(Socket::Tcp(stream))
    }

    /// A connection that another process has handed over.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        Socket::adopt(descriptor).map(Self::Plain)
    }

    /// What is below: the connection as the kernel has it.
    pub fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// As [`Socket::rest`]. A TLS session goes along: its keys are not the thread's.
    pub fn rest(&mut self) -> io::Result<()> {
        self.socket_mut().rest()
    }

    /// As [`Socket::wake`].
    pub fn wake(&mut self) -> io::Result<()> {
        self.socket_mut().wake()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket_mut(),
        }
    }

    /// What another process can go on with. A TLS session is more than its descriptor, and a
    /// simulation has none.
    pub fn handed_over(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Plain(socket) => socket.descriptor(),
            Self::Tls(_) => None,
        }
    }

    /// Whether it can go on in another process.
    pub fn mobility(&self) -> Mobility {
        match self {
            Self::Plain(_) => Mobility::Moves,
            Self::Tls(_) => Mobility::Stays,
        }
    }

    /// Borrows the two directions.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        self.halves()
    }

    /// The two directions, for one who knows that nobody else uses them meanwhile.
    pub(super) fn halves(&self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match self {
            Self::Plain(socket) => (ReadHalf::Plain(socket), WriteHalf::Plain(socket)),
            Self::Tls(stream) => (ReadHalf::Tls(stream), WriteHalf::Tls(stream)),
        }
    }

    /// The address this side of the connection has, as a Host field would name it.
    pub fn local_authority(&self) -> String {
        let address = self.socket().local_address();
        address.map_or_else(|| "localhost".to_owned(), |address| address.to_string())
    }

    /// The peer's address and our own, if it has such.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.socket().addresses()
    }

    /// Ready when there is something to read, the end included.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.halves().0.poll_readable(cx)
    }

    /// Wakes the task that it was last read in no more, which keeps that from being freed.
    pub fn forget_task(&self) {
        // What there is to read is found out by whoever reads next.
        let _ = self.poll_readable(&mut Context::from_waker(Waker::noop()));
    }

    /// Reads into `buffer` what is there already; `None` if nothing is.
    pub async fn read_now(&mut self, buffer: &mut Buffer) -> Option<io::Result<usize>> {
        let (mut half, _) = self.split();
        let mut reading = pin!(half.read(buffer));
        poll_fn(|cx| match reading.as_mut().poll(cx) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Whether all that the peer has sent has been read. Asks the kernel: the reactor may not have
    /// told us yet.
    pub fn is_quiet(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_quiet(),
            Self::Tls(stream) => stream.is_quiet(),
        }
    }

    /// What the peer has done unasked, as far as the reactor has told us: costs no system call while
    /// that is nothing. A connection that is not quiet is of no use afterwards.
    pub fn unasked(&self) -> Unasked {
        match self {
            Self::Plain(socket) => socket.unasked(),
            Self::Tls(stream) => stream.unasked(),
        }
    }

    /// The same, with the first bytes that have come, if any have and there is no TLS.
    pub fn take_unasked(&self, bytes: &mut [u8]) -> Unasked {
        match self {
            Self::Plain(socket) => socket.take_unasked(bytes),
            Self::Tls(stream) => stream.unasked(),
        }
    }

    /// How much of what was written the peer can have got, if the kernel says; it does over TCP.
    /// Over TLS these are bytes of ciphertext, as [`Stream::carried_after`] counts them.
    pub fn delivery(&self) -> Option<Delivery> {
        self.socket().delivery()
    }

    /// How many bytes the kernel has been given in all, if it had been given `before` before `written`
    /// more were written.
    pub fn carried_after(&self, before: u64, written: u64) -> u64 {
        match self {
            Self::Plain(_) => before + written,
            Self::Tls(stream) => stream.carried(),
        }
    }

    /// Has the kernel probe a silent peer, if this is TCP. Clients' connections have that of their
    /// listener.
    pub fn keep_alive(&self) {
        self.socket().keep_alive();
    }

    /// Says whether closing the connection resets it, however that comes about: the peer could not
    /// tell a cut from an end otherwise. Only TCP has resets; TLS says nothing then, which is as good.
    pub fn set_reset_on_close(&mut self, reset: bool) {
        self.split().1.set_reset_on_close(reset);
    }
}

/// What an error of a connection means. In TLS an end without a `close_notify` is one: whatever needs to
/// know where it ends is cut.
pub fn kind_of(error: &io::Error) -> Kind {
    match broken_rule(error) {
        Some(rule) => Kind::Tls(fault_of(rule)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Kind::Closed,
        None => Kind::of(error),
    }
}

/// The receiving direction of a [`Stream`].
#[derive(Clone, Copy, Debug)]
pub enum ReadHalf<'a> {
    /// Of a plain connection.
    Plain(&'a Socket),
    /// Of one with TLS.
    Tls(&'a TlsStream),
}

impl ReadHalf<'_> {
    /// Waits until there is something to read, or an end or an error to be told of.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_readable(cx),
            Self::Tls(stream) => stream.poll_readable(cx),
        }
    }

    /// Waits until there is something to read, holding no room for it; then reads it into
    /// `buffer`, which must not be full. 0 is the end, in TLS one with a `close_notify`.
    pub async fn read(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// The same, as a poll.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => socket.poll_read(cx, buffer),
            Self::Tls(stream) => stream.poll_read(cx, buffer),
        }
    }

    /// The connection itself, if what is read from it is what the peer has said.
    pub fn plain(&self) -> Option<&Socket> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(_) => None,
        }
    }

    /// Waits until the peer has left, whatever it has sent before. None of that is read, and no
    /// system call is made: the reactor reports it.
    pub async fn hung_up(&self) -> HangUp {
        self.socket().hung_up().await
    }

    /// Waits until a peer that has ended its direction is gone, as far as it can be told: a close is
    /// no news after that, but a reset is.
    pub async fn gone_after_half_close(&self) {
        self.socket().gone_after_half_close().await;
    }

    /// Waits until the peer is gone. That it has ended its direction does not count.
    pub async fn gone(&self) {
        match self.hung_up().await {
            HangUp::Gone => {}
            HangUp::HalfClosed => self.gone_after_half_close().await,
        }
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }
}

/// The sending direction of a [`Stream`].
#[derive(Clone, Copy, Debug)]
pub enum WriteHalf<'a> {
    /// Of a plain connection.
    Plain(&'a Socket),
    /// Of one with TLS.
    Tls(&'a TlsStream),
}

impl WriteHalf<'_> {
    /// Writes once and says how much was taken. A write that is given up may have been taken in part:
    /// the connection is of no use then.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write(cx, bytes)).await
    }

    /// Writes once what is taken at once and says how much that was; `None` if nothing is, or if bytes are
    /// encrypted first.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
            Self::Tls(_) => None,
        }
    }

    /// The same of two pieces, the second of which follows the first.
    #[inline]
    pub fn try_write_both(&self, pieces: [&[u8]; 2]) -> Option<io::Result<usize>> {
        match self {
            Self::Plain(socket) => socket.try_write_both(pieces),
            Self::Tls(_) => None,
        }
    }

    /// Whether pieces leave as they are, and need not be copied together to be encrypted.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => socket.poll_write(cx, bytes),
            Self::Tls(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// As [`Stream::mobility`].
    pub fn mobility(&self) -> Mobility {
        match self {
            Self::Plain(_) => Mobility::Moves,
            Self::Tls(_) => Mobility::Stays,
        }
    }

    /// As [`Stream::set_reset_on_close`].
    pub fn set_reset_on_close(&self, reset: bool) {
        match self {
            Self::Plain(socket) => socket.set_reset_on_close(reset),
            Self::Tls(stream) => stream.set_reset_on_close(reset),
        }
    }

    /// Ends this direction; the other stays open. Over TLS that takes a write.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown(),
            Self::Tls(stream) => poll_fn(|cx| stream.poll_shutdown(cx)).await,
        }
    }
}
