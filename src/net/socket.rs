//! A connection as the kernel has it: over TCP, over a unix socket, or in a simulation.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
#[cfg(any(test, fuzzing))]
use std::task::Waker;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use socket2::{Domain, SockRef, Socket as Socket2};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::delivery::Delivery;
use super::keep_alive;
#[cfg(any(test, fuzzing))]
use super::memory::{Memory, MemoryEnd};
use super::registered::{Registered, poll_moved, try_moved};
use super::resting::Resting;
use crate::buffer::Buffer;
use crate::http::h2::output::Payloads;

/// An open connection. Both directions are used through shared borrows.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP, with `TCP_NODELAY`.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// Either of these, with no reactor that watches it: nothing can be waited for.
    Resting(Resting),
    /// In a simulation.
    #[cfg(any(test, fuzzing))]
    Memory(Memory),
}

/// What a peer has done that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// Nothing: the connection is quiet.
    Nothing,
    /// It has sent bytes.
    Bytes,
    /// It has ended the connection.
    End,
}

/// How far a peer has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// It has ended its direction; it may still be reading.
    HalfClosed,
    /// The connection is over in both directions, by a reset or by a failure.
    Gone,
}

impl Socket {
    /// What the kernel knows it by; a simulation does not.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
            Self::Resting(resting) => resting.descriptor(),
            #[cfg(any(test, fuzzing))]
            Self::Memory(_) => None,
        }
    }

    /// A connection that another process has handed over.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket2::from(descriptor);
        socket.set_nonblocking(true)?;
        if socket.domain()? == Domain::UNIX {
            UnixStream::from_std(socket.into()).map(Self::Unix)
        } else {
            TcpStream::from_std(socket.into()).map(Self::Tcp)
        }
    }

    /// Has no reactor watch it any more: any thread can [`wake`](Self::wake) it, and until then it tells what
    /// is unasked, and takes a last word. An error has closed it.
    pub fn rest(&mut self) -> io::Result<()> {
        match mem::replace(self, Self::Resting(Resting::Lost)) {
            Self::Tcp(stream) => *self = Self::Resting(Resting::Tcp(stream.into_std()?)),
            Self::Unix(stream) => *self = Self::Resting(Resting::Unix(stream.into_std()?)),
            stays @ Self::Resting(_) => *self = stays,
            #[cfg(any(test, fuzzing))]
            stays @ Self::Memory(_) => *self = stays,
        }
        Ok(())
    }

    /// Has this thread's reactor watch it again. An error has closed it.
    pub fn wake(&mut self) -> io::Result<()> {
        match mem::replace(self, Self::Resting(Resting::Lost)) {
            Self::Resting(Resting::Tcp(stream)) => *self = Self::Tcp(TcpStream::from_std(stream)?),
            Self::Resting(Resting::Unix(stream)) => {
                *self = Self::Unix(UnixStream::from_std(stream)?);
            }
            Self::Resting(Resting::Lost) => return Err(not_watched()),
            awake => *self = awake,
        }
        Ok(())
    }

    /// The peer's address and our own, if it has such.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().zip(stream.local_addr().ok()),
            Self::Unix(_) | Self::Resting(_) => None,
            #[cfg(any(test, fuzzing))]
            Self::Memory(_) => None,
        }
    }

    /// Our own address, if it has one.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) | Self::Resting(_) => None,
            #[cfg(any(test, fuzzing))]
            Self::Memory(_) => None,
        }
    }

    /// Ready when there is something to read, or an end or an error to be told of.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Resting(_) => Poll::Ready(Err(not_watched())),
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => memory.poll_readable(cx),
        }
    }

    /// Waits until there is something to read, holding no room for it; then reads it into `buffer`,
    /// which must not be full. 0 is the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        let read = match self {
            Self::Tcp(stream) => poll_recv(stream, cx, buffer, usize::MAX),
            Self::Unix(stream) => poll_recv(stream, cx, buffer, usize::MAX),
            Self::Resting(_) => Poll::Ready(Err(not_watched())),
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => {
                std::task::ready!(memory.poll_readable(cx))?;
                memory.poll_read(cx, buffer.spare_mut())
            }
        };
        if let Poll::Ready(Ok(count)) = read {
            buffer.fill(count);
        }
        buffer.release();
        read
    }

    /// Waits until there is something to read, and reads it into the pieces, which must not all be empty,
    /// one after the other. 0 is the end.
    pub fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        pieces: &mut Payloads<'_>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => poll_readv(stream, cx, pieces),
            Self::Unix(stream) => poll_readv(stream, cx, pieces),
            Self::Resting(_) => Poll::Ready(Err(not_watched())),
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => memory.poll_read(cx, pieces[0]),
        }
    }

    /// Reads what is there, as far as the reactor has told: costs no system call while that is
    /// nothing, which is `WouldBlock`.
    pub fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(room),
            Self::Unix(stream) => stream.try_read(room),
            Self::Resting(resting) => resting.try_read(room),
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => memory.try_read(room),
        }
    }

    /// Writes once and says how much was taken.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => poll_send(stream, cx, bytes),
            Self::Unix(stream) => poll_send(stream, cx, bytes),
            Self::Resting(resting) => match resting.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                written => Poll::Ready(written),
            },
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => memory.poll_write(cx, bytes),
        }
    }

    /// Writes once what is taken at once and says how much that was. Costs no system call while nothing is, as far
    /// as the reactor has told: that is `None`.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => try_moved(stream, Interest::WRITABLE, || send(stream, bytes)),
            Self::Unix(stream) => try_moved(stream, Interest::WRITABLE, || send(stream, bytes)),
            Self::Resting(_) => None,
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => {
                match memory.poll_write(&Context::from_waker(Waker::noop()), bytes) {
                    Poll::Ready(written) => Some(written),
                    Poll::Pending => None,
                }
            }
        }
    }

    /// The same of two pieces, the second of which follows the first.
    #[inline]
    pub fn try_write_both(&self, pieces: [&[u8]; 2]) -> Option<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => {
                try_moved(stream, Interest::WRITABLE, || send_both(stream, pieces))
            }
            Self::Unix(stream) => {
                try_moved(stream, Interest::WRITABLE, || send_both(stream, pieces))
            }
            Self::Resting(_) => None,
            #[cfg(any(test, fuzzing))]
            Self::Memory(_) => self.try_write(&pieces.concat()),
        }
    }

    /// Whether all that the peer has sent has been read. Asks the kernel: the reactor may not have
    /// told us yet.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match self {
            Self::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            Self::Unix(stream) => SockRef::from(stream).peek(&mut byte),
            Self::Resting(_) => return false,
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => return memory.is_quiet(),
        };
        match peeked {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// What the peer has done unasked, as far as the reactor has told us: costs no system call while
    /// that is nothing. A connection that is not quiet is of no use afterwards.
    pub fn unasked(&self) -> Unasked {
        self.take_unasked(&mut [0; 1])
    }

    /// The same, with the first bytes that have come, if any have.
    pub fn take_unasked(&self, bytes: &mut [u8]) -> Unasked {
        match self.try_read(bytes) {
            Ok(1..) => Unasked::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Unasked::Nothing,
            Ok(0) | Err(_) => Unasked::End,
        }
    }

    /// How much of what was written the peer can have got, if the kernel says; it does over TCP.
    pub fn delivery(&self) -> Option<Delivery> {
        match self {
            Self::Tcp(stream) => Delivery::of(stream.as_fd()),
            Self::Unix(_) | Self::Resting(_) => None,
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => Some(memory.delivery()),
        }
    }

    /// Has the kernel probe a silent peer, if this is TCP. Clients' connections have that of their
    /// listener.
    pub fn keep_alive(&self) {
        if let Self::Tcp(stream) = self {
            // Best effort: without it a peer that is gone is found out later, by a timeout.
            let _ = keep_alive::enable(&SockRef::from(stream));
        }
    }

    /// Acknowledges what has come at once, if this is TCP, and not only with the next bytes that leave or
    /// 40 ms later: a peer with Nagle's algorithm holds back what it has to say until then (RFC 1122
    /// §4.2.3.4, `TCP_QUICKACK` in tcp(7)).
    pub fn acknowledge(&self) {
        if let Self::Tcp(stream) = self {
            // A connection that is gone has nothing to acknowledge.
            let _ = SockRef::from(stream).set_tcp_quickack(true);
        }
    }

    /// Says whether closing the connection resets it, however that comes about: the peer could not
    /// tell a cut from an end otherwise. Only TCP has resets.
    pub fn set_reset_on_close(&self, reset: bool) {
        match self {
            Self::Tcp(stream) => {
                let linger = reset.then_some(Duration::ZERO);
                // Best effort: if it fails, the close that follows is an ordinary one.
                let _ = SockRef::from(stream).set_linger(linger);
            }
            Self::Unix(_) | Self::Resting(_) => {}
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => memory.set_reset_on_close(reset),
        }
    }

    /// Ends our direction; the other stays open.
    pub fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            Self::Unix(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            Self::Resting(_) => Err(not_watched()),
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => {
                memory.shutdown();
                Ok(())
            }
        }
    }

    /// Waits until the peer has left, whatever it has sent before. None of that is read, and no
    /// system call is made: the reactor reports it.
    pub async fn hung_up(&self) -> HangUp {
        match self {
            Self::Tcp(stream) => hung_up(stream).await,
            Self::Unix(stream) => hung_up(stream).await,
            Self::Resting(_) => HangUp::Gone,
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => {
                let end = poll_fn(|cx| memory.poll_end(cx)).await;
                if end == MemoryEnd::Reset { HangUp::Gone } else { HangUp::HalfClosed }
            }
        }
    }

    /// Waits until a peer that has ended its direction is gone, as far as it can be told: a close is
    /// no news after that, but a reset is.
    pub async fn gone_after_half_close(&self) {
        match self {
            Self::Tcp(stream) => failed(stream).await,
            Self::Unix(stream) => failed(stream).await,
            Self::Resting(_) => {}
            #[cfg(any(test, fuzzing))]
            Self::Memory(memory) => poll_fn(|cx| memory.poll_reset(cx)).await,
        }
    }
}

