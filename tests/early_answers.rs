//! Responses that begin before their request has ended, and which side is blamed if one breaks off.

use std::time::Duration;

use evener::reject::Reject;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::support::paused::{Endpoint, connect, context, is_open, rest, run, send, until};

/// A request with three of its fifty bytes of body.
const BEGUN: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nabc";

/// Starts its response before it has read the whole request, then waits for the rest.
fn answering_as_it_reads(name: &str) -> Endpoint {
    Endpoint::start(name, |mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
        send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc").await;
        rest(&mut stream).await;
    })
}

#[test]
fn a_stalled_client_is_not_blamed_on_an_endpoint_that_answers_early() {
    run(Duration::from_millis(100), async {
        let endpoint = answering_as_it_reads("echo");
        let context = context(&[&endpoint.route(), "--max-fails", "1"]);
        let mut client = connect(&context);
        send(&mut client, BEGUN).await;
        assert!(rest(&mut client).await.ends_with("abc"));
        assert!(is_open(&context));
    });
}

#[test]
fn a_client_that_aborts_its_request_is_not_blamed_on_the_endpoint() {
    run(Duration::from_millis(100), async {
        let endpoint = answering_as_it_reads("waits-on");
        let context = context(&[&endpoint.route(), "--max-fails", "1"]);
        let mut client = connect(&context);
        send(&mut client, BEGUN).await;
        assert!(until(&mut client, "abc").await.starts_with("HTTP/1.1 200 "));
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, "");
        assert!(is_open(&context));
    });
}

#[test]
fn a_chunk_refused_after_the_response_has_begun_is_counted() {
    run(Duration::from_millis(100), async {
        let endpoint = Endpoint::start("counted", |mut stream| async move {
            until(&mut stream, "abc\r\n").await;
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
            sleep(Duration::from_secs(5)).await;
            send(&mut stream, "k").await;
        });
        let context = context(&[&endpoint.route()]);
        let mut client = connect(&context);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        send(&mut client, &format!("{head}3\r\nabc\r\n")).await;
        until(&mut client, "\r\n\r\no").await;
        send(&mut client, "zz\r\n").await;
        assert_eq!(until(&mut client, "k").await, "k");
        assert_eq!(context.metrics.rejects[Reject::ChunkSize as usize].get(), 1);
    });
}
