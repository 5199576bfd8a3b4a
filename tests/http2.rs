//! HTTP/2 clients: what endpoints get of their requests, and what comes back.

use crate::support::h2::{Frame, PREFACE, RawClient, error, flag, get, kind, post};
use crate::support::origin::ok;
use crate::support::{Client, Conn, Origin, Proxy, Rendezvous, filler};

/// The fields of a request for `/` with these besides.
fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [post("/"), more.to_vec()].concat()
}

/// Reads one request with a body of chunks, and answers `ok`.
fn reading_chunks() -> Origin {
    Origin::start(|mut conn: Conn| {
        while conn.head().is_some() {
            let Some(body) = conn.chunks() else { return };
            conn.send(ok(&String::from_utf8_lossy(&body)));
        }
    })
}

#[test]
fn a_request_becomes_one_of_http_1_1() {
    let origin = Origin::named("hello");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(
        1,
        &[get("/a?b"), vec![("x-a", "1"), ("cookie", "a=b"), ("cookie", "c=d")]].concat(),
        true,
    );
    assert_eq!(client.expect_answer(1, 200).text(), "hello");
    let head = &origin.heads()[0];
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\nHost: "), "{head}");
    assert!(head.contains("\r\nx-a: 1\r\n") && head.contains("\r\ncookie: a=b; c=d\r\n"), "{head}");
}

#[test]
fn many_streams_share_a_connection() {
    let origin = Origin::named("hello");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    for stream in (1..200).step_by(2) {
        client.get(stream, "/");
    }
    for stream in (1..200).step_by(2) {
        assert_eq!(client.expect_answer(stream, 200).text(), "hello");
    }
}

#[test]
fn the_preface_is_refused_where_http_2_is_off() {
    let origin = Origin::named("hello");
    let proxy = Proxy::before(&[&origin], &["--no-http2"]);
    let mut client = Client::connect(proxy.address);
    client.send(PREFACE);
    assert_eq!(client.response().status, 505);
}

#[test]
fn the_preface_after_a_request_is_none() {
    let origin = Origin::named("hello");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = Client::connect(proxy.address);
    client.get("/");
    assert_eq!(client.response().status, 200);
    client.send(PREFACE);
    assert_eq!(client.response().status, 505);
}

#[test]
fn a_body_of_unknown_length_becomes_chunks() {
    let origin = reading_chunks();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &post("/"), false);
    client.send(Frame::data(1, "abc"));
    client.send(Frame::data(1, "def").end());
    assert_eq!(client.expect_answer(1, 200).text(), "abcdef");
}

#[test]
fn a_body_larger_than_every_window_passes_unchanged() {
    let body = filler(300_000);
    let origin = Origin::echoing(body.len());
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    let length = body.len().to_string();
    client.send_fields(1, &with(&[("content-length", &length)]), false);
    let (mut window, mut rest) = (65_535, &body[..]);
    while !rest.is_empty() {
        if window == 0 {
            let more = client.until("more credit", |frame| frame.is(kind::WINDOW_UPDATE, 1));
            window += more.word(0) as usize;
        }
        let (piece, after) = rest.split_at(window.min(rest.len()).min(16_384));
        client.send(Frame::data(1, piece).with(if after.is_empty() {
            flag::END_STREAM
        } else {
            0
        }));
        (window, rest) = (window - piece.len(), after);
    }
    assert!(client.expect_answer(1, 200).body == body);
}

#[test]
fn small_chunks_that_come_at_once_leave_in_one_frame() {
    let origin = Origin::start(|mut conn: Conn| {
        conn.head();
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        conn.send([head, &"1\r\na\r\n".repeat(1000)].concat());
        conn.send("0\r\n\r\n");
        conn.rest();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    let mut sizes = Vec::new();
    loop {
        let frame = client.until("DATA", |frame| frame.is(kind::DATA, 1));
        sizes.push(frame.payload.len());
        if frame.has(flag::END_STREAM) {
            break;
        }
    }
    // As many as there were reads.
    assert!(sizes.iter().sum::<usize>() == 1000 && sizes.len() < 10, "{sizes:?}");
    assert!(sizes.split_last().is_some_and(|(_, others)| !others.contains(&0)), "{sizes:?}");
}

#[test]
fn a_client_that_resets_its_request_cuts_it() {
    let cut = Rendezvous::default();
    let ours = cut.clone();
    let origin = Origin::start(move |mut conn: Conn| {
        conn.head();
        ours.wait();
        assert!(conn.ends_by_reset());
        ours.wait();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &with(&[("content-length", "10")]), false);
    client.send(Frame::data(1, "abc"));
    cut.wait();
    client.send(Frame::reset(1, error::CANCEL));
    cut.wait();
    client.expect_alive();
}

#[test]
fn an_answer_that_is_cut_is_reset() {
    let origin = Origin::start(|mut conn: Conn| {
        conn.head();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    client.expect_reset(1, error::INTERNAL_ERROR);
}

#[test]
fn a_request_without_a_route_is_answered() {
    let proxy = Proxy::start(&["--route", "/a=127.0.0.1:1"]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/b");
    let answer = client.expect_answer(1, 404);
    assert_eq!(answer.text(), "404 Not Found: no route for this path\n");
}

#[test]
fn a_malformed_request_is_reset_and_others_go_on() {
    let origin = Origin::named("hello");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &with(&[("connection", "close")]), true);
    client.expect_reset(1, error::PROTOCOL_ERROR);
    client.get(3, "/");
    client.expect_answer(3, 200);
}
