//! What is counted, logged and shown of HTTP/2 clients.

use serde_json::{Value, json};

use crate::support::h2::{Frame, H2Origin, RawClient, error, get, post};
use crate::support::logged::{Logged, lines};
use crate::support::origin::ok;
use crate::support::{Admin, Conn, Origin, Rendezvous, eventually, temporary};

#[test]
fn requests_are_counted_by_protocol() {
    let origin = Origin::named("hello");
    let admin = Admin::before(&[&origin], &[]);
    let mut client = RawClient::connect(admin.address);
    for stream in [1, 3] {
        client.get(stream, "/");
        client.expect_answer(stream, 200);
    }
    let mut client = admin.client();
    client.get("/");
    client.response();
    let of = |protocol| {
        admin.metric(&format!("evener_requests_by_protocol_total{{protocol=\"{protocol}\"}}"))
    };
    assert_eq!((of("http/1"), of("http/2"), admin.metric("evener_requests_read_total")), (1, 2, 3));
    assert_eq!(admin.status()["http2"]["requests"], 2);
}

#[test]
fn connections_and_streams_count_while_they_are_open() {
    let turns = Rendezvous::default();
    let ours = turns.clone();
    let origin = Origin::start(move |mut conn: Conn| {
        conn.head();
        ours.wait();
        conn.send(ok("hello"));
    });
    let admin = Admin::before(&[&origin], &[]);
    let open = || {
        let status = admin.status();
        let values = ["connections_active", "streams_active"]
            .map(|name| admin.metric(&format!("evener_http2_{name}")));
        let shown = [&status["http2"]["connections"], &status["http2"]["streams"]];
        (values, shown.map(Value::as_u64))
    };
    let mut client = RawClient::connect(admin.address);
    client.get(1, "/");
    eventually("both are open", || open() == ([1, 1], [Some(1), Some(1)]));
    turns.wait();
    client.expect_answer(1, 200);
    eventually("the stream is not", || open() == ([1, 0], [Some(1), Some(0)]));
    drop(client);
    eventually("nor is the connection", || open() == ([0, 0], [Some(0), Some(0)]));
}

#[test]
fn resets_are_counted_by_whom() {
    let turns = Rendezvous::default();
    let ours = turns.clone();
    let origin = Origin::start(move |mut conn: Conn| {
        conn.head();
        ours.wait();
        conn.ends_by_reset();
    });
    let admin = Admin::before(&[&origin], &["--max-streams", "1"]);
    let by = |whom| admin.metric(&format!("evener_http2_streams_reset_total{{by=\"{whom}\"}}"));
    let mut client = RawClient::connect(admin.address);
    client.get(1, "/");
    turns.wait();
    client.get(3, "/");
    client.expect_reset(3, error::REFUSED_STREAM);
    let refused = "evener_http2_streams_refused_total{reason=\"max_streams\"}";
    eventually("it is counted as refused", || admin.metric(refused) == 1);
    client.send(Frame::reset(1, error::CANCEL));
    eventually("one is the client's", || (by("client"), by("evener")) == (1, 1));
    client.send_fields(5, &[post("/"), vec![("connection", "close")]].concat(), true);
    client.expect_reset(5, error::PROTOCOL_ERROR);
    eventually("two are not", || (by("client"), by("evener")) == (1, 2));
}

#[test]
fn requests_that_wait_for_a_connection_to_an_endpoint_reuse_it_but_for_one() {
    let origin = H2Origin::named("hello");
    let admin = Admin::start(&["--route", &format!("/={}", origin.endpoint())]);
    let mut client = RawClient::connect(admin.address);
    let streams = [1, 3, 5, 7];
    client.send_all(streams.map(|stream| Frame::headers(stream, &get("/")).end()));
    for stream in streams {
        client.expect_answer(stream, 200);
    }
    let counted = ["opened", "reused"]
        .map(|name| admin.metric(&format!("evener_upstream_connections_{name}_total")));
    let connections = &admin.endpoint(0)["connections"];
    assert_eq!((counted, &connections["reused"]), ([1, 3], &json!(3)));
}

#[test]
fn a_connection_that_breaks_a_rule_is_counted_by_its_code_and_told_once_a_second() {
    let admin = Admin::start(&["--route", "/=127.0.0.1:1"]);
    for _ in 0..3 {
        let mut client = RawClient::connect(admin.address);
        client.send(Frame::window_update(0, 0));
        client.expect_connection_error(error::PROTOCOL_ERROR);
    }
    let failed = "evener_http2_connections_failed_total{code=\"PROTOCOL_ERROR\"}";
    assert_eq!(admin.metric(failed), 3);
    assert_eq!(admin.status()["http2"]["failed_connections"], json!({"PROTOCOL_ERROR": 3}));
    let line =
        "127.0.0.1: HTTP/2 connection ended: PROTOCOL_ERROR: WINDOW_UPDATE of 0 (0 times before)";
    eventually("it is told", || admin.process.says(line));
    assert_eq!(admin.process.count("HTTP/2 connection ended"), 1);
}

#[test]
fn a_flood_is_counted_by_the_budget_that_it_has_used_up() {
    let admin = Admin::start(&["--route", "/=127.0.0.1:1"]);
    let mut client = RawClient::connect(admin.address);
    let settings = Frame::settings(&[]).encode();
    client.send_bytes(settings.repeat(2100));
    client.expect_goaway(error::ENHANCE_YOUR_CALM);
    let floods = "evener_http2_floods_total{budget=\"control_frames\"}";
    eventually("it is counted", || admin.metric(floods) == 1);
}

#[test]
fn a_request_that_is_reset_at_once_is_counted_and_logged_once() {
    let path = temporary("reset.log");
    let log = format!("--access-log={}", path.display());
    let admin = Admin::start(&["--route", "/=127.0.0.1:1", &log, "--access-log-format", "json"]);
    let mut client = RawClient::connect(admin.address);
    let reset = |stream| Frame::reset(stream, error::CANCEL);
    client.send_all([Frame::headers(1, &get("/a")).end(), reset(1)]);
    client.expect_alive();
    client.send_all([Frame::headers(3, &post("/b")), reset(3)]);
    client.expect_alive();
    let told = lines(&path, 2);
    let told: Vec<_> = told.iter().map(|line| [&line["target"], &line["end"]]).collect();
    assert_eq!(told, [[&json!("/a"), &json!("CN")], [&json!("/b"), &json!("CQ")]]);
    assert_eq!(admin.metric("evener_requests_read_total"), 2);
}

#[test]
fn a_line_of_the_access_log_has_the_stream() {
    let origin = Origin::named("hello");
    let logged = Logged::before(&[&origin], &[]);
    let mut client = RawClient::connect(logged.proxy.address);
    client.send_fields(5, &get("/"), true);
    client.expect_answer(5, 200);
    let line = logged.line();
    assert_eq!((&line["protocol"], &line["stream"]), (&json!("HTTP/2.0"), &json!(5)));
}
