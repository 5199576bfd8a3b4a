//! Bytes of one request are never executed as another: ways in which they once were.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::paused::{Endpoint, connect, context, run, until};
use crate::support::{Origin, Proxy, eventually};

/// The last bytes of a body, read but not accepted by the endpoint, were once executed as the next
/// request.
#[test]
fn an_unread_body_is_never_executed_as_a_request() {
    run(Duration::from_millis(100), async {
        let endpoint = Endpoint::start("full", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            std::future::pending::<()>().await;
        });
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n";
        // Some of these exceed what the endpoint's socket holds by less than a buffer.
        for blocks in 2..16 {
            let context =
                context(&[&endpoint.route(), "--idle-timeout", "1s", "--half-close-timeout", "1h"]);
            let body = "\r\n".repeat(blocks * 16_384) + smuggled;
            let length = body.len();
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            let (mut read, mut write) = connect(&context).into_split();
            let mut answers = Vec::new();
            let sending = async {
                let _ = write.write_all((head + &body).as_bytes()).await;
                let _ = write.shutdown().await;
            };
            let _ = tokio::join!(sending, read.read_to_end(&mut answers));
            let answers = String::from_utf8(answers).unwrap();
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{blocks}: {answers}");
        }
    });
}

/// A chunk refused after a valid one was once read again, as something else.
#[test]
fn bytes_after_a_refused_chunk_are_never_executed_as_a_request() {
    let origin = Origin::start(|mut conn| {
        while conn.head().is_some() {
            conn.rest();
        }
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let data = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = proxy.client();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        data.len()
    ));
    eventually("the headers are passed on", || origin.heads().len() == 1);
    client.send(format!("{data}\r\nZZ"));
    let answers = String::from_utf8(client.rest()).unwrap();
    assert!(answers.starts_with("HTTP/1.1 400 ") && answers.contains("Connection: close"));
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    assert_eq!(origin.heads().len(), 1);
}

/// It might execute the unread rest of one request as the next.
#[test]
fn an_endpoint_that_answers_before_it_has_read_is_not_reused() {
    let origin = Origin::start(|mut conn| {
        while conn.head().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nDate: a\r\nContent-Length: 4\r\n\r\nab");
            // The upload ends before the response does.
            conn.bytes(5);
            conn.send("cd");
        }
    });
    let proxy = Proxy::before(&[&origin], &[]);
    for _ in 0..2 {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
        let head = "HTTP/1.1 200 OK\r\nDate: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nab";
        client.exactly(head.len());
        client.send("hello");
        assert_eq!(client.rest(), b"cd");
    }
    assert_eq!(origin.connections(), 2);
}
