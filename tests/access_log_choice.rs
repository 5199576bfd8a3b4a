//! Which fields access log lines have, which requests have lines, and what a reload changes about that.

use std::fs;

use crate::configured;
use crate::support::logged::{Logged, lines};
use crate::support::origin::ok;
use crate::support::{Admin, Origin, Process, Proxy, eventually, temporary};

/// The text of a log, once it has this many lines.
fn text(path: &std::path::Path, count: usize) -> String {
    let text = || fs::read_to_string(path).unwrap_or_default();
    eventually("all lines are written", || text().matches('\n').count() >= count);
    text()
}

#[test]
fn chosen_fields_are_the_whole_line_in_either_format() {
    let origin = Origin::named("o");
    let fields = "--access-log-fields=status,target,id,client,rule";
    let json = Logged::before(&[&origin], &[fields]);
    assert_eq!(json.proxy.get("/a").status, 200);
    let line = text(&json.path, 1);
    assert!(line.starts_with("{\"status\":200,\"target\":\"/a\",\"id\":\""), "{line}");
    assert!(line.ends_with("\",\"client\":\"127.0.0.1\",\"rule\":null}\n"), "{line}");
    let path = temporary("access.log");
    let combined = Proxy::before(&[&origin], &[fields, "--access-log", path.to_str().unwrap()]);
    let forged = "GET /a\"%20status=500 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(combined.ask(forged).status, 200);
    let line = text(&path, 1);
    assert!(line.starts_with("status=200 target=\"/a\\x22%20status=500\" id="), "{line}");
    assert!(line.ends_with(" client=127.0.0.1 rule=-\n"), "{line}");
}

#[test]
fn of_requests_that_go_well_a_share_has_lines_and_of_those_that_fail_all() {
    let origin = Origin::start(|mut conn| {
        while let Some(head) = conn.head() {
            let failed = "HTTP/1.1 500 A\r\nContent-Length: 0\r\n\r\n";
            conn.send(if head.starts_with("GET /bad") { failed.into() } else { ok("o") });
        }
    });
    let logged = Logged::before(&[&origin], &["--access-log-sample", "0%"]);
    let mut client = logged.client();
    for path in ["/good", "/bad/1", "/good", "/bad/2"] {
        client.get(path);
        client.response();
    }
    let found = logged.lines(2);
    assert_eq!(found.iter().map(|line| &line["target"]).collect::<Vec<_>>(), ["/bad/1", "/bad/2"]);
    assert_eq!(found[0]["sample"], 1);
    assert_eq!(logged.proxy.count(|all| &all.lines_sampled_out), 2);
}

#[test]
fn the_same_request_has_a_line_or_none_wherever_it_is_logged() {
    let origin = Origin::named("o");
    let flags = ["--access-log-sample", "50%", "--trusted", "127.0.0.1"];
    let [one, other] = [(); 2].map(|()| Logged::before(&[&origin], &flags));
    for logged in [&one, &other] {
        let mut client = logged.client();
        for id in 0..64 {
            client.send(format!("GET /{id} HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-{id}\r\n\r\n"));
            assert_eq!(client.response().status, 200);
        }
        // The last is a line whatever its identifier.
        client.send("GET / HTTP/9.9\r\n\r\n");
        client.response();
        eventually("all are counted", || {
            let (written, dropped) = logged.proxy.log_counts();
            written + dropped + logged.proxy.count(|all| &all.lines_sampled_out) == 65
        });
    }
    let [one, other] = [one, other].map(|logged| {
        let text = text(&logged.path, 1);
        let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        text.lines().map(|text| line(text)["target"].clone()).collect::<Vec<_>>()
    });
    assert_eq!(one, other);
    assert!((10..55).contains(&one.len()), "{one:?}");
}

