//! A worker's access logger: its queue to the writer thread, its clock and its request IDs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::queue::LineSink;
use crate::access_log::{
    Facts, Format, Label, LineLayout, MADE_LENGTH, Names, RequestIds, SampleRate, Texts,
};
use crate::hash;
use crate::id::RouteId;
use crate::metrics::Metrics;
use crate::net::wall_clock::since_1970;
use crate::otlp::queue::SpanSink;
use crate::trace::span::{FinishedSpan, SpanRecord};
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
    /// None where no spans are sent.
    spans: Option<SpanSink>,
    ids: RefCell<RequestIds>,
    /// An instant, and the time of day at it in microseconds since 1970.
    clock: Cell<(Instant, u64)>,
    /// Cleared, for reuse.
    spares: RefCell<Vec<Texts>>,
    /// Notified when the first line arrives in an empty batch.
    first_line: Notify,
}

impl AccessLogger {
    /// An empty logger; `ids` must not be shared with another worker. Without a sink of either kind, for those who ask
    /// what it would have written.
    pub fn new(sink: Option<LineSink>, spans: Option<SpanSink>, ids: RequestIds) -> Self {
        let clock = Cell::new((Instant::now(), time_of_day()));
        let (ids, spares) = (RefCell::new(ids), RefCell::default());
        Self { sink, spans, ids, clock, spares, first_line: Notify::new() }
    }

    /// Logs an exchange. Never blocks: if the queue is full, the line is dropped and counted.
    fn write(&self, facts: &Facts, texts: &Texts, names: &Arc<Names>) {
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

    /// A number by chance, evenly distributed.
    pub fn number(&self) -> u64 {
        self.ids.borrow_mut().number()
    }

    /// Has the spans of a request sent. Never blocks: what finds no room is dropped and counted.
    fn send(&self, span: FinishedSpan) {
        let Some(spans) = &self.spans else { return };
        let is_first = spans.is_empty();
        spans.push(span);
        if is_first {
            self.first_line.notify_one();
        }
    }

    /// Runs forever and hands over lines and spans that have waited long enough; sleeps while there are none.
    pub async fn keep_flushing(self: Rc<Self>) {
        let lines = || self.sink.as_ref().filter(|sink| !sink.is_empty());
        let spans = || self.spans.as_ref().filter(|sink| !sink.is_empty());
        loop {
            self.first_line.notified().await;
            while lines().is_some() || spans().is_some() {
                sleep(FLUSH_INTERVAL).await;
                if let Some(sink) = lines() {
                    sink.flush();
                }
                if let Some(sink) = spans() {
                    sink.flush();
                }
            }
        }
    }
}

/// What a plan says of lines and spans. It is worked out once for all workers: the names of 100 000 routes take
/// milliseconds.
#[derive(Debug, PartialEq, Eq)]
pub struct LogNames {
    /// The names of the plan's routes, upstreams and endpoints, and what lines are like.
    names: Arc<Names>,
    /// Whether requests have no line, by route, if there is a route whose requests have none.
    unlogged: Option<Arc<[bool]>>,
    /// The names as they are, if spans are sent.
    plain_names: Option<Arc<Names>>,
}

impl LogNames {
    /// Those of a plan with these routes, of each of which it is said whether its requests have lines, and upstreams.
    pub fn new<'a>(
        layout: &Arc<LineLayout>,
        routes: impl Iterator<Item = (&'a str, bool)>,
        upstreams: &[Arc<Upstream>],
        sends_spans: bool,
    ) -> Self {
        let format = layout.format;
        let routes: Vec<(&str, bool)> = routes.collect();
        let unlogged: Vec<bool> = routes.iter().map(|(_, is_logged)| !is_logged).collect();
        let unlogged = unlogged.contains(&true).then(|| unlogged.into());
        let plain_names = sends_spans.then(|| {
            let routes = routes.iter().map(|(name, _)| Label::plain(name)).collect();
            let upstreams = plain_names(upstreams);
            Arc::new(Names { layout: Arc::clone(layout), routes, upstreams })
        });
        let routes: Vec<Label> = routes.iter().map(|(name, _)| format.name(name)).collect();
        let upstreams = names(format, upstreams);
        let names = Names { layout: Arc::clone(layout), routes: routes.into(), upstreams };
        Self { names: Arc::new(names), unlogged, plain_names }
    }

