//! An HTTP/1.1 client connection: parked between requests, at work on one after the other.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::Instant;

use super::accepted::{self, Accepted};
use super::attempt::{OwnAnswer, RequestTraits};
use super::client::{AfterExchange, ClientConnection, linger};
use super::client_info::ClientInfo;
use super::exchange;
use super::presence::Presence;
use super::record;
use super::request_log::RequestTiming;
use super::transfer::Request;
use crate::access_log::is_request_id;
use crate::buffer::Buffer;
use crate::decimal::decimal;
use crate::drain::{DrainPhase, SessionGuard};
use crate::fault::{Fault, Kind, Stage};
use crate::http::h1::chunked::Emit;
use crate::http::h1::encode::{self, Connection};
use crate::http::h1::framing;
use crate::http::h1::parse;
use crate::http::h1::persistence::{self, Options};
use crate::http::h1::reply::Reply;
use crate::http::h1::scan::{Limits, Scan, leading_blank};
use crate::http::message::edits::{EditName, Edits, Value};
use crate::http::message::field::Name;
use crate::http::message::head::{Method, RequestHead, Storage, Version};
use crate::http::message::max_forwards::{self, Reach};
use crate::http::message::redirect::{self, Nowhere};
use crate::http::message::{forwarded, forwarded_for};
use crate::id::RouteId;
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::hand_off::HandOffClosed;
use crate::net::listen::Peer;
use crate::net::stream::{ReadHalf, Stream};
use crate::plan::context::WorkerContext;
use crate::plan::handle::PlanHandle;
use crate::plan::listener::Listener;
use crate::plan::{Plan, Route};
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::relay::copy::Meter;
use crate::relay::head::read_head;
use crate::route;

