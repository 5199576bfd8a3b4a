//! The queue between workers and the exporter.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError};

use crate::trace::encode::count;
use crate::trace::span::FinishedSpan;

/// Requests of a worker that are handed over together: what is sent one by one costs more than it is.
pub(super) const BATCH_MAX: usize = 128;

/// The bytes of texts after which a batch is handed over, however few its requests: clients choose how long their targets
/// are, and whether they are recorded.
const BATCH_BYTES_MAX: usize = 128 * 1024;

/// How many batches may wait for the exporter, those of all workers together: some 8000 requests, and 8 MiB of texts. As
/// long as collectors take to come back, nothing could wait anyway.
pub(super) const BATCHES_MAX: usize = 64;

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct SpanCounts {
    /// Spans that have been handed over, and that nothing has become of yet.
    pub(super) waiting: AtomicU64,
    /// Spans that a collector has taken.
    pub(super) exported: AtomicU64,
    /// Spans that found no room, or that no collector took.
    pub(super) dropped: AtomicU64,
    /// Attempts to send some that failed.
    pub(super) failures: AtomicU64,
    /// Whether the process is about to end.
    pub(super) closing: AtomicBool,
}

impl SpanCounts {
    pub(super) fn export_waiting(&self, spans: u64) {
        self.waiting.fetch_sub(spans, Relaxed);
        self.exported.fetch_add(spans, Relaxed);
    }

    pub(super) fn drop_waiting(&self, spans: u64) {
        self.waiting.fetch_sub(spans, Relaxed);
        self.dropped.fetch_add(spans, Relaxed);
    }
}

/// Requests whose spans are to be sent.
pub(super) type SpanBatch = Vec<FinishedSpan>;

/// What is handed over next.
#[derive(Default)]
struct Filling {
    batch: SpanBatch,
    /// What its texts take.
    bytes: usize,
}

/// Collects the spans of one worker. Never waits: what finds no room is dropped and counted.
pub struct SpanSink {
    filling: RefCell<Filling>,
    batches: SyncSender<SpanBatch>,
    counts: Arc<SpanCounts>,
}

impl SpanSink {
    pub(super) fn new(batches: SyncSender<SpanBatch>, counts: Arc<SpanCounts>) -> Self {
        Self { filling: RefCell::default(), batches, counts }
    }

    /// Adds the spans of a request.
    pub fn push(&self, span: FinishedSpan) {
        let mut filling = self.filling.borrow_mut();
        filling.bytes += span.texts.capacity();
        filling.batch.push(span);
        if filling.batch.len() >= BATCH_MAX || filling.bytes >= BATCH_BYTES_MAX {
            self.hand_over(&mut filling);
        }
    }

    /// Whether nothing waits here.
    pub fn is_empty(&self) -> bool {
        self.filling.borrow().batch.is_empty()
    }

    /// Hands over what has been collected so far.
    pub fn flush(&self) {
        if !self.is_empty() {
            self.hand_over(&mut self.filling.borrow_mut());
        }
    }

    fn hand_over(&self, filling: &mut Filling) {
        let Filling { batch, .. } = mem::take(filling);
        let spans = batch.iter().map(count).sum();
        // Before they are there to be taken: the exporter subtracts.
        self.counts.waiting.fetch_add(spans, Relaxed);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.batches.try_send(batch)
        {
            self.counts.drop_waiting(spans);
        }
    }
}

impl Drop for SpanSink {
    fn drop(&mut self) {
        self.flush();
    }
}
