//! One client connection from its acceptance to its end.

pub mod attempt;
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
use crate::net::limiter::Ticket;
use crate::net::listen::Peer;
use crate::net::stream::Stream;
use crate::plan::context::Services;
use crate::plan::handle::Current;
use crate::plan::listener::{Entrance, Greeting, Service};
use client_info::Caller;
use h1::Wait;
use request_log::Draft;

/// Serves a connection that has just been accepted, or resets it if there are too many of its client;
/// a proxy in front is none.
pub fn admit(
    mut stream: Stream,
    peer: Peer,
    entrance: Entrance,
    mut ticket: Ticket,
    current: &Rc<Current>,
) {
    if entrance.greeting == Greeting::Nothing && ticket.name(peer).is_err() {
        current.get().metrics.turned_away.add(1);
        return stream.set_reset_on_close(true);
    }
    spawn(stream, peer, entrance, ticket, Rc::clone(current));
}

/// Serves a connection that has just been accepted, as a task of its own: how large that is, is
/// what an idle client costs, so it is no larger than what the listener is for.
pub fn spawn(
    stream: Stream,
    peer: Peer,
    entrance: Entrance,
    ticket: Ticket,
    current: Rc<Current>,
) -> JoinHandle<()> {
    if entrance == Entrance::HTTP {
        let caller = Caller::direct(peer);
        return spawn_local(h1::serve(stream, caller, Buffer::new(), ticket, Wait::First, current));
    }
    // Now, since the entrance is about these: when the task begins there may be others.
    let services = current.get();
    spawn_local(serve_otherwise(stream, peer, entrance, ticket, services, current))
}

async fn serve_otherwise(
    mut stream: Stream,
    peer: Peer,
    entrance: Entrance,
    mut ticket: Ticket,
    services: Rc<Services>,
    current: Rc<Current>,
) {
    let mut early = Buffer::new();
    let caller = match entrance.greeting {
        Greeting::Nothing => Caller::direct(peer),
        Greeting::ProxyHeader => match greet(&mut stream, peer, &mut early, &services).await {
            Ok(caller) => caller,
            // Its specification (§2) has such a connection aborted, without an answer.
            Err(fault) => {
                stream.set_reset_on_close(true);
                log_refusal(&services, peer, &early, fault);
                return record::refusal(&services, fault);
            }
        },
    };
    if entrance.greeting == Greeting::ProxyHeader && ticket.name(caller.peer).is_err() {
        services.metrics.turned_away.add(1);
        return stream.set_reset_on_close(true);
    }
    match entrance.service {
        Service::Http => h1::serve(stream, caller, early, ticket, Wait::First, current).await,
        Service::Tcp { upstream } => {
            tcp::serve(stream, caller, early, upstream, services).await;
            drop(ticket);
        }
    }
}

/// One that has said nothing, such as a check by the proxy, is not worth a line.
fn log_refusal(services: &Rc<Services>, proxy: Peer, early: &Buffer, fault: Fault) {
    if let Some(mut draft) = Draft::begin(services, proxy, Protocol::Tcp, Instant::now()) {
        draft.read_odd(early.filled());
        draft.fail(fault);
        if early.is_empty() && !matches!(fault.kind, Kind::Rejected(_)) {
            draft.discard();
        }
    }
}

async fn greet(
    stream: &mut Stream,
    peer: Peer,
    early: &mut Buffer,
    services: &Services,
) -> Result<Caller, Fault> {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let _seat = services.drain.enter(waker);
    Caller::announced(stream, peer, early, services, &mut Timer::new()).await
}
