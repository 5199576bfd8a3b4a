//! Where log lines go: to standard error, or to a file that can be opened anew.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A log file. Its lines are few (what goes wrong, what changes), so each is written at once.
#[derive(Clone)]
pub struct ErrorLog {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl ErrorLog {
    /// Appends to the file, which need not exist.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: Arc::new(Mutex::new(append(path)?)) })
    }

    /// Opens the path anew, after somebody has renamed the file. If that fails, the old one goes on.
    pub fn reopen(&self) {
        match append(&self.path) {
            Ok(file) => *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file,
            Err(error) => {
                let path = self.path.display();
                log::error!("{path} cannot be opened anew, the old file goes on: {error}");
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

impl Write for ErrorLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
