//! An HTTP/2 client connection: one task that reads and writes, and one for each of its streams, in which
//! its exchange is like any other.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::accepted::{self, Accepted};
use super::client::{close, linger};
use super::client_info::ClientInfo;
use super::h2_stream::{self, H2Session, count_resets};
use super::partial_head::Early;
use crate::app_protocol::AppProtocol;
use crate::buffer::Buffer;
use crate::drain::{DrainPhase, IDLE_GRACE, SessionGuard};
use crate::fault::Kind;
use crate::filters::Filters;
use crate::http::h2::connection::{Connection, ConnectionError, Role};
use crate::http::h2::error_code::ErrorCode;
use crate::http::h2::flow::WINDOW_BYTES;
use crate::http::h2::limits::ConnectionLimits;
use crate::http::h2::section::SectionLimits;
use crate::log::once_per_second::OncePerSecond;
use crate::metrics::Http2Metrics;
use crate::net::deadline::{Elapsed, Timer};
use crate::net::mux::{Mux, MuxEnd, MuxEvent};
use crate::net::mux_stream::MuxStream;
use crate::plan::{Http2, Plan};

/// What a ping that asks whether GOAWAY has been read carries.
const LEAVING: [u8; 8] = *b"leaving.";

/// What one carries that asks whether all has been read.
const LAST: [u8; 8] = *b"and last";

/// Streams of a client that was promised HTTP/2 before it was turned off: as many as RFC 9113 §6.5.2 advises
/// to allow at least.
const STREAMS_MAX_PROMISED: u32 = 100;

/// What a client is told that speaks HTTP/2 over TLS without having agreed on it (RFC 9113 §3.3).
const NOT_AGREED_ON: ConnectionError =
    ConnectionError::new(ErrorCode::Http11Required, "over TLS, HTTP/2 has to be agreed on by ALPN");

/// How long a request may be on its way that crosses GOAWAY: as long as a round trip takes nearly everywhere.
const CROSSING: Duration = Duration::from_millis(250);

/// How long a connection has no stream before it gives back what only streams need.
const REST: Duration = Duration::from_secs(1);

/// How long a wait is that something else ends.
const NO_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// Serves a connection that has been taken for one of HTTP/1.1. Boxed: most are.
pub fn taken_over<F: Filters>(
    (accepted, client_info): (Accepted<F>, ClientInfo),
    early: Option<Box<Early>>,
) -> Pin<Box<impl Future<Output = ()>>> {
    let early = early.map(|early| early.into_bytes()).unwrap_or_default();
    Box::pin(serve(accepted, client_info, early))
}

/// Serves a connection until it ends. `early` is what has come already.
pub async fn serve<F: Filters>(accepted: Accepted<F>, client_info: ClientInfo, early: Buffer) {
    let Accepted { stream, permit: _permit, guard, listener, peer: _ } = accepted;
    accepted::begin(&guard).await;
    let context = listener.handle.get();
    let (limits, metrics) = (limits(&context.plan), Arc::clone(&context.metrics));
    let allowance = Rc::clone(&context.window_allowance);
    // It may outlive the plan.
    drop(context);
    metrics.http2.opened.add(1);
    let mux = Mux::new(stream, Connection::new(Role::Server, limits, 0, allowance), early);
    if client_info.tls().is_some() && client_info.protocol() != AppProtocol::Http2 {
        mux.fail(NOT_AGREED_ON);
    }
    let shared = Rc::new(H2Session { mux, client_info, listener });
    let mut session = Session::new(&shared, &guard);
    let mut timer = Timer::new();
    let mut waits = Waits::new();
    let (ended, is_read) = loop {
        let working = poll_fn(|cx| {
            let polled = session.poll(cx);
            // The streams that there are may last.
            if shared.mux.connection().has_refused() {
                count_resets(&metrics.http2, &shared.mux);
            }
            polled
        });
        let event = timer.until(|| waits.deadline(&session), pin!(working)).await;
        match event {
            Ok(Event::Mux(MuxEvent::Opened(key))) => {
                let stream = MuxStream::accepted(&shared.mux, key);
                h2_stream::begin(stream, Rc::clone(&shared));
            }
            Ok(Event::Mux(MuxEvent::Ponged(LEAVING))) if session.is_announced() => {
                session.leave(LeavingStep::Confirmed);
            }
            Ok(Event::Mux(MuxEvent::Ponged(LAST))) if session.has_asked() => {
                break (MuxEnd::Done, true);
            }
            Ok(Event::Mux(MuxEvent::Ponged(_) | MuxEvent::GoAway(_))) => {}
            Ok(Event::Mux(MuxEvent::Over(end))) => break (end, false),
            Ok(Event::Leaves) => session.begin_leaving(),
            Ok(Event::Quiet) => session.announce_leaving(),
            Ok(Event::Done) if session.is_worth_asking() => session.ask(),
            Ok(Event::Done) => break (MuxEnd::Done, false),
            Err(Elapsed) if waits.rests() => shared.mux.rest(),
            Err(Elapsed) if session.is_finishing() => session.announce_leaving(),
            Err(Elapsed) if session.is_announced() => session.leave(LeavingStep::Unconfirmed),
            Err(Elapsed) if session.has_asked() => break (MuxEnd::Done, false),
            Err(Elapsed) if session.is_idle() => session.begin_leaving(),
            Err(Elapsed) => break (MuxEnd::Broken(Kind::TimedOut), false),
        }
    };
    if let MuxEnd::Failed(error) = ended {
        record_failure(&metrics.http2, &shared.client_info, error);
    }
    shared.mux.end(ended);
    match ended {
        MuxEnd::Broken(_) => {}
        MuxEnd::Done if is_read => close(shared.mux.halves(), &mut timer).await,
        MuxEnd::Done | MuxEnd::Failed(_) => linger(shared.mux.halves(), &mut timer).await,
    }
    // They know that it has ended, and have nothing more to wait for.
    poll_fn(|cx| shared.mux.poll_empty(cx)).await;
    count_resets(&metrics.http2, &shared.mux);
    metrics.http2.closed.add(1);
}

