//! The error log: standard error, or a file that can be reopened.
//!
//! One thread writes it, so that no caller ever waits for a terminal, a pipe or a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// The most lines that may wait to be written: more than a start or reload logs, except with thousands
/// of routes.
const WAITING_MAX: usize = 1024;

/// Queues lines without waiting for them to be written; clones share one log.
#[derive(Clone)]
pub struct ErrorLog {
    commands: SyncSender<ErrorLogCommand>,
    dropped: Arc<AtomicU64>,
}

/// A command to the writer thread.
enum ErrorLogCommand {
    Write(Vec<u8>),
    /// Reopens the file.
    Reopen,
    /// Replies once all earlier commands are done.
    Flush(SyncSender<()>),
}

impl ErrorLog {
    /// Opens a log that appends to `path`, creating the file if needed, or that writes to standard error
    /// if there is no path.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let mut output = ErrorOutput::open(path)?;
        let (commands, queue) = sync_channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let thread_dropped = Arc::clone(&dropped);
        let thread = thread::Builder::new().name("error-log".to_owned());
        thread.spawn(move || output.run(&queue, &thread_dropped))?;
        Ok(Self { commands, dropped })
    }

    /// Reopens the path, after log rotation has renamed the file. If that fails, the old file stays in
    /// use.
    pub fn reopen(&self) {
        // If the queue is full, the thread is stuck and could not reopen anything.
        let _ = self.commands.try_send(ErrorLogCommand::Reopen);
    }

    /// Waits for up to `limit` until all queued lines are written.
    pub fn flush(&self, limit: Duration) {
        let (reply, done) = sync_channel(1);
        if self.commands.try_send(ErrorLogCommand::Flush(reply)).is_ok() {
            let _ = done.recv_timeout(limit);
        }
    }
}

impl Write for ErrorLog {
    /// Queues a whole line, or drops and counts it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.commands.try_send(ErrorLogCommand::Write(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the thread writes to.
enum ErrorOutput {
    Standard,
    File(PathBuf, File),
}

impl ErrorOutput {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        Ok(match path {
            Some(path) => Self::File(path.to_owned(), append(path)?),
            None => Self::Standard,
        })
    }

    fn run(&mut self, queue: &Receiver<ErrorLogCommand>, dropped: &AtomicU64) {
        for command in queue {
            match command {
                ErrorLogCommand::Write(line) => {
                    let lost = dropped.swap(0, Ordering::Relaxed);
                    let notice =
                        format!("({lost} lines were dropped: the log could not keep up)\n");
                    let notice = if lost > 0 { notice.as_bytes() } else { &[] };
                    if self.write(notice).and_then(|()| self.write(&line)).is_err() {
                        dropped.fetch_add(lost + 1, Ordering::Relaxed);
                    }
                }
                ErrorLogCommand::Reopen => {
                    if let Self::File(path, file) = self {
                        match append(path) {
                            Ok(fresh) => *file = fresh,
                            Err(error) => {
                                let path = path.display();
                                log::error!("cannot reopen {path}: {error}");
                            }
                        }
                    }
                }
                ErrorLogCommand::Flush(reply) => {
                    let _ = reply.try_send(());
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Standard => io::stderr().lock().write_all(bytes),
            Self::File(_, file) => file.write_all(bytes),
        }
    }
}

/// Opens a file to append to; a FIFO without a reader is an error instead of a wait (open(2),
/// `O_NONBLOCK`).
fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK).open(path)
}
