//! An HTTP/1.1 client connection: parked between requests, at work on one after the other.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::Poll;

use tokio::time::Instant;

use super::accepted::{self, Accepted};
use super::client::{AfterExchange, ClientConnection, ClientSide, linger};
use super::client_info::ClientInfo;
use super::exchange;
use super::h2;
use super::parking::{IdleDeadline, Pace, Parked, Session, Wait};
use super::partial_head::{Arrival, Early, HeadSearch, PartialHead};
use super::preparation;
use super::presence::Presence;
use super::record;
use super::request::Request;
use super::request_head::{self, Sender};
use super::request_log::{RequestLog, RequestTiming};
use crate::buffer::Buffer;
use crate::drain::{DrainPhase, SessionGuard};
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
use crate::net::stream::Stream;
use crate::plan::context::WorkerContext;
use crate::plan::handle::{LetGo, PlanHandle};
use crate::tls_hello;

/// Serves a connection until it ends. While parked it holds no buffer and no timer, only this small state; the work on
/// requests is boxed, and gone when they no longer follow closely. `early` is what has come already, if anything has: no
/// room is taken by one that is always empty.
pub fn serve<F: Filters>(
    accepted: Accepted<F>,
    client_info: ClientInfo,
    mut early: impl Iterator<Item = Box<Early>>,
    wait: Wait,
) -> impl Future<Output = ()> {
    let mut session = Session::new(accepted, client_info, wait);
    // A block, since a function would keep each of its arguments twice. Whatever is kept beyond a wait is there in
    // all of them, so that is nothing but the session.
    async move {
        accepted::begin(&session.guard).await;
        loop {
            let mut next = if let Some(early) = early.next() {
                Some(early)
            } else {
                let parked = match session.park().await {
                    Parked::EndsSoon => Box::pin(session.park_to_the_end()).await,
                    parked => parked,
                };
                match parked {
                    Parked::Readable => None,
                    Parked::Leaving => match Box::pin(session.leave()).await {
                        Ok(LetGo::Gone) => return,
                        Ok(LetGo::Readable) => None,
                        Err(HandOffClosed) => continue,
                    },
                    Parked::EndsSoon | Parked::Over => return,
                }
            };
            let (worked, early) = loop {
                let (worked, early) = boxed(|| work(&mut session, next)).await;
                // Not by `==`: what has been borrowed is kept during the wait.
                if !matches!(worked, Worked::Partial) {
                    break (worked, early);
                }
                next = Box::pin(rest_of_head(&mut session, early)).await;
            };
            match worked {
                Worked::Nothing | Worked::Partial | Worked::Ended(AfterExchange::Reuse) => {}
                Worked::Ended(AfterExchange::Close) => return,
                Worked::Ended(AfterExchange::Reset) => {
                    return session.stream.set_reset_on_close(true);
                }
                Worked::Ended(AfterExchange::Linger) => {
                    drop(early);
                    return linger_on(session).await;
                }
                Worked::Http2 => return h2::taken_over(session.into_accepted(), early).await,
            }
        }
    }
}

/// Boxes what is large where it is made: `Box::pin` would copy all of it, 2.5 KiB for each wait of a client.
fn boxed<T>(make: impl FnOnce() -> T) -> Pin<Box<T>> {
    let room = Box::new_uninit();
    Box::into_pin(Box::write(room, make()))
}

/// Lets the client read the answer before its connection is closed.
fn linger_on<F>(mut session: Session<F>) -> Pin<Box<impl Future<Output = ()>>> {
    Box::pin(async move {
        let session = &mut session;
        linger(session.stream.split(), &mut Timer::new()).await;
    })
}

/// Waits for the rest of a head, of which `early` has come.
async fn rest_of_head<F>(
    session: &mut Session<F>,
    mut early: Option<Box<Early>>,
) -> Option<Box<Early>> {
    if let Some(Early::Head(partial)) = early.as_deref_mut() {
        partial.wait(&mut session.stream, &session.listener.handle).await;
    }
    early
}

/// What work on a connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worked {
    /// There was nothing to read yet.
    Nothing,
    /// There was a part of the head of a request.
    Partial,
    /// The last exchange ended in this way, and no other request is waiting to be read.
    Ended(AfterExchange),
    /// The client speaks HTTP/2.
    Http2,
}

/// What the waits between requests depend on.
struct Idle<'a> {
    guard: &'a SessionGuard,
    deadline: IdleDeadline,
    handle: &'a PlanHandle,
}

