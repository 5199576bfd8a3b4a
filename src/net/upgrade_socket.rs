//! Messages between two processes, with descriptors: a unix socket that keeps their bounds
//! (`SOCK_SEQPACKET`) and passes descriptors along (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::{Pid, umask};
use socket2::{Domain, SockAddr, Socket, Type};

use super::socket_file::SocketFile;

/// Descriptors in one message: `SCM_MAX_FD` of the kernel, less a few.
pub const DESCRIPTORS_MAX: usize = 250;

/// Bytes of one message: a fraction of what a socket may hold (`wmem_default`).
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The ids of a user and a group, where they are to be others than ours.
pub type Owner = (Option<u32>, Option<u32>);

/// Where a process waits for another one to hand over to it.
pub struct UpgradeSocket {
    socket: Socket,
    file: SocketFile,
}

/// One end between two processes of the same user.
#[derive(Debug)]
pub struct Channel(Socket);

/// A message, and the descriptors that came with it.
#[derive(Debug)]
pub struct Received {
    /// What it says.
    pub bytes: Vec<u8>,
    /// What it brings.
    pub descriptors: Vec<OwnedFd>,
}

impl UpgradeSocket {
    /// Listens at a path. Fails with `AddrInUse` if another process does already.
    ///
    /// The file belongs to `owner`: the process that hands over may run as that user.
    pub fn at(path: &Path, owner: Owner) -> io::Result<Self> {
        let bind = || {
            let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
            // A process that can connect can be given every connection there is: only our own user may,
            // from the moment the file exists.
            let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
            let bound = socket.bind(&SockAddr::unix(path)?);
            umask(before);
            bound?;
            give(path, owner)?;
            socket.listen(1)?;
            Ok(socket)
        };
        let (socket, file) = SocketFile::create(path, Type::SEQPACKET, bind)?;
        Ok(Self { socket, file })
    }

