//! Filters: which calls are made of a request, in which order, and what their edits come to.

use evener::Verdict;

use crate::support::filters::Script;
use crate::support::h2::{H2Origin, RawClient};
use crate::support::origin::ok;
use crate::support::{Client, Conn, Origin, Proxy};

const GET: &str = "GET /a HTTP/1.1\r\nHost: test\r\n\r\n";

fn before(origin: &Origin) -> String {
    format!("--route=/={}", origin.address)
}

/// Closes each connection once it has a request.
fn closing() -> Origin {
    Origin::start(|mut conn: Conn| {
        conn.head();
        conn.close();
    })
}

#[test]
fn each_call_is_made_once_and_in_order() {
    let origin = Origin::named("hello");
    let (proxy, calls) = Proxy::filtered(Script::default(), &[&before(&origin)]);
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.ask(GET).text(), "hello");
    }
    let request = ["request", "route", "admit", "attempt", "response_in 200", "response_out 200"];
    let request = [&request[..], &["end 200"]].concat();
    let all = [&["connection"][..], &request, &request].concat();
    assert_eq!(calls.first(all.len()), all);
}

#[test]
fn http_2_on_both_sides_has_the_same_calls() {
    let origin = H2Origin::named("hello");
    let route = format!("--route=/={}", origin.endpoint());
    let (proxy, calls) = Proxy::filtered(Script::default(), &[&route]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    assert_eq!(client.expect_answer(1, 200).text(), "hello");
    let all = [
        "connection",
        "request",
        "route",
        "admit",
        "attempt",
        "response_in 200",
        "response_out 200",
        "end 200",
    ];
    assert_eq!(calls.first(all.len()), all);
}

#[test]
fn an_interim_answer_comes_in_and_is_not_the_one_that_goes_out() {
    let origin =
        Origin::answering([&b"HTTP/1.1 103 Early Hints\r\n\r\n"[..], &ok("hello")].concat());
    let (proxy, calls) = Proxy::filtered(Script::default(), &[&before(&origin)]);
    let mut client = proxy.client();
    client.send(GET);
    assert_eq!([client.response().status, client.response().status], [103, 200]);
    let calls = calls.first(9);
    assert_eq!(calls[5..], ["response_in 103", "response_in 200", "response_out 200", "end 200"]);
}

#[test]
fn edits_of_requests_reach_endpoints_and_those_of_answers_clients() {
    let origin =
        Origin::answering("HTTP/1.1 200 OK\r\nX-In: no\r\nServer: x\r\nContent-Length: 0\r\n\r\n");
    let script = Script {
        request: Some(Box::new(|request, edits| {
            let echoed = request.header("x-name").unwrap_or_default();
            edits.set_header("X-Request", echoed).unwrap();
            edits.remove_header("X-Name").unwrap();
            Verdict::Continue
        })),
        route: Some(Box::new(|_, _, edits| {
            edits.add_header("X-Route", b"1").unwrap();
            edits.rewrite_host(b"other.example").unwrap();
            edits.rewrite_path([b"/v2", b"/b"]).unwrap();
            Verdict::Continue
        })),
        attempts: true,
        response_in: Some("in"),
        response_out: Some("out"),
        ..Script::default()
    };
    let (proxy, _) = Proxy::filtered(script, &[&before(&origin)]);
    let answer = proxy.ask("GET /a?q HTTP/1.1\r\nHost: test\r\nX-Name: n\r\n\r\n");
    assert_eq!((answer.field("X-In"), answer.field("X-Out")), (Some("in"), Some("out")));
    let head = &origin.heads()[0];
    assert!(head.starts_with("GET /v2/b?q HTTP/1.1\r\nHost: other.example\r\n"), "{head}");
    for line in ["\r\nX-Request: n\r\n", "\r\nX-Route: 1\r\n", "\r\nX-First: 1 at /"] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    assert!(!head.contains("X-Name"), "{head}");
}

#[test]
fn an_edit_for_one_attempt_is_undone_for_the_next() {
    let closing = closing();
    let origin = Origin::named("hello");
    let script = Script { attempts: true, ..Script::default() };
    let route = format!("--route=/={},{}", closing.address, origin.address);
    let (proxy, calls) = Proxy::filtered(script, &[&route, "--retry-on", "connect,stale,reset"]);
    assert_eq!(proxy.ask(GET).text(), "hello");
    assert!(closing.heads()[0].contains("\r\nX-First: 1 at /"), "{:?}", closing.heads());
    let head = &origin.heads()[0];
    assert!(head.contains("\r\nX-Attempt: 2 at /") && !head.contains("X-First"), "{head}");
    let calls = calls.first(9);
    assert_eq!(calls.iter().filter(|call| *call == "attempt").count(), 2, "{calls:?}");
    assert_eq!(calls.last().unwrap(), "end 200");
}

#[test]
fn a_body_is_not_changed_by_edits_for_an_attempt() {
    let closing = closing();
    let origin = Origin::echoing(5);
    let script = Script { attempts: true, ..Script::default() };
    let route = format!("--route=/={},{}", closing.address, origin.address);
    let (proxy, _) = Proxy::filtered(script, &[&route, "--retry-on", "connect,stale,reset"]);
    let put = "PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(proxy.ask(put).text(), "hello");
}

#[test]
fn a_connection_that_is_refused_is_reset() {
    let origin = Origin::named("hello");
    let script = Script { refuses: true, ..Script::default() };
    let (proxy, calls) = Proxy::filtered(script, &[&before(&origin)]);
    let mut client = Client::connect(proxy.address);
    assert!(client.is_reset());
    assert_eq!(calls.first(1), ["connection"]);
    assert_eq!(proxy.count(|metrics| &metrics.refused_by_filters), 1);
}
