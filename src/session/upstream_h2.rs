//! HTTP/2 to endpoints: connections that the requests of a worker share, and the streams on them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::Instant;

use super::attempt::{self, Freshness, WithoutDescriptor};
use super::client::{WaitEnded, WaitingClient};
use super::record::AttemptTarget;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Stage};
use crate::http::h2::connection::{Connection, Role};
use crate::http::h2::flow::WINDOW_BYTES;
use crate::http::h2::hpack::Encoder;
use crate::http::h2::limits::ConnectionLimits;
use crate::http::h2::section::SectionLimits;
use crate::net::deadline::{Elapsed, Timer};
use crate::net::mux::{Mux, MuxEnd, MuxEvent};
use crate::net::mux_stream::MuxStream;
use crate::net::shared::{ConnectionOpening, Full};
use crate::plan::context::WorkerContext;
use crate::reject::Reject;
use crate::upstream::request_permit::RequestPermit;

/// How many streams an endpoint is believed to take before it has said so (RFC 9113 §6.5.2 recommends
/// no fewer).
const STREAMS_AT_FIRST: u32 = 100;

/// How old a connection may become before no more streams are opened on it: endpoints that came later
/// get their share.
const AGE_MAX: Duration = Duration::from_secs(600);

/// How long an endpoint may be silent while streams wait for it before it is asked for a sign of life,
/// and how long it may take to give one.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// After an answer to that with nothing else, how long it is not asked again: servers of gRPC end connections
/// that are asked more often.
const PING_INTERVAL: Duration = Duration::from_secs(301);

/// What that asks with.
const ALIVE: [u8; 8] = *b"alive???";

/// How long an endpoint may take to end the stream of an answer that has no body.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// What opens a stream.
pub struct StreamHead<'a> {
    /// Its header block.
    pub block: &'a [u8],
    /// Whether nothing follows it.
    pub ends: bool,
    /// Whether the answer to it has no body, whatever it says.
    pub answers_head: bool,
    /// Whether it is an extended CONNECT.
    pub tunnel: bool,
}

/// A stream for one attempt.
pub struct OpenedStream {
    /// The stream, on which the head has been sent.
    pub stream: MuxStream,
    /// Whether its connection has carried others before.
    pub is_reused: bool,
}

/// Opens a stream on a connection that has room for one, or on a new one.
pub async fn open_stream(
    context: &Rc<WorkerContext>,
    target: &AttemptTarget,
    freshness: Freshness,
    head: StreamHead<'_>,
    client: &mut WaitingClient<'_>,
) -> Result<OpenedStream, Fault> {
    let limit = target.connect_within;
    let awaited = RefCell::new(None);
    let opening = pin!(opened(context, target, freshness, head, &awaited));
    match client.wait_for(limit, opening).await {
        Ok(opened) => opened,
        Err(WaitEnded::ClientLeft(kind)) => Err(Fault::client(Stage::Connect, kind)),
        Err(WaitEnded::TimedOut) => {
            let late = awaited.take().map(|opening: Rc<ConnectionOpening>| opening.late.get());
            Err(late.unwrap_or(Fault::upstream(Stage::Connect, Kind::Busy)))
        }
    }
}

/// The same however long it takes. `awaited` is the connection that is waited for, as long as the endpoint
/// has not shown that it answers.
pub async fn opened(
    context: &Rc<WorkerContext>,
    target: &AttemptTarget,
    freshness: Freshness,
    head: StreamHead<'_>,
    awaited: &RefCell<Option<Rc<ConnectionOpening>>>,
) -> Result<OpenedStream, Fault> {
    let mut from = (freshness == Freshness::Trial).then_some(target.started);
    let (mut is_reused, mut has_waited, mut has_opened) = (true, false, false);
    // Counted by whoever opens it: it is a reused one for all others, even if they wait for it.
    let mut counts_open = false;
    loop {
        let pool = context.pool(target.upstream, target.endpoint);
        let encode = |_: &mut Encoder, out: &mut Vec<u8>| out.extend_from_slice(head.block);
        let full = {
            let mut pool = pool.borrow_mut();
            // RFC 8441 §3: those who have not said so must not be asked.
            if head.tunnel && pool.shared.refuses_tunnels() {
                let reject = Kind::Rejected(Reject::NoWebSocket);
                return Err(Fault::upstream(Stage::Connect, reject));
            }
            let (answers_head, ends) = (head.answers_head, head.ends);
            if let Some(stream) = pool.shared.open_stream(from, answers_head, ends, encode) {
                if !counts_open {
                    context.metrics.reuses.add(1);
                    context.counts(target.upstream, target.endpoint).reuses.add(1);
                }
                return Ok(OpenedStream { stream, is_reused });
            }
            // An endpoint that does so each time would be connected to without end.
            if std::mem::take(&mut has_opened) && pool.shared.is_empty() {
                return Err(Fault::upstream(Stage::Connect, Kind::Ended));
            }
            pool.shared.when_full()
        };
        let opening = match full {
            Full::Opens(opening) => opening,
            Full::MayOpen(opening) => {
                let ours = (Rc::clone(context), Rc::clone(&opening));
                spawn_local(open_connection(ours.0, *target, ours.1));
                counts_open = true;
                opening
            }
            // One of those that there are has to do.
            Full::Waits(_) if from.is_some() => {
                from = None;
                continue;
            }
            Full::Waits(freed) => {
                has_waited = true;
                freed.wait().await;
                continue;
            }
        };
        is_reused = false;
        if !std::mem::replace(&mut has_waited, true) {
            awaited.replace(Some(Rc::clone(&opening)));
        }
        opening.outcome().await?;
        awaited.take();
        has_opened = true;
    }
}

