//! Connections to endpoints over TLS: how they are kept, resumed and ended.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::sync_channel;
use std::thread;

use evener::address::Address;
use evener::buffer::Buffer;
use evener::net::connect::connect;
use evener::net::delivery::{CloseKind, DeliveryVerdict};
use evener::net::stream::Stream;
use evener::net::tls::handshake;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, ServerConnection};

use crate::support::origin::{ok, ok_head};
use crate::support::tls::{
    Authority, Identity, TlsConn, TlsOptions, TlsOrigin, TlsServer, TlsStream,
};
use crate::support::{Ending, Proxy, Rendezvous, eventually, filler};
use crate::upstream_tls::{ca, to};

fn server() -> TlsServer {
    TlsServer::showing(Identity::localhost())
}

/// Before this origin, with its authority trusted.
fn before(origin: &TlsOrigin) -> Proxy {
    Proxy::start(&[&to(origin), &ca()])
}

/// Answers each request with the index of its connection, and does something after the first one.
fn counting(after: impl Fn(&mut TlsConn) + Send + Sync + 'static) -> TlsOrigin {
    TlsOrigin::start(&server(), move |mut conn| {
        let mut served = 0;
        while conn.head().is_some() {
            let index = conn.index.to_string();
            conn.send(ok(&index));
            served += 1;
            if served == 1 {
                after(&mut conn);
            }
        }
    })
}

/// Has the endpoint's answers to two requests, the second sent when what followed the first has come.
fn asked_twice(origin: &TlsOrigin, method: &str) -> [String; 2] {
    let proxy = before(origin);
    let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let first = proxy.ask(&request).text();
    [first, proxy.ask(&request).text()]
}

#[test]
fn a_connection_is_used_again() {
    let origin = counting(|_| {});
    assert_eq!(asked_twice(&origin, "POST"), ["0", "0"]);
}

#[test]
fn what_concerns_tls_alone_does_not_end_an_idle_connection() {
    let origin = counting(|conn| {
        conn.stream.session.refresh_traffic_keys().unwrap();
        conn.stream.flush_records().unwrap();
    });
    assert_eq!(asked_twice(&origin, "POST"), ["0", "0"]);
}

#[test]
fn an_idle_connection_with_bytes_nobody_asked_for_is_not_used_again() {
    let origin = TlsOrigin::start(&server(), |mut conn| {
        while conn.head().is_some() {
            let index = conn.index.to_string();
            // In one record with the answer, so that it has come when that has.
            conn.send([&ok(&index)[..], &ok("unasked")].concat());
        }
    });
    assert_eq!(asked_twice(&origin, "POST"), ["0", "1"]);
}

#[test]
fn an_idle_connection_that_has_ended_is_replaced() {
    for ends in [
        (|conn: &mut TlsConn| {
            conn.stream.session.send_close_notify();
            conn.stream.flush_records().unwrap();
        }) as fn(&mut TlsConn),
        |conn| conn.stream.truncate(),
    ] {
        let origin = counting(ends);
        let proxy = before(&origin);
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(proxy.ask(post).text(), "0");
        let index = || proxy.ask(post).text().parse::<usize>();
        eventually("another connection is used", || index().is_ok_and(|index| index > 0));
    }
}

#[test]
fn sessions_are_resumed() {
    for version in [&TLS12, &TLS13] {
        let origin = TlsOrigin::start(&server().versions(&[version]), |mut conn| {
            conn.head();
            conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
            conn.close();
        });
        let proxy = before(&origin);
        for _ in 0..4 {
            assert_eq!(proxy.get("/").text(), "hi");
        }
        let handshakes =
            origin.handshakes().into_iter().map(|handshake| handshake.unwrap().resumed);
        assert_eq!(handshakes.collect::<Vec<_>>(), [false, true, true, true], "{version:?}");
        assert_eq!(proxy.count(|metrics| &metrics.upstream_handshakes.full), 1);
        assert_eq!(proxy.count(|metrics| &metrics.upstream_handshakes.resumed), 3);
        let of_1_2 = if version.version == ProtocolVersion::TLSv1_2 { 4 } else { 0 };
        assert_eq!(proxy.count(|metrics| &metrics.upstream_handshakes.tls12), of_1_2);
    }
}

