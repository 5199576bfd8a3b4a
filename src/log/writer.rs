//! The thread: writes batch after batch, and tells the operator when that begins to fail and when it
//! works again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::output::{Output, Stalled, Written};
use super::queue::{LogBatch, Shared, TEXT_BYTES_KEPT, WriterCommand};
use super::target::LogTarget;
use crate::access_log::Formatter;

/// Between two complaints about a target that takes lines too slowly.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// What is kept of the room for lines: what a batch of common ones takes, twice.
const KEPT_CAPACITY_MAX: usize = 256 * 1024;

/// Whether the last batch could be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HealthStatus {
    Sound,
    Failing,
}

/// What is worth telling the operator. Lost: lines dropped since that was last told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Failing,
    Working { lost: u64 },
    Slow { lost: u64 },
}

/// How a batch fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Written,
    Failed,
    /// Nothing of it is taken for now.
    Stalled,
}

/// The thread's side.
pub(super) struct Writer {
    formatter: Formatter,
    /// The lines of a batch.
    text: Vec<u8>,
    output: Output,
    shared: Arc<Shared>,
    watch: StallWatch,
}

/// Judges what the operator is to be told.
struct StallWatch {
    condition: HealthStatus,
    /// How many dropped lines have been told of, and when that was last.
    told: (u64, Option<Instant>),
}

impl Writer {
    pub(super) fn new(formatter: Formatter, output: Output, shared: Arc<Shared>) -> Self {
        let watch = StallWatch { condition: HealthStatus::Sound, told: (0, None) };
        Self { formatter, text: Vec::new(), output, shared, watch }
    }

    pub(super) fn run(mut self, queue: &Receiver<WriterCommand>) {
        while let Ok(order) = queue.recv() {
            match order {
                WriterCommand::Write(parcel) => {
                    if !self.write(parcel) {
                        return;
                    }
                }
                WriterCommand::Reopen => self.reopen(),
                WriterCommand::Close => return,
            }
        }
    }

    /// Writes the lines of a batch and sends it back. False: nobody wants to know any more.
    fn write(&mut self, parcel: LogBatch) -> bool {
        let LogBatch { mut batch, home } = parcel;
        let Self { formatter, text, output, shared, watch } = self;
        let lines = batch.len() as u64;
        text.clear();
        text.shrink_to(KEPT_CAPACITY_MAX);
        formatter.write_all(&batch, text);
        let target = output.target.clone();
        let stalled = || {
            let dropped = shared.dropped.load(Relaxed);
            if let Some(change) = watch.judge(Found::Stalled, dropped, Instant::now()) {
                tell(change, &target, None);
            }
            if shared.reopening.load(Acquire) { Stalled::Move } else { Stalled::Wait }
        };
        let Written { lines: whole, result } = output.write(text, lines, &shared.underway, stalled);
        if !shared.settle(batch.capacity(), lines, whole.min(lines)) {
            return false;
        }
        let found = if result.is_ok() { Found::Written } else { Found::Failed };
        if let Some(change) = watch.judge(found, shared.dropped.load(Relaxed), Instant::now()) {
            tell(change, &target, result.as_ref().err());
        }
        batch.clear(TEXT_BYTES_KEPT);
        // Its worker may have enough, or have gone.
        let _ = home.try_send(batch);
        true
    }

    fn reopen(&mut self) {
        // Before the path is looked at: who asks from now on may have moved it since.
        self.shared.reopening.swap(false, AcqRel);
        if let Err(error) = self.output.reopen() {
            self.output.complain(&error);
        }
    }
}

impl StallWatch {
    /// So many lines have been `dropped`, of all there were.
    fn judge(&mut self, found: Found, dropped: u64, now: Instant) -> Option<Change> {
        let lost = dropped.saturating_sub(self.told.0);
        let recent = |then| now.saturating_duration_since(then) < COMPLAINT_INTERVAL;
        match (self.condition, found) {
            (HealthStatus::Sound, Found::Failed) => {
                self.condition = HealthStatus::Failing;
                Some(Change::Failing)
            }
            (HealthStatus::Failing, Found::Written) => {
                self.condition = HealthStatus::Sound;
                self.told = (dropped, Some(now));
                Some(Change::Working { lost })
            }
            (HealthStatus::Sound, Found::Written | Found::Stalled)
                if lost > 0 && !self.told.1.is_some_and(recent) =>
            {
                self.told = (dropped, Some(now));
                Some(Change::Slow { lost })
            }
            _ => None,
        }
    }
}

fn tell(change: Change, target: &LogTarget, error: Option<&io::Error>) {
    match (change, error) {
        (Change::Failing, Some(error)) => log::error!(
            "access log: cannot write to {target}: {error}; lines are dropped until it works again: {}",
            remedy(error)
        ),
        (Change::Working { lost }, _) => {
            log::warn!("access log: {target} can be written again; {lost} lines were lost");
        }
        (Change::Slow { lost }, _) => {
            log::warn!("access log: {target} is too slow; {lost} lines were dropped");
        }
        (Change::Failing, None) => {}
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "free some space",
        Some(libc::EFBIG) => "rotate it, or raise the limit of its size",
        Some(libc::EPIPE) => "its reader has gone; start it again, or restart with one that stays",
        _ => "look at the device, or move the file away and have it opened anew",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let mut watch = StallWatch { condition: HealthStatus::Sound, told: (0, None) };
        let start = Instant::now();
        let rows = [
            (0, 0, Found::Written, None),
            (0, 3, Found::Stalled, Some(Change::Slow { lost: 3 })),
            (1, 7, Found::Written, None),
            (61, 7, Found::Written, Some(Change::Slow { lost: 4 })),
            (62, 8, Found::Failed, Some(Change::Failing)),
            (63, 9, Found::Failed, None),
            (64, 9, Found::Stalled, None),
            (200, 10, Found::Failed, None),
            (201, 10, Found::Written, Some(Change::Working { lost: 3 })),
            (202, 10, Found::Written, None),
            (203, 11, Found::Failed, Some(Change::Failing)),
        ];
        for (second, dropped, found, expected) in rows {
            let now = start + Duration::from_secs(second);
            assert_eq!(watch.judge(found, dropped, now), expected, "second {second}");
        }
    }
}
