//! Messages of HTTP/2 on the wire: what is malformed resets its stream, what is refused is answered, and
//! nothing of either reaches an endpoint.

use evener::reject::Reject;

use crate::support::h2::{Frame, RawClient, error, get, post};
use crate::support::origin::ok;
use crate::support::{Conn, Origin, Proxy, eventually};

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// A GET of `/` with these fields besides.
fn with<'a>(more: &[(&'a str, &'a str)]) -> Fields<'a> {
    [get("/"), more.to_vec()].concat()
}

/// A GET of `/` whose field of this name says this instead, or is missing.
fn but<'a>(name: &str, value: Option<&'a str>) -> Fields<'a> {
    let mut fields = get("/");
    let at = fields.iter().position(|(own, _)| *own == name).expect("a field of that name");
    match value {
        Some(value) => fields[at].1 = value,
        None => drop(fields.remove(at)),
    }
    fields
}

fn connect<'a>(more: &[(&'a str, &'a str)]) -> Fields<'a> {
    [vec![(":method", "CONNECT"), (":authority", "a:1")], more.to_vec()].concat()
}

/// Has each refused on a stream of its own, and then sees a good one through: only that arrives.
fn refuse_each(cases: &[Fields<'_>], mut refused: impl FnMut(&mut RawClient, u32, &Fields<'_>)) {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    for (stream, fields) in (1..).step_by(2).zip(cases) {
        client.send_fields(stream, fields, true);
        refused(&mut client, stream, fields);
    }
    client.get(9_999, "/");
    client.expect_answer(9_999, 200);
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn what_is_malformed_resets_its_stream_and_reaches_no_endpoint() {
    let cases = [
        but(":method", None),
        but(":scheme", None),
        but(":path", None),
        but(":path", Some("")),
        but(":method", Some("G T")),
        with(&[(":path", "/")]),
        with(&[("a", "b"), (":unknown", "a")]),
        [vec![(":status", "200")], get("/")].concat(),
        [vec![(":protocol", "websocket")], get("/")].concat(),
        [get("/"), get("/")].concat(),
        with(&[("Accept", "a")]),
        with(&[("a b", "a")]),
        with(&[("", "a")]),
        with(&[("a", " b")]),
        with(&[("a", "b\r\nx: y")]),
        with(&[("a", "b\0")]),
        with(&[("cookie", "a"), ("cookie", "b ")]),
        with(&[("connection", "keep-alive")]),
        with(&[("keep-alive", "1")]),
        with(&[("proxy-connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("upgrade", "h9")]),
        with(&[("te", "gzip")]),
        with(&[("host", "other")]),
        with(&[("content-length", "1")]),
        with(&[("content-length", "x")]),
        with(&[("content-length", "0"), ("content-length", "0")]),
        connect(&[(":path", "/")]),
    ];
    refuse_each(&cases, |client, stream, _| client.expect_reset(stream, error::PROTOCOL_ERROR));
}

#[test]
fn what_is_refused_is_answered_and_reaches_no_endpoint() {
    let cases = [
        (400, but(":scheme", Some("ftp"))),
        (400, but(":path", Some("a"))),
        (400, but(":path", Some("*"))),
        (400, but(":path", Some("/#a"))),
        (400, but(":path", Some("/a b"))),
        (400, but(":path", Some("/../a"))),
        (400, but(":authority", None)),
        (400, but(":authority", Some(""))),
        (400, but(":authority", Some("u@a"))),
        (400, with(&[("host", "test"), ("host", "test")])),
        (417, with(&[("expect", "x")])),
        (431, with(&[("a", "b"); 101])),
        (501, connect(&[])),
        (501, connect(&[(":protocol", "x"), (":scheme", "http"), (":path", "/")])),
    ];
    let (statuses, cases): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let mut statuses = statuses.into_iter();
    refuse_each(&cases, |client, stream, fields| {
        let status: u16 = statuses.next().unwrap();
        let answer = client.message(stream).unwrap_or_else(|code| panic!("{code}: {fields:?}"));
        assert_eq!(answer.status(), status.to_string(), "{fields:?}");
        assert!(answer.text().starts_with(&status.to_string()), "{answer:?}");
    });
}

#[test]
fn a_refused_head_is_answered_without_a_body() {
    let cases = [[but(":method", Some("HEAD")), vec![("expect", "x")]].concat()];
    refuse_each(&cases, |client, stream, _| {
        assert_eq!(client.expect_answer(stream, 417).text(), "");
    });
}

/// Sends a POST with a body whose length is announced or not, and then its last frame, which is refused:
/// whether it comes at once or once the endpoint has the head.
fn refused_at_its_end(reject: Reject, length: Option<&str>, last: &Frame) {
    let origin = Origin::start(|mut conn: Conn| {
        conn.head();
        assert!(conn.ends_by_reset());
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    let length = length.map(|length| ("content-length", length));
    let fields = [post("/"), length.into_iter().collect()].concat();
    let begun = |stream| [Frame::headers(stream, &fields), Frame::data(stream, "abc")];
    client.send_all(begun(1).into_iter().chain([last.clone()]));
    client.expect_reset(1, error::PROTOCOL_ERROR);
    let before = origin.heads().len();
    client.send_all(begun(3));
    eventually("the head has arrived", || origin.heads().len() > before);
    client.send(Frame { stream: 3, ..last.clone() });
    client.expect_reset(3, error::PROTOCOL_ERROR);
    client.expect_alive();
    let count = || proxy.count(|metrics| &metrics.rejects[reject as usize]);
    eventually(&format!("both are counted as {reject:?}"), || count() == 2);
}

#[test]
fn a_body_shorter_than_it_says_is_malformed() {
    for last in [Frame::data(1, "").end(), Frame::headers(1, &[("a", "b")]).end()] {
        refused_at_its_end(Reject::LengthMismatch, Some("4"), &last);
    }
}

#[test]
fn a_body_longer_than_it_says_is_malformed() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    for (stream, length) in [(1, "0"), (3, "2")] {
        let fields = [post("/"), vec![("content-length", length)]].concat();
        client.send_all([Frame::headers(stream, &fields), Frame::data(stream, "abc").end()]);
        client.expect_reset(stream, error::PROTOCOL_ERROR);
    }
    client.expect_alive();
}

#[test]
fn trailers_that_may_not_be_some_are_malformed() {
    let rows = [
        (":path", "/", Reject::PseudoHeader),
        (":status", "200", Reject::PseudoHeader),
        ("A", "b", Reject::Trailer),
        ("a", "b\n", Reject::Trailer),
        ("connection", "close", Reject::ForbiddenTrailer),
        ("host", "a", Reject::ForbiddenTrailer),
    ];
    for (name, value, reject) in rows {
        for length in [None, Some("3")] {
            let last = Frame::headers(1, &[(name, value)]).end();
            refused_at_its_end(reject, length, &last);
        }
    }
}

#[test]
fn a_second_head_that_does_not_end_its_stream_is_malformed() {
    refused_at_its_end(Reject::Trailer, None, &Frame::headers(1, &[("a", "b")]));
}

#[test]
fn what_is_of_one_hop_only_does_not_come_back() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nDate: now\r\nConnection: X-Mine, close\r\nX-Mine: 1\r\nKeep-Alive: 1\r\n\
         Upgrade: h9\r\nProxy-Connection: a\r\nSet-Cookie: A=b\r\nset-cookie: c=d\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    let answer = client.expect_answer(1, 200);
    let fields: Vec<_> = answer.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let expected =
        [(":status", "200"), ("date", "now"), ("set-cookie", "A=b"), ("set-cookie", "c=d")];
    assert_eq!((&fields[..], answer.text().as_str()), (&expected[..], "hi"));
}

#[test]
fn bodiless_responses_have_none() {
    let origin = Origin::start(|mut conn: Conn| {
        while let Some(head) = conn.head() {
            let status = head.split(['/', ' ']).nth(2).unwrap().to_owned();
            conn.send(format!("HTTP/1.1 {status} A\r\nContent-Length: 5\r\n\r\n"));
            if status == "200" && head.starts_with("GET") {
                conn.send("hello");
            }
        }
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    let rows = [
        ("GET", "/200", "hello", Some("5")),
        ("HEAD", "/200", "", Some("5")),
        ("GET", "/304", "", Some("5")),
        ("GET", "/204", "", None),
    ];
    for (stream, (method, path, body, length)) in (1..).step_by(2).zip(rows) {
        let mut fields = get(path);
        fields[0].1 = method;
        client.send_fields(stream, &fields, true);
        let answer = client.message(stream).unwrap();
        assert_eq!((answer.text().as_str(), answer.field("content-length")), (body, length));
    }
}

#[test]
fn a_body_with_a_length_is_one_in_http_1_1() {
    let origin = Origin::start(|mut conn: Conn| {
        let head = conn.head().unwrap();
        assert!(head.contains("content-length: 3\r\n") || head.contains("Content-Length: 3\r\n"));
        let body = conn.bytes(3).unwrap();
        conn.send(ok(&String::from_utf8(body).unwrap()));
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &[post("/"), vec![("content-length", "3")]].concat(), false);
    client.send(Frame::data(1, "abc").end());
    assert_eq!(client.expect_answer(1, 200).text(), "abc");
}
