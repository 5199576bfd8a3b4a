//! Endpoints that reset streams: what their clients get of the answer, and what they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::grpc::{call, refusal};
use crate::support::h2::{
    Frame, H2Origin, RawClient, RawOrigin, error, flag, kind, post, value_of,
};
use crate::support::{Client, Proxy, eventually};

/// An endpoint that sends a head and these frames in one write as soon as it has read the head of a request.
fn answering(frames: impl Fn(u32) -> Vec<Frame> + Send + Sync + 'static) -> RawOrigin {
    RawOrigin::start(move |mut peer| {
        while let Some((stream, _)) = peer.request() {
            let head = Frame::headers(stream, &[(":status", "200")]);
            peer.send_all([vec![head], frames(stream)].concat());
        }
    })
}

fn before(origin: &RawOrigin) -> Proxy {
    Proxy::start(&["--route", &format!("/={}", origin.endpoint())])
}

/// A request to `/` whose body has begun.
fn begin(client: &mut RawClient) {
    client.send_fields(1, &post("/"), false);
    client.send(Frame::data(1, "begun"));
}

#[test]
fn what_came_before_a_reset_is_passed_on() {
    let origin = answering(|stream| {
        vec![Frame::data(stream, "abc"), Frame::reset(stream, error::INTERNAL_ERROR)]
    });
    let proxy = before(&origin);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    client.until("the head", |frame| frame.is(kind::HEADERS, 1));
    let data = client.until("the body", |frame| frame.is(kind::DATA, 1));
    assert_eq!((data.payload.as_slice(), data.has(flag::END_STREAM)), (&b"abc"[..], false));
    client.expect_reset(1, error::INTERNAL_ERROR);
}

#[test]
fn a_head_alone_before_a_reset_is_passed_on() {
    let origin = answering(|stream| vec![Frame::reset(stream, error::INTERNAL_ERROR)]);
    let proxy = before(&origin);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    client.until("the head", |frame| frame.is(kind::HEADERS, 1));
    client.expect_reset(1, error::INTERNAL_ERROR);
}

#[test]
fn an_early_answer_passes_whole_though_the_rest_of_its_request_is_refused_at_once() {
    let origin = answering(|stream| {
        vec![Frame::data(stream, "early").end(), Frame::reset(stream, error::NO_ERROR)]
    });
    let proxy = before(&origin);
    let mut client = RawClient::connect(proxy.address);
    begin(&mut client);
    assert_eq!(client.expect_answer(1, 200).text(), "early");
    client.expect_reset(1, error::NO_ERROR);
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nbegun");
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_str()), (200, "early"));
}

#[test]
fn what_came_before_the_end_of_a_connection_is_passed_on() {
    let origin = RawOrigin::start(|mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        let head = Frame::headers(stream, &[(":status", "200")]);
        peer.send_all([head, Frame::data(stream, "abc")]);
    });
    let proxy = before(&origin);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    client.until("the head", |frame| frame.is(kind::HEADERS, 1));
    client.until("the body", |frame| frame.is(kind::DATA, 1) && frame.payload == b"abc");
    client.expect_reset(1, error::INTERNAL_ERROR);
}

#[test]
fn a_reset_that_is_about_the_exchange_is_passed_on_and_any_other_is_an_error_of_ours() {
    for code in 0..=0xe {
        let origin =
            answering(move |stream| vec![Frame::data(stream, "abc"), Frame::reset(stream, code)]);
        let proxy = before(&origin);
        let mut client = RawClient::connect(proxy.address);
        client.get(1, "/");
        let told = match code {
            error::CANCEL | error::ENHANCE_YOUR_CALM => code,
            _ => error::INTERNAL_ERROR,
        };
        client.expect_reset(1, told);
    }
}

#[test]
fn a_call_that_is_reset_before_it_is_answered_is_told_what_the_code_means() {
    let rows = [
        (error::CANCEL, "1"),
        (error::ENHANCE_YOUR_CALM, "8"),
        (error::REFUSED_STREAM, "14"),
        (error::INTERNAL_ERROR, "13"),
    ];
    for (code, status) in rows {
        let origin = RawOrigin::start(move |mut peer| {
            while let Some((stream, _)) = peer.request() {
                peer.send(Frame::reset(stream, code));
            }
        });
        let proxy = before(&origin);
        let mut client = RawClient::connect(proxy.address);
        client.send_fields(1, &call(&[]), true);
        assert_eq!(refusal(&mut client, 1).0, status, "{code}");
    }
}

#[test]
fn a_stream_that_is_refused_beside_others_is_sent_on_another_connection() {
    let origin = RawOrigin::start(|mut peer| {
        while let Some((stream, fields)) = peer.request() {
            if value_of(&fields, ":path") == Some("/held") {
                while let Some((second, _)) = peer.request() {
                    peer.send(Frame::reset(second, error::REFUSED_STREAM));
                }
            } else {
                peer.answer(stream, "200", b"hello");
            }
        }
    });
    let proxy = before(&origin);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/held");
    eventually("it is under way", || origin.connections() == 1);
    client.get(3, "/");
    assert_eq!(client.expect_answer(3, 200).text(), "hello");
}

/// Refuses every request, and counts them.
fn refusing() -> (RawOrigin, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let ours = Arc::clone(&asked);
    let origin = RawOrigin::start(move |mut peer| {
        while let Some((stream, _)) = peer.request() {
            ours.fetch_add(1, Ordering::SeqCst);
            peer.send(Frame::reset(stream, error::REFUSED_STREAM));
        }
    });
    (origin, asked)
}

#[test]
fn an_endpoint_that_refuses_a_request_alone_is_asked_once_more_at_most() {
    let (origin, asked) = refusing();
    assert_eq!(before(&origin).get("/").status, 502);
    assert_eq!((asked.load(Ordering::SeqCst), origin.connections()), (2, 1));
}

#[test]
fn a_connection_on_which_an_endpoint_takes_nothing_more_is_left_for_another() {
    let origin = RawOrigin::start(|mut peer| {
        let (stream, _) = peer.request().expect("a request");
        peer.answer(stream, "200", b"hello");
        while let Some((stream, _)) = peer.request() {
            peer.send(Frame::reset(stream, error::ENHANCE_YOUR_CALM));
        }
        assert!(peer.has_come(|frame| frame.kind == kind::GOAWAY));
    });
    let proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint()), "--max-fails", "1"]);
    for _ in 0..5 {
        assert_eq!(proxy.get("/").text(), "hello");
    }
    assert_eq!(origin.connections(), 5);
}

#[test]
fn another_endpoint_is_asked_before_one_that_has_refused() {
    let ((first, asked), second) = (refusing(), H2Origin::named("hello"));
    let route = format!("/={},{}", first.endpoint(), second.endpoint());
    let proxy = Proxy::start(&["--route", &route]);
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "hello");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 5);
}
