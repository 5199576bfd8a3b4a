//! What `/status` says of the attempts that an endpoint has failed.

use serde_json::Value;

use crate::support::h2::{Frame, RawOrigin, error};
use crate::support::{Admin, Origin, eventually};

/// A balancer whose only endpoint has been asked once, and the status that its client got.
fn asked(origin: &RawOrigin, flags: &[&str]) -> (Admin, u16) {
    let route = format!("/={}", origin.endpoint());
    let admin = Admin::start(&[&["--route", &route], flags].concat());
    let mut client = admin.client();
    client.get("/");
    let status = client.response().status;
    (admin, status)
}

/// What the endpoint has failed by, its state, and its last failure.
fn failed(admin: &Admin) -> (Value, Value, Value) {
    let endpoint = admin.endpoint(0);
    let last = endpoint["last_failures"][0]["what"].clone();
    (endpoint["failures"].clone(), endpoint["state"].clone(), last)
}

#[test]
fn a_failure_that_an_endpoint_is_not_blamed_for_is_listed_as_well() {
    let origin = RawOrigin::start(|mut peer| {
        while let Some((stream, _)) = peer.request() {
            peer.send(Frame::reset(stream, error::REFUSED_STREAM));
        }
    });
    let (admin, status) = asked(&origin, &["--max-fails", "1"]);
    let (failures, state, last) = failed(&admin);
    let expected = "response head: endpoint closed without an answer: \
                    it reset the stream with REFUSED_STREAM; not blamed for it";
    assert_eq!((status, state, last), (502, "up".into(), expected.into()));
    assert!(failures.as_u64() >= Some(1), "{failures}");
}

#[test]
fn a_reset_is_listed_and_logged_with_its_code() {
    let origin = RawOrigin::start(|mut peer| {
        if let Some((stream, _)) = peer.request() {
            peer.send(Frame::reset(stream, error::CANCEL));
        }
        peer.find(|_| false);
    });
    let (admin, status) = asked(&origin, &["--max-fails", "1", "--fail-timeout", "1h"]);
    let last = "response head: endpoint closed without an answer: it reset the stream with CANCEL";
    assert_eq!((status, failed(&admin)), (502, (1.into(), "ejected".into(), last.into())));
    let line = "endpoint closed without an answer (UA): it reset the stream with CANCEL";
    eventually(line, || admin.process.says(line));
}

#[test]
fn an_answer_that_counts_as_a_failure_is_listed_and_counted() {
    let origin = Origin::answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let flags = ["--fail-on-5xx", "--max-fails", "1", "--fail-timeout", "1h"];
    let admin = Admin::before(&[&origin], &flags);
    let mut client = admin.client();
    client.get("/");
    assert_eq!(client.response().status, 500);
    let last = "response head: unhealthy answer: HTTP status 500";
    let expected = (1.into(), "ejected".into(), last.into());
    eventually("it is listed", || failed(&admin) == expected);
}
