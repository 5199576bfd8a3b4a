//! Endpoints that speak HTTP/2: what they get, and what becomes of their answers.

use std::sync::mpsc;

use hyper::http::{HeaderMap, Request};

use crate::support::h2::{
    Body, Frame, H2Client, H2Origin, RawClient, RawOrigin, error, flag, kind, post, setting,
    value_of,
};
use crate::support::library::run;
use crate::support::origin::ok;
use crate::support::{Admin, Client, Origin, Proxy, Rendezvous, eventually, filler};

fn before(endpoint: &str) -> Proxy {
    Proxy::start(&["--route", &format!("/={endpoint}")])
}

#[test]
fn a_request_of_http_1_1_becomes_one_of_http_2() {
    let origin = H2Origin::named("hello");
    let proxy = before(&origin.endpoint());
    let answer = Client::connect(proxy.address).ask(
        "GET /a?b HTTP/1.1\r\nHost: example.com\r\nX-A: 1\r\nConnection: x-b\r\nX-B: 2\r\n\r\n",
    );
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let head = &origin.heads()[0];
    assert_eq!(head.uri.to_string(), "http://example.com/a?b");
    assert_eq!(head.headers["x-a"], "1");
    assert!(!head.headers.contains_key("x-b") && !head.headers.contains_key("connection"));
}

#[test]
fn bodies_and_trailers_pass_both_ways_between_two_connections_of_http_2() {
    let origin = H2Origin::echoing();
    let proxy = before(&origin.endpoint());
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
    let body = Body { bytes: filler(1 << 20), trailers: Some(trailers) };
    let request = Request::post("http://test/").body(()).unwrap();
    let answer = run(async {
        H2Client::connect(proxy.address).await.ask(request, body.clone()).await.unwrap()
    });
    assert!(answer.body == body);
}

#[test]
fn chunks_and_trailers_pass_both_ways_over_http_2() {
    let origin = H2Origin::echoing();
    let proxy = before(&origin.endpoint());
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_str()), (200, "abc"));
}

#[test]
fn requests_share_a_connection() {
    let origin = H2Origin::named("hello");
    let proxy = before(&origin.endpoint());
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(proxy.address)).collect();
    for client in &mut clients {
        client.get("/");
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn what_an_endpoint_has_not_looked_at_is_sent_again_even_if_it_is_a_post() {
    let first = RawOrigin::start(|mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        peer.send(Frame::go_away(stream - 1, error::NO_ERROR));
        peer.request();
    });
    let second = H2Origin::named("hello");
    let proxy = before(&format!("{},{}", first.endpoint(), second.endpoint()));
    for _ in 0..2 {
        let mut client = Client::connect(proxy.address);
        let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    }
}

#[test]
fn a_refused_stream_is_tried_again_and_counts_against_nobody() {
    let origin = RawOrigin::start(|mut peer| {
        while let Some((stream, _)) = peer.request() {
            match stream {
                1 => peer.send(Frame::reset(stream, error::REFUSED_STREAM)),
                _ => peer.answer(stream, "200", b"hello"),
            }
        }
    });
    let proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint()), "--max-fails", "1"]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..3 {
        let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn a_refused_stream_whose_body_was_on_its_way_is_not_tried_again_without_it() {
    let (come, has_come) = mpsc::sync_channel(1);
    let origin = RawOrigin::start_with(&[(setting::INITIAL_WINDOW_SIZE, 1)], move |mut peer| {
        while let Some((stream, _)) = peer.request() {
            if stream > 1 {
                return peer.answer(stream, "200", b"hello");
            }
            come.send(()).unwrap();
            peer.until("a part of the body", |frame| frame.kind == kind::DATA);
            peer.send(Frame::reset(stream, error::REFUSED_STREAM));
        }
    });
    let proxy = before(&origin.endpoint());
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &post("/"), false);
    has_come.recv().unwrap();
    client.send(Frame::data(1, b"all of it").end());
    client.expect_answer(1, 502);
}

#[test]
fn a_refused_stream_whose_trailers_were_on_their_way_is_not_tried_again_without_them() {
    let (come, has_come) = mpsc::sync_channel(1);
    let origin = RawOrigin::start(move |mut peer| {
        while let Some((stream, _)) = peer.request() {
            if stream > 1 {
                return peer.answer(stream, "200", b"hello");
            }
            come.send(()).unwrap();
            peer.until("the trailers", |frame| frame.is(kind::HEADERS, stream));
            peer.send(Frame::reset(stream, error::REFUSED_STREAM));
        }
    });
    let proxy = before(&origin.endpoint());
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &post("/"), false);
    has_come.recv().unwrap();
    client.send_fields(1, &[("x-sum", "0")], true);
    client.expect_answer(1, 502);
}

