//! Jobs of docs/jobs.md that are about answers.

use crate::jobs::{Job, request_lines};
use crate::support::tls::{Authority, TlsOptions};
use crate::support::{Origin, eventually};

const APP: &str = "HTTP/1.1 200 OK\r\nServer: app/1\r\nX-Powered-By: PHP\r\nContent-Length: 3\r\n\
                   Access-Control-Allow-Origin: *\r\n\r\napp";

#[test]
fn http_to_https() {
    let app = Origin::named("app");
    let job = Job::start("http_to_https", &[app.address]);
    let tls = job.addresses[1];
    let answer = job.ask("POST /a?b=c\nContent-Length: 0");
    let to = format!("https://example.com:{}/a?b=c", tls.port());
    assert_eq!((answer.status, answer.field("location")), (308, Some(&*to)));
    assert!(app.heads().is_empty());
    assert_eq!(job.ask("GET /.well-known/acme-challenge/x").text(), "app");
    let mut client = TlsOptions::trusting(Authority::shared()).connect(tls, "example.com");
    client.get("/a");
    assert_eq!(client.response().text(), "app");
    assert!(app.heads()[1].contains("\r\nX-Forwarded-Proto: https\r\n"), "{:?}", app.heads());
}

#[test]
fn www_to_apex() {
    let app = Origin::named("app");
    let job = Job::start("www_to_apex", &[app.address]);
    let answer = job.ask("GET /a?b=c\nHost: www.example.com");
    assert_eq!((answer.status, answer.field("location")), (301, Some("http://example.com/a?b=c")));
    assert_eq!(job.ask("GET /\nHost: example.com").text(), "app");
    assert_eq!(job.ask("GET /\nHost: other.example.com").status, 404);
    assert_eq!(app.heads().len(), 1);
}

#[test]
fn maintenance_page() {
    let app = Origin::named("app");
    let job = Job::for_clients("maintenance_page", &[app.address]);
    for request in ["GET /a", "GET /a\nX-Forwarded-For: 192.0.3.1"] {
        let answer = job.ask(request);
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("3600")));
        assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
        assert!(answer.text().ends_with("<h1>We are back at noon</h1>\n"), "{}", answer.text());
    }
    assert_eq!(job.ask("GET /a\nX-Forwarded-For: 192.0.2.1").text(), "app");
    assert_eq!(app.heads().len(), 1);
}

#[test]
fn cors_preflight() {
    let app = Origin::answering(APP);
    let job = Job::start("cors_preflight", &[app.address]);
    let origin = Some("https://app.example.com");
    let answer = job
        .ask("OPTIONS /api/a\nOrigin: https://app.example.com\nAccess-Control-Request-Method: PUT");
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (204, origin));
    for (name, value) in [
        ("access-control-allow-methods", "GET, POST, PUT, DELETE"),
        ("access-control-allow-headers", "Authorization, Content-Type"),
        ("access-control-max-age", "7200"),
    ] {
        assert_eq!(answer.field(name), Some(value));
    }
    assert!(app.heads().is_empty());
    let answer = job.ask("PUT /api/a\nOrigin: https://app.example.com\nContent-Length: 0");
    assert_eq!(answer.head.matches("Access-Control-Allow-Origin").count(), 1, "{}", answer.head);
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (200, origin));
    job.ask("OPTIONS /api/a");
    assert_eq!(request_lines(&app.heads()), ["PUT /api/a", "OPTIONS /api/a"]);
    app.stop();
    let answer = job.ask("GET /api/a");
    assert!(answer.status >= 502 && answer.field("access-control-allow-origin") == origin);
}

#[test]
fn security_headers() {
    let app = Origin::answering(APP);
    let job = Job::start("security_headers", &[app.address]);
    let has_all = |status: u16| {
        let answer = job.ask("GET /");
        for (name, value) in [
            ("strict-transport-security", "max-age=300; includeSubDomains"),
            ("content-security-policy", "default-src 'self'"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
        ] {
            assert_eq!(answer.field(name), Some(value), "{}", answer.head);
        }
        assert_eq!((answer.field("server"), answer.field("x-powered-by")), (None, None));
        assert_eq!(answer.status / 100, status);
    };
    has_all(2);
    app.stop();
    has_all(5);
}

#[test]
fn health_answer() {
    let app = Origin::named("app");
    let job = Job::start("health_answer", &[app.address]);
    assert_eq!(job.ask("GET /healthz/x").text(), "app");
    app.stop();
    let answer = job.ask("GET /healthz");
    assert_eq!((answer.status, &*answer.text()), (200, "ok\n"));
    assert!(job.ask("GET /").status >= 502);
    assert_eq!(request_lines(&app.heads()), ["GET /healthz/x"]);
}

#[test]
fn custom_503() {
    let app = Origin::answering("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let job = Job::start("custom_503", &[app.address]);
    let own = job.ask("GET /");
    assert_eq!((own.status, &*own.text()), (503, "busy"));
    app.stop();
    eventually("it is known to be down", || {
        let answer = job.ask("GET /");
        assert_eq!(answer.text(), format!("<h1>Sorry: {}</h1>", answer.status));
        assert_eq!(answer.field("content-type"), Some("text/html"));
        answer.status == 503
    });
    assert!(job.ask("GET /\nBad header").text().starts_with("400 "));
}
