//! Limits of a route where clients or endpoints speak HTTP/2.

use crate::configuration::read;
use crate::support::h2::{Frame, RawClient, RawOrigin, error, kind, post};
use crate::support::{Origin, Proxy, eventually};

fn proxy(endpoint: &str, keys: &str) -> Proxy {
    let text = format!(
        "listen: 127.0.0.1:0\nthreads: 1\ncheck: off\nlog_level: off\nroutes:\n  - {{prefix: /, \
         endpoints: ['{endpoint}'], {keys}}}\n"
    );
    Proxy::configured(read(&text, &[]).unwrap())
}

#[test]
fn a_stream_beyond_the_rate_gets_429() {
    let origin = Origin::named("o");
    let proxy = proxy(&origin.address.to_string(), "rate_limit: {rate: 1/h}");
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    client.expect_answer(1, 200);
    client.get(3, "/");
    let refused = client.expect_answer(3, 429);
    assert_eq!(refused.field("retry-after"), Some("3600"));
}

#[test]
fn a_body_whose_length_is_too_large_is_refused_before_an_endpoint_is_asked() {
    let origin = Origin::named("o");
    let proxy = proxy(&origin.address.to_string(), "max_body: 5");
    let mut client = RawClient::connect(proxy.address);
    let head = [&post("/")[..], &[("content-length", "6")]].concat();
    client.send_all([Frame::headers(1, &head), Frame::data(1, b"123456".as_slice()).end()]);
    client.expect_answer(1, 413);
    client.post(3, "/", b"12345");
    client.expect_answer(3, 200);
    // What it does not read of a body, it takes for heads.
    let asked = origin.heads().iter().filter(|head| head.starts_with("POST ")).count();
    assert_eq!(asked, 1);
}

#[test]
fn a_stream_that_grows_too_long_is_cut_for_an_endpoint_of_http_1() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        assert!(conn.chunks().is_none(), "it is not whole");
    });
    let proxy = proxy(&origin.address.to_string(), "max_body: 5");
    let mut client = RawClient::connect(proxy.address);
    client.send_all([Frame::headers(1, &post("/")), Frame::data(1, b"123".as_slice())]);
    eventually("the endpoint is asked", || origin.heads().len() == 1);
    client.send(Frame::data(1, b"456".as_slice()).end());
    client.expect_answer(1, 413);
    client.expect_alive();
}

#[test]
fn a_stream_that_grows_too_long_is_cut_for_an_endpoint_of_http_2() {
    let origin = RawOrigin::start(|mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        let mut data = Vec::new();
        while let Some(frame) = peer.next_frame() {
            match frame.kind {
                kind::DATA => {
                    assert!(!frame.has(0x1), "it is not whole");
                    data.extend_from_slice(frame.content());
                }
                kind::RST_STREAM => {
                    assert_eq!((frame.stream, frame.code()), (stream, error::CANCEL));
                    break;
                }
                _ => {}
            }
        }
        assert!(data.len() <= 5, "{data:?}");
    });
    let proxy = proxy(&origin.endpoint(), "max_body: 5");
    let mut client = RawClient::connect(proxy.address);
    client.send_all([Frame::headers(1, &post("/")), Frame::data(1, b"123".as_slice())]);
    eventually("the endpoint is asked", || proxy.attempts(0) == 1);
    client.send(Frame::data(1, b"456".as_slice()).end());
    client.expect_answer(1, 413);
    client.expect_alive();
}
