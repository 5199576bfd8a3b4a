//! TLS to endpoints: whose certificates are taken, and what is said of those that are not.

use std::io::Read;

use rustls::version::{TLS12, TLS13};

use crate::support::origin::ok;
use crate::support::tls::{Authority, Identity, TlsOrigin, TlsServer, Validity};
use crate::support::{Admin, Origin, Proxy, Response, eventually};

/// The flag for the roots that the tests share.
pub fn ca() -> String {
    format!("--upstream-ca={}", Authority::shared().file())
}

/// The flag for one endpoint behind `/`.
pub fn to(origin: &TlsOrigin) -> String {
    format!("--route=/={}", origin.endpoint())
}

/// An origin that answers with `hello`.
pub fn showing(identity: &Identity) -> TlsOrigin {
    TlsOrigin::answering(&TlsServer::showing(identity), ok("hello"))
}

/// The response of an origin to one request, with these flags beside its route.
fn asked(origin: &TlsOrigin, flags: &[&str]) -> Response {
    Proxy::start(&[&[&*to(origin)], flags].concat()).get("/")
}

#[test]
fn an_endpoint_whose_certificate_is_bad_is_ejected_and_the_reason_is_said_everywhere() {
    let names = &["127.0.0.1"];
    let authority = Authority::shared();
    for (identity, reason, phrase, detail) in [
        (
            authority.issue_valid(names, Validity::Expired),
            "expired",
            "certificate has expired",
            ": valid until 20",
        ),
        (
            authority.issue_valid(names, Validity::NotYet),
            "not_yet_valid",
            "certificate is not valid yet",
            ": valid from 20",
        ),
        (
            authority.issue(&["a.example", "*.b.example", "192.0.2.1"]),
            "name_mismatch",
            "certificate is for another name",
            ": expected 127.0.0.1, but it is for a.example, *.b.example, 192.0.2.1",
        ),
        (Authority::self_signed(names), "self_signed", "certificate is self-signed", ""),
        (
            Authority::new("Another").issue(names),
            "unknown_issuer",
            "certificate is from an unknown issuer",
            "",
        ),
    ] {
        let origin = showing(&identity);
        let admin = Admin::start(&[&to(&origin), &ca(), "--max-fails", "2"]);
        let ask = || admin.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answers = [ask(), ask()];
        for answer in answers {
            assert_eq!(
                (answer.status, answer.text()),
                (502, format!("502 Bad Gateway: {phrase}\n"))
            );
        }
        let endpoint = admin.endpoint(0);
        let what = endpoint["last_failures"][0]["what"].as_str().unwrap();
        assert!(what.starts_with(&format!("connect: {phrase}{detail}")), "{what}");
        assert_eq!(endpoint["state"], "ejected");
        for logged in ["failed: ", "(ejection 1 in a row): "] {
            let process = &admin.process;
            eventually("it is logged", || process.says(logged));
            assert!(process.says(&format!("{phrase} (UN){detail}")), "{phrase}");
        }
        let failures = format!("evener_upstream_handshakes_failed_total{{reason=\"{reason}\"}}");
        assert_eq!(admin.metric(&failures), 2);
    }
}

/// It accepts connections: a check that only connected would take it back again and again.
#[test]
fn a_check_by_connecting_shakes_hands() {
    let origin = showing(&Authority::self_signed(&["127.0.0.1"]));
    let flags = [&*to(&origin), &ca(), "--check", "tcp", "--check-interval", "100ms"];
    let admin = Admin::start(&flags);
    eventually("it is down", || admin.endpoint(0)["state"] == "down");
    let failures = &admin.endpoint(0)["last_failures"];
    assert_eq!(failures[0]["what"], "check, connect: certificate is self-signed");
}

#[test]
fn without_verification_any_certificate_will_do_and_that_is_said() {
    let origin = showing(&Authority::self_signed(&["other.example"]));
    let admin = Admin::start(&[&to(&origin), "--upstream-insecure"]);
    admin.client().get("/");
    assert_eq!(admin.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "hello");
    assert!(admin.process.says("/: certificates of endpoints are NOT verified"));
    assert_eq!(admin.endpoint(0)["tls"]["verified"], false);
    assert!(admin.get("/").text().contains("not verified"));
}

#[test]
fn an_endpoint_is_verified_by_its_address_without_sni() {
    let origin = showing(Identity::localhost());
    let proxy = Proxy::start(&[&to(&origin), &ca()]);
    assert_eq!(proxy.get("/").text(), "hello");
    let handshake = origin.handshakes().remove(0).unwrap();
    assert_eq!((handshake.sni, handshake.alpn), (None, None));
}

