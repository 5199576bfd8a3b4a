//! One try at one endpoint: the connection it goes over, and the head of its answer.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::client::{WaitEnded, WaitingClient};
use super::record::AttemptTarget;
use super::secure::secure;
use crate::address::Address;
use crate::app_protocol::AppProtocol;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Progress, Side, Stage};
use crate::http::h1::scan::{FRAME_HEAD_BYTES, begins_http2};
use crate::http::message::head::{Method, Version};
use crate::net::connect::connect;
use crate::net::deadline::Timer;
use crate::net::delivery::{CloseKind, DeliveryVerdict};
use crate::net::descriptors;
use crate::net::lease::Lease;
use crate::net::socket::Unasked;
use crate::net::stream::Stream;
use crate::plan::context::WorkerContext;
use crate::proxy_protocol::{self, Header};
use crate::reject::Reject;
use crate::tls_fault::TlsFault;

/// Which connections may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// An idle one, if there is any.
    Any,
    /// A new one: an attempt after a failure must not fail for the same reason again. Connections that are
    /// shared show by themselves whether they are of use.
    New,
    /// A new one, shared or not: a trial must not be spent on a connection from before.
    Trial,
}

/// Leases an idle connection, if there is one that may serve. One that begins with a PROXY header speaks for one
/// client only, and so is never shared; and those of HTTP/2 are not leased.
///
/// No part of what follows if there is none: each step of that would hand the lease on.
#[inline]
pub fn idle(
    context: &WorkerContext,
    target: &AttemptTarget,
    freshness: Freshness,
) -> Option<Lease> {
    let upstream = context.plan.upstream(target.upstream);
    let is_shared = upstream.announces.is_none()
        && upstream.endpoint(target.endpoint).protocol() == AppProtocol::Http1;
    if freshness != Freshness::Any || !is_shared {
        return None;
    }
    let leased = context.pool(target.upstream, target.endpoint).borrow_mut().lease(target.started);
    if leased.is_none() {
        return shelved(context, target);
    }
    count_reuse(context, target);
    leased
}

/// Takes one from the shelf that workers share, if there is any.
#[cold]
fn shelved(context: &WorkerContext, target: &AttemptTarget) -> Option<Lease> {
    let pool = context.pool(target.upstream, target.endpoint);
    let lease = pool.borrow_mut().lease_shelved(target.started)?;
    context.metrics.shelf_reuses.add(1);
    count_reuse(context, target);
    Some(lease)
}

#[inline]
fn count_reuse(context: &WorkerContext, target: &AttemptTarget) {
    context.metrics.reuses.add(1);
    context.counts(target.upstream, target.endpoint).reuses.add(1);
}

/// Opens a connection for requests.
pub async fn fresh(
    context: &WorkerContext,
    target: &AttemptTarget,
    header: Option<Header>,
    client: &mut WaitingClient<'_>,
) -> Result<Lease, Fault> {
    silent(open(context, target, header, client).await?)
}

/// A connection that has just been opened, if its endpoint has said nothing before it was asked.
pub fn silent(lease: Lease) -> Result<Lease, Fault> {
    let fault = |kind| Err(Fault::upstream(Stage::ResponseHead, kind));
    let mut first = [0; FRAME_HEAD_BYTES];
    match lease.stream.take_unasked(&mut first) {
        Unasked::Nothing => Ok(lease),
        Unasked::Bytes if begins_http2(&first) == Some(true) => {
            fault(Kind::Rejected(Reject::SpeaksHttp2))
        }
        Unasked::Bytes => fault(Kind::Rejected(Reject::UnaskedResponse)),
        Unasked::End => fault(Kind::Closed),
    }
}

/// How long it may take to learn what has become of a request whose connection has ended: a round
/// trip, and then some. Longer than that its client waits for nothing.
const VERDICT_TIMEOUT: Duration = Duration::from_millis(250);

/// Between two looks.
const VERDICT_INTERVAL: Duration = Duration::from_millis(1);

/// How far a request got that was written after the first `carried` bytes of a connection, when that
/// ended without any byte of an answer.
pub async fn progress_of_unanswered(
    stream: &Stream,
    carried: u64,
    parting: CloseKind,
    timer: &mut Timer,
) -> Progress {
    let looking = async {
        loop {
            match stream.delivery().map(|delivery| delivery.verdict(carried, parting)) {
                Some(DeliveryVerdict::Undelivered) => return Progress::Unsent,
                Some(DeliveryVerdict::Open) => sleep(VERDICT_INTERVAL).await,
                Some(DeliveryVerdict::Unknown) | None => return Progress::Unanswered,
            }
        }
    };
    timer.within(VERDICT_TIMEOUT, pin!(looking)).await.unwrap_or(Progress::Unanswered)
}

