//! Who a connection is from: its own address, or what a proxy in front says of it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::buffer::Buffer;
use crate::drain::{Drain, DrainPhase};
use crate::fault::{Fault, Kind, Stage};
use crate::net::deadline::{Activity, Elapsed, Timer};
use crate::net::listen::Peer;
use crate::net::stream::Stream;
use crate::proxy_protocol::{self, Header};
use crate::reject::Reject;
use crate::relay::copy::Meter;

use crate::net::hand_off::HandedOff;
use crate::plan::context::WorkerContext;
use crate::plan::trusted::Trusted;

/// Who a connection is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's address.
    pub peer: Peer,
    /// What a proxy in front said; boxed, since most clients come by themselves.
    header: Option<Box<Header>>,
}

impl ClientInfo {
    /// Whoever opened the connection.
    pub fn direct(peer: Peer) -> Self {
        Self { peer, header: None }
    }

    /// Whom another process has known already.
    pub fn known(peer: Peer, header: Option<Header>) -> Self {
        Self { peer, header: header.map(Box::new) }
    }

    /// What another process needs to know of it.
    pub fn handed_off(&self, is_answered: bool) -> HandedOff {
        let header = self.header.as_deref().copied();
        HandedOff::Client { peer: self.peer, header, is_answered }
    }

    /// Reads the header that `stream` begins with, and leaves what came behind it in `early`. It is
    /// taken from trusted proxies only: anybody else could pretend to be anyone.
    pub async fn announced(
        stream: &mut Stream,
        proxy: Peer,
        early: &mut Buffer,
        context: &WorkerContext,
        timer: &mut Timer,
    ) -> Result<Self, Fault> {
        let fault = |kind| Fault::client(Stage::RequestHead, kind);
        if !context.plan.trusted.contains(proxy) {
            return Err(fault(Kind::Rejected(Reject::ProxyHeader)));
        }
        let reading = pin!(read(stream, early, &context.drain));
        let header = match timer.within(context.plan.timeouts.header, reading).await {
            Ok(header) => header.map_err(fault)?,
            Err(Elapsed) => return Err(fault(Kind::TimedOut)),
        };
        let peer = match header {
            Header::Proxied { source, .. } => Some(source.ip().to_canonical()),
            Header::Local => proxy,
        };
        Ok(Self { peer, header: Some(Box::new(header)) })
    }

    /// Whether what it says of earlier hops is believed. That of a client without an address never
    /// is: the proxy that vouches for the header does not vouch for its fields.
    pub fn is_trusted(&self, trusted: &Trusted) -> bool {
        self.header.as_deref() != Some(&Header::Local) && trusted.contains(self.peer)
    }

    /// What is said of it to an endpoint that wants to be told.
    pub fn header(&self, stream: &Stream) -> Header {
        match (&self.header, stream.addresses()) {
            (Some(header), _) => **header,
            (None, Some((source, destination))) => Header::Proxied { source, destination },
            (None, None) => Header::Local,
        }
    }
}

async fn read(stream: &mut Stream, early: &mut Buffer, drain: &Drain) -> Result<Header, Kind> {
    let activity = Activity::new();
    let meter = Meter::new(&activity);
    let (mut half, _) = stream.split();
    loop {
        if let Some((header, length)) =
            proxy_protocol::read(early.filled()).map_err(Kind::Rejected)?
        {
            early.consume(length);
            return Ok(header);
        }
        let is_idle = early.is_empty();
        let mut reading = pin!(meter.read(&mut half, early));
        let read = poll_fn(|cx| match reading.as_mut().poll(cx) {
            // A drain does not wait for who has not begun.
            Poll::Pending if is_idle && drain.phase() == DrainPhase::Closing => Poll::Ready(None),
            poll => poll.map(Some),
        });
        match read.await {
            Some(Ok(1..)) => {}
            Some(Ok(0)) | None => return Err(Kind::Closed),
            Some(Err(broken)) => return Err(broken.kind),
        }
    }
}
