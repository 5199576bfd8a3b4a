//! What of a head arrives on the other side, and what is said anew.

use crate::support::{Origin, Proxy};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// The head an origin sees of a request, the proxy running with these flags.
fn arriving(request: &str, flags: &[&str]) -> String {
    let origin = Origin::answering(OK);
    let proxy = Proxy::before(&[&origin], flags);
    assert_eq!(proxy.ask(request).status, 200);
    origin.heads().remove(0)
}

/// The head a client sees of a response.
fn returning(response: &str) -> String {
    let origin = Origin::answering(response);
    Proxy::before(&[&origin], &[]).get("/").head
}

#[test]
fn a_plain_request_arrives_as_it_was_sent_and_says_whom_it_is_from() {
    let head = arriving("GET /a?b=c HTTP/1.1\r\nHost: test:80\r\nAccept: */*\r\n\r\n", &[]);
    assert_eq!(
        head,
        "GET /a?b=c HTTP/1.1\r\nHost: test:80\r\nAccept: */*\r\nX-Forwarded-For: 127.0.0.1\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: test:80\r\n\r\n"
    );
}

#[test]
fn hop_by_hop_fields_of_a_request_end_here() {
    let head = arriving(
        "GET / HTTP/1.1\r\nHost: test\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\
         TE: trailers\r\nHTTP2-Settings: AAAA\r\nUpgrade: x\r\nConnection: X-One, keep-alive\r\n\
         x-one: 1\r\nX-Two: 2\r\nConnection: x-two\r\nX-Three: 3\r\n\r\n",
        &[],
    );
    let kept = "GET / HTTP/1.1\r\nHost: test\r\nX-Three: 3\r\nX-Forwarded-For:";
    assert!(head.starts_with(kept), "{head}");
}

#[test]
fn hop_by_hop_fields_of_a_response_end_here() {
    let head = returning(
        "HTTP/1.1 200 Fine\r\nKeep-Alive: timeout=5\r\nX-One: 1\r\nX-Two: 2\r\nUpgrade: x\r\n\
         Connection: x-one\r\nProxy-Connection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(head, "HTTP/1.1 200 Fine\r\nX-Two: 2\r\nContent-Length: 0");
}

#[test]
fn framing_and_host_cannot_be_named_away() {
    let head = arriving(
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: host, content-length, x-forwarded-for\r\n\
         Content-Length: 0\r\n\r\n",
        &[],
    );
    for line in ["Host: test\r\n", "Content-Length: 0\r\n", "X-Forwarded-For: 127.0.0.1\r\n"] {
        assert!(head.contains(line), "{line} in {head}");
    }
}

#[test]
fn order_case_and_duplicates_of_a_request_are_kept() {
    let fields = "x-B: 2\r\nX-a: 1\r\nCookie: a=b\r\nX-A: 3\r\ncookie: c=d\r\nX-Empty: \r\n";
    let head = arriving(&format!("GET / HTTP/1.1\r\nhOST: test\r\n{fields}\r\n"), &[]);
    assert!(head.starts_with(&format!("GET / HTTP/1.1\r\nhOST: test\r\n{fields}")), "{head}");
}

#[test]
fn order_case_and_duplicates_of_a_response_are_kept() {
    let fields = "Set-Cookie: a=b\r\nx-B: 2\r\nset-cookie: c=d\r\nX-a: caf\u{e9}\r\nX-A: 3\r\n";
    let head = returning(&format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"));
    assert_eq!(head, format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0"));
}

#[test]
fn an_unknown_status_and_its_reason_pass() {
    let head = returning("HTTP/1.1 299 Odd, but (well) \r\nContent-Length: 0\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 299 Odd, but (well)"), "{head}");
}

#[test]
fn a_method_nobody_knows_passes() {
    assert!(arriving("BrEW /pot HTTP/1.1\r\nHost: a\r\n\r\n", &[]).starts_with("BrEW /pot HTTP"));
}

const FROM_AFAR: &str = "GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 1.2.3.4\r\n\
    x-forwarded-for: 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: far.test\r\n\
    X-Forwarded-Port: 443\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n\r\n";

#[test]
fn what_a_stranger_says_of_earlier_hops_is_replaced() {
    let head = arriving(FROM_AFAR, &[]);
    assert_eq!(
        head,
        "GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 127.0.0.1\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: test\r\n\r\n"
    );
}

#[test]
fn what_a_trusted_peer_says_of_earlier_hops_is_added_to() {
    let head = arriving(FROM_AFAR, &["--trusted", "127.0.0.1"]);
    assert!(head.contains("X-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1\r\n"), "{head}");
    let kept = ["Proto: https", "Host: far.test", "Port: 443"];
    for line in kept.map(|end| format!("X-Forwarded-{end}\r\n")) {
        assert_eq!(head.matches(&line).count(), 1, "{line} in {head}");
    }
    assert!(head.contains("X-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n"), "{head}");
    assert_eq!(head.matches("-For: ").count(), 1, "{head}");
}

#[test]
fn trust_in_others_is_no_trust_in_this_one() {
    let head = arriving(FROM_AFAR, &["--trusted", "10.0.0.0/8,unix"]);
    assert!(head.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{head}");
}

#[test]
fn host_header_replaces_the_host_and_the_first_is_told_apart() {
    let request = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let head = arriving(request, &["--host-header", "inner.test"]);
    assert!(head.contains("\r\nHost: inner.test\r\n"), "{head}");
    assert!(head.contains("\r\nX-Forwarded-Host: test\r\n"), "{head}");
    assert_eq!(head.matches("Host: ").count(), 2, "{head}");
}

#[test]
fn an_http_1_0_request_without_host_gets_the_address_it_was_sent_to() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::before(&[&origin], &[]);
    assert_eq!(proxy.ask("GET / HTTP/1.0\r\n\r\n").status, 200);
    let start = format!("GET / HTTP/1.1\r\nHost: {}\r\n", proxy.address);
    assert!(origin.heads()[0].starts_with(&start), "{:?}", origin.heads());
}

#[test]
fn an_answer_is_in_http_1_1_whatever_the_endpoint_speaks() {
    let head = returning("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(head, "HTTP/1.1 200 OK\r\nContent-Length: 0");
}
