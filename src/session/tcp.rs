//! A connection whose bytes are not looked at: an endpoint is chosen, and bytes go both ways until
//! both sides have ended.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use tokio::time::Instant;

use super::attempt;
use super::client_info::Caller;
use super::record::{self, Target};
use super::request_log::Draft;
use super::tunnel::{self, Ends};
use crate::access_log::{Ender, Phase, Protocol, Termination};
use crate::balance::Picked;
use crate::balance::tried::Tried;
use crate::buffer::Buffer;
use crate::net::deadline::Timer;
use crate::net::stream::Stream;
use crate::plan::context::{InFlight, Services};
use crate::proxy_protocol::Header;

/// Serves a connection until it ends. One for which no endpoint is found is reset, so that nobody
/// takes it for an empty answer.
pub async fn serve(
    mut client: Stream,
    caller: Caller,
    early: Buffer,
    upstream: usize,
    services: Rc<Services>,
) {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let _seat = services.drain.enter(waker);
    let began = services.log.is_some().then(Instant::now);
    let draft = began.and_then(|now| Draft::begin(&services, caller.peer, Protocol::Tcp, now));
    let draft = draft.as_deref();
    let mut timer = Timer::new();
    let announces = services.plan.upstreams[upstream].announces.is_some();
    let header = announces.then(|| caller.header(&client));
    let opened = Box::pin(open(upstream, header, (&services, draft), &mut timer)).await;
    let Some((mut endpoint, _in_flight)) = opened else {
        services.metrics.tcp_refused.add(1);
        return client.set_reset_on_close(true);
    };
    services.metrics.tcp_opened.add(1);
    let limit = services.plan.upstreams[upstream].timeouts.tunnel;
    let ends = Ends { client: &mut client, upstream: &mut endpoint };
    let both = (early, Buffer::new());
    if tunnel::run(ends, both, (&services, draft), limit, &mut timer).await.is_err() {
        client.set_reset_on_close(true);
        endpoint.set_reset_on_close(true);
    }
}

/// Connects to endpoint after endpoint until one accepts or none is left.
async fn open<'a>(
    upstream: usize,
    header: Option<Header>,
    (services, draft): (&'a Services, Option<&Draft>),
    timer: &mut Timer,
) -> Option<(Stream, InFlight<'a>)> {
    let (mut tried, mut attempts) = (Tried::default(), 0);
    loop {
        let started = Instant::now();
        let Ok(Picked { endpoint, .. }) = services.pick(upstream, started, &tried) else {
            if let Some(draft) = draft.filter(|_| attempts == 0) {
                draft.end(Termination::new(Ender::Upstream, Phase::Connect), None);
            }
            return None;
        };
        if let Some(draft) = draft {
            draft.trying(upstream, endpoint, started);
        }
        let target = Target { upstream, endpoint, started };
        let in_flight = services.begin(upstream, endpoint);
        services.metrics.retries.add(u64::from(attempts > 0));
        attempts += 1;
        match attempt::open(services, target, header, timer).await {
            Ok(lease) => {
                record::accepted(services, target);
                if let Some(draft) = draft {
                    draft.connected();
                }
                return Some((lease.stream, in_flight));
            }
            Err(fault) => {
                record::failure(services, target, fault, false);
                if let Some(draft) = draft {
                    draft.fail(fault);
                }
            }
        }
        if !tried.insert(endpoint) || tried.is_full() {
            return None;
        }
    }
}
