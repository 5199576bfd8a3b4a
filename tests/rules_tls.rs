//! What rules tell of a client's TLS: version, server name and certificate.

use hyper::http::Request;

use crate::configuration::read;
use crate::support::h2::{Body, H2Client};
use crate::support::library::run;
use crate::support::tls::{Authority, Identity, TlsOptions};
use crate::support::{Origin, Proxy, Response};

/// A balancer in plain text and over TLS, where client certificates are optional, and its origin.
fn before() -> (Origin, Proxy) {
    let origin = Origin::named("o");
    let (files, ca) = (Identity::localhost().files(), Authority::shared().file());
    let said = "'<{tls_version}|{sni}|{client_cert_subject}>'";
    let text = format!(
        "listen: 127.0.0.1:0\nlisten_tls: 127.0.0.1:0\nthreads: 1\ncheck: off\nlog_level: off\n\
         certificates: [{{cert: '{}', key: '{}'}}]\nclient_ca: '{ca}'\nclient_auth: optional\n\
         request_headers: {{set: {{X-Tls: {said}}}}}\nresponse_headers: {{set: {{X-Tls: {said}}}}}\n\
         routes: [{{prefix: /, endpoints: ['{}']}}]\n",
        files.cert, files.key, origin.address,
    );
    let proxy = Proxy::configured(read(&text, &[]).unwrap());
    (origin, proxy)
}

/// What the endpoint was told with its last request.
fn told(origin: &Origin) -> String {
    let head = origin.heads().pop().unwrap();
    let said = head.lines().find_map(|line| line.strip_prefix("X-Tls: "));
    said.unwrap_or_else(|| panic!("{head}")).to_owned()
}

fn options() -> TlsOptions {
    TlsOptions::trusting(Authority::shared())
}

const TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

#[test]
fn they_are_told_over_http1() {
    let (origin, proxy) = before();
    let address = *proxy.addresses().last().unwrap();
    let ann = Authority::shared().client("ann");
    for (options, name, expected) in [
        (options(), "localhost", "<1.3|localhost|>"),
        (options().versions(TLS12), "localhost", "<1.2|localhost|>"),
        (options().identity(&ann), "localhost", "<1.3|localhost|CN=ann>"),
        (options().identity(&ann).versions(TLS12), "127.0.0.1", "<1.2||CN=ann>"),
    ] {
        let mut client = options.connect(address, name);
        for _ in 0..2 {
            client.get("/");
            let answer: Response = client.response();
            assert_eq!((&*told(&origin), answer.field("x-tls")), (expected, Some(expected)));
        }
    }
}

#[test]
fn they_are_told_over_http2() {
    let (origin, proxy) = before();
    let address = *proxy.addresses().last().unwrap();
    let ann = Authority::shared().client("ann");
    for (options, expected) in
        [(options(), "<1.3|localhost|>"), (options().identity(&ann), "<1.3|localhost|CN=ann>")]
    {
        run(async {
            let client = H2Client::connect_tls(address, options, "localhost").await;
            for _ in 0..2 {
                let request = Request::get("https://localhost/").body(()).unwrap();
                let answer = client.ask(request, Body::default()).await.unwrap();
                assert_eq!((&*told(&origin), answer.field("x-tls")), (expected, Some(expected)));
            }
        });
    }
}

#[test]
fn in_plain_text_they_are_empty() {
    let (origin, proxy) = before();
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: localhost\r\nX-Tls: mine\r\n\r\n");
    assert_eq!((&*told(&origin), answer.field("x-tls")), ("<||>", Some("<||>")));
    let answer = run(async { H2Client::connect(proxy.address).await.get("/").await });
    assert_eq!((&*told(&origin), answer.field("x-tls")), ("<||>", Some("<||>")));
}
