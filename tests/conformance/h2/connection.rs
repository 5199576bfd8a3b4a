//! How a connection begins and ends, and what extends it (RFC 9113 §3.4, §5.4, §5.5, §6.8).

use super::gate::Outcome::Answered;
use super::gate::{PROTOCOL, address, fresh, open, request, serves, settled};
use crate::support::Origin;
use crate::support::h2::{Frame, PREFACE, RawClient, error, flag, kind};
use crate::support::tls::{Authority, TlsOptions, TlsProxy};

/// Nothing has been sent.
fn silent() -> RawClient {
    RawClient::silent(address())
}

#[test]
fn a_preface_is_answered_by_settings_first_of_all() {
    let mut client = silent();
    client.send_bytes(PREFACE);
    client.send(Frame::settings(&[]));
    let first = client.next_frame().unwrap();
    assert_eq!((first.kind, first.flags, first.stream), (kind::SETTINGS, 0, 0));
    client.until("an acknowledgement", |frame| *frame == Frame::settings_ack());
}

#[test]
fn a_preface_may_come_byte_by_byte() {
    let mut client = silent();
    for byte in PREFACE {
        client.send_bytes([*byte]);
    }
    for byte in Frame::settings(&[]).encode() {
        client.send_bytes([byte]);
    }
    client.send(Frame::settings_ack());
    serves(&mut client);
}

#[test]
fn a_request_may_come_with_the_preface() {
    let mut client = silent();
    let frames = [Frame::settings(&[]).encode(), request(1).encode()].concat();
    client.send_bytes([PREFACE, &frames].concat());
    settled(&mut client, &Answered(1, ""));
}

#[test]
fn a_first_frame_other_than_settings_is_an_error() {
    for frame in [Frame::ping([0; 8]), Frame::settings_ack(), request(1)] {
        let mut client = silent();
        client.send_bytes(PREFACE);
        client.send(frame);
        settled(&mut client, &PROTOCOL);
    }
}

#[test]
fn a_preface_that_goes_wrong_is_not_http_2() {
    for wrong in ["PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "INVALID CONNECTION PREFACE\r\n\r\n"] {
        let mut client = silent();
        client.send_bytes(wrong);
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client.stream, &mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{answer:?}");
    }
}

#[test]
fn over_tls_a_preface_that_goes_wrong_is_an_error() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let options = TlsOptions::trusting(Authority::shared()).alpn(&["h2"]);
    let mut client = RawClient::over(options.connect(proxy.address, "localhost").stream);
    client.send_bytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    settled(&mut client, &PROTOCOL);
}

#[test]
fn over_tls_the_same_rules_hold() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let options = TlsOptions::trusting(Authority::shared());
    let mut client = RawClient::connect_tls(proxy.address, options, "localhost");
    client.get(1, "/");
    assert_eq!(client.expect_answer(1, 200).text(), "hello");
    client.send(Frame::data(0, "a"));
    settled(&mut client, &PROTOCOL);
}

#[test]
fn an_error_names_the_last_stream_that_was_looked_at() {
    let mut client = fresh();
    client.send_all([request(1), request(7), Frame::data(0, "")]);
    let last = client.expect_goaway(error::PROTOCOL_ERROR);
    assert_eq!(last, 7);
    client.expect_end();
}

#[test]
fn what_runs_ends_well_when_the_client_opens_no_more_streams() {
    let mut client = open();
    client.send(Frame::go_away(0, error::NO_ERROR));
    client.send(Frame::data(1, "late").end());
    assert_eq!(client.expect_answer(1, 200).text(), "late");
    client.expect_end();
}

#[test]
fn a_goaway_with_an_unknown_code_and_words_is_taken() {
    let mut client = open();
    let mut frame = Frame::go_away(0, 0xff_ffff);
    frame.payload.extend(b"because");
    client.send_all([frame, Frame::data(1, "a").end()]);
    client.find(|frame| frame.is(kind::HEADERS, 1));
    client.expect_end();
}

#[test]
fn an_upgrade_to_http_2_is_not_followed() {
    let mut client = crate::support::Client::connect(address());
    let fields =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let answer = client.ask(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    assert_eq!(answer.status, 200);
}

#[test]
fn an_extension_of_every_kind_is_ignored() {
    let mut client = fresh();
    client.send_all((10..=255).map(|kind| Frame::new(kind, flag::ACK, u32::from(kind), [0; 3])));
    serves(&mut client);
}
