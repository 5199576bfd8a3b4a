//! An HTTP/1.1 client connection: parked between requests, at work on one after the other.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::accepted::{self, Accepted};
use super::client::{AfterExchange, ClientConnection, ClientSide, linger};
use super::client_info::ClientInfo;
use super::exchange;
use super::h2;
use super::partial_head::{Arrival, Early, HeadSearch, PartialHead};
use super::preparation;
use super::presence::Presence;
use super::record;
use super::request::Request;
use super::request_head::{self, Sender};
use super::request_log::{RequestLog, RequestTiming};
use crate::buffer::Buffer;
use crate::drain::{DrainPhase, IDLE_GRACE, SessionGuard};
use crate::fault::{Fault, Kind, Stage};
use crate::filters::Filters;
use crate::filters::calls::ReplyTo;
use crate::filters::reply::LocalReply;
use crate::http::h1::encode::ConnectionHeader;
use crate::http::h2::frame::PREFACE;
use crate::http::message::head::RequestHead;
use crate::log::once_per_second::OncePerSecond;
use crate::net::deadline::Timer;
use crate::net::hand_off::HandOffClosed;
use crate::net::stream::{Mobility, Stream};
use crate::plan::context::WorkerContext;
use crate::plan::handle::PlanHandle;
use crate::plan::listener::Listener;
use crate::tls_hello;

/// Serves a connection until it ends. While parked it holds no buffer, only this small state;
/// the work on requests is boxed, and gone when they no longer follow closely.
/// `early` is what has come already.
pub fn serve<F: Filters>(
    accepted: Accepted<F>,
    client_info: ClientInfo,
    early: Buffer,
    wait: Wait,
) -> impl Future<Output = ()> {
    let Accepted { mut stream, permit, guard, listener, peer: _ } = accepted;
    let mut timer = Timer::new();
    let mut idle_deadline = IdleDeadline::new(wait, None);
    let mut early = (!early.is_empty()).then(|| Box::new(Early::Bytes(early)));
    // A block, since a function would keep each of its arguments twice.
    async move {
        // Held where it is, to the end.
        let _ = &permit;
        accepted::begin(&guard).await;
        loop {
            if let Some(Early::Head(partial)) = early.as_deref_mut() {
                Box::pin(partial.wait(&mut stream, &mut timer, &listener.handle)).await;
            } else if early.is_none() {
                match park(&stream, &guard, &mut timer, &mut idle_deadline, &listener.handle).await
                {
                    Parked::Readable => {}
                    Parked::Leaving => {
                        if Box::pin(leave(&stream, &client_info, idle_deadline.wait, &*listener))
                            .await
                            .is_ok()
                        {
                            return;
                        }
                        continue;
                    }
                    Parked::Over => return,
                }
            }
            let idle =
                Idle { guard: &guard, deadline: &mut idle_deadline, handle: &listener.handle };
            let client = (&client_info, &*listener.filters);
            let working = work(&mut stream, &mut timer, client, &mut early, idle);
            match Box::pin(working).await {
                Worked::Nothing | Worked::Ended(AfterExchange::Reuse) => {}
                Worked::Ended(AfterExchange::Close) => return,
                Worked::Ended(AfterExchange::Linger) => {
                    return Box::pin(linger(stream.split(), &mut timer)).await;
                }
                Worked::Ended(AfterExchange::Reset) => return stream.set_reset_on_close(true),
                Worked::Http2 => break,
            }
        }
        let accepted = (stream, permit, guard, listener);
        let early = early.map(|early| early.into_bytes()).unwrap_or_default();
        h2::taken_over(accepted, client_info, early).await;
    }
}

async fn leave<F>(
    stream: &Stream,
    client_info: &ClientInfo,
    wait: Wait,
    listener: &Listener<F>,
) -> Result<(), HandOffClosed> {
    let handed_off = client_info.handed_off(listener.id, wait == Wait::Next);
    listener.handle.let_go(stream, &handed_off).await
}

/// How a wait between requests ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parked {
    Readable,
    /// It is to go to another process, with whatever has come.
    Leaving,
    Over,
}

/// What a client that rests is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its first request.
    First,
    /// The next one.
    Next,
}

/// How long a client may be idle, however many empty lines it sends meanwhile.
struct IdleDeadline {
    wait: Wait,
    /// Since when it has been idle, if that is known; the clock is read only once a wait is needed.
    since: Option<Instant>,
    end: Option<Instant>,
}

impl IdleDeadline {
    fn new(wait: Wait, since: Option<Instant>) -> Self {
        Self { wait, since, end: None }
    }