/// Nothing of a connection that rests can be waited for.
fn not_watched() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

async fn hung_up(socket: &impl Registered) -> HangUp {
    let arrived = poll_fn(|cx| socket.poll_ready(Interest::READABLE, cx)).await;
    // Bytes stay readable until somebody reads them: from here on, only the end is news.
    let reported = match arrived {
        Ok(()) => socket.ready(Interest::PRIORITY | Interest::ERROR).await,
        Err(error) => Err(error),
    };
    match reported {
        Ok(ready) if !ready.is_error() && !is_over(socket).await => HangUp::HalfClosed,
        // An error of the reactor's: it is being shut down.
        Ok(_) | Err(_) => HangUp::Gone,
    }
}

/// Whether both directions are known to have ended. A unix socket tells that of a close.
async fn is_over(socket: &impl Registered) -> bool {
    let mut state = pin!(socket.ready(Interest::WRITABLE));
    let reported = poll_fn(|cx| Poll::Ready(state.as_mut().poll(cx))).await;
    matches!(reported, Poll::Ready(Ok(ready)) if ready.is_write_closed())
}

async fn failed(socket: &impl Registered) {
    // An error of the reactor's, too, ends the wait: it is being shut down.
    let _ = socket.ready(Interest::ERROR).await;
}

/// Reads up to `most` bytes.
pub(super) fn poll_recv(
    socket: &impl Registered,
    cx: &mut Context<'_>,
    buffer: &mut Buffer,
    most: usize,
) -> Poll<io::Result<usize>> {
    poll_moved(socket, Interest::READABLE, cx, || {
        let room = buffer.spare_mut();
        let most = most.min(room.len());
        let room = &mut room[..most];
        let flags = RecvFlags::empty();
        let (_, count) = retry_on_intr(|| rustix::net::recv(socket, &mut *room, flags))?;
        Ok((count, room.len()))
    })
}

