//! Heads of up to 64 KiB, in and out: what is repeated in them does not count.

use std::sync::mpsc::{Receiver, sync_channel};

use crate::support::origin::ok;
use crate::support::{HANG, Origin, Proxy};

const LARGE: usize = 64 * 1024;

const FLAGS: [&str; 2] = ["--max-head", "64k"];

/// An origin that tells what heads it gets.
fn telling() -> (Origin, Receiver<String>) {
    let (tell, told) = sync_channel(8);
    let origin = Origin::start(move |mut conn| {
        while let Some(head) = conn.head() {
            let _ = tell.send(head);
            conn.send(ok("yes"));
        }
    });
    (origin, told)
}

/// A head of that many bytes: `start`, and letters before the empty line at its end.
fn head_of(bytes: usize, start: &str) -> String {
    format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
}

#[test]
fn a_head_of_64_kib_arrives() {
    let (origin, told) = telling();
    let proxy = Proxy::before(&[&origin], &FLAGS);
    let head = head_of(LARGE, "GET / HTTP/1.1\r\nHost: a\r\nX-Large: ");
    let mut client = proxy.client();
    // Twice, so that the connection is seen to go on.
    for _ in 0..2 {
        assert_eq!(client.ask(&head).text(), "yes");
        let arrived = told.recv_timeout(HANG).unwrap();
        assert!(arrived.starts_with(head.strip_suffix("\r\n").unwrap()));
    }
}

#[test]
fn one_byte_more_is_refused() {
    let (origin, _told) = telling();
    let proxy = Proxy::before(&[&origin], &FLAGS);
    let head = head_of(LARGE + 1, "GET / HTTP/1.1\r\nHost: a\r\nX-Large: ");
    assert_eq!(proxy.ask(head).status, 431);
    assert!(origin.heads().is_empty());
}

#[test]
fn an_authority_of_nearly_64_kib_is_repeated_in_full() {
    let (origin, told) = telling();
    let proxy = Proxy::before(&[&origin], &FLAGS);
    let host = "x".repeat(LARGE - 40);
    assert_eq!(proxy.ask(format!("GET http://{host}/ HTTP/1.0\r\n\r\n")).text(), "yes");
    let arrived = told.recv_timeout(HANG).unwrap();
    assert!(arrived.contains(&format!("\r\nHost: {host}\r\n")));
    assert!(arrived.contains(&format!("\r\nX-Forwarded-Host: {host}\r\n")));
}

#[test]
fn a_list_that_grows_when_it_is_written_again_arrives() {
    let (origin, told) = telling();
    let proxy = Proxy::before(&[&origin], &["--max-head", "64k", "--trusted", "127.0.0.1"]);
    let hops = "a,".repeat(LARGE / 2 - 40) + "b";
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {hops}\r\n\r\n");
    assert_eq!(proxy.ask(head).text(), "yes");
    assert!(told.recv_timeout(HANG).unwrap().contains("b, 127.0.0.1\r\n"));
}

/// A body that comes with such a head, and the next request with that.
#[test]
fn what_comes_after_a_large_head_is_not_lost() {
    let origin = Origin::echoing(100_000);
    let proxy = Proxy::before(&[&origin], &FLAGS);
    let start = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nX-Large: ";
    let body = crate::support::filler(100_000);
    let request = [head_of(LARGE, start).as_bytes(), &body].concat();
    let mut client = proxy.client();
    client.send([&request[..], &request].concat());
    for _ in 0..2 {
        assert!(client.response().body == body);
    }
}

#[test]
fn a_response_head_of_64_kib_arrives() {
    let head = head_of(LARGE, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Large: ");
    let origin = Origin::answering(head.clone() + "hi");
    let proxy = Proxy::before(&[&origin], &FLAGS);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.get("/");
        let answer = client.response();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hi"));
        assert_eq!(answer.field("x-large"), Some(&*"x".repeat(LARGE - 49)));
    }
    let more = head_of(LARGE + 1, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Large: ");
    assert_eq!(Proxy::before(&[&Origin::answering(more)], &FLAGS).get("/").status, 502);
}