    /// When it ends, by the plan in force when that is first asked; soon, if the connection is to end anyway.
    fn end(&mut self, handle: &PlanHandle) -> Instant {
        let limit = || {
            let timeouts = handle.get().plan.timeouts;
            match self.wait {
                Wait::First => timeouts.header,
                Wait::Next => timeouts.keepalive,
            }
        };
        let since = || self.since.unwrap_or_else(Instant::now);
        let end = self.end.get_or_insert_with(|| since() + limit());
        if handle.get().drain.phase() == DrainPhase::Leaving {
            *end = (*end).min(Instant::now() + IDLE_GRACE);
        }
        *end
    }

    /// When a rest is over that is the beginning of a wait until `end`, which is `keepalive` long.
    fn rest_end(end: Instant, keepalive: Duration) -> Instant {
        keepalive.checked_sub(REST).and_then(|more| end.checked_sub(more)).unwrap_or(end)
    }

    /// How closely a request that began then has followed the one before.
    fn pace_of(&self, began: Instant, keepalive: Duration) -> Pace {
        match (self.wait, self.end) {
            (Wait::First, _) => Pace::Leisurely,
            (Wait::Next, Some(end)) if began + keepalive > end + BRISK => Pace::Leisurely,
            (Wait::Next, _) => Pace::Brisk,
        }
    }
}

/// Requests that follow each other in less than this are taken to go on that way.
const BRISK: Duration = Duration::from_millis(100);

/// For how long what the work on requests needs is kept when they no longer do: a timer that is set again for
/// each second, and 4 KiB.
const REST: Duration = Duration::from_secs(1);

fn park(
    stream: &Stream,
    guard: &SessionGuard,
    timer: &mut Timer,
    idle_deadline: &mut IdleDeadline,
    handle: &PlanHandle,
) -> impl Future<Output = Parked> {
    let waiting = poll_fn(|cx| match (stream.poll_readable(cx), guard.phase()) {
        (_, DrainPhase::Leaving) if stream.mobility() == Mobility::Moves => {
            Poll::Ready(Parked::Leaving)
        }
        (Poll::Ready(Ok(())), _) => Poll::Ready(Parked::Readable),
        (Poll::Ready(Err(_)), _) | (Poll::Pending, DrainPhase::Closing) => {
            Poll::Ready(Parked::Over)
        }
        (Poll::Pending, _) => Poll::Pending,
    });
    let mut parked = timer.until(|| idle_deadline.end(handle), waiting);
    poll_fn(move |cx| Pin::new(&mut parked).poll(cx).map(|ended| ended.unwrap_or(Parked::Over)))
}

/// What work on a connection has come to.
enum Worked {
    /// There was nothing to read yet.
    Nothing,
    /// The last exchange ended in this way, and no other request is waiting to be read.
    Ended(AfterExchange),
    /// The client speaks HTTP/2.
    Http2,
}

/// What the waits between requests depend on.
struct Idle<'a> {
    guard: &'a SessionGuard,
    deadline: &'a mut IdleDeadline,
    handle: &'a PlanHandle,
}

/// Works on requests until no other is likely to come soon. `early` is what has come already; what has come
/// of HTTP/2 is left there, and of a request whose head is not whole.
async fn work<F: Filters>(
    stream: &mut Stream,
    timer: &mut Timer,
    (client_info, filters): (&ClientInfo, &F),
    early: &mut Option<Box<Early>>,
    mut idle: Idle<'_>,
) -> Worked {
    let (input, partial) = match early.take().map(|early| *early) {
        None => (Buffer::new(), None),
        Some(Early::Bytes(input)) => (input, None),
        Some(Early::Head(partial)) => (Buffer::new(), Some(partial)),
    };
    let mut connection = Connected { stream, client_info, filters, input, partial, timer };
    if connection.input.is_empty() && connection.partial.is_none() {
        // A connection that has just been accepted is taken to be readable, since most are.
        match connection.stream.read_now(&mut connection.input).await {
            None => return Worked::Nothing,
            Some(Ok(1..)) => {}
            Some(Ok(0) | Err(_)) => return Worked::Ended(AfterExchange::Close),
        }
    }
    loop {
        let (worked, pace) = answer_all(&mut connection, &mut idle, early).await;
        if !matches!((&worked, pace), (Worked::Ended(AfterExchange::Reuse), Pace::Brisk)) {
            return worked;
        }
        match rest(&mut connection, &mut idle).await {
            Some(Ok(1..)) => {}
            Some(Ok(0) | Err(_)) => return Worked::Ended(AfterExchange::Close),
            None => return worked,
        }
    }
}

/// How closely requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// So closely that what the work on them needs is kept for the next.
    Brisk,
    Leisurely,
}