/// Lets go of a stream on which all has been said. An answer without a body is whole with its head, but some
/// endpoints end its stream in a frame of its own, and take a reset before that for a request that was given up.
/// Until then the endpoint may take it for one more.
pub fn await_end(stream: MuxStream, permit: Option<RequestPermit>) {
    if stream.has_received() || stream.aborted().is_some() {
        return;
    }
    spawn_local(async move {
        let _permit = permit;
        let ending = poll_fn(|cx| stream.poll_available(cx));
        // However it ends: one that is still open is reset.
        let _ = Timer::new().within(END_TIMEOUT, pin!(ending)).await;
        drop(stream);
    });
}

/// Opens a connection for all who wait for one; whether one of them leaves does not matter.
async fn open_connection(
    context: Rc<WorkerContext>,
    target: AttemptTarget,
    opening: Rc<ConnectionOpening>,
) {
    let limit = context.plan.upstream(target.upstream).timeouts.connect;
    let mut timer = Timer::new();
    let connecting = pin!(connect(&context, &target, &opening.late));
    let connected = timer.within(limit, connecting).await;
    let outcome =
        connected.unwrap_or_else(|Elapsed| Err(attempt::overdue(&context, opening.late.get())));
    let pool = context.pool(target.upstream, target.endpoint);
    pool.borrow_mut().shared.opened(outcome, Instant::now());
}

async fn connect(
    context: &WorkerContext,
    target: &AttemptTarget,
    late: &Cell<Fault>,
) -> Result<Rc<Mux>, Fault> {
    let lease = attempt::connected(context, target, (None, WithoutDescriptor::Waits), late).await?;
    late.set(Fault::upstream(Stage::Connect, Kind::NoSettings));
    let limits = limits(context);
    let allowance = Rc::clone(&context.window_allowance);
    let connection = Connection::new(Role::Client, limits, STREAMS_AT_FIRST, allowance);
    let mux = Mux::new(lease.stream, connection, Buffer::new());
    let keeping = context.pool(target.upstream, target.endpoint).borrow().keeping();
    let idle = if keeping.idle_max == 0 { Duration::ZERO } else { keeping.idle_timeout };
    // What it allows is known once it has said so, and that it speaks HTTP/2 at all.
    let greeted = poll_fn(|cx| poll_greeted(&mux, cx)).await;
    greeted.map_err(|kind| Fault::upstream(Stage::Connect, kind))?;
    spawn_local(drive(Rc::clone(&mux), idle));
    Ok(mux)
}

fn limits(context: &WorkerContext) -> ConnectionLimits {
    let section = SectionLimits::of_heads(&context.plan.limits);
    ConnectionLimits { streams_max: 0, window_bytes: WINDOW_BYTES, section }
}

/// Whatever has come with its SETTINGS counts: it may take no streams at all.
fn poll_greeted(mux: &Rc<Mux>, cx: &mut Context<'_>) -> Poll<Result<(), Kind>> {
    loop {
        let kind = match mux.poll(cx) {
            Poll::Ready(MuxEvent::Over(MuxEnd::Broken(kind))) => kind,
            Poll::Ready(MuxEvent::Over(_)) => Kind::Rejected(Reject::NotHttp2),
            Poll::Ready(_) => continue,
            Poll::Pending if !mux.connection().is_open() => return Poll::Pending,
            Poll::Pending if mux.is_usable() => return Poll::Ready(Ok(())),
            Poll::Pending => Kind::Ended,
        };
        return Poll::Ready(Err(match kind {
            Kind::Closed | Kind::Reset | Kind::Broken => Kind::Ended,
            kind => kind,
        }));
    }
}

/// The task of a connection, until it ends.
async fn drive(mux: Rc<Mux>, idle: Duration) {
    let mut timer = Timer::new();
    let mut watch = Watch::new(idle);
    let end = loop {
        let working = poll_fn(|cx| poll_event(&mux, cx));
        match timer.until(|| watch.deadline(&mux), pin!(working)).await {
            // No endpoint opens streams: a push is refused before.
            Ok(Some(MuxEvent::Opened(key))) => drop(MuxStream::accepted(&mux, key)),
            Ok(Some(MuxEvent::GoAway(_))) => {}
            Ok(Some(MuxEvent::Ponged(_))) => watch.answered(&mux),
            Ok(Some(MuxEvent::Over(end))) => break end,
            Ok(None) => break MuxEnd::Done,
            Err(Elapsed) => {
                if let Some(end) = watch.elapsed(&mux) {
                    break end;
                }
            }
        }
    };
    mux.end(end);
}

