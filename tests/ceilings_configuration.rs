//! Ceilings as they are configured and shown.

use evener::config::describe::summary;

use crate::configuration::read;
use crate::support::h2::{Frame, RawClient, error};
use crate::support::{Admin, Origin, eventually};

const APP: &str = "upstreams:\n  - name: app\n    endpoints: [127.0.0.1:1]\n";
const ROUTE: &str = "routes: [{prefix: /, upstream: app}]\n";

/// What is said of the upstream with these keys, under these flags.
fn shown(keys: &str, flags: &[&str]) -> String {
    let config = read(&format!("{APP}    {keys}\n{ROUTE}"), flags).unwrap();
    let text = summary(&config);
    text.lines().find(|line| line.starts_with("upstream app")).unwrap().to_owned()
}

#[test]
fn what_is_not_said_has_its_default() {
    let rows: [(&str, &[&str], &str); 6] = [
        ("max_requests: 5", &[], "at most 5 at an endpoint at a time, up to 1000 more wait for 1s"),
        (
            "{max_requests: 5, queue: {max: 0}}",
            &[],
            "at most 5 at an endpoint at a time, the rest is refused",
        ),
        (
            "max_requests: 5\n    queue: {timeout: 2s}",
            &["--queue=7"],
            "5 at an endpoint at a time, up to 7 more wait for 2s",
        ),
        (
            "queue: {max: 3}",
            &["--max-requests=9"],
            "9 at an endpoint at a time, up to 3 more wait for 1s",
        ),
        (
            "max_requests: 5",
            &["--queue-timeout=3s"],
            "5 at an endpoint at a time, up to 1000 more wait for 3s",
        ),
        (
            "policy: round_robin",
            &["--max-requests=8", "--queue=2"],
            "8 at an endpoint at a time, up to 2 more wait",
        ),
    ];
    for (keys, flags, expected) in rows {
        let keys = keys
            .replace("{max_requests: 5, queue: {max: 0}}", "max_requests: 5\n    queue: {max: 0}");
        let shown = shown(&keys, flags);
        assert!(shown.contains(expected), "{keys} {flags:?}: {shown}");
    }
    assert!(!shown("policy: round_robin", &[]).contains("at a time"));
}

#[test]
fn mistakes_have_their_place() {
    let rows: [(&str, &[&str], &str); 7] = [
        (
            "max_requests: 5\n    queue: 20",
            &[],
            "5:12: invalid type: integer \"20\", expected {max: NUMBER, timeout: TIME}",
        ),
        ("queue: {max: 3}", &[], "4:"),
        ("max_requests: 0", &[], "4:"),
        ("max_requests: 5\n    queue: {max: 1048577}", &[], "5:"),
        ("max_requests: 5\n    queue: {timeout: 0s}", &[], "5:"),
        ("policy: round_robin", &["--queue=5"], "--queue"),
        ("policy: round_robin", &["--queue-timeout=5s"], "--queue-timeout"),
    ];
    for (keys, flags, place) in rows {
        let mistakes = read(&format!("{APP}    {keys}\n{ROUTE}"), flags).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].starts_with(place), "{keys}: {mistakes:?}");
    }
}

#[test]
fn how_long_to_wait_has_no_effect_where_nothing_waits() {
    let warnings = |keys: &str, flags: &[&str]| {
        read(&format!("{APP}    max_requests: 5\n    {keys}\n{ROUTE}"), flags).unwrap().warnings
    };
    let rows: [(&str, &[&str], &[&str]); 7] = [
        ("queue: {max: 0, timeout: 2s}", &[], &["5:30"]),
        ("queue: {timeout: 2s}", &["--queue=0"], &["5:22"]),
        ("retries: 1", &["--queue=0", "--queue-timeout=2s"], &["--queue-timeout"]),
        (
            "queue: {max: 3, timeout: 2s}",
            &["--queue=0", "--queue-timeout=2s"],
            &["--queue-timeout"],
        ),
        ("queue: {max: 3}", &["--queue=0", "--queue-timeout=2s"], &[]),
        ("queue: {max: 0}", &["--queue-timeout=2s"], &[]),
        ("queue: {max: 0}", &[], &[]),
    ];
    for (keys, flags, places) in rows {
        let told = warnings(keys, flags);
        assert_eq!(told.len(), places.len(), "{keys} {flags:?}: {told:?}");
        for (told, place) in told.iter().zip(places) {
            let expected = format!("{place}: has no effect: with a queue of 0 nothing waits");
            assert!(told.ends_with(&expected), "{told}");
        }
    }
}

#[test]
fn what_waits_and_what_was_turned_away_is_shown() {
    // Takes connections, and never answers.
    let origin = Origin::start(|mut conn| drop(conn.rest()));
    let flags = ["--max-requests=1", "--queue=1", "--queue-timeout=1h"];
    let admin = Admin::before(&[&origin], &flags);
    let mut client = RawClient::connect(admin.address);
    client.get(1, "/");
    client.get(3, "/");
    client.get(5, "/");
    client.expect_answer(5, 503);
    let text = admin.get("/metrics").text();
    let endpoint = format!("upstream=\"/\",endpoint=\"{}\"", origin.address);
    for line in [
        "evener_upstream_queue_waiting{upstream=\"/\"} 1",
        "evener_upstream_queued_total{upstream=\"/\"} 1",
        "evener_upstream_queue_left_total{upstream=\"/\"} 0",
        "evener_upstream_shed_total{upstream=\"/\",reason=\"full\"} 1",
        "evener_upstream_shed_total{upstream=\"/\",reason=\"late\"} 0",
        "evener_upstream_shed_total{upstream=\"/\",reason=\"timeout\"} 0",
        &format!("evener_endpoint_full{{{endpoint}}} 1"),
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in {text}");
    }
    let status = admin.status();
    let upstream = &status["upstreams"][0];
    assert_eq!(
        (&upstream["ceiling"]["waiting"], &upstream["ceiling"]["shed"]["full"]),
        (&1.into(), &1.into())
    );
    assert_eq!(upstream["endpoints"][0]["full"], true);
    client.send(Frame::reset(3, error::CANCEL));
    eventually("it has left", || {
        admin.get("/metrics").text().contains("queue_left_total{upstream=\"/\"} 1")
    });
}
