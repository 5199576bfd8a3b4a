//! The file that names this process. The process that holds the lock on it (flock(2)) owns it: no other
//! process writes or removes it, and a process that hands over passes the lock on with the file. It is made
//! under a name that cannot be guessed and put in place whole; no symbolic link is followed.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, flock, linkat, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;

/// More than a number and the end of its line.
const TEXT_BYTES_MAX: u64 = 32;

/// How exact the start of a process is known, and the time of a file.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// The file, owned; removed when this is dropped.
pub(crate) struct PidFile {
    place: PidFilePlace,
    file: File,
    is_ours: bool,
}

/// Where it is: a name in a folder that is looked up once.
pub(crate) struct PidFilePlace {
    path: PathBuf,
    folder: OwnedFd,
    name: OsString,
}

/// What tells a file from all others.
pub(crate) type FileId = (u64, u64);

/// Why it is not ours.
#[derive(Debug)]
pub(crate) enum Unowned {
    /// A process owns it that is alive: this one, if it can be read.
    Held(Option<u32>, FileId),
    Failed(io::Error),
}

impl From<Errno> for Unowned {
    fn from(error: Errno) -> Self {
        Self::Failed(error.into())
    }
}

impl From<io::Error> for Unowned {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Unowned> for io::Error {
    fn from(unowned: Unowned) -> Self {
        match unowned {
            Unowned::Failed(error) => error,
            Unowned::Held(Some(pid), _) => {
                Self::other(format!("it is the pid file of process {pid}, which is running"))
            }
            Unowned::Held(None, _) => Self::other("it is the pid file of a running process"),
        }
    }
}

impl PidFilePlace {
    fn of(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, parent.unwrap_or(Path::new(".")), flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), folder, name })
    }

    /// The file that is there, whatever it is.
    fn found(&self) -> Result<FileId, Errno> {
        let found = statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((found.st_dev, found.st_ino))
    }

    /// Puts the file `temporary`, which is `file`, in place of one that no live process owns.
    fn fill(&self, temporary: &str, predecessor: Option<u32>) -> Result<(), Unowned> {
        loop {
            match linkat(&self.folder, temporary, &self.folder, &self.name, AtFlags::empty()) {
                Ok(()) => {
                    unlinkat(&self.folder, temporary, AtFlags::empty())?;
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            // No process that respects the lock puts another file in place while it is held.
            let Some(stale) = self.lock_stale(predecessor)? else { continue };
            renameat(&self.folder, temporary, &self.folder, &self.name)?;
            drop(stale);
            return Ok(());
        }
    }

    /// Locks the file that is there, if no live process owns it. `None` if it has gone or been replaced.
    fn lock_stale(&self, predecessor: Option<u32>) -> Result<Option<File>, Unowned> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.folder, &self.name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(io::Error::other("it is a symbolic link, which is not followed").into());
            }
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if FileType::from_raw_mode(metadata.mode()) != FileType::RegularFile {
            return Err(io::Error::other("it is not a regular file").into());
        }
        let named = named(&file);
        let held = || Unowned::Held(named, id(&metadata));
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(held()),
            Err(error) => return Err(error.into()),
        }
        if self.found() != Ok(id(&metadata)) {
            return Ok(None);
        }
        // One that keeps to no lock may own it all the same.
        let is_other = |pid: &u32| *pid != std::process::id() && Some(*pid) != predecessor;
        match named.filter(is_other) {
            Some(pid) if may_have_written(pid, &metadata) => Err(held()),
            _ => Ok(Some(file)),
        }
    }
}

/// The process that a file names, if that is alive and may have written it. Takes no lock, so that it disturbs nobody.
pub(super) fn owner(path: &Path) -> Option<u32> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(CWD, path, flags, Mode::empty()).ok()?);
    let metadata = file.metadata().ok()?;
    let pid = named(&file)?;
    may_have_written(pid, &metadata).then_some(pid)
}

/// The process that a file names.
fn named(file: &File) -> Option<u32> {
    let mut text = String::new();
    let _ = file.take(TEXT_BYTES_MAX).read_to_string(&mut text);
    text.trim().parse().ok()
}

