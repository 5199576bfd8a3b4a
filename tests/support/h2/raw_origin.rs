//! An origin that a test scripts frame by frame.

use std::net::{Shutdown, SocketAddr};
use std::ops::Deref;

use super::fields::Fields;
use super::frame::{Frame, kind};
use super::raw::RawPeer;
use super::raw_client::PREFACE;
use crate::support::Origin;
use crate::support::tls::{TlsOrigin, TlsServer, TlsStream};
use crate::support::wire::Wire;

/// An [`Origin`] whose connections are [`RawPeer`]s.
pub struct RawOrigin<O = Origin> {
    pub address: SocketAddr,
    origin: O,
    scheme: &'static str,
}

impl RawOrigin {
    /// Serves every connection with `serve`, each on its own thread, once the prefaces and SETTINGS have been
    /// exchanged. The connection is closed when `serve` returns.
    pub fn start(serve: impl Fn(RawPeer) + Send + Sync + 'static) -> Self {
        Self::start_with(&[], serve)
    }

    /// The same with these settings.
    pub fn start_with(
        settings: &[(u16, u32)],
        serve: impl Fn(RawPeer) + Send + Sync + 'static,
    ) -> Self {
        let settings = settings.to_vec();
        Self::silent(move |mut peer| {
            if peer.welcome(&settings).is_some() {
                serve(peer);
            }
        })
    }

    /// Serves every connection with `serve` before anything has been read or sent.
    pub fn silent(serve: impl Fn(RawPeer) + Send + Sync + 'static) -> Self {
        let origin = Origin::start(move |conn| {
            // `Origin` keeps a duplicate of the connection, which would hold it open.
            let duplicate = conn.stream.try_clone().expect("a duplicate");
            serve(RawPeer::over(conn.stream));
            let _ = duplicate.shutdown(Shutdown::Both);
        });
        Self { address: origin.address, origin, scheme: "h2c" }
    }
}

impl RawOrigin<TlsOrigin> {
    /// The same over TLS, where `h2` is agreed on with those who offer it.
    pub fn start_tls(
        server: TlsServer,
        serve: impl Fn(RawPeer<TlsStream>) + Send + Sync + 'static,
    ) -> Self {
        let origin = TlsOrigin::start(&server.alpn(&["h2"]), move |conn| {
            let duplicate = conn.stream.tcp.try_clone().expect("a duplicate");
            let mut peer = RawPeer::over(conn.stream);
            if peer.welcome(&[]).is_some() {
                serve(peer);
            }
            let _ = duplicate.shutdown(Shutdown::Both);
        });
        Self { address: origin.address, origin, scheme: "h2" }
    }
}

impl<O> RawOrigin<O> {
    /// For a route: the scheme and its address.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl<O> Deref for RawOrigin<O> {
    type Target = O;

    fn deref(&self) -> &O {
        &self.origin
    }
}

impl<S: Wire> RawPeer<S> {
    /// Reads a client's preface, and exchanges SETTINGS; `None` if it leaves before.
    pub fn welcome(&mut self, settings: &[(u16, u32)]) -> Option<()> {
        let preface = self.bytes(PREFACE.len())?;
        assert_eq!(preface, PREFACE);
        self.settle(settings);
        Some(())
    }

    /// Waits for a request's head: its stream and its fields; `None` if the connection ends before.
    pub fn request(&mut self) -> Option<(u32, Fields)> {
        let head = self.find(|frame| frame.kind == kind::HEADERS)?;
        let stream = head.stream;
        self.put_back(head);
        Some((stream, self.section(stream).expect("no reset")))
    }

    /// Answers a request with this status and body.
    pub fn answer(&mut self, stream: u32, status: &str, body: &[u8]) {
        self.send_fields(stream, &[(":status", status)], body.is_empty());
        if !body.is_empty() {
            self.send(Frame::data(stream, body).end());
        }
    }
}