    /// Accepts the next connection that comes within `pause`, if one does. A process that only checks
    /// whether one listens here closes without a message.
    pub fn accept(&self, pause: Duration) -> io::Result<Option<Channel>> {
        self.socket.set_read_timeout(Some(pause))?;
        match self.socket.accept() {
            Ok((socket, _)) => Channel::new(socket).map(Some),
            Err(error) if is_pause(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Gives the socket file that was just made to another user, unless another process has put another
/// file there meanwhile.
fn give(path: &Path, (user, group): Owner) -> io::Result<()> {
    if (user, group) == (None, None) {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty())?;
    let found = fstat(&file)?;
    let is_fresh = FileType::from_raw_mode(found.st_mode) == FileType::Socket
        && found.st_uid == rustix::process::geteuid().as_raw()
        && found.st_mode & 0o777 == 0o600
        && found.st_nlink == 1;
    if !is_fresh {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
    Ok(chownat(&file, "", user, group, AtFlags::EMPTY_PATH)?)
}

impl Drop for UpgradeSocket {
    fn drop(&mut self) {
        self.file.remove();
    }
}

impl Channel {
    /// Connects to the process that waits at a path, if there is one and it accepts at once.
    pub fn join(path: &Path) -> io::Result<Option<Self>> {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&SockAddr::unix(path)?) {
            Ok(()) => {}
            Err(error) if is_pause(&error) => return Ok(None),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        socket.set_nonblocking(false)?;
        Self::new(socket).map(Some)
    }

    /// Fails if the other end is of another user, unless that is root.
    fn new(socket: Socket) -> io::Result<Self> {
        let other = rustix::net::sockopt::socket_peercred(&socket)?;
        let ours = rustix::process::geteuid();
        if other.uid != ours && !other.uid.is_root() && !ours.is_root() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self(socket))
    }

    /// The process that has the other end, as the kernel knows it.
    pub fn peer(&self) -> io::Result<Pid> {
        Ok(rustix::net::sockopt::socket_peercred(&self.0)?.pid)
    }

    /// Whether the other end may know secrets of this process: it is of the same user, or of root.
    pub fn is_confidential(&self) -> io::Result<bool> {
        let other = rustix::net::sockopt::socket_peercred(&self.0)?;
        Ok(other.uid.is_root() || other.uid == rustix::process::geteuid())
    }

    /// Two ends.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        Ok((Self::new(one)?, Self::new(other)?))
    }

    /// The same end, once more.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Nothing more is taken: what is on its way still comes, what is sent now fails there.
    pub fn close_entry(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Read)
    }

    /// How long a send or a receipt may wait; `WouldBlock` says that it has. `None`: until the other
    /// end is gone.
    pub fn set_limit(&self, limit: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(limit)?;
        self.0.set_write_timeout(limit)
    }

    /// How much may be on its way, in bytes: the kernel doubles that, and counts about a thousand for a short message.
    pub fn set_room(&self, bytes: usize) -> io::Result<()> {
        self.0.set_send_buffer_size(bytes)
    }

    /// Sends a message; waits for room unless told not to.
    pub fn send(
        &self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
        flags: SendFlags,
    ) -> io::Result<()> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
        {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = flags | SendFlags::NOSIGNAL;
        let slices = [IoSlice::new(bytes)];
        retry_on_intr(|| rustix::net::sendmsg(&self.0, &slices, &mut ancillary, flags))?;
        Ok(())
    }

    /// Waits until a message has arrived or the other end has closed.
    pub fn readable(&self) -> io::Result<()> {
        retry_on_intr(|| poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None))?;
        Ok(())
    }

    /// The next message; `None` if the other end is gone. Fails if descriptors were lost on the way,
    /// since this process may have no more (`MSG_CTRUNC`, recvmsg(2)).
    pub fn receive(&self) -> io::Result<Option<Received>> {
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let Some((count, descriptors)) = self.receive_into(&mut bytes)? else { return Ok(None) };
        bytes.truncate(count);
        Ok(Some(Received { bytes, descriptors }))
    }

    /// The same for one who has room for [`MESSAGE_BYTES_MAX`], which it takes longer to clear than to receive a
    /// message: how many bytes have come, and the descriptors.
    pub fn receive_into(&self, bytes: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| {
            let mut slices = [IoSliceMut::new(bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            rustix::net::recvmsg(&self.0, &mut slices, &mut ancillary, flags)
        });
        let count = match received {
            Ok(received) if received.flags.contains(ReturnFlags::CTRUNC) => {
                return Err(io::Error::other("out of descriptors: raise RLIMIT_NOFILE"));
            }
            Ok(received) => received.bytes,
            // How the end of a connection looks that was never accepted.
            Err(Errno::CONNRESET) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        Ok((count > 0).then_some((count, descriptors)))
    }
}

/// Whether a wait has only been too short, or was interrupted.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    const NO_FLAGS: SendFlags = SendFlags::empty();

    const SECONDS: Duration = Duration::from_secs(9);

    #[test]
    fn a_message_keeps_its_bounds_and_its_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let (mut kept, given) = UnixStream::pair().unwrap();
        one.send(b"first", &[given.as_fd()], NO_FLAGS).unwrap();
        one.send(b"second", &[], NO_FLAGS).unwrap();
        drop((one, given));
        let first = other.receive().unwrap().unwrap();
        assert_eq!((&first.bytes[..], first.descriptors.len()), (&b"first"[..], 1));
        assert_eq!(other.receive().unwrap().unwrap().bytes, b"second");
        assert!(other.receive().unwrap().is_none());
        let mut taken = UnixStream::from(first.descriptors.into_iter().next().unwrap());
        taken.write_all(b"x").unwrap();
        kept.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn a_meeting_takes_who_comes_ends_in_time_and_leaves_no_file() {
        let path = std::env::temp_dir().join(format!("evener-meeting-{}", std::process::id()));
        let upgrade_socket = UpgradeSocket::at(&path, (None, None)).unwrap();
        let taken = UpgradeSocket::at(&path, (None, None)).err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let joined = Channel::join(&path).unwrap().unwrap();
        joined.send(b"x", &[], NO_FLAGS).unwrap();
        let looked = upgrade_socket.accept(SECONDS).unwrap().unwrap();
        assert!(looked.receive().unwrap().is_none());
        let accepted = upgrade_socket.accept(SECONDS).unwrap().unwrap();
        assert_eq!(accepted.receive().unwrap().unwrap().bytes, b"x");
        assert!(upgrade_socket.accept(Duration::from_millis(1)).unwrap().is_none());
        drop(upgrade_socket);
        assert!(!path.exists());
        assert!(Channel::join(&path).unwrap().is_none());
    }
}
