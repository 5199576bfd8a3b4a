//! Retries where HTTP/2 is spoken: to endpoints, by clients, or both.

use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::support::h2::{Frame, PausedPeer, RawClient, RawOrigin, error, flag, kind};
use crate::support::origin::ok;
use crate::support::paused::{Endpoint, connect, context, run, send, until};
use crate::support::{Origin, Proxy, eventually};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

/// Refuses every request.
fn refusing() -> RawOrigin {
    RawOrigin::start(|mut peer| {
        while let Some((stream, _)) = peer.request() {
            peer.send(Frame::reset(stream, error::REFUSED_STREAM));
        }
    })
}

/// Answers every request with 503.
fn unavailable() -> RawOrigin {
    RawOrigin::start(|mut peer| {
        while let Some((stream, _)) = peer.request() {
            peer.answer(stream, "503", b"bad");
        }
    })
}

fn before(bad: &RawOrigin, well: &Origin, flags: &[&str]) -> Proxy {
    let route = format!("/={},{}", bad.endpoint(), well.address);
    Proxy::start(&[&["--route", &route], flags].concat())
}

#[test]
fn a_refused_stream_is_a_request_that_was_not_sent() {
    for (flags, status) in [
        (["--retry-on", "connect"], 200),
        (["--retry-on", "stale,reset"], 502),
        (["--retries", "0"], 502),
    ] {
        let (bad, well) = (refusing(), Origin::named("well"));
        let proxy = before(&bad, &well, &flags);
        assert_eq!(proxy.ask(POST).status, status, "{flags:?}");
    }
}

#[test]
fn a_status_goes_elsewhere_whatever_is_spoken() {
    let (bad, well) = (unavailable(), Origin::named("well"));
    let proxy = before(&bad, &well, &["--retry-on", "503"]);
    assert_eq!(proxy.get("/").text(), "well");
    let proxy = before(&bad, &well, &["--retry-on", "503"]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &GET, true);
    assert_eq!(client.expect_answer(1, 200).text(), "well");
}

/// Takes requests, and never answers.
async fn mute(stream: UnixStream) {
    let mut server = PausedPeer::server(stream).await;
    server.until(kind::HEADERS).await;
    server.rest().await;
}

#[test]
fn a_stream_that_is_not_answered_in_time_is_left_for_another_endpoint() {
    run(Duration::from_millis(10), async {
        let bad = Endpoint::start("mute", mute);
        let well = Endpoint::start("well", async |mut stream: UnixStream| {
            until(&mut stream, "\r\n\r\n").await;
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        });
        let (bad, well) = (bad.path.display(), well.path.display());
        let route = format!("--route=/=h2c://unix:{bad},unix:{well}");
        let mut client = connect(&context(&[&route, "--attempt-timeout", "2s"]));
        let began = Instant::now();
        send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let head = until(&mut client, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(began.elapsed() >= Duration::from_secs(2));
    });
}

#[test]
fn an_answer_is_passed_on_where_another_endpoint_would_not_get_the_end_of_the_request() {
    let bad = RawOrigin::start(|mut peer| {
        while let Some((stream, _)) = peer.request() {
            peer.until("the end", |frame| {
                frame.is(kind::DATA, stream) && frame.has(flag::END_STREAM)
            });
            peer.answer(stream, "503", b"bad");
        }
    });
    let well = Origin::start(|mut conn| {
        while conn.head().is_some() && conn.chunks().is_some() {
            conn.send(ok("well"));
        }
    });
    let proxy = before(&bad, &well, &["--retry-on", "503"]);
    let mut client = proxy.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    eventually("an attempt begins", || proxy.attempts(0) == 1);
    client.send("0\r\n\r\n");
    assert_eq!(client.response().status, 503);
}
