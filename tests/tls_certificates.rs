//! Which certificate a client is shown, and what becomes of connections when it is replaced.

use crate::support::chain::launch;
use crate::support::tls::{Authority, Identity, TlsOptions, TlsProxy};
use crate::support::{Origin, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn the_name_that_a_client_asks_for_decides() {
    let authority = Authority::shared();
    let names: [&[&str]; 3] = [&["first.example"], &["*.a.example"], &["www.a.example"]];
    let identities = names.map(|names| authority.issue(names));
    let files = [0, 1, 2].map(|place: usize| identities[place].files());
    let mut words =
        vec!["--listen-tls", "127.0.0.1:0", "--route", "/=127.0.0.1:1", "--check", "off"];
    for file in &files {
        words.extend(["--cert", &file.cert, "--key", &file.key]);
    }
    let process = crate::support::Process::start(&words);
    let rows = [
        ("www.a.example", 2),
        ("WWW.A.example", 2),
        ("other.a.example", 1),
        ("deep.other.a.example", 0),
        ("unknown.test", 0),
        ("127.0.0.1", 0),
    ];
    for (name, expected) in rows {
        let client = TlsOptions::unverified().connect(process.address(), name);
        assert_eq!(client.certificate(), *identities[expected].certificate(), "{name}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_from_the_next_handshake_on() {
    let (origin, files) = (Origin::named("o"), Identity::localhost().files());
    let route = format!("--route=/={}", origin.address);
    let words = ["--listen-tls=127.0.0.1:0", "--cert", &files.cert, "--key", &files.key, &route];
    let process = launch(&words.map(str::to_owned), &["--watch-certificates", "20ms"]);
    let client = TlsOptions::trusting(Authority::shared());
    let mut open = client.connect(process.address(), "localhost");
    assert_eq!(open.ask(GET).text(), "o");
    let renewed = Authority::shared().issue(&["localhost"]);
    files.replace(&renewed);
    eventually("it is shown", || {
        let next = client.connect(process.address(), "localhost");
        next.certificate() == *renewed.certificate()
    });
    assert_eq!(open.ask(GET).text(), "o");
}

#[test]
fn plain_requests_are_sent_to_the_tls_listener_which_sends_them_nowhere() {
    let origin = Origin::named("o");
    let proxy = TlsProxy::before(&[&origin], &["--listen", "127.0.0.1:0", "--redirect-https"]);
    let sent = proxy.ask("GET /a HTTP/1.1\r\nHost: localhost:1\r\n\r\n");
    let expected = format!("https://localhost:{}/a", proxy.address.port());
    assert_eq!((sent.status, sent.field("location")), (308, Some(&*expected)));
    assert_eq!(proxy.get("/a").text(), "o");
}
