//! Copies of requests that come or go over HTTP/2.

use crate::mirror::{MIRROR, before, telling};
use crate::support::Origin;
use crate::support::h2::{H2Client, H2Origin};
use crate::support::library::run;
use crate::support::{eventually, filler};

#[test]
fn a_request_over_http_2_is_copied_whole_for_http_1_1() {
    let (app, (shadow, copies)) = (H2Origin::echoing(), telling());
    let plain = Origin::start(|mut conn| {
        conn.head();
        let body = conn.bytes(30_000).unwrap();
        conn.send(crate::support::origin::ok(&body.len().to_string()));
    });
    for endpoint in [app.endpoint(), plain.address.to_string()] {
        let proxy = before(&endpoint, &shadow.address.to_string(), MIRROR);
        let body = filler(30_000);
        let answer =
            run(async { H2Client::connect(proxy.address).await.post("/a?b", body.clone()).await });
        assert_eq!(answer.status, 200);
        let (head, sent) = copies.recv().unwrap();
        assert!(
            head.starts_with("POST /a?b HTTP/1.1\r\n") && head.contains("\r\nX-Mirror: 1\r\n"),
            "{head}"
        );
        assert!(sent == body);
    }
}

#[test]
fn a_copy_may_go_over_http_2() {
    let (app, shadow) = (Origin::named("app"), H2Origin::named("shadow"));
    let proxy = before(&app.address.to_string(), &shadow.endpoint(), MIRROR);
    let mut client = proxy.client();
    for _ in 0..3 {
        client.get("/a");
        assert_eq!(client.response().text(), "app");
    }
    eventually("copies come", || shadow.heads().len() == 3);
    let head = &shadow.heads()[0];
    assert_eq!((head.uri.path(), &head.headers["x-mirror"]), ("/a", &"1".parse().unwrap()));
    assert_eq!(shadow.connections(), 1);
}

#[test]
fn bodies_beyond_64_kib_go_on_between_two_connections_of_http_2() {
    let (app, shadow) = (H2Origin::echoing(), H2Origin::named("shadow"));
    let proxy = before(&app.endpoint(), &shadow.endpoint(), MIRROR);
    let body = filler(1 << 20);
    let answer =
        run(async { H2Client::connect(proxy.address).await.post("/", body.clone()).await });
    assert!(answer.body.bytes == body);
    assert!(shadow.heads().is_empty());
}