fn poll_readv(
    socket: &impl Registered,
    cx: &mut Context<'_>,
    pieces: &mut Payloads<'_>,
) -> Poll<io::Result<usize>> {
    poll_moved(socket, Interest::READABLE, cx, || {
        let most = pieces.iter().map(|piece| piece.len()).sum();
        let mut slices = pieces.each_mut().map(|piece| IoSliceMut::new(piece));
        let count = retry_on_intr(|| rustix::io::readv(socket, &mut slices))?;
        Ok((count, most))
    })
}

fn poll_send(
    socket: &impl Registered,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    poll_moved(socket, Interest::WRITABLE, cx, || send(socket, bytes))
}

/// How many bytes were written, and how many could have been.
fn send(socket: &impl AsFd, bytes: &[u8]) -> io::Result<(usize, usize)> {
    let count = retry_on_intr(|| rustix::net::send(socket, bytes, SendFlags::NOSIGNAL))?;
    Ok((count, bytes.len()))
}

fn send_both(socket: &impl AsFd, pieces: [&[u8]; 2]) -> io::Result<(usize, usize)> {
    let slices = pieces.map(IoSlice::new);
    let flags = SendFlags::NOSIGNAL;
    let sent = || rustix::net::sendmsg(socket, &slices, &mut SendAncillaryBuffer::default(), flags);
    let count = retry_on_intr(sent)?;
    Ok((count, pieces[0].len() + pieces[1].len()))
}
