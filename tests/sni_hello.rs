//! How a ClientHello arrives at a listener that routes by its name: in pieces, late, or not as one.

use std::rc::Rc;
use std::time::Duration;

use evener::id::SniTableId;
use evener::plan::listener::{ListenerKind, Preamble, Service, Transport};
use evener::reject::Reject;
use evener::session;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::support::tls::TlsOptions;
use crate::support::{Client, Origin, Proxy, paused};

fn hello() -> Vec<u8> {
    TlsOptions::unverified().hello("a.example.com")
}

/// Answers with what it received.
fn echo() -> Origin {
    Origin::start(|mut conn| {
        let received = conn.rest();
        conn.send(received);
        conn.close();
    })
}

fn before(origin: &Origin) -> Proxy {
    let relay = format!("--tcp=127.0.0.1:0,sni=a.example.com={}", origin.address);
    Proxy::start_words(&[&relay])
}

fn passes(mut client: Client, bytes: &[u8]) -> bool {
    client.finish();
    client.rest() == bytes
}

#[test]
fn a_hello_may_come_byte_by_byte() {
    let origin = echo();
    let (proxy, bytes) = (before(&origin), hello());
    let mut client = proxy.client();
    for byte in &bytes {
        client.send([*byte]);
    }
    assert!(passes(client, &bytes));
}

#[test]
fn a_hello_may_come_in_many_records() {
    let origin = echo();
    let (proxy, hello) = (before(&origin), hello());
    for size in [1, 7, 1000] {
        let record = |piece: &[u8]| {
            let [.., high, low] = piece.len().to_be_bytes();
            [&[22, 3, 1, high, low], piece].concat()
        };
        let bytes: Vec<u8> = hello[5..].chunks(size).flat_map(record).collect();
        let mut client = proxy.client();
        client.send(&bytes);
        assert!(passes(client, &bytes), "{size}");
    }
}

#[test]
fn a_hello_that_breaks_a_rule_is_closed_and_counted() {
    let origin = echo();
    let (proxy, hello) = (before(&origin), hello());
    let name = hello.windows(13).position(|bytes| bytes == b"a.example.com").unwrap();
    let mut dotted = hello.clone();
    dotted[name + 12] = b'.';
    let mut session = hello.clone();
    session[43] = 33;
    for (bytes, reject) in [
        (&b"\x16\x03\x01\0\0"[..], Reject::ClientHello),
        (&session, Reject::ClientHello),
        (b"\x16\x03\x01\x40\0\x01\0\x40\0", Reject::ClientHelloTooLarge),
        (&dotted, Reject::ServerName),
    ] {
        let counted = || proxy.count(|metrics| &metrics.rejects[reject as usize]);
        let earlier = counted();
        let mut client = proxy.client();
        client.send(bytes);
        assert!(client.ends_cleanly(), "{reject:?}");
        assert_eq!(counted(), earlier + 1, "{reject:?}");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_client_that_leaves_before_its_hello_is_whole_reaches_no_endpoint() {
    let origin = echo();
    let (proxy, bytes) = (before(&origin), hello());
    for part in [0, 3, bytes.len() - 1] {
        let mut client = proxy.client();
        client.send(&bytes[..part]);
        client.finish();
        assert!(client.ends_cleanly(), "{part}");
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(proxy.count(|metrics| &metrics.hello_timeouts), 0);
}

#[test]
fn a_hello_has_the_time_of_a_handshake() {
    paused::run(Duration::from_millis(50), async {
        let relay = "--tcp=unix:/tmp/evener-no-listener,sni=a.example.com=192.0.2.1:443";
        let flags = [relay, "--route=/=192.0.2.1:80", "--handshake-timeout=3s"];
        let context = paused::context(&flags);
        let service = Service::Sni { table: SniTableId::new(0) };
        let (preamble, transport) = (Preamble::Nothing, Transport::Plain);
        let kind = ListenerKind { preamble, transport, service };
        let bytes = hello();
        for sent in [0, 20] {
            let (mut client, theirs) = UnixStream::pair().expect("a pair");
            let start = Instant::now();
            session::spawn(paused::accepted_for(kind, &Rc::clone(&context), theirs));
            for byte in &bytes[..sent] {
                sleep(Duration::from_millis(100)).await;
                client.try_write(&[*byte]).expect("room");
            }
            assert_eq!(paused::rest(&mut client).await, "");
            assert_eq!(start.elapsed().as_secs(), 3);
        }
        assert_eq!(context.metrics.hello_timeouts.get(), 2);
    });
}
