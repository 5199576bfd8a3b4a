//! Large bodies in both directions, byte for byte; bodies that break off or are answered early.

use std::sync::mpsc::sync_channel;
use std::thread;

use crate::support::origin::{ok, ok_head};
use crate::support::{Client, Origin, Proxy, filler};

const LARGE: usize = 5 << 20;

fn post(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

/// Sends on another thread and ignores errors.
fn send_beside(client: &Client, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    let mut stream = client.stream.try_clone().unwrap();
    thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut stream, &bytes);
    })
}

#[test]
fn a_large_request_and_a_large_response_at_once() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send(ok_head(LARGE));
        for _ in 0..LARGE >> 14 {
            let bytes = conn.bytes(1 << 14).unwrap();
            conn.send(bytes);
        }
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(post(&format!("Content-Length: {LARGE}\r\n")));
    let sending = send_beside(&client, filler(LARGE));
    assert!(client.response().body == filler(LARGE));
    sending.join().unwrap();
}

#[test]
fn a_large_request() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        let intact = conn.bytes(LARGE).unwrap() == filler(LARGE);
        conn.send(ok(if intact { "intact" } else { "damaged" }));
    });
    let head = post(&format!("Content-Length: {LARGE}\r\n")).into_bytes();
    let response = Proxy::before(&[&origin], &[]).ask([head, filler(LARGE)].concat());
    assert_eq!(response.text(), "intact");
}

#[test]
fn a_large_response() {
    let origin = Origin::answering([ok_head(LARGE), filler(LARGE)].concat());
    let response = Proxy::before(&[&origin], &[]).get("/");
    assert!(response.whole && response.body == filler(LARGE));
}

/// The bytes in chunks of various sizes up to `largest`, each with this extension.
fn chunked(bytes: &[u8], largest: usize, extension: &str) -> Vec<u8> {
    let (mut out, mut rest, mut size) = (Vec::new(), bytes, 1);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        out.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
        out.extend([chunk, b"\r\n"].concat());
        (rest, size) = (after, size * 7 % largest + 1);
    }
    out.extend(b"0\r\n\r\n");
    out
}

#[test]
fn a_large_chunked_request() {
    let origin = Origin::start(move |mut conn| {
        conn.head();
        let intact = conn.chunks() == Some(filler(LARGE));
        conn.send(ok(if intact { "intact" } else { "damaged" }));
    });
    let head = post("Transfer-Encoding: chunked\r\n").into_bytes();
    let body = chunked(&filler(LARGE), 100_000, ";ext=1");
    let response = Proxy::before(&[&origin], &[]).ask([head, body].concat());
    assert_eq!(response.text(), "intact");
}

#[test]
fn a_large_chunked_response() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = chunked(&filler(LARGE), 100_000, ";ext=1");
    let origin = Origin::answering([&head[..], &body].concat());
    let response = Proxy::before(&[&origin], &[]).get("/");
    assert!(response.whole && response.body == filler(LARGE));
}

#[test]
fn a_response_before_the_upload_ends_arrives_and_is_the_last() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno");
        // Reads everything, so that the response is all that tells the proxy to stop.
        conn.rest();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(post(&format!("Content-Length: {LARGE}\r\n")).into_bytes());
    client.send(filler(100_000));
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (413, Some("close")));
    assert!(!client.is_reset());
}

#[test]
fn a_response_arrives_if_its_endpoint_stops_reading_the_upload() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno");
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(post(&format!("Content-Length: {LARGE}\r\n")));
    let sending = send_beside(&client, filler(LARGE));
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (413, "no"));
    assert!(client.is_closed());
    sending.join().unwrap();
}

#[test]
fn a_client_that_half_closes_after_its_request_is_answered() {
    let origin = Origin::echoing(5);
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(post("Content-Length: 5\r\n") + "hello");
    client.finish();
    assert_eq!(client.response().text(), "hello");
    assert!(!client.is_reset());
}

/// Everything that reaches an origin before its connection ends.
fn reaching(proxy_of: impl FnOnce(Proxy)) -> String {
    let (sender, received) = sync_channel(1);
    let origin = Origin::start(move |mut conn| {
        let head = conn.head().unwrap_or_default();
        let _ = sender.send(head + &String::from_utf8_lossy(&conn.rest()));
    });
    proxy_of(Proxy::before(&[&origin], &[]));
    received.recv_timeout(crate::support::HANG).unwrap()
}

#[test]
fn a_bad_chunk_is_refused_and_the_request_never_arrives_whole() {
    let reached = reaching(|proxy| {
        let mut client = proxy.client();
        client.send(post("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n");
        crate::support::eventually("the body moves", || proxy.count(|m| &m.connects) == 1);
        assert_eq!(client.ask("xyz\r\n0\r\n\r\n").status, 400);
        assert!(!client.is_reset());
    });
    assert!(reached.ends_with("\r\n\r\n5\r\nhello\r\n"), "{reached}");
}

#[test]
fn an_upload_its_client_breaks_off_never_arrives_whole() {
    let reached = reaching(|proxy| {
        let mut client = proxy.client();
        client.send(post("Content-Length: 10\r\n") + "hello");
        client.finish();
        assert!(client.is_closed());
    });
    assert!(reached.ends_with("\r\n\r\nhello"), "{reached}");
}
