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
