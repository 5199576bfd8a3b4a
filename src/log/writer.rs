//! The writer thread: writes batch after batch, and logs when that starts to fail and when it works
//! again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::output::{LogOutput, Stalled, Written};
use super::queue::{LogBatch, Shared, TEXT_BYTES_KEPT, WriterCommand};
use super::target::LogTarget;
use crate::access_log::Formatter;

/// The least time between two warnings about a target that is too slow.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The most memory for formatted lines that is kept: twice what a typical batch takes.
const KEPT_CAPACITY_MAX: usize = 256 * 1024;

/// Whether the last batch could be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TargetState {
    Working,
    Failing,
}

/// A message for the operator. `lost` counts the lines dropped since the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    Failing,
    Working { lost: u64 },
    Slow { lost: u64 },
}

/// The outcome of a batch so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BatchOutcome {
    Written,
    Failed,
    /// The target blocks.
    Stalled,
}

/// The state of the writer thread.
pub(super) struct Writer {
    formatter: Formatter,
    /// The formatted lines of a batch, reused.
    text: Vec<u8>,
    output: LogOutput,
    shared: Arc<Shared>,
    watch: StallWatch,
}

/// Decides what to report to the operator, and when.
struct StallWatch {
    state: TargetState,
    /// The number of dropped lines at the last report, and when that was.
    reported: (u64, Option<Instant>),
}

impl Writer {
    pub(super) fn new(formatter: Formatter, output: LogOutput, shared: Arc<Shared>) -> Self {
        let watch = StallWatch { state: TargetState::Working, reported: (0, None) };
        Self { formatter, text: Vec::new(), output, shared, watch }
    }

    pub(super) fn run(mut self, queue: &Receiver<WriterCommand>) {
        while let Ok(command) = queue.recv() {
            match command {
                WriterCommand::Write(full) => {
                    if !self.write(full) {
                        return;
                    }
                }
                WriterCommand::Reopen => self.reopen(),
                WriterCommand::Close => return,
            }
        }
    }

    /// Writes the lines of a batch and sends it back. Returns false if the log has been closed.
    fn write(&mut self, full: LogBatch) -> bool {
        let LogBatch { mut batch, recycle } = full;
        let Self { formatter, text, output, shared, watch } = self;
        let lines = batch.len() as u64;
        text.clear();
        text.shrink_to(KEPT_CAPACITY_MAX);
        formatter.write_all(&batch, text);
        let target = output.target.clone();
        let stalled = || {
            let dropped = shared.dropped.load(Relaxed);
            if let Some(report) = watch.observe(BatchOutcome::Stalled, dropped, Instant::now()) {
                log_report(report, &target, None);
            }
            if shared.reopening.load(Acquire) { Stalled::Reopen } else { Stalled::Wait }
        };
        let Written { lines: whole, result } = output.write(text, lines, &shared.underway, stalled);
        if !shared.settle(batch.capacity(), lines, whole.min(lines)) {
            return false;
        }
        let outcome = if result.is_ok() { BatchOutcome::Written } else { BatchOutcome::Failed };
        if let Some(report) = watch.observe(outcome, shared.dropped.load(Relaxed), Instant::now()) {
            log_report(report, &target, result.as_ref().err());
        }
        batch.clear(TEXT_BYTES_KEPT);
        // Fails if the worker has enough spare batches or has ended.
        let _ = recycle.try_send(batch);
        true
    }

    fn reopen(&mut self) {
        // Cleared before the path is opened: a later request may follow another rename.
        self.shared.reopening.swap(false, AcqRel);
        if let Err(error) = self.output.reopen() {
            self.output.log_reopen_failure(&error);
        }
    }
}

impl StallWatch {
    /// Returns what to report, given the total number of dropped lines.
    fn observe(&mut self, outcome: BatchOutcome, dropped: u64, now: Instant) -> Option<Report> {
        let lost = dropped.saturating_sub(self.reported.0);
        let recent = |then| now.saturating_duration_since(then) < WARNING_INTERVAL;
        match (self.state, outcome) {
            (TargetState::Working, BatchOutcome::Failed) => {
                self.state = TargetState::Failing;
                Some(Report::Failing)
            }
            (TargetState::Failing, BatchOutcome::Written) => {
                self.state = TargetState::Working;
                self.reported = (dropped, Some(now));
                Some(Report::Working { lost })
            }
            (TargetState::Working, BatchOutcome::Written | BatchOutcome::Stalled)
                if lost > 0 && !self.reported.1.is_some_and(recent) =>
            {
                self.reported = (dropped, Some(now));
                Some(Report::Slow { lost })
            }
            _ => None,
        }
    }
}

fn log_report(report: Report, target: &LogTarget, error: Option<&io::Error>) {
    match (report, error) {
        (Report::Failing, Some(error)) => log::error!(
            "access log: cannot write to {target}: {error}; lines are dropped until it works again: {}",
            remedy(error)
        ),
        (Report::Working { lost }, _) => {
            log::warn!("access log: {target} can be written again; {lost} lines were lost");
        }
        (Report::Slow { lost }, _) => {
            log::warn!("access log: {target} is too slow; {lost} lines were dropped");
        }
        (Report::Failing, None) => {}
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "free some space",
        Some(libc::EFBIG) => "rotate the file, or raise the file size limit",
        Some(libc::EPIPE) => "the reader has exited: restart it",
        _ => "check the device, or move the file away and reopen the log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_reported_once() {
        let mut watch = StallWatch { state: TargetState::Working, reported: (0, None) };
        let start = Instant::now();
        let rows = [
            (0, 0, BatchOutcome::Written, None),
            (0, 3, BatchOutcome::Stalled, Some(Report::Slow { lost: 3 })),
            (1, 7, BatchOutcome::Written, None),
            (61, 7, BatchOutcome::Written, Some(Report::Slow { lost: 4 })),
            (62, 8, BatchOutcome::Failed, Some(Report::Failing)),
            (63, 9, BatchOutcome::Failed, None),
            (64, 9, BatchOutcome::Stalled, None),
            (200, 10, BatchOutcome::Failed, None),
            (201, 10, BatchOutcome::Written, Some(Report::Working { lost: 3 })),
            (202, 10, BatchOutcome::Written, None),
            (203, 11, BatchOutcome::Failed, Some(Report::Failing)),
        ];
        for (second, dropped, outcome, expected) in rows {
            let now = start + Duration::from_secs(second);
            assert_eq!(watch.observe(outcome, dropped, now), expected, "second {second}");
        }
    }
}
