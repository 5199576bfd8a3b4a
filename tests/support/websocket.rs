//! Both ends of a WebSocket, by the `tungstenite` crate: over HTTP/1.1, and as a stream of HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use h2::ext::Protocol;
use h2::server::Builder;
use h2::{RecvStream, SendStream};
use hyper::http::Request;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use super::h2::{
    Frame, H2Client, H2Origin, RawClient, RawOrigin, RawPeer, flag, kind, send_data, setting,
    value_of,
};
use super::library::{origin, spawn};
use super::{Conn, Origin, Proxy};

/// A server for one client that echoes every message until the close.
pub fn echo() -> SocketAddr {
    origin(async |stream| echo_over(accept_async(stream).await.unwrap()).await)
}

/// The same over HTTP/2, for any number of clients.
pub fn echo_h2() -> H2Origin {
    let mut builder = Builder::new();
    builder.enable_connect_protocol();
    H2Origin::start_with(builder, None, async |mut exchange| {
        let protocol = exchange.head.extensions.get::<Protocol>();
        assert_eq!(protocol.map(Protocol::as_str), Some("websocket"));
        assert!(!exchange.head.headers.contains_key("sec-websocket-key"));
        let stream = byte_stream(exchange.begin(200).unwrap(), exchange.body);
        echo_over(WebSocketStream::from_raw_socket(stream, Role::Server, None).await).await;
    })
}

/// A client over HTTP/1.1.
pub async fn connect(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    client_async("ws://test/", stream).await.unwrap().0
}

/// A client over HTTP/2.
pub async fn connect_h2(address: SocketAddr) -> WebSocketStream<DuplexStream> {
    let request = Request::connect("http://test/")
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"))
        .body(())
        .unwrap();
    let client = H2Client::connect(address).await;
    let (response, send) = client.open(request, false).await.unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let stream = byte_stream(send, response.into_body());
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

async fn echo_over<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.unwrap();
        }
    }
}

/// What a stream of HTTP/2 carries, as bytes; its two directions end on their own.
fn byte_stream(mut send: SendStream<Bytes>, mut receive: RecvStream) -> DuplexStream {
    let (near, far) = duplex(64 * 1024);
    let (mut read, mut write) = split(far);
    spawn(async move {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let count = read.read(&mut bytes).await.unwrap_or(0);
            let data = Bytes::copy_from_slice(&bytes[..count]);
            if send_data(&mut send, data, count == 0).await.is_err() || count == 0 {
                return;
            }
        }
    });
    spawn(async move {
        while let Some(Ok(data)) = receive.data().await {
            if write.write_all(&data).await.is_err() {
                return;
            }
            let _ = receive.flow_control().release_capacity(data.len());
        }
        let _ = write.shutdown().await;
    });
    near
}

/// What opens a WebSocket over HTTP/2.
pub const CONNECT: &[(&str, &str)] = &[
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "test"),
    (":path", "/chat"),
    ("sec-websocket-version", "13"),
];

/// The same over HTTP/1.1.
pub const GET: &str = "GET /chat HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// How an endpoint of HTTP/1.1 agrees, without the answer to the key.
pub const SWITCH: &str = "HTTP/1.1 101 A\r\nUpgrade: websocket\r\nConnection: upgrade\r\n";

/// An origin that agrees to every WebSocket, sends these bytes with that, and then calls `serve`.
pub fn agreeing(early: &'static str, serve: impl Fn(Conn) + Send + Sync + 'static) -> Origin {
    Origin::start(move |mut conn: Conn| {
        let Some(head) = conn.head() else { return };
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let (_, key) = fields.find(|(name, _)| *name == "Sec-WebSocket-Key").unwrap();
        let accept = derive_accept_key(key.as_bytes());
        conn.send(format!("{SWITCH}Sec-WebSocket-Accept: {accept}\r\n\r\n{early}"));
        serve(conn);
    })
}

/// The same over HTTP/2.
pub fn agreeing_h2(serve: impl Fn(RawPeer, u32) + Send + Sync + 'static) -> RawOrigin {
    RawOrigin::start_with(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)], move |mut peer| {
        let Some((stream, fields)) = peer.request() else { return };
        assert_eq!(value_of(&fields, ":protocol"), Some("websocket"));
        peer.send_fields(stream, &[(":status", "200")], false);
        serve(peer, stream);
    })
}

/// A balancer before this endpoint.
pub fn before(endpoint: &str, flags: &[&str]) -> Proxy {
    Proxy::start(&[&["--route", &format!("/={endpoint}")], flags].concat())
}

/// A client whose stream 1 is an open WebSocket.
pub fn inside(proxy: &Proxy) -> RawClient {
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, CONNECT, false);
    let fields = client.section(1).unwrap();
    assert_eq!(value_of(&fields, ":status"), Some("200"));
    client
}

/// Reads the DATA of a stream until this has come.
pub fn expect_data(peer: &mut RawPeer, stream: u32, expected: &[u8]) {
    let mut come: Vec<u8> = Vec::new();
    while come.len() < expected.len() {
        come.extend(peer.until("DATA", |frame| frame.is(kind::DATA, stream)).content());
    }
    assert_eq!(come, expected);
}

/// Waits for the end of a stream, with nothing before it.
pub fn expect_end(peer: &mut RawPeer, stream: u32) {
    let ends = |frame: &Frame| frame.is(kind::DATA, stream) && frame.has(flag::END_STREAM);
    assert!(peer.until("the end", ends).content().is_empty());
}
