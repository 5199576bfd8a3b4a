//! Flow control (RFC 9113 §5.2, §6.9).

use std::net::TcpListener;

use super::gate::Outcome::{Answered, Ignored, Reset};
use super::gate::{FLOW, PROTOCOL, SIZE, fresh, serves};
use crate::support::h2::{Frame, RawClient, error, kind, setting};
use crate::support::{Proxy, filler, h2};

const WINDOW_MAX: u32 = (1 << 31) - 1;

/// The window of streams and connections at first.
const WINDOW: usize = 65_535;

h2_rules! {
    credit_for_the_connection: fresh, [Frame::window_update(0, 1)] => Ignored;
    credit_for_a_stream: waiting, [Frame::window_update(1, 1)] => Ignored;
    credit_with_a_reserved_bit: waiting, [Frame::window_update(1, 1 | 1 << 31)] => Ignored;
    no_credit_for_the_connection: fresh, [Frame::window_update(0, 0)] => PROTOCOL;
    no_credit_for_a_stream: open, [Frame::window_update(1, 0)] => Reset(1, error::PROTOCOL_ERROR);
    credit_that_is_too_short:
        fresh, [Frame::new(kind::WINDOW_UPDATE, 0, 0, [0, 0, 1])] => SIZE;
    credit_that_is_too_long:
        fresh, [Frame::new(kind::WINDOW_UPDATE, 0, 0, [0, 0, 0, 1, 0])] => SIZE;
    a_window_of_the_connection_that_overflows: fresh, [Frame::window_update(0, WINDOW_MAX)] => FLOW;
    a_window_of_a_stream_that_overflows:
        open, [Frame::window_update(1, WINDOW_MAX)] => Reset(1, error::FLOW_CONTROL_ERROR);
    a_window_that_settings_make_overflow: waiting, [
        Frame::window_update(1, 1),
        Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, WINDOW_MAX)]),
    ] => FLOW;
    the_largest_windows: waiting, [
        Frame::window_update(0, WINDOW_MAX - 65_535),
        Frame::window_update(1, WINDOW_MAX - 65_535),
    ] => Ignored;
    an_empty_answer_needs_no_credit: fresh, [
        Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]),
        Frame::headers(1, &h2::get("/")).end(),
    ] => Answered(1, "");
}

/// A client whose streams have this window at first, and whose stream 1 gets this body in return.
fn asking(window: u32, body: &[u8]) -> RawClient {
    let settings = [(setting::INITIAL_WINDOW_SIZE, window)];
    let mut client = RawClient::connect_with(super::gate::address(), &settings);
    client.send(Frame::headers(1, &h2::post("/")));
    client.send_all(body.chunks(1 << 14).map(|piece| Frame::data(1, piece)));
    client.send(Frame::data(1, "").end());
    client
}

/// The next so many bytes of the body of stream 1.
fn take(client: &mut RawClient, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        bytes.extend(client.until("more", |frame| frame.is(kind::DATA, 1)).payload);
    }
    assert_eq!(bytes.len(), count);
    bytes
}

/// Checks that nothing more of stream 1 comes for now.
fn is_stuck(client: &mut RawClient) -> bool {
    client.expect_alive();
    client.expect_alive();
    !client.has_come(|frame| frame.is(kind::DATA, 1))
}

#[test]
fn no_more_is_sent_than_a_streams_window_allows() {
    let mut client = asking(1, b"abc");
    for byte in [b"a", b"b", b"c"] {
        assert_eq!(take(&mut client, 1), byte);
        assert!(is_stuck(&mut client));
        client.send(Frame::window_update(1, 1));
    }
    serves(&mut client);
}

#[test]
fn no_more_is_sent_than_the_connections_window_allows() {
    let body = filler(40_000);
    let mut client = asking(WINDOW_MAX, &body);
    assert!(take(&mut client, body.len()) == body);
    // The window of the connection has not been filled again, other than the server's.
    client.send(Frame::headers(3, &h2::post("/")));
    client.send_all(body.chunks(1 << 14).map(|piece| Frame::data(3, piece)));
    client.send(Frame::data(3, "").end());
    let mut received = 0;
    while received < WINDOW - body.len() {
        received += client.until("more", |frame| frame.is(kind::DATA, 3)).payload.len();
    }
    assert_eq!(received, WINDOW - body.len());
    client.expect_alive();
    // An answer without a body needs no credit.
    serves(&mut client);
    assert!(!client.has_come(|frame| frame.is(kind::DATA, 3)));
    client.send(Frame::window_update(0, 5));
    let more = client.until("more", |frame| frame.is(kind::DATA, 3));
    assert_eq!(more.payload, body[received..received + 5]);
}

#[test]
fn a_larger_initial_window_holds_for_streams_that_exist() {
    let mut client = asking(0, b"abc");
    client.until("a head", |frame| frame.is(kind::HEADERS, 1));
    assert!(is_stuck(&mut client));
    client.send(Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 3)]));
    assert_eq!(take(&mut client, 3), b"abc");
}

#[test]
fn a_window_below_zero_must_be_filled_first() {
    let mut client = asking(3, b"abcdef");
    assert_eq!(take(&mut client, 3), b"abc");
    // Two below zero, then at zero, then one above.
    client.send(Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]));
    client.send(Frame::window_update(1, 2));
    assert!(is_stuck(&mut client));
    client.send(Frame::window_update(1, 1));
    assert_eq!(take(&mut client, 1), b"d");
    assert!(is_stuck(&mut client));
}

#[test]
fn a_client_that_sends_more_than_it_may_is_refused() {
    // Accepts nothing: once the buffers on the way are full, the window must be, too.
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let route = format!("/={}", endpoint.local_addr().unwrap());
    let proxy = Proxy::start(&["--route", &route]);
    let mut client = RawClient::connect(proxy.address);
    client.send(Frame::headers(1, &h2::post("/")));
    let failures = [kind::RST_STREAM, kind::GOAWAY];
    let failure = (0..100).find_map(|_| {
        client.send_all((0..32).map(|_| Frame::data(1, vec![0; 1 << 14])));
        client.send(Frame::ping([0; 8]));
        let next = client.until("a failure, or an answer", |frame| {
            frame.kind == kind::PING || failures.contains(&frame.kind)
        });
        failures.contains(&next.kind).then_some(next)
    });
    assert_eq!(failure.expect("a failure").code(), error::FLOW_CONTROL_ERROR);
}

#[test]
fn credit_for_a_body_comes_back_padding_included() {
    let mut client = fresh();
    for stream in (1..60).step_by(2) {
        client.send_all([
            Frame::headers(stream, &h2::post("/")),
            Frame::data(stream, "a").padded(255),
            Frame::data(stream, vec![b'b'; 16_000]).padded(255).end(),
        ]);
        assert_eq!(client.expect_answer(stream, 200).body.len(), 16_001);
    }
}

#[test]
fn credit_for_what_is_thrown_away_comes_back() {
    let mut client = super::gate::broken();
    // More than the window of the connection, on a stream that has been reset.
    let mut granted = WINDOW;
    for _ in 0..200 {
        while granted < 1 << 14 {
            let credit = client.until("credit", |frame| frame.is(kind::WINDOW_UPDATE, 0));
            granted += credit.word(0) as usize;
        }
        client.send(Frame::data(1, vec![0; 1 << 14]));
        granted -= 1 << 14;
    }
    serves(&mut client);
}
