//! What rules change about the headers of requests and responses, whatever protocol they come and go by.

use hyper::http::Request;

use crate::configured::proxy;
use crate::support::Origin;
use crate::support::h2::{Body, H2Client, H2Origin};
use crate::support::library::run;
use crate::support::origin::ok_head;

/// Every variable, in a header of its own.
const ALL: [&str; 14] = [
    "client",
    "client_port",
    "scheme",
    "host",
    "method",
    "target",
    "path",
    "query",
    "route",
    "upstream",
    "request_id",
    "tls_version",
    "sni",
    "client_cert_subject",
];

/// Changes that set a header to each of them.
fn all() -> String {
    let one = |name: &&str| format!("X-{}: 'a{{{name}}}b'", name.replace('_', "-"));
    format!("{{set: {{{}}}}}", ALL.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// What the header of a variable says in these lines, without the letters around it.
fn said<'a>(head: &'a str, variable: &str) -> &'a str {
    let name = format!("x-{}: a", variable.replace('_', "-"));
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&name));
    let line = line.unwrap_or_else(|| panic!("{variable} in {head}"));
    line[name.len()..].strip_suffix('b').unwrap()
}

#[test]
fn headers_are_set_added_and_removed_on_their_way_to_endpoints_of_either_protocol() {
    let (h1, h2) = (Origin::named("one"), H2Origin::named("two"));
    let edits = "{set: {X-Set: ours}, add: {X-Add: ours}, remove: [X-Gone, Cookie]}";
    let proxy = proxy(&format!(
        "request_headers: {{set: {{X-Set: all, X-All: all}}}}\nroutes:\n  - {{prefix: /h1, endpoints: \
         ['{}'], request_headers: {edits}}}\n  - {{prefix: /h2, endpoints: ['{}'], request_headers: {edits}}}\n",
        h1.address,
        h2.endpoint()
    ));
    let theirs = "X-Set: theirs\r\nx-set: again\r\nX-Add: theirs\r\nX-Gone: x\r\nCookie: c=d\r\n";
    let lines = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{theirs}\r\n");
    assert_eq!(proxy.ask(lines("/h1")).text(), "one");
    let head = &h1.heads()[0];
    let of = |name: &str| head.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    assert_eq!((of("X-Set"), of("x-set")), (vec!["X-Set: ours"], vec![]));
    assert_eq!(of("X-Add"), ["X-Add: theirs", "X-Add: ours"]);
    assert_eq!(of("X-All"), ["X-All: all"]);
    assert_eq!((of("X-Gone"), of("Cookie")), (vec![], vec![]));
    assert_eq!(proxy.ask(lines("/h2")).text(), "two");
    let fields = &h2.heads()[0].headers;
    let of = |name: &str| fields.get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(of("x-set"), ["ours"]);
    assert_eq!(of("x-add"), ["theirs", "ours"]);
    assert!(of("x-gone").is_empty() && of("cookie").is_empty());
    assert_eq!(of("x-all"), ["all"]);
}

#[test]
fn headers_of_responses_are_changed_whoever_gives_them() {
    let origin = Origin::answering(
        [&ok_head(0)[..ok_head(0).len() - 2], b"Server: secret\r\nX-Old: 1\r\n\r\n"].concat(),
    );
    let dead = Origin::refusing();
    let proxy = proxy(&format!(
        "response_headers: {{set: {{X-Frame-Options: DENY}}, remove: [Server]}}\nroutes:\n  \
         - {{prefix: /up, endpoints: ['{}'], response_headers: {{remove: [X-Old], add: {{X-New: '{{endpoint}}'}}}}}}\n  \
         - {{prefix: /dead, endpoints: ['{}']}}\n  - {{prefix: /to, redirect: {{to: /x}}}}\n  \
         - {{prefix: /is, respond: {{status: 200}}}}\n",
        origin.address, dead.address
    ));
    let endpoint = origin.address.to_string();
    for (path, status) in [("/up", 200), ("/dead", 502), ("/to", 308), ("/is", 200), ("/no", 404)] {
        let answer = proxy.get(path);
        assert_eq!((answer.status, answer.field("x-frame-options")), (status, Some("DENY")));
        assert_eq!((answer.field("server"), answer.field("x-old")), (None, None), "{path}");
        let expected = (path == "/up").then_some(&*endpoint);
        assert_eq!(answer.field("x-new"), expected, "{path}");
        let answer = run(async { H2Client::connect(proxy.address).await.get(path).await });
        assert_eq!(
            (answer.status.as_u16(), answer.field("x-frame-options")),
            (status, Some("DENY"))
        );
        assert_eq!((answer.field("server"), answer.field("x-new")), (None, expected), "{path}");
    }
}