/// What happens on a connection; nothing once it has no stream left and gets none any more.
fn poll_event(mux: &Rc<Mux>, cx: &mut Context<'_>) -> Poll<Option<MuxEvent>> {
    match mux.poll(cx) {
        Poll::Ready(event) => Poll::Ready(Some(event)),
        Poll::Pending => {
            let connection = mux.connection();
            let is_done = !connection.is_usable() && connection.streams() == 0;
            if is_done && connection.output_bytes() == 0 {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        }
    }
}

/// What is waited for on a connection.
struct Watch {
    idle: Duration,
    opened: Instant,
    idle_since: Option<Instant>,
    /// How many frames had come when the last one was noticed, and when that was.
    heard: (u64, Instant),
    /// When the endpoint was asked for a sign of life, if it was since.
    asked: Option<Instant>,
    /// How many frames had come when it gave one.
    answered: Option<u64>,
}

impl Watch {
    fn new(idle: Duration) -> Self {
        let now = Instant::now();
        let heard = (0, now);
        Self { idle, opened: now, idle_since: None, heard, asked: None, answered: None }
    }

    fn deadline(&mut self, mux: &Mux) -> Instant {
        let frames = mux.frames();
        let now = Instant::now();
        if frames != self.heard.0 {
            self.heard = (frames, now);
            self.asked = None;
        }
        let connection = mux.connection();
        if connection.streams() == 0 {
            let since = *self.idle_since.get_or_insert(now);
            return (since + self.idle).min(self.age_end(now, &connection));
        }
        if self.idle_since.take().is_some() {
            // What it did not say while nobody asked does not count.
            self.heard.1 = now;
        }
        let silent = match self.asked {
            Some(asked) => asked + PING_TIMEOUT,
            None if self.answered == Some(frames) => self.heard.1 + PING_INTERVAL,
            None => self.heard.1 + SILENCE_MAX,
        };
        silent.min(self.age_end(now, &connection))
    }

    /// The endpoint has given a sign of life.
    fn answered(&mut self, mux: &Mux) {
        self.answered = Some(mux.frames());
    }

    /// When it is too old, if it is used until then. Streams that it has by then may go on.
    fn age_end(&self, now: Instant, connection: &Connection) -> Instant {
        if connection.has_left() { now + AGE_MAX } else { self.opened + AGE_MAX }
    }

    /// A deadline has passed: what becomes of the connection, if it ends.
    fn elapsed(&mut self, mux: &Mux) -> Option<MuxEnd> {
        let now = Instant::now();
        let is_idle = mux.connection().streams() == 0;
        let has_left = mux.connection().has_left();
        if is_idle && has_left {
            // An endpoint that does not even take that is not waited for.
            return Some(MuxEnd::Broken(Kind::TimedOut));
        }
        if is_idle || now >= self.opened + AGE_MAX && !has_left {
            mux.act(Connection::leave);
            return None;
        }
        if self.asked.is_some() {
            return Some(MuxEnd::Broken(Kind::TimedOut));
        }
        self.asked = Some(now);
        mux.act(|connection| connection.ping_peer(ALIVE));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::Memory;
    use crate::net::socket::Socket;
    use crate::net::stream::Stream;

    /// To an endpoint that takes next to nothing, not even our first words.
    fn stuck() -> (Rc<Mux>, Memory) {
        let (ours, theirs) = Memory::pair(10);
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let limits = ConnectionLimits { streams_max: 0, window_bytes: WINDOW_BYTES, section };
        let connection = Connection::new(Role::Client, limits, 1, Rc::default());
        (Mux::new(Stream::Plain(Socket::Memory(ours)), connection, Buffer::new()), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_whose_endpoint_does_not_take_goaway_ends() {
        let (mux, _theirs) = stuck();
        let mut watch = Watch::new(SILENCE_MAX);
        assert_eq!(watch.deadline(&mux), Instant::now() + SILENCE_MAX);
        tokio::time::advance(SILENCE_MAX).await;
        assert_eq!(watch.elapsed(&mux), None);
        assert!(mux.connection().has_left() && mux.connection().output_bytes() > 0);
        assert_eq!(watch.elapsed(&mux), Some(MuxEnd::Broken(Kind::TimedOut)));
    }

    #[tokio::test(start_paused = true)]
    async fn streams_of_a_connection_that_has_left_may_last() {
        let (mux, _theirs) = stuck();
        let mut watch = Watch::new(SILENCE_MAX);
        mux.act(|connection| connection.open_stream(false, true, |_, _| {}));
        mux.act(Connection::leave);
        tokio::time::advance(1000 * AGE_MAX).await;
        watch.deadline(&mux);
        assert!(watch.age_end(Instant::now(), &mux.connection()) > Instant::now());
    }
}
