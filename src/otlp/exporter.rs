//! The thread that sends spans.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::collector::Collector;
use super::http::{Client, CollectorAnswer};
use super::queue::{BATCHES_MAX, SpanBatch, SpanCounts, SpanSink};
use crate::trace::encode::{Resource, count, request};

/// Requests whose spans are sent together, at most: like the batches of OpenTelemetry's SDKs.
const REQUESTS_MAX: usize = 512;

/// How long the first of them waits for others.
const GATHERING: Duration = Duration::from_secs(1);

/// For one attempt to send some, from the connection to the answer: as OTLP's exporters have it.
const EXPORT_LIMIT: Duration = Duration::from_secs(10);

/// Attempts to send the same spans; then they are given up.
const ATTEMPTS_MAX: u32 = 4;

/// The waits between two attempts, the first and the longest; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long the end of the process waits for spans that are still to be sent.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Where spans go, and how.
#[derive(Clone, Debug)]
pub struct ExportConfig {
    /// Where to.
    pub collector: Collector,
    /// Further headers, such as a key.
    pub headers: Vec<(String, String)>,
    /// TLS, if the URL is one of https.
    pub tls: Option<Arc<ClientConfig>>,
    /// What the collector is told of this process.
    pub resource: Resource,
}

impl PartialEq for ExportConfig {
    fn eq(&self, other: &Self) -> bool {
        self.collector == other.collector
            && self.headers == other.headers
            && self.resource.service == other.resource.service
    }
}

/// A handle to the exporter; clones share it.
#[derive(Clone)]
pub struct SpanExporter {
    counts: Arc<SpanCounts>,
    thread: Thread,
    shared: Arc<Mutex<Handle>>,
}

struct Handle {
    /// `None` once it is closed, so that the thread ends when the workers have.
    batches: Option<SyncSender<SpanBatch>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    /// Until when the end of the process waits for it.
    closes: Option<Instant>,
}

/// What has become of spans so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanReport {
    /// Those that a collector has taken.
    pub exported: u64,
    /// Those that were dropped.
    pub dropped: u64,
    /// Attempts to send some that failed.
    pub failures: u64,
}

impl SpanExporter {
    /// Starts the thread. It connects when there are spans.
    pub fn start(config: ExportConfig) -> io::Result<Self> {
        let (batches, queue) = sync_channel(BATCHES_MAX);
        let (ending, ended) = sync_channel::<()>(1);
        let counts = Arc::new(SpanCounts::default());
        let ExportConfig { collector, headers, tls, resource } = config;
        let name = collector.to_string();
        let client = Client::new(collector, &headers, tls);
        let state = CollectorState::Unknown;
        let mut exporter = Exporter { client, name, resource, counts: Arc::clone(&counts), state };
        let thread = thread::Builder::new().name("otlp".into()).spawn(move || {
            exporter.run(&queue);
            drop(ending);
        })?;
        let handle = Handle { batches: Some(batches), ended, closes: None };
        let shared = Arc::new(Mutex::new(handle));
        Ok(Self { counts, thread: thread.thread().clone(), shared })
    }

    /// A sink for one worker; `None` once it is closed.
    pub fn sink(&self) -> Option<SpanSink> {
        let batches = self.lock().batches.clone()?;
        Some(SpanSink::new(batches, Arc::clone(&self.counts)))
    }

    /// What has become of spans so far.
    pub fn report(&self) -> SpanReport {
        let [exported, dropped, failures] =
            [&self.counts.exported, &self.counts.dropped, &self.counts.failures]
                .map(|count| count.load(Relaxed));
        SpanReport { exported, dropped, failures }
    }

    /// Begins to end it: what waits is sent without further pauses. Returns at once.
    pub fn begin_close(&self) {
        let mut handle = self.lock();
        handle.batches = None;
        handle.closes.get_or_insert_with(|| Instant::now() + CLOSE_LIMIT);
        self.counts.closing.store(true, Relaxed);
        self.thread.unpark();
    }

