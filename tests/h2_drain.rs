//! HTTP/2 connections when a process drains, loads another configuration, or is replaced.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::drain::gated;
use crate::support::chain::Chain;
use crate::support::h2::{Frame, RawClient, RawOrigin, error, flag, kind, post};
use crate::support::{Client, HANG, Origin, Proxy, Rendezvous, eventually};

/// The largest stream, which the first GOAWAY names (RFC 9113 §6.8).
const LAST: u32 = 0x7fff_ffff;

fn drain(proxy: Proxy) -> JoinHandle<usize> {
    thread::spawn(move || proxy.drain(HANG))
}

/// Waits for the first GOAWAY, and returns the answer to the PING that comes with it.
fn first_step(client: &mut RawClient) -> Frame {
    assert_eq!(client.expect_goaway(error::NO_ERROR), LAST);
    let ping = client.until("PING", |frame| frame.kind == kind::PING && !frame.has(flag::ACK));
    ping.with(flag::ACK)
}

#[test]
fn a_drain_serves_what_comes_until_its_ping_is_answered_and_then_closes() {
    let (origin, open) = gated();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    eventually("it is under way", || origin.heads().len() == 1);
    let draining = drain(proxy);
    let pong = first_step(&mut client);
    client.get(3, "/");
    client.send(pong);
    assert_eq!(client.expect_goaway(error::NO_ERROR), 3);
    open.send(()).unwrap();
    open.send(()).unwrap();
    for stream in [1, 3] {
        assert_eq!(client.expect_answer(stream, 200).text(), "done");
    }
    client.expect_end();
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn a_client_that_has_read_all_is_not_waited_for_even_if_it_does_not_close() {
    let (origin, open) = gated();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    eventually("it is under way", || origin.heads().len() == 1);
    // Less than a client is waited for that has not said so.
    let draining = thread::spawn(move || proxy.drain(Duration::from_secs(4)));
    let pong = first_step(&mut client);
    client.send(pong);
    assert_eq!(client.expect_goaway(error::NO_ERROR), 1);
    open.send(()).unwrap();
    assert_eq!(client.expect_answer(1, 200).text(), "done");
    let last = client.until("PING", |frame| frame.kind == kind::PING && !frame.has(flag::ACK));
    client.send(last.with(flag::ACK));
    assert_eq!(draining.join().unwrap(), 0);
    client.expect_end();
}

#[test]
fn a_client_that_does_not_answer_the_ping_is_closed_too() {
    let (origin, open) = gated();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    eventually("it is under way", || origin.heads().len() == 1);
    let draining = drain(proxy);
    first_step(&mut client);
    assert_eq!(client.expect_goaway(error::NO_ERROR), 1);
    open.send(()).unwrap();
    assert_eq!(client.expect_answer(1, 200).text(), "done");
    client.expect_end();
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn a_stream_after_the_second_step_is_ignored_and_others_finish() {
    let (origin, open) = gated();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    eventually("it is under way", || origin.heads().len() == 1);
    let draining = drain(proxy);
    let pong = first_step(&mut client);
    client.send(pong);
    assert_eq!(client.expect_goaway(error::NO_ERROR), 1);
    client.send_fields(3, &post("/"), false);
    client.send_all([
        Frame::data(3, "abc"),
        Frame::window_update(3, 1),
        Frame::reset(3, error::CANCEL),
        Frame::data(5, "abc"),
    ]);
    client.expect_alive();
    open.send(()).unwrap();
    assert_eq!(client.expect_answer(1, 200).text(), "done");
    client.expect_end();
    assert_eq!((draining.join().unwrap(), origin.heads().len()), (0, 1));
}

#[test]
fn a_stream_that_does_not_end_is_cut_at_the_limit_and_counted() {
    let (origin, _open) = gated();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    eventually("it is under way", || origin.heads().len() == 1);
    let draining = thread::spawn(move || proxy.drain(Duration::from_millis(100)));
    client.expect_end();
    assert_eq!(draining.join().unwrap(), 1);
    assert!(!client.has_come(|frame| frame.kind == kind::HEADERS));
}

#[test]
fn the_next_stream_of_a_connection_goes_by_the_new_routes() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let mut proxy = Proxy::before(&[&a], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    assert_eq!(client.expect_answer(1, 200).text(), "a");
    proxy.reload(&["--route", &format!("/={}", b.address)]).unwrap();
    client.get(3, "/");
    assert_eq!(client.expect_answer(3, 200).text(), "b");
    assert!(!client.has_come(|frame| frame.kind == kind::GOAWAY));
}

#[test]
fn a_request_that_crosses_the_end_of_an_idle_connection_is_served() {
    let origin = Origin::named("hello");
    let proxy = Proxy::before(&[&origin], &["--keepalive-timeout", "50ms"]);
    let mut client = RawClient::connect(proxy.address);
    assert_eq!(client.expect_goaway(error::NO_ERROR), LAST);
    client.get(1, "/");
    assert_eq!(client.expect_answer(1, 200).text(), "hello");
    assert_eq!(client.expect_goaway(error::NO_ERROR), 1);
    client.expect_end();
    assert!(!client.has_come(|frame| frame.kind == kind::PING));
}

#[test]
fn an_upgrade_ends_idle_connections_in_order() {
    let origin = Origin::named("hello");
    let mut chain = Chain::start(&[&origin], &["--check", "off"]);
    let mut client = RawClient::connect(chain.address);
    client.get(1, "/");
    client.expect_answer(1, 200);
    let old = chain.upgrade(&[]);
    assert_eq!(client.expect_goaway(error::NO_ERROR), LAST);
    client.get(3, "/");
    client.expect_answer(3, 200);
    assert_eq!(client.expect_goaway(error::NO_ERROR), 3);
    client.expect_end();
    drop(client);
    assert_eq!(old.end().0, Some(0));
    let mut client = RawClient::connect(chain.address);
    client.get(1, "/");
    client.expect_answer(1, 200);
}

/// An endpoint, and whether a client of its has left with GOAWAY.
fn told() -> (RawOrigin, Arc<AtomicBool>) {
    let told = Arc::new(AtomicBool::new(false));
    let ours = Arc::clone(&told);
    let origin = RawOrigin::start(move |mut peer| {
        while let Some((stream, _)) = peer.request() {
            peer.answer(stream, "200", b"hello");
        }
        ours.store(peer.has_come(|frame| frame.kind == kind::GOAWAY), Ordering::SeqCst);
    });
    (origin, told)
}

#[test]
fn a_drain_closes_connections_to_endpoints_in_order() {
    let (origin, told) = told();
    let proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint())]);
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(proxy.drain(HANG), 0);
    eventually("the endpoint is told", || told.load(Ordering::SeqCst));
}

