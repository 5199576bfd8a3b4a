//! Endpoints of HTTP/2 that accept connections, and take no requests on them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::support::Proxy;
use crate::support::h2::{Frame, H2Origin, RawOrigin, error, setting};
use crate::support::paused::{Endpoint, connect, context, is_open, rest, run, send, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const TICK: Duration = Duration::from_millis(10);

fn route(endpoints: &[&Endpoint]) -> String {
    let paths: Vec<_> = endpoints
        .iter()
        .map(|endpoint| format!("h2c://unix:{}", endpoint.path.display()))
        .collect();
    format!("--route=/={}", paths.join(","))
}

async fn silent(mut stream: UnixStream) {
    rest(&mut stream).await;
}

/// Takes no streams; counts its connections.
async fn full(mut stream: UnixStream, connections: Rc<Cell<u32>>) {
    connections.set(connections.get() + 1);
    let settings = Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, 0)]);
    stream.write_all(&settings.encode()).await.expect("a connection");
    rest(&mut stream).await;
}

#[test]
fn an_endpoint_that_sends_no_settings_is_a_504_and_is_ejected() {
    run(TICK, async {
        let endpoint = Endpoint::start("no-settings", silent);
        let context = context(&[&route(&[&endpoint]), "--fail-timeout", "1h"]);
        for _ in 0..3 {
            assert!(is_open(&context));
            let (mut client, start) = (connect(&context), Instant::now());
            send(&mut client, GET).await;
            let answer = until(&mut client, "endpoint sent no HTTP/2 SETTINGS in time\n").await;
            answer.strip_prefix("HTTP/1.1 504 ").expect("a 504");
            assert!(start.elapsed() < Duration::from_secs(6));
        }
        assert!(!is_open(&context));
        assert_eq!(context.metrics.local_failures.get(), 0);
    });
}

#[test]
fn several_endpoints_that_send_no_settings_are_tried_once_each() {
    run(TICK, async {
        let one = Endpoint::start("no-settings-1", silent);
        let other = Endpoint::start("no-settings-2", silent);
        let context = context(&[&route(&[&one, &other])]);
        let mut client = connect(&context);
        send(&mut client, GET).await;
        until(&mut client, "\r\n\r\n").await.strip_prefix("HTTP/1.1 504 ").expect("a 504");
        assert_eq!(context.metrics.failed_attempts.get(), 2);
    });
}

#[test]
fn an_endpoint_that_takes_no_more_streams_is_a_503_and_is_not_blamed() {
    run(TICK, async {
        let connections = Rc::new(Cell::new(0));
        let ours = Rc::clone(&connections);
        let endpoint = Endpoint::start("no-streams", move |stream| full(stream, Rc::clone(&ours)));
        let context = context(&[&route(&[&endpoint]), "--max-fails", "1"]);
        let mut client = connect(&context);
        send(&mut client, GET).await;
        let answer = until(&mut client, "endpoint takes no more streams\n").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 1\r\n"));
        assert!(is_open(&context));
        assert_eq!((context.metrics.local_failures.get(), connections.get()), (0, 1));
    });
}

/// Sends GOAWAY with its SETTINGS.
fn leaving() -> RawOrigin {
    RawOrigin::silent(|mut peer| {
        peer.send_all([Frame::settings(&[]), Frame::go_away(0, error::NO_ERROR)]);
        peer.find(|_| false);
    })
}

#[test]
fn an_endpoint_that_goes_away_at_once_is_connected_to_once_for_each_request() {
    let origin = leaving();
    let proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint())]);
    for _ in 0..4 {
        let answer = proxy.get("/");
        let text = "502 Bad Gateway: endpoint closed before any HTTP/2 request\n";
        assert_eq!((answer.status, answer.text().as_str()), (502, text));
    }
    assert_eq!(origin.connections(), 4);
}

#[test]
fn an_endpoint_that_goes_away_at_once_is_ejected_and_no_request_fails() {
    let (first, second) = (leaving(), H2Origin::named("hello"));
    let route = format!("/={},{}", first.endpoint(), second.endpoint());
    let proxy = Proxy::start(&["--route", &route, "--fail-timeout", "10m"]);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(first.connections(), 3);
}

#[test]
fn an_endpoint_that_closes_before_its_settings_is_a_502_that_says_so() {
    let origin = RawOrigin::silent(drop);
    let proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint())]);
    let answer = proxy.get("/");
    let text = "502 Bad Gateway: endpoint closed before any HTTP/2 request\n";
    assert_eq!((answer.status, answer.text().as_str()), (502, text));
}
