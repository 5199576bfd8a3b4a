//! TLS in the subcommands `origin` and `demo`.

use crate::support::Process;
use crate::support::h2::RawClient;
use crate::support::tls::{Authority, Identity, TlsOptions};

#[test]
fn the_origin_speaks_tls() {
    let files = Identity::localhost().files();
    let listen = ["origin", "--listen", "127.0.0.1:0", "--name", "o"];
    let words = [&listen[..], &["--cert", &files.cert, "--key", &files.key]].concat();
    let origin = Process::start(&words);
    let options = TlsOptions::trusting(Authority::shared()).alpn(&["http/1.1"]);
    let mut client = options.connect(origin.address(), "localhost");
    for size in [1, 100_000] {
        client.get(&format!("/?bytes={size}"));
        assert_eq!(client.response().text(), ".".repeat(size));
    }
    assert_eq!(client.handshake().alpn.as_deref(), Some("http/1.1"));
}

#[test]
fn the_origin_speaks_http2_over_tls() {
    let files = Identity::localhost().files();
    let words = ["origin", "--listen", "127.0.0.1:0", "--cert", &files.cert, "--key", &files.key];
    let origin = Process::start(&words);
    let options = TlsOptions::trusting(Authority::shared());
    let mut client = RawClient::connect_tls(origin.address(), options, "localhost");
    client.get(1, "/?bytes=9");
    assert_eq!(client.expect_answer(1, 200).text(), ".".repeat(9));
}

#[test]
fn a_key_of_the_origin_needs_a_certificate() {
    let (code, lines) = Process::start(&["origin", "--key", "key.pem"]).end();
    assert_eq!(code, Some(2));
    assert!(lines[0].contains("--cert"), "{lines:?}");
}
#[test]
fn the_demo_shows_https() {
    let demo =
        Process::start(&["demo", "--tls", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let address = demo.announces("balances on https://").parse().unwrap();
    let mut client = TlsOptions::unverified().connect(address, "localhost");
    client.get("/task");
    assert_eq!(client.response().text(), "task-1 /task\n");
    let certificate = client.certificate();
    let (_, certificate) = x509_parser::parse_x509_certificate(&certificate).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let names: Vec<_> = names.value.general_names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["DNSName(localhost)", "IPAddress(7f:00:00:01)"]);
    assert!(demo.says(&format!("curl -k https://{address}/auth")));
    demo.signal("INT");
    assert_eq!(demo.end().0, Some(0));
}
