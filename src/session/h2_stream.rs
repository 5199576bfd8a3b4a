//! One stream of a client's HTTP/2 connection: its exchange is like any other.
//!
//! A task that has served one is kept for the next, of whatever connection of its worker: to begin one takes
//! about two thousand instructions, most of which move what it needs to where it stays.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::Instant;

use super::client::{AfterExchange, ClientConnection, ClientSide};
use super::client_info::ClientInfo;
use super::exchange;
use super::preparation;
use super::presence::Presence;
use super::record;
use super::request::Request;
use super::request_log::RequestLog;
use crate::fault::{Fault, Kind, Stage};
use crate::filters::Filters;
use crate::filters::calls::ReplyTo;
use crate::filters::reply::LocalReply;
use crate::grpc::call::Call;
use crate::http::h1::encode::ConnectionHeader;
use crate::http::h2::connection::{Connection, Resets};
use crate::http::h2::error_code::ErrorCode;
use crate::http::h2::request::{self as h2_request, is_malformed};
use crate::http::h2::stream::Abort;
use crate::metrics::Http2Metrics;
use crate::net::deadline::Timer;
use crate::net::mux::Mux;
use crate::net::mux_stream::{MuxStream, kind_of_abort};
use crate::plan::context::WorkerContext;
use crate::plan::listener::Listener;

/// The number of tasks without a stream that a thread keeps, 3 KiB each.
const SPARES_MAX: usize = 256;

