//! A connection that no reactor watches, so that any thread can go on with it.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags};

/// A connection that rests. It is not waited for: what it is asked, the kernel answers at once.
#[derive(Debug)]
pub enum Resting {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
    /// None: it was closed when it was to change reactors.
    Lost,
}

impl Resting {
    /// What the kernel knows it by.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
            Self::Lost => None,
        }
    }

    fn open(&self) -> io::Result<BorrowedFd<'_>> {
        self.descriptor().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads what is there; `WouldBlock` if nothing is. 0 is the end.
    pub fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        let descriptor = self.open()?;
        let read = retry_on_intr(|| rustix::net::recv(descriptor, &mut *room, RecvFlags::DONTWAIT));
        Ok(read.map(|(_, count)| count)?)
    }

    /// Writes as much as the kernel takes; `WouldBlock` if that is nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let (descriptor, flags) = (self.open()?, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        Ok(retry_on_intr(|| rustix::net::send(descriptor, bytes, flags))?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as StdUnixStream;
    use std::task::{Context, Poll, Waker};

    use crate::net::socket::{HangUp, Socket, Unasked};

    fn resting() -> (Socket, StdUnixStream) {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut socket = Socket::Unix(tokio::net::UnixStream::from_std(ours).unwrap());
        socket.rest().unwrap();
        (socket, theirs)
    }

    #[tokio::test]
    async fn what_rests_tells_what_is_unasked_at_once_and_takes_a_last_word() {
        let ((socket, mut peer), mut cx) = (resting(), Context::from_waker(Waker::noop()));
        assert_eq!(socket.unasked(), Unasked::Nothing);
        peer.write_all(b"x").unwrap();
        assert_eq!(socket.unasked(), Unasked::Bytes);
        assert!(matches!(socket.poll_write(&mut cx, b"bye"), Poll::Ready(Ok(3))));
        peer.read_exact(&mut [0; 3]).unwrap();
        drop(peer);
        assert_eq!(socket.unasked(), Unasked::End);
    }

    #[tokio::test]
    async fn what_rests_is_waited_for_by_nobody() {
        let ((socket, _peer), mut cx) = (resting(), Context::from_waker(Waker::noop()));
        assert!(matches!(socket.poll_readable(&mut cx), Poll::Ready(Err(_))));
        assert_eq!(socket.hung_up().await, HangUp::Gone);
    }

    #[tokio::test]
    async fn what_is_lost_cannot_be_woken() {
        let mut socket = Socket::Resting(super::Resting::Lost);
        assert!(socket.wake().is_err() && socket.unasked() == Unasked::End);
    }
}
