//! Plain listeners that send their clients to https.

use crate::support::tls::Identity;
use crate::support::{Origin, Proxy, socket_path};

/// A proxy with a plain listener in front of an origin, and a TLS listener on the usual port as seen from
/// outside.
fn proxy(origin: &Origin, name: &str, flags: &[&str]) -> Proxy {
    let files = Identity::localhost().files();
    let tls = format!("unix:{}", socket_path(name).display());
    let ours =
        ["--redirect-https", "--listen-tls", &tls, "--cert", &files.cert, "--key", &files.key];
    Proxy::before(&[origin], &[&ours, flags].concat())
}

#[test]
fn a_plain_request_is_sent_to_the_same_target_on_https() {
    let origin = Origin::start(|_| panic!("nothing may be forwarded"));
    let proxy = proxy(&origin, "redirect-target", &[]);
    let mut client = proxy.client();
    for (head, expected) in [
        ("GET /a?b=c HTTP/1.1\r\nHost: a.example:8080", "https://a.example/a?b=c"),
        ("POST //evil/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0", "https://a//evil/"),
    ] {
        let answer = client.ask(format!("{head}\r\n\r\n"));
        assert_eq!((answer.status, answer.field("location")), (308, Some(expected)));
    }
}

#[test]
fn a_request_without_a_host_is_refused() {
    let origin = Origin::start(|_| panic!("nothing may be forwarded"));
    let proxy = proxy(&origin, "redirect-no-host", &[]);
    for head in ["GET / HTTP/1.0", "GET / HTTP/1.1\r\nHost:"] {
        let answer = proxy.ask(format!("{head}\r\n\r\n"));
        assert_eq!((answer.status, answer.field("location")), (400, None), "{head}");
    }
}

#[test]
fn challenges_and_what_came_over_https_are_forwarded() {
    let origin = Origin::named("plain");
    let proxy = proxy(&origin, "redirect-exempt", &["--trusted", "127.0.0.0/8"]);
    let challenge = "GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(proxy.ask(challenge).status, 200);
    let outside = "GET /.well-known/acme-challenge/../x HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(proxy.ask(outside).status, 308);
    let proto = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n";
    assert_eq!(proxy.ask(proto).status, 200);
}
