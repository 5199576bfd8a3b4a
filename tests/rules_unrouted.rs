//! What headers of answers say of requests whose route is not asked: no route takes them, or they are refused or
//! answered before.

use std::fs;

use hyper::http::Request;

use evener::LocalReply;
use evener::filters::Verdict;

use crate::configuration::read;
use crate::support::filters::Script;
use crate::support::h2::{Body, H2Client};
use crate::support::library::run;
use crate::support::tls::{Authority, Identity, TlsOptions};
use crate::support::{Proxy, Response, temporary};

/// A file with these keys, and headers that tell everything.
fn file(keys: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nthreads: 1\nlog_level: off\nresponse_headers: {{set: {{X-Said: \
         '{{client}}|{{scheme}}|{{method}}|{{host}}|{{target}}|{{path}}|{{query}}|{{route}}|{{tls_version}}', \
         X-Id: '{{request_id}}'}}}}\nroutes: [{{prefix: /app, methods: [GET], respond: {{status: 204}}}}]\n{keys}"
    )
}

fn proxy(keys: &str) -> Proxy {
    Proxy::configured(read(&file(keys), &[]).unwrap())
}

/// The status, and what the headers say.
fn said(answer: &Response) -> (u16, &str) {
    let id = answer.field("x-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", answer.head);
    (answer.status, answer.field("x-said").unwrap())
}

#[test]
fn where_no_route_takes_a_request_it_is_told_as_it_was() {
    let proxy = proxy("");
    for (line, expected) in [
        ("GET /a/../b?c", (404, "127.0.0.1|http|GET|a.example|/a/../b?c|/b|c||")),
        ("DELETE /app", (405, "127.0.0.1|http|DELETE|a.example|/app|/app|||")),
        ("GET /app", (204, "127.0.0.1|http|GET|a.example|/app|/app||/app GET|")),
    ] {
        let mut client = proxy.client();
        client.send(format!("{line} HTTP/1.1\r\nHost: A.example:80\r\n\r\n"));
        assert_eq!(said(&client.response()), expected);
    }
    let answer = run(async { H2Client::connect(proxy.address).await.get("/x?y").await });
    assert_eq!(answer.field("x-said"), Some("127.0.0.1|http|GET|test|/x?y|/x|y||"));
}

#[test]
fn where_a_request_is_refused_it_is_told_as_far_as_it_was_read() {
    let proxy = proxy("max_fields: 2\n");
    for (request, expected) in [
        ("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", (400, "127.0.0.1|http|GET|a|/../x||||")),
        (
            "POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: odd\r\n\r\n",
            (501, "127.0.0.1|http|POST|a|/app|/app|||"),
        ),
        ("GET / HTTP/1.1\r\nHost a\r\n\r\n", (400, "127.0.0.1|http|||||||")),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nB: c\r\n\r\n", (431, "127.0.0.1|http|||||||")),
        ("GET / HTTP/2.5\r\nHost: a\r\n\r\n", (505, "127.0.0.1|http|||||||")),
    ] {
        assert_eq!(said(&proxy.ask(request)), expected, "{request}");
    }
    let answer = run(async { H2Client::connect(proxy.address).await.get("/../x").await });
    assert_eq!(answer.field("x-said"), Some("127.0.0.1|http|GET|test|/../x||||"));
}

#[test]
fn where_something_else_answers_first_its_route_is_told_too() {
    let files = Identity::localhost().files();
    let keys = format!(
        "redirect_https: true\nlisten_tls: 127.0.0.1:0\ncertificates: [{{cert: '{}', key: '{}'}}]\n",
        files.cert, files.key
    );
    let proxy = proxy(&keys);
    let answer = proxy.ask("GET /app?b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(said(&answer), (308, "127.0.0.1|http|GET|localhost|/app?b|/app|b|/app GET|"));
    run(async {
        let options = TlsOptions::trusting(Authority::shared());
        let address = *proxy.addresses().last().unwrap();
        let client = H2Client::connect_tls(address, options, "localhost").await;
        let request = Request::get("https://localhost/no").body(()).unwrap();
        let answer = client.ask(request, Body::default()).await.unwrap();
        let said = "127.0.0.1|https|GET|localhost|/no|/no|||1.3";
        assert_eq!((answer.status.as_u16(), answer.field("x-said")), (404, Some(said)));
    });
    let answers = Script {
        request: Some(Box::new(|_, _| Verdict::reply(LocalReply::new(403, "not you")))),
        ..Script::default()
    };
    let proxy = Proxy::configured_with(read(&file(""), &[]).unwrap(), answers);
    let answer = proxy.ask("GET /app HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(said(&answer), (403, "127.0.0.1|http|GET|a|/app|/app||/app GET|"));
}

#[test]
fn a_header_and_an_error_page_tell_the_same_request_id() {
    let page = temporary("page.txt");
    fs::write(&page, "{request_id}").unwrap();
    let proxy = proxy(&format!("error_pages: {{4xx: '{}'}}\n", page.display()));
    for request in ["GET /no HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost a\r\n\r\n"] {
        let answer = proxy.ask(request);
        assert_eq!(answer.field("x-id"), Some(&*answer.text()), "{request}");
    }
    fs::remove_file(page).unwrap();
}