impl PidFile {
    /// Makes it, unless a living process other than `predecessor` owns the one that is there.
    pub(crate) fn acquire(path: &Path, predecessor: Option<u32>) -> Result<Self, Unowned> {
        let place = PidFilePlace::of(path)?;
        let temporary = format!(".{}.{:016x}", place.name.display(), random()?);
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let mut file = File::from(openat(&place.folder, &temporary, flags, mode)?);
        let filled = (|| {
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            file.write_all(text().as_bytes())?;
            place.fill(&temporary, predecessor)
        })();
        if let Err(unowned) = filled {
            let _ = unlinkat(&place.folder, &temporary, AtFlags::empty());
            return Err(unowned);
        }
        Ok(Self { place, file, is_ours: true })
    }

    /// The file with its lock, for another process.
    pub(crate) fn lend(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Leaves it to another process, which has its lock by now.
    pub(crate) fn leave(mut self) {
        self.is_ours = false;
    }

    /// Names this process in a file that named another. A reader finds one or the other, never a mixture.
    fn rename_owner(&self) -> io::Result<()> {
        let text = text();
        let before = usize::try_from(self.file.metadata()?.len().min(TEXT_BYTES_MAX)).unwrap_or(0);
        let padded = text.clone() + &"\n".repeat(before.saturating_sub(text.len()));
        self.file.write_all_at(padded.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)
    }

    /// Removes it; where that is not allowed, leaves it empty.
    fn remove(&self) -> io::Result<()> {
        let own = id(&self.file.metadata()?);
        match self.place.found() {
            // As long as it is locked no other takes its place.
            Ok(found) if found == own => {
                let removed = unlinkat(&self.place.folder, &self.place.name, AtFlags::empty());
                if removed.is_ok() { Ok(()) } else { self.file.set_len(0) }
            }
            Err(Errno::ACCESS) => self.file.set_len(0),
            // It has been removed.
            _ => Ok(()),
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = self.remove()
        {
            log::warn!("{} cannot be removed: {error}", self.place.path.display());
        }
    }
}

/// The pid file of a process that may take over from another.
pub(crate) enum Claim {
    /// There is none.
    Nothing,
    /// Ours.
    Owned(PidFile),
    /// Of a process that is alive, and may be about to hand over.
    Expected(PidFilePlace, FileId),
}

impl Claim {
    /// Made before this process changes its user, who may not be allowed to write there.
    pub(crate) fn fresh(path: &Path) -> io::Result<Self> {
        Ok(Self::Owned(PidFile::acquire(path, None)?))
    }

    /// The same for one that takes over.
    pub(crate) fn successor(path: &Path) -> io::Result<Self> {
        match PidFile::acquire(path, None) {
            Ok(file) => Ok(Self::Owned(file)),
            Err(Unowned::Held(_, id)) => Ok(Self::Expected(PidFilePlace::of(path)?, id)),
            Err(Unowned::Failed(error)) => Err(error),
        }
    }

    /// Takes the file of the old process, if it is the one that is expected. Whether it is.
    pub(crate) fn inherit(&mut self, file: Option<OwnedFd>) -> bool {
        let (Self::Expected(_, expected), Some(file)) = (&*self, file.map(File::from)) else {
            return false;
        };
        if !file.metadata().is_ok_and(|metadata| id(&metadata) == *expected) {
            return false;
        }
        if let Self::Expected(place, _) = std::mem::replace(self, Self::Nothing) {
            *self = Self::Owned(PidFile { place, file, is_ours: true });
        }
        true
    }

    /// Has it name this process: the old one, `predecessor`, has handed over.
    pub(crate) fn settle(self, predecessor: Option<u32>) -> Option<PidFile> {
        let settled = match self {
            Self::Nothing => return None,
            Self::Owned(file) => file.rename_owner().map(|()| file),
            // It has handed over everything but that.
            Self::Expected(place, _) => {
                PidFile::acquire(&place.path, predecessor).map_err(io::Error::from)
            }
        };
        settled.inspect_err(|error| log::error!("the pid file is not written: {error}")).ok()
    }
}

fn text() -> String {
    format!("{}\n", std::process::id())
}

fn id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Whether a process is alive and was there when a file was written: its number may be that of an
/// earlier one.
fn may_have_written(pid: u32, metadata: &Metadata) -> bool {
    let Some(age) = age(pid) else { return false };
    let written =
        metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    written.is_none_or(|written| age + CLOCK_SLACK >= written)
}

/// For how long a process has run; `None` if it has ended (`/proc/PID/stat`, proc(5)).
fn age(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let ticks: u64 = fields.nth(18)?.parse().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    let started = Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second());
    Some(Duration::from_secs_f64(uptime).saturating_sub(started))
}
