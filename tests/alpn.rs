//! The application protocol that is agreed on with clients over TLS, and what HTTP/2 asks of TLS.

use std::io::{Read, Write};
use std::net::TcpStream;

use evener::metrics::Metrics;
use evener::tls_fault::TlsFault;
use rustls::version::TLS12;

use crate::support::h2::{Frame, H2Client, PREFACE, RawClient, error, kind};
use crate::support::library::run;
use crate::support::tls::{Authority, Identity, TlsOptions, TlsProxy};
use crate::support::{Origin, Proxy, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn options(offered: &[&str]) -> TlsOptions {
    TlsOptions::trusting(Authority::shared()).alpn(offered)
}

fn agreed(proxy: &TlsProxy, offered: &[&str]) -> Option<String> {
    proxy.client_with(&options(offered)).handshake().alpn
}

#[test]
fn http2_is_preferred_to_http1() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    for offered in [&["h2", "http/1.1"][..], &["http/1.1", "h2"], &["h2"]] {
        assert_eq!(agreed(&proxy, offered).as_deref(), Some("h2"), "{offered:?}");
    }
    run(async {
        let client = H2Client::connect_tls(proxy.address, options(&[]), "localhost").await;
        assert_eq!(client.get("/").await.text(), "hello");
    });
}

#[test]
fn a_client_that_does_not_offer_http2_speaks_http1() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    for offered in [&["http/1.1"][..], &["h3", "http/1.1"], &[]] {
        let mut client = proxy.client_with(&options(offered));
        let expected = offered.last().copied();
        assert_eq!(client.handshake().alpn.as_deref(), expected, "{offered:?}");
        assert_eq!(client.ask(GET).text(), "hello");
    }
}

#[test]
fn over_tls_prior_knowledge_is_not_enough_for_http2() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    for offered in [&["http/1.1"][..], &[]] {
        let mut client = RawClient::over(proxy.client_with(&options(offered)).stream);
        client.send_bytes(PREFACE);
        client.send(Frame::settings(&[]));
        let end = client.until("GOAWAY", |frame| frame.kind == kind::GOAWAY);
        assert_eq!((end.word(0), end.code()), (0, error::HTTP_1_1_REQUIRED), "{offered:?}");
        assert_eq!(&end.payload[8..], b"over TLS, HTTP/2 has to be agreed on by ALPN");
        client.expect_end();
    }
}

#[test]
fn without_http2_it_is_not_offered() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &["--no-http2"]);
    let mut client = proxy.client_with(&options(&["h2", "http/1.1"]));
    assert_eq!(client.handshake().alpn.as_deref(), Some("http/1.1"));
    assert_eq!(client.ask(GET).text(), "hello");
    let refused = options(&["h2"]).try_connect(proxy.address, "localhost").err().unwrap();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    let failed = |all: &Metrics| all.client_handshakes.failed[TlsFault::NoProtocol.index()].get();
    eventually("it is counted", || proxy.metrics(failed) == 1);
}

#[test]
fn a_reload_changes_what_is_offered_to_clients_that_come_later() {
    let (origin, files) = (Origin::named("hello"), Identity::localhost().files());
    let route = format!("--route=/={}", origin.address);
    let flags = ["--listen-tls=127.0.0.1:0", "--cert", &files.cert, "--key", &files.key, &route];
    let mut proxy = Proxy::start(&flags);
    let address = *proxy.addresses().last().unwrap();
    let connect = || options(&["h2", "http/1.1"]).connect(address, "localhost");
    assert_eq!(connect().handshake().alpn.as_deref(), Some("h2"));
    let mut open = options(&["http/1.1"]).connect(address, "localhost");
    let changes = proxy.reload(&[&flags[..], &["--no-http2"]].concat()).unwrap();
    assert_eq!(
        changes,
        ["~ HTTP/2: at most 128 streams per connection → off, for new connections"]
    );
    assert_eq!(connect().handshake().alpn.as_deref(), Some("http/1.1"));
    assert_eq!(open.ask(GET).text(), "hello");
    proxy.reload(&flags).unwrap();
    assert_eq!(connect().handshake().alpn.as_deref(), Some("h2"));
}

/// A hello of TLS 1.2 that offers compression by DEFLATE (RFC 3749) before none.
fn hello_with_compression() -> Vec<u8> {
    let mut hello = options(&["h2"]).versions(&[&TLS12]).hello("localhost");
    // Record header, message header, version and random; then the session and the suites.
    let session = 5 + 4 + 2 + 32;
    let suites = session + 1 + usize::from(hello[session]);
    let count = usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
    let methods = suites + 2 + count;
    assert_eq!(hello[methods..methods + 2], [1, 0]);
    hello.splice(methods..methods + 2, [2, 1, 0]);
    // One byte more, in the record and in the message.
    hello[4] += 1;
    hello[8] += 1;
    hello
}

#[test]
fn compression_is_never_agreed_on() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let mut stream = TcpStream::connect(proxy.address).unwrap();
    stream.write_all(&hello_with_compression()).unwrap();
    let mut answer = [0; 256];
    stream.read_exact(&mut answer[..44]).unwrap();
    // A ServerHello in a record of the handshake.
    assert_eq!((answer[0], answer[5]), (22, 2));
    let session = usize::from(answer[43]);
    stream.read_exact(&mut answer[44..session + 47]).unwrap();
    assert_eq!(answer[session + 46], 0);
}
