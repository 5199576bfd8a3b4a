//! Files that are read again when they have changed.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What distinguishes two states of a file, wherever its path leads: a symbolic link that leads elsewhere
/// is another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// Of an open file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A file, and its state at the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedFile {
    /// Its path.
    pub path: PathBuf,
    /// None if it was not there.
    stamp: Option<FileStamp>,
}

impl WatchedFile {
    /// A file in this state.
    pub fn new(path: &Path, stamp: Option<FileStamp>) -> Self {
        Self { path: path.to_owned(), stamp }
    }

    /// Looks again, and says whether it has changed since the last time. One in a directory that this
    /// process may not enter is taken to be the same.
    pub fn look(&mut self) -> bool {
        let stamp = match fs::metadata(&self.path) {
            Ok(metadata) => Some(FileStamp::of(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return false,
            Err(_) => None,
        };
        let before = std::mem::replace(&mut self.stamp, stamp);
        before != stamp
    }
}
