//! Who a connection is from: its own address, or what a proxy in front says of it.

use std::pin::pin;

use super::accepted::{Accepted, read_opening};
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Stage};
use crate::net::deadline::Timer;
use crate::net::hand_off::HandedOff;
use crate::net::listen::Peer;
use crate::net::stream::Stream;
use crate::plan::listener::Listener;
use crate::plan::trusted::Trusted;
use crate::proxy_protocol::{self, Header};
use crate::reject::Reject;

/// Who a connection is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's address: its own, or what a proxy in front says it is.
    pub client: Peer,
    /// What that proxy said; boxed, since most clients come by themselves.
    announced: Option<Box<Announced>>,
}

/// What a proxy in front said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announced {
    proxy: Peer,
    header: Header,
}

impl ClientInfo {
    /// The peer that opened the connection.
    pub fn direct(peer: Peer) -> Self {
        Self { client: peer, announced: None }
    }

    /// Whom a header names that `peer` has sent, if it has sent one.
    pub fn known(peer: Peer, header: Option<Header>) -> Self {
        let Some(header) = header else { return Self::direct(peer) };
        let client = match header {
            Header::Proxied { source, .. } => Some(source.ip().to_canonical()),
            Header::Local => peer,
        };
        Self { client, announced: Some(Box::new(Announced { proxy: peer, header })) }
    }

    /// Whether a proxy has said who it is.
    pub fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// The address of the connection itself.
    pub fn peer(&self) -> Peer {
        self.announced.as_ref().map_or(self.client, |announced| announced.proxy)
    }

    /// What another process needs to know of it.
    pub fn handed_off(&self, listener: &Listener, is_answered: bool) -> HandedOff {
        let header = self.announced.as_ref().map(|announced| announced.header);
        HandedOff::Client { listener: listener.id, peer: self.peer(), header, is_answered }
    }

    /// Reads the header that a connection begins with, and leaves what came after it in `early`. It
    /// is taken from trusted proxies only: any other client could claim any address.
    pub async fn announced(
        accepted: &mut Accepted,
        early: &mut Buffer,
        timer: &mut Timer,
    ) -> Result<Self, Fault> {
        let Accepted { stream, peer, guard, listener, .. } = accepted;
        let fault = |kind| Fault::client(Stage::RequestHead, kind);
        let (trusts, limit) = {
            let context = listener.handle.get();
            (context.plan.trusted.contains(*peer), context.plan.timeouts.header)
        };
        if !trusts {
            return Err(fault(Kind::Rejected(Reject::ProxyHeader)));
        }
        let connection = (stream, &*guard);
        let read =
            timer.within(limit, pin!(read_opening(connection, early, proxy_protocol::read))).await;
        let read = read.unwrap_or(Err(Kind::TimedOut));
        let (header, length) = read.map_err(fault)?;
        early.consume(length);
        Ok(Self::known(*peer, Some(header)))
    }

    /// Whether what it says of earlier hops is believed. That of a client without an address never
    /// is: the proxy that vouches for the header does not vouch for its fields.
    pub fn is_trusted(&self, trusted: &Trusted) -> bool {
        let is_local = |announced: &Announced| announced.header == Header::Local;
        !self.announced.as_deref().is_some_and(is_local) && trusted.contains(self.client)
    }

    /// What is said of it to an endpoint that wants to be told.
    pub fn header(&self, stream: &Stream) -> Header {
        match (&self.announced, stream.addresses()) {
            (Some(announced), _) => announced.header,
            (None, Some((source, destination))) => Header::Proxied { source, destination },
            (None, None) => Header::Local,
        }
    }
}
