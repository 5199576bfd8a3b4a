//! Streams: their states, identifiers and number (RFC 9113 §5.1).

use super::gate::Outcome::{Answered, Ignored, Over, Reset};
use super::gate::{CLOSED, PROTOCOL, begun, open, request, serves};
use crate::support::h2::{Frame, RawClient, error, flag, get, kind, post, setting};
use crate::support::{Origin, Proxy};

fn continuation() -> Frame {
    Frame::continuation(1, request(1).payload).with(flag::END_HEADERS)
}

fn gone() -> Frame {
    Frame::reset(1, error::CANCEL)
}

const STREAM_CLOSED: super::gate::Outcome = Reset(1, error::STREAM_CLOSED);

// Idle.
h2_rules! {
    data_on_an_idle_stream: fresh, [Frame::data(1, "a")] => PROTOCOL;
    a_reset_of_an_idle_stream: fresh, [Frame::reset(1, error::CANCEL)] => PROTOCOL;
    credit_for_an_idle_stream: fresh, [Frame::window_update(1, 1)] => PROTOCOL;
    a_continuation_on_an_idle_stream: fresh, [continuation()] => PROTOCOL;
}

// Half-closed by the client.
h2_rules! {
    data_after_a_request: waiting, [Frame::data(1, "a")] => STREAM_CLOSED;
    headers_after_a_request: waiting, [request(1)] => STREAM_CLOSED;
    credit_after_a_request: waiting, [Frame::window_update(1, 1)] => Ignored;
    a_priority_after_a_request: waiting, [Frame::priority(1, 0, 1)] => Ignored;
    a_reset_after_a_request: waiting, [Frame::reset(1, error::CANCEL)] => Ignored;
}

// Closed: both sides have said everything.
h2_rules! {
    data_after_an_answer: answered, [Frame::data(1, "a")] => CLOSED;
    headers_after_an_answer: answered, [request(1)] => CLOSED;
    a_continuation_after_an_answer: answered, [continuation()] => PROTOCOL;
    credit_after_an_answer: answered, [Frame::window_update(1, 1)] => Ignored;
    a_reset_after_an_answer: answered, [Frame::reset(1, error::CANCEL)] => Ignored;
    a_priority_after_an_answer: answered, [Frame::priority(1, 0, 1)] => Ignored;
}

// Closed by the client's reset.
h2_rules! {
    data_after_ones_own_reset: abandoned, [Frame::data(1, "a")] => STREAM_CLOSED;
    headers_after_ones_own_reset: abandoned, [request(1)] => STREAM_CLOSED;
    a_continuation_after_ones_own_reset: abandoned, [continuation()] => PROTOCOL;
    credit_after_ones_own_reset: abandoned, [Frame::window_update(1, 1)] => Ignored;
    data_right_after_ones_own_reset: fresh, [begun(1), gone(), Frame::data(1, "a")] => STREAM_CLOSED;
    headers_right_after_ones_own_reset: fresh, [begun(1), gone(), request(1)] => STREAM_CLOSED;
    a_second_reset: abandoned, [Frame::reset(1, error::CANCEL)] => Ignored;
}

// Closed by a reset that the client may not have seen yet.
h2_rules! {
    data_that_crosses_a_reset: broken, [Frame::data(1, "a"), Frame::data(1, "b").end()] => Ignored;
    trailers_that_cross_a_reset: broken, [Frame::headers(1, &[("a", "b")]).end()] => Ignored;
    credit_that_crosses_a_reset: broken, [Frame::window_update(1, 1)] => Ignored;
    a_reset_that_crosses_a_reset: broken, [Frame::reset(1, error::CANCEL)] => Ignored;
}

// Identifiers (§5.1.1).
h2_rules! {
    a_stream_of_an_even_number: fresh, [request(2)] => PROTOCOL;
    a_stream_of_a_number_below_the_last: fresh, [request(5), request(3)]
        => Over(&[error::PROTOCOL_ERROR, error::STREAM_CLOSED]);
    numbers_that_are_left_out: fresh, [request(7), request(99)] => Answered(99, "");
}

#[test]
fn the_last_stream_there_can_be_is_served() {
    let last = (1 << 31) - 1;
    let mut client = super::gate::fresh();
    client.send(request(last));
    client.expect_answer(last, 200);
    client.expect_alive();
}

#[test]
fn streams_above_the_announced_number_are_refused_and_may_come_later() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.rest();
    });
    let proxy = Proxy::before(&[&origin], &["--max-streams", "2"]);
    let mut client = RawClient::silent(proxy.address);
    client.send_bytes(crate::support::h2::PREFACE);
    client.send(Frame::settings(&[]));
    let settings = client.until("SETTINGS", |frame| frame.kind == kind::SETTINGS);
    assert!(settings.pairs().contains(&(setting::MAX_CONCURRENT_STREAMS, 2)));
    client.send_all([1, 3, 5].map(|stream| Frame::headers(stream, &get("/")).end()));
    client.expect_reset(5, error::REFUSED_STREAM);
    client.send_all([Frame::reset(1, error::CANCEL), request(7)]);
    client.expect_alive();
    assert!(!client.has_come(|frame| frame.is(kind::RST_STREAM, 7)));
}

#[test]
fn streams_that_take_the_place_of_those_that_were_reset_are_served() {
    let mut client = super::gate::fresh();
    // As many as there may be at a time.
    let first = (1..257).step_by(2);
    client.send_all(first.clone().map(|stream| Frame::headers(stream, &get("/never")).end()));
    client.expect_alive();
    let resets = first.clone().map(|stream| Frame::reset(stream, error::CANCEL));
    client.send_all(resets.chain(first.map(|stream| request(256 + stream))));
    for stream in (257..513).step_by(2) {
        client.expect_answer(stream, 200);
    }
    serves(&mut client);
}

#[test]
fn requests_are_answered_as_they_are_ready_and_not_in_turn() {
    let mut client = super::gate::waiting();
    client.post(3, "/", b"first");
    client.post(5, "/", b"second");
    assert_eq!(client.expect_answer(5, 200).text(), "second");
    assert_eq!(client.expect_answer(3, 200).text(), "first");
    serves(&mut client);
}

#[test]
fn the_end_of_a_request_may_come_after_its_answer() {
    let mut client = super::gate::fresh();
    let head = [post("/"), vec![("content-length", "1")]].concat();
    client.send_all([Frame::headers(1, &head), Frame::data(1, "a")]);
    assert_eq!(client.expect_answer(1, 200).text(), "a");
    client.send(Frame::data(1, "").end());
    serves(&mut client);
}

#[test]
fn bodies_may_be_interleaved() {
    let mut client = open();
    client.send_all([
        begun(3),
        Frame::data(1, "a"),
        Frame::data(3, "1"),
        Frame::data(1, "b").end(),
        Frame::data(3, "2").end(),
    ]);
    assert_eq!(client.expect_answer(1, 200).text(), "ab");
    assert_eq!(client.expect_answer(3, 200).text(), "12");
}

// A second field section is the trailers, which end a message (§8.1).
h2_rules! {
    trailers: open, [Frame::data(1, "a"), Frame::headers(1, &[("x-sum", "1")]).end()]
        => Answered(1, "a");
    trailers_without_a_body: open, [Frame::headers(1, &[("x-sum", "1")]).end()] => Answered(1, "");
    a_second_section_that_ends_nothing:
        open, [Frame::headers(1, &[("x-sum", "1")])] => Reset(1, error::PROTOCOL_ERROR);
    pseudo_header_fields_in_trailers:
        open, [Frame::headers(1, &post("/")).end()] => Reset(1, error::PROTOCOL_ERROR);
}
