//! gRPC: calls of every kind, their deadlines, and answers of ours to them.

use std::future::poll_fn;
use std::net::TcpListener;

use bytes::Bytes;
use h2::Reason;
use serde_json::json;

use crate::support::grpc::{Messages, call, message, refusal, request, status};
use crate::support::h2::{
    Frame, H2Client, H2Exchange, H2Origin, RawClient, RawOrigin, error, flag, kind, post, response,
    send_data, value_of,
};
use crate::support::library::run;
use crate::support::logged::Logged;
use crate::support::{Origin, Proxy, Rendezvous};

fn before(origin: &H2Origin, flags: &[&str]) -> Proxy {
    Proxy::start(&[&["--route", &format!("/={}", origin.endpoint())], flags].concat())
}

/// An origin that answers every message by itself as it comes, and the end by their number.
fn counting() -> H2Origin {
    H2Origin::start(async |mut exchange: H2Exchange| {
        assert_eq!(exchange.head.headers["te"], "trailers");
        assert_eq!(exchange.head.headers["content-type"], "application/grpc+proto");
        let mut answer = exchange.begin(200).unwrap();
        let (mut messages, mut count) = (Messages::of(exchange.body), 0);
        while let Some(text) = messages.next().await {
            send_data(&mut answer, message(&text), false).await.unwrap();
            count += 1;
        }
        send_data(&mut answer, message(&count.to_string()), false).await.unwrap();
        answer.send_trailers(status("0")).unwrap();
    })
}

/// An origin that answers `/answer`. To other calls it says nothing, or one message if it `begins`, and meets
/// whoever waits for it once its client has given them up.
fn stalling(begins: bool) -> (H2Origin, Rendezvous) {
    let cancelled = Rendezvous::default();
    let ours = cancelled.clone();
    let origin = H2Origin::start(move |exchange| stall(exchange, begins, ours.clone()));
    (origin, cancelled)
}

async fn stall(mut exchange: H2Exchange, begins: bool, cancelled: Rendezvous) {
    if exchange.head.uri.path() == "/answer" {
        return exchange.answer(200, "").await;
    }
    let reason = if begins {
        let mut answer = exchange.begin(200).unwrap();
        send_data(&mut answer, message("hello"), false).await.unwrap();
        poll_fn(|cx| answer.poll_reset(cx)).await
    } else {
        poll_fn(|cx| exchange.respond.poll_reset(cx)).await
    };
    assert_eq!(reason.unwrap(), Reason::CANCEL);
    cancelled.wait();
}

/// What a call is answered with by us.
fn refused(proxy: &Proxy, fields: &[(&str, &str)]) -> (String, String) {
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, fields, true);
    refusal(&mut client, 1)
}

#[test]
fn each_message_passes_before_the_next_is_sent() {
    let origin = counting();
    let proxy = before(&origin, &[]);
    run(async {
        let client = H2Client::connect(proxy.address).await;
        let (answer, mut up) = client.open(request(), false).await.unwrap();
        let mut messages = Messages::of(answer.await.unwrap().into_body());
        for text in ["one", "two", "three"] {
            send_data(&mut up, message(text), false).await.unwrap();
            assert_eq!(messages.next().await.as_deref(), Some(text));
        }
        send_data(&mut up, Bytes::new(), true).await.unwrap();
        assert_eq!(messages.next().await.as_deref(), Some("3"));
        assert_eq!(messages.status().await, "0");
    });
}

#[test]
fn one_message_and_many_pass_either_way() {
    let origin = counting();
    let proxy = before(&origin, &[]);
    run(async {
        let client = H2Client::connect(proxy.address).await;
        for count in [0, 1, 500] {
            let (answer, mut up) = client.open(request(), false).await.unwrap();
            for number in 0..count {
                let last = number + 1 == count;
                send_data(&mut up, message(&format!("message {number}")), last).await.unwrap();
            }
            if count == 0 {
                send_data(&mut up, Bytes::new(), true).await.unwrap();
            }
            let mut messages = Messages::of(answer.await.unwrap().into_body());
            for number in 0..count {
                assert_eq!(messages.next().await, Some(format!("message {number}")));
            }
            assert_eq!(messages.next().await, Some(count.to_string()));
            assert_eq!(messages.status().await, "0");
        }
    });
}

#[test]
fn trailers_alone_pass() {
    let origin = H2Origin::start(async |mut exchange: H2Exchange| {
        let mut answer = response(200);
        *answer.headers_mut() = status("5");
        exchange.respond.send_response(answer, true).unwrap();
    });
    let proxy = before(&origin, &[]);
    run(async {
        let client = H2Client::connect(proxy.address).await;
        let (answer, _up) = client.open(request(), true).await.unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "5");
        assert!(answer.body().is_end_stream());
    });
}

#[test]
fn a_call_without_an_endpoint_is_unavailable() {
    let closed = Origin::refusing();
    let proxy = Proxy::start(&["--route", &format!("/=h2c://{}", closed.address)]);
    let said = refused(&proxy, &call(&[]));
    assert_eq!(said, ("14".into(), "endpoint refused the connection".into()));
}