/// Opens a connection for this client, and sends `header` on it if the endpoint wants to be told.
pub async fn open(
    context: &WorkerContext,
    target: &AttemptTarget,
    header: Option<Header>,
    client: &mut WaitingClient<'_>,
) -> Result<Lease, Fault> {
    let limit = target.connect_within;
    let late = Cell::new(NOT_ACCEPTED);
    let opening = pin!(connected(context, target, (header, WithoutDescriptor::Waits), &late));
    let opened = client.wait_for(limit, opening).await;
    opened.unwrap_or_else(|ended| {
        Err(match ended {
            WaitEnded::ClientLeft(kind) => Fault::client(Stage::Connect, kind),
            WaitEnded::TimedOut => overdue(context, late.get()),
        })
    })
}

/// The endpoint has not accepted a connection for too long.
const NOT_ACCEPTED: Fault =
    Fault { side: Side::Upstream, stage: Stage::Connect, kind: Kind::TimedOut, errno: None };

/// What becomes of a connection while there is no descriptor for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutDescriptor {
    /// It waits for one, and idle connections are closed for it.
    Waits,
    /// It is not opened.
    Fails,
}

/// The same for nobody in particular, however long it takes: `late` holds what is wrong if it takes any
/// longer.
pub async fn connected(
    context: &WorkerContext,
    target: &AttemptTarget,
    (header, scarce): (Option<Header>, WithoutDescriptor),
    late: &Cell<Fault>,
) -> Result<Lease, Fault> {
    let upstream = context.plan.upstream(target.upstream);
    let endpoint = upstream.endpoint(target.endpoint);
    let handshakes = &context.metrics.upstream_handshakes;
    let broken =
        |error: io::Error| Fault::upstream(Stage::Connect, Kind::of(&error)).caused_by(&error);
    let stream = match scarce {
        WithoutDescriptor::Waits => dial(context, &endpoint.address, late).await,
        WithoutDescriptor::Fails => connect(&endpoint.address).await,
    };
    let stream = stream.map_err(broken)?;
    let mut lease = Lease::new(stream);
    if let (Some(version), Some(header)) = (upstream.announces, header) {
        lease.carried = announce(version, header, &mut lease.stream).await.map_err(broken)?;
    }
    if let Some(tls) = &endpoint.tls {
        late.set(Fault::upstream(Stage::Connect, Kind::Tls(TlsFault::TimedOut)));
        let Lease { stream, carried, .. } = lease;
        // Boxed: those without TLS would have room for it.
        let securing = secure(stream, carried, (endpoint, tls), Some(handshakes));
        lease = Lease::new(Box::pin(securing).await?);
        lease.carried = lease.stream.carried_after(0, 0);
        late.set(NOT_ACCEPTED);
    }
    context.metrics.connects.add(1);
    context.counts(target.upstream, target.endpoint).connects.add(1);
    Ok(lease)
}

/// What is wrong with a connection that was not opened in time, once it is counted.
pub fn overdue(context: &WorkerContext, late: Fault) -> Fault {
    if let Kind::Tls(fault) = late.kind {
        context.metrics.upstream_handshakes.failed[fault.index()].add(1);
    }
    late
}

/// Between two tries to get a descriptor.
const ROOM_INTERVAL: Duration = Duration::from_millis(5);

/// Connects to an endpoint. While there is no descriptor for it, idle connections are closed, and one
/// that others give back is waited for; `late` says so meanwhile.
async fn dial(
    context: &WorkerContext,
    address: &Address,
    late: &Cell<Fault>,
) -> io::Result<Stream> {
    match connect(address).await {
        Err(error) if descriptors::are_exhausted(&error) => {}
        dialled => return dialled,
    }
    let exhausted = Fault::upstream(Stage::Connect, Kind::Exhausted);
    late.set(exhausted.caused_by(&descriptors::exhausted()));
    // Boxed: it is rare, and each request would have room for it.
    let waiting = async {
        loop {
            context.shed();
            descriptors::ask();
            match connect(address).await {
                Err(error) if descriptors::are_exhausted(&error) => sleep(ROOM_INTERVAL).await,
                dialled => return dialled,
            }
        }
    };
    Box::pin(waiting).await.inspect(|_| late.set(NOT_ACCEPTED))
}

/// Writes the PROXY header; returns how many bytes that took.
pub async fn announce(
    version: proxy_protocol::Version,
    header: Header,
    stream: &mut Stream,
) -> io::Result<u64> {
    let mut out = Buffer::new();
    proxy_protocol::write(version, header, &mut out);
    let count = out.len();
    let (_, mut write) = stream.split();
    while !out.is_empty() {
        match write.write(out.filled()).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => out.consume(written),
        }
    }
    Ok(count as u64)
}

/// What an answer needs to know of the request it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct RequestTraits {
    /// Its method.
    pub method: Method,
    /// Its version: what the client understands.
    pub version: Version,
    /// Whether it asked for another protocol.
    pub upgrade: bool,
    /// Whether its client waits for a 100 before it sends the body (RFC 9110 §10.1.1).
    pub expects: bool,
    /// Whether the client's connection may go on after the answer, as far as the request goes.
    pub persists: bool,
}

impl RequestTraits {
    /// Those of a request whose head has not been read.
    pub const UNKNOWN: Self = Self {
        method: Method::Other,
        version: Version::Http11,
        upgrade: false,
        expects: false,
        persists: false,
    };
}