thread_local! {
    /// Of any type, since a static one has no parameters: a thread serves with one kind of filters.
    static SPARES: RefCell<Vec<Rc<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// What the streams of a connection have in common.
pub struct H2Session<F> {
    /// The connection.
    pub mux: Rc<Mux>,
    /// Whose it is.
    pub client_info: ClientInfo,
    /// Where it came in.
    pub listener: Rc<Listener<F>>,
}

/// A stream that is to be served.
type Job<F> = (MuxStream, Rc<H2Session<F>>);

/// Serves a stream until its exchange has ended, in a task of its own.
pub fn begin<F: Filters>(stream: MuxStream, shared: Rc<H2Session<F>>) {
    let spare = SPARES.with_borrow_mut(Vec::pop);
    match spare.and_then(|spare| spare.downcast::<Spare<F>>().ok()) {
        Some(spare) => spare.take_up((stream, shared)),
        None => drop(spawn_local(serve_all((stream, shared)))),
    }
}

/// Serves one stream after the other.
async fn serve_all<F: Filters>(mut job: Job<F>) {
    let spare = Rc::new(Spare::new());
    let mut timer = Timer::new();
    loop {
        {
            let (stream, shared) = job;
            let context = shared.listener.handle.get();
            let metrics = &context.metrics.http2;
            metrics.streams_opened.add(1);
            // By reference: a future that owns a stream is copied, all of it, to where it is awaited.
            serve_stream(&stream, &shared, &context, &mut timer).await;
            drop(stream);
            count_resets(metrics, &shared.mux);
            metrics.streams_closed.add(1);
        }
        let Some(waiting) = Waiting::begin(&spare) else { return };
        job = poll_fn(|cx| waiting.0.poll(cx)).await;
    }
}

/// A task that waits for a stream.
struct Spare<F> {
    is_listed: Cell<bool>,
    job: RefCell<Option<Job<F>>>,
    waker: RefCell<Option<Waker>>,
}

impl<F> Spare<F> {
    fn new() -> Self {
        Self { is_listed: Cell::default(), job: RefCell::default(), waker: RefCell::default() }
    }

    fn take_up(&self, job: Job<F>) {
        self.is_listed.set(false);
        *self.job.borrow_mut() = Some(job);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Job<F>> {
        if let Some(job) = self.job.take() {
            return Poll::Ready(job);
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Counts a task among those that wait, until it is taken or ends with its runtime.
struct Waiting<'a, F>(&'a Rc<Spare<F>>);

impl<'a, F: Filters> Waiting<'a, F> {
    /// Unless enough wait.
    fn begin(spare: &'a Rc<Spare<F>>) -> Option<Self> {
        SPARES.with_borrow_mut(|spares| {
            (spares.len() < SPARES_MAX).then(|| {
                spare.is_listed.set(true);
                spares.push(Rc::<Spare<F>>::clone(spare));
                Self(spare)
            })
        })
    }
}

impl<F> Drop for Waiting<'_, F> {
    fn drop(&mut self) {
        if self.0.is_listed.get() {
            // Fails at the end of the thread, where there is no list any more.
            let _ = SPARES.try_with(|spares| {
                let ours: *const Spare<F> = Rc::as_ptr(self.0);
                spares.borrow_mut().retain(|spare| !ptr::addr_eq(Rc::as_ptr(spare), ours));
            });
        }
    }
}

/// A client that has waited this long may give up: it can have only so many streams that wait.
const WAITED: Duration = Duration::from_millis(50);

/// Calls whose deadline is short are reset by the hundred when their endpoint is slow.
fn forgive_late_reset(stream: &MuxStream, began: Instant) {
    if let Some(Abort::Reset(_)) = stream.aborted()
        && began.elapsed() >= WAITED
    {
        stream.mux().act(Connection::forgive_reset);
    }
}

/// Serves one stream until its exchange has ended.
async fn serve_stream<F: Filters>(
    stream: &MuxStream,
    shared: &H2Session<F>,
    context: &Rc<WorkerContext>,
    timer: &mut Timer,
) {
    let Some(arrived) = stream.take_head() else { return };
    let (from, filters) = (&shared.client_info, &*shared.listener.filters);
    let mut request = Request::begin(context, from, filters);
    // As far as it says so: an answer to HEAD has no body, not even a refusal.
    request.traits.method = h2_request::method(&arrived.section);
    let call = Call::of(arrived.section.iter());
    let timing = &mut request.timing;
    timing.expires = call.and_then(|call| timing.began.checked_add(call.timeout?));
    timing.end_head(true);
    timing.on_stream(stream.id());
    let prepared = preparation::prepare_stream(&mut request, (stream, arrived), from, context);
    let mut client = ClientConnection {
        side: ClientSide::H2(stream),
        client_info: &shared.client_info,
        timer,
        presence: Presence::new(None, None),
        is_call: call.is_some(),
        call_status: Cell::new(None),
        endpoint_reset: None,
    };
    match prepared {
        Ok(()) => {
            context.metrics.requests.add(1);
            context.metrics.http2.requests.add(1);
            if let Some(abort) = stream.aborted() {
                give_up(&request, context, kind_of_abort(abort));
            } else {
                // How it ended is how its stream ends.
                let _: AfterExchange = exchange::run(&mut client, &mut request, context).await;
                forgive_late_reset(stream, request.timing.began);
            }
            end_call(&client, context, request.timing.request_log());
            exchange::ended(&mut request, context);
        }
        Err(fault) => refuse(&mut client, stream, &mut request, context, fault).await,
    }
}

/// The stream of a request has ended before anything was done about it, and nothing has to be.
fn give_up<F: Filters>(request: &Request<'_, F>, context: &WorkerContext, kind: Kind) {
    let stage = if request.body.has_ended() { Stage::Connect } else { Stage::Request };
    let fault = Fault::client(stage, kind);
    record::refusal(context, fault);
    if let Some(request_log) = request.timing.request_log() {
        request.route.inspect(|route| request_log.routed(*route));
        request_log.end_by_fault(fault);
    }
}

/// Answers what is no request we serve; resets the stream of what is no request at all.
async fn refuse<F: Filters>(
    client: &mut ClientConnection<'_>,
    stream: &MuxStream,
    request: &mut Request<'_, F>,
    context: &WorkerContext,
    fault: Fault,
) {
    let Request { timing, route, traits, filtered, .. } = request;
    record::refusal(context, fault);
    if let Some(request_log) = timing.request_log() {
        request_log.end_by_fault(fault);
    }
    match (fault.kind, fault.status()) {
        (Kind::Rejected(reject), _) if is_malformed(reject) => {
            stream.reset(ErrorCode::ProtocolError);
        }
        (_, Some(status)) => {
            let (request_id, route) = (timing.request_log().map(RequestLog::request_id), *route);
            let asked = ReplyTo { request_id, route, context };
            let reply = filtered.revised(LocalReply::new(status, fault.phrase()), &asked);
            record::response(context, route, timing.request_log(), reply.status());
            let about = (context, timing.request_log());
            let to = (traits.method, ConnectionHeader::Implied);
            // A client that does not take it has left, which needs no other word.
            let _ = client.send(&reply, (filtered, route), to, about).await;
            context.metrics.durations.observe(timing.began.elapsed());
        }
        (_, None) => {}
    }
    end_call(client, context, timing.request_log());
}

/// Counts a call of gRPC by how it has ended, if the request was one.
fn end_call(
    client: &ClientConnection<'_>,
    context: &WorkerContext,
    request_log: Option<&RequestLog>,
) {
    if !client.is_call {
        return;
    }
    let status = client.call_status.get();
    context.metrics.http2.call(status);
    if let (Some(request_log), Some(status)) = (request_log, status) {
        request_log.call_ended(status);
    }
}

/// Counts the streams that were reset or not taken since this was last done.
pub fn count_resets(metrics: &Http2Metrics, mux: &Mux) {
    let Resets { theirs, ours, refused, late } = mux.act(Connection::take_resets);
    metrics.resets_by_clients.add(theirs);
    metrics.resets_by_us.add(ours);
    metrics.streams_refused.add(refused);
    metrics.streams_late.add(late);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_tasks_are_kept_and_no_more() {
        let spares: Vec<_> = (0..=SPARES_MAX).map(|_| Rc::new(Spare::<()>::new())).collect();
        let waiting: Vec<_> = spares.iter().map_while(Waiting::begin).collect();
        assert_eq!(waiting.len(), SPARES_MAX);
        // As when a runtime ends.
        drop(waiting);
        assert!(SPARES.with_borrow(Vec::is_empty));
        assert!(Waiting::begin(&spares[0]).is_some());
    }
}
