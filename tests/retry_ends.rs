//! Retries of requests of which something has come after the head: its end alone, or trailers.

use std::sync::mpsc;

use crate::support::h2::{Frame, RawClient, RawOrigin, error, flag, kind};
use crate::support::origin::{Conn, ok};
use crate::support::{Client, Origin, Proxy};

const PUT: [(&str, &str); 4] =
    [(":method", "PUT"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

/// A chunked request of HTTP/1.1 without its end.
const CHUNKED: &str = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// An endpoint that says when it has got the head of its first request, and then does this.
fn first(then: impl Fn(Conn) + Send + Sync + 'static) -> (Origin, mpsc::Receiver<()>) {
    let (came, has_come) = mpsc::sync_channel(1);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        came.send(()).unwrap();
        then(conn);
    });
    (origin, has_come)
}

/// One that answers when it has got an end.
fn second() -> Origin {
    Origin::start(|mut conn| {
        conn.head();
        assert_eq!(conn.chunks().as_deref(), Some(&b""[..]));
        conn.send(ok("whole"));
    })
}

#[test]
fn an_end_that_came_alone_over_http_2_is_sent_to_the_next_endpoint_too() {
    let (cutting, has_come) = first(|mut conn| {
        conn.chunks();
        conn.close();
    });
    let well = second();
    let proxy = Proxy::before(&[&cutting, &well], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &PUT, false);
    has_come.recv().unwrap();
    client.send(Frame::data(1, "").end());
    assert_eq!(client.expect_answer(1, 200).text(), "whole");
}

#[test]
fn trailers_that_came_alone_are_not_lost_by_a_retry() {
    let (cutting, has_come) = first(|mut conn| {
        while !matches!(&conn.line()[..], b"" | b"\r\n") {}
        conn.close();
    });
    let well = Origin::named("well");
    let proxy = Proxy::before(&[&cutting, &well], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &PUT, false);
    has_come.recv().unwrap();
    client.send_fields(1, &[("x-sum", "0")], true);
    client.expect_answer(1, 502);
    assert_eq!(well.heads().len(), 0);
}

/// An endpoint of HTTP/2 that says when a request has begun, and refuses it once it has ended.
fn refusing() -> (RawOrigin, mpsc::Receiver<()>) {
    let (came, has_come) = mpsc::sync_channel(1);
    let origin = RawOrigin::start(move |mut peer| {
        while let Some((stream, _)) = peer.request() {
            came.send(()).unwrap();
            peer.until("the end", |frame| frame.stream > 0 && frame.has(flag::END_STREAM));
            peer.send(Frame::reset(stream, error::REFUSED_STREAM));
        }
    });
    (origin, has_come)
}

#[test]
fn an_end_that_came_alone_over_http_1_1_is_sent_to_the_next_endpoint_too() {
    let (refusing, has_come) = refusing();
    let well = second();
    let route = format!("/={},{}", refusing.endpoint(), well.address);
    let proxy = Proxy::start(&["--route", &route]);
    let mut client = Client::connect(proxy.address);
    client.send(CHUNKED);
    has_come.recv().unwrap();
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "whole");
}

#[test]
fn trailers_that_connection_may_name_do_not_go_on_over_http_2() {
    let (came, has_come) = mpsc::sync_channel(1);
    let origin = RawOrigin::start(move |mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        came.send(()).unwrap();
        let end = peer.until("the end", |frame| frame.stream > 0 && frame.has(flag::END_STREAM));
        assert_eq!(end.kind, kind::DATA);
        peer.answer(stream, "200", b"hello");
    });
    let proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint())]);
    let mut client = Client::connect(proxy.address);
    client.send(CHUNKED.replace("Host", "Connection: x-sum\r\nHost"));
    has_come.recv().unwrap();
    client.send("0\r\nX-Sum: 0\r\n\r\n");
    assert_eq!(client.response().status, 200);
}
