//! What goes from the workers to the thread and back: full blocks one way, empty ones the other.

use std::cell::RefCell;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Lines are handed over when there are so many bytes of them: about a hundred lines, for which the
/// system call that writes them and the one that wakes the thread are next to nothing.
const BLOCK_BYTES: usize = 32 * 1024;

/// What a block is created with, so that the line that fills it seldom makes it grow.
const BLOCK_CAPACITY: usize = BLOCK_BYTES + 4 * 1024;

/// A block that grew beyond this is not kept.
pub(super) const KEPT_CAPACITY_MAX: usize = 2 * BLOCK_CAPACITY;

/// Bytes of memory that may wait to be written, all workers together: some 15 000 lines, which is
/// what a disk that hangs for 100 ms costs at 150 000 requests/s.
pub(super) const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Blocks that fit, and one order each to reopen and to close: there is always room for those.
pub(super) const QUEUE_SLOTS: usize = QUEUE_BYTES_MAX / BLOCK_CAPACITY + 2;

/// Empty blocks that wait for a worker to fill them again.
const SPARES_MAX: usize = 4;

/// Lines on their way: filled by one worker, emptied by the thread, and sent back.
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
    pub(super) home: SyncSender<Vec<u8>>,
}

pub(super) enum Order {
    Write(Block),
    Reopen,
    Close,
}

/// What workers, the thread and the [`LogWriter`] tell each other. Touched once per block.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) waiting_lines: AtomicU64,
    /// By capacity, which is what waiting costs.
    pub(super) waiting_bytes: AtomicUsize,
    /// An order to reopen is on its way; one does for all who ask until it arrives.
    pub(super) reopening: AtomicBool,
    /// Nobody waits for the thread any more: what was left has been counted as dropped. Locked while
    /// the lines of a block are counted, so that each is counted once; no worker ever locks it.
    pub(super) abandoned: Mutex<bool>,
}

impl Shared {
    /// Takes a block into account, or refuses it.
    fn admit(&self, bytes: usize, lines: u64) -> bool {
        if self.waiting_bytes.fetch_add(bytes, Relaxed) + bytes > QUEUE_BYTES_MAX {
            self.waiting_bytes.fetch_sub(bytes, Relaxed);
            return false;
        }
        self.waiting_lines.fetch_add(lines, Relaxed);
        true
    }

    /// Counts what has become of the lines of a block. False: they have been given up already.
    pub(super) fn settle(&self, cost: usize, lines: u64, whole: u64) -> bool {
        let abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        if !*abandoned {
            self.written.fetch_add(whole, Relaxed);
            self.dropped.fetch_add(lines - whole, Relaxed);
            self.release(cost, lines);
        }
        !*abandoned
    }

    /// Counts what still waits as dropped, and whatever becomes of it from now on not at all.
    pub(super) fn abandon(&self) {
        let mut abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        *abandoned = true;
        self.dropped.fetch_add(self.waiting_lines.swap(0, Relaxed), Relaxed);
    }

    fn release(&self, bytes: usize, lines: u64) {
        self.waiting_bytes.fetch_sub(bytes, Relaxed);
        self.waiting_lines.fetch_sub(lines, Relaxed);
    }
}

pub(super) struct Filling {
    pub(super) bytes: Vec<u8>,
    /// Up to where there are whole lines.
    whole: usize,
    lines: u64,
}

/// Takes the lines of one worker. What it holds is handed over when it goes.
pub struct Sink {
    pub(super) filling: RefCell<Filling>,
    orders: SyncSender<Order>,
    shared: Arc<Shared>,
    home: SyncSender<Vec<u8>>,
    spares: Receiver<Vec<u8>>,
}

impl Sink {
    pub(super) fn new(orders: SyncSender<Order>, shared: Arc<Shared>) -> Self {
        let (home, spares) = sync_channel(SPARES_MAX);
        let bytes = Vec::with_capacity(BLOCK_CAPACITY);
        let filling = RefCell::new(Filling { bytes, whole: 0, lines: 0 });
        Self { filling, orders, shared, home, spares }
    }

    /// Appends exactly one line, which `write` puts behind what is there, `\n` included.
    ///
    /// # Panics
    ///
    /// If `write` uses this very sink. A panic of `write` itself leaves nothing of its line.
    pub fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut filling = self.filling.borrow_mut();
        let whole = filling.whole;
        filling.bytes.truncate(whole);
        write(&mut filling.bytes);
        filling.whole = filling.bytes.len();
        filling.lines += 1;
        if filling.whole >= BLOCK_BYTES {
            self.hand_over(&mut filling);
        }
    }

    /// Whether no line waits here.
    pub fn is_empty(&self) -> bool {
        self.filling.borrow().lines == 0
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
    fn hand_over(&self, filling: &mut Filling) {
        let lines = mem::take(&mut filling.lines);
        filling.bytes.truncate(mem::take(&mut filling.whole));
        let cost = filling.bytes.capacity();
        if !self.shared.admit(cost, lines) {
            self.shared.dropped.fetch_add(lines, Relaxed);
            filling.bytes.clear();
            filling.bytes.shrink_to(KEPT_CAPACITY_MAX);
            return;
        }
        let spare = self.spares.try_recv();
        let spare = spare.unwrap_or_else(|_| Vec::with_capacity(BLOCK_CAPACITY));
        let bytes = mem::replace(&mut filling.bytes, spare);
        let block = Block { bytes, lines, home: self.home.clone() };
        if self.orders.try_send(Order::Write(block)).is_err() {
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
