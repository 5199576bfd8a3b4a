//! What is said of retries in flags and files, and what is wrong with it.

use evener::config::describe::summary;

use crate::configuration::read;

/// An upstream with this key.
fn upstream(key: &str) -> String {
    format!(
        "routes: [{{prefix: /, upstream: a}}]\nupstreams:\n- {{name: a, endpoints: ['127.0.0.1:1'], {key}}}\n"
    )
}

#[test]
fn a_route_narrows_its_upstream_and_that_the_flags() {
    let file = "routes:\n- {prefix: /, upstream: a, retries: 0, retry_on: [connect, 503]}\n\
                - {prefix: /b, upstream: a}\nupstreams:\n- {name: a, endpoints: ['127.0.0.1:1'], \
                attempt_timeout: 2s, retry_budget: off}\n";
    let text = summary(&read(file, &["--retries", "3"]).unwrap());
    let upstream = "up to 3 retries on connect, stale, reset, timeout, attempt timeout 2s, no \
                    retry budget";
    let route = "route /: to a, no retries, attempt timeout 2s\n";
    assert!(text.contains(upstream) && text.contains(route), "{text}");
    assert!(text.contains("route /b: to a\n"), "{text}");
}

#[test]
fn the_top_level_of_a_file_says_it_for_all() {
    let file = "retry_on: [connect, 503]\nretry_budget: 50%\nroutes: [{prefix: /, endpoints: ['127.0.0.1:1']}]\n";
    let text = summary(&read(file, &[]).unwrap());
    assert!(text.contains("up to 7 retries on connect, 503, retry budget 50%"), "{text}");
    let text = summary(&read(file, &["--retry-on", "reset,stale"]).unwrap());
    assert!(text.contains("up to 7 retries on stale, reset, retry budget 50%"), "{text}");
}

#[test]
fn each_mistake_says_what_is_possible() {
    let reasons = "connect, stale, reset, timeout, 502, 503, 504, 5xx";
    let share = "expected a share of the requests from 0% to 100%, or off";
    let rows = [
        ("retries: 8", "invalid value \"8\": expected a number from 0 to 7".to_owned()),
        ("retry_on: [conect]", format!("invalid value \"conect\": expected one of {reasons}: write connect")),
        ("retry_on: []", "names no reason: write at least one, or retries: 0".to_owned()),
        ("retry_budget: 0.2", format!("invalid value \"0.2\": {share}")),
        ("retry_budget: 101%", format!("invalid value \"101%\": {share}")),
        (
            "attempt_timeout: 2",
            "invalid value \"2\": expected a duration with a unit, such as 500ms, 5s or 1h: write 2s, or 2ms".into(),
        ),
    ];
    for (key, expected) in rows {
        let told = read(&upstream(key), &[]).unwrap_err();
        assert_eq!(told.len(), 1, "{told:?}");
        let (place, what) = told[0].split_once(": ").unwrap();
        assert!(place.starts_with("3:") && what == expected, "{told:?}");
    }
}

#[test]
fn an_attempt_that_takes_all_the_time_there_is_is_warned_about() {
    let warnings = |key| read(&upstream(key), &[]).unwrap().warnings;
    assert_eq!(warnings("attempt_timeout: 29s"), [""; 0]);
    for (key, subject) in [
        ("attempt_timeout: 1m", "upstream a: attempt_timeout 1m is not below response_timeout 30s"),
        (
            "attempt_timeout: 2s, response_timeout: 2s",
            "upstream a: attempt_timeout 2s is not below",
        ),
    ] {
        assert!(warnings(key)[0].starts_with(subject), "{:?}", warnings(key));
    }
    let route =
        upstream("attempt_timeout: 2s").replace("upstream: a", "upstream: a, response_timeout: 1s");
    let told = read(&route, &[]).unwrap().warnings;
    assert!(told.len() == 1 && told[0].starts_with("route /: attempt_timeout 2s"), "{told:?}");
}

#[test]
fn flags_about_requests_are_warned_about_where_there_are_relays_only() {
    let flags = ["--fail-on-5xx", "--retry-on=connect", "--attempt-timeout=1s", "--check=http:/"];
    let with = |more: &[&str]| read("", &[&flags[..], more].concat()).unwrap().warnings;
    let told = with(&["--tcp", ":1=127.0.0.1:2"]);
    for flag in ["check", "fail-on-5xx", "retry-on", "attempt-timeout"] {
        let what = format!("--{flag}: has no effect on TCP upstreams, and there are no others");
        assert!(told.contains(&what), "{told:?}");
    }
    let told = with(&["--tcp", ":1=127.0.0.1:2", "--route", "/=127.0.0.1:3"]);
    assert!(!told.iter().any(|what| what.contains("no effect")), "{told:?}");
}

#[test]
fn what_is_about_requests_has_no_effect_on_a_relay() {
    for (key, is_refused) in [
        ("retry_on: [connect]", true),
        ("attempt_timeout: 1s", true),
        ("retries: 1", false),
        ("retry_budget: off", false),
    ] {
        let file = upstream(key).replace("routes: [{prefix: /", "tcp: [{listen: ':1'");
        let told = read(&file, &[]).err().unwrap_or_default().join("\n");
        assert_eq!(told.contains("has no effect on a TCP upstream"), is_refused, "{key}: {told}");
    }
}

#[test]
fn a_time_without_its_reason_and_a_reason_without_its_time_are_warned_about() {
    let warnings = |key| read(&upstream(key), &[]).unwrap().warnings;
    assert!(warnings("attempt_timeout: 1s").is_empty());
    assert!(warnings("attempt_timeout: 1s, retry_on: [timeout]").is_empty());
    let told = warnings("attempt_timeout: 1s, retry_on: [reset]").join("\n");
    assert!(told.starts_with("upstream a: attempt_timeout without timeout in retry_on"), "{told}");
    let told = warnings("retry_on: [timeout]").join("\n");
    assert!(told.starts_with("upstream a: timeout in retry_on without attempt_timeout"), "{told}");
}
