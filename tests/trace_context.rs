//! `traceparent` and `tracestate`: what endpoints are told, and what the access log says of it.

use hyper::http::Request;
use serde_json::{Value, json};

use crate::support::h2::{Body, H2Client, H2Origin};
use crate::support::library::run;
use crate::support::logged::Logged;
use crate::support::{Origin, Proxy};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const THEIRS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The values of a header in a head.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// A request with these fields.
fn request(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn without_a_part_in_traces_nothing_is_read_or_changed() {
    let origin = Origin::named("o");
    let logged = Logged::before(&[&origin], &[]);
    logged.proxy.ask(request("traceparent: what\r\ntracestate: a=b\r\n"));
    logged.proxy.ask(request(""));
    let heads = origin.heads();
    assert_eq!(values(&heads[0], "traceparent"), ["what"]);
    assert_eq!(values(&heads[0], "tracestate"), ["a=b"]);
    assert_eq!(values(&heads[1], "traceparent"), [""; 0]);
    assert_eq!(logged.lines(2)[0].get("trace_id"), None);
}

#[test]
fn a_trace_that_is_to_be_logged_is_read_and_nothing_else_is_changed() {
    let origin = Origin::named("o");
    let logged = Logged::before(&[&origin], &["--access-log-fields=trace_id"]);
    let mut client = logged.client();
    for fields in [&format!("TraceParent: {THEIRS}\r\n"), "traceparent: what\r\n", ""] {
        client.ask(request(fields));
    }
    let lines = logged.lines(3);
    assert_eq!(lines, [TRACE.into(), Value::Null, Value::Null].map(|id| json!({"trace_id": id})));
    let heads = origin.heads();
    assert_eq!(values(&heads[0], "traceparent"), [THEIRS]);
    assert_eq!(values(&heads[1], "traceparent"), ["what"]);
    assert_eq!(values(&heads[2], "traceparent"), [""; 0]);
}

#[test]
fn a_request_without_a_valid_trace_begins_one_and_loses_the_state_of_another() {
    let origin = Origin::named("o");
    let logged = Logged::before(&[&origin], &["--traceparent", "--trace-sample", "100%"]);
    let twice = format!("traceparent: {THEIRS}\r\nTraceparent: {THEIRS}\r\ntracestate: a=b\r\n");
    let rows = [&twice, "traceparent: 00-0-0-01\r\ntracestate: a=b\r\n", ""];
    let mut client = logged.client();
    for fields in rows {
        client.ask(request(fields));
    }
    let lines = logged.lines(3);
    let mut traces = Vec::new();
    for (head, line) in origin.heads().iter().zip(&lines) {
        let [told] = values(head, "traceparent")[..] else { panic!("{head}") };
        let [version, trace, parent, flags] = told.split('-').collect::<Vec<_>>()[..] else {
            panic!("{told}")
        };
        assert_eq!((version, trace.len(), parent.len(), flags), ("00", 32, 16, "03"), "{told}");
        assert_eq!(line["trace_id"], trace);
        assert_eq!(values(head, "tracestate"), [""; 0]);
        traces.push(trace.to_owned());
    }
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 3);
}

#[test]
fn a_valid_trace_goes_on_as_it_is_with_its_state() {
    let origin = Origin::named("o");
    let proxy = Proxy::before(&[&origin], &["--traceparent"]);
    proxy.ask(request(&format!("traceparent: {THEIRS}\r\ntracestate: a=b\r\ntracestate: c=d\r\n")));
    let head = &origin.heads()[0];
    assert_eq!(values(head, "traceparent"), [THEIRS]);
    assert_eq!(values(head, "tracestate"), ["a=b", "c=d"]);
}

#[test]
fn the_share_that_is_sampled_is_that_of_traces_that_begin_here() {
    let origin = Origin::named("o");
    let proxy = Proxy::before(&[&origin], &["--traceparent", "--trace-sample", "0%"]);
    let mut client = proxy.client();
    client.ask(request(""));
    client.ask(request(&format!("traceparent: {THEIRS}\r\n")));
    let heads = origin.heads();
    assert!(values(&heads[0], "traceparent")[0].ends_with("-02"), "{}", heads[0]);
    assert_eq!(values(&heads[1], "traceparent"), [THEIRS]);
}

#[test]
fn streams_of_http_2_are_no_different_on_either_side() {
    let origin = H2Origin::named("o");
    let route = format!("/={}", origin.endpoint());
    let proxy = Proxy::start(&["--route", &route, "--traceparent", "--trace-sample", "0%"]);
    run(async {
        let client = H2Client::connect(proxy.address).await;
        for fields in
            [vec![("traceparent", THEIRS), ("tracestate", "a=b")], vec![("tracestate", "a=b")]]
        {
            let mut request = Request::get("http://test/");
            for (name, value) in fields {
                request = request.header(name, value);
            }
            client.ask(request.body(()).unwrap(), Body::default()).await.unwrap();
        }
    });
    let heads = origin.heads();
    assert_eq!(
        (&heads[0].headers["traceparent"], &heads[0].headers["tracestate"]),
        (&THEIRS.parse().unwrap(), &"a=b".parse().unwrap())
    );
    let made = heads[1].headers["traceparent"].to_str().unwrap();
    assert!(made.starts_with("00-") && made.ends_with("-02") && made.len() == 55, "{made}");
    assert!(!heads[1].headers.contains_key("tracestate"));
}
