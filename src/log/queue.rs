//! What goes from the workers to the thread and back: full batches one way, empty ones the other.

use std::cell::RefCell;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::access_log::{Batch, Facts, Names, Texts};

/// Entries are handed over when there are so many of them, or so many bytes of text: for that many the
/// thread's turn is next to nothing.
const ENTRIES_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// What is kept of the room for texts when a batch is used again.
pub(super) const TEXT_BYTES_KEPT: usize = 2 * TEXT_BYTES_MAX;

/// Bytes of memory that may wait to be written, all workers together: some 15 000 lines, which is
/// what a disk that hangs for 100 ms costs at 150 000 requests/s.
pub(super) const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Batches that fit, each of which has room for texts at least, and one order each to reopen and to
/// close: there is always room for those.
pub(super) const QUEUE_SLOTS: usize = QUEUE_BYTES_MAX / TEXT_BYTES_MAX + 2;

/// Empty batches that wait for a worker to fill them again.
const SPARES_MAX: usize = 4;

/// Lines on their way: filled by one worker, emptied by the thread, and sent back.
pub(super) struct LogBatch {
    pub(super) batch: Batch,
    pub(super) home: SyncSender<Batch>,
}

pub(super) enum WriterCommand {
    Write(LogBatch),
    Reopen,
    Close,
}

/// What workers, the thread and the [`LogWriter`] tell each other. Workers touch it once per batch.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) waiting_lines: AtomicU64,
    /// By capacity, which is what waiting costs.
    pub(super) waiting_bytes: AtomicUsize,
    /// Of the batch that is being written, the lines that are in the target.
    pub(super) underway: AtomicU64,
    /// An order to reopen is on its way; one does for all who ask until it arrives.
    pub(super) reopening: AtomicBool,
    /// Nobody waits for the thread any more: what was left has been counted as dropped. Locked while
    /// the lines of a batch are counted, so that each is counted once; no worker ever locks it.
    pub(super) abandoned: Mutex<bool>,
}

impl Shared {
    /// Takes a batch into account, or refuses it.
    fn admit(&self, bytes: usize, lines: u64) -> bool {
        if self.waiting_bytes.fetch_add(bytes, Relaxed) + bytes > QUEUE_BYTES_MAX {
            self.waiting_bytes.fetch_sub(bytes, Relaxed);
            return false;
        }
        self.waiting_lines.fetch_add(lines, Relaxed);
        true
    }

    /// Counts what has become of the lines of a batch. False: they have been given up already.
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

    /// Counts what still waits as dropped, but for lines that are in the target already, and whatever
    /// becomes of it from now on not at all.
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

/// Takes the lines of one worker. What it holds is handed over when it goes.
pub struct Sink {
    pub(super) filling: RefCell<Batch>,
    commands: SyncSender<WriterCommand>,
    shared: Arc<Shared>,
    home: SyncSender<Batch>,
    spares: Receiver<Batch>,
}

fn new_batch() -> Batch {
    Batch::with_capacity(ENTRIES_MAX, TEXT_BYTES_MAX)
}

impl Sink {
    pub(super) fn new(commands: SyncSender<WriterCommand>, shared: Arc<Shared>) -> Self {
        let (home, spares) = sync_channel(SPARES_MAX);
        Self { filling: RefCell::new(new_batch()), commands, shared, home, spares }
    }

    /// Adds an entry, which will be one line.
    pub fn push(&self, facts: &Facts, texts: &Texts, names: &Arc<Names>) {
        let mut filling = self.filling.borrow_mut();
        filling.push(facts, texts, names);
        if filling.len() >= ENTRIES_MAX || filling.text_bytes() >= TEXT_BYTES_MAX {
            self.hand_over(&mut filling);
        }
    }

    /// Whether no line waits here.
    pub fn is_empty(&self) -> bool {
        self.filling.borrow().is_empty()
    }

    /// Hands over what there is. It stays here while so much waits to be written that it would not be
    /// written any sooner for it.
    pub fn flush(&self) {
        let busy = self.shared.waiting_bytes.load(Relaxed) > QUEUE_BYTES_MAX / 2;
        if !busy && !self.is_empty() {
            self.hand_over(&mut self.filling.borrow_mut());
        }
    }

    /// Empties `filling`: its lines wait to be written, or are dropped.
    fn hand_over(&self, filling: &mut Batch) {
        let (cost, lines) = (filling.capacity(), filling.len() as u64);
        if !self.shared.admit(cost, lines) {
            self.shared.dropped.fetch_add(lines, Relaxed);
            return filling.clear(TEXT_BYTES_KEPT);
        }
        let spare = self.spares.try_recv().unwrap_or_else(|_| new_batch());
        let batch = mem::replace(filling, spare);
        let parcel = LogBatch { batch, home: self.home.clone() };
        if self.commands.try_send(WriterCommand::Write(parcel)).is_err() {
            self.shared.release(cost, lines);
            self.shared.dropped.fetch_add(lines, Relaxed);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.is_empty() {
            self.hand_over(&mut self.filling.borrow_mut());
        }
    }
}
