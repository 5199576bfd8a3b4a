//! Frames: their format, their sizes, and each of their types (RFC 9113 §4.1, §4.2, §6).

use super::gate::Outcome::{Answered, Ignored, Reset};
use super::gate::{PROTOCOL, SIZE, begun, request};
use crate::support::h2::{Frame, error, flag, kind, post};

const UNKNOWN: u8 = 0xfa;

/// The longest payload that everyone takes (RFC 9113 §4.2).
const PAYLOAD_MAX: usize = 1 << 14;

const PADDED: &str = "padded";

/// A frame without its last byte.
fn cut(mut frame: Frame) -> Frame {
    frame.payload.pop();
    frame
}

/// A frame with a byte more.
fn longer(mut frame: Frame) -> Frame {
    frame.payload.push(0);
    frame
}

/// A frame that says it has more padding than it has payload.
fn overpadded(frame: Frame) -> Frame {
    let mut frame = frame.padded(0);
    frame.payload[0] = u8::try_from(frame.payload.len()).unwrap();
    frame
}

/// HEADERS with a dependency.
fn prioritised(frame: Frame, on: u32) -> Frame {
    let payload = [&on.to_be_bytes()[..], &[15], &frame.payload].concat();
    Frame { payload, ..frame }.with(flag::PRIORITY)
}

h2_rules! {
    a_frame_of_an_unknown_type: fresh, [Frame::new(UNKNOWN, 0xff, 0, [1; 100])] => Ignored;
    a_frame_of_an_unknown_type_on_a_stream:
        open, [Frame::new(UNKNOWN, 0, 1, []), Frame::data(1, "a").end()] => Answered(1, "a");
    flags_that_mean_nothing: fresh, [request(1).with(0xd2)] => Answered(1, "");
    flags_of_a_ping_that_mean_nothing: fresh, [Frame::ping([7; 8]).with(0xfe)] => Ignored;
    a_reserved_bit_of_a_stream: fresh, [request(1 | 1 << 31)] => Answered(1, "");
    a_payload_of_the_longest_length:
        open, [Frame::data(1, vec![b'x'; PAYLOAD_MAX]), Frame::reset(1, error::CANCEL)] => Ignored;
    a_data_frame_that_is_too_long: open, [Frame::data(1, vec![0; PAYLOAD_MAX + 1])] => SIZE;
    a_header_frame_that_is_too_long:
        fresh, [Frame::headers(1, &[("x", "y".repeat(PAYLOAD_MAX))])] => SIZE;
    a_frame_of_an_unknown_type_that_is_too_long:
        fresh, [Frame::new(UNKNOWN, 0, 0, vec![0; PAYLOAD_MAX + 1])] => SIZE;
}

// DATA (§6.1).
h2_rules! {
    data: open, [Frame::data(1, "a"), Frame::data(1, "b").end()] => Answered(1, "ab");
    data_that_is_empty_at_the_end:
        open, [Frame::data(1, "a"), Frame::data(1, "").end()] => Answered(1, "a");
    padding_of_data: open, [Frame::data(1, PADDED).padded(255).end()] => Answered(1, PADDED);
    padding_without_data:
        open, [Frame::data(1, "").padded(9), Frame::data(1, "a").end()] => Answered(1, "a");
    data_on_stream_0: fresh, [Frame::data(0, "a")] => PROTOCOL;
    more_padding_than_data: open, [overpadded(Frame::data(1, "a"))] => PROTOCOL;
    padded_data_without_a_length: open, [Frame::data(1, "").with(flag::PADDED)] => PROTOCOL;
}

// HEADERS (§6.2).
h2_rules! {
    headers: fresh, [request(1)] => Answered(1, "");
    headers_with_padding: fresh, [request(1).padded(20)] => Answered(1, "");
    headers_with_a_priority: fresh, [prioritised(request(1), 0)] => Answered(1, "");
    headers_with_padding_and_a_priority:
        fresh, [prioritised(request(1), 1 << 31 | 7).padded(3)] => Answered(1, "");
    headers_on_stream_0: fresh, [request(0)] => PROTOCOL;
    more_padding_than_headers: fresh, [overpadded(request(1))] => PROTOCOL;
    headers_too_short_for_their_priority:
        fresh, [Frame::new(kind::HEADERS, flag::END_HEADERS | flag::PRIORITY, 1, [0; 4])] => SIZE;
    headers_that_depend_on_themselves:
        fresh, [prioritised(begun(1), 1)] => Reset(1, error::PROTOCOL_ERROR);
}

// PRIORITY (§6.3).
h2_rules! {
    a_priority: fresh, [Frame::priority(1, 0, 0), request(1)] => Answered(1, "");
    a_priority_that_is_exclusive:
        fresh, [Frame::priority(1, 1 << 31, 255), request(1)] => Answered(1, "");
    a_priority_of_a_stream_that_others_precede:
        fresh, [Frame::priority(5, 3, 9), request(1)] => Answered(1, "");
    a_priority_on_stream_0: fresh, [Frame::priority(0, 1, 0)] => PROTOCOL;
    a_priority_that_is_too_short:
        open, [cut(Frame::priority(1, 0, 0))] => Reset(1, error::FRAME_SIZE_ERROR);
    a_priority_that_depends_on_itself:
        open, [Frame::priority(1, 1, 0)] => Reset(1, error::PROTOCOL_ERROR);
}

// RST_STREAM (§6.4).
h2_rules! {
    a_reset: open, [Frame::reset(1, error::CANCEL)] => Ignored;
    a_reset_with_an_unknown_code: open, [Frame::reset(1, 0xff_ffff)] => Ignored;
    a_reset_on_stream_0: fresh, [Frame::reset(0, error::CANCEL)] => PROTOCOL;
    a_reset_that_is_too_short: open, [cut(Frame::reset(1, 0))] => SIZE;
    a_reset_that_is_too_long: open, [longer(Frame::reset(1, 0))] => SIZE;
}

// PUSH_PROMISE (§6.6, §8.4).
h2_rules! {
    a_push: open, [Frame::new(
        kind::PUSH_PROMISE,
        flag::END_HEADERS,
        1,
        [&2_u32.to_be_bytes()[..], &Frame::headers(2, &post("/")).payload].concat(),
    )] => PROTOCOL;
}

// PING (§6.7).
h2_rules! {
    a_ping_that_answers_nothing: fresh, [Frame::ping([1; 8]).with(flag::ACK)] => Ignored;
    a_ping_on_a_stream: open, [Frame { stream: 1, ..Frame::ping([0; 8]) }] => PROTOCOL;
    a_ping_that_is_too_short: fresh, [cut(Frame::ping([0; 8]))] => SIZE;
    a_ping_that_is_too_long: fresh, [longer(Frame::ping([0; 8]))] => SIZE;
}

#[test]
fn a_ping_is_answered_with_its_own_bytes() {
    let mut client = super::gate::waiting();
    client.send_all([Frame::ping(*b"12345678"), Frame::ping([0; 8]).with(flag::ACK)]);
    let answer = client.until("an answer", |frame| frame.kind == kind::PING);
    assert_eq!(answer, Frame::ping(*b"12345678").with(flag::ACK));
    super::gate::serves(&mut client);
    assert!(!client.has_come(|frame| frame.kind == kind::PING));
}

// GOAWAY (§6.8).
h2_rules! {
    a_goaway_on_a_stream: open, [Frame { stream: 1, ..Frame::go_away(0, 0) }] => PROTOCOL;
    a_goaway_that_is_too_short: fresh, [cut(Frame::go_away(0, 0))] => SIZE;
}
