//! Jobs of docs/jobs.md that keep requests out.

use crate::jobs::{Job, request_lines};
use crate::support::origin::ok;
use crate::support::{Origin, Rendezvous, eventually, filler};

#[test]
fn api_key() {
    let key = "0f2d8c0e5b1a49b7";
    let app = Origin::named("app");
    let flags = ["--access-log", "-", "--access-log-format", "json"];
    let job = Job::with("api_key", &[app.address], &flags, &[("API_KEY", key)]);
    for headers in ["", "\nX-Api-Key: 0f2d8c0e5b1a49b", "\nX-Api-Key: *", "\nX-Api-Key: ${API_KEY}"]
    {
        let answer = job.ask(&format!("GET /api/a{headers}"));
        assert_eq!((answer.status, &*answer.text()), (401, "an API key is needed\n"));
        assert_eq!(answer.field("www-authenticate"), Some("ApiKey"));
    }
    assert_eq!(job.ask(&format!("GET /api/a\nx-api-key: {key}")).text(), "app");
    let heads = app.heads();
    assert_eq!(request_lines(&heads), ["GET /api/a"]);
    assert!(!heads[0].contains(key), "{heads:?}");
    eventually("the route is logged", || job.process.says("\"/api X-Api-Key=${API_KEY}\""));
    assert!(!job.process.says(key));
    let (code, lines) = Job::refused("api_key", &[app.address]);
    assert_eq!(code, Some(2));
    assert!(lines[0].contains("environment variable API_KEY is not set"), "{lines:?}");
}

#[test]
fn rate_limit() {
    let app = Origin::named("app");
    let job = Job::for_clients("rate_limit", &[app.address]);
    let login = |client: &str| job.ask(&format!("GET /login\nX-Forwarded-For: {client}"));
    assert!((0..5).all(|_| login("192.0.2.1").status == 200));
    // Each 12 seconds admit one more.
    let mut refused = None;
    eventually("the limit is passed", || {
        let answer = login("192.0.2.1");
        let is_refused = answer.status == 429;
        refused = is_refused.then_some(answer);
        is_refused
    });
    let seconds: u32 = refused.unwrap().field("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&seconds), "{seconds}");
    assert_eq!(login("192.0.2.2").status, 200);
    let mut clients: Vec<_> = (0..20).map(|_| job.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    }
    assert!(clients.iter_mut().all(|client| client.response().status == 200));
    eventually("the other limit is passed", || {
        job.ask("GET /\nX-Forwarded-For: 192.0.2.1").status == 429
    });
}

#[test]
fn block_methods() {
    let app = Origin::named("app");
    let job = Job::start("block_methods", &[app.address]);
    for request in ["GET /", "HEAD /", "POST /\nContent-Length: 0"] {
        assert_eq!(job.ask(request).status, 200, "{request}");
    }
    for request in ["DELETE /", "OPTIONS /", "PURGE /", "PUT /\nContent-Length: 0"] {
        let answer = job.ask(request);
        let allowed = answer.field("allow");
        assert_eq!((answer.status, allowed), (405, Some("GET, HEAD, POST")), "{request}");
    }
    assert_eq!(request_lines(&app.heads()), ["GET /", "HEAD /", "POST /"]);
}

#[test]
fn admin_path_by_network() {
    let app = Origin::named("app");
    let job = Job::for_clients("admin_path_by_network", &[app.address]);
    for path in ["/admin", "/admin/a", "/%61dmin/", "/x/../admin", "/admin?/x"] {
        let from = |client: &str| job.ask(&format!("GET {path}\nX-Forwarded-For: {client}")).status;
        assert_eq!(["10.1.2.3", "fd00::5"].map(from), [200, 200], "{path}");
        assert_eq!(["192.0.2.1", "fe00::5"].map(from), [403, 403], "{path}");
        assert_eq!(job.ask(&format!("GET {path}")).status, 403, "{path}");
    }
    let all = app.heads().len();
    assert_eq!(all, 10);
    for path in ["/", "/administration", "//admin", "/ADMIN"] {
        assert_eq!(job.ask(&format!("GET {path}")).status, 200, "{path}");
    }
}

const PIECE: usize = 1024 * 1024;
const PIECES: usize = 50;

#[test]
fn big_uploads() {
    let goes_on = Rendezvous::default();
    let on = goes_on.clone();
    let app = Origin::start(move |mut conn| {
        let piece = filler(PIECE);
        while conn.head().is_some_and(|head| head.starts_with("POST /upload/a ")) {
            let whole = (0..PIECES).all(|_| conn.bytes(PIECE).as_ref() == Some(&piece));
            on.wait();
            conn.send(ok(if whole { "whole" } else { "broken" }));
        }
        conn.rest();
    });
    let flags = ["--response-timeout", "50ms"];
    let job = Job::with("big_uploads", &[app.address], &flags, &[]);
    let mut client = job.client();
    let head = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
    };
    client.send(head("/upload/a", PIECES * PIECE));
    let piece = filler(PIECE);
    (0..PIECES).for_each(|_| client.send(&piece));
    assert_eq!(job.ask("GET /slow").status, 504);
    goes_on.wait();
    assert_eq!(client.response().text(), "whole");
    assert_eq!(job.client().ask(head("/", PIECE + 1)).status, 413);
    let mut client = job.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("{PIECE:x}\r\n"));
    client.send(&piece);
    client.send("\r\n1\r\na\r\n");
    assert_eq!(client.response().status, 413);
}
