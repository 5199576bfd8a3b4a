//! One client connection from its acceptance to its end.

pub mod accepted;
pub mod admission;
pub mod affinity;
pub mod answer;
#[cfg(test)]
mod answer_tests;
pub mod attempt;
mod attempt_edits;
pub mod client;
pub mod client_info;
mod conclusion;
mod copy_attempt;
mod cut;
pub mod directions;
pub mod exchange;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod give_back;
pub mod h1;
pub mod h2;
pub mod h2_stream;
pub mod hearing;
pub mod hello;
mod investigation;
mod local_answer;
mod mirror;
pub mod parking;
pub mod partial_head;
mod preparation;
mod prepared_copy;
pub mod presence;
pub mod record;
pub mod request;
mod request_copy;
mod request_head;
pub mod request_log;
pub mod retry;
pub mod secure;
#[cfg(any(test, fuzzing))]
pub mod simulation;
pub mod tcp;
pub mod tls;
mod tracing;
pub mod transfer;
pub mod transfer_state;
pub mod tunnel;
mod upload;
pub mod upstream_h2;
pub mod upstream_side;

use std::iter;
use std::pin::Pin;
use std::rc::Rc;

use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use crate::access_log::Protocol;
use crate::app_protocol::AppProtocol;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind};
use crate::filters::calls::NewConnection;
use crate::filters::{ConnectionVerdict, Filters};
use crate::net::deadline::Timer;
use crate::net::limiter::ConnectionPermit;
use crate::net::listen::Peer;
use crate::net::stream::Stream;
use crate::plan::context::WorkerContext;
use crate::plan::listener::{Listener, ListenerKind, Preamble, Service, Transport};
use accepted::Accepted;
use client_info::ClientInfo;
use parking::Wait;
use partial_head::Early;
use request_log::RequestLog;
use tcp::{Relay, Target};

/// Serves a connection that has just been accepted, or resets it if its client already has too many.
/// A trusted proxy is no client: its connections carry the requests of many.
pub fn admit<F: Filters>(
    mut stream: Stream,
    peer: Peer,
    mut permit: ConnectionPermit,
    listener: &Rc<Listener<F>>,
) {
    let context = listener.handle.get();
    let is_named = listener.kind().preamble == Preamble::Nothing;
    if is_named && context.is_limited(peer) && permit.name(peer).is_err() {
        context.metrics.turned_away.add(1);
        return stream.set_reset_on_close(true);
    }
    if is_named && !takes(&*listener.filters, peer, &context) {
        return stream.set_reset_on_close(true);
    }
    spawn(Accepted::new(stream, peer, permit, listener));
}

/// Whether the filters take a connection of this client.
fn takes<F: Filters>(filters: &F, client: Peer, context: &WorkerContext) -> bool {
    let admission = filters.connection(&NewConnection { client, context });
    context.metrics.refused_by_filters.add(u64::from(admission == ConnectionVerdict::Refuse));
    admission == ConnectionVerdict::Take
}

/// Serves a connection that has just been accepted, as a task of its own: its size is the memory
/// cost of an idle client, so it is no larger than what the listener is for.
pub fn spawn<F: Filters>(accepted: Accepted<F>) -> JoinHandle<()> {
    let kind = accepted.listener.kind();
    if kind == ListenerKind::HTTP {
        let client_info = ClientInfo::direct(accepted.peer);
        return spawn_local(h1::serve(accepted, client_info, iter::empty(), Wait::First));
    }
    // Now, since the index is of the plan in force: when the task begins there may be another one.
    let relay = match kind.service {
        Service::Http => None,
        Service::Tcp { upstream } => Some(Target::Upstream(upstream)),
        Service::Sni { table } => Some(Target::ByName(table)),
    };
    let context = accepted.listener.handle.get();
    let relay = relay.map(|target| Relay { target, context });
    // Boxed, and gone afterwards: a client that rests does not keep the room for it, nor for the other protocol.
    let beginning = Box::pin(begin(accepted, kind));
    match relay {
        None => spawn_local(async move {
            match beginning.await.map(http) {
                None => {}
                Some(Http::One(serving)) => serving.await,
                Some(Http::Two(serving)) => serving.await,
            }
        }),
        Some(relay) => spawn_local(async move {
            let Some((accepted, client_info, early)) = beginning.await else { return };
            tcp::serve(accepted, client_info, early, relay).await;
        }),
    }
}

/// A connection of requests, by the version of its protocol.
enum Http<A, B> {
    One(Pin<Box<A>>),
    Two(Pin<Box<B>>),
}

/// Serves requests on a connection that has begun.
fn http<F: Filters>(
    (accepted, client_info, early): (Accepted<F>, ClientInfo, Buffer),
) -> Http<impl Future<Output = ()>, impl Future<Output = ()>> {
    if client_info.protocol() == AppProtocol::Http2 {
        return Http::Two(Box::pin(h2::serve(accepted, client_info, early)));
    }
    let early = (!early.is_empty()).then(|| Box::new(Early::Bytes(early)));
    Http::One(Box::pin(h1::serve(accepted, client_info, early.into_iter(), Wait::First)))
}

/// What comes before a connection's own bytes: a PROXY header, a TLS handshake. Returns what has come
/// after them, or `None` if the connection is over: that has been counted and logged.
async fn begin<F: Filters>(
    mut accepted: Accepted<F>,
    ListenerKind { preamble, transport, .. }: ListenerKind,
) -> Option<(Accepted<F>, ClientInfo, Buffer)> {
    accepted::begin(&accepted.guard).await;
    let mut early = Buffer::new();
    let client_info = match preamble {
        Preamble::Nothing => ClientInfo::direct(accepted.peer),
        Preamble::ProxyHeader => {
            let mut timer = Timer::new();
            let announced = ClientInfo::announced(&mut accepted, &mut early, &mut timer);
            match announced.await {
                Ok(client_info) => client_info,
                // Its specification (§2) has such a connection aborted, without an answer.
                Err(fault) => {
                    accepted.stream.set_reset_on_close(true);
                    let context = accepted.listener.handle.get();
                    log_refusal(&context, accepted.peer, &early, fault);
                    record::refusal(&context, fault);
                    return None;
                }
            }
        }
    };
    if preamble == Preamble::ProxyHeader && !count(&mut accepted, client_info.client) {
        accepted.stream.set_reset_on_close(true);
        return None;
    }
    match transport {
        Transport::Plain => Some((accepted, client_info, early)),
        Transport::Tls => {
            let (accepted, client_info) = tls::accept(accepted, client_info, early).await?;
            Some((accepted, client_info, Buffer::new()))
        }
    }
}

/// Counts a connection for its client, and says whether it may stay.
fn count<F: Filters>(accepted: &mut Accepted<F>, client: Peer) -> bool {
    let context = accepted.listener.handle.get();
    let stays = !context.is_limited(client) || accepted.permit.name(client).is_ok();
    context.metrics.turned_away.add(u64::from(!stays));
    stays && takes(&*accepted.listener.filters, client, &context)
}

/// One that has said nothing, such as a check by the proxy, is not worth a line.
fn log_refusal(context: &WorkerContext, proxy: Peer, early: &Buffer, fault: Fault) {
    if let Some(mut request_log) =
        RequestLog::begin(context, (proxy, proxy), Protocol::Tcp, Instant::now())
    {
        request_log.read_odd(early.filled());
        request_log.end_by_fault(fault);
        if early.is_empty() && !matches!(fault.kind, Kind::Rejected(_)) {
            request_log.discard();
        }
    }
}
