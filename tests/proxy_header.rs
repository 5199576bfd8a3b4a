//! The PROXY protocol on either side: sent to endpoints, and accepted from trusted peers only.

use evener::reject::Reject;

use crate::support::{Client, Conn, Origin, Proxy};

const V1: &str = "PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The same header in version 2.
fn v2() -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend([203, 0, 113, 7, 198, 51, 100, 1]);
    bytes.extend([4711_u16.to_be_bytes(), 80_u16.to_be_bytes()].concat());
    bytes
}

/// A balancer that accepts PROXY headers from this machine.
fn accepting(origin: &Origin) -> Proxy {
    accepting_from(origin, "127.0.0.1")
}

fn accepting_from(origin: &Origin, trusted: &str) -> Proxy {
    let route = format!("/={}", origin.address);
    let words = ["--listen", "127.0.0.1:0,proxy", "--trusted", trusted, "--route", &route];
    Proxy::start_words(&words)
}

/// The client address in the last request's X-Forwarded-For.
fn forwarded_for(origin: &Origin) -> String {
    let head = origin.heads().pop().expect("a request");
    let (_, rest) = head.split_once("X-Forwarded-For: ").expect("the field");
    rest.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_client_is_the_one_in_the_header() {
    let origin = Origin::named("x");
    let proxy = accepting(&origin);
    for header in [V1.as_bytes().to_vec(), v2()] {
        let mut client = proxy.client();
        assert_eq!(client.ask([&header[..], GET.as_bytes()].concat()).text(), "x");
        assert_eq!(forwarded_for(&origin), "203.0.113.7");
        assert_eq!(client.ask(GET).text(), "x");
    }
}

#[test]
fn a_header_may_come_by_itself() {
    let origin = Origin::named("x");
    let proxy = accepting(&origin);
    let mut client = proxy.client();
    for byte in v2() {
        client.send([byte]);
    }
    assert_eq!(client.ask(GET).text(), "x");
}

#[test]
fn a_header_without_addresses_leaves_the_connections_own() {
    let origin = Origin::named("x");
    let proxy = accepting(&origin);
    let mut client = proxy.client();
    let forged = GET.replace("Host", "X-Forwarded-For: 6.6.6.6\r\nHost");
    assert_eq!(client.ask(format!("PROXY UNKNOWN\r\n{forged}")).text(), "x");
    assert_eq!(forwarded_for(&origin), "127.0.0.1");
}

#[test]
fn a_connection_without_a_header_is_reset() {
    let origin = Origin::named("x");
    let proxy = accepting(&origin);
    for bytes in [GET, "PROXY TCP4 1.2.3.4\r\n", "\r\n\r\n\0\r\nQUIT\r"] {
        let mut client = proxy.client();
        client.send(bytes);
        assert!(client.is_reset(), "{bytes:?}");
    }
    assert_eq!(proxy.count(|m| &m.rejects[Reject::ProxyHeader as usize]), 3);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn the_header_of_an_untrusted_peer_is_refused() {
    let origin = Origin::named("x");
    let proxy = accepting_from(&origin, "192.0.2.0/24");
    // At once, whatever the peer is about to send.
    assert!(proxy.client().is_reset());
    assert_eq!(proxy.count(|m| &m.rejects[Reject::ProxyHeader as usize]), 1);
}

/// An origin that records the first bytes of each connection, then answers.
fn recording(count: usize) -> Origin {
    Origin::start(move |mut conn: Conn| {
        let begun = conn.bytes(count).expect("so many bytes");
        conn.send(begun);
        conn.close();
    })
}

#[test]
fn an_endpoint_of_a_relay_receives_the_client_address() {
    let origin = Origin::start(|mut conn| {
        let line = conn.line();
        conn.send(line);
        conn.close();
    });
    let relay = format!("127.0.0.1:0={},proxy=v1", origin.address);
    let proxy = Proxy::start_words(&["--tcp", &relay]);
    let mut client = proxy.client();
    let (ours, theirs) = (client.stream.local_addr().unwrap(), proxy.address);
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", ours.port(), theirs.port());
    assert_eq!(String::from_utf8_lossy(&client.rest()), expected);
}

#[test]
fn a_received_header_is_passed_on() {
    let origin = recording(v2().len());
    let relay = format!("127.0.0.1:0,proxy={},proxy=v2", origin.address);
    let proxy = Proxy::start_words(&["--tcp", &relay, "--trusted", "127.0.0.1"]);
    let mut client = proxy.client();
    client.send(V1);
    assert_eq!(client.rest(), v2());
}

#[test]
fn bytes_after_the_header_are_passed_on_in_a_relay() {
    let origin = recording(5);
    let relay = format!("127.0.0.1:0,proxy={}", origin.address);
    let proxy = Proxy::start_words(&["--tcp", &relay, "--trusted", "127.0.0.1"]);
    let mut client = proxy.client();
    client.send(format!("{V1}hello"));
    assert_eq!(client.rest(), b"hello");
}

#[test]
fn connections_that_begin_with_a_header_are_not_shared() {
    let origin = Origin::start(|mut conn| {
        conn.line();
        conn.answer_all(&crate::support::origin::ok("x"));
    });
    let route = format!("/={},proxy=v1", origin.address);
    let proxy = Proxy::start_words(&["--listen", "127.0.0.1:0", "--route", &route]);
    let clients: Vec<Client> = (0..3).map(|_| proxy.client()).collect();
    for mut client in clients {
        assert_eq!(client.ask(GET).text(), "x");
        assert_eq!(client.ask(GET).text(), "x");
    }
    assert_eq!(origin.connections(), 6);
}