static FAILURES: OncePerSecond = OncePerSecond::new();

/// Counts a connection whose client broke a rule, and says so.
fn record_failure(metrics: &Http2Metrics, client_info: &ClientInfo, error: ConnectionError) {
    metrics.failed[error.code as usize].add(1);
    if let Some(exhausted) = error.exhausted {
        metrics.floods[exhausted as usize].add(1);
    }
    let Some(before) = FAILURES.permits(Instant::now()) else { return };
    let client = client_info.client.map_or_else(|| "unix:".to_owned(), |ip| ip.to_string());
    let ConnectionError { code, reason, .. } = error;
    log::info!("{client}: HTTP/2 connection ended: {code}: {reason} ({before} times before)");
}

/// What a connection may cost, as the plan has it.
fn limits(plan: &Plan) -> ConnectionLimits {
    ConnectionLimits {
        streams_max: streams_max(plan.http2),
        window_bytes: WINDOW_BYTES,
        section: SectionLimits::of_heads(&plan.limits),
    }
}

/// How many streams a client may have at a time. A reload may have turned HTTP/2 off since it was agreed on
/// in the handshake: then this connection still speaks it.
fn streams_max(http2: Option<Http2>) -> u32 {
    http2.map_or(STREAMS_MAX_PROMISED, |http2| http2.streams_max)
}

/// What the task of a connection has to deal with.
enum Event {
    Mux(MuxEvent),
    /// The process is to end, or to be replaced.
    Leaves,
    /// After that, its last stream has ended.
    Quiet,
    /// One side has said that it leaves, and all streams have ended.
    Done,
}

/// The task of a connection.
struct Session<'a, F> {
    shared: &'a Rc<H2Session<F>>,
    guard: &'a SessionGuard,
    leaving: LeavingStep,
}

/// How far we have come with ending a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeavingStep {
    /// It serves.
    Not,
    /// It still serves, since this time, until a moment without streams.
    Finishing(Instant),
    /// The client was told, and has until this time to say that it knows.
    Announced { until: Instant },
    /// It has answered that, and what it opens now is ignored.
    Confirmed,
    /// It has not, but what it opens now is ignored.
    Unconfirmed,
    /// After all that there was to say, it was asked at this time whether it has read everything.
    Asked(Instant),
}

