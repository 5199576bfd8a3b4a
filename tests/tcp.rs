//! TCP connections that are relayed without parsing.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

use crate::support::{Client, Conn, Origin, Proxy, filler};

/// A relay to these endpoints, and its address.
fn relay(origins: &[&Origin], flags: &[&str]) -> Proxy {
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address.to_string()).collect();
    let relay = format!("127.0.0.1:0={}", addresses.join(","));
    let mut words = vec!["--tcp", relay.as_str()];
    words.extend(flags);
    Proxy::start_words(&words)
}

/// Sends everything back, and closes when the client does.
fn echo() -> Origin {
    Origin::start(|mut conn: Conn| {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = conn.stream.read(&mut bytes) {
            conn.send(&bytes[..count]);
        }
        conn.close();
    })
}

#[test]
fn bytes_go_both_ways_as_they_come() {
    let origin = echo();
    let proxy = relay(&[&origin], &[]);
    let mut client = proxy.client();
    for word in ["\0\r\n\u{ff}", "GET / HTTP/1.1\r\n\r\n", "x"] {
        client.send(word);
        assert_eq!(client.exactly(word.len()), word.as_bytes());
    }
}

#[test]
fn a_client_that_half_closes_still_receives() {
    let origin = Origin::start(|mut conn| {
        let received = conn.rest();
        conn.send(format!("{} bytes", received.len()));
        conn.close();
    });
    let proxy = relay(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("hello");
    client.finish();
    assert_eq!(client.rest(), b"5 bytes");
}

#[test]
fn an_endpoint_that_half_closes_still_receives() {
    let origin = Origin::start(|mut conn| {
        conn.send("greeting");
        conn.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(conn.rest(), b"answer");
    });
    let proxy = relay(&[&origin], &[]);
    let mut client = proxy.client();
    assert_eq!(client.rest(), b"greeting");
    client.send("answer");
    client.finish();
    drop(proxy);
}

#[test]
fn much_passes_both_ways_at_once_byte_for_byte() {
    let origin = echo();
    let proxy = relay(&[&origin], &[]);
    let sent = filler(8 * 1024 * 1024 + 17);
    let mut client = proxy.client();
    let mut writing = client.stream.try_clone().unwrap();
    let bytes = sent.clone();
    let writer = thread::spawn(move || {
        writing.write_all(&bytes).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    assert!(client.rest() == sent, "not what was sent");
    writer.join().unwrap();
}

#[test]
fn a_reset_on_one_side_resets_the_other() {
    let origin = Origin::start(|mut conn| {
        conn.bytes(1);
        conn.send("x");
        conn.bytes(1);
        conn.reset();
    });
    let proxy = relay(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("a");
    assert_eq!(client.exactly(1), b"x");
    client.send("b");
    assert!(client.is_reset());
}

#[test]
fn an_endpoint_that_refuses_is_skipped() {
    let (dead, origin) = (Origin::refusing(), echo());
    let proxy = relay(&[&dead, &origin], &["--max-fails", "2"]);
    for _ in 0..6 {
        let mut client = proxy.client();
        client.send("hi");
        assert_eq!(client.exactly(2), b"hi");
    }
    assert_eq!(proxy.count(|metrics| &metrics.tcp_opened), 6);
    // The second failure ejected it.
    assert_eq!(proxy.count(|metrics| &metrics.failed_attempts), 2);
}

#[test]
fn a_connection_for_which_there_is_no_endpoint_is_reset() {
    let dead = Origin::refusing();
    let proxy = relay(&[&dead], &[]);
    assert!(proxy.client().is_reset());
    assert_eq!(proxy.count(|metrics| &metrics.tcp_refused), 1);
}

#[test]
fn connections_are_balanced_round_robin() {
    let named = |name: &'static str| {
        Origin::start(move |mut conn| {
            conn.send(name);
            conn.close();
        })
    };
    let (first, second) = (named("1"), named("2"));
    let proxy = relay(&[&first, &second], &[]);
    let order: Vec<_> = (0..4).map(|_| proxy.client().rest()).collect();
    assert_eq!(order[0], order[2]);
    assert_ne!(order[0], order[1]);
}

#[test]
fn a_drain_lets_a_connection_end_and_cuts_what_does_not() {
    let origin = echo();
    let proxy = relay(&[&origin], &[]);
    let (mut client, mut other) = (proxy.client(), proxy.client());
    for client in [&mut client, &mut other] {
        client.send("x");
        client.exactly(1);
    }
    client.finish();
    assert_eq!(client.rest(), b"");
    assert_eq!(proxy.drain(Duration::from_millis(10)), 1);
    assert!(other.is_reset());
}

#[test]
fn http_and_tcp_go_side_by_side() {
    let (http, tcp) = (Origin::named("http"), echo());
    let relay = format!("127.0.0.1:0={}", tcp.address);
    let proxy = Proxy::before(&[&http], &["--tcp", &relay]);
    assert_eq!(proxy.get("/").text(), "http");
    let second: SocketAddr = proxy.addresses()[1];
    let mut client = Client::connect(second);
    client.send("hi");
    assert_eq!(client.exactly(2), b"hi");
}
