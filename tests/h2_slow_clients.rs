//! Clients of HTTP/2 that do not read.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::support::h2::{Frame, PausedPeer, error, get, kind};
use crate::support::paused::{Endpoint, context, run};

const TICK: Duration = Duration::from_millis(10);

const STREAMS: u32 = 100;

/// Sends one long interim answer after the other on all streams, and tells how many are reset for that.
async fn hinting(stream: UnixStream, calmed: Rc<Cell<u32>>, done: Rc<Notify>) {
    let mut server = PausedPeer::server(stream).await;
    for _ in 0..STREAMS {
        server.until(kind::HEADERS).await;
    }
    let hint = "x".repeat(8000);
    let hints = |stream| Frame::headers(stream, &[(":status", "103"), ("link", hint.as_str())]);
    for _ in 0..16 {
        for stream in 0..STREAMS {
            server.send([hints(2 * stream + 1)]).await;
        }
        sleep(10 * TICK).await;
    }
    server.send([Frame::ping([7; 8])]).await;
    while let Some(frame) = server.next().await {
        match frame.kind {
            kind::RST_STREAM if frame.code() == error::ENHANCE_YOUR_CALM => {
                calmed.set(calmed.get() + 1);
            }
            kind::PING => done.notify_one(),
            _ => {}
        }
    }
}

#[test]
fn interim_answers_wait_for_a_client_that_does_not_read() {
    run(TICK, async {
        let (calmed, done) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
        let ours = (Rc::clone(&calmed), Rc::clone(&done));
        let serve = move |stream| hinting(stream, Rc::clone(&ours.0), Rc::clone(&ours.1));
        let endpoint = Endpoint::start("hinting", serve);
        let context = context(&[&format!("--route=/=h2c://unix:{}", endpoint.path.display())]);
        let mut client = PausedPeer::client(&context).await;
        let requests = (0..STREAMS).map(|number| Frame::headers(2 * number + 1, &get("/")).end());
        client.send(requests).await;
        done.notified().await;
        // As much as the sockets hold passes.
        assert!((STREAMS / 4..=STREAMS).contains(&calmed.get()), "{}", calmed.get());
    });
}