impl<'a, F> Session<'a, F> {
    fn new(shared: &'a Rc<H2Session<F>>, guard: &'a SessionGuard) -> Self {
        Self { shared, guard, leaving: LeavingStep::Not }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Event> {
        // Before what its last stream has sent is written: the client reads both at once.
        if self.is_finishing() && self.shared.mux.connection().streams() == 0 {
            return Poll::Ready(Event::Quiet);
        }
        match self.shared.mux.poll(cx) {
            Poll::Ready(event) => Poll::Ready(Event::Mux(event)),
            Poll::Pending if self.is_to_leave() => Poll::Ready(Event::Leaves),
            Poll::Pending if !self.has_asked() && self.is_done() => Poll::Ready(Event::Done),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether no stream will be opened any more, and all that were have ended.
    fn is_done(&self) -> bool {
        let connection = self.shared.mux.connection();
        let is_leaving = connection.has_left() || connection.peer_leaves();
        is_leaving && connection.streams() == 0 && connection.output_bytes() == 0
    }

    /// Whether there is nothing to do, and the client does not know yet that there will not be.
    fn is_idle(&self) -> bool {
        let connection = self.shared.mux.connection();
        let is_quiet = connection.streams() == 0 && connection.output_bytes() == 0;
        connection.is_open() && is_quiet && !connection.is_amid_block() && !connection.has_left()
    }

    /// Whether the process is to end, and nothing has been done about it.
    fn is_to_leave(&self) -> bool {
        self.leaving == LeavingStep::Not && self.guard.phase() != DrainPhase::Serving
    }

    /// Ends the connection once its streams have ended. Clients that take nothing after GOAWAY (Python's h2) lose
    /// what is under way then: they are told in a moment without streams, if one comes. For their sake one
    /// without any is sent no ping, and a request that is on its way is served if it comes within a moment.
    fn begin_leaving(&mut self) {
        if self.is_idle() {
            self.leaving = LeavingStep::Announced { until: Instant::now() + CROSSING };
            self.shared.mux.act(Connection::announce_leaving);
        } else if self.shared.mux.connection().streams() > 0 {
            self.leaving = LeavingStep::Finishing(Instant::now());
        } else {
            self.announce_leaving();
        }
    }

    /// Whether such a moment is waited for.
    fn is_finishing(&self) -> bool {
        matches!(self.leaving, LeavingStep::Finishing(_))
    }

    /// The first of two steps (RFC 9113 §6.8): requests that are on their way are still taken.
    fn announce_leaving(&mut self) {
        self.leaving = LeavingStep::Announced { until: Instant::now() + IDLE_GRACE };
        self.shared.mux.act(|connection| {
            connection.ping_peer(LEAVING);
            connection.announce_leaving();
        });
    }

    /// Whether that has been done, and the second has not.
    fn is_announced(&self) -> bool {
        matches!(self.leaving, LeavingStep::Announced { .. })
    }

    /// Whether the client can be expected to say that it has read everything.
    fn is_worth_asking(&self) -> bool {
        match self.leaving {
            LeavingStep::Confirmed => true,
            LeavingStep::Unconfirmed | LeavingStep::Asked(_) => false,
            LeavingStep::Not | LeavingStep::Finishing(_) | LeavingStep::Announced { .. } => {
                self.shared.mux.connection().peer_leaves()
            }
        }
    }

    /// All has been said and written. Once this is answered, the connection can be closed without a wait: a
    /// reset could not destroy anything that the client has not read.
    fn ask(&mut self) {
        self.leaving = LeavingStep::Asked(Instant::now());
        self.shared.mux.act(|connection| {
            // A client that leaves itself may have opened one more stream.
            connection.leave();
            connection.ping_peer(LAST);
        });
    }

    /// Whether that has been done.
    fn has_asked(&self) -> bool {
        matches!(self.leaving, LeavingStep::Asked(_))
    }

    /// Until when a step is waited for.
    fn waits_until(&self) -> Option<Instant> {
        match self.leaving {
            LeavingStep::Finishing(at) | LeavingStep::Asked(at) => Some(at + IDLE_GRACE),
            LeavingStep::Announced { until } => Some(until),
            LeavingStep::Not | LeavingStep::Confirmed | LeavingStep::Unconfirmed => None,
        }
    }

    /// The second step: the client has read of the first, or has had the time to.
    fn leave(&mut self, leaving: LeavingStep) {
        self.leaving = leaving;
        self.shared.mux.act(Connection::leave);
    }
}

/// What a connection waits for, and since when.
struct Waits {
    began: Instant,
    /// When a header block began to come, if it has not come whole.
    block_began: Option<Instant>,
    /// When its last stream ended.
    idle_since: Option<Instant>,
    /// Whether it has given back what only streams need since.
    has_rested: bool,
}

impl Waits {
    fn new() -> Self {
        let began = Instant::now();
        Self { began, block_began: None, idle_since: None, has_rested: true }
    }

    /// Whether the deadline that has passed is that of resting; it is not asked twice.
    fn rests(&mut self) -> bool {
        let is_idle = self.idle_since.is_some_and(|since| since.elapsed() >= REST);
        is_idle && !std::mem::replace(&mut self.has_rested, true)
    }

    /// Until when something has to happen. It is asked whenever nothing does.
    fn deadline<F>(&mut self, session: &Session<'_, F>) -> Instant {
        let mux = &session.shared.mux;
        let timeouts = session.shared.listener.handle.get().plan.timeouts;
        let connection = mux.connection();
        let mut now = None;
        let mut since = |moment: &mut Option<Instant>, is: bool| {
            *moment = is.then(|| moment.unwrap_or_else(|| *now.get_or_insert_with(Instant::now)));
            *moment
        };
        let block = since(&mut self.block_began, connection.is_amid_block());
        let idle = since(&mut self.idle_since, connection.streams() == 0);
        self.has_rested &= idle.is_some();
        let is_written = connection.output_bytes() == 0;
        let opening = (!connection.is_open()).then(|| self.began + timeouts.header);
        let ends = [
            opening,
            block.map(|began| began + timeouts.header),
            idle.filter(|_| is_written && !session.is_announced())
                .map(|since| since + timeouts.keepalive),
            idle.filter(|_| !self.has_rested).map(|since| since + REST),
            (!is_written).then(|| mux.written.last() + timeouts.idle),
            session.waits_until(),
        ];
        let first = ends.into_iter().flatten().min();
        first.unwrap_or_else(|| Instant::now() + NO_DEADLINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_promised_http2_takes_streams_although_it_is_off() {
        assert_eq!(streams_max(Some(Http2 { streams_max: 3 })), 3);
        assert_eq!(streams_max(None), 100);
    }
}
