//! What an endpoint may send, frame by frame: what it is told, and what its client gets.

use std::sync::{Arc, Mutex};

use crate::support::h2::{Frame, PREFACE, RawOrigin, error, flag, kind, setting};
use crate::support::{Client, Proxy, eventually};

/// What an endpoint is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// GOAWAY with this code: the connection is over.
    Over(u32),
    /// `RST_STREAM` with this code: the connection serves on.
    Reset(u32),
}

const PROTOCOL: Told = Told::Over(error::PROTOCOL_ERROR);
const MALFORMED: Told = Told::Reset(error::PROTOCOL_ERROR);

/// Sends `frames` instead of an answer: its client gets 502, and the endpoint is told so.
fn check(frames: impl Fn(u32) -> Vec<Frame> + Send + Sync + 'static, expected: Told) {
    let told = Arc::new(Mutex::new(None));
    let ours = Arc::clone(&told);
    let origin = RawOrigin::start(move |mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        peer.send_all(frames(stream));
        let is_word = |frame: &Frame| [kind::GOAWAY, kind::RST_STREAM].contains(&frame.kind);
        let word = peer.until("a word", is_word);
        let over = word.kind == kind::GOAWAY;
        *ours.lock().unwrap() =
            Some(if over { Told::Over(word.code()) } else { Told::Reset(word.code()) });
        while let Some((stream, _)) = peer.request() {
            peer.answer(stream, "200", b"hello");
        }
    });
    let proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint())]);
    let ask = || {
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        Client::connect(proxy.address).ask(request).status
    };
    assert_eq!(ask(), 502);
    eventually("the endpoint is told", || told.lock().unwrap().is_some());
    assert_eq!(told.lock().unwrap().take(), Some(expected));
    if matches!(expected, Told::Reset(_)) {
        assert_eq!((ask(), origin.connections()), (200, 1));
    }
}

fn ok(stream: u32) -> Frame {
    Frame::headers(stream, &[(":status", "200")])
}

macro_rules! endpoint_rules {
    ($($name:ident: |$stream:ident| $frames:expr => $told:expr;)+) => {$(
        #[test]
        fn $name() {
            check(|$stream| $frames.to_vec(), $told);
        }
    )+};
}

endpoint_rules! {
    a_push: |stream| [push(stream)] => PROTOCOL;
    push_that_is_enabled: |_stream| [Frame::settings(&[(setting::ENABLE_PUSH, 1)])] => PROTOCOL;
    a_stream_of_its_own: |_stream| [ok(2).end()] => PROTOCOL;
    an_answer_on_a_stream_that_has_not_begun: |stream| [ok(stream + 2).end()] => PROTOCOL;
    data_on_a_stream_that_has_not_begun: |stream| [Frame::data(stream + 2, "a")] => PROTOCOL;
    a_reset_of_a_stream_that_has_not_begun: |stream| [Frame::reset(stream + 2, 0)] => PROTOCOL;
    data_before_the_head: |stream| [Frame::data(stream, "a"), ok(stream).end()] => MALFORMED;
    a_head_without_a_status: |stream| [Frame::headers(stream, &[("a", "b")])] => MALFORMED;
    a_head_with_a_field_of_the_connection:
        |stream| [Frame::headers(stream, &[(":status", "200"), ("connection", "a")])] => MALFORMED;
    an_interim_answer_that_ends:
        |stream| [Frame::headers(stream, &[(":status", "103")]).end()] => MALFORMED;
    a_body_shorter_than_its_length:
        |stream| [sized(stream, "5"), Frame::data(stream, "abc").end()] => MALFORMED;
    a_body_longer_than_its_length:
        |stream| [sized(stream, "2"), Frame::data(stream, "abc")] => MALFORMED;
    a_body_of_an_answer_without_one:
        |stream| [Frame::headers(stream, &[(":status", "204")]), Frame::data(stream, "a")]
            => MALFORMED;
    a_second_head: |stream| [ok(stream), ok(stream)] => MALFORMED;
    pseudo_header_fields_in_its_trailers: |stream| [ok(stream), ok(stream).end()] => MALFORMED;
    no_credit_for_a_stream: |stream| [Frame::window_update(stream, 0)] => MALFORMED;
}

fn push(stream: u32) -> Frame {
    let Frame { mut payload, .. } = Frame::headers(2, &[(":method", "GET"), (":path", "/")]);
    payload.splice(0..0, [0, 0, 0, 2]);
    Frame::new(kind::PUSH_PROMISE, flag::END_HEADERS, stream, payload)
}

fn sized(stream: u32, length: &str) -> Frame {
    Frame::headers(stream, &[(":status", "200"), ("content-length", length)])
}

#[test]
fn an_endpoint_is_sent_the_preface_and_settings_that_refuse_push() {
    let first = Arc::new(Mutex::new(None));
    let ours = Arc::clone(&first);
    let origin = RawOrigin::silent(move |mut peer| {
        let preface = peer.bytes(PREFACE.len());
        *ours.lock().unwrap() = Some((preface, peer.next_frame()));
    });
    let proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint())]);
    assert_eq!(proxy.get("/").status, 502);
    let first = first.lock().unwrap().take();
    let (Some(preface), Some(settings)) = first.expect("a connection") else { panic!("no words") };
    assert_eq!((preface.as_slice(), settings.kind), (PREFACE, kind::SETTINGS));
    assert!(settings.pairs().contains(&(setting::ENABLE_PUSH, 0)));
}