/// Works on requests until none is waiting to be read.
async fn answer_all<F: Filters>(
    connection: &mut Connected<'_, F>,
    idle: &mut Idle<'_>,
    early: &mut Option<Box<Early>>,
) -> (Worked, Pace) {
    let (mut last, mut is_first) = (Worked::Nothing, idle.deadline.wait == Wait::First);
    let mut pace = Pace::Leisurely;
    loop {
        let context = &idle.handle.get();
        let mut request = Request::begin(context, connection.client_info, connection.filters);
        match next_request(connection, &mut request, context).await {
            Ok(Arrival::Request(())) => {}
            Ok(Arrival::Nothing) => {
                request.timing.discard();
                return (last, pace);
            }
            Ok(Arrival::Partial) => {
                *early = connection.partial.take().map(|partial| Box::new(Early::Head(partial)));
                return (Worked::Nothing, pace);
            }
            Ok(Arrival::End) => {
                request.timing.discard();
                return (Worked::Ended(AfterExchange::Close), pace);
            }
            Err(_) if is_first && begins_http2(connection, context) => {
                request.timing.discard();
                *early = Some(Box::new(Early::Bytes(mem::take(&mut connection.input))));
                return (Worked::Http2, pace);
            }
            Err(fault) => {
                let after = refuse(connection, &mut request, context, fault).await;
                return (Worked::Ended(after), pace);
            }
        }
        is_first = false;
        pace = idle.deadline.pace_of(request.timing.began, context.plan.timeouts.keepalive);
        context.metrics.requests.add(1);
        let after = exchange::run(&mut connection.client(), &mut request, context).await;
        exchange::ended(&mut request, context);
        if after == AfterExchange::Reuse {
            *idle.deadline = IdleDeadline::new(Wait::Next, request.timing.answered);
        }
        last = Worked::Ended(after);
        if after != AfterExchange::Reuse || connection.input.is_empty() {
            return (last, pace);
        }
    }
}

/// Waits for a short while for the next request, and reads what comes. Whatever else happens is left to the wait
/// that follows.
async fn rest<F>(
    connection: &mut Connected<'_, F>,
    idle: &mut Idle<'_>,
) -> Option<io::Result<usize>> {
    let Connected { stream, timer, input, .. } = connection;
    let Idle { guard, deadline, handle } = idle;
    let (from, _) = stream.split();
    let reading = poll_fn(|cx| match guard.phase() {
        DrainPhase::Serving => from.poll_read(cx, input).map(Some),
        DrainPhase::Leaving | DrainPhase::Draining | DrainPhase::Closing => Poll::Ready(None),
    });
    let keepalive = handle.get().plan.timeouts.keepalive;
    let end = || IdleDeadline::rest_end(deadline.end(handle), keepalive);
    timer.until(end, reading).await.unwrap_or(None)
}

/// Whether what could not be read as a request is how HTTP/2 begins, as far as it looks like a head
/// (RFC 9113 §3.4), and HTTP/2 is spoken here.
fn begins_http2<F>(connection: &Connected<'_, F>, context: &WorkerContext) -> bool {
    let head = &PREFACE[..PREFACE.len() - b"SM\r\n\r\n".len()];
    context.plan.http2.is_some() && connection.input.filled().starts_with(head)
}

/// A connection at work.
struct Connected<'a, F> {
    stream: &'a mut Stream,
    client_info: &'a ClientInfo,
    filters: &'a F,
    /// What has been read from it and not been used.
    input: Buffer,
    /// What had come before of a request whose head was not whole; or what is left of one now.
    partial: Option<PartialHead>,
    timer: &'a mut Timer,
}

impl<F> Connected<'_, F> {
    /// The client, for an exchange.
    fn client(&mut self) -> ClientConnection<'_> {
        let Self { stream, client_info, input, timer, .. } = self;
        let side = ClientSide::H1 { stream, input };
        let presence = Presence::new(None, None);
        ClientConnection {
            side,
            client_info,
            timer,
            presence,
            is_call: false,
            call_status: Cell::new(None),
            endpoint_reset: None,
        }
    }
}

/// Reads the next request, if one comes.
async fn next_request<F: Filters>(
    client: &mut Connected<'_, F>,
    request: &mut Request<'_, F>,
    context: &WorkerContext,
) -> Result<Arrival<()>, Fault> {
    let sender = Sender { client_info: client.client_info, stream: Some(&*client.stream) };
    let whole = preparation::prepare_whole(request, &mut client.input, sender, context);
    if let Some(prepared) = whole {
        return prepared.map(Arrival::Request);
    }
    let found = read_odd(client, request, context).await;
    request.note_method(&client.input);
    let sender = Sender { client_info: client.client_info, stream: Some(&*client.stream) };
    let kind = match found {
        Ok(Arrival::Request(length)) => {
            let whole = (&mut client.input, length);
            return preparation::prepare(request, whole, sender, context).map(Arrival::Request);
        }
        Ok(Arrival::Partial) => return Ok(Arrival::Partial),
        Ok(Arrival::Nothing) => return Ok(Arrival::Nothing),
        Ok(Arrival::End) => return Ok(Arrival::End),
        Err(kind) => kind,
    };
    request_head::show_refused(request, &RequestHead::UNREAD, sender, context);
    Err(Fault::client(Stage::RequestHead, kind))
}

