//! Endpoints with another protocol: what has to be agreed on, and what is not taken for the other.

use std::num::NonZeroU16;
use std::sync::Arc;

use evener::address::Address;
use evener::net::tls::client::UpstreamTls;
use evener::upstream::endpoint::{Endpoint, Scheme};
use rustls::version::{TLS12, TLS13};

use crate::support::h2::{Frame, RawOrigin, error, kind, setting};
use crate::support::origin::ok;
use crate::support::tls::{Identity, TlsOrigin, TlsServer};
use crate::support::{Client, Conn, Origin, Proxy, Rendezvous};

fn endpoint(origin: &Origin, scheme: Scheme) -> Endpoint {
    let mut endpoint = Endpoint::new(Address::Tcp(origin.address), NonZeroU16::MIN, 1);
    endpoint.scheme = scheme;
    if scheme.is_tls() {
        let tls = UpstreamTls::new(None, None, "").unwrap();
        let name = origin.address.ip().into();
        endpoint.tls = Some(Arc::new(tls.to_endpoint(name, scheme.protocol())));
    }
    endpoint
}

/// A proxy whose only endpoint is this one.
fn before(origin: &Origin, scheme: Scheme) -> Proxy {
    let mut proxy = Proxy::before(&[origin], &["--check", "off"]);
    proxy.replace("/", vec![endpoint(origin, scheme)]).unwrap();
    proxy
}

#[test]
fn an_endpoint_over_tls_that_does_not_accept_http2_is_a_502_that_says_so() {
    let rows = [
        (&[][..], "no application protocol in common"),
        (&["http/1.1"], "peer sent TLS alert no_application_protocol"),
    ];
    for (offered, phrase) in rows {
        for version in [&TLS12, &TLS13] {
            let server = TlsServer::showing(Identity::localhost()).versions(&[version]);
            let origin = TlsOrigin::answering(&server.alpn(offered), ok("hello"));
            let proxy = before(&origin, Scheme::H2);
            let answer = proxy.get("/");
            assert_eq!(answer.status, 502);
            assert_eq!(answer.text(), format!("502 Bad Gateway: {phrase}\n"));
            let failures = proxy.plan().upstreams[0].endpoints[0].record.failures.last();
            let detail = "HTTP/2 (h2) was not accepted: write https:// for HTTP/1.1";
            assert_eq!(failures[0].to_string(), format!("connect: {phrase}: {detail}"));
            let handshakes = |all: &evener::metrics::Metrics| all.upstream_handshakes.full.get();
            assert_eq!((proxy.metrics(handshakes), origin.heads().len()), (0, 0));
        }
    }
}

#[test]
fn an_idle_connection_is_not_used_for_another_protocol() {
    let (origin, ended) = Origin::left("hello");
    let mut proxy = Proxy::before(&[&origin], &["--check", "off"]);
    assert_eq!(proxy.get("/").text(), "hello");
    proxy.replace("/", vec![endpoint(&origin, Scheme::H2c)]).unwrap();
    ended.wait();
    assert_eq!(proxy.attempts(0), 1);
}

#[test]
fn an_endpoint_is_named_with_its_scheme() {
    let shown = |scheme| {
        let mut endpoint = Endpoint::new(Address::Unix("/a".into()), NonZeroU16::MIN, 1);
        endpoint.scheme = scheme;
        endpoint.to_string()
    };
    let schemes = [Scheme::Http, Scheme::Https, Scheme::H2c, Scheme::H2];
    let expected = ["unix:/a", "https://unix:/a", "h2c://unix:/a", "h2://unix:/a"];
    assert_eq!(schemes.map(shown), expected);
}

/// What its chunks are framed as for one protocol would be something else in the other.
#[test]
fn a_body_that_was_on_its_way_over_http_2_is_never_sent_on_over_http_1_1() {
    let turns = Rendezvous::default();
    let (first, second) = (turns.clone(), turns.clone());
    let refusing = RawOrigin::start_with(&[(setting::INITIAL_WINDOW_SIZE, 1)], move |mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        first.wait();
        peer.find(|frame| frame.kind == kind::DATA);
        peer.send(Frame::reset(stream, error::REFUSED_STREAM));
        peer.request();
    });
    let other = Origin::start(move |mut conn| {
        conn.head();
        second.wait();
        conn.chunks();
        conn.send(ok("b"));
    });
    let route = format!("/={},{}", refusing.endpoint(), other.address);
    let proxy = Proxy::start(&["--route", &route, "--check", "off"]);
    let ask = || {
        let mut client = Client::connect(proxy.address);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        turns.wait();
        client.send("3\r\nabc\r\n0\r\n\r\n");
        client.response().status
    };
    let mut statuses = [ask(), ask()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
}

#[test]
fn an_endpoint_of_http_2_without_h2c_is_a_502_that_says_what_to_write() {
    // Whether it speaks before it is asked, or after.
    for waits in [false, true] {
        let origin = Origin::start(move |mut conn: Conn| {
            if waits {
                conn.head();
            }
            conn.send(Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, 9)]).encode());
            conn.rest();
        });
        let answer = before(&origin, Scheme::Http).get("/");
        let text = "502 Bad Gateway: endpoint speaks HTTP/2: write h2c:// before its address\n";
        assert_eq!((answer.status, answer.text().as_str()), (502, text));
    }
}
