//! Access log targets and how they are opened.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The mode of a created file: not readable by others, since it contains client addresses.
const MODE: u32 = 0o640;

/// Where lines are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file that is appended to, and created if missing.
    File(PathBuf),
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The kind of file behind a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetKind {
    /// A regular file or a device: a write succeeds or fails without blocking for long.
    File,
    /// A pipe, a socket or a terminal: the reader may stall, and other processes may write to it too.
    Stream,
}

impl TargetKind {
    pub(super) fn of(file: &File) -> Self {
        let kind = file.metadata().map(|found| found.file_type());
        let is_stream = kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket());
        if is_stream || file.is_terminal() { Self::Stream } else { Self::File }
    }
}

/// Opens a file to append to. Non-blocking: opening a FIFO without a reader fails instead of waiting.
pub(super) fn append_to(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags).open(path)
}

/// How often the end of a file is looked at before it is taken to be that of an unfinished line.
const LOOKS: u32 = 3;

/// Between two looks: longer than a write of another process takes.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Whether the last line of a regular file is unfinished, left by an earlier process or a full disk.
/// `None` if that is unknown. A line that another process is just writing, at an upgrade, is not.
pub(super) fn ends_inside_a_line(path: &Path) -> Option<bool> {
    for look in 1..=LOOKS {
        if !is_unfinished(path)? {
            return Some(false);
        }
        if look < LOOKS {
            thread::sleep(BETWEEN_LOOKS);
        }
    }
    Some(true)
}

fn is_unfinished(path: &Path) -> Option<bool> {
    let found = std::fs::metadata(path).ok()?;
    if !found.is_file() {
        return None;
    }
    if found.len() == 0 {
        return Some(false);
    }
    let (mut file, mut last) = (File::open(path).ok()?, [0]);
    file.seek(SeekFrom::End(-1)).ok()?;
    file.read_exact(&mut last).ok()?;
    Some(last != *b"\n")
}
