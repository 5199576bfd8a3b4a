//! The process-wide access log: opened once, shared with each worker, closed on exit.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::access_logger::AccessLogger;
use super::log_writer::LogWriter;
use super::queue::LineSink;
use super::target::LogTarget;
use crate::access_log::RequestIds;
use crate::otlp::exporter::SpanExporter;

/// How long [`AccessLog::close`] waits for pending lines: a blocked target must not keep the process
/// from exiting.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A handle to the open access log; clones share it. Workers never take its lock.
#[derive(Clone)]
pub struct AccessLog {
    /// `None` once closed.
    writer: Arc<Mutex<Option<LogWriter>>>,
}

impl AccessLog {
    /// Opens the target and starts the thread that writes it.
    pub fn open(target: LogTarget) -> io::Result<Self> {
        let writer = LogWriter::open(target)?;
        Ok(Self { writer: Arc::new(Mutex::new(Some(writer))) })
    }

    /// A sink for one worker; `None` once the log is closed.
    fn sink(&self) -> Option<LineSink> {
        self.with(LogWriter::sink)
    }

    /// Reopens the file, after log rotation has renamed it.
    pub fn reopen(&self) {
        self.with(LogWriter::reopen);
    }

    /// The numbers of lines written and dropped.
    pub fn counts(&self) -> Option<(u64, u64)> {
        self.with(|writer| (writer.written(), writer.dropped()))
    }

    /// Closes the log once all lines are written, or after a second. Lines that a worker still holds
    /// then are lost.
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

    fn with<T>(&self, action: impl FnOnce(&LogWriter) -> T) -> Option<T> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(action)
    }
}

/// A logger for one worker, which writes lines and sends spans if there is anywhere for them to go.
pub fn logger(
    access_log: Option<&AccessLog>,
    spans: Option<&SpanExporter>,
) -> io::Result<AccessLogger> {
    let (lines, spans) = (access_log.and_then(AccessLog::sink), spans.and_then(SpanExporter::sink));
    Ok(AccessLogger::new(lines, spans, RequestIds::new(seed()?)))
}

/// A seed from the system's random number generator (getrandom(2)).
fn seed() -> io::Result<[u64; 4]> {
    let mut seed = [0; 4];
    for word in &mut seed {
        let mut bytes = [0; 8];
        // Requests of up to 256 bytes are never cut short (getrandom(2)).
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        *word = u64::from_ne_bytes(bytes);
    }
    Ok(seed)
}