#[test]
fn every_variable_says_what_it_is_for() {
    let origin = Origin::named("o");
    let (address, all) = (origin.address, all());
    let proxy = proxy(&format!(
        "upstreams: [{{name: app, endpoints: ['{address}']}}]\nroutes:\n  - {{host: a.example, prefix: /, upstream: \
         app, request_headers: {all}, response_headers: {all}}}\n"
    ));
    let answer = proxy.ask("GET /x/./%7ey?q=1 HTTP/1.1\r\nHost: A.Example:80\r\n\r\n");
    let sent = origin.heads().remove(0);
    for head in [&sent, &answer.head] {
        let expected = [
            ("client", "127.0.0.1"),
            ("scheme", "http"),
            ("host", "a.example"),
            ("method", "GET"),
            ("target", "/x/./%7ey?q=1"),
            ("path", "/x/~y"),
            ("query", "q=1"),
            ("route", "a.example/"),
            ("upstream", "app"),
            ("tls_version", ""),
            ("sni", ""),
            ("client_cert_subject", ""),
        ];
        for (variable, value) in expected {
            assert_eq!(said(head, variable), value, "{variable}");
        }
        assert!(said(head, "client_port").parse::<u16>().is_ok(), "{head}");
        assert_eq!(said(head, "request_id").len(), 32, "{head}");
    }
    assert_eq!(said(&sent, "request_id"), said(&answer.head, "request_id"));
}

#[test]
fn a_request_over_http2_says_the_same() {
    let origin = Origin::named("o");
    let proxy = proxy(&format!(
        "routes:\n  - {{prefix: /, endpoints: ['{}'], request_headers: {}}}\n",
        origin.address,
        all()
    ));
    run(async {
        let client = H2Client::connect(proxy.address).await;
        let request = Request::post("http://B.example:81/a?b").body(()).unwrap();
        assert_eq!(client.ask(request, Body::default()).await.unwrap().text(), "o");
    });
    let sent = origin.heads().remove(0);
    for (variable, value) in
        [("host", "b.example"), ("method", "POST"), ("target", "/a?b"), ("route", "/")]
    {
        assert_eq!(said(&sent, variable), value, "{variable}");
    }
}

#[test]
fn a_request_for_which_a_header_would_be_too_long_is_refused_and_an_answer_loses_it() {
    let origin = Origin::named("o");
    let proxy = proxy(&format!(
        "routes:\n  - {{prefix: /sent, endpoints: ['{0}'], request_headers: {{set: {{X-A: \
         '{{query}}{{query}}{{query}}'}}}}}}\n  - {{prefix: /got, endpoints: ['{0}'], response_headers: {{set: \
         {{X-A: '{{query}}{{query}}{{query}}', X-B: b}}}}}}\n",
        origin.address
    ));
    let long = "q".repeat(6000);
    assert_eq!(proxy.get(&format!("/sent?{long}")).status, 431);
    let answer = proxy.get(&format!("/got?{long}"));
    assert_eq!((answer.status, answer.field("x-a"), answer.field("x-b")), (200, None, Some("b")));
    assert_eq!(proxy.get("/sent?q").status, 200);
    assert_eq!(proxy.get("/got?q").field("x-a"), Some("qqq"));
}

#[test]
fn what_gateways_take_for_a_header_is_set_and_removed_with_it() {
    let origin = Origin::named("o");
    let proxy = proxy(&format!(
        "routes:\n  - {{prefix: /, endpoints: ['{}'], request_headers: {{set: {{X-Tenant: ours}}, remove: \
         [X-Api-Key]}}}}\n",
        origin.address
    ));
    proxy.ask("GET / HTTP/1.1\r\nHost: a\r\nX_Tenant: e\r\nX.Tenant: e\r\nX-API_Key: k\r\nX_Other: o\r\n\r\n");
    let head = &origin.heads()[0].to_ascii_lowercase();
    assert!(head.contains("x-tenant: ours") && head.contains("x_other: o"), "{head}");
    assert!(
        !head.contains("x_tenant") && !head.contains("x.tenant") && !head.contains("key"),
        "{head}"
    );
}

#[test]
fn endpoints_are_told_the_identifier_that_clients_are() {
    let origin = Origin::named("o");
    let proxy = proxy(&format!(
        "routes:\n  - {{prefix: /, endpoints: ['{}'], response_headers: {{set: {{X-Id: '{{request_id}}'}}}}}}\n",
        origin.address
    ));
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: theirs\r\n\r\n");
    let told = format!("X-Request-Id: {}\r\n", answer.field("x-id").unwrap());
    assert!(origin.heads()[0].contains(&told), "{:?}", origin.heads());
}
