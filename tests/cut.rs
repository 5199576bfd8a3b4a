//! Endpoints that break off or talk nonsense: the client never takes part of an answer for all.

use evener::reject::Reject;

use crate::support::{Client, Origin, Proxy, filler};

const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi";

/// An origin that sends this instead of a whole answer, then ends each connection.
fn breaking_off(after: &'static str) -> Origin {
    Origin::start(move |mut conn| {
        conn.head();
        conn.send(after);
        conn.close();
    })
}

/// The same, ending them with a reset.
fn resetting(after: &'static str) -> Origin {
    Origin::start(move |mut conn| {
        conn.head();
        conn.send(after);
        conn.reset();
    })
}

fn asked(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.get("/");
    client
}

#[test]
fn an_endpoint_that_closes_instead_of_answering_a_post_is_a_502() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.bytes(2);
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    assert_eq!(proxy.ask(POST).status, 502);
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn an_endpoint_that_resets_instead_of_answering_a_post_is_a_502() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.bytes(2);
        conn.reset();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    assert_eq!(proxy.ask(POST).status, 502);
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn an_endpoint_that_closes_inside_an_upload_is_a_502() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 500000\r\n\r\n");
    client.send(filler(100_000));
    assert_eq!(client.response().status, 502);
    assert!(!client.is_reset());
}

#[test]
fn half_a_head_is_a_502() {
    let origin = breaking_off("HTTP/1.1 200 OK\r\nContent-Le");
    let proxy = Proxy::before(&[&origin], &[]);
    assert_eq!(proxy.get("/").status, 502);
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn a_body_cut_short_of_its_length_is_cut_short_for_the_client() {
    for origin in [breaking_off, resetting]
        .map(|how| how("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"))
    {
        let proxy = Proxy::before(&[&origin], &[]);
        let response = asked(&proxy).response();
        assert_eq!((response.status, response.field("content-length")), (200, Some("9")));
        assert!(!response.whole && b"hello".starts_with(&response.body));
        assert_eq!(proxy.count(|m| &m.cut_answers), 1);
    }
}

#[test]
fn a_body_cut_inside_a_chunk_has_no_last_chunk() {
    let origin = breaking_off("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = asked(&proxy);
    let all = String::from_utf8(client.rest()).unwrap();
    assert!(all.ends_with("\r\n\r\n9\r\nhello"), "{all}");
}

#[test]
fn a_body_cut_between_chunks_has_no_last_chunk() {
    let origin =
        breaking_off("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = asked(&proxy);
    let all = String::from_utf8(client.rest()).unwrap();
    assert!(all.ends_with("\r\n\r\n5\r\nhello\r\n"), "{all}");
}

#[test]
fn a_chunk_that_breaks_the_rules_has_no_last_chunk() {
    // More than a block, so that the answer has begun before the bad chunk is seen.
    let data = "a".repeat(100_000);
    let origin = Origin::answering(format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{data}X\r\n0\r\n\r\n",
        data.len()
    ));
    let proxy = Proxy::before(&[&origin], &[]);
    let response = asked(&proxy).rest();
    assert!(response.starts_with(b"HTTP/1.1 200 "));
    assert!(!response.ends_with(b"0\r\n\r\n"));
    assert_eq!(proxy.count(|m| &m.bad_responses[Reject::ChunkEnd as usize]), 1);
}

#[test]
fn a_body_that_ends_with_its_connection_is_reset_if_that_was_reset() {
    let origin = resetting("HTTP/1.1 200 OK\r\n\r\nhello");
    let proxy = Proxy::before(&[&origin], &[]);
    assert!(asked(&proxy).is_reset());
}

#[test]
fn chunks_cut_short_are_reset_for_an_http_1_0_client() {
    let origin = breaking_off("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.is_reset());
}

/// Sends this answer twice: each time a 502, on a connection of its own.
fn refused(answer: impl Into<Vec<u8>>, reject: Reject) {
    let answer = answer.into();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let origin = Origin::answering(answer);
    let proxy = Proxy::before(&[&origin], &[]);
    for connections in 1..=2 {
        assert_eq!(proxy.get("/").status, 502, "{text}");
        assert_eq!(origin.connections(), connections, "{text}");
    }
    assert_eq!(proxy.count(|m| &m.bad_responses[reject as usize]), 2, "{text}");
}

#[test]
fn what_is_no_response_is_a_502() {
    for nonsense in ["nonsense\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20 O\r\n\r\n"] {
        refused(nonsense, Reject::StatusLine);
    }
    refused("HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n", Reject::StatusCode);
}

#[test]
fn what_does_not_begin_as_a_response_is_a_502_at_once() {
    let origin = Origin::answering("\0\x01\x02");
    let proxy = Proxy::before(&[&origin], &[]);
    for connections in 1..=2 {
        assert_eq!((proxy.get("/").status, origin.connections()), (502, connections));
    }
}

#[test]
fn ambiguous_framing_of_a_response_is_a_502() {
    let rows = [
        ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", Reject::LengthAndEncoding),
        ("Content-Length: 2\r\nContent-Length: 2\r\n", Reject::DuplicateContentLength),
        ("Content-Length: 2, 2\r\n", Reject::ContentLength),
        ("Transfer-Encoding: gzip\r\n", Reject::UnknownEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", Reject::ChunkedNotLast),
    ];
    for (fields, reject) in rows {
        refused(format!("HTTP/1.1 200 OK\r\n{fields}\r\n0\r\n\r\n"), reject);
    }
}

#[test]
fn a_malformed_field_of_a_response_is_a_502() {
    let rows = [
        ("X: a\nContent-Length: 0\r\n", Reject::BareLf),
        ("X: a\0b\r\nContent-Length: 0\r\n", Reject::FieldValue),
        ("X: a\r\n b\r\nContent-Length: 0\r\n", Reject::ObsFold),
        ("X : a\r\nContent-Length: 0\r\n", Reject::FieldName),
    ];
    for (fields, reject) in rows {
        refused(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), reject);
    }
}

#[test]
fn an_endless_response_head_is_a_502() {
    refused(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000)), Reject::HeadTooLarge);
}

#[test]
fn a_101_nobody_asked_for_is_a_502() {
    let answer = "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    refused(answer, Reject::UnaskedUpgrade);
}

#[test]
fn bytes_behind_a_response_are_not_taken_for_the_next() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine";
    let origin =
        Origin::answering(answer.to_owned() + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    for connections in 1..=3 {
        client.get("/");
        assert_eq!(client.response().text(), "mine");
        assert_eq!(origin.connections(), connections);
    }
}

#[test]
fn a_body_in_answer_to_head_is_not_taken_for_the_next_answer() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response_with(false).status, 200);
    client.get("/");
    assert_eq!(client.response().text(), "mine");
    assert_eq!(origin.connections(), 2);
}
