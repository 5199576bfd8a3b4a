//! The HTTP/2 peers of these tests understand each other.

use std::future::poll_fn;

use futures_util::future::join_all;
use h2::Reason;
use hyper::http::{HeaderMap, Request};

use crate::support::filler;
use crate::support::h2::{
    Body, Frame, H2Answer, H2Client, H2Exchange, H2Origin, RawClient, RawOrigin, collect, error,
    get, kind, response, setting, value_of,
};
use crate::support::library::run;
use crate::support::tls::{Authority, Identity, TlsOptions, TlsServer};

fn trusting() -> TlsOptions {
    TlsOptions::trusting(Authority::shared())
}

fn over_tls() -> TlsServer {
    TlsServer::showing(Identity::localhost())
}

#[test]
fn the_library_as_client_and_origin_stream_bodies_and_trailers_both_ways() {
    let origin = H2Origin::echoing();
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
    let body = Body { bytes: filler(1 << 20), trailers: Some(trailers) };
    let request = Request::post("http://test/").body(()).unwrap();
    let answer = run(async {
        H2Client::connect(origin.address).await.ask(request, body.clone()).await.unwrap()
    });
    assert!(answer.body == body);
}

#[test]
fn the_library_has_many_streams_at_once_on_one_connection() {
    let origin = H2Origin::start(|exchange| async move {
        let H2Exchange { body, mut respond, .. } = exchange;
        let body = collect(body).await.unwrap();
        respond
            .send_response(response(200), false)
            .unwrap()
            .send_data(body.bytes.into(), true)
            .unwrap();
    });
    run(async {
        let client = H2Client::connect(origin.address).await;
        let names: Vec<_> = (0..300).map(|number| format!("stream {number}")).collect();
        let answers = join_all(names.iter().map(|name| client.post("/", name.as_str()))).await;
        assert!(answers.iter().map(H2Answer::text).eq(names));
        client.close().await.unwrap();
    });
    assert_eq!((origin.connections(), origin.heads().len()), (1, 300));
}

#[test]
fn the_library_speaks_tls() {
    let origin = H2Origin::start_with(h2::server::Builder::new(), Some(over_tls()), |exchange| {
        exchange.answer(200, filler(1 << 20))
    });
    let answer = run(async {
        H2Client::connect_tls(origin.address, trusting(), "localhost").await.get("/").await
    });
    assert!(answer.body.bytes == filler(1 << 20));
}

#[test]
fn a_raw_client_reads_what_the_library_answers() {
    let origin = H2Origin::start(|mut exchange| async move {
        exchange.inform(103).unwrap();
        let _ = exchange.echo().await;
    });
    let mut client = RawClient::connect(origin.address);
    for (stream, size) in [(1, 0), (3, 10), (5, 16_000)] {
        client.post(stream, "/", &filler(size));
        let answer = client.expect_answer(stream, 200);
        assert!(answer.body == filler(size));
        assert_eq!(value_of(&answer.interim[0], ":status"), Some("103"));
    }
    assert_eq!(origin.heads()[0].uri, "http://test/");
}

#[test]
fn a_raw_client_sends_what_no_library_would() {
    let origin = H2Origin::named("hello");
    let mut client = RawClient::connect(origin.address);
    let longer = [get("/"), vec![("content-length", "1")]].concat();
    client.send_fields(1, &longer, true);
    client.expect_reset(1, error::PROTOCOL_ERROR);
    client.expect_alive();
    client.send(Frame::window_update(0, 0));
    client.expect_connection_error(error::PROTOCOL_ERROR);
    let mut client = RawClient::connect(origin.address);
    client.send_fields(1, &[("Upper", "case")], true);
    client.expect_connection_error(error::PROTOCOL_ERROR);
}

#[test]
fn a_raw_client_speaks_tls_and_grants_credit() {
    let origin = H2Origin::start_with(h2::server::Builder::new(), Some(over_tls()), |exchange| {
        exchange.answer(200, filler(1 << 20))
    });
    let mut client = RawClient::connect_tls(origin.address, trusting(), "localhost");
    for stream in [1, 3] {
        client.get(stream, "/");
        assert!(client.expect_answer(stream, 200).body == filler(1 << 20));
    }
}

#[test]
fn a_raw_origin_serves_the_library() {
    let origin = RawOrigin::start_with(&[(setting::MAX_CONCURRENT_STREAMS, 1)], |mut peer| {
        while let Some((stream, fields)) = peer.request() {
            let path = value_of(&fields, ":path").unwrap().to_owned();
            peer.answer(stream, "200", path.as_bytes());
        }
    });
    run(async {
        let client = H2Client::connect(origin.address).await;
        for path in ["/a", "/b", "/a"] {
            assert_eq!(client.get(path).await.text(), path);
        }
    });
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_raw_origin_over_tls_resets_a_stream() {
    let origin = RawOrigin::start_tls(over_tls(), |mut peer| {
        let (stream, _) = peer.request().unwrap();
        peer.send(Frame::reset(stream, error::REFUSED_STREAM));
        peer.find(|_| false);
    });
    run(async {
        let client = H2Client::connect_tls(origin.address, trusting(), "localhost").await;
        let request = Request::get("http://test/").body(()).unwrap();
        let failed = client.ask(request, Body::default()).await.unwrap_err();
        assert_eq!(failed.reason(), Some(Reason::REFUSED_STREAM));
    });
}

#[test]
fn an_origin_that_leaves_lets_its_requests_end() {
    let origin = H2Origin::echoing();
    let mut client = RawClient::connect(origin.address);
    client.send(Frame::headers(1, &get("/")));
    client.until("an answer", |frame| frame.is(kind::HEADERS, 1));
    origin.leave();
    client.expect_goaway(error::NO_ERROR);
    client.send(Frame::data(1, []).end());
    client.until("the end of its answer", |frame| frame.is(kind::DATA, 1));
}

#[test]
fn a_client_that_is_dropped_ends_its_connection() {
    let origin = H2Origin::start(|mut exchange| async move {
        assert_eq!(poll_fn(|cx| exchange.respond.poll_reset(cx)).await.unwrap(), Reason::CANCEL);
        exchange.answer(200, "not heard").await;
    });
    run(async {
        let client = H2Client::connect(origin.address).await;
        let request = Request::get("http://test/").body(()).unwrap();
        drop(client.open(request, true).await.unwrap());
        client.close().await.unwrap();
    });
}