#[test]
fn a_reload_that_removes_an_endpoint_tells_it_once_it_has_answered() {
    let meeting = Rendezvous::default();
    let ours = meeting.clone();
    let origin = RawOrigin::start(move |mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        ours.wait();
        ours.wait();
        peer.expect_alive();
        assert!(!peer.has_come(|frame| frame.kind == kind::GOAWAY));
        peer.answer(stream, "200", b"hello");
        peer.expect_goaway(error::NO_ERROR);
        ours.wait();
    });
    let mut proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint())]);
    let mut client = proxy.client();
    client.get("/");
    meeting.wait();
    proxy.reload(&["--route", "/=127.0.0.1:1"]).unwrap();
    meeting.wait();
    assert_eq!(client.response().text(), "hello");
    meeting.wait();
}

#[test]
fn an_upgrade_closes_idle_connections_to_endpoints_in_order() {
    let (origin, told) = told();
    let (unused, route) = (Origin::named("a"), format!("/h2={}", origin.endpoint()));
    let mut chain = Chain::start(&[&unused], &["--check", "off", "--route", &route]);
    let ask = |client: &mut Client| {
        client.get("/h2");
        client.response().text()
    };
    let mut client = chain.client();
    assert_eq!(ask(&mut client), "hello");
    assert_eq!(chain.upgrade(&[]).end().0, Some(0));
    eventually("the endpoint is told", || told.load(Ordering::SeqCst));
    assert_eq!(ask(&mut client), "hello");
}

/// Requests on one connection until it is told to leave, and then on the next.
fn requests(address: SocketAddr, stopping: &AtomicBool) {
    while !stopping.load(Ordering::SeqCst) {
        let mut client = RawClient::connect(address);
        for stream in (1..).step_by(2) {
            client.get(stream, "/");
            let Some(head) = client.find(|frame| frame.is(kind::HEADERS, stream)) else {
                // It was sent too late, and the client knows.
                let is_told = |frame: &Frame| frame.kind == kind::GOAWAY && frame.word(0) < stream;
                assert!(client.has_come(is_told), "request {stream} is lost");
                break;
            };
            assert_eq!(head.fields.unwrap()[0].1, "200");
            client.until("the end", |frame| {
                frame.is(kind::DATA, stream) && frame.has(flag::END_STREAM)
            });
            let is_last = client.has_come(|frame| frame.kind == kind::GOAWAY);
            if is_last || stopping.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

#[test]
fn no_request_is_lost_while_processes_change() {
    let origin = Origin::named("hello");
    let mut chain = Chain::start(&[&origin], &["--check", "off"]);
    let (address, stopping) = (chain.address, Arc::new(AtomicBool::new(false)));
    let clients = [(); 4].map(|()| {
        let stopping = Arc::clone(&stopping);
        thread::spawn(move || requests(address, &stopping))
    });
    for _ in 0..2 {
        assert_eq!(chain.upgrade(&[]).end().0, Some(0));
    }
    stopping.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
}