#[test]
fn bodies_pass_unchanged_both_ways() {
    let origin = TlsOrigin::start(&server(), |mut conn| {
        while conn.head().is_some() {
            let Some(bytes) = conn.bytes(3_000_000) else { return };
            conn.send([&ok_head(bytes.len())[..], &bytes].concat());
        }
    });
    let proxy = before(&origin);
    let body = filler(3_000_000);
    for _ in 0..2 {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        assert!(proxy.ask([head.as_bytes(), &body].concat()).body == body);
    }
    assert_eq!(origin.connections(), 1);
}

/// Sends a body that ends with its connection, and ends it.
fn unframed(end: impl Fn(TlsConn) + Send + Sync + 'static) -> TlsOrigin {
    TlsOrigin::start(&server(), move |mut conn| {
        conn.head();
        conn.send("HTTP/1.1 200 OK\r\n\r\nall of it");
        end(conn);
    })
}

#[test]
fn a_body_that_ends_with_its_connection_is_whole_after_close_notify_only() {
    let origin = unframed(TlsConn::close);
    let proxy = before(&origin);
    let mut client = proxy.client();
    client.get("/");
    let (bytes, is_reset) = client.end();
    assert!(bytes.ends_with(b"all of it") && !is_reset);
    for end in [(|mut conn: TlsConn| conn.stream.truncate()) as fn(TlsConn), |conn| {
        conn.leave(Ending::Reset);
    }] {
        let origin = unframed(end);
        let proxy = before(&origin);
        let mut client = proxy.client();
        client.get("/");
        assert!(client.end().1, "not cut");
    }
}

/// Accepts one connection, answers one byte with another, and closes; meets the test before and after
/// that.
fn closing(meeting: &Rendezvous) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (config, meeting) = (server().config(), meeting.clone());
    thread::spawn(move || {
        let session = ServerConnection::new(config).unwrap();
        let mut stream = TlsStream::new(session, listener.accept().unwrap().0).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(b"y").unwrap();
        meeting.wait();
        drop(stream);
        meeting.wait();
    });
    address
}

#[tokio::test]
async fn what_an_endpoint_that_had_closed_did_not_take_is_known_not_to_have_arrived() {
    let meeting = Rendezvous::default();
    let address = closing(&meeting);
    let Ok(Stream::Plain(socket)) = connect(&Address::Tcp(address)).await else {
        panic!("refused")
    };
    let config = TlsOptions::trusting(Authority::shared()).config();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let (stream, _) = handshake::connect(socket, config, name).await.unwrap();
    let mut stream = Stream::Tls(Box::new(stream));
    stream.split().1.write(b"x").await.unwrap();
    let mut buffer = Buffer::new();
    stream.split().0.read(&mut buffer).await.unwrap();
    let carried = stream.carried_after(0, 0);
    meeting.wait();
    meeting.wait();
    stream.split().1.write(b"request").await.unwrap();
    let verdict = || stream.delivery().unwrap().verdict(carried, CloseKind::InOrder);
    eventually("the reset has come", || verdict() != DeliveryVerdict::Open);
    assert_eq!(verdict(), DeliveryVerdict::Undelivered);
}

#[test]
fn a_request_that_is_cut_ends_without_close_notify() {
    let (sender, ended) = sync_channel(1);
    let origin = TlsOrigin::start(&server(), move |mut conn| {
        conn.head();
        let mut bytes = Vec::new();
        let _ = sender.send(conn.stream.read_to_end(&mut bytes).map(|_| bytes));
    });
    let proxy = before(&origin);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhi");
    eventually("it has arrived", || !origin.heads().is_empty());
    client.leave(Ending::Close);
    assert!(ended.recv().unwrap().is_err());
}

#[test]
fn a_tunnel_goes_over_tls() {
    let origin = TlsOrigin::start(&server(), |mut conn| {
        conn.head();
        conn.send("HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
        while let Some(bytes) = conn.bytes(4) {
            conn.send(bytes);
        }
        conn.close();
    });
    let proxy = before(&origin);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.response().status, 101);
    for text in ["ping", "pong"] {
        client.send(text);
        assert_eq!(client.exactly(4), text.as_bytes());
    }
    client.finish();
    assert!(client.ends_cleanly());
}