#[test]
fn a_call_without_a_route_is_unimplemented() {
    let proxy = Proxy::start(&["--route", "/other=127.0.0.1:1"]);
    assert_eq!(refused(&proxy, &call(&[])), ("12".into(), "no route for this path".into()));
}

#[test]
fn a_call_that_is_refused_is_told_so() {
    let proxy = Proxy::start(&["--route", "/=127.0.0.1:1", "--max-head", "1k"]);
    let large = "a".repeat(16_000);
    let said = refused(&proxy, &call(&[("x-large", &large)]));
    assert_eq!(said, ("8".into(), "head too large".into()));
}

#[test]
fn what_is_no_call_is_answered_as_usual() {
    let proxy = Proxy::start(&["--route", "/other=127.0.0.1:1"]);
    let mut client = RawClient::connect(proxy.address);
    let fields = [post("/a.B/C"), vec![("content-type", "application/grpc-web+proto")]].concat();
    client.send_fields(1, &fields, true);
    assert_eq!(client.expect_answer(1, 404).text(), "404 Not Found: no route for this path\n");
}

#[test]
fn a_call_that_takes_too_long_has_exceeded_its_deadline() {
    let (origin, cancelled) = stalling(false);
    let proxy = before(&origin, &["--max-fails", "1"]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &call(&[("grpc-timeout", "500m")]), true);
    let said = refusal(&mut client, 1);
    assert_eq!(said, ("4".into(), "deadline of the client has passed".into()));
    cancelled.wait();
    // That is nothing against the endpoint.
    let mut fields = call(&[]);
    fields[3].1 = "/answer";
    client.send_fields(3, &fields, true);
    client.expect_answer(3, 200);
    let timeout = origin.heads()[0].headers["grpc-timeout"].clone();
    assert_eq!(timeout, "500m");
}

#[test]
fn a_deadline_that_passes_amid_an_answer_cancels_it() {
    let (origin, cancelled) = stalling(true);
    let proxy = before(&origin, &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &call(&[("grpc-timeout", "1S")]), false);
    client.expect_reset(1, error::CANCEL);
    cancelled.wait();
}

/// What comes of a call that is answered with a head and a message by an endpoint that is gone once they have
/// arrived.
fn lost(content_type: &'static str, check: impl FnOnce(&mut RawClient)) {
    let arrived = Rendezvous::default();
    let theirs = arrived.clone();
    let origin = RawOrigin::start(move |mut peer| {
        let Some((stream, _)) = peer.request() else { return };
        peer.send_fields(stream, &[(":status", "200"), ("content-type", content_type)], false);
        peer.send(Frame::data(stream, &message("hello")[..]));
        theirs.wait();
    });
    let proxy = Proxy::start(&["--route", &format!("/={}", origin.endpoint())]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &call(&[]), false);
    client.until("the head", |frame| frame.is(kind::HEADERS, 1));
    client.until("a message", |frame| frame.is(kind::DATA, 1));
    arrived.wait();
    check(&mut client);
}

#[test]
fn a_call_whose_endpoint_is_lost_amid_its_answer_is_unavailable() {
    lost("application/grpc+proto", |client| {
        let trailers = client.until("trailers", |frame| frame.is(kind::HEADERS, 1));
        assert!(trailers.has(flag::END_STREAM));
        let fields = trailers.fields.unwrap();
        assert_eq!(value_of(&fields, "grpc-status"), Some("14"));
        assert_eq!(value_of(&fields, "grpc-message"), Some("response was cut short"));
        // The rest of the request is not needed.
        client.expect_reset(1, error::NO_ERROR);
    });
}

#[test]
fn an_answer_in_another_format_that_is_cut_is_reset() {
    lost("text/plain", |client| client.expect_reset(1, error::INTERNAL_ERROR));
}

#[test]
fn the_response_timeout_holds_for_calls_that_wait_longer() {
    let (origin, cancelled) = stalling(false);
    let proxy = before(&origin, &["--response-timeout", "50ms"]);
    let said = refused(&proxy, &call(&[("grpc-timeout", "1H")]));
    assert_eq!(said, ("4".into(), "endpoint did not answer in time".into()));
    cancelled.wait();
}

#[test]
fn a_deadline_bounds_the_wait_for_a_connection() {
    // The kernel accepts, and nobody says that HTTP/2 is spoken.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = Proxy::start(&["--route", &format!("/=h2c://{address}")]);
    let said = refused(&proxy, &call(&[("grpc-timeout", "50m")]));
    assert_eq!(said.0, "4");
}

#[test]
fn a_call_that_its_client_cancels_is_cancelled_at_the_endpoint() {
    let (origin, cancelled) = stalling(true);
    let proxy = before(&origin, &[]);
    let mut client = RawClient::connect(proxy.address);
    client.send_fields(1, &call(&[]), false);
    client.until("a message", |frame| frame.is(kind::DATA, 1));
    client.send(Frame::reset(1, error::CANCEL));
    cancelled.wait();
    client.expect_alive();
}

#[test]
fn the_access_log_has_the_status_of_any_other_request() {
    let proxy = Logged::start(&["--route", "/other=127.0.0.1:1"]);
    refused(&proxy.proxy, &call(&[]));
    assert_eq!(proxy.says(["method", "status", "end"]), [json!("POST"), json!(404), json!("RN")]);
}
