//! Chunks whose data moves with splice(2), byte for byte, and what happens when they break.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use evener::fault::Side;

use crate::splice::reset_amid;
use crate::support::origin::ok;
use crate::support::{Client, Conn, Origin, Proxy, eventually, filler};

const LARGE: usize = 3 << 20;

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// `data` in chunks of `size` bytes, without the last one.
fn chunks(data: &[u8], size: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for chunk in data.chunks(size) {
        all.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        all.extend_from_slice(chunk);
        all.extend_from_slice(b"\r\n");
    }
    all
}

fn answer(size: usize) -> Vec<u8> {
    [HEAD.as_bytes(), &chunks(&filler(LARGE), size), b"0\r\n\r\n"].concat()
}

/// Requests, as data that would be executed if it were mistaken for what follows it.
fn smuggled() -> Vec<u8> {
    b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n".repeat(LARGE / 38)
}

fn put(size: usize) -> Vec<u8> {
    let head = b"PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    [&head[..], &chunks(&smuggled(), size), b"0\r\n\r\n"].concat()
}

fn spliced(proxy: &Proxy) -> usize {
    proxy.count(|metrics| &metrics.bytes_spliced).try_into().unwrap()
}

/// Reads the head of an answer, and the chunks after it as strictly as it can be done.
fn strictly(client: Client) -> Option<Vec<u8>> {
    let mut conn = Conn::of(client.stream);
    conn.head()?;
    conn.chunks()
}

#[test]
fn large_chunks_of_a_response_are_spliced_and_leave_both_connections_usable() {
    for size in [64 * 1024, 1 << 20, LARGE] {
        let origin = Origin::answering(answer(size));
        let proxy = Proxy::before(&[&origin], &[]);
        let mut client = proxy.client();
        for _ in 0..2 {
            client.get("/");
            assert!(client.response().body == filler(LARGE), "{size}");
        }
        client.get("/");
        assert_eq!(strictly(client), Some(filler(LARGE)), "{size}");
        assert_eq!(origin.connections(), 1);
        assert!(spliced(&proxy) > LARGE, "{size}: {}", spliced(&proxy));
    }
}

#[test]
fn small_chunks_are_copied() {
    let origin = Origin::answering(answer(32 * 1024));
    let proxy = Proxy::before(&[&origin], &[]);
    assert!(proxy.get("/").body == filler(LARGE));
    assert_eq!(spliced(&proxy), 0);
}

#[test]
fn an_http_1_0_client_gets_the_data_of_spliced_chunks_alone() {
    let origin = Origin::answering(answer(LARGE));
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let (bytes, _) = client.end();
    assert!(bytes.ends_with(&[b"\r\n\r\n", &filler(LARGE)[..]].concat()));
    assert!(spliced(&proxy) > LARGE / 2, "{}", spliced(&proxy));
}

/// A receiver may act on a chunk once it is whole: that must not wait for the next one.
#[test]
fn a_part_of_a_chunk_ends_before_the_rest_has_come() {
    let (sender, seen) = sync_channel(1);
    let seen = Mutex::new(seen);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send([HEAD.as_bytes(), b"300000\r\n", &filler(LARGE / 2)].concat());
        let _ = seen.lock().unwrap().recv();
        conn.send([&filler(LARGE)[LARGE / 2..], b"\r\n0\r\n\r\n"].concat());
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    let mut conn = Conn::of(client.stream);
    conn.head().unwrap();
    let mut data = Vec::new();
    while data.len() < LARGE / 2 {
        data.extend(conn.chunk().unwrap());
    }
    sender.send(()).unwrap();
    data.extend(conn.chunks().unwrap());
    assert!(data == filler(LARGE));
    assert!(spliced(&proxy) > LARGE / 2, "{}", spliced(&proxy));
}

#[test]
fn bytes_after_large_chunks_are_the_next_request() {
    let (sender, bodies) = sync_channel(1);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        sender.send(conn.chunks()).unwrap();
        conn.send(ok("put"));
        conn.answer_all(&ok("next"));
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send([&put(LARGE)[..], b"GET /behind HTTP/1.1\r\nHost: test\r\n\r\n"].concat());
    assert_eq!([client.response().text(), client.response().text()], ["put", "next"]);
    assert!(bodies.recv().unwrap() == Some(smuggled()));
    assert!(spliced(&proxy) > LARGE / 2, "{}", spliced(&proxy));
    let lines: Vec<_> = origin.heads().iter().map(|head| head[..6].to_owned()).collect();
    assert_eq!(lines, ["PUT / ", "GET /b"]);
}

#[test]
fn a_spliced_chunk_that_does_not_end_where_it_says_cuts_its_message() {
    let broken = [HEAD.as_bytes(), b"100000\r\n", &filler(0x10_0000), b"x\r\n0\r\n\r\n"].concat();
    let origin = Origin::answering(broken);
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    assert_eq!(strictly(client), None);
    let cut = || proxy.count(|metrics| &metrics.cut_answers[Side::Upstream as usize]);
    eventually("the answer is counted", || cut() == 1);
    assert!(spliced(&proxy) > 0);
}

/// The request must not be repeated without the bytes that are lost.
#[test]
fn chunks_reset_by_their_endpoint_are_neither_repeated_nor_misread() {
    for received in [0, 100_000, LARGE / 2] {
        // The part that came with the headers is kept and may be sent again: then all of it must be.
        let bodies = reset_amid(received, put(1 << 20), |mut conn| conn.chunks());
        assert!(bodies.iter().flatten().all(|body| *body == smuggled()), "{received}");
    }
}
