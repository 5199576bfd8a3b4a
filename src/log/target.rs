//! What lines can be written to, and how it is opened.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The mode of a file that is created: readable by its group, closed to others (addresses of people
/// are in it).
const MODE: u32 = 0o640;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file that is appended to, and created where there is none.
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

/// What lines are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetKind {
    /// A file or a device, which takes whatever it is given or fails.
    File,
    /// A pipe, a socket or a terminal: somebody at its other end may stop reading, and somebody else
    /// may write to it too.
    Stream,
}

impl TargetKind {
    pub(super) fn of(file: &File) -> Self {
        let kind = file.metadata().map(|found| found.file_type());
        let is_stream = kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket());
        if is_stream || file.is_terminal() { Self::Stream } else { Self::File }
    }
}

/// Not blocking: opening a FIFO that nobody reads fails instead of waiting for a reader.
pub(super) fn append_to(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags).open(path)
}

/// Whether a line of a regular file was left unfinished, by an earlier process or a full disk.
/// `None`: it cannot be told.
pub(super) fn ends_inside_a_line(path: &Path) -> Option<bool> {
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
