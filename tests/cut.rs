//! Endpoints that break off: the client never mistakes part of a response for all of it.

use std::sync::mpsc::sync_channel;

use evener::reject::Reject;

use evener::fault::Side;

use crate::support::{Client, Ending, HANG, Origin, Proxy, eventually, filler};

const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi";

/// An origin that sends these bytes instead of a complete response, then closes each connection.
fn breaking_off(after: &'static str) -> Origin {
    Origin::start(move |mut conn| {
        conn.head();
        conn.send(after);
        conn.close();
    })
}

/// An origin that sends these bytes instead of a complete response, then resets each connection.
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
        assert_eq!(proxy.count(|m| &m.cut_answers[Side::Upstream as usize]), 1);
    }
}

#[test]
fn a_body_cut_inside_a_chunk_has_no_last_chunk() {
    let origin = breaking_off("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = asked(&proxy);
    let all = String::from_utf8(client.rest()).unwrap();
    assert!(all.ends_with("\r\n\r\n5\r\nhello\r\n"), "{all}");
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
fn a_body_with_an_invalid_chunk_has_no_last_chunk() {
    // More than a buffer, so that the response has started before the bad chunk is read.
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

/// After an orderly close, many endpoints would take a partial request for a complete one.
#[test]
fn an_endpoint_sees_a_reset_if_its_client_leaves_in_its_upload() {
    let fields =
        ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"];
    for (fields, ending) in fields.into_iter().flat_map(|f| Ending::BOTH.map(|ending| (f, ending)))
    {
        let (sender, was_reset) = sync_channel(1);
        let origin = Origin::start(move |mut conn| {
            conn.head();
            let _ = sender.send(conn.ends_by_reset());
        });
        let proxy = Proxy::before(&[&origin], &[]);
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}"));
        eventually("it arrives", || origin.heads().len() == 1);
        client.leave(ending);
        assert_eq!(was_reset.recv_timeout(HANG), Ok(true), "{fields:?}");
    }
}