/// Serves a connection until it ends. While parked it holds no buffer, only this small state;
/// the work on a request is boxed and gone when the next wait begins.
/// `early` is what has come already.
pub fn serve(
    accepted: Accepted,
    client_info: ClientInfo,
    early: Buffer,
    wait: Wait,
) -> impl Future<Output = ()> {
    let Accepted { mut stream, permit, guard, listener, peer: _ } = accepted;
    let mut timer = Timer::new();
    let mut idle_deadline = IdleDeadline::new(wait);
    let mut early = (!early.is_empty()).then(|| Box::new(early));
    // A block, since a function would keep each of its arguments twice.
    async move {
        // Held where it is, to the end.
        let _ = &permit;
        accepted::begin(&guard).await;
        loop {
            if early.is_none() {
                match park(&stream, &guard, &mut timer, &mut idle_deadline, &listener.handle).await
                {
                    Parked::Readable => {}
                    Parked::Leaving => {
                        if Box::pin(leave(&stream, &client_info, idle_deadline.wait, &listener))
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
            let input = early.take().map(|early| *early);
            let working = work(&mut stream, &mut timer, &client_info, input, &listener.handle);
            // Written where it stays: `Box::pin` would copy all of it there.
            match Box::into_pin(Box::write(Box::new_uninit(), working)).await {
                None => {}
                Some(AfterExchange::Reuse) => {
                    idle_deadline = IdleDeadline::new(Wait::Next);
                }
                Some(AfterExchange::Close) => return,
                Some(AfterExchange::Linger) => {
                    return Box::pin(linger(stream.split(), &mut timer)).await;
                }
                Some(AfterExchange::Reset) => return stream.set_reset_on_close(true),
            }
        }
    }
}

async fn leave(
    stream: &Stream,
    client_info: &ClientInfo,
    wait: Wait,
    listener: &Listener,
) -> Result<(), HandOffClosed> {
    let handed_off = client_info.handed_off(listener, wait == Wait::Next);
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
    /// When that is; the clock is read only once a wait is needed.
    end: Option<Instant>,
}

impl IdleDeadline {
    fn new(wait: Wait) -> Self {
        Self { wait, end: None }
    }

    /// When it ends, by the plan that is in force when that is first asked.
    fn end(&mut self, handle: &PlanHandle) -> Instant {
        let limit = || {
            let timeouts = handle.get().plan.timeouts;
            match self.wait {
                Wait::First => timeouts.header,
                Wait::Next => timeouts.keepalive,
            }
        };
        *self.end.get_or_insert_with(|| Instant::now() + limit())
    }
}

fn park(
    stream: &Stream,
    guard: &SessionGuard,
    timer: &mut Timer,
    idle_deadline: &mut IdleDeadline,
    handle: &PlanHandle,
) -> impl Future<Output = Parked> {
    let waiting = poll_fn(|cx| match stream.poll_readable(cx) {
        _ if guard.phase() == DrainPhase::Leaving => Poll::Ready(Parked::Leaving),
        Poll::Ready(Ok(())) => Poll::Ready(Parked::Readable),
        Poll::Ready(Err(_)) => Poll::Ready(Parked::Over),
        Poll::Pending if guard.phase() == DrainPhase::Closing => Poll::Ready(Parked::Over),
        Poll::Pending => Poll::Pending,
    });
    let mut parked = timer.until(|| idle_deadline.end(handle), waiting);
    poll_fn(move |cx| Pin::new(&mut parked).poll(cx).map(|ended| ended.unwrap_or(Parked::Over)))
}

/// Works on requests until none is waiting to be read; `None` if there was nothing to read yet.
async fn work(
    stream: &mut Stream,
    timer: &mut Timer,
    client_info: &ClientInfo,
    early: Option<Buffer>,
    handle: &PlanHandle,
) -> Option<AfterExchange> {
    let has_come = early.is_some();
    let presence = Presence::new(None);
    let input = early.unwrap_or_default();
    let mut client = ClientConnection { stream, client_info, input, timer, presence };
    if !has_come {
        // A connection that has just been accepted is taken to be readable, since most are.
        match client.stream.read_now(&mut client.input).await? {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Some(AfterExchange::Close),
        }
    }
    let mut last = None;
    loop {
        let context = &handle.get();
        let mut request = match next_request(&mut client, context).await {
            Ok(Arrival::Request(request)) => request,
            Ok(Arrival::Nothing) => return last,
            Ok(Arrival::End) => return Some(AfterExchange::Close),
            Err(refused) => return Some(refuse(&mut client, context, refused).await),
        };
        context.metrics.requests.add(1);
        match exchange::run(&mut client, &mut request, context).await {
            AfterExchange::Reuse if !client.input.is_empty() => last = Some(AfterExchange::Reuse),
            after => return Some(after),
        }
    }
}

/// What has come from a client that was waited for.
enum Arrival<T> {
    Request(T),
    /// Nothing but empty lines: it is still idle.
    Nothing,
    /// The end, before another request had begun.
    End,
}

/// What could not be read as a request.
struct Refused {
    fault: Fault,
    /// As far as it says so: an answer to HEAD has no body, not even a refusal (RFC 9110 §9.3.2).
    method: Method,
    /// Where it would have gone, if its head said so.
    route: Option<RouteId>,
    timing: RequestTiming,
}

async fn next_request(
    client: &mut ClientConnection<'_>,
    context: &WorkerContext,
) -> Result<Arrival<Request>, Refused> {
    let plan = &*context.plan;
    let mut timing = RequestTiming::begin(context, client.client_info);
    let before = client.input.len();
    let activity = Activity::new();
    let meter = Meter::new(&activity);
    let (mut read, _) = client.stream.split();
    let reading = read_request(&mut read, &mut client.input, &plan.limits, &meter);
    let read = client.timer.within(plan.timeouts.header, pin!(reading)).await;
    let is_head = client.input.filled().starts_with(b"HEAD ");
    let method = if is_head { Method::Head } else { Method::Other };
    let refused = |kind, timing| Refused {
        fault: Fault::client(Stage::RequestHead, kind),
        method,
        route: None,
        timing,
    };
    let nothing = match read {
        Ok(Ok(Arrival::Request(length))) => {
            // Most heads have come with their first byte: no time has passed.
            let at_once = client.input.len() == before;
            timing.end_head(at_once);
            let local = || client.stream.local_authority();
            let whole = (&mut client.input, length);
            return match prepare(whole, client.client_info, local, context, timing) {
                Ok(request) => Ok(Arrival::Request(request)),
                Err((fault, route, timing)) => Err(Refused { fault, method, route, timing }),
            };
        }
        Ok(Ok(Arrival::Nothing)) => Arrival::Nothing,
        Ok(Ok(Arrival::End)) => Arrival::End,
        Ok(Err(kind)) => return Err(refused(kind, timing)),
        // Half an empty line is no head.
        Err(Elapsed) if client.input.filled() == b"\r" => Arrival::End,
        Err(Elapsed) => return Err(refused(Kind::TimedOut, timing)),
    };
    timing.discard();
    Ok(nothing)
}

/// Reads until `input` holds a whole head and returns its length, unless there is nothing but empty
/// lines.
async fn read_request(
    from: &mut ReadHalf<'_>,
    input: &mut Buffer,
    limits: &Limits,
    meter: &Meter<'_>,
) -> Result<Arrival<usize>, Kind> {
    input.consume(leading_blank(input.filled()));
    while input.filled() == b"\r" {
        if meter.read(from, input).await.map_err(|broken| broken.kind)? == 0 {
            return Ok(Arrival::End);
        }
        input.consume(leading_blank(input.filled()));
    }
    if input.is_empty() {
        return Ok(Arrival::Nothing);
    }
    read_head(from, input, Scan::request(), limits, meter).await.map(Arrival::Request)
}

/// Turns the head, the first `length` bytes of the input, and the part of the body that has arrived,
/// into what is sent to an endpoint. `local` is the address the client connected to.
pub(super) fn prepare(
    (input, length): (&mut Buffer, usize),
    client_info: &ClientInfo,
    local: impl FnOnce() -> String,
    context: &WorkerContext,
    mut timing: RequestTiming,
) -> Result<Request, (Fault, Option<RouteId>, RequestTiming)> {
    let fault = |stage, reject| Fault::client(stage, Kind::Rejected(reject));
    let ReadHead { traits, route, mut body, mut outgoing, location } =
        match read(input, length, client_info, local, context, &mut timing) {
            Ok(read) => read,
            Err(reject) => return Err((fault(Stage::RequestHead, reject), None, timing)),
        };
    match begin_body(&mut body, input, &mut outgoing) {
        Ok(taken) => timing.request_log().inspect(|request_log| request_log.took(taken as u64)),
        Err(reject) => {
            timing
                .request_log()
                .zip(route)
                .inspect(|(request_log, route)| request_log.routed(*route));
            return Err((fault(Stage::Request, reject), route, timing));
        }
    };
    Ok(Request { traits, route, body, outgoing, location, timing })
}

/// Appends what has come of the body, as far as there is room, and says how many bytes that is.
fn begin_body(body: &mut Body, input: &mut Buffer, outgoing: &mut Buffer) -> Result<usize, Reject> {
    let ready = body.admit(input, outgoing.spare_mut().len())?;
    outgoing.append(&input.filled()[..ready]);
    body.pass(input, ready);
    Ok(ready)
}

/// A head that has been read, and encoded for the endpoint.
struct ReadHead {
    traits: RequestTraits,
    route: Option<RouteId>,
    body: Body,
    outgoing: Buffer,
    location: Option<Box<str>>,
}

fn read(
    input: &mut Buffer,
    length: usize,
    client_info: &ClientInfo,
    local: impl FnOnce() -> String,
    context: &WorkerContext,
    timing: &mut RequestTiming,
) -> Result<ReadHead, Reject> {
    let plan = &*context.plan;
    let mut storage = Storage::new();
    let mut outgoing = Buffer::new();
    let head = parse::request(&input.filled()[..length], &plan.limits, &mut storage)?;
    let trusted = client_info.is_trusted(&plan.trusted);
    let client = real_client(&head, client_info, trusted, plan);
    if let Some(request_log) = &mut timing.request_log {
        request_log.read(&head, client, if trusted { request_id(&head) } else { None });
    }
    let framing = framing::request(&head)?;
    let reach = max_forwards::reach(&head)?;
    let path = route::normalise(head.path().as_bytes()).map_err(|_| Reject::PathAboveRoot)?;
    let options = Options::of(&head.fields);
    let redirect = plan.redirect_https.and_then(|port| redirect::of(&head, &path, trusted, port));
    let traits = RequestTraits {
        method: head.semantics,
        version: head.version,
        upgrade: !framing.has_body()
            && persistence::names_protocol(&head.fields, options, head.version),
        expects: framing.has_body()
            && head.version == Version::Http11
            && head.fields.has(Name::Expect),
        persists: options.persists(head.version),
        answered_here: answered_here(redirect.as_ref(), reach),
    };
    let route = plan.router.find(head.authority, &path);
    let left = if let Reach::Hops(left) = reach { Some(decimal(left)) } else { None };
    let mut edits = Edits::new();
    if let Some(via) = &plan.via {
        via.edit_request(&mut edits, &head)?;
    }
    if let Some(left) = &left {
        edits.set(EditName::MAX_FORWARDS, Value::checked(left));
    }
    forwarded::edit(&mut edits, &head, client_info.client, trusted);
    if let Some(address) = real_ip(client, client_info, trusted) {
        edits.set(EditName::X_REAL_IP, Value::address(address));
    }
    // Of an HTTP/1.0 client that names none.
    let needs_host = !head.fields.has(Name::Host) && head.authority.is_empty();
    let host = if needs_host { local() } else { String::new() };
    if needs_host {
        edits.set_host(host.as_bytes());
    }
    if let Some(route) = route {
        edit_for_route(&mut edits, plan.route(route), &head, &path);
    }
    if let Some(request_log) = timing.request_log() {
        edits.set(EditName::X_REQUEST_ID, Value::checked(request_log.request_id()));
    }
    let connection = if traits.upgrade { Connection::Upgrade } else { Connection::Implied };
    let aliases = encode::request(&head, options, &edits, framing, connection, &mut outgoing)?;
    context.metrics.aliases.add(aliases as u64);
    input.consume(length);
    if let Some(request_log) = timing.request_log() {
        request_log.took(length as u64);
    }
    let chunks = if options.names_fields() { Emit::BareChunks } else { Emit::Chunks };
    let location = redirect.and_then(Result::ok);
    Ok(ReadHead { traits, route, body: Body::new(framing, chunks), outgoing, location })
}

fn answered_here(redirect: Option<&Result<Box<str>, Nowhere>>, reach: Reach) -> Option<OwnAnswer> {
    match (redirect, reach) {
        (Some(Ok(_)), _) => Some(OwnAnswer::ToHttps),
        (Some(Err(nowhere)), _) => Some(OwnAnswer::Nowhere(*nowhere)),
        (None, Reach::Here(status)) => Some(OwnAnswer::MaxForwards(status)),
        (None, Reach::Hops(_) | Reach::Anywhere) => None,
    }
}

/// The client's address, where a proxy has said that it is not that of the connection.
fn real_ip(client: Peer, client_info: &ClientInfo, trusted: bool) -> Peer {
    // Addresses are compared for those only that came through a proxy.
    let is_told = trusted || client_info.is_announced();
    client.filter(|_| is_told && client != client_info.peer())
}

/// The client a request is from: the one that a trusted proxy names, if it came from one.
fn real_client(
    head: &RequestHead<'_, '_>,
    client_info: &ClientInfo,
    trusted: bool,
    plan: &Plan,
) -> Peer {
    if !trusted {
        return client_info.client;
    }
    let named = head.fields.values(Name::ForwardedFor);
    let is_trusted = |address| plan.trusted.contains(Some(address));
    forwarded_for::client(named, client_info.client, is_trusted)
}

/// Adds what a route changes about the requests it takes; `path` is the normalised one.
fn edit_for_route<'a>(
    edits: &mut Edits<'a>,
    route: &'a Route,
    head: &RequestHead<'_, 'a>,
    path: &'a [u8],
) {
    if let Some(host) = &route.host_header {
        edits.set_host(host.as_bytes());
    }
    let Some(prefix) = route.strips.as_deref() else { return };
    if let Some(rest) = route::strip(head.path().as_bytes(), path, prefix) {
        edits.set_path(if rest.is_empty() { [b"/", b""] } else { [b"", rest] });
        edits.add(EditName::X_FORWARDED_PREFIX, Value::checked(prefix.as_bytes()));
    }
}

/// What the client calls its request: if it does so once, and not to us only.
fn request_id<'a>(head: &RequestHead<'a, '_>) -> Option<&'a [u8]> {
    let mut named = head.fields.iter().filter(|(known, ..)| *known == Name::RequestId);
    let (_, name, id) = named.next()?;
    let is_for_all = !Options::of(&head.fields).names(&head.fields, name);
    (is_request_id(id) && is_for_all && named.next().is_none()).then_some(id)
}

/// Answers what could not be read as a request; nothing after it is looked at.
async fn refuse(
    client: &mut ClientConnection<'_>,
    context: &WorkerContext,
    refused: Refused,
) -> AfterExchange {
    let Refused { fault, method, route, mut timing } = refused;
    record::refusal(context, fault);
    if let Some(request_log) = &mut timing.request_log {
        request_log.read_odd(client.input.filled());
        request_log.end_by_fault(fault);
    }
    let Some(status) = fault.status() else { return AfterExchange::Close };
    record::response(context, route, timing.request_log(), status);
    let mut out = Buffer::new();
    Reply::new(status, fault.phrase()).write(
        method,
        Connection::Close,
        context.date().get(),
        &mut out,
    );
    let limit = context.plan.timeouts.idle;
    let sent = client.send(&out, limit, timing.request_log()).await;
    context.metrics.durations.observe(timing.began.elapsed());
    match sent {
        Ok(()) => AfterExchange::Linger,
        Err(_) => AfterExchange::Close,
    }
}
