//! How connections with TLS end, and how a cut is told from an end.

use std::time::Duration;

use crate::support::tls::{TlsClient, TlsProxy};
use crate::support::{Conn, Origin, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ASK: &str =
    "GET /tunnel HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

#[test]
fn a_body_that_ends_with_its_connection_ends_with_a_close_notify() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send("HTTP/1.1 200 OK\r\n\r\nall of it");
        conn.close();
    });
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(GET);
    let (bytes, was_cut) = client.end();
    assert!(bytes.ends_with(b"all of it") && !was_cut);
}

#[test]
fn a_body_that_ends_with_its_connection_is_cut_without_a_close_notify() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send("HTTP/1.1 200 OK\r\n\r\nsome");
        conn.reset();
    });
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(GET);
    assert!(client.end().1);
}

#[test]
fn a_client_that_has_ended_its_direction_is_answered() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(GET);
    client.finish();
    assert_eq!(client.response().text(), "hello");
    assert!(client.ends_cleanly());
}

#[test]
fn a_request_that_is_cut_does_not_look_whole() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        assert_eq!(conn.bytes(4).as_deref(), Some(&b"some"[..]));
        assert!(conn.ends_by_reset());
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome");
    eventually("the endpoint is asked", || origin.heads().len() == 1);
    client.stream.truncate();
    assert!(client.is_closed());
}

/// A client with an open tunnel to an origin that does this.
fn tunnel(serve: impl Fn(Conn) + Send + Sync + 'static) -> (TlsProxy, Origin, TlsClient) {
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send(SWITCH);
        serve(conn);
    });
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    assert_eq!(client.ask(ASK).status, 101);
    (proxy, origin, client)
}

#[test]
fn each_direction_of_a_tunnel_ends_on_its_own() {
    let (_proxy, _origin, mut client) = tunnel(|mut conn| {
        let said = conn.rest();
        conn.send(said);
        conn.close();
    });
    client.send("all I have to say");
    client.finish();
    let (bytes, was_cut) = client.end();
    assert!(bytes == b"all I have to say" && !was_cut);
}

#[test]
fn the_end_of_a_tunnel_is_told_from_a_cut() {
    let (_proxy, _origin, mut client) = tunnel(|mut conn| {
        conn.send("some");
        conn.reset();
    });
    let (bytes, was_cut) = client.end();
    assert!(b"some".starts_with(&bytes[..]) && was_cut);
}

#[test]
fn a_tunnel_that_its_client_cuts_is_reset() {
    let (_proxy, _origin, mut client) = tunnel(|mut conn| {
        assert_eq!(conn.bytes(4).as_deref(), Some(&b"some"[..]));
        assert!(conn.ends_by_reset());
    });
    client.send("some");
    client.stream.truncate();
    assert!(client.is_closed());
}

#[test]
fn a_drain_ends_idle_sessions_in_order() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    assert_eq!(client.ask(GET).status, 200);
    assert_eq!(proxy.into_proxy().drain(Duration::from_secs(20)), 0);
    assert!(client.ends_cleanly());
}
