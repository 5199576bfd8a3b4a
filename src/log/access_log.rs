//! The access log as the whole process has it: opened once, given to each worker, closed at the end.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::access_logger::AccessLogger;
use super::log_writer::LogWriter;
use super::target::LogTarget;
use crate::access_log::{Format, RequestIds};

/// How long the end waits for what is still to be written: a target that takes nothing must not keep
/// the process.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// An open access log; a copy is the same one. No worker ever takes its lock.
#[derive(Clone)]
pub struct AccessLog {
    format: Format,
    /// Gone once it is closed.
    writer: Arc<Mutex<Option<LogWriter>>>,
}

impl AccessLog {
    /// Opens it, and starts the thread that writes it.
    pub fn open(target: LogTarget, format: Format) -> io::Result<Self> {
        let writer = LogWriter::open(target, format)?;
        Ok(Self { format, writer: Arc::new(Mutex::new(Some(writer))) })
    }

    /// The share of one worker.
    pub fn access_logger(&self) -> io::Result<Option<AccessLogger>> {
        let ids = RequestIds::new(seed()?);
        Ok(self.with(|writer| AccessLogger::new(writer.sink(), self.format, ids)))
    }

    /// Opens the file anew, after somebody has renamed it.
    pub fn reopen(&self) {
        self.with(LogWriter::reopen);
    }

    /// Lines written, and dropped.
    pub fn counts(&self) -> Option<(u64, u64)> {
        self.with(|writer| (writer.written(), writer.dropped()))
    }

    /// Ends it once all is written, or after a while: a worker that still has lines loses them then.
    pub fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let counts = writer.close(CLOSE_LIMIT);
            if counts.dropped > 0 {
                let (written, dropped) = (counts.written, counts.dropped);
                log::warn!("the access log has {written} lines; {dropped} were dropped");
            }
        }
    }

    fn with<T>(&self, ask: impl FnOnce(&LogWriter) -> T) -> Option<T> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ask)
    }
}

/// Of the system's randomness (getrandom(2)).
fn seed() -> io::Result<[u64; 4]> {
    let mut seed = [0; 4];
    for word in &mut seed {
        let mut bytes = [0; 8];
        // No more than 256 bytes at a time come whole.
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        *word = u64::from_ne_bytes(bytes);
    }
    Ok(seed)
}