    /// The same of a plan with the same routes and other upstreams.
    #[must_use]
    pub fn with_upstreams(&self, upstreams: &[Arc<Upstream>]) -> Self {
        let layout = &self.names.layout;
        let plain_names = self.plain_names.as_ref().map(|plain| {
            let (routes, upstreams) = (Arc::clone(&plain.routes), plain_names(upstreams));
            Arc::new(Names { layout: Arc::clone(layout), routes, upstreams })
        });
        let upstreams = names(layout.format, upstreams);
        let routes = Arc::clone(&self.names.routes);
        let names = Names { layout: Arc::clone(layout), routes, upstreams };
        Self { names: Arc::new(names), unlogged: self.unlogged.clone(), plain_names }
    }
}

/// An access logger together with what a plan says of lines, and the names in it.
pub struct Log {
    /// Logs the exchanges.
    pub access_logger: Rc<AccessLogger>,
    /// What the plan says of lines and spans.
    pub names: Arc<LogNames>,
    /// The share of requests that have a line, if not all have one.
    sample: Option<SampleRate>,
    metrics: Arc<Metrics>,
}

impl Log {
    /// A log for a plan.
    pub fn new(
        access_logger: Rc<AccessLogger>,
        metrics: Arc<Metrics>,
        names: Arc<LogNames>,
    ) -> Self {
        let sample = Some(names.names.layout.sample).filter(|rate| *rate != SampleRate::ALL);
        Self { access_logger, names, sample, metrics }
    }

    /// Logs an exchange, if it is one of those that have a line.
    #[inline]
    pub fn write(&self, facts: &Facts, texts: &Texts) {
        let is_chosen = self.sample.is_none() && self.names.unlogged.is_none();
        if is_chosen || self.has_line(facts, texts) {
            self.access_logger.write(facts, texts, &self.names.names);
        }
    }

    /// Has the spans of a request sent.
    #[cold]
    pub fn send_spans(&self, record: Box<SpanRecord>, facts: &Facts, texts: Texts) {
        if let Some(names) = &self.names.plain_names {
            let names = Arc::clone(names);
            self.access_logger.send(FinishedSpan { record, facts: *facts, texts, names });
        }
    }

    /// Whether a line is written where some are not. By the request's identifier, so that all proxies on its way
    /// that share it choose the same requests; it is a trusted one or our own, so clients cannot stay out of the log.
    #[cold]
    fn has_line(&self, facts: &Facts, texts: &Texts) -> bool {
        let is_unlogged = |route: RouteId| {
            let unlogged = self.names.unlogged.as_ref();
            unlogged.is_some_and(|unlogged| unlogged.get(route.index()) == Some(&true))
        };
        if facts.route.is_some_and(is_unlogged) {
            return false;
        }
        let Some(rate) = self.sample else { return true };
        let number = || match texts.request_id() {
            b"" => self.access_logger.number(),
            id => hash::hash(id),
        };
        let has_line = facts.has_failed() || rate.takes(number());
        if !has_line {
            self.metrics.lines_sampled_out.add(1);
        }
        has_line
    }
}

/// The same as they are.
fn plain_names(upstreams: &[Arc<Upstream>]) -> Box<[(Label, Box<[Label]>)]> {
    let endpoint = |endpoint: &Endpoint| Label::plain(&endpoint.address.to_string());
    let upstream = |upstream: &Arc<Upstream>| {
        (Label::plain(&upstream.name), upstream.endpoints.iter().map(endpoint).collect())
    };
    upstreams.iter().map(upstream).collect()
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