    /// Waits until all spans are sent, but not for longer than a second since the end was begun.
    pub fn close(&self) {
        self.begin_close();
        let handle = self.lock();
        let left = handle.closes.map(|until| until.saturating_duration_since(Instant::now()));
        // Nothing is ever sent: this returns when the thread ends or the limit has passed.
        let _ = handle.ended.recv_timeout(left.unwrap_or_default());
        // What still waits ends with the process.
        let dropped = self.counts.dropped.load(Relaxed) + self.counts.waiting.load(Relaxed);
        if dropped > 0 {
            log::warn!("{dropped} spans were dropped");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Handle> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the last spans could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CollectorState {
    Unknown,
    Taking,
    Failing,
}

struct Exporter {
    client: Client,
    /// The collector, in messages.
    name: String,
    resource: Resource,
    counts: Arc<SpanCounts>,
    state: CollectorState,
}

/// Why spans were not taken.
#[derive(Debug)]
enum NotTaken {
    /// They may be the next time, after this time if the collector says so.
    ForNow(String, Option<Duration>),
    /// They never will be.
    Ever(String),
}

impl Exporter {
    fn run(&mut self, queue: &Receiver<SpanBatch>) {
        while let Ok(first) = queue.recv() {
            let spans = gather(first, queue);
            // A batch of a worker may be of more than its share.
            for part in parts(spans) {
                self.export(&part);
            }
        }
    }

    /// Sends spans, again and again if need be, or gives them up.
    fn export(&mut self, spans: &[crate::trace::span::FinishedSpan]) {
        let body = request(&self.resource, spans);
        let total: u64 = spans.iter().map(count).sum();
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS_MAX {
            let answer = self.client.post(&body, Instant::now() + EXPORT_LIMIT);
            let (why, wait) = match judge(answer) {
                Ok(0) => {
                    self.counts.export_waiting(total);
                    return self.report(CollectorState::Taking, "");
                }
                Ok(rejected) => {
                    let rejected = rejected.min(total);
                    self.counts.export_waiting(total - rejected);
                    self.counts.drop_waiting(rejected);
                    let why = format!("it rejected {rejected} of {total}");
                    return self.report(CollectorState::Failing, &why);
                }
                Err(NotTaken::ForNow(why, wait)) if attempt < ATTEMPTS_MAX => (why, wait),
                Err(NotTaken::ForNow(why, _) | NotTaken::Ever(why)) => {
                    self.counts.failures.fetch_add(1, Relaxed);
                    self.report(CollectorState::Failing, &why);
                    break;
                }
            };
            self.counts.failures.fetch_add(1, Relaxed);
            self.report(CollectorState::Failing, &why);
            if self.rest(wait.unwrap_or(pause).min(PAUSE_MAX)) {
                break;
            }
            pause *= 2;
        }
        self.counts.drop_waiting(total);
    }

    /// Waits for so long; whether the process is about to end.
    fn rest(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let is_closing = self.counts.closing.load(Relaxed);
            if is_closing || left.is_zero() {
                return is_closing;
            }
            thread::park_timeout(left);
        }
    }

    /// Logs what is new about the collector, once.
    fn report(&mut self, state: CollectorState, why: &str) {
        let before = std::mem::replace(&mut self.state, state);
        match (before, state) {
            (CollectorState::Unknown | CollectorState::Taking, CollectorState::Failing) => {
                log::warn!(
                    "spans cannot be sent to {}, and are dropped if that lasts: {why}",
                    self.name
                );
            }
            (CollectorState::Failing, CollectorState::Taking) => {
                log::info!("spans can be sent to {} again", self.name);
            }
            _ => {}
        }
    }
}

/// What comes within a moment is sent together with the first.
fn gather(first: SpanBatch, queue: &Receiver<SpanBatch>) -> SpanBatch {
    let (mut spans, until) = (first, Instant::now() + GATHERING);
    while spans.len() < REQUESTS_MAX {
        match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(more) => spans.extend(more),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    spans
}

fn parts(mut spans: SpanBatch) -> Vec<SpanBatch> {
    let mut parts = Vec::new();
    while spans.len() > REQUESTS_MAX {
        let rest = spans.split_off(REQUESTS_MAX);
        parts.push(std::mem::replace(&mut spans, rest));
    }
    parts.push(spans);
    parts
}

/// Whether spans were taken (OTLP, *OTLP/HTTP Response*), and how many were not: these four statuses may pass, others
/// will not.
fn judge(answer: io::Result<CollectorAnswer>) -> Result<u64, NotTaken> {
    match answer {
        Ok(CollectorAnswer { status: 200..=299, rejected, .. }) => Ok(rejected),
        Ok(CollectorAnswer { status: status @ (429 | 502 | 503 | 504), retry_after, .. }) => {
            Err(NotTaken::ForNow(format!("it answered {status}"), retry_after))
        }
        Ok(CollectorAnswer { status, .. }) => Err(NotTaken::Ever(format!("it answered {status}"))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(NotTaken::ForNow("it did not answer in time".to_owned(), None))
        }
        Err(error) => Err(NotTaken::ForNow(error.to_string(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_that_may_pass_are_tried_again_and_others_are_not() {
        let answer = |status| judge(Ok(CollectorAnswer { status, retry_after: None, rejected: 0 }));
        assert!(answer(200).is_ok() && answer(202).is_ok());
        for status in [429, 502, 503, 504] {
            assert!(matches!(answer(status), Err(NotTaken::ForNow(..))), "{status}");
        }
        for status in [301, 400, 401, 404, 413, 500] {
            assert!(matches!(answer(status), Err(NotTaken::Ever(_))), "{status}");
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(matches!(judge(Err(refused)), Err(NotTaken::ForNow(..))));
    }
}
