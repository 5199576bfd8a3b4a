//! How limits of routes are configured and shown, and what is refused about them.

use std::sync::Arc;

use evener::config::describe::summary;
use evener::config::explain::{AskedRequest, explain};
use evener::http::rules::RouteRules;

use crate::configuration::read;

/// A file with one route, which has these keys.
fn file(keys: &str) -> String {
    format!("routes:\n  - {{prefix: /, endpoints: [127.0.0.1:1], {keys}}}\n")
}

fn rules(text: &str) -> Option<Arc<RouteRules>> {
    read(text, &[]).unwrap().plan.routes[0].rules.clone()
}

/// The lines of `-t` that say this of the route.
fn shown(text: &str) -> Vec<String> {
    let text = summary(&read(text, &["--check", "off"]).unwrap());
    let of_route = |line: &&str| line.contains(" of route /: ");
    text.lines().filter(of_route).map(str::to_owned).collect()
}

#[test]
fn limits_are_shown_one_a_line() {
    let keys = "allow: [10.0.0.0/8, '::1'], deny: [10.1.0.0/16], max_requests: 50, max_body: 10m, \
                rate_limit: {rate: 100/s, burst: 200, by: 'header:X-Key'}";
    assert_eq!(
        shown(&file(keys)),
        [
            "clients of route /: 10.0.0.0/8, ::1/128, none of 10.1.0.0/16",
            "rate limit of route /: 100/s, burst 200, by header:x-key",
            "requests of route /: 50 in flight",
            "request bodies of route /: 10485760 bytes",
        ]
    );
    assert_eq!(shown(&file("deny: [10.0.0.1]")), ["clients of route /: any, none of 10.0.0.1/32"]);
}

#[test]
fn what_a_rate_limit_leaves_out() {
    for (written, expected) in [
        ("{rate: 100/s}", "100/s, burst 100, by client"),
        ("{rate: 90/m}", "90/m, burst 1, by client"),
        ("{rate: 5/h, by: route}", "5/h, burst 1, by route"),
    ] {
        let rules = rules(&file(&format!("rate_limit: {written}"))).unwrap();
        assert_eq!(rules.rate_limit.as_ref().unwrap().limit().to_string(), expected, "{written}");
    }
}

#[test]
fn max_body_of_a_route_comes_on_top_of_that_of_all() {
    let max = |text: &str| rules(text).and_then(|rules| rules.body_max);
    let with = |keys: &str| format!("max_body: 1k\n{}", file(keys));
    assert_eq!(max(&with("strip_prefix: false")), Some(1024));
    assert_eq!(max(&with("max_requests: 1")), Some(1024));
    assert_eq!(max(&with("max_body: 2k")), Some(2048));
    assert_eq!(max(&with("max_body: off")), None);
    assert_eq!(shown(&with("max_body: off")), ["request bodies of route /: of any size"]);
    let config = read(&with("max_body: off"), &[]).unwrap();
    assert_eq!(config.plan.rules.as_ref().unwrap().body_max, Some(1024));
}

#[test]
fn each_mistake_says_what_to_write() {
    for (keys, expected) in [
        ("allow: []", "there are no networks: write at least one, or leave the key out"),
        ("deny: [10.0.0.0/33]", "invalid value \"10.0.0.0/33\": expected a network such as"),
        ("allow: 10.0.0.0/8", "allow: expected a list, not a text: write allow: [10.0.0.0/8]"),
        ("rate_limit: 100/s", "\"100/s\": write {rate: 100/s}, with burst and by where wanted"),
        ("rate_limit: {burst: 1}", "a rate_limit needs a rate, such as 100/s"),
        ("rate_limit: {rate: 0/s}", "\"0/s\" lets nobody in: write deny or respond for that"),
        ("rate_limit: {rate: 100}", "invalid value \"100\": expected a rate such as 100/s"),
        ("rate_limit: {rate: 1/d}", "invalid value \"1/d\": expected a rate such as 100/s"),
        ("rate_limit: {rate: 1/min}", "invalid value \"1/min\": expected a rate such as 100/s"),
        ("rate_limit: {rate: 1000001/s}", "invalid value \"1000001\": expected a number from 1"),
        ("rate_limit: {rate: 1/s, burst: 0}", "invalid value \"0\": expected a number from 1 to"),
        ("rate_limit: {rate: x, burst: 0}", "invalid value \"x\": expected a rate"),
        ("rate_limit: {rate: 1/h, burst: 10000}", "a burst of 10000 would take more than 365 days"),
        ("rate_limit: {rate: 1/s, by: ip}", "invalid value \"ip\": expected client, header:NAME"),
        ("rate_limit: {rate: 1/s, by: 'header:'}", "invalid value \"header:\": expected client"),
        (
            "rate_limit: {rate: 1/s, key: x}",
            "unknown key \"key\" in a rate_limit: expected rate, burst, by",
        ),
        ("max_requests: 0", "invalid value \"0\": expected a number from 1 to 1048576"),
        ("max_body: 0", "\"0\" could mean none or any number: write 1, or off for any"),
        ("max_body: 10mb", "invalid value \"10mb\": expected a size such as 10m, or off"),
    ] {
        let mistakes = read(&file(keys), &[]).unwrap_err();
        let told = mistakes[0].splitn(3, ':').nth(2).unwrap().trim_start();
        assert!(told.starts_with(expected), "{keys}: {mistakes:?}");
    }
    let both = read(&file("rate_limit: {rate: x, burst: 0, by: y}"), &[]).unwrap_err();
    assert_eq!(both.len(), 3, "{both:?}");
}

#[test]
fn networks_that_are_allowed_and_denied_are_warned_about() {
    let config = read(&file("allow: [10.1.0.0/16], deny: [10.0.0.0/8]"), &[]).unwrap();
    let warning = "2:50: 10.1.0.0/16: has no effect: deny has it too, and wins";
    assert!(config.warnings.iter().any(|told| told.ends_with(warning)), "{:?}", config.warnings);
}

#[test]
fn an_explanation_says_what_the_request_is_held_to() {
    let keys = "deny: [10.0.0.0/8], allow: [10.0.0.0/8, 192.0.2.1], max_requests: 5, max_body: 1k, \
                rate_limit: {rate: 1/s}";
    let config = read(&file(keys), &[]).unwrap();
    for (client, expected) in [
        ("10.0.0.1", "client 10.0.0.1: answered 403, by deny"),
        ("192.0.2.2", "client 192.0.2.2: answered 403, by allow"),
        ("192.0.2.1", "clients: 10.0.0.0/8, 192.0.2.1/32, none of 10.0.0.0/8"),
        ("192.0.2.1", "rate limit: 1/s, burst 1, by client"),
        ("192.0.2.1", "requests: 5 in flight"),
        ("192.0.2.1", "request bodies: 1024 bytes"),
    ] {
        let asked = AskedRequest { client: client.parse().ok(), ..AskedRequest::to("a", "/") };
        let text = explain(&config, asked).unwrap().text;
        assert!(text.lines().any(|line| line == expected), "{expected} in\n{text}");
        assert_eq!(text.contains("answered 403"), client != "192.0.2.1", "{text}");
    }
}