#[test]
fn what_is_left_out_is_counted_by_result() {
    let (origin, log) = (Origin::named("o"), temporary("access.log"));
    let flags = ["--access-log", log.to_str().unwrap(), "--access-log-sample", "0%"];
    let admin = Admin::before(&[&origin], &flags);
    assert_eq!(admin.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    let sampled_out = "evener_access_log_lines_total{result=\"sampled_out\"}";
    eventually("it is counted", || admin.metric(sampled_out) == 1);
    assert_eq!(admin.metric("evener_access_log_lines_total{result=\"written\"}"), 0);
}

#[test]
fn a_route_whose_log_is_off_has_no_lines_whatever_comes_of_its_requests() {
    for off in ["off", "false"] {
        let (dead, log) = (Origin::refusing(), temporary("access.log"));
        let proxy = configured::proxy(&format!(
            "access_log: {}\naccess_log_format: json\nroutes:\n  - {{prefix: /health, access_log: {off}, \
             endpoints: ['{address}']}}\n  - {{prefix: /, access_log: on, endpoints: ['{address}']}}\n",
            log.display(),
            address = dead.address
        ));
        assert_eq!(proxy.get("/health").status, 502);
        assert_eq!(proxy.get("/other").status, 502);
        assert_eq!(lines(&log, 1)[0]["target"], "/other");
    }
}

#[test]
fn a_reload_changes_what_lines_say_and_which_there_are_but_not_their_file() {
    let (origin, path) = (Origin::named("o"), temporary("access.log"));
    let (route, log) = (format!("--route=/={}", origin.address), path.to_str().unwrap());
    let flags = [&*route, "--access-log", log];
    let mut proxy = Proxy::start(&flags);
    assert_eq!(proxy.get("/first").status, 200);
    let next = ["--access-log-format", "json", "--access-log-fields", "target,sample"];
    let changes = proxy.reload(&[&flags[..], &next].concat()).unwrap();
    let change = format!("~ access log: {log}, combined → {log}, json with target,sample");
    assert_eq!(changes, [change]);
    assert_eq!(proxy.get("/second").status, 200);
    let none = [&flags[..], &next, &["--access-log-sample", "0%"]].concat();
    proxy.reload(&none).unwrap();
    assert_eq!(proxy.get("/third").status, 200);
    eventually("it is counted", || proxy.count(|all| &all.lines_sampled_out) == 1);
    assert!(proxy.reload(&[&*route]).unwrap_err().contains("cannot change access_log"));
    let written = text(&path, 2);
    let mut written = written.lines();
    assert!(written.next().is_some_and(|line| line.contains("\"GET /first HTTP/1.1\" 200 ")));
    assert_eq!(written.next(), Some("{\"target\":\"/second\",\"sample\":1}"));
    assert_eq!(written.next(), None);
}

#[test]
fn mistakes_in_the_choice_say_what_to_write() {
    let rows = [
        ("access_log_fields: [statsu]", ":1:21: unknown field \"statsu\": did you mean status?"),
        ("access_log_fields: [id, id]", ":1:25: id is named twice: leave one out"),
        (
            "access_log_sample: 5",
            ":1:20: invalid value \"5\": expected 0% to 100%, such as 1% or 0.25%",
        ),
        (
            "routes: [{prefix: /, endpoints: ['127.0.0.1:1'], access_log: a.log}]",
            ":1:62: invalid value \"a.log\": expected on or off: all routes have the file of the top level",
        ),
    ];
    for (text, expected) in rows {
        let path = temporary("conf.yaml");
        fs::write(&path, text).unwrap();
        let words = ["-t", "--route=/=127.0.0.1:1", "-c", path.to_str().unwrap()];
        let words = if text.starts_with("routes") {
            [words[0], words[2], words[3], "--daemon"]
        } else {
            words
        };
        let (code, output) = Process::start(&words).end();
        assert_eq!(code, Some(2));
        assert!(output.iter().any(|line| line.contains(expected)), "{output:#?}");
    }
}
