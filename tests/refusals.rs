//! Random bytes and incomplete headers do not affect other clients.

use crate::support::{Origin, Proxy, filler};

#[test]
fn random_bytes() {
    let origin = Origin::named("in");
    let proxy = Proxy::before(&[&origin], &[]);
    for noise in filler(20_000).chunks(2_000) {
        let mut client = proxy.client();
        client.send(noise);
        client.finish();
        let answer = client.rest();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{noise:?}");
    }
    assert!(origin.heads().is_empty());
    assert_eq!(proxy.get("/").text(), "in");
}

/// Starts a request and then sends the same byte until it is refused.
fn dripping(start: &str, byte: u8) {
    let origin = Origin::named("in");
    let proxy = Proxy::before(&[&origin], &["--header-timeout", "100ms"]);
    let mut client = proxy.client();
    client.send(start);
    client.drip(byte);
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (408, Some("close")));
    assert!(!client.is_reset());
    assert_eq!(proxy.count(|m| &m.head_timeouts), 1);
    assert_eq!(proxy.get("/").text(), "in");
}

#[test]
fn a_first_line_that_drips() {
    dripping("G", b'E');
}

#[test]
fn a_field_that_drips() {
    dripping("GET / HTTP/1.1\r\nHost: a\r\nX: ", b'x');
}

#[test]
fn a_head_that_stops() {
    let origin = Origin::named("in");
    let proxy = Proxy::before(&[&origin], &["--header-timeout", "100ms"]);
    assert_eq!(proxy.ask("GET / HTTP/1.1\r\nHost: a\r\n").status, 408);
}

#[test]
fn a_client_that_leaves_within_its_head_affects_no_other() {
    let origin = Origin::named("in");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    client.finish();
    assert!(client.is_closed());
    assert_eq!(proxy.get("/").text(), "in");
}

/// A 404 of now must not be what a cache on the way says tomorrow.
#[test]
fn answers_of_our_own_that_a_cache_might_keep_tell_it_not_to() {
    let origin = Origin::named("in");
    let proxy = Proxy::start(&["--route", &format!("/a={}", origin.address)]);
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000));
    let rows = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (&long, 414),
    ];
    for (request, status) in rows {
        let answer = proxy.ask(request);
        assert_eq!((answer.status, answer.field("cache-control")), (status, Some("no-store")));
    }
}
