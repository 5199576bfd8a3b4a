//! What becomes of requests: redirects, answers that are written down, splits, replaced prefixes, error pages.

use std::collections::BTreeSet;
use std::fs;

use crate::configured::proxy;
use crate::support::h2::H2Client;
use crate::support::library::run;
use crate::support::{Origin, Proxy, temporary};

/// Two upstreams, `app` and `other`, that answer with their names, behind these routes.
fn before(routes: &str) -> (Origin, Origin, Proxy) {
    let (app, other) = (Origin::named("app"), Origin::named("other"));
    let proxy = proxy(&format!(
        "upstreams:\n  - {{name: app, endpoints: ['{}']}}\n  - {{name: other, endpoints: ['{}']}}\nroutes:\n  \
         - {{prefix: /app, upstream: app}}\n  - {{prefix: /other, upstream: other}}\n{routes}",
        app.address, other.address
    ));
    (app, other, proxy)
}

#[test]
fn a_redirect_says_where_to_go() {
    let proxy = proxy(
        "routes:\n  - {prefix: /docs, redirect: {to: 'https://docs.example.com{target}'}}\n  - {host: \
         [a.example, '*.b.example'], prefix: /, redirect: {to: 'https://www.{host}:8443{path}?{query}', status: 302}}\n",
    );
    for (host, target, status, location) in [
        ("x", "/docs/a?b=%20c", 308, "https://docs.example.com/docs/a?b=%20c"),
        ("x", "/docs//evil/../\"<>", 308, "https://docs.example.com/docs//evil/../%22%3C%3E"),
        ("A.example:80", "/x/../y?q", 302, "https://www.a.example:8443/y?q"),
        ("c.b.example", "//evil", 302, "https://www.c.b.example:8443//evil"),
    ] {
        let lines = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = proxy.ask(lines);
        assert_eq!((answer.status, answer.field("location")), (status, Some(location)), "{target}");
    }
    let answer = run(async { H2Client::connect(proxy.address).await.get("/docs?a").await });
    assert_eq!(answer.status, 308);
    assert_eq!(answer.field("location"), Some("https://docs.example.com/docs?a"));
}

#[test]
fn a_redirect_that_would_be_too_long_is_refused() {
    let proxy = proxy("routes:\n  - {prefix: /, redirect: {to: '/new{path}?{query}'}}\n");
    assert_eq!(proxy.get(&format!("/?{}", "\"".repeat(6000))).status, 414);
}

#[test]
fn an_answer_that_is_written_down_is_given() {
    let proxy = proxy(
        "routes:\n  - {prefix: /closed, respond: {status: 503, body: \"at noon\\n\", headers: {Retry-After: '3600'}}}\n  \
         - {prefix: /page, respond: {status: 200, body: '<p>{path}</p>', content_type: text/html}}\n  \
         - {prefix: /none, respond: {status: 204}}\n",
    );
    let closed = proxy.get("/closed");
    assert_eq!((closed.status, &*closed.text()), (503, "at noon\n"));
    assert_eq!(closed.field("content-type"), Some("text/plain"));
    assert_eq!(closed.field("retry-after"), Some("3600"));
    let page = proxy.get("/page/<script>");
    assert_eq!(page.text(), "<p>/page/&lt;script&gt;</p>");
    assert_eq!(page.field("content-type"), Some("text/html"));
    let mut client = proxy.client();
    client.send("HEAD /closed HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.response_with(false);
    assert_eq!((head.status, head.field("content-length")), (503, Some("8")));
    client.get("/none");
    let none = client.response();
    assert_eq!((none.status, none.field("content-length")), (204, None));
    run(async {
        let client = H2Client::connect(proxy.address).await;
        let answers = (client.get("/closed").await, client.get("/none").await);
        assert_eq!((answers.0.status.as_u16(), &*answers.0.text()), (503, "at noon\n"));
        assert_eq!((answers.1.status.as_u16(), &*answers.1.text()), (204, ""));
    });
}

#[test]
fn a_split_shares_requests_out_by_weight() {
    let (_app, _other, proxy) = before(
        "  - {prefix: /both, split: {app: 1, other: 1}}\n  - {prefix: /one, split: {app: 1, other: 0}}\n",
    );
    let seen: BTreeSet<String> = (0..100).map(|_| proxy.get("/both").text()).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["app", "other"]);
    assert!((0..50).all(|_| proxy.get("/one").text() == "app"));
}

