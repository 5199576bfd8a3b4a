//! Access log lines of requests that were cut short.

use std::fs::OpenOptions;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::logged::{Logged, lines};
use crate::support::origin::ok;
use crate::support::{Origin, Process, eventually, temporary};

/// An origin that reads a request with this many bytes of body and never answers, and a flag that is
/// set once it has read it.
fn mute(body: usize) -> (Origin, Arc<AtomicBool>) {
    let arrived = Arc::new(AtomicBool::new(false));
    let has_arrived = Arc::clone(&arrived);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        let _ = conn.bytes(body);
        has_arrived.store(true, Ordering::SeqCst);
        conn.rest();
    });
    (origin, arrived)
}

fn until(arrived: &AtomicBool) {
    eventually("it has arrived", || arrived.load(Ordering::SeqCst));
}

#[test]
fn a_request_that_a_drain_cuts_is_a_line() {
    let (mute, arrived) = mute(0);
    let Logged { proxy, path } = Logged::before(&[&mute], &[]);
    let mut client = proxy.client();
    client.get("/");
    until(&arrived);
    assert_eq!(proxy.drain(Duration::ZERO), 1);
    let line = lines(&path, 1).remove(0);
    assert_eq!((&line["status"], &line["end"]), (&Value::Null, &json!("DA")));
}

#[test]
fn a_head_that_a_drain_cuts_is_a_line() {
    let origin = Origin::named("o");
    let Logged { proxy, path } = Logged::before(&[&origin], &[]);
    let mut client = proxy.client();
    // Once the first has been answered, what has come of the second has been read.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(proxy.drain(Duration::ZERO), 1);
    let line = lines(&path, 2).remove(1);
    assert_eq!((&line["status"], &line["end"]), (&Value::Null, &json!("DH")));
}

#[test]
fn a_body_that_came_after_its_head_is_done_when_it_is_sent() {
    let (mute, arrived) = mute(5);
    let Logged { proxy, path } = Logged::before(&[&mute], &[]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    client.send("hello");
    until(&arrived);
    assert_eq!(proxy.drain(Duration::ZERO), 1);
    assert_eq!(lines(&path, 1)[0]["end"], json!("DA"));
}

#[test]
fn a_body_that_is_refused_with_its_head_is_a_line_with_its_route() {
    let origin = Origin::named("o");
    let logged = Logged::before(&[&origin], &[]);
    let bad = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(logged.proxy.ask(bad).status, 400);
    assert_eq!(logged.says(["status", "end", "route"]), [json!(400), json!("RQ"), json!("/")]);
}

#[test]
fn requests_that_a_second_signal_cuts_are_lines() {
    let (mute, arrived) = mute(0);
    let path = temporary("access.log");
    let (route, log) = (format!("/={}", mute.address), path.to_str().unwrap().to_owned());
    let flags = ["--access-log", &log, "--access-log-format", "json", "--threads", "1"];
    let words = [&["--listen", "127.0.0.1:0", "--route", &route], &flags[..]].concat();
    let process = Process::start(&words);
    let mut client = process.client();
    client.get("/cut");
    until(&arrived);
    process.signal("TERM");
    process.announces("draining");
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    let line = lines(&path, 1).remove(0);
    assert_eq!([&line["target"], &line["end"]], [&json!("/cut"), &json!("DA")]);
}

#[test]
fn an_answer_that_nobody_is_left_to_take_has_no_status() {
    let (mute, arrived) = mute(0);
    let logged = Logged::before(&[&mute], &[]);
    let mut client = logged.client();
    client.get("/");
    until(&arrived);
    client.reset();
    assert_eq!(logged.says(["status", "down", "end"]), [Value::Null, json!(0), json!("CA")]);
}

#[test]
fn an_answer_of_an_endpoint_that_nobody_is_left_to_take_has_no_status() {
    for interim in ["", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let origin = Origin::start(move |mut conn| {
            conn.head();
            conn.send(interim);
            conn.rest();
        });
        let logged = Logged::before(&[&origin], &[]);
        let mut client = logged.client();
        client.get("/");
        eventually("it has arrived", || origin.heads().len() == 1);
        assert_eq!(client.exactly(interim.len()), interim.as_bytes());
        client.reset();
        let expected = [Value::Null, json!(interim.len()), json!("CA")];
        assert_eq!(logged.says(["status", "down", "end"]), expected);
    }
}

#[test]
fn eight_endpoints_are_tried_and_no_ninth() {
    let dead: Vec<_> = (1..10).map(|port| format!("127.0.0.1:{port}")).collect();
    let route = format!("--route=/={}", dead.join(","));
    let logged = Logged::start(&[&route, "--check", "off"]);
    assert_eq!(logged.proxy.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 502);
    assert_eq!(logged.line()["retries"], json!(7));
}

#[test]
fn a_connection_gone_stale_counts_as_one_of_eight() {
    let fickle = Origin::start(|mut conn| {
        conn.head();
        conn.send(ok("once"));
        conn.head();
        conn.close();
    });
    let dead: Vec<_> = (1..10).map(|port| format!("127.0.0.1:{port}")).collect();
    let route = format!("--route=/={}@1000,{}", fickle.address, dead.join(","));
    let logged = Logged::start(&[&route, "--check", "off"]);
    let mut client = logged.client();
    for status in [200, 502] {
        client.get("/");
        assert_eq!(client.response().status, status);
    }
    assert_eq!(logged.lines(2)[1]["retries"], json!(7));
}

#[test]
fn lines_lost_to_a_second_signal_are_reported() {
    let (origin, path) = (Origin::named("o"), temporary("fifo"));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let _stopped = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let (mute, arrived) = mute(0);
    let (log, route) = (path.to_str().unwrap(), format!("/={}", origin.address));
    let silent = format!("/mute={}", mute.address);
    let flags = ["--access-log", log, "--threads", "1", "--route", &route, "--route", &silent];
    let process = Process::start(&[&["--listen", "127.0.0.1:0"], &flags[..]].concat());
    let (mut client, mut waiting) = (process.client(), process.client());
    for _ in 0..600 {
        client.get(&format!("/{}", "x".repeat(200)));
        assert_eq!(client.response().status, 200);
    }
    waiting.get("/mute");
    until(&arrived);
    process.signal("TERM");
    process.announces("draining");
    process.signal("TERM");
    let (code, output) = process.end();
    let counts = output.iter().find(|line| line.contains("the access log has ")).unwrap();
    let numbers = counts.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
    let last: Vec<u64> = numbers.collect();
    assert_eq!((code, last[last.len() - 2..].iter().sum::<u64>()), (Some(0), 601), "{counts}");
}
