//! Where log lines go: to standard error, or to a file that can be opened anew. One thread writes them,
//! so that nobody who has something to say waits for a terminal, a pipe or a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Lines that may wait to be written: more than a start or a reload says, unless of thousands of routes.
const WAITING_MAX: usize = 1024;

/// Says lines without waiting for them to be written; a copy is the same one.
#[derive(Clone)]
pub struct ErrorLog {
    commands: SyncSender<ErrorLogCommand>,
    dropped: Arc<AtomicU64>,
}

/// What the thread is to do.
enum ErrorLogCommand {
    Write(Vec<u8>),
    /// To open the file anew.
    Reopen,
    /// To say that all before it is done.
    Answer(SyncSender<()>),
}

impl ErrorLog {
    /// Appends to the file, which need not exist; to standard error, if there is none.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let mut output = ErrorOutput::open(path)?;
        let (commands, given) = sync_channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let thread = thread::Builder::new().name("error-log".to_owned());
        thread.spawn(move || output.work(&given, &counted))?;
        Ok(Self { commands, dropped })
    }

    /// Opens the path anew, after somebody has renamed the file. If that fails, the old one goes on.
    pub fn reopen(&self) {
        // A queue that is full is one that nobody reads from.
        let _ = self.commands.try_send(ErrorLogCommand::Reopen);
    }

    /// Waits until what has been said is written, for up to `limit`.
    pub fn flush(&self, limit: Duration) {
        let (answer, answered) = sync_channel(1);
        if self.commands.try_send(ErrorLogCommand::Answer(answer)).is_ok() {
            let _ = answered.recv_timeout(limit);
        }
    }
}

impl Write for ErrorLog {
    /// Takes a line whole, or drops and counts it.
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

/// What the thread writes to.
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

    fn work(&mut self, given: &Receiver<ErrorLogCommand>, dropped: &AtomicU64) {
        for order in given {
            match order {
                ErrorLogCommand::Write(line) => {
                    let lost = dropped.swap(0, Ordering::Relaxed);
                    let told = format!("({lost} lines were not written: nobody took them)\n");
                    let told = if lost > 0 { told.as_bytes() } else { &[] };
                    if self.write(told).and_then(|()| self.write(&line)).is_err() {
                        dropped.fetch_add(lost + 1, Ordering::Relaxed);
                    }
                }
                ErrorLogCommand::Reopen => {
                    if let Self::File(path, file) = self {
                        match append(path) {
                            Ok(fresh) => *file = fresh,
                            Err(error) => {
                                let path = path.display();
                                log::error!("{path} cannot be opened anew: {error}");
                            }
                        }
                    }
                }
                ErrorLogCommand::Answer(answer) => {
                    let _ = answer.try_send(());
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

/// A pipe without a reader is an error, not a wait (open(2), `O_NONBLOCK`).
fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK).open(path)
}