/// Looks for the head of a request that has not come whole in one piece, or has something odd about it. What has
/// come of one that is not whole goes on to wait without all that the work on it needs.
async fn read_odd<F: Filters>(
    client: &mut Connected<'_, F>,
    request: &mut Request<'_, F>,
    context: &WorkerContext,
) -> Result<Arrival<usize>, Kind> {
    let (found, at_once) = if let Some(partial) = client.partial.take() {
        let (began, found) = partial.resume(&mut client.input);
        request.timing.discard();
        request.timing = RequestTiming::begun_at(began, context, client.client_info);
        (found, false)
    } else {
        let (mut search, before) = (HeadSearch::new(), client.input.len());
        let limits = &context.plan.limits;
        let found = search.read_now(client.stream, &mut client.input, limits).await;
        if let Ok(Arrival::Partial) = found {
            let end = Instant::now() + context.plan.timeouts.header;
            let partial = PartialHead::new(&mut client.input, search, end, &mut request.timing);
            client.partial = Some(partial);
        }
        // Most heads have come with their first byte: no time has passed.
        (found, client.input.len() == before)
    };
    if let Ok(Arrival::Request(_)) = found {
        request.timing.end_head(at_once);
    }
    found
}

static TLS_WARNINGS: OncePerSecond = OncePerSecond::new();

/// What such a client shows its user says nothing of the cause.
fn warn_of_tls<F>(client: &Connected<'_, F>) {
    let Some(before) = TLS_WARNINGS.permits(Instant::now()) else { return };
    let address = client.stream.local_authority();
    let peer = client.client_info.peer().map_or_else(|| "unix:".to_owned(), |ip| ip.to_string());
    log::warn!(
        "{peer} spoke TLS to {address}, which is for plain HTTP: \
         https needs --listen-tls ({before} times before)"
    );
}

/// Answers what could not be read as a request; nothing after it is looked at.
async fn refuse<F: Filters>(
    client: &mut Connected<'_, F>,
    request: &mut Request<'_, F>,
    context: &WorkerContext,
    fault: Fault,
) -> AfterExchange {
    let Request { timing, route, traits, filtered, .. } = request;
    record::refusal(context, fault);
    if tls_hello::begins(client.input.filled()) {
        warn_of_tls(client);
    }
    if let Some(request_log) = &mut timing.request_log {
        request_log.read_odd(client.input.filled());
        request_log.end_by_fault(fault);
    }
    let Some(status) = fault.status() else { return AfterExchange::Close };
    let (request_id, route) = (timing.request_log().map(RequestLog::request_id), *route);
    let asked = ReplyTo { request_id, route, context };
    let reply = filtered.revised(LocalReply::new(status, fault.phrase()), &asked);
    record::response(context, route, timing.request_log(), reply.status());
    let about = (context, timing.request_log());
    let to = (traits.method, ConnectionHeader::Close);
    let sent = client.client().send(&reply, (filtered, route), to, about).await;
    context.metrics.durations.observe(timing.began.elapsed());
    match sent {
        Ok(()) => AfterExchange::Linger,
        Err(_) => AfterExchange::Close,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPALIVE: Duration = Duration::from_secs(75);

    #[test]
    fn a_rest_ends_a_second_after_its_wait_began_or_with_it() {
        let began = Instant::now();
        for (keepalive, expected) in [(75_000, 1000), (1000, 1000), (300, 300)] {
            let keepalive = Duration::from_millis(keepalive);
            let end = IdleDeadline::rest_end(began + keepalive, keepalive);
            assert_eq!(end, began + Duration::from_millis(expected), "{keepalive:?}");
        }
    }

    #[test]
    fn requests_less_than_a_tenth_of_a_second_apart_are_brisk() {
        let now = Instant::now();
        for (wait, waited, expected) in [
            (Wait::First, None, Pace::Leisurely),
            (Wait::First, Some(1), Pace::Leisurely),
            (Wait::Next, None, Pace::Brisk),
            (Wait::Next, Some(100), Pace::Brisk),
            (Wait::Next, Some(101), Pace::Leisurely),
        ] {
            let end = waited.map(|waited| now + KEEPALIVE - Duration::from_millis(waited));
            let idle_deadline = IdleDeadline { wait, since: None, end };
            assert_eq!(idle_deadline.pace_of(now, KEEPALIVE), expected, "{wait:?} {waited:?}");
        }
    }
}
