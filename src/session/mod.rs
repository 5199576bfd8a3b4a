//! One client connection from its acceptance to its end.

pub mod attempt;
pub mod caller;
pub mod converse;
pub mod draft;
pub mod exchange;
pub mod exit;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gate;
pub mod http1;
pub mod journal;
pub mod record;
pub mod services;
#[cfg(any(test, fuzzing))]
pub mod simulation;
pub mod tcp;
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
use crate::net::listen::Peer;
use crate::net::stream::Stream;
use caller::{Caller, Greeting};
use draft::Draft;
use gate::Ticket;
use http1::Wait;
use services::{Current, Services};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// What its connections begin with.
    pub greeting: Greeting,
    /// What is done with them.
    pub service: Service,
}

impl Entrance {
    /// For requests of clients that come by themselves.
    pub const HTTP: Self = Self { greeting: Greeting::Nothing, service: Service::Http };
}

/// What is done with the connections of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Their requests are routed.
    Http,
    /// Each goes to an endpoint of this upstream as it is.
    Tcp {
        /// The index of the upstream in the plan.
        upstream: usize,
    },
}

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
        return spawn_local(http1::serve(
            stream,
            caller,
            Buffer::new(),
            ticket,
            Wait::First,
            current,
        ));
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
        Service::Http => http1::serve(stream, caller, early, ticket, Wait::First, current).await,
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
