//! A worker's share of the access log: its way out, its clock, and the identifiers it makes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::queue::Sink;
use crate::access_log::{Facts, Format, Label, MADE_LENGTH, Names, RequestIds, Texts};
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// How long a line may wait for others to be handed over with.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// How long the time of day is told by the steady clock, before it is asked for again: it may have been
/// set meanwhile.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// How many emptied texts are kept, and how large: 256 KiB a worker.
const SPARES_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = 1024;

/// Takes the lines of one worker's sessions.
pub struct AccessLogger {
    sink: Sink,
    format: Format,
    ids: RefCell<RequestIds>,
    /// A moment, and what the time of day was then, in microseconds since 1970.
    clock: Cell<(Instant, u64)>,
    /// Emptied, for other lines.
    spares: RefCell<Vec<Texts>>,
    /// Told when there is something to hand over.
    begun: Notify,
}

impl AccessLogger {
    /// One that is empty; `ids` are this worker's own.
    pub fn new(sink: Sink, format: Format, ids: RequestIds) -> Self {
        let clock = Cell::new((Instant::now(), time_of_day()));
        let (ids, spares) = (RefCell::new(ids), RefCell::default());
        Self { sink, format, ids, clock, spares, begun: Notify::new() }
    }

    /// Has a line written. Never waits: one for which there is no room is dropped and counted.
    pub fn write(&self, facts: &Facts, texts: &Texts, names: &Arc<Names>) {
        let is_first = self.sink.is_empty();
        self.sink.push(facts, texts, names);
        if is_first {
            self.begun.notify_one();
        }
    }

    /// What the time of day was then, in microseconds since 1970.
    pub fn unix_micros(&self, at: Instant) -> u64 {
        let (mut known, mut micros) = self.clock.get();
        if at.saturating_duration_since(known) > CLOCK_INTERVAL {
            (known, micros) = (Instant::now(), time_of_day());
            self.clock.set((known, micros));
        }
        match at.checked_duration_since(known) {
            Some(after) => micros.saturating_add(in_micros(after)),
            None => micros.saturating_sub(in_micros(known.saturating_duration_since(at))),
        }
    }

    /// Empty, with room if there was any to be had.
    pub fn spare(&self) -> Texts {
        self.spares.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes back what [`AccessLogger::spare`] gave.
    pub fn recycle(&self, mut texts: Texts) {
        let mut spares = self.spares.borrow_mut();
        if spares.len() < SPARES_MAX && texts.capacity() <= SPARE_BYTES_MAX {
            texts.clear();
            spares.push(texts);
        }
    }

    /// An identifier for a request that has none.
    pub fn make_id(&self) -> [u8; MADE_LENGTH] {
        self.ids.borrow_mut().make()
    }

    /// Hands lines over that have waited long enough, for ever; a worker without any sleeps.
    pub async fn keep_flushing(self: Rc<Self>) {
        loop {
            self.begun.notified().await;
            while !self.sink.is_empty() {
                sleep(FLUSH_INTERVAL).await;
                self.sink.flush();
            }
        }
    }
}

/// A journal while a plan is in force.
pub struct Log {
    /// Takes the lines.
    pub access_logger: Rc<AccessLogger>,
    /// What they call the things of the plan.
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

    /// Of a plan with these routes and upstreams.
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
    // A clock that is set to before 1970 is as good as none.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, in_micros)
}

fn in_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
