//! Jobs of docs/jobs.md that are about what goes on for longer.

use bytes::Bytes;
use hyper::http::Request;

use crate::jobs::Job;
use crate::support::grpc::{Messages, message, status};
use crate::support::h2::{Frame, H2Client, H2Exchange, H2Origin, RawClient, send_data, value_of};
use crate::support::library::run;
use crate::support::tls::{Authority, TlsOptions};
use crate::support::websocket::{CONNECT, GET, agreeing, expect_data};
use crate::support::{Client, Origin, Rendezvous, eventually};

/// An origin that agrees to every WebSocket and returns what comes.
fn echoing() -> Origin {
    agreeing("", |mut conn| {
        while let Some(bytes) = conn.bytes(5) {
            conn.send(bytes);
        }
        conn.close();
    })
}

#[test]
fn websocket_route() {
    let [app, chat] = [echoing(), echoing()];
    let endpoints = [app.address, chat.address];
    let job = Job::with("websocket_route", &endpoints, &["--tunnel-timeout", "50ms"], &[]);
    let mut client = job.client();
    assert_eq!(client.ask(GET).status, 101);
    let mut h2 = RawClient::connect(job.addresses[0]);
    h2.send_fields(1, CONNECT, false);
    assert_eq!(value_of(&h2.section(1).unwrap(), ":status"), Some("200"));
    let mut elsewhere = job.client();
    assert_eq!(elsewhere.ask(GET.replace("/chat", "/other")).status, 101);
    assert!(elsewhere.is_closed(), "silence ends it");
    client.send("hello");
    assert_eq!(client.exactly(5), b"hello");
    h2.send(Frame::data(1, "hello"));
    expect_data(&mut h2, 1, b"hello");
    assert_eq!([app, chat].map(|origin| origin.heads().len()), [1, 2]);
}

/// An origin of events: the first comes at once, the second when the test says so.
fn events() -> (Origin, Rendezvous) {
    let goes_on = Rendezvous::default();
    let on = goes_on.clone();
    let origin = Origin::start(move |mut conn| {
        while let Some(head) = conn.head() {
            let event = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
            conn.send(format!("HTTP/1.1 200 OK\r\n{event}"));
            if head.starts_with("GET /events") {
                on.wait();
                conn.send("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
            }
        }
    });
    (origin, goes_on)
}

/// Reads until this has come.
fn read_until(client: &mut Client, text: &str) {
    let mut come = Vec::new();
    while !come.ends_with(text.as_bytes()) {
        come.extend(client.exactly(1));
    }
}

#[test]
fn server_sent_events() {
    let ((app, _), (origin, goes_on)) = (events(), events());
    let endpoints = [app.address, origin.address];
    let job = Job::with("server_sent_events", &endpoints, &["--idle-timeout", "50ms"], &[]);
    let mut client = job.client();
    client.get("/events");
    read_until(&mut client, "data: 1\n\n");
    let elsewhere = job.ask("GET /other");
    assert_eq!((elsewhere.text(), elsewhere.whole), ("data: 1\n\n".to_owned(), false));
    goes_on.wait();
    read_until(&mut client, "data: 2\n\n");
    run(async {
        let client = H2Client::connect(job.addresses[0]).await;
        let request = Request::get("http://example.com/events").body(()).unwrap();
        let (answer, _) = client.open(request, true).await.unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut body = answer.into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "data: 1\n\n");
        goes_on.wait();
        assert_eq!(body.data().await.unwrap().unwrap(), "data: 2\n\n");
    });
}

/// The answer of a server that is healthy (SERVING of grpc.health.v1).
async fn answer_call(mut exchange: H2Exchange) {
    let is_check = exchange.head.uri.path() == "/grpc.health.v1.Health/Check";
    let said = if is_check { Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]) } else { message("hello") };
    let mut answer = exchange.begin(200).unwrap();
    send_data(&mut answer, said, false).await.unwrap();
    answer.send_trailers(status("0")).unwrap();
}

#[test]
fn grpc() {
    let greeter = H2Origin::start(answer_call);
    let job = Job::start("grpc", &[greeter.address]);
    let has_been = |path: &str| greeter.heads().iter().any(|head| head.uri.path() == path);
    eventually("its health is asked", || has_been("/grpc.health.v1.Health/Check"));
    run(async {
        let options = TlsOptions::trusting(Authority::shared());
        let client = H2Client::connect_tls(job.addresses[0], options, "example.com").await;
        let call = async |path: &str| {
            let request = Request::post(format!("https://example.com{path}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers");
            let (answer, mut up) = client.open(request.body(()).unwrap(), false).await.unwrap();
            send_data(&mut up, message("you"), true).await.unwrap();
            answer.await.unwrap()
        };
        let mut messages = Messages::of(call("/helloworld.Greeter/SayHello").await.into_body());
        assert_eq!(messages.next().await.as_deref(), Some("hello"));
        assert_eq!(messages.status().await, "0");
        let other = call("/helloworld.Other/SayHello").await;
        assert_eq!(other.headers()["grpc-status"], "12");
    });
    assert!(has_been("/helloworld.Greeter/SayHello") && !has_been("/helloworld.Other/SayHello"));
}
