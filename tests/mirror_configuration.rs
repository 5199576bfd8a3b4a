//! What a route says of a mirror: mistakes, and how it is shown.

use std::fs;

use crate::support::{Admin, Client, Origin, Process, temporary};

fn file(keys: &str) -> String {
    format!(
        "upstreams:\n  - {{name: app, endpoints: ['127.0.0.1:1']}}\n  - {{name: shadow, endpoints: \
         ['127.0.0.1:2']}}\n  - {{name: told, endpoints: ['127.0.0.1:3'], proxy: v2}}\nroutes:\n  - {{prefix: \
         /told, upstream: told}}\n  - {{prefix: /, upstream: app, {keys}}}\n"
    )
}

fn said(text: &str, words: &[&str]) -> String {
    let path = temporary("conf.yaml");
    fs::write(&path, format!("listen: 127.0.0.1:0\n{text}")).unwrap();
    Process::start(&[words, &["-c", path.to_str().unwrap()]].concat()).end().1.join("\n")
}

#[test]
fn what_is_wrong_with_a_mirror_is_said() {
    for (keys, expected) in [
        ("mirror: shadow", "write mirror: {upstream: \"shadow\", percent: 100}"),
        ("mirror: {percent: 5}", "a mirror needs upstream: NAME"),
        ("mirror: {upstream: none}", "there is no upstream \"none\""),
        ("mirror: {upstream: app}", "\"app\" gets the requests themselves"),
        ("mirror: {upstream: told}", "leave proxy out of it, or name another upstream"),
        ("mirror: {upstream: shadow, percent: 101}", "expected a number from 0 to 100"),
        ("mirror: {upstream: shadow, percent: 5%}", "\"5%\": expected a number from 0 to 100"),
        (
            "mirror: {upstream: shadow, share: 5}",
            "unknown key \"share\" in a mirror: expected upstream, percent",
        ),
    ] {
        let said = said(&file(keys), &["-t"]);
        assert!(said.contains(expected), "{keys}: {said}");
    }
}

#[test]
fn an_answer_of_our_own_has_nothing_to_mirror() {
    let text = "upstreams: [{name: shadow, endpoints: ['127.0.0.1:2']}]\nroutes:\n  - {prefix: /, respond: \
                {status: 204}, mirror: {upstream: shadow}}\n";
    let said = said(text, &["-t"]);
    assert!(said.contains("mirror: has no effect on an answer of our own"), "{said}");
}

#[test]
fn a_mirror_is_shown() {
    let text = file("mirror: {upstream: shadow, percent: 0.5}");
    let shown = said(&text, &["-t"]);
    assert!(shown.contains("route /: to app, 0.5 % copied to shadow"), "{shown}");
    let shown = said(&text, &["explain", "/"]);
    assert!(shown.contains("mirror: 0.5 % of its requests are copied to shadow"), "{shown}");
}

#[test]
fn copies_are_counted_by_what_becomes_of_them() {
    let (app, shadow) = (Origin::named("app"), Origin::named("shadow"));
    let path = temporary("conf.yaml");
    let text = file("mirror: {upstream: shadow}")
        .replace("127.0.0.1:1", &app.address.to_string())
        .replace("127.0.0.1:2", &shadow.address.to_string());
    fs::write(&path, format!("check: off\nadmin: 127.0.0.1:0\nlisten: 127.0.0.1:0\n{text}"))
        .unwrap();
    let admin = Admin::with(&["-c", path.to_str().unwrap()]);
    assert_eq!(Client::connect(admin.address).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    crate::support::eventually("it is answered", || {
        admin.metric("evener_mirrored_requests_total{outcome=\"answered\"}") == 1
    });
    assert_eq!(admin.metric("evener_mirrored_requests_in_flight"), 0);
    // Neither an answer to a client, nor a request of the route.
    assert_eq!(admin.metric("evener_responses_total{class=\"2xx\"}"), 1);
    assert_eq!(admin.metric("evener_route_duration_seconds_count{route=\"/\"}"), 1);
}
