//! Answers without a body whose end comes in a frame of its own, or never.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::support::h2::{Frame, PausedPeer, RawOrigin, error, kind};
use crate::support::paused::{Endpoint, connect, context, run, send, until};
use crate::support::{Client, Proxy, Rendezvous};

const TICK: Duration = Duration::from_millis(10);

/// Answers with this head, and ends its stream once its client has it.
fn ending_late(head: &'static [(&str, &str)], has_it: Rendezvous) -> RawOrigin {
    RawOrigin::start(move |mut peer| {
        while let Some((stream, _)) = peer.request() {
            peer.send_fields(stream, head, false);
            has_it.wait();
            peer.expect_alive();
            assert!(!peer.has_come(|frame| frame.kind == kind::RST_STREAM));
            peer.send(Frame::data(stream, "").end());
            has_it.wait();
        }
    })
}

#[test]
fn the_end_of_an_answer_without_a_body_may_come_after_its_head() {
    let rows: [(&str, &'static [(&str, &str)]); 4] = [
        ("HEAD", &[(":status", "200")]),
        ("GET", &[(":status", "204")]),
        ("GET", &[(":status", "304")]),
        ("GET", &[(":status", "200"), ("content-length", "0")]),
    ];
    for (method, head) in rows {
        let has_it = Rendezvous::default();
        let origin = ending_late(head, has_it.clone());
        let proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint())]);
        let mut client = Client::connect(proxy.address);
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(client.response_with(false).status.to_string(), head[0].1);
            has_it.wait();
            has_it.wait();
        }
        assert_eq!(origin.connections(), 1);
    }
}

/// Answers without a body, never ends its stream, and notes when that is reset.
async fn never_ending(stream: UnixStream, reset: Rc<Cell<Option<Instant>>>) {
    let mut server = PausedPeer::server(stream).await;
    let stream = server.until(kind::HEADERS).await.stream;
    server.send([Frame::headers(stream, &[(":status", "204")])]).await;
    if server.until(kind::RST_STREAM).await.code() == error::CANCEL {
        reset.set(Some(Instant::now()));
    }
    server.rest().await;
}

#[test]
fn an_end_that_does_not_come_is_not_waited_for_long() {
    run(TICK, async {
        let reset = Rc::new(Cell::new(None));
        let ours = Rc::clone(&reset);
        let endpoint =
            Endpoint::start("endless", move |stream| never_ending(stream, Rc::clone(&ours)));
        let context = context(&[&format!("--route=/=h2c://unix:{}", endpoint.path.display())]);
        let mut client = connect(&context);
        send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until(&mut client, "\r\n\r\n").await;
        let answered = Instant::now();
        while reset.get().is_none() {
            tokio::time::sleep(TICK).await;
        }
        let waited = reset.get().unwrap().duration_since(answered);
        assert!((900..1200).contains(&waited.as_millis()), "{waited:?}");
    });
}
