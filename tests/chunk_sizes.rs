//! Chunk sizes are not passed on before their data, so that an endpoint that truncates them to 32 bits
//! finds no other request.

use crate::support::wrapping::{Wrapping, split_chunks};
use crate::support::{Origin, Proxy};

/// A chunk of 2³² + 1 bytes, which is one byte and a complete body when truncated to 32 bits.
const WRAPPED: &str = "100000001\r\nA\r\n0\r\n\r\n";

const OPEN: &str = "POST /open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

const ADMIN: &str = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";

/// The requests that an endpoint which truncates sizes to 32 bits reads from these pieces.
fn seen_of(pieces: &[&[u8]]) -> Vec<String> {
    let endpoint = Wrapping::start();
    let route = format!("/open={}", endpoint.origin.address);
    let proxy = Proxy::start(&["--route", &route]);
    let mut client = proxy.client();
    for piece in pieces {
        client.send(piece);
    }
    client.finish();
    client.rest();
    endpoint.lines()
}

#[test]
fn a_size_that_wraps_hides_no_request() {
    let all = [OPEN, WRAPPED, ADMIN].concat();
    assert_eq!(seen_of(&[all.as_bytes()]), ["POST /open HTTP/1.1"]);
}

#[test]
fn a_size_that_wraps_hides_no_request_in_single_bytes() {
    let all = [OPEN, WRAPPED, ADMIN].concat();
    let bytes: Vec<_> = all.as_bytes().chunks(1).collect();
    assert_eq!(seen_of(&bytes), ["POST /open HTTP/1.1"]);
}

#[test]
fn a_size_that_wraps_hides_no_request_after_other_chunks() {
    let all = [OPEN, "3\r\nabc\r\n", WRAPPED, ADMIN].concat();
    assert_eq!(seen_of(&[all.as_bytes()]), ["POST /open HTTP/1.1"]);
    // A size of its own, and data that fills more than a block.
    let long = "x".repeat(100_000);
    let all = [OPEN, &format!("{:x}\r\n{long}\r\n", long.len()), WRAPPED, ADMIN].concat();
    assert_eq!(seen_of(&[all.as_bytes()]), ["POST /open HTTP/1.1"]);
}

#[test]
fn a_size_that_wraps_hides_no_response() {
    let head = "HTTP/1.1 200 OK\r\nDate: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let planted = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplanted";
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send([head, WRAPPED, planted].concat());
        conn.close();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    let all = client.rest();
    assert!(all.starts_with(head.as_bytes()));
    let (data, after) = split_chunks(&all[head.len()..]);
    let expected = ["A\r\n0\r\n\r\n", planted].concat();
    assert_eq!((data.as_slice(), after), (expected.as_bytes(), &b""[..]));
}

/// An endpoint that acts on whole chunks need not wait for the rest of one.
#[test]
fn a_part_of_a_chunk_goes_on_as_a_chunk() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        let parts = [&b"5\r\nhello\r\n"[..], b"1\r\n,\r\n", b"6\r\n world\r\n0\r\n\r\n"];
        for part in parts {
            assert_eq!(conn.bytes(part.len()).as_deref(), Some(part));
            conn.send("HTTP/1.1 103 Early Hints\r\n\r\n");
        }
        conn.send(crate::support::origin::ok("well"));
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(OPEN.to_owned() + "c;x=y\r\nhello");
    for part in [",", " world\r\n0\r\n\r\n"] {
        assert_eq!(client.response().status, 103);
        client.send(part);
    }
    assert_eq!(client.response().status, 103);
    assert_eq!(client.response().text(), "well");
}
