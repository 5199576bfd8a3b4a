//! Tunnels: how they are opened, what passes through them, and how they end.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::library::run;
use crate::support::websocket::{connect, echo};
use crate::support::{Client, Conn, HANG, Origin, Proxy, eventually, filler};

const ASK: &str =
    "GET /tunnel HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

/// An origin that accepts every upgrade and then calls `serve`.
fn tunnelling(serve: impl Fn(Conn) + Send + Sync + 'static) -> Origin {
    Origin::start(move |mut conn| {
        conn.head();
        conn.send(SWITCH);
        serve(conn);
    })
}

/// A client with an open tunnel.
fn inside(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    assert_eq!(client.ask(ASK).status, 101);
    client
}

#[test]
fn an_upgrade_is_passed_on_both_ways() {
    let origin = tunnelling(|mut conn| drop(conn.rest()));
    let proxy = Proxy::before(&[&origin], &[]);
    let response = proxy.ask(ASK);
    assert_eq!(response.head, "HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: upgrade");
    let head = origin.heads().remove(0);
    assert!(head.contains("\r\nUpgrade: echo\r\n"), "{head}");
    assert!(head.contains("\r\nConnection: upgrade\r\n"), "{head}");
}

#[test]
fn bytes_that_come_with_the_heads_are_part_of_the_tunnel() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send(SWITCH.to_owned() + "hello");
        let said = conn.bytes(5).unwrap_or_default();
        conn.send(said);
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(ASK.to_owned() + "early");
    assert_eq!(client.response().status, 101);
    assert_eq!(client.exactly(10), b"helloearly");
}

#[test]
fn bytes_sent_before_the_101_arrives_are_part_of_the_tunnel() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let told = std::sync::Mutex::new(told);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        told.lock().unwrap().recv().unwrap();
        conn.send(SWITCH);
        let said = conn.bytes(9).unwrap_or_default();
        conn.send(said);
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(ASK.to_owned() + "before");
    eventually("it arrives", || origin.heads().len() == 1);
    client.send("101");
    tell.send(()).unwrap();
    assert_eq!(client.response().status, 101);
    assert_eq!(client.exactly(9), b"before101");
}

#[test]
fn an_endpoint_that_resets_after_its_101_resets_the_client() {
    for early in ["", "early"] {
        let origin = Origin::start(move |mut conn| {
            conn.head();
            conn.send(SWITCH.to_owned() + early);
            conn.reset();
        });
        let proxy = Proxy::before(&[&origin], &[]);
        let mut client = proxy.client();
        client.send(ASK.to_owned() + early);
        assert_eq!(client.response().status, 101);
        let (got, reset) = client.end();
        assert!(reset && early.as_bytes().starts_with(&got), "{early:?}");
        drop(client);
        assert_eq!(proxy.drain(HANG), 0);
    }
}

#[test]
fn a_client_that_half_closes_still_receives() {
    let origin = tunnelling(|mut conn| {
        let said = conn.rest();
        conn.send(said);
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = inside(&proxy);
    client.send("all");
    client.finish();
    assert_eq!(client.rest(), b"all");
}

#[test]
fn an_endpoint_that_half_closes_still_receives() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let origin = tunnelling(move |mut conn| {
        conn.send("all");
        conn.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = tell.send(conn.rest());
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = inside(&proxy);
    assert_eq!(client.rest(), b"all");
    client.send("heard");
    client.finish();
    assert_eq!(told.recv_timeout(HANG).unwrap(), b"heard");
}

#[test]
fn a_reset_on_one_side_ends_the_other() {
    let origin = tunnelling(|mut conn| {
        conn.bytes(2);
        conn.reset();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = inside(&proxy);
    client.send("go");
    assert!(client.is_reset());
}

#[test]
fn an_idle_tunnel_is_ended_on_both_sides() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let origin = tunnelling(move |mut conn| drop(tell.send(conn.rest())));
    let proxy = Proxy::before(&[&origin], &["--tunnel-timeout", "100ms"]);
    assert!(inside(&proxy).is_closed());
    assert_eq!(told.recv_timeout(HANG).unwrap(), b"");
}

#[test]
fn an_endpoint_that_will_not_switch_answers_as_usual() {
    let origin = Origin::named("plain");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.ask(ASK).text(), "plain");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn web_socket_messages_pass() {
    let route = format!("/={}", echo());
    let proxy = Proxy::start(&["--route", &route]);
    run(async {
        let mut socket = connect(proxy.address).await;
        let asking = Message::Ping(Bytes::from_static(b"still there?"));
        let answer = Message::Pong(Bytes::from_static(b"still there?"));
        let large = Message::Binary(filler(1 << 20).into());
        let text = Message::text("hello");
        for (sent, expected) in [(text.clone(), text), (large.clone(), large), (asking, answer)] {
            socket.send(sent).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap() == expected);
        }
        socket.close(None).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_close());
        assert!(socket.next().await.is_none());
    });
}
