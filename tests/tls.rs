//! TLS with clients: what they are served, what endpoints are told of it, and how connections end.

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use crate::support::logged::lines;
use crate::support::origin::ok_head;
use crate::support::tls::{Authority, TlsOptions, TlsProxy, Validity};
use crate::support::{Client, Origin, Process, eventually, filler, temporary};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn options() -> TlsOptions {
    TlsOptions::trusting(Authority::shared())
}

fn hex_digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap()
}

#[test]
fn requests_are_served_over_both_versions() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    for (version, expected) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let mut client = proxy.client_with(&options().versions(&[version]));
        assert_eq!(client.handshake().version, expected);
        for _ in 0..3 {
            assert_eq!(client.ask(GET).text(), "hello");
        }
    }
    assert_eq!(proxy.count(|all| &all.client_handshakes.full), 2);
    assert_eq!(proxy.count(|all| &all.client_handshakes.tls12), 1);
}

#[test]
fn endpoints_are_told_of_https() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\n\r\n";
    assert_eq!(proxy.client().ask(request).status, 200);
    let head = origin.heads().remove(0);
    assert!(head.contains("\r\nX-Forwarded-Proto: https\r\n"), "{head}");
    let proxy = TlsProxy::before(&[&origin], &["--trusted", "127.0.0.1"]);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=192.0.2.1\r\n\r\n";
    assert_eq!(proxy.client().ask(request).status, 200);
    let head = origin.heads().remove(1);
    let expected = "\r\nForwarded: for=192.0.2.1, for=127.0.0.1;proto=https;host=a\r\n";
    assert!(head.contains(expected), "{head}");
}

#[test]
fn bodies_pass_both_ways_unchanged() {
    let sent = filler(3_000_000);
    let expected = sent.clone();
    let origin = Origin::start(move |mut conn| {
        conn.head();
        assert!(conn.bytes(expected.len()).as_deref() == Some(&expected));
        conn.send(ok_head(expected.len()));
        conn.send(&expected);
    });
    for version in [&TLS12, &TLS13] {
        let proxy = TlsProxy::before(&[&origin], &[]);
        let mut client = proxy.client_with(&options().versions(&[version]));
        client
            .send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len()));
        client.send(&sent);
        assert!(client.response().body == sent);
    }
}

#[test]
fn a_session_is_taken_up_again() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &["--threads", "2"]);
    for version in [&TLS12, &TLS13] {
        let options = options().versions(&[version]).resuming();
        let resumed = [(); 10].map(|()| {
            let mut client = proxy.client_with(&options);
            assert_eq!(client.ask(GET).status, 200);
            client.handshake().resumed
        });
        assert_eq!(resumed.iter().filter(|resumed| **resumed).count(), 9, "{resumed:?}");
    }
    assert_eq!(proxy.count(|all| &all.client_handshakes.resumed), 18);
}

#[test]
fn the_access_log_says_what_was_agreed_on() {
    let origin = Origin::named("hello");
    let path = temporary("access.log");
    let log = path.to_str().unwrap();
    let flags = ["--access-log", log, "--access-log-format", "json"];
    let proxy = TlsProxy::before(&[&origin], &flags);
    let mut client = options().resuming().connect(proxy.address, "LocalHost");
    client.ask(GET);
    let line = lines(&path, 1).remove(0);
    assert_eq!(line["tls"], json!("TLSv1.3/TLS_AES_256_GCM_SHA384/localhost/full"));
}

#[test]
fn plain_http_is_told_that_this_is_https() {
    let origin = Origin::named("hello");
    let proxy = TlsProxy::before(&[&origin], &[]);
    for request in [GET, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut client = Client::connect(proxy.address);
        let response = client.ask(request);
        assert_eq!(response.status, 400);
        assert!(response.text().contains("use https://"), "{}", response.text());
        assert!(client.ends_cleanly());
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn the_certificate_of_a_client_is_passed_on() {
    let (origin, authority) = (Origin::named("hello"), Authority::new("Clients"));
    let ca = authority.file();
    let proxy = TlsProxy::before(&[&origin], &["--client-ca", &ca]);
    let alice = authority.client("alice");
    let mut client = proxy.client_with(&options().identity(&alice));
    client.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Subject: CN=root\r\n\r\n");
    let head = origin.heads().remove(0);
    assert_eq!(head.matches("X-Client-Cert").count(), 2, "{head}");
    assert!(head.contains("\r\nX-Client-Cert-Subject: CN=alice\r\n"), "{head}");
    let digest = ring::digest::digest(&ring::digest::SHA256, alice.certificate());
    let hex: String =
        digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect();
    assert!(head.contains(&format!("\r\nX-Client-Cert-SHA256: {hex}\r\n")), "{head}");
}

#[test]
fn nobody_can_forge_the_certificate_of_a_client() {
    let (origin, authority) = (Origin::named("hello"), Authority::new("Clients"));
    let ca = authority.file();
    let flags = ["--client-ca", &ca, "--client-auth", "optional", "--listen", "127.0.0.1:0"];
    let proxy = TlsProxy::before(&[&origin], &[&flags[..], &["--trusted", "127.0.0.1"]].concat());
    let names = [
        "X-Client-Cert-Subject",
        "x-client-cert-subject",
        "X_Client_Cert_Subject",
        "X-Client_Cert-SHA256",
        "X-CLIENT-CERT-SHA256",
        "x_client_cert_sha256",
        "X.Client.Cert.Subject",
        "X-Client-Cert!SHA256",
    ];
    let fields: String = names.map(|name| format!("{name}: CN=root\r\n")).concat();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(proxy.client().ask(&request).status, 200);
    assert_eq!(Client::connect(proxy.addresses()[0]).ask(&request).status, 200);
    for head in origin.heads() {
        let head = head.to_ascii_lowercase().replace(['_', '.', '!'], "-");
        assert!(!head.contains("x-client-cert"), "{head}");
    }
}

#[test]
fn a_client_without_a_good_certificate_is_refused() {
    let (origin, authority) = (Origin::named("hello"), Authority::new("Clients"));
    let ca = authority.file();
    let proxy = TlsProxy::before(&[&origin], &["--client-ca", &ca]);
    let (other, expired) = (
        Authority::new("Others").client("alice"),
        authority.client_valid("alice", Validity::Expired),
    );
    for version in [&TLS12, &TLS13] {
        let options = || options().versions(&[version]);
        for refused in [options(), options().identity(&other), options().identity(&expired)] {
            // With TLS 1.3 a client is told after its own part of the handshake.
            let told =
                refused.try_connect(proxy.address, "localhost").map(|mut client| client.error());
            assert!(!matches!(told, Ok(None)), "{told:?}");
        }
    }
    assert_eq!(origin.connections(), 0);
    let failed = |all: &evener::metrics::Metrics| {
        all.client_handshakes.failed.iter().map(evener::metrics::Counter::get).sum()
    };
    // A client may be told before that is counted.
    eventually("each is counted", || proxy.metrics(failed) == 6);
}

#[test]
fn a_client_that_speaks_tls_to_a_plain_listener_is_reported() {
    let process = Process::start(&["--listen", "127.0.0.1:0", "--route", "/=127.0.0.1:1"]);
    let mut client = Client::connect(process.address());
    client.send(options().hello("localhost"));
    assert_eq!(client.response().status, 400);
    assert_eq!(process.announces("which is for plain HTTP: "), "https");
}