#[test]
fn a_client_stays_with_its_side_of_a_split_unless_that_has_no_share() {
    let (_app, _other, proxy) = before(
        "  - {prefix: /both, split: {app: 1, other: 1}, sticky: side}\n  - {prefix: /one, split: {app: 1, other: 0}, \
         sticky: side}\n",
    );
    let ask = |path: &str, cookie: &str| {
        proxy.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: x=y; {cookie}\r\n\r\n"))
    };
    let cookie_of = |name: &str| {
        let mut answers = (0..200).map(|_| proxy.get("/both"));
        let answer = answers.find(|answer| answer.text() == name).unwrap();
        let set = answer.field("set-cookie").unwrap().to_owned();
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
        pair.to_owned()
    };
    for name in ["app", "other"] {
        let cookie = cookie_of(name);
        for _ in 0..20 {
            let answer = ask("/both", &cookie);
            assert_eq!((&*answer.text(), answer.field("set-cookie")), (name, None));
        }
        let answer = ask("/one", &cookie);
        assert_eq!(answer.text(), "app");
    }
    assert!(ask("/both", "side=0").field("set-cookie").is_some());
}

#[test]
fn a_prefix_is_replaced_on_the_way() {
    let (app, _other, proxy) = before(
        "  - {prefix: /api, upstream: app, replace_prefix: /v2}\n  - {host: all, prefix: /, upstream: app, \
         replace_prefix: /base}\n",
    );
    let rows = [
        ("a", "/api", "GET /v2 HTTP/1.1"),
        ("a", "/api/x?y=/api", "GET /v2/x?y=/api HTTP/1.1"),
        ("a", "/api/%2e%2e/api/x", "GET /v2/x HTTP/1.1"),
        ("all", "/", "GET /base/ HTTP/1.1"),
        ("all", "/x/../y?z", "GET /base/y?z HTTP/1.1"),
    ];
    for (index, (host, target, line)) in rows.iter().enumerate() {
        let answer = proxy.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.text(), "app");
        let head = &app.heads()[index];
        assert_eq!(head.lines().next(), Some(*line));
        assert!(!head.contains("X-Forwarded-Prefix"), "{head}");
    }
}

#[test]
fn error_pages_are_shown_in_our_own_answers_alone() {
    let (all, own) = (temporary("all.html"), temporary("own.json"));
    fs::write(&all, "p { } {status} {request_id}").unwrap();
    fs::write(&own, "{\"own\": {status}}").unwrap();
    let busy = Origin::answering("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let dead = Origin::refusing();
    let proxy = proxy(&format!(
        "error_pages: {{4xx: {all}, 5xx: {all}}}\nroutes:\n  - {{prefix: /busy, endpoints: ['{0}']}}\n  \
         - {{prefix: /dead, endpoints: ['{1}']}}\n  - {{prefix: /own, endpoints: ['{1}'], error_pages: {{502: {own}}}}}\n  \
         - {{prefix: /is, respond: {{status: 500, body: written}}}}\n",
        busy.address,
        dead.address,
        all = all.display(),
        own = own.display(),
    ));
    for (path, status, text) in
        [("/busy", 503, "busy"), ("/is", 500, "written"), ("/own", 502, "{\"own\": 502}")]
    {
        let answer = proxy.get(path);
        assert_eq!((answer.status, &*answer.text()), (status, text));
        let answer = run(async { H2Client::connect(proxy.address).await.get(path).await });
        assert_eq!((answer.status.as_u16(), &*answer.text()), (status, text));
    }
    for (path, status) in [("/dead", 502), ("/none", 404)] {
        let answer = proxy.get(path);
        let text = answer.text();
        let (before, id) = text.rsplit_once(' ').unwrap();
        assert_eq!((answer.status, before), (status, &*format!("p {{ }} {status}")));
        assert_eq!(id.len(), 32, "{text}");
        assert_eq!(answer.field("content-type"), Some("text/html"));
        assert_eq!(answer.field("content-length"), Some(&*text.len().to_string()));
    }
    for path in [all, own] {
        fs::remove_file(path).unwrap();
    }
}