/// Works on requests until no other is likely to come soon. `early` is what has come already; what has come of HTTP/2
/// is returned, and so is what has come of a request whose head is not whole.
///
/// Not an async function: that would keep its arguments twice.
fn work<F: Filters>(
    session: &mut Session<F>,
    mut early: Option<Box<Early>>,
) -> impl Future<Output = (Worked, Option<Box<Early>>)> {
    let Session { stream, client_info, guard, listener, deadline, .. } = session;
    let handle = &listener.handle;
    let mut idle = Idle { guard, deadline: deadline.unpacked(handle.get().epoch()), handle };
    let mut input = Buffer::new();
    if let Some(Early::Bytes(bytes)) = early.as_deref_mut() {
        input = mem::take(bytes);
        early = None;
    }
    let (filters, timer) = (&*listener.filters, Timer::new());
    let mut connection = Connected { stream, client_info, filters, input, early, timer };
    async move {
        let worked = 'work: {
            if connection.input.is_empty() && connection.early.is_none() {
                // A connection that has just been accepted is taken to be readable, since most are.
                match connection.stream.read_now(&mut connection.input).await {
                    None => break 'work Worked::Nothing,
                    Some(Ok(1..)) => {}
                    Some(Ok(0) | Err(_)) => break 'work Worked::Ended(AfterExchange::Close),
                }
            }
            loop {
                let (worked, pace) = answer_all(&mut connection, &mut idle).await;
                if !matches!((worked, pace), (Worked::Ended(AfterExchange::Reuse), Pace::Brisk)) {
                    break worked;
                }
                match rest(&mut connection, &mut idle).await {
                    Some(Ok(1..)) => {}
                    Some(Ok(0) | Err(_)) => break Worked::Ended(AfterExchange::Close),
                    None => break worked,
                }
            }
        };
        *deadline = idle.deadline.packed(idle.handle);
        (worked, connection.early.take())
    }
}

/// Works on requests until none is waiting to be read.
///
/// Not an async function either.
fn answer_all<F: Filters>(
    connection: &mut Connected<'_, F>,
    idle: &mut Idle<'_>,
) -> impl Future<Output = (Worked, Pace)> {
    async move {
        let (mut last, mut is_first) = (Worked::Nothing, idle.deadline.wait == Wait::First);
        let mut pace = Pace::Leisurely;
        loop {
            let context = idle.handle.get();
            let mut request = Request::begin(&context, connection.client_info, connection.filters);
            match next_request(connection, &mut request, &context).await {
                Ok(Arrival::Request(())) => {}
                Ok(Arrival::Nothing) => {
                    request.timing.discard();
                    return (last, pace);
                }
                Ok(Arrival::Partial) => {
                    return (Worked::Partial, pace);
                }
                Ok(Arrival::End) => {
                    request.timing.discard();
                    return (Worked::Ended(AfterExchange::Close), pace);
                }
                Err(_) if is_first && begins_http2(connection, &context) => {
                    request.timing.discard();
                    connection.early =
                        Some(Box::new(Early::Bytes(mem::take(&mut connection.input))));
                    return (Worked::Http2, pace);
                }
                Err(fault) => {
                    let after = refuse(connection, &mut request, &context, fault).await;
                    return (Worked::Ended(after), pace);
                }
            }
            is_first = false;
            pace = idle.deadline.pace_of(request.timing.began, context.plan.timeouts.keepalive);
            context.metrics.requests.add(1);
            let after = exchange::run(&mut connection.client(), &mut request, &context).await;
            exchange::ended(&mut request, &context);
            if after == AfterExchange::Reuse {
                let keepalive = context.plan.timeouts.keepalive;
                idle.deadline = IdleDeadline::after(request.timing.answered, keepalive);
            }
            last = Worked::Ended(after);
            if after != AfterExchange::Reuse || connection.input.is_empty() {
                return (last, pace);
            }
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
    /// What had come before of a request whose head was not whole; then what is left, for others or to wait.
    early: Option<Box<Early>>,
    timer: Timer,
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
    let early = client.early.take().map(|early| *early);
    let (found, at_once) = if let Some(Early::Head(partial)) = early {
        let (began, found) = partial.resume(&mut client.input);
        request.timing.discard();
        request.timing = RequestTiming::begun_at(began, context, client.client_info);
        (found, false)
    } else {
        let (mut search, limits) = (HeadSearch::begin(), &context.plan.limits);
        let found = search.read_now(client.stream, &mut client.input, limits).await;
        if let Ok(Arrival::Partial) = found {
            let end = Instant::now() + context.plan.timeouts.header;
            let partial = PartialHead::new(&mut client.input, search, end, &mut request.timing);
            client.early = Some(Box::new(Early::Head(partial)));
        }
        // What is there has come with its first byte: no time has passed.
        (found, true)
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
