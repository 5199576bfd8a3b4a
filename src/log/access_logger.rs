//! A worker's access logger: its queue to the writer thread, its clock and its request IDs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::queue::LineSink;
use crate::access_log::{Facts, Format, Label, MADE_LENGTH, Names, RequestIds, Texts};
use crate::net::wall_clock::since_1970;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// How long a line may wait for more lines before it is handed over.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// How long the time of day is derived from the monotonic clock before it is read again, since it may
/// have been set meanwhile.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// The number and size of spare [`Texts`] to keep: at most 256 KiB per worker.
const SPARES_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = 1024;

/// Logs the exchanges of one worker's sessions.
pub struct AccessLogger {
    /// None where nothing is written.
    sink: Option<LineSink>,
    format: Format,
    ids: RefCell<RequestIds>,
    /// An instant, and the time of day at it in microseconds since 1970.
    clock: Cell<(Instant, u64)>,
    /// Cleared, for reuse.
    spares: RefCell<Vec<Texts>>,
    /// Notified when the first line arrives in an empty batch.
    first_line: Notify,
}

impl AccessLogger {
    /// An empty logger; `ids` must not be shared with another worker.
    pub fn new(sink: LineSink, format: Format, ids: RequestIds) -> Self {
        Self::over(Some(sink), format, ids)
    }

    /// One that writes nothing: for those who ask what it would have written.
    pub fn unwritten(ids: RequestIds) -> Self {
        Self::over(None, Format::Json, ids)
    }

    fn over(sink: Option<LineSink>, format: Format, ids: RequestIds) -> Self {
        let clock = Cell::new((Instant::now(), time_of_day()));
        let (ids, spares) = (RefCell::new(ids), RefCell::default());
        Self { sink, format, ids, clock, spares, first_line: Notify::new() }
    }

    /// Logs an exchange. Never blocks: if the queue is full, the line is dropped and counted.
    pub fn write(&self, facts: &Facts, texts: &Texts, names: &Arc<Names>) {
        let Some(sink) = &self.sink else { return };
        let is_first = sink.is_empty();
        sink.push(facts, texts, names);
        if is_first {
            self.first_line.notify_one();
        }
    }

    /// The time of day at `at`, in microseconds since 1970.
    pub fn unix_micros(&self, at: Instant) -> u64 {
        let (mut anchor, mut micros) = self.clock.get();
        if at.saturating_duration_since(anchor) > CLOCK_INTERVAL {
            (anchor, micros) = (Instant::now(), time_of_day());
            self.clock.set((anchor, micros));
        }
        match at.checked_duration_since(anchor) {
            Some(after) => micros.saturating_add(as_micros(after)),
            None => micros.saturating_sub(as_micros(anchor.saturating_duration_since(at))),
        }
    }

    /// Empty texts, with memory from an earlier request if there is any.
    pub fn spare(&self) -> Texts {
        self.spares.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes back texts from [`AccessLogger::spare`].
    pub fn recycle(&self, mut texts: Texts) {
        let mut spares = self.spares.borrow_mut();
        if spares.len() < SPARES_MAX && texts.capacity() <= SPARE_BYTES_MAX {
            texts.clear();
            spares.push(texts);
        }
    }

    /// How many lines wait to be handed over.
    #[cfg(any(test, fuzzing))]
    pub fn waiting(&self) -> usize {
        self.sink.as_ref().map_or(0, LineSink::len)
    }

    /// Generates an ID for a request that has none.
    pub fn make_id(&self) -> [u8; MADE_LENGTH] {
        self.ids.borrow_mut().make()
    }

    /// Runs forever and hands over lines that have waited long enough; sleeps while there are none.
    pub async fn keep_flushing(self: Rc<Self>) {
        loop {
            self.first_line.notified().await;
            while let Some(sink) = self.sink.as_ref().filter(|sink| !sink.is_empty()) {
                sleep(FLUSH_INTERVAL).await;
                sink.flush();
            }
        }
    }
}

/// An access logger together with the names in a plan.
pub struct Log {
    /// Logs the exchanges.
    pub access_logger: Rc<AccessLogger>,
    /// The names of the plan's routes, upstreams and endpoints.
    pub names: Arc<Names>,
}

impl Log {
    /// The same of a plan with the same routes and other upstreams.
    #[must_use]
    pub fn with_upstreams(&self, upstreams: &[Arc<Upstream>]) -> Self {
        let access_logger = Rc::clone(&self.access_logger);
        let upstreams = names(access_logger.format, upstreams);
        let routes = Arc::clone(&self.names.routes);
        Self { access_logger, names: Arc::new(Names { routes, upstreams }) }
    }

    /// A log for a plan with these routes and upstreams.
    pub fn new<'a>(
        access_logger: Rc<AccessLogger>,
        routes: impl Iterator<Item = &'a str>,
        upstreams: &[Arc<Upstream>],
    ) -> Self {
        let format = access_logger.format;
        let routes = routes.map(|name| format.name(name)).collect();
        let upstreams = names(format, upstreams);
        Self { access_logger, names: Arc::new(Names { routes, upstreams }) }
    }
}

/// Of each upstream its name, and those of its endpoints.
fn names(format: Format, upstreams: &[Arc<Upstream>]) -> Box<[(Label, Box<[Label]>)]> {
    let endpoint = |endpoint: &Endpoint| format.address(&endpoint.address);
    let upstream = |upstream: &Arc<Upstream>| {
        (format.name(&upstream.name), upstream.endpoints.iter().map(endpoint).collect())
    };
    upstreams.iter().map(upstream).collect()
}

fn time_of_day() -> u64 {
    as_micros(since_1970())
}

fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
