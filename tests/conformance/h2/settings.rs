//! SETTINGS (RFC 9113 §6.5).

use super::gate::Outcome::Ignored;
use super::gate::{FLOW, PROTOCOL, SIZE, fresh, serves};
use crate::support::h2::{Frame, RawClient, flag, kind, post, setting};

/// One setting.
fn one(name: u16, value: u32) -> [Frame; 1] {
    [Frame::settings(&[(name, value)])]
}

const WINDOW_MAX: u32 = (1 << 31) - 1;
const FRAME_MAX: u32 = (1 << 24) - 1;

h2_rules! {
    settings_on_a_stream: open, [Frame { stream: 1, ..Frame::settings(&[]) }] => PROTOCOL;
    settings_of_a_length_that_cannot_be: fresh, [Frame::new(kind::SETTINGS, 0, 0, [0; 7])] => SIZE;
    an_acknowledgement_with_settings:
        fresh, [Frame::settings(&[(setting::ENABLE_PUSH, 0)]).with(flag::ACK)] => SIZE;
    push_enabled: fresh, one(setting::ENABLE_PUSH, 1) => Ignored;
    push_neither_enabled_nor_disabled: fresh, one(setting::ENABLE_PUSH, 2) => PROTOCOL;
    the_largest_initial_window: fresh, one(setting::INITIAL_WINDOW_SIZE, WINDOW_MAX) => Ignored;
    an_initial_window_that_is_too_large:
        fresh, one(setting::INITIAL_WINDOW_SIZE, WINDOW_MAX + 1) => FLOW;
    the_least_frame_size: fresh, one(setting::MAX_FRAME_SIZE, 1 << 14) => Ignored;
    the_largest_frame_size: fresh, one(setting::MAX_FRAME_SIZE, FRAME_MAX) => Ignored;
    a_frame_size_that_is_too_small: fresh, one(setting::MAX_FRAME_SIZE, (1 << 14) - 1) => PROTOCOL;
    a_frame_size_that_is_too_large: fresh, one(setting::MAX_FRAME_SIZE, FRAME_MAX + 1) => PROTOCOL;
    no_table_for_fields: fresh, one(setting::HEADER_TABLE_SIZE, 0) => Ignored;
    no_streams_of_the_server: fresh, one(setting::MAX_CONCURRENT_STREAMS, 0) => Ignored;
    a_setting_that_is_unknown: fresh, one(0xfafa, u32::MAX) => Ignored;
    extended_connect_neither_on_nor_off:
        fresh, one(setting::ENABLE_CONNECT_PROTOCOL, 2) => PROTOCOL;
}

#[test]
fn settings_are_acknowledged_once_each() {
    let mut client = fresh();
    client.send_all([Frame::settings(&[]), Frame::settings(&[(setting::ENABLE_PUSH, 0)])]);
    for _ in 0..2 {
        let answer = client.until("an acknowledgement", |frame| frame.kind == kind::SETTINGS);
        assert_eq!(answer, Frame::settings_ack());
    }
    serves(&mut client);
    assert!(!client.has_come(|frame| frame.kind == kind::SETTINGS));
}

#[test]
fn of_a_setting_that_comes_twice_the_last_counts() {
    let window = setting::INITIAL_WINDOW_SIZE;
    let mut client = RawClient::connect_with(super::gate::address(), &[(window, 7), (window, 1)]);
    client.post(1, "/", b"abc");
    let data = client.until("a first byte", |frame| frame.is(kind::DATA, 1));
    assert_eq!((data.payload, data.flags), (b"a".to_vec(), 0));
}

#[test]
fn what_the_server_says_of_itself_is_within_bounds() {
    let mut client = RawClient::silent(super::gate::address());
    client.send_bytes(crate::support::h2::PREFACE);
    client.send(Frame::settings(&[]));
    let settings = client.next_frame().unwrap();
    assert_eq!((settings.kind, settings.flags, settings.stream), (kind::SETTINGS, 0, 0));
    for (name, value) in settings.pairs() {
        match name {
            setting::ENABLE_PUSH => assert_eq!(value, 0),
            setting::INITIAL_WINDOW_SIZE => assert!(value <= WINDOW_MAX),
            setting::MAX_FRAME_SIZE => assert!((1 << 14..=FRAME_MAX).contains(&value)),
            _ => {}
        }
    }
}

#[test]
fn no_frame_is_longer_than_the_client_takes() {
    let mut client = fresh();
    client.send(Frame::headers(1, &post("/")));
    let sent = vec![b'x'; 60_000];
    client.send_all(sent.chunks(1 << 14).map(|piece| Frame::data(1, piece)));
    client.send(Frame::data(1, "").end());
    let mut received = 0;
    while received < sent.len() {
        let data = client.until("more", |frame| frame.is(kind::DATA, 1));
        assert!(data.payload.len() <= 1 << 14);
        received += data.payload.len();
    }
}
