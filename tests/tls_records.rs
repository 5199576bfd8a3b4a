//! Clients that break the rules of TLS in an open session, record by record.

use std::io::{Read, Write};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::support::tls::{ALERT, Authority, DATA, HANDSHAKE, RawTls, TlsOptions, TlsProxy};
use crate::support::{Client, Origin, Rendezvous, filler};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nsome";

/// So many key updates, or empty records, in a row are accepted, as by rustls.
const ROW_MAX: usize = 32;

fn options(version: &'static SupportedProtocolVersion) -> TlsOptions {
    TlsOptions::trusting(Authority::shared()).versions(&[version])
}

fn raw(proxy: &TlsProxy, version: &'static SupportedProtocolVersion) -> Client<RawTls> {
    proxy.client_with(&options(version)).raw()
}

#[test]
fn records_that_a_client_seals_itself_are_served() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    for version in [&TLS12, &TLS13] {
        let mut client = raw(&proxy, version);
        assert_eq!(client.ask(GET).text(), "hello");
        client.stream.send(ALERT, &[1, 0]);
        assert!(client.ends_cleanly());
    }
}

#[test]
fn a_record_that_is_too_long_ends_the_session_with_an_alert() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    for version in [&TLS12, &TLS13] {
        let mut client = raw(&proxy, version);
        client.stream.send(DATA, &[b'x'; (1 << 14) + 1]);
        assert!(client.is_closed());
        assert_eq!(client.stream.alerts, [[2, 22]], "record_overflow");
    }
}

#[test]
fn a_few_empty_records_are_nothing_and_a_flood_of_them_ends_the_session() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    for version in [&TLS12, &TLS13] {
        let mut client = raw(&proxy, version);
        for _ in 0..2 {
            (0..ROW_MAX).for_each(|_| client.stream.send(DATA, b""));
            assert_eq!(client.ask(GET).text(), "hello");
        }
        let flood: Vec<u8> = (0..=ROW_MAX).flat_map(|_| client.stream.seal(DATA, b"")).collect();
        client.stream.tcp.write_all(&flood).unwrap();
        assert!(client.is_closed());
    }
}

#[test]
fn key_updates_in_the_middle_of_bodies_change_nothing() {
    let sent = filler(100_000);
    let origin = Origin::echoing(sent.len());
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = proxy.client_with(&options(&TLS13));
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len()));
    for piece in sent.chunks(2000) {
        client.stream.session.refresh_traffic_keys().unwrap();
        client.send(piece);
    }
    client.stream.session.refresh_traffic_keys().unwrap();
    client.stream.flush_records().unwrap();
    assert!(client.response().body == sent);
}

#[test]
fn a_flood_of_key_updates_ends_the_session() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = proxy.client_with(&options(&TLS13));
    for _ in 0..=ROW_MAX {
        client.stream.session.refresh_traffic_keys().unwrap();
    }
    client.stream.flush_records().unwrap();
    let told = client.stream.read(&mut [0; 100]).unwrap_err().to_string();
    assert!(told.contains("UnexpectedMessage"), "{told}");
    assert_eq!(proxy.get("/").text(), "hello");
}

#[test]
fn to_negotiate_again_is_refused_and_asking_twice_ends_the_session() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = raw(&proxy, &TLS12);
    let hello = &options(&TLS12).hello("localhost")[5..];
    client.stream.send(HANDSHAKE, hello);
    assert_eq!(client.ask(GET).text(), "hello");
    assert_eq!(client.stream.alerts, [[1, 100]], "no_renegotiation");
    client.stream.send(HANDSHAKE, hello);
    assert!(client.is_closed());
}

#[test]
fn a_message_that_never_ends_is_not_kept() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = raw(&proxy, &TLS13);
    // A key update of 64 KiB.
    let begun = [&[24, 0, 0xff, 0xff][..], &[0; 16_000]].concat();
    let records = [begun, vec![0; 16_000], vec![0; 3000]];
    let sealed: Vec<u8> =
        records.iter().flat_map(|part| client.stream.seal(HANDSHAKE, part)).collect();
    client.stream.tcp.write_all(&sealed).unwrap();
    assert!(client.is_closed());
}

/// An endpoint that gets a part of a request, expects the rest of it to be cut once the test has done
/// that, and then meets the test again.
fn left_in_mid_request() -> (Origin, Rendezvous) {
    let meeting = Rendezvous::default();
    let ours = meeting.clone();
    let origin = Origin::start(move |mut conn| {
        conn.head();
        assert_eq!(conn.bytes(4).as_deref(), Some(&b"some"[..]));
        ours.wait();
        assert!(conn.ends_by_reset());
        ours.wait();
    });
    (origin, meeting)
}

/// What the client is told when it sends this in the middle of a request, which is cut then.
fn alerts_after(
    version: &'static SupportedProtocolVersion,
    send: impl Fn(&mut RawTls),
) -> Vec<[u8; 2]> {
    let (origin, meeting) = left_in_mid_request();
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = raw(&proxy, version);
    client.send(POST);
    meeting.wait();
    send(&mut client.stream);
    meeting.wait();
    assert!(client.is_closed());
    client.stream.alerts
}

#[test]
fn a_fatal_alert_in_the_middle_of_a_request_cuts_it() {
    for version in [&TLS12, &TLS13] {
        assert!(alerts_after(version, |client| client.send(ALERT, &[2, 80])).is_empty());
    }
}

#[test]
fn a_record_that_was_changed_cuts_a_request_and_is_answered_by_an_alert() {
    for version in [&TLS12, &TLS13] {
        let changed = |client: &mut RawTls| {
            let mut record = client.seal(DATA, b"more");
            *record.last_mut().unwrap() ^= 1;
            client.tcp.write_all(&record).unwrap();
        };
        assert_eq!(alerts_after(version, changed), [[2, 20]], "bad_record_mac");
    }
}

#[test]
fn what_comes_after_a_close_notify_is_not_read() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    for version in [&TLS12, &TLS13] {
        let mut client = raw(&proxy, version);
        let mut records = client.stream.seal(DATA, GET.as_bytes());
        records.extend(client.stream.seal(ALERT, &[1, 0]));
        records.extend(client.stream.seal(DATA, GET.as_bytes()));
        client.stream.tcp.write_all(&records).unwrap();
        assert_eq!(client.response().text(), "hello");
        assert!(client.is_closed());
    }
    assert_eq!(origin.heads().len(), 2);
}

#[test]
fn a_reset_in_the_middle_of_an_answer_ends_it_at_the_endpoint_too() {
    let ended = Rendezvous::default();
    let ours = ended.clone();
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
        conn.rest();
        ours.wait();
    });
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(GET);
    client.exactly(20);
    client.reset();
    ended.wait();
}