#[test]
fn a_name_is_asked_for_and_verified_instead() {
    let server = TlsServer::showing(&Authority::shared().issue(&["one.one.one.one"]));
    let server = server.alpn(&["h2", "http/1.1"]);
    let origins = [(); 2].map(|()| TlsOrigin::answering(&server, ok("hello")));
    let route = format!("/={},{}", origins[0].endpoint(), origins[1].endpoint());
    let name = "one.one.one.one";
    let words = ["--route", &route, "--upstream-sni", name, "--host-header", name, &ca()];
    let proxy = Proxy::start(&words);
    for origin in &origins {
        assert_eq!(proxy.get("/").text(), "hello");
        let handshake = origin.handshakes().remove(0).unwrap();
        assert_eq!(handshake.sni.as_deref(), Some(name));
        assert_eq!(handshake.alpn.as_deref(), Some("http/1.1"));
        assert!(origin.heads()[0].contains("\r\nHost: one.one.one.one\r\n"));
    }
    let other = [&*to(&origins[0]), "--upstream-sni=other.example", &ca()].map(str::to_owned);
    let answer = Proxy::start(&other.each_ref().map(|word| &**word)).get("/");
    assert_eq!(answer.text(), "502 Bad Gateway: certificate is for another name\n");
}

#[test]
fn both_versions_are_spoken() {
    for version in [&TLS12, &TLS13] {
        let server = TlsServer::showing(Identity::localhost()).versions(&[version]);
        let origin = TlsOrigin::answering(&server, ok("hello"));
        assert_eq!(asked(&origin, &[&ca()]).text(), "hello");
        assert_eq!(origin.handshakes()[0].as_ref().unwrap().version, version.version);
    }
}

#[test]
fn an_endpoint_that_asks_for_a_certificate_gets_it() {
    let clients = Authority::new("Clients");
    let client = clients.client("evener");
    let files = client.files();
    let (cert, key) =
        (format!("--upstream-cert={}", files.cert), format!("--upstream-key={}", files.key));
    for version in [&TLS12, &TLS13] {
        let server = TlsServer::showing(Identity::localhost()).versions(&[version]);
        let origin = TlsOrigin::answering(&server.requiring(&clients), ok("hello"));
        assert_eq!(asked(&origin, &[&ca(), &cert, &key]).text(), "hello");
        let handshake = origin.handshakes().remove(0).unwrap();
        assert_eq!(&handshake.peer[0], client.certificate());
    }
}

#[test]
fn an_alert_is_named() {
    let clients = Authority::new("Clients");
    let server = || TlsServer::showing(Identity::localhost());
    let rows = [
        (server().requiring(&clients).versions(&[&TLS13]), "certificate_required"),
        (server().requiring(&clients).versions(&[&TLS12]), "certificate_required"),
        (server().alpn(&["h2"]), "no_application_protocol"),
    ];
    for (server, alert) in rows {
        let origin = TlsOrigin::answering(&server, ok("hello"));
        let answer = asked(&origin, &[&ca()]);
        assert_eq!(answer.text(), format!("502 Bad Gateway: peer sent TLS alert {alert}\n"));
    }
}

#[test]
fn an_endpoint_without_tls_is_a_502_that_says_so() {
    let origin = Origin::start(|mut conn| {
        let _ = conn.bytes(5);
        conn.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        conn.rest();
    });
    let proxy = Proxy::start(&[&format!("--route=/=https://{}", origin.address), &ca()]);
    assert_eq!(proxy.get("/").text(), "502 Bad Gateway: TLS was answered with something else\n");
}

#[test]
fn an_endpoint_that_closes_in_its_handshake_is_left_for_another_one() {
    let closing = Origin::start(|mut conn| {
        let _ = conn.bytes(5);
        conn.close();
    });
    let good = showing(Identity::localhost());
    let bad = format!("https://{}", closing.address);
    let proxy = Proxy::start(&[&format!("--route=/={bad},{}", good.endpoint()), &ca()]);
    for _ in 0..2 {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(proxy.ask(post).text(), "hello");
    }
    let proxy = Proxy::start(&[&format!("--route=/={bad}"), &ca()]);
    let text = "502 Bad Gateway: connection was closed during the TLS handshake\n";
    assert_eq!(proxy.get("/").text(), text);
}

#[test]
fn an_endpoint_that_is_silent_in_its_handshake_is_a_504_in_time() {
    let origin = Origin::start(|mut conn| {
        conn.rest();
    });
    let route = format!("--route=/=https://{}", origin.address);
    let proxy = Proxy::start(&[&route, &ca(), "--connect-timeout=300ms"]);
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status, &*answer.text()),
        (504, "504 Gateway Timeout: TLS handshake timed out\n")
    );
}

#[test]
fn the_proxy_header_comes_before_the_handshake() {
    let config = TlsServer::showing(Identity::localhost()).config();
    let origin = Origin::start(move |mut conn| {
        let mut header = [0; 28];
        conn.stream.read_exact(&mut header).unwrap();
        assert_eq!(header[..12], *b"\r\n\r\n\0\r\nQUIT\n");
        let Ok(mut conn) = conn.tls(&config) else { return };
        while conn.head().is_some() {
            conn.send(ok("hello"));
        }
    });
    let route = format!("--route=/=https://{},proxy=v2", origin.address);
    assert_eq!(Proxy::start(&[&route, &ca()]).get("/").text(), "hello");
}

#[test]
fn a_self_signed_certificate_is_trusted_if_it_is_given_as_a_root() {
    let identity = Authority::self_signed(&["127.0.0.1"]);
    let files = identity.files();
    let origin = showing(&identity);
    assert_eq!(asked(&origin, &[&format!("--upstream-ca={}", files.cert)]).text(), "hello");
}
