//! Who a connection is from: its own address, or what a proxy in front says of it.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use super::accepted::{Accepted, read_opening};
use crate::app_protocol::AppProtocol;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Stage};
use crate::http::message::hop::{ClientScheme, Hop};
use crate::id::ListenerId;
use crate::net::deadline::Timer;
use crate::net::hand_off::HandedOff;
use crate::net::listen::Peer;
use crate::net::stream::Stream;
use crate::net::tls::client_certificate::ClientCertificate;
use crate::net::tls::info::TlsInfo;
use crate::plan::trusted::Trusted;
use crate::proxy_protocol::{self, Header};
use crate::reject::Reject;

/// Who a connection is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's address: its own, or what a proxy in front says it is.
    pub client: Peer,
    /// What else is known; boxed, since of most clients nothing is.
    more: Option<Box<More>>,
}

/// What a proxy in front said, and what was agreed on with a client that speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    announced: Option<Announced>,
    tls: Option<TlsInfo>,
    /// What the access log says of that.
    tls_text: Option<Rc<str>>,
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
        Self { client: peer, more: None }
    }

    /// Whom a header names that `peer` has sent, if it has sent one.
    pub fn known(peer: Peer, header: Option<Header>) -> Self {
        let Some(header) = header else { return Self::direct(peer) };
        let client = match header {
            Header::Proxied { source, .. } => Some(source.ip().to_canonical()),
            Header::Local => peer,
        };
        let announced = Some(Announced { proxy: peer, header });
        Self { client, more: Some(Box::new(More { announced, ..More::default() })) }
    }

    /// The same over TLS.
    #[must_use]
    pub fn over_tls(mut self, info: TlsInfo) -> Self {
        let more = self.more.get_or_insert_default();
        more.tls_text = Some(info.log_text().into());
        more.tls = Some(info);
        self
    }

    /// What was agreed on, if it speaks TLS.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.more.as_ref()?.tls.as_ref()
    }

    /// The protocol that was agreed on; without TLS the first bytes tell.
    pub fn protocol(&self) -> AppProtocol {
        self.tls().map_or(AppProtocol::Http1, |tls| tls.protocol)
    }

    /// That, as the access log has it.
    pub fn tls_text(&self) -> Option<&Rc<str>> {
        self.more.as_ref()?.tls_text.as_ref()
    }

    /// The certificate it has shown, if it did.
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        self.tls()?.client.as_ref()
    }

    /// The hop its requests take to get here.
    pub fn hop(&self) -> Hop {
        let scheme = if self.tls().is_some() { ClientScheme::Https } else { ClientScheme::Http };
        Hop { client: self.client, scheme }
    }

    fn announcement(&self) -> Option<&Announced> {
        self.more.as_ref()?.announced.as_ref()
    }

    /// Whether a proxy has said who it is.
    pub fn is_announced(&self) -> bool {
        self.announcement().is_some()
    }

    /// The address of the connection itself.
    pub fn peer(&self) -> Peer {
        self.announcement().map_or(self.client, |announced| announced.proxy)
    }

    /// What another process needs to know of it.
    pub fn handed_off(&self, listener: ListenerId, is_answered: bool) -> HandedOff {
        let header = self.announcement().map(|announced| announced.header);
        HandedOff::Client { listener, peer: self.peer(), header, is_answered }
    }

    /// Reads the header that a connection begins with, and leaves what came after it in `early`. It
    /// is taken from trusted proxies only: any other client could claim any address.
    pub async fn announced<F>(
        accepted: &mut Accepted<F>,
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
    #[inline]
    pub fn is_trusted(&self, trusted: &Trusted) -> bool {
        let is_local = |announced: &Announced| announced.header == Header::Local;
        !self.announcement().is_some_and(is_local) && trusted.contains(self.client)
    }

    /// Where its connection is from, if that is known: by its own address, or by what a proxy in front says.
    pub fn source(&self, stream: &Stream) -> Option<SocketAddr> {
        match self.announcement().map(|announced| announced.header) {
            Some(Header::Proxied { source, .. }) => Some(source),
            Some(Header::Local) => None,
            None => stream.addresses().map(|(source, _)| source),
        }
    }

    /// What is said of it to an endpoint that wants to be told.
    pub fn header(&self, stream: &Stream) -> Header {
        match (self.announcement(), stream.addresses()) {
            (Some(announced), _) => announced.header,
            (None, Some((source, destination))) => Header::Proxied { source, destination },
            (None, None) => Header::Local,
        }
    }
}
