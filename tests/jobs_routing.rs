//! Jobs of docs/jobs.md that are about where requests go.

use crate::jobs::{Job, request_lines};
use crate::support::origin::ok;
use crate::support::{Origin, Rendezvous, eventually};

#[test]
fn canary() {
    let [app, canary] = ["app", "canary"].map(Origin::named);
    let mut job = Job::start("canary", &[app.address, canary.address]);
    let mut client = job.client();
    let mut taken = Vec::new();
    for _ in 0..3000 {
        client.get("/");
        let answer = client.response();
        if answer.text() == "canary" {
            taken.push(answer.field("set-cookie").unwrap().to_owned());
        }
    }
    // 150 are to be expected; to be so far off has a chance of one in 100 million.
    assert!((80..=220).contains(&taken.len()), "{}", taken.len());
    let (cookie, _) = taken[0].split_once(';').unwrap();
    let request = format!("GET /\nCookie: {cookie}");
    assert!((0..50).all(|_| job.ask(&request).text() == "canary"));
    job.change(|text| text.replace("app-canary: 5", "app-canary: 0"));
    assert!((0..50).all(|_| job.ask(&request).text() == "app"));
}

#[test]
fn blue_green() {
    let (is_there, goes_on) = (Rendezvous::default(), Rendezvous::default());
    let (there, on) = (is_there.clone(), goes_on.clone());
    let blue = Origin::start(move |mut conn| {
        while let Some(head) = conn.head() {
            if head.starts_with("GET /slow ") {
                there.wait();
                on.wait();
            }
            conn.send(ok("blue"));
        }
    });
    let green = Origin::named("green");
    let mut job = Job::start("blue_green", &[blue.address, green.address]);
    let preview = "GET /\nHost: preview.example.com";
    assert!((0..20).all(|_| job.ask("GET /").text() == "blue"));
    assert!((0..20).all(|_| job.ask(preview).text() == "green"));
    let (mut slow, mut kept) = (job.client(), job.client());
    kept.get("/");
    assert_eq!(kept.response().text(), "blue");
    slow.get("/slow");
    is_there.wait();
    job.change(|text| {
        let [first, second] = ["{blue: 1, green: 0}", "{blue: 0, green: 1}"];
        text.replace(first, "…").replace(second, first).replace('…', second)
    });
    assert!((0..20).all(|_| job.ask("GET /").text() == "green"));
    assert!((0..20).all(|_| job.ask(preview).text() == "blue"));
    kept.get("/");
    assert_eq!(kept.response().text(), "green");
    goes_on.wait();
    assert_eq!(slow.response().text(), "blue");
}

#[test]
fn mirror() {
    let app = Origin::named("app");
    // It takes every request and never answers.
    let shadow = Origin::start(|mut conn| {
        let head = conn.head().unwrap_or_default();
        conn.body_of(&head);
        conn.rest();
    });
    let job = Job::start("mirror", &[app.address, shadow.address]);
    let long = 64 * 1024 + 1;
    let mut client = job.client();
    for (path, length) in [("/a?b=c", 3), ("/long", long), ("/d", 0)] {
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        client.send("x".repeat(length));
        assert_eq!(client.response().text(), "app");
    }
    eventually("two are copied", || shadow.heads().len() == 2);
    let copies = shadow.heads();
    let mut lines = request_lines(&copies);
    lines.sort_unstable();
    assert_eq!(lines, ["POST /a?b=c", "POST /d"]);
    assert!(copies.iter().all(|head| head.contains("\r\nX-Mirror: 1\r\n")), "{copies:?}");
    assert!(app.heads().iter().all(|head| !head.contains("X-Mirror")));
    shadow.stop();
    assert_eq!(job.ask("GET /").text(), "app");
}

#[test]
fn strip_a_prefix() {
    let app = Origin::named("app");
    let job = Job::start("strip_a_prefix", &[app.address]);
    for path in ["/app/x?y=/app", "/app", "/app/"] {
        assert_eq!(job.ask(&format!("GET {path}")).text(), "app", "{path}");
    }
    assert_eq!(job.ask("GET /apple").status, 404);
    let heads = app.heads();
    assert_eq!(request_lines(&heads), ["GET /x?y=/app", "GET /", "GET /"]);
    assert!(heads.iter().all(|head| head.contains("\r\nX-Forwarded-Prefix: /app\r\n")));
}

#[test]
fn tenants_by_host() {
    let [all, acme] = ["all", "acme"].map(Origin::named);
    let job = Job::start("tenants_by_host", &[all.address, acme.address]);
    let told = |host: &str| {
        let answer = job.ask(&format!("GET /\nHost: {host}\nX-Tenant: evil"));
        (answer.status, answer.text())
    };
    for (host, name) in
        [("one.example.com", "all"), ("Acme.example.com:80", "acme"), ("a.acme.example.com", "all")]
    {
        assert_eq!(told(host), (200, name.to_owned()), "{host}");
    }
    assert_eq!(["example.com", "one.example.org"].map(|host| told(host).0), [404, 404]);
    let named = |origin: &Origin, tenants: &[&str]| {
        let heads = origin.heads();
        assert_eq!(heads.len(), tenants.len());
        for (head, tenant) in heads.iter().zip(tenants) {
            assert!(head.contains(&format!("\r\nX-Tenant: {tenant}\r\n")), "{head}");
            assert_eq!(head.matches("X-Tenant").count(), 1, "{head}");
        }
    };
    named(&all, &["one.example.com", "a.acme.example.com"]);
    named(&acme, &["acme.example.com"]);
}
