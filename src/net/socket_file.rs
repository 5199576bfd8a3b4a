//! The files of Unix sockets. The directory is locked (flock(2)) while a file is created or removed, so
//! that two processes of this program never remove what the other has just created. A file is removed
//! only if it is still the one that was created, or was found to be stale.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::writable;

/// How long to wait for a lock: anybody who can read a directory can lock it.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// Between two tries to lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// The file of an open socket: while the socket is open, no other file has the same inode number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode number.
    id: (u64, u64),
}

impl SocketFile {
    /// Removes a stale file and has `bind` create the new one and listen there. Fails with `AddrInUse`
    /// if another process is listening there.
    pub fn create<T>(
        path: &Path,
        kind: Type,
        bind: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<(T, Self)> {
        let _lock = lock_directory(path);
        remove_stale(path, kind)?;
        let bound = bind()?;
        Ok((bound, Self::found(path)?))
    }

    /// Whether [`SocketFile::create`] could create it: nobody listens there, and there is a directory.
    pub fn may_be_created(path: &Path, kind: Type) -> io::Result<()> {
        found_at(path, kind)?;
        writable::directory_of(path)
    }

    /// The existing file of a socket that another process has handed over.
    pub fn found(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), id: (found.dev(), found.ino()) })
    }

    /// Removes the file, unless another has taken its place. The socket must still be open.
    pub fn remove(&self) {
        let _lock = lock_directory(&self.path);
        if Self::found(&self.path).is_ok_and(|found| found == *self) {
            // Best effort: a file that is left is recognised as stale at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Locks the directory of a file until the returned descriptor is dropped. `None` if that fails or takes
/// too long; the caller continues without the lock, since the race that it prevents is rare.
fn lock_directory(path: &Path) -> Option<OwnedFd> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, parent.unwrap_or(Path::new(".")), flags, Mode::empty()).ok()?;
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(directory),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOCK_INTERVAL),
            Err(_) => return None,
        }
    }
}

/// Removes the socket file of a process that has ended.
fn remove_stale(path: &Path, kind: Type) -> io::Result<()> {
    match found_at(path, kind)? {
        FoundFile::Stale => fs::remove_file(path),
        FoundFile::Nothing => Ok(()),
    }
}

/// What is at the path of a socket that is to be created.
enum FoundFile {
    Nothing,
    /// The socket of a process that has ended.
    Stale,
}

/// Looks at the path of a socket. Fails with `AddrInUse` if somebody listens there, with `AlreadyExists` if it is
/// another kind of file.
fn found_at(path: &Path, kind: Type) -> io::Result<FoundFile> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(FoundFile::Nothing) };
    if !found.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let probe = Socket::new(Domain::UNIX, kind, None)?;
    // A full backlog must not block us.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
        // unix(7): nobody listens. Any other error says nothing about that.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(FoundFile::Stale),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::ErrorKind::AddrInUse.into())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("evener-socket-{name}-{}", std::process::id()))
    }

    fn create(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
        SocketFile::create(path, Type::STREAM, || UnixListener::bind(path))
    }

    #[test]
    fn a_stale_file_is_replaced_and_one_in_use_is_not() {
        let path = path("stale");
        drop(UnixListener::bind(&path).unwrap());
        let (_listener, file) = create(&path).unwrap();
        assert_eq!(create(&path).err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        file.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_has_been_replaced_is_not_removed() {
        let path = path("other");
        let (_listener, file) = create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (_other, others) = create(&path).unwrap();
        file.remove();
        assert!(path.exists());
        others.remove();
        assert!(!path.exists());
    }

    #[test]
    fn only_one_of_many_starters_replaces_a_stale_file() {
        let path = path("many");
        for _ in 0..50 {
            drop(UnixListener::bind(&path).unwrap());
            let created = thread::scope(|scope| {
                let all: Vec<_> = (0..4).map(|_| scope.spawn(|| create(&path).ok())).collect();
                all.into_iter().filter_map(|one| one.join().unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(created.len(), 1);
            created[0].1.remove();
        }
    }
}
