//! A client that sends exactly the given frames.

use std::net::{SocketAddr, TcpStream};

use super::fields::value_of;
use super::frame::Frame;
use super::raw::{Message, RawPeer};
use crate::support::Client;
use crate::support::tls::{TlsOptions, TlsStream};
use crate::support::wire::Wire;

/// What a client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A [`RawPeer`] that speaks first.
pub type RawClient<S = TcpStream> = RawPeer<S>;

/// The fields of a GET request.
pub fn get(path: &str) -> Vec<(&str, &str)> {
    vec![(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", path)]
}

/// The fields of a POST request.
pub fn post(path: &str) -> Vec<(&str, &str)> {
    vec![(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", path)]
}

impl RawClient {
    /// A new connection on which the prefaces and SETTINGS have been exchanged.
    pub fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[])
    }

    /// The same with these settings.
    pub fn connect_with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(address);
        client.greet(settings);
        client
    }

    /// A new connection on which nothing has been sent.
    pub fn silent(address: SocketAddr) -> Self {
        Self::over(Client::connect(address).stream)
    }
}

impl RawClient<TlsStream> {
    /// The same over TLS, where `h2` must be agreed on.
    pub fn connect_tls(address: SocketAddr, options: TlsOptions, name: &str) -> Self {
        let client = options.alpn(&["h2"]).connect(address, name);
        assert_eq!(client.handshake().alpn.as_deref(), Some("h2"));
        let mut client = Self::over(client.stream);
        client.greet(&[]);
        client
    }
}

impl<S: Wire> RawClient<S> {
    /// Sends the preface, and exchanges SETTINGS.
    pub fn greet(&mut self, settings: &[(u16, u32)]) {
        self.send_bytes(PREFACE);
        self.settle(settings);
    }

    /// The names of all fields that have come as literals never to be indexed (RFC 7541 §6.2.3), in order.
    pub fn never_indexed(&self) -> String {
        self.decoder.never_indexed.join(" ")
    }

    /// Sends a GET request without a body.
    pub fn get(&mut self, stream: u32, path: &str) {
        self.send_fields(stream, &get(path), true);
    }

    /// Sends a request with this body, in one frame.
    pub fn post(&mut self, stream: u32, path: &str, body: &[u8]) {
        let head = Frame::headers(stream, &post(path));
        self.send_all([head, Frame::data(stream, body).end()]);
    }

    /// Waits for a whole response with this status.
    pub fn expect_answer(&mut self, stream: u32, status: u16) -> Message {
        let message = self.message(stream).expect("no reset");
        let text = status.to_string();
        assert_eq!(value_of(&message.fields, ":status"), Some(text.as_str()), "{message:?}");
        message
    }
}
