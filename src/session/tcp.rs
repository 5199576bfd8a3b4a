//! A connection whose bytes are not looked at: an endpoint is chosen, and bytes go both ways until
//! both sides have ended.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::accepted::Accepted;
use super::admission::{self, NotAdmitted, Wanted};
use super::affinity::{self, reason_name};
use super::attempt;
use super::client::WaitingClient;
use super::client_info::ClientInfo;
use super::hello;
use super::presence::Presence;
use super::record::{self, AttemptTarget};
use super::request_log::RequestLog;
use super::retry;
use super::tunnel::{self, Ends};
use crate::access_log::Protocol;
use crate::balance::tried::Tried;
use crate::balance::{Affinity, NoneLeft, Picked};
use crate::buffer::Buffer;
use crate::fault::Side;
use crate::id::{SniTableId, UpstreamId};
use crate::net::deadline::Timer;
use crate::net::stream::Stream;
use crate::plan::context::{AttemptKind, KeptInFlight, WorkerContext};
use crate::proxy_protocol::Header;
use crate::relay::ends::Source;
use crate::upstream::Upstream;
use crate::upstream::budget::RetryToken;

/// Where a connection is relayed to.
pub struct Relay {
    /// What decides.
    pub target: Target,
    /// Under the plan that it is an index of.
    pub context: Rc<WorkerContext>,
}

/// What decides where a connection is relayed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Its listener: to this upstream.
    Upstream(UpstreamId),
    /// The name in its ClientHello.
    ByName(SniTableId),
}

/// Serves a connection until it ends. One for which no endpoint is found is reset, so that it is
/// not taken for an empty answer. Its plan is let go once an endpoint has accepted: it may last for
/// longer than many plans.
pub async fn serve<F>(
    mut accepted: Accepted<F>,
    client_info: ClientInfo,
    mut early: Buffer,
    Relay { target, context }: Relay,
) {
    let began = context.log.is_some().then(Instant::now);
    let addresses = (client_info.client, client_info.peer());
    let mut request_log =
        began.and_then(|now| RequestLog::begin(&context, addresses, Protocol::Tcp, now));
    let mut timer = Timer::new();
    let upstream = match target {
        Target::Upstream(upstream) => upstream,
        Target::ByName(table) => {
            let of_plan = (&*context, table);
            let logged = request_log.as_deref_mut();
            let finding = hello::upstream(&mut accepted, &mut early, &mut timer, of_plan, logged);
            match Box::pin(finding).await {
                Ok(upstream) => upstream,
                Err(refusal) => return hello::refuse(&context, refusal, request_log, &early),
            }
        }
    };
    let request_log = request_log.as_deref();
    let client = &mut accepted.stream;
    let announces = context.plan.upstream(upstream).announces.is_some();
    let header = announces.then(|| client_info.header(client));
    // Many a client that has said all waits long for what follows.
    let presence = Presence::new(None, None);
    let source = Source::H1(client.split().0);
    let mut waiting = WaitingClient { source, timer: &mut timer, presence: &presence };
    let logged = (&*context, request_log);
    let affinity = affinity::of_connection(context.plan.upstream(upstream), client_info.client);
    let opened = Box::pin(open((upstream, affinity), header, logged, &mut waiting)).await;
    let both = (early, Buffer::new());
    // Dropped last: the endpoint has this connection until it is closed.
    let Some((_in_flight, mut endpoint)) = opened else {
        return client.set_reset_on_close(true);
    };
    context.metrics.tcp_opened.add(1);
    let limit = context.plan.upstream(upstream).timeouts.tunnel;
    let metrics = Arc::clone(&context.metrics);
    drop(context);
    let ends = Ends::connections(client, &mut endpoint);
    if tunnel::run(ends, both, (&metrics, request_log), limit, &mut timer).await.is_err() {
        client.set_reset_on_close(true);
        endpoint.set_reset_on_close(true);
    }
}

/// Connects to endpoint after endpoint until one accepts, none is left or the client has left.
async fn open(
    (upstream, affinity): (UpstreamId, Affinity),
    header: Option<Header>,
    (context, request_log): (&WorkerContext, Option<&RequestLog>),
    client: &mut WaitingClient<'_>,
) -> Option<(KeptInFlight, Stream)> {
    let (mut tried, mut token, mut retried) = (Tried::default(), None::<RetryToken>, 0);
    let Upstream { timeouts, retries, .. } = &**context.plan.upstream(upstream);
    loop {
        let mut started = Instant::now();
        let wanted = Wanted { upstream, affinity, tried: [&tried, &tried] };
        let mut picked = admission::pick(context, &wanted, started);
        if let Err(NotAdmitted::None(NoneLeft::AllFull)) = picked {
            picked = admission::wait_as((context, request_log), wanted, client).await;
            started = Instant::now();
        }
        let Picked { endpoint, reason, permit, .. } = match picked {
            Ok(picked) => picked,
            Err(why) => {
                if let (Some(request_log), None) = (request_log, &token) {
                    request_log.end(why.termination(), None);
                }
                context.metrics.tcp_refused.add(1);
                return None;
            }
        };
        if let Some(request_log) = request_log {
            let picked = reason_name(reason, context.plan.upstream(upstream), affinity);
            request_log.trying(upstream, endpoint, picked, started);
        }
        let connect_within = timeouts.connect;
        let target = &AttemptTarget { upstream, endpoint, started, connect_within };
        let in_flight = context.begin(upstream, endpoint);
        let kind = match token.take() {
            Some(token) => {
                token.spend();
                AttemptKind::Retry
            }
            None => AttemptKind::First,
        };
        context.count_attempt(upstream, kind);
        match attempt::open(context, target, header, client).await {
            Ok(lease) => {
                record::accepted(context, target);
                if let Some(request_log) = request_log {
                    request_log.connected();
                }
                let kept = context.keep((in_flight, permit), upstream, endpoint);
                return Some((kept, lease.stream));
            }
            Err(fault) => {
                record::failure(context, target, fault, false, None);
                if let Some(request_log) = request_log {
                    request_log.end_by_fault(fault);
                }
                if fault.side == Side::Client {
                    return None;
                }
            }
        }
        let is_last = !tried.insert(endpoint) || tried.is_full() || retried == retries.max;
        token = if is_last { None } else { retry::take(context, upstream) };
        if token.is_none() {
            context.metrics.tcp_refused.add(1);
            return None;
        }
        retried += 1;
    }
}
