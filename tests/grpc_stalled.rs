//! Calls of gRPC on which nothing moves any more.

use std::rc::Rc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Notify;

use crate::support::grpc::{call, message};
use crate::support::h2::{Frame, PausedPeer, error, flag, kind, value_of};
use crate::support::paused::{Endpoint, context, run};

const TICK: Duration = Duration::from_secs(1);

/// Begins its answer, waits for the rest of the request for good, and tells that it is cancelled.
async fn stall(stream: UnixStream, cancelled: Rc<Notify>) {
    let mut server = PausedPeer::server(stream).await;
    let stream = server.until(kind::HEADERS).await.stream;
    let head = [(":status", "200"), ("content-type", "application/grpc")];
    server.send([Frame::headers(stream, &head), Frame::data(stream, message("one"))]).await;
    while let Some(frame) = server.next().await {
        match frame.kind {
            kind::PING => server.send([frame.with(flag::ACK)]).await,
            kind::RST_STREAM if frame.code() == error::CANCEL => cancelled.notify_one(),
            _ => {}
        }
    }
}

/// What ends a call whose request ends with its head, or is never whole.
fn stalled(ends: bool) {
    run(TICK, async move {
        let cancelled = Rc::new(Notify::new());
        let ours = Rc::clone(&cancelled);
        let name = if ends { "stalled-alone" } else { "stalled-both" };
        let endpoint = Endpoint::start(name, move |stream| stall(stream, Rc::clone(&ours)));
        let route = format!("--route=/=h2c://unix:{}", endpoint.path.display());
        let context = context(&[&route, "--idle-timeout", "5m"]);
        let mut client = PausedPeer::client(&context).await;
        let head = Frame::headers(1, &call(&[]));
        client.send([if ends { head.end() } else { head }]).await;
        client.until(kind::DATA).await;
        let trailers = client.next().await.expect("trailers");
        assert!(trailers.is(kind::HEADERS, 1) && trailers.has(flag::END_STREAM), "{trailers:?}");
        assert_eq!(value_of(&trailers.fields.unwrap(), "grpc-status"), Some("4"));
        cancelled.notified().await;
        if !ends {
            assert_eq!(client.until(kind::RST_STREAM).await.code(), error::NO_ERROR);
        }
    });
}

#[test]
fn a_call_both_sides_of_which_wait_has_exceeded_its_deadline() {
    stalled(false);
}

#[test]
fn a_call_whose_endpoint_stalls_has_exceeded_its_deadline() {
    stalled(true);
}
