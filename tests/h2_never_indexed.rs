//! Fields that are never to be indexed (RFC 7541 §6.2.3): they go on as such between two connections of HTTP/2.

use crate::support::h2::{Frame, Message, RawClient, RawOrigin, get, post};
use crate::support::{Proxy, Rendezvous};

const NONE: &[(&str, &str)] = &[];

fn before(origin: &RawOrigin) -> Proxy {
    Proxy::start(&["--route", &format!("/={}", origin.endpoint())])
}

/// Answers each request with the names of all fields that have come never to be indexed. After the head of a
/// request it waits for `head_came`, if there is such a thing.
fn telling(head_came: Option<Rendezvous>) -> RawOrigin {
    RawOrigin::start(move |mut peer| {
        while let Some((stream, _)) = peer.request() {
            if let Some(head_came) = &head_came {
                head_came.wait();
            }
            peer.body(stream, &mut Message::default()).expect("no reset");
            let names = peer.never_indexed();
            peer.answer(stream, "200", names.as_bytes());
        }
    })
}

#[test]
fn what_a_client_wants_never_indexed_is_not_indexed_for_the_endpoint() {
    let origin = telling(None);
    let proxy = before(&origin);
    let mut client = RawClient::connect(proxy.address);
    let fields = [post("/"), vec![("x-a", "1")]].concat();
    let head = Frame::headers(1, &fields).with_never_indexed(&[("x-b", "2"), ("accept", "*/*")]);
    let trailers = Frame::headers(1, &[("x-c", "3")]).with_never_indexed(&[("x-d", "4")]).end();
    client.send_all([head, Frame::data(1, "abc"), trailers]);
    assert_eq!(client.expect_answer(1, 200).text(), "x-b accept x-d");
    let pseudo = [(":path", "/secret"), (":authority", "a")];
    let fields: Vec<_> =
        get("/").into_iter().filter(|(name, _)| ![":path", ":authority"].contains(name)).collect();
    client.send(Frame::headers(3, &fields).with_never_indexed(&pseudo).end());
    let names = client.expect_answer(3, 200).text();
    assert_eq!(names, "x-b accept x-d :authority :path");
}

#[test]
fn trailers_that_come_later_are_not_indexed_either() {
    let head_came = Rendezvous::default();
    let origin = telling(Some(head_came.clone()));
    let proxy = before(&origin);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &post("/"), false);
    head_came.wait();
    client.send(Frame::headers(1, NONE).with_never_indexed(&[("x-a", "1")]).end());
    assert_eq!(client.expect_answer(1, 200).text(), "x-a");
}

#[test]
fn what_an_endpoint_wants_never_indexed_is_not_indexed_for_the_client() {
    let origin = RawOrigin::start(|mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        let head = Frame::headers(stream, &[(":status", "200"), ("x-a", "1")]);
        let trailers = Frame::headers(stream, NONE).with_never_indexed(&[("x-c", "3")]).end();
        let head = head.with_never_indexed(&[("x-b", "2")]);
        peer.send_all([head, Frame::data(stream, "abc"), trailers]);
        peer.request();
    });
    let proxy = before(&origin);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    client.expect_answer(1, 200);
    assert_eq!(client.never_indexed(), "x-b x-c");
}
