//! A world: clients, endpoints and the sessions between them, which do as chance has it.

use std::cell::RefCell;
use std::io;
use std::num::NonZeroU16;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

use super::choices::Choices;
use super::invariants;
use super::ledger::Ledger;
use super::plan::plan;
use super::plans::{Ask, Temper};
use super::script::{CLIENT, HALF_CLOSE};
use super::shared::Shared;
use super::{client_h1, client_h2, endpoint_h1, endpoint_h2};
use crate::access_log::RequestIds;
use crate::address::Address;
use crate::app_protocol::AppProtocol;
use crate::filters::rules::Rules;
use crate::id::ListenerId;
use crate::log::access_logger::AccessLogger;
use crate::log::queue::LineSink;
use crate::metrics::Metrics;
use crate::net::deadline::{Epoch, Timer};
use crate::net::limiter::ConnectionPermit;
use crate::net::memory::{self, Memory};
use crate::net::socket::Socket;
use crate::net::stream::Stream;
use crate::placement::WorkerPlace;
use crate::plan::context::WorkerContext;
use crate::plan::handle::PlanHandle;
use crate::plan::listener::{Listener, ListenerKind};
use crate::plan::shelves::Shelves;
use crate::plan::{ClientTimeouts, Http2, Plan};
use crate::session::accepted::Accepted;
use crate::upstream::Upstream;
use crate::upstream::endpoint::{Endpoint as Configured, Scheme};
use crate::upstream::endpoint_set::EndpointSet;

/// How long a world may last whose peers all move: no deadline of ours is as short.
const END: Duration = Duration::from_secs(60);

/// How long it takes at most that everybody has heard of everything.
const SETTLED: Duration = Duration::from_secs(5);

/// A world of HTTP/2 on either side or both, which the first byte of `data` says: its choices are the others.
pub fn of_bytes(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let protocol = |bit: u8| if first & bit == 0 { AppProtocol::Http1 } else { AppProtocol::Http2 };
    run(&Choices::of_bytes(rest), Some([protocol(1), protocol(2)]));
}

/// A world of this seed.
#[cfg(test)]
fn of_seed(seed: u64) {
    run(&Choices::of_seed(seed), None);
}

/// What clients and endpoints speak is chosen, too, unless `pair` says it.
fn run(choices: &Choices, pair: Option<[AppProtocol; 2]>) {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    let runtime = builder.build_local(LocalOptions::default()).expect("a runtime");
    runtime.block_on(live(choices, pair));
    memory::install(|_| None);
}

async fn live(choices: &Choices, pair: Option<[AppProtocol; 2]>) {
    let temper = Temper::choose(choices);
    let ledger = RefCell::new(Ledger::new());
    let protocols = [AppProtocol::Http1, AppProtocol::Http2];
    let speaks: Vec<_> = (0..=choices.below(3))
        .map(|_| pair.map_or_else(|| choices.of(&protocols), |[_, endpoint]| endpoint))
        .collect();
    let context = context(choices, &speaks);
    let shared = Rc::new(Shared {
        choices: choices.clone(),
        temper,
        speaks,
        ledger,
        endpoints: RefCell::default(),
        windows: RefCell::default(),
    });
    let serving = Rc::clone(&shared);
    memory::install(move |address| Some(dial(&serving, address)));
    let handle = PlanHandle::new(Rc::clone(&context));
    let listener = Listener::new(ListenerId::FIRST, ListenerKind::HTTP, &handle, Arc::new(Rules));
    let mut tasks = Vec::new();
    for _ in 0..=choices.below(2) {
        let asks = 1 + choices.below(if pair.is_none() { 10 } else { 4 });
        let numbers = (0..asks).map(|_| {
            let ask = Ask::choose(choices, &temper);
            shared.ledger.borrow_mut().ask(ask)
        });
        let numbers = numbers.collect();
        let (ours, theirs) = Memory::pair(temper.capacity);
        let stream = Stream::Plain(Socket::Memory(ours));
        let permit = ConnectionPermit::alone();
        tasks.push(crate::session::spawn(Accepted::new(stream, CLIENT, permit, &listener)));
        let is_h2 =
            pair.map_or_else(|| choices.one_in(2), |[client, _]| client == AppProtocol::Http2);
        tasks.push(if is_h2 {
            spawn_local(client_h2::Client::new(&shared, theirs, numbers).run())
        } else {
            spawn_local(client_h1::Client::new(&shared, theirs, numbers).run())
        });
    }
    let ending = pin!(async {
        for task in &mut tasks {
            task.await.unwrap_or_else(|error| panic!("{error}, {temper:?}"));
        }
    });
    let ended = Timer::new().within(END, ending).await;
    if ended.is_err() {
        let waiting: Vec<_> = tasks.iter().map(|task| !task.is_finished()).collect();
        let entries = &shared.ledger.borrow().entries;
        let open: Vec<_> = entries.iter().filter(|entry| entry.outcome.is_none()).collect();
        panic!("sessions and clients wait: {waiting:?}, {temper:?}, {open:?}");
    }
    sleep(SETTLED).await;
    for endpoint in shared.endpoints.take().into_iter().filter(JoinHandle::is_finished) {
        endpoint.await.expect("no endpoint panics");
    }
    invariants::check(&shared, &context);
}