#[test]
fn no_more_streams_are_opened_than_an_endpoint_allows() {
    let limit = [(setting::MAX_CONCURRENT_STREAMS, 1)];
    let origin = RawOrigin::start_with(&limit, |mut peer| {
        while let Some((stream, _)) = peer.request() {
            // Long enough for another one to come, if it did.
            peer.expect_alive();
            assert!(!peer.has_come(|frame| frame.kind == kind::HEADERS));
            peer.answer(stream, "200", b"hello");
        }
    });
    let proxy = before(&origin.endpoint());
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(proxy.address)).collect();
    for client in &mut clients {
        client.get("/");
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert!(origin.connections() <= 8);
}

#[test]
fn an_endpoint_that_does_not_speak_http_2_is_a_502_that_says_so() {
    let origin = Origin::answering(ok("hello"));
    let proxy = before(&format!("h2c://{}", origin.address));
    let answer = proxy.get("/");
    assert_eq!(answer.status, 502);
    assert_eq!(answer.text(), "502 Bad Gateway: endpoint does not speak HTTP/2\n");
}

#[test]
fn a_request_that_its_client_cuts_is_reset() {
    let cut = Rendezvous::default();
    let ours = cut.clone();
    let origin = RawOrigin::start(move |mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        ours.wait();
        peer.expect_reset(stream, error::CANCEL);
        ours.wait();
        peer.request();
    });
    let proxy = before(&origin.endpoint());
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &post("/"), false);
    cut.wait();
    client.send(Frame::reset(1, error::CANCEL));
    cut.wait();
    client.expect_alive();
}

#[test]
fn an_answer_that_is_reset_is_reset() {
    let arrived = Rendezvous::default();
    let theirs = arrived.clone();
    let origin = RawOrigin::start(move |mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        peer.send_fields(stream, &[(":status", "200")], false);
        peer.send(Frame::data(stream, "abc"));
        // Nothing of the answer would be sent on if the reset came with it.
        theirs.wait();
        peer.send(Frame::reset(stream, error::INTERNAL_ERROR));
        peer.request();
    });
    let proxy = before(&origin.endpoint());
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &post("/"), true);
    client.until("the answer", |frame| frame.is(kind::DATA, 1));
    arrived.wait();
    client.expect_reset(1, error::INTERNAL_ERROR);
}

#[test]
fn trailers_alone_stay_one_section() {
    let origin = RawOrigin::start(|mut peer| {
        let Some((stream, fields)) = peer.request() else { return };
        assert_eq!(value_of(&fields, "te"), Some("trailers"));
        let fields =
            [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5")];
        peer.send_fields(stream, &fields, true);
        peer.request();
    });
    let proxy = before(&origin.endpoint());
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &[post("/"), vec![("te", "trailers")]].concat(), true);
    let head = client.until("an answer", |frame| frame.is(kind::HEADERS, 1));
    assert!(head.has(flag::END_STREAM));
    assert_eq!(value_of(&head.fields.unwrap(), "grpc-status"), Some("5"));
}

#[test]
fn a_connection_without_a_stream_is_idle_and_a_second_stream_reuses_it() {
    let answers = Rendezvous::default();
    let ours = answers.clone();
    let origin = RawOrigin::start(move |mut peer| {
        while let Some((stream, _)) = peer.request() {
            ours.wait();
            peer.answer(stream, "200", b"hello");
        }
    });
    let admin = Admin::start(&["--route", &format!("/={}", origin.endpoint())]);
    let connections = || {
        let known = admin.endpoint(0)["connections"].clone();
        ["idle", "opened", "reused"].map(|name| known[name].as_u64().unwrap())
    };
    for expected in [[1, 1, 0], [1, 1, 1]] {
        let mut client = admin.client();
        client.get("/");
        eventually("its connection is not idle", || connections() == [0, 1, expected[2]]);
        answers.wait();
        assert_eq!(client.response().status, 200);
        eventually("its connection is idle", || connections() == expected);
    }
}

#[test]
fn a_reload_that_removes_an_endpoint_leaves_nobody_waiting_for_its_connection() {
    let turns = Rendezvous::default();
    let ours = turns.clone();
    let origin = RawOrigin::silent(move |mut peer| {
        ours.wait();
        ours.wait();
        if peer.welcome(&[]).is_none() {
            return;
        }
        while let Some((stream, _)) = peer.request() {
            peer.answer(stream, "200", b"hello");
        }
    });
    let mut proxy = before(&origin.endpoint());
    let mut client = Client::connect(proxy.address);
    client.get("/");
    turns.wait();
    proxy.reload(&["--route", "/=127.0.0.1:1"]).unwrap();
    turns.wait();
    assert_eq!(client.response().text(), "hello");
}

#[test]
fn an_endpoint_whose_first_words_are_its_last_is_not_asked_again_and_again() {
    let origin = RawOrigin::silent(|mut peer| {
        peer.send_all([Frame::settings(&[]), Frame::go_away(0, error::NO_ERROR)]);
        peer.find(|frame| frame.kind == kind::GOAWAY);
    });
    let proxy = before(&origin.endpoint());
    let answer = Client::connect(proxy.address).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 502);
    assert!(origin.connections() < 10, "{} connections", origin.connections());
}
