//! One client connection from its acceptance to its end.

pub mod attempt;
pub mod client;
pub mod client_info;
pub mod exchange;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod h1;
pub mod record;
pub mod request_log;
#[cfg(any(test, fuzzing))]
pub mod simulation;
pub mod tcp;
pub mod transfer;
pub mod transfer_state;
pub mod tunnel;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use crate::access_log::Protocol;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind};
use crate::net::deadline::Timer;
use crate::net::limiter::ConnectionPermit;
use crate::net::listen::Peer;
use crate::net::stream::Stream;
use crate::plan::context::WorkerContext;
use crate::plan::handle::PlanHandle;
use crate::plan::listener::{ListenerKind, Preamble, Service};
use client_info::ClientInfo;
use h1::Wait;
use request_log::RequestLog;

/// Serves a connection that has just been accepted, or resets it if there are too many of its client;
/// a proxy in front is none.
pub fn admit(
    mut stream: Stream,
    peer: Peer,
    kind: ListenerKind,
    mut permit: ConnectionPermit,
    handle: &Rc<PlanHandle>,
) {
    if kind.preamble == Preamble::Nothing && permit.name(peer).is_err() {
        handle.get().metrics.turned_away.add(1);
        return stream.set_reset_on_close(true);
    }
    spawn(stream, peer, kind, permit, Rc::clone(handle));
}

/// Serves a connection that has just been accepted, as a task of its own: how large that is, is
/// what an idle client costs, so it is no larger than what the listener is for.
pub fn spawn(
    stream: Stream,
    peer: Peer,
    kind: ListenerKind,
    permit: ConnectionPermit,
    handle: Rc<PlanHandle>,
) -> JoinHandle<()> {
    if kind == ListenerKind::HTTP {
        let client_info = ClientInfo::direct(peer);
        return spawn_local(h1::serve(
            stream,
            client_info,
            Buffer::new(),
            permit,
            Wait::First,
            handle,
        ));
    }
    // Now, since the entrance is about these: when the task begins there may be others.
    let context = handle.get();
    spawn_local(serve_otherwise(stream, peer, kind, permit, context, handle))
}

async fn serve_otherwise(
    mut stream: Stream,
    peer: Peer,
    kind: ListenerKind,
    mut permit: ConnectionPermit,
    context: Rc<WorkerContext>,
    handle: Rc<PlanHandle>,
) {
    let mut early = Buffer::new();
    let client_info = match kind.preamble {
        Preamble::Nothing => ClientInfo::direct(peer),
        Preamble::ProxyHeader => match greet(&mut stream, peer, &mut early, &context).await {
            Ok(client_info) => client_info,
            // Its specification (§2) has such a connection aborted, without an answer.
            Err(fault) => {
                stream.set_reset_on_close(true);
                log_refusal(&context, peer, &early, fault);
                return record::refusal(&context, fault);
            }
        },
    };
    if kind.preamble == Preamble::ProxyHeader && permit.name(client_info.peer).is_err() {
        context.metrics.turned_away.add(1);
        return stream.set_reset_on_close(true);
    }
    match kind.service {
        Service::Http => h1::serve(stream, client_info, early, permit, Wait::First, handle).await,
        Service::Tcp { upstream } => {
            tcp::serve(stream, client_info, early, upstream, context).await;
            drop(permit);
        }
    }
}

/// One that has said nothing, such as a check by the proxy, is not worth a line.
fn log_refusal(context: &Rc<WorkerContext>, proxy: Peer, early: &Buffer, fault: Fault) {
    if let Some(mut request_log) = RequestLog::begin(context, proxy, Protocol::Tcp, Instant::now())
    {
        request_log.read_odd(early.filled());
        request_log.fail(fault);
        if early.is_empty() && !matches!(fault.kind, Kind::Rejected(_)) {
            request_log.discard();
        }
    }
}

async fn greet(
    stream: &mut Stream,
    peer: Peer,
    early: &mut Buffer,
    context: &WorkerContext,
) -> Result<ClientInfo, Fault> {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let _seat = context.drain.enter(waker);
    ClientInfo::announced(stream, peer, early, context, &mut Timer::new()).await
}
