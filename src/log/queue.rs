//! The queue between the workers and the writer thread: full batches one way, empty ones back.

use std::cell::RefCell;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::access_log::{Batch, Facts, Names, Texts};

/// A batch is handed over at this many entries or bytes of text, which makes the cost of waking the
/// thread negligible per line.
const ENTRIES_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The most memory for texts that is kept when a batch is reused.
pub(super) const TEXT_BYTES_KEPT: usize = 2 * TEXT_BYTES_MAX;

/// The most memory that may wait to be written, in bytes for all workers together: some 15 000 lines,
/// enough for a disk that hangs for 100 ms at 150 000 requests/s.
pub(super) const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The capacity of the queue: as many batches as fit into [`QUEUE_BYTES_MAX`], and one command each to
/// reopen and to close, so that there is always room for those.
pub(super) const QUEUE_SLOTS: usize = QUEUE_BYTES_MAX / TEXT_BYTES_MAX + 2;

/// The most empty batches that wait for a worker to reuse them.
const SPARES_MAX: usize = 4;

/// A batch filled by one worker, and the channel on which the thread sends it back emptied.
pub(super) struct LogBatch {
    pub(super) batch: Batch,
    pub(super) recycle: SyncSender<Batch>,
}

pub(super) enum WriterCommand {
    Write(LogBatch),
    Reopen,
    Close,
}

/// State shared by the workers, the writer thread and its handle. Workers touch it once per batch.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) waiting_lines: AtomicU64,
    /// Allocated memory, not the length of the lines.
    pub(super) waiting_bytes: AtomicUsize,
    /// The lines of the current batch that are written so far.
    pub(super) underway: AtomicU64,
    /// Whether a reopen command is queued; until it is handled, further requests add none.
    pub(super) reopening: AtomicBool,
    /// Whether the log was closed with lines left, which were counted as dropped. Locked while a batch
    /// is counted, so that each line is counted once; workers never lock it.
    pub(super) abandoned: Mutex<bool>,
}

impl Shared {
    /// Accounts for a batch in the queue, or returns false if it does not fit.
    fn admit(&self, bytes: usize, lines: u64) -> bool {
        if self.waiting_bytes.fetch_add(bytes, Relaxed) + bytes > QUEUE_BYTES_MAX {
            self.waiting_bytes.fetch_sub(bytes, Relaxed);
            return false;
        }
        self.waiting_lines.fetch_add(lines, Relaxed);
        true
    }

    /// Counts the lines of a finished batch, `whole` of which were written. Returns false if they were
    /// already given up.
    pub(super) fn settle(&self, cost: usize, lines: u64, whole: u64) -> bool {
        let abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        self.underway.store(0, Relaxed);
        if !*abandoned {
            self.written.fetch_add(whole, Relaxed);
            self.dropped.fetch_add(lines - whole, Relaxed);
            self.release(cost, lines);
        }
        !*abandoned
    }

    /// Counts all waiting lines as dropped, except those already written, and stops counting.
    pub(super) fn abandon(&self) {
        let mut abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        *abandoned = true;
        let (waiting, underway) =
            (self.waiting_lines.swap(0, Relaxed), self.underway.load(Relaxed));
        self.written.fetch_add(underway.min(waiting), Relaxed);
        self.dropped.fetch_add(waiting.saturating_sub(underway), Relaxed);
    }

    fn release(&self, bytes: usize, lines: u64) {
        self.waiting_bytes.fetch_sub(bytes, Relaxed);
        self.waiting_lines.fetch_sub(lines, Relaxed);
    }
}

/// Collects the lines of one worker. The last ones are handed over when it is dropped.
pub struct LineSink {
    pub(super) filling: RefCell<Batch>,
    commands: SyncSender<WriterCommand>,
    shared: Arc<Shared>,
    recycle: SyncSender<Batch>,
    spares: Receiver<Batch>,
}

fn new_batch() -> Batch {
    Batch::with_capacity(ENTRIES_MAX, TEXT_BYTES_MAX)
}

impl LineSink {
    pub(super) fn new(commands: SyncSender<WriterCommand>, shared: Arc<Shared>) -> Self {
        let (recycle, spares) = sync_channel(SPARES_MAX);
        Self { filling: RefCell::new(new_batch()), commands, shared, recycle, spares }
    }

    /// One whose lines stay here, as long as they fit into one batch.
    #[cfg(any(test, fuzzing))]
    pub fn detached() -> Self {
        Self::new(sync_channel(1).0, Arc::default())
    }

    /// How many lines wait in this sink.
    #[cfg(any(test, fuzzing))]
    pub fn len(&self) -> usize {
        self.filling.borrow().len()
    }

    /// Adds an entry, which becomes one line.
    pub fn push(&self, facts: &Facts, texts: &Texts, names: &Arc<Names>) {
        let mut filling = self.filling.borrow_mut();
        filling.push(facts, texts, names);
        if filling.len() >= ENTRIES_MAX || filling.text_bytes() >= TEXT_BYTES_MAX {
            self.hand_over(&mut filling);
        }
    }

    /// Whether no lines wait in this sink.
    pub fn is_empty(&self) -> bool {
        self.filling.borrow().is_empty()
    }

    /// Hands over the lines collected so far. While the queue is half full they stay here, since they
    /// would not be written any sooner.
    pub fn flush(&self) {
        let busy = self.shared.waiting_bytes.load(Relaxed) > QUEUE_BYTES_MAX / 2;
        if !busy && !self.is_empty() {
            self.hand_over(&mut self.filling.borrow_mut());
        }
    }

    /// Empties `filling` into the queue, or drops its lines if the queue is full.
    fn hand_over(&self, filling: &mut Batch) {
        let (cost, lines) = (filling.capacity(), filling.len() as u64);
        if !self.shared.admit(cost, lines) {
            self.shared.dropped.fetch_add(lines, Relaxed);
            return filling.clear(TEXT_BYTES_KEPT);
        }
        let spare = self.spares.try_recv().unwrap_or_else(|_| new_batch());
        let batch = mem::replace(filling, spare);
        let full = LogBatch { batch, recycle: self.recycle.clone() };
        if self.commands.try_send(WriterCommand::Write(full)).is_err() {
            self.shared.release(cost, lines);
            self.shared.dropped.fetch_add(lines, Relaxed);
        }
    }
}

impl Drop for LineSink {
    fn drop(&mut self) {
        if !self.is_empty() {
            self.hand_over(&mut self.filling.borrow_mut());
        }
    }
}
