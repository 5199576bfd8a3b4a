//! The statuses of gRPC calls in the access log and in the metrics.

use evener::grpc::status::Status;
use serde_json::{Value, json};

use crate::support::grpc::{call, refusal, status};
use crate::support::h2::{Frame, H2Exchange, H2Origin, RawClient, error, get, response};
use crate::support::logged::Logged;
use crate::support::{Origin, eventually};

/// A balancer before this endpoint, and a client that has sent it these fields.
fn asked(endpoint: &str, fields: &[(&str, &str)]) -> (Logged, RawClient) {
    let logged = Logged::start(&["--route", &format!("/={endpoint}")]);
    let mut client = RawClient::connect(logged.proxy.address);
    client.send_fields(1, fields, true);
    (logged, client)
}

/// The only call is counted and logged so.
fn expect(logged: &Logged, place: usize, value: &Value) {
    let counted = || {
        (0..=Status::ALL.len())
            .map(|at| logged.proxy.count(|all| &all.http2.calls[at]))
            .sum::<u64>()
    };
    eventually("it is counted", || logged.proxy.count(|all| &all.http2.calls[place]) == 1);
    assert_eq!((counted(), &logged.line()["grpc_status"]), (1, value));
}

#[test]
fn the_status_in_the_trailers_of_an_endpoint_is_logged_and_counted() {
    let origin = H2Origin::start(async |mut exchange: H2Exchange| {
        exchange.begin(200).unwrap().send_trailers(status("5")).unwrap();
    });
    let (logged, mut client) = asked(&origin.endpoint(), &call(&[]));
    client.message(1).unwrap();
    expect(&logged, 5, &json!(5));
}

#[test]
fn so_is_that_of_trailers_alone() {
    let origin = H2Origin::start(async |mut exchange: H2Exchange| {
        let mut answer = response(200);
        *answer.headers_mut() = status("0");
        exchange.respond.send_response(answer, true).unwrap();
    });
    let (logged, mut client) = asked(&origin.endpoint(), &call(&[]));
    client.message(1).unwrap();
    expect(&logged, 0, &json!(0));
}

#[test]
fn so_is_one_of_ours() {
    let refusing = format!("h2c://{}", Origin::refusing().address);
    let (logged, mut client) = asked(&refusing, &call(&[]));
    assert_eq!(refusal(&mut client, 1).0, "14");
    expect(&logged, 14, &json!(14));
    let (logged, mut client) = asked(&refusing, &call(&[("expect", "x")]));
    assert_eq!(refusal(&mut client, 1).0, "2");
    expect(&logged, 2, &json!(2));
}

#[test]
fn a_call_whose_client_gives_it_up_has_none() {
    let origin = H2Origin::start(async |mut exchange: H2Exchange| {
        let _ = std::future::poll_fn(|cx| exchange.respond.poll_reset(cx)).await;
    });
    let (logged, mut client) = asked(&origin.endpoint(), &call(&[]));
    eventually("it is there", || !origin.heads().is_empty());
    client.send(Frame::reset(1, error::CANCEL));
    expect(&logged, Status::ALL.len(), &Value::Null);
}

#[test]
fn so_has_one_that_is_refused_after_its_client_has_given_it_up() {
    let logged = Logged::start(&["--route", "/=127.0.0.1:1"]);
    let mut client = RawClient::connect(logged.proxy.address);
    let refused = Frame::headers(1, &call(&[("expect", "x")])).end();
    client.send_all([refused, Frame::reset(1, error::CANCEL)]);
    expect(&logged, Status::ALL.len(), &Value::Null);
}

#[test]
fn another_request_is_not_counted_whatever_its_answer_says() {
    let origin = H2Origin::start(async |mut exchange: H2Exchange| {
        exchange.begin(200).unwrap().send_trailers(status("5")).unwrap();
    });
    let (logged, mut client) = asked(&origin.endpoint(), &get("/"));
    client.message(1).unwrap();
    assert_eq!(logged.line().get("grpc_status"), None);
    assert!((0..=Status::ALL.len()).all(|at| logged.proxy.count(|all| &all.http2.calls[at]) == 0));
}
