//! Ceilings where clients or endpoints speak HTTP/2: streams count one each, and calls have deadlines.

use evener::metrics::UpstreamMetrics;

use crate::support::grpc::{call, refusal};
use crate::support::h2::{Frame, RawClient, RawOrigin, error, kind, value_of};
use crate::support::{Proxy, eventually};

#[test]
fn a_stream_of_http_2_counts_until_it_has_ended() {
    let origin = RawOrigin::start(|mut peer| {
        // The first is never answered, and reset once its client has left.
        let Some((first, _)) = peer.request() else { return };
        peer.expect_reset(first, error::CANCEL);
        while let Some((stream, _)) = peer.request() {
            peer.answer(stream, "200", b"next");
        }
    });
    let route = format!("/={}", origin.endpoint());
    let flags = ["--route", &route, "--max-requests", "1", "--queue-timeout", "1h"];
    let proxy = Proxy::start(&flags);
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    eventually("it is there", || proxy.attempts(0) == 1);
    client.get(3, "/");
    eventually("it waits", || proxy.waiting() == 1);
    client.send(Frame::reset(1, error::CANCEL));
    client.until("the answer", |frame| frame.is(kind::HEADERS, 3));
    assert_eq!(proxy.attempts(0), 2);
}

#[test]
fn a_call_whose_deadline_passes_in_the_queue_is_told_so_and_makes_room_in_it() {
    let origin = RawOrigin::start(|mut peer| {
        let Some((first, _)) = peer.request() else { return };
        peer.expect_reset(first, error::CANCEL);
        let Some((second, fields)) = peer.request() else { return };
        assert_eq!(value_of(&fields, ":path"), Some("/next"));
        peer.answer(second, "200", b"next");
    });
    let route = format!("/={}", origin.endpoint());
    let ceiling = ["--max-requests", "1", "--queue", "1", "--queue-timeout", "1h"];
    let proxy = Proxy::start(&[&["--route", &route], &ceiling[..]].concat());
    let mut client = RawClient::connect(proxy.address);
    client.get(1, "/");
    eventually("it is there", || proxy.attempts(0) == 1);
    client.send_fields(3, &call(&[("grpc-timeout", "50m")]), true);
    let said = refusal(&mut client, 3);
    assert_eq!(said, ("4".into(), "deadline of the client has passed".into()));
    let left = |counts: &UpstreamMetrics| counts.queue_left.get();
    assert_eq!((proxy.waiting(), proxy.plan().upstreams[0].record.total(left)), (0, 1));
    client.get(5, "/next");
    eventually("the next waits in its place", || proxy.waiting() == 1);
    client.send(Frame::reset(1, error::CANCEL));
    client.until("the answer", |frame| frame.is(kind::HEADERS, 5));
}