fn dial(shared: &Rc<Shared>, address: &Address) -> io::Result<Memory> {
    if shared.temper.breaks && shared.choices.one_in(20) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let Address::Tcp(address) = address else { panic!("{address} is not ours") };
    let (ours, theirs) = Memory::pair(shared.temper.capacity);
    let endpoint = match shared.speaks[usize::from(address.port())] {
        AppProtocol::Http1 => spawn_local(endpoint_h1::Endpoint::new(shared, theirs).run()),
        AppProtocol::Http2 => spawn_local(endpoint_h2::Endpoint::new(shared, theirs).run()),
    };
    shared.endpoints.borrow_mut().push(endpoint);
    Ok(ours)
}

fn context(choices: &Choices, speaks: &[AppProtocol]) -> Rc<WorkerContext> {
    let long = Duration::from_secs(1000);
    let endpoints = (0..).zip(speaks).map(|(port, protocol)| {
        let address = Address::Tcp(([192, 0, 2, 1], port).into());
        let is_h2 = *protocol == AppProtocol::Http2;
        let scheme = if is_h2 { Scheme::H2c } else { Scheme::Http };
        Configured { scheme, ..Configured::new(address, NonZeroU16::MIN, 1) }
    });
    let mut upstream = Upstream::sample(EndpointSet::new(endpoints));
    upstream.timeouts.connect = long;
    upstream.timeouts.response = long;
    upstream.timeouts.idle = long;
    let timeouts = ClientTimeouts {
        handshake: long,
        header: long,
        keepalive: long,
        idle: long,
        half_close: HALF_CLOSE,
    };
    let http2 = Some(Http2 { streams_max: choices.of(&[1, 2, 5, 100]) });
    let plan = Plan { http2, ..plan(upstream, timeouts) };
    let metrics = Arc::new(Metrics::new());
    let access_logger =
        AccessLogger::new(Some(LineSink::detached()), None, RequestIds::new([1; 4]));
    let access_logger = Some(Rc::new(access_logger));
    // As if there were others: what is idle goes over the shelf.
    let shelves = Shelves::default().succeeded_by(&plan, 2);
    WorkerContext::new(
        (Arc::new(plan), None),
        &shelves,
        metrics,
        access_logger,
        WorkerPlace::apart(0),
        Epoch::begin(),
    )
}

#[cfg(test)]
mod tests {
    /// How many worlds are tried, unless `EVENER_SEEDS` says how many.
    const SEEDS: u64 = 400;

    #[test]
    fn every_request_ends_as_it_should_and_nothing_is_left() {
        let seeds = std::env::var("EVENER_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
        let first = std::env::var("EVENER_SEED").ok().and_then(|seed| seed.parse().ok());
        let all = first.map_or(0..seeds.unwrap_or(SEEDS), |seed| seed..seed + 1);
        for seed in all {
            let outcome = std::panic::catch_unwind(|| super::of_seed(seed));
            assert!(outcome.is_ok(), "with seed {seed}");
        }
    }
}
