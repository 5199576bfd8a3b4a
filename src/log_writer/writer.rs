//! The thread: writes block after block, and tells the operator when that begins to fail and when it
//! works again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::output::{Output, Target, Written};
use super::queue::{Block, KEPT_CAPACITY_MAX, Order, Shared};

/// Between two complaints about a target that takes lines too slowly.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Whether the last block could be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
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

/// The thread's side.
pub(super) struct Writer {
    output: Output,
    shared: Arc<Shared>,
    condition: Condition,
    /// How many dropped lines have been told of, and when that was last.
    told: (u64, Option<Instant>),
}

impl Writer {
    pub(super) fn new(output: Output, shared: Arc<Shared>) -> Self {
        Self { output, shared, condition: Condition::Sound, told: (0, None) }
    }

    pub(super) fn run(mut self, queue: &Receiver<Order>) {
        while let Ok(order) = queue.recv() {
            match order {
                Order::Write(block) => {
                    if !self.write(block) {
                        return;
                    }
                }
                Order::Reopen => self.reopen(),
                Order::Close => return,
            }
        }
    }

    /// Writes a block and sends it back. False: nobody wants to know any more.
    fn write(&mut self, block: Block) -> bool {
        let Block { mut bytes, lines, home } = block;
        let Written { lines: whole, result } = self.output.write(&bytes);
        if !self.shared.settle(bytes.capacity(), lines, whole.min(lines)) {
            return false;
        }
        if let Some(change) = self.judge(&result, Instant::now()) {
            tell(change, &self.output.target, result.as_ref().err());
        }
        if bytes.capacity() <= KEPT_CAPACITY_MAX {
            bytes.clear();
            // Its worker may have enough, or have gone.
            let _ = home.try_send(bytes);
        }
        true
    }

    fn judge(&mut self, result: &io::Result<()>, now: Instant) -> Option<Change> {
        let dropped = self.shared.dropped.load(Relaxed);
        let lost = dropped.saturating_sub(self.told.0);
        let recent = |then| now.saturating_duration_since(then) < COMPLAINT_INTERVAL;
        match (self.condition, result) {
            (Condition::Sound, Err(_)) => {
                self.condition = Condition::Failing;
                Some(Change::Failing)
            }
            (Condition::Failing, Ok(())) => {
                self.condition = Condition::Sound;
                self.told = (dropped, Some(now));
                Some(Change::Working { lost })
            }
            (Condition::Sound, Ok(())) if lost > 0 && !self.told.1.is_some_and(recent) => {
                self.told = (dropped, Some(now));
                Some(Change::Slow { lost })
            }
            _ => None,
        }
    }

    fn reopen(&mut self) {
        // Before the path is looked at: who asks from now on may have moved it since.
        self.shared.reopening.swap(false, AcqRel);
        if let Err(error) = self.output.reopen() {
            let target = &self.output.target;
            log::error!(
                "access log: cannot open {target} anew: {error}; the old file stays in use"
            );
        }
    }
}

fn tell(change: Change, target: &Target, error: Option<&io::Error>) {
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
        Some(libc::EPIPE) => "its reader has gone; restart with one that stays",
        _ => "look at the device, or move the file away and have it opened anew",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let (_reader, pipe) = io::pipe().unwrap();
        let mut writer = Writer::new(Output::to_pipe(pipe), Arc::default());
        let failed = || Err(io::Error::from_raw_os_error(libc::ENOSPC));
        let start = Instant::now();
        let rows = [
            (0, 0, Ok(()), None),
            (0, 3, Ok(()), Some(Change::Slow { lost: 3 })),
            (1, 4, Ok(()), None),
            (61, 0, Ok(()), Some(Change::Slow { lost: 4 })),
            (62, 1, failed(), Some(Change::Failing)),
            (63, 1, failed(), None),
            (200, 1, failed(), None),
            (201, 0, Ok(()), Some(Change::Working { lost: 3 })),
            (202, 0, Ok(()), None),
            (203, 1, failed(), Some(Change::Failing)),
        ];
        for (second, dropped, result, expected) in rows {
            writer.shared.dropped.fetch_add(dropped, Relaxed);
            let now = start + Duration::from_secs(second);
            assert_eq!(writer.judge(&result, now), expected, "second {second}");
        }
    }
}
