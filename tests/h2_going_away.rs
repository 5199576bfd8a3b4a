//! When and how connections of HTTP/2 end in order.

use std::rc::Rc;
use std::time::Duration;

use evener::drain::DrainPhase;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::support::h2::{Frame, PausedPeer, RawClient, error, flag, get, kind};
use crate::support::paused::{Endpoint, context, rest, run, send, until};
use crate::support::{Origin, Proxy};

const TICK: Duration = Duration::from_millis(10);

/// The largest stream, which the first of two GOAWAY names (RFC 9113 §6.8).
const LAST: u32 = 0x7fff_ffff;

/// Takes so long to answer a request, of which it tells.
async fn slow(mut stream: UnixStream, takes: Duration, asked: Rc<Notify>) {
    until(&mut stream, "\r\n\r\n").await;
    asked.notify_one();
    sleep(takes).await;
    send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
    rest(&mut stream).await;
}

/// What a client gets, by its kind, of an answer that takes so long once a drain has begun.
async fn drained(takes: Duration) -> Vec<Frame> {
    let asked = Rc::new(Notify::new());
    let ours = Rc::clone(&asked);
    let name = format!("drained-{}", takes.as_millis());
    let endpoint = Endpoint::start(&name, move |stream| slow(stream, takes, Rc::clone(&ours)));
    let context = context(&[&endpoint.route()]);
    let mut client = PausedPeer::client(&context).await;
    client.send([Frame::headers(1, &get("/")).end()]).await;
    asked.notified().await;
    context.drain.advance(DrainPhase::Draining);
    client.rest().await
}

fn kinds(frames: &[Frame]) -> Vec<u8> {
    frames.iter().map(|frame| frame.kind).collect()
}

#[test]
fn a_drain_waits_a_second_for_a_moment_without_streams() {
    run(TICK, async {
        let frames = drained(Duration::from_millis(900)).await;
        let expected = [kind::HEADERS, kind::DATA, kind::PING, kind::GOAWAY, kind::GOAWAY];
        assert_eq!(kinds(&frames), expected);
        assert_eq!((frames[3].word(0), frames[4].word(0)), (LAST, 1));
    });
}

#[test]
fn a_drain_does_not_wait_longer_than_that() {
    run(TICK, async {
        let frames = drained(Duration::from_millis(2500)).await;
        let expected = [kind::PING, kind::GOAWAY, kind::GOAWAY, kind::HEADERS, kind::DATA];
        assert_eq!(kinds(&frames), expected);
    });
}

#[test]
fn a_client_that_leaves_and_keeps_its_connection_open_is_served_and_not_waited_for() {
    let origin = Origin::named("hello");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_all([Frame::headers(1, &get("/")).end(), Frame::go_away(0, error::NO_ERROR)]);
    assert_eq!(client.expect_answer(1, 200).text(), "hello");
    assert_eq!(client.expect_goaway(error::NO_ERROR), 1);
    let ping = client.until("PING", |frame| frame.kind == kind::PING && !frame.has(flag::ACK));
    client.send(ping.with(flag::ACK));
    client.expect_end();
}
