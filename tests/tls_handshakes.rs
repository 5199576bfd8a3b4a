//! Clients whose handshakes go wrong, stop, drip or are cut.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use evener::metrics::Metrics;
use evener::plan::listener::{ListenerKind, Transport};
use evener::session;
use evener::tls_fault::TlsFault;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::support::paused::{self, context, rest};
use crate::support::tls::{ALERT, Authority, Identity, TlsOptions, TlsProxy, TlsStream};
use crate::support::{Client, Origin, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn options() -> TlsOptions {
    TlsOptions::trusting(Authority::shared())
}

fn failed(fault: TlsFault) -> impl Fn(&Metrics) -> u64 {
    move |all| all.client_handshakes.failed[fault.index()].get()
}

fn failed_in_all(all: &Metrics) -> u64 {
    all.client_handshakes.failed.iter().map(evener::metrics::Counter::get).sum()
}

/// Waits until a handshake has failed for this reason, and none for another.
fn expect_failure(proxy: &TlsProxy, fault: TlsFault) {
    eventually("it is counted", || proxy.metrics(failed(fault)) == 1);
    assert_eq!(proxy.metrics(failed_in_all), 1);
}

/// A connection over which a hello has been sent.
fn greeted(proxy: &TlsProxy) -> Client {
    let mut client = Client::connect(proxy.address);
    client.send(options().hello("localhost"));
    client
}

/// The same once a part of the answer has come.
fn answered(proxy: &TlsProxy) -> Client {
    let mut client = greeted(proxy);
    client.exactly(100);
    client
}

#[test]
fn a_fatal_alert_at_any_point_of_a_handshake_ends_it_and_is_counted() {
    let origin = Origin::named("hello");
    for begin in [greeted, answered] {
        let proxy = TlsProxy::before(&[&origin], &[]);
        let mut client = begin(&proxy);
        client.send([ALERT, 3, 3, 0, 2, 2, 40]);
        client.rest();
        expect_failure(&proxy, TlsFault::Alert(40));
    }
}

#[test]
fn the_end_of_a_connection_at_any_point_of_its_handshake_is_counted_once() {
    let origin = Origin::named("hello");
    let ways: [fn(Client); 3] = [Client::reset, Client::close, |mut client| client.finish()];
    for begin in [greeted, answered] {
        for leave in ways {
            let proxy = TlsProxy::before(&[&origin], &[]);
            leave(begin(&proxy));
            expect_failure(&proxy, TlsFault::Closed);
        }
    }
}

#[test]
fn a_record_of_garbage_ends_a_handshake() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = answered(&proxy);
    client.send([&[23, 3, 3, 0, 40][..], &[7; 40]].concat());
    client.rest();
    expect_failure(&proxy, TlsFault::Misbehaved);
}

#[test]
fn what_is_not_tls_at_all_is_counted() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = Client::connect(proxy.address);
    client.send([0xff; 100]);
    client.rest();
    expect_failure(&proxy, TlsFault::NotTls);
}

#[test]
fn a_hello_that_is_too_long_is_refused() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut client = Client::connect(proxy.address);
    // One of 64 KiB, of which 48 come.
    let record =
        |begin: &[u8]| [&[22, 3, 1, 0x40, 0], begin, &vec![0; (1 << 14) - begin.len()]].concat();
    client.send([record(&[1, 0, 0xff, 0xff]), record(&[]), record(&[])].concat());
    client.rest();
    expect_failure(&proxy, TlsFault::Misbehaved);
}

#[test]
fn early_data_is_not_accepted() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut config = ClientConfig::clone(&options().versions(&[&TLS13]).resuming().config());
    config.enable_early_data = true;
    let config = Arc::new(config);
    for resumed in [false, true] {
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::clone(&config), name).unwrap();
        assert!(session.early_data().is_none());
        let tcp = Client::connect(proxy.address).stream;
        let mut client = Client::over(TlsStream::new(session, tcp).unwrap());
        assert_eq!(client.ask(GET).text(), "hello");
        assert_eq!(client.handshake().resumed, resumed);
    }
}

/// Sends each byte by itself.
struct Drip<'a>(&'a TcpStream);

impl Read for Drip<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Drip<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_handshake_of_single_bytes_succeeds() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    for version in [&TLS12, &TLS13] {
        let mut session = options().versions(&[version]).session("localhost");
        let tcp = Client::connect(proxy.address).stream;
        session.complete_io(&mut Drip(&tcp)).unwrap();
        let mut client = Client::over(TlsStream { session: session.into(), tcp, error: None });
        assert_eq!(client.ask(GET).text(), "hello");
    }
}

/// How long a client is waited with that does this once it has connected.
fn waited_with(act: impl AsyncFnOnce(&mut UnixStream)) -> Duration {
    let files = Identity::localhost().files();
    let flags = ["--listen-tls", "127.0.0.1:0", "--cert", &files.cert, "--key", &files.key];
    let flags = [&flags[..], &["--route=/=unix:/nowhere", "--handshake-timeout", "7s"]].concat();
    let (mut waited, mut count) = (Duration::ZERO, 0);
    paused::run(Duration::from_millis(10), async {
        let context = context(&flags);
        let (mut client, theirs) = UnixStream::pair().unwrap();
        let kind = ListenerKind { transport: Transport::Tls, ..ListenerKind::HTTP };
        session::spawn(paused::accepted_for(kind, &context, theirs));
        let start = Instant::now();
        act(&mut client).await;
        rest(&mut client).await;
        waited = start.elapsed();
        count = failed(TlsFault::TimedOut)(&context.metrics);
    });
    assert_eq!(count, 1);
    waited
}

fn assert_ended_by_its_deadline(waited: Duration) {
    assert!(waited >= Duration::from_secs(7) && waited < Duration::from_secs(8), "{waited:?}");
}

#[test]
fn a_silent_client_is_left_after_the_handshake_timeout() {
    assert_ended_by_its_deadline(waited_with(async |_| {}));
}

#[test]
fn a_client_that_stops_after_its_hello_is_left_after_the_handshake_timeout() {
    let hello = options().hello("localhost");
    assert_ended_by_its_deadline(waited_with(async |client| {
        client.write_all(&hello).await.unwrap();
    }));
}

#[test]
fn a_client_that_drips_its_hello_is_left_after_the_handshake_timeout() {
    let hello = options().hello("localhost");
    assert_ended_by_its_deadline(waited_with(async |client| {
        for byte in &hello {
            if client.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }));
}
