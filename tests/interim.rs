//! Interim responses: 100 and 103, when and how often.

use evener::reject::Reject;

use crate::support::origin::ok;
use crate::support::{Origin, Proxy};

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

/// Sends 100 for each request, then answers with its body.
fn asking() -> Origin {
    Origin::start(|mut conn| {
        while conn.head().is_some() {
            conn.send("HTTP/1.1 100 Continue\r\n\r\n");
            let Some(body) = conn.bytes(5) else { return };
            conn.send(ok(&String::from_utf8_lossy(&body)));
        }
    })
}

#[test]
fn a_100_brings_the_body() {
    let origin = asking();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(EXPECTING);
    let interim = client.response();
    assert_eq!(interim.head, "HTTP/1.1 100 Continue");
    client.send("hello");
    assert_eq!(client.response().text(), "hello");
    assert!(origin.heads()[0].contains("\r\nExpect: 100-continue\r\n"));
}

#[test]
fn a_body_that_does_not_wait_for_the_100_arrives_once() {
    let origin = asking();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(EXPECTING.to_owned() + "hello");
    assert_eq!(client.response().status, 100);
    assert_eq!(client.response().text(), "hello");
}

#[test]
fn an_answer_instead_of_the_100_is_the_last_on_the_connection() {
    for status in ["200 OK", "417 Expectation Failed"] {
        let origin = Origin::start(move |mut conn| {
            conn.head();
            conn.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"));
            conn.rest();
        });
        let proxy = Proxy::before(&[&origin], &[]);
        let mut client = proxy.client();
        let response = client.ask(EXPECTING);
        assert!(response.head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{response:?}");
        // Only the client knows whether a body or the next request follows.
        assert_eq!((response.text().as_str(), response.field("connection")), ("no", Some("close")));
        assert!(!client.is_reset());
    }
}

#[test]
fn an_endpoint_that_never_got_the_body_is_not_used_again() {
    let refusing = Origin::start(|mut conn| {
        conn.head();
        conn.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
        conn.rest();
    });
    let proxy = Proxy::before(&[&refusing], &[]);
    for connections in 1..=2 {
        assert_eq!(proxy.ask(EXPECTING).status, 417);
        assert_eq!(refusing.connections(), connections);
    }
}

fn hinting() -> Origin {
    Origin::start(|mut conn| {
        while conn.head().is_some() {
            conn.send(
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\nX: 1\r\n\r\n",
            );
            conn.send("HTTP/1.1 103 Early Hints\r\n\r\n");
            conn.send(ok("hello"));
        }
    })
}

#[test]
fn a_103_is_passed_on_without_hop_by_hop_headers() {
    let origin = hinting();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.get("/");
        assert_eq!(client.response().head, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>");
        assert_eq!(client.response().head, "HTTP/1.1 103 Early Hints");
        assert_eq!(client.response().text(), "hello");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn sixteen_interim_responses_are_not_too_many() {
    let origin = Origin::answering("HTTP/1.1 103 A\r\n\r\n".repeat(16) + "HTTP/1.1 204 B\r\n\r\n");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    let statuses: Vec<_> = (0..17).map(|_| client.response().status).collect();
    assert_eq!((statuses[15], statuses[16]), (103, 204));
}

#[test]
fn interim_responses_without_end_are_a_502() {
    let origin = Origin::answering("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100));
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    let last = std::iter::repeat_with(|| client.response().status).find(|status| *status != 103);
    assert_eq!(last, Some(502));
    assert_eq!(proxy.count(|m| &m.bad_responses[Reject::TooManyInterim as usize]), 1);
}

#[test]
fn a_connection_goes_on_after_a_100() {
    let origin = asking();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.ask(EXPECTING).status, 100);
        let response = client.ask("hello");
        assert_eq!((response.text().as_str(), response.field("connection")), ("hello", None));
    }
    assert_eq!(origin.connections(), 1);
}
