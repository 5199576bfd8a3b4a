//! How policies, hash keys and sticky sessions are configured, shown and explained.

use evener::config::describe::summary;
use evener::config::explain::{AskedRequest, explain};

use crate::configuration::read;

/// A file with a route to the upstream `u`, which has these fields besides its endpoints.
fn file(fields: &str) -> String {
    format!(
        "routes: [{{prefix: /, upstream: u}}]\nupstreams:\n  - {{name: u, endpoints: \
         [127.0.0.1:1, 127.0.0.1:2], {fields}}}\n"
    )
}

/// What `-t` says first of the upstream.
fn shown(text: &str, flags: &[&str]) -> String {
    let text = summary(&read(text, flags).unwrap());
    let line = text.lines().find_map(|line| line.strip_prefix("upstream ")).unwrap();
    let (_, settings) = line.split_once(": ").unwrap();
    settings.split(", no checks").next().unwrap().to_owned()
}

const OFF: [&str; 2] = ["--check", "off"];

#[test]
fn each_policy_is_a_flag_and_a_key() {
    for policy in ["round_robin", "least_requests", "two_choices", "random", "least_time"] {
        assert_eq!(shown(&file(&format!("policy: {policy}")), &OFF), policy);
        let flags = ["--policy", policy, "--check", "off"];
        assert_eq!(shown(&file("max_idle: 7"), &flags), policy);
        assert_eq!(shown("", &[&flags[..], &["--route", "/=127.0.0.1:1"]].concat()), policy);
    }
    assert_eq!(shown(&file("policy: random"), &["--policy", "hash", "--check", "off"]), "random");
}

#[test]
fn what_is_hashed_is_the_client_unless_it_is_said() {
    assert_eq!(shown(&file("policy: hash"), &OFF), "hash on client");
    assert_eq!(shown(&file("policy: hash, hash_on: 'cookie:sid'"), &OFF), "hash on cookie:sid");
    let flags = ["--policy", "hash", "--hash-on", "query:id", "--check", "off"];
    assert_eq!(shown(&file("max_idle: 7"), &flags), "hash on query:id");
    assert_eq!(shown(&file("hash_on: path"), &flags), "hash on path");
    let tcp = [&flags[..], &["--tcp", ":7=127.0.0.1:1", "--route", "/=127.0.0.1:2"]].concat();
    assert_eq!(shown("", &tcp).split(", ").next(), Some("hash on query:id"));
    assert!(summary(&read("", &tcp).unwrap()).contains(": hash on client, TCP,"));
}

#[test]
fn sticky_sessions_are_beside_any_policy() {
    for (fields, expected) in [
        ("sticky: app", "round_robin, sticky by cookie app"),
        ("sticky: 'app,max_age=1h'", "round_robin, sticky by cookie app for 1h"),
        ("policy: hash, sticky: {cookie: app}", "hash on client, sticky by cookie app"),
        ("sticky: {cookie: a, max_age: 30days}", "round_robin, sticky by cookie a for 30days"),
    ] {
        assert_eq!(shown(&file(fields), &OFF), expected);
    }
    let flags = ["--sticky", "app", "--check", "off"];
    assert_eq!(shown(&file("sticky: other"), &flags), "round_robin, sticky by cookie other");
    assert_eq!(shown(&file("max_idle: 7"), &flags), "round_robin, sticky by cookie app");
}

#[test]
fn an_upstream_can_have_no_cookie_where_the_others_have_one() {
    let flags = ["--sticky", "app,max_age=30days", "--check", "off"];
    let all = "round_robin, sticky by cookie app for 30days";
    assert_eq!(shown(&file("max_idle: 7"), &flags), all);
    assert_eq!(shown(&file("sticky: off"), &flags), "round_robin");
    assert_eq!(
        shown(&file("sticky: app"), &["--sticky", "off", "--check", "off"]),
        "round_robin, sticky by cookie app"
    );
    assert_eq!(shown(&file("max_idle: 7"), &["--sticky", "off", "--check", "off"]), "round_robin");
}

#[test]
fn mistakes_have_their_line_and_column() {
    let rows = [
        ("policy: best", "3:62: invalid value \"best\": expected one of round_robin, least_requ"),
        ("hash_on: path", "3:63: hash_on: has no effect without policy: hash"),
        ("policy: hash, hash_on: uri", "3:77: invalid value \"uri\": expected client, path"),
        ("policy: hash, hash_on: 'header:a b'", "3:77: invalid value \"header:a b\": \"a b\""),
        ("policy: hash, hash_on: 'header:Host'", "3:77: invalid value \"header:Host\": write host"),
        ("sticky: a b", "3:62: invalid name of a cookie \"a b\""),
        ("sticky: 'a,age=1h'", "3:62: invalid value \"a,age=1h\": expected NAME or NAME,max_age"),
        ("sticky: {max_age: 1h}", "3:62: sticky sessions need the name of a cookie: add cookie"),
        ("sticky: {cookie: 'a;b'}", "3:71: invalid name of a cookie \"a;b\""),
        (
            "sticky: {cookie: a, max_age: 0s}",
            "3:83: invalid value \"0s\": expected whole seconds, 1s to 400days",
        ),
        ("sticky: {cookie: a, path: /}", "3:74: unknown key \"path\""),
        ("sticky: 7", "3:62: invalid type: integer"),
        ("sticky: true", "3:62: invalid type: boolean"),
    ];
    for (fields, expected) in rows {
        let mistakes = read(&file(fields), &[]).unwrap_err();
        assert!(mistakes.iter().any(|told| told.starts_with(expected)), "{expected}: {mistakes:?}");
    }
    let told = |flags: &[&str]| {
        let route = ["--route", "/=127.0.0.1:1"];
        read("", &[&route[..], flags].concat()).err().unwrap_or_default().join("\n")
    };
    assert!(
        told(&["--policy", "best"])
            .starts_with("--policy: invalid value \"best\": expected one of round_robin")
    );
    assert!(told(&["--hash-on", "path"]).starts_with("--hash-on: has no effect"));
    assert!(told(&["--sticky", "a=b"]).starts_with("--sticky: invalid name of a cookie"));
}

#[test]
fn of_relayed_connections_only_the_client_is_known() {
    let relay =
        |fields: &str| file(fields).replace("routes: [{prefix: /, ", "tcp: [{listen: ':7', ");
    assert_eq!(read(&relay("policy: hash, hash_on: client"), &[]).map(|_| ()), Ok(()));
    let rows = [
        ("policy: hash, hash_on: path", "3:77: hash_on: has no effect on a TCP upstream"),
        ("sticky: app", "3:62: sticky: has no effect on a TCP upstream: write policy: hash"),
    ];
    for (fields, expected) in rows {
        let mistakes = read(&relay(fields), &[]).unwrap_err();
        assert!(mistakes.iter().any(|told| told.starts_with(expected)), "{expected}: {mistakes:?}");
    }
    let flags = ["--tcp", ":7=127.0.0.1:1", "--policy", "hash"];
    let told = |more: [&str; 2]| read("", &[&flags[..], &more].concat()).err().unwrap_or_default();
    assert_eq!(told(["--hash-on", "client"]), [""; 0]);
    assert!(told(["--hash-on", "path"])[0].starts_with("--hash-on: has no effect: no upstream"));
    assert!(told(["--sticky", "a"])[0].starts_with("--sticky: has no effect on TCP upstreams"));
}

fn explained(fields: &str, asked: AskedRequest<'_>) -> String {
    explain(&read(&file(fields), &[]).unwrap(), asked).unwrap().text
}

#[test]
fn an_explanation_says_what_the_key_is_and_where_it_leads() {
    let hash = |key: &str| format!("policy: hash, hash_on: '{key}'");
    let user = ["X-User: a".to_owned()];
    let asked = AskedRequest { headers: &user, ..AskedRequest::to("a", "/x?y") };
    let text = explained(&hash("header:x-user"), asked);
    let line = text.lines().find(|line| line.starts_with("key header:x-user: hash ")).unwrap();
    assert!(line.contains("02c0bdbf481420f8, leads to 127.0.0.1:"), "{line}");
    let text = explained(&hash("header:x-user"), AskedRequest::to("a", "/"));
    assert!(
        text.contains(
            "key header:x-user: the request has none and goes to the next endpoint in turn"
        )
    );
    let text = explained(&hash("client"), AskedRequest::to("a", "/"));
    assert!(text.contains("key client: add --client IP to see where it leads"), "{text}");
    let asked = AskedRequest { client: Some([192, 0, 2, 1].into()), ..AskedRequest::to("a", "/") };
    assert!(explained(&hash("client"), asked).contains("key client: hash "));
}

#[test]
fn an_explanation_says_what_becomes_of_the_cookie() {
    let config = read(&file("sticky: app"), &[]).unwrap();
    let sticky = config.plan.upstreams[0].sticky.clone().unwrap();
    let set = sticky.set_cookie(evener::id::EndpointId::new(1), false);
    let known = format!("Cookie: {}", set.split(';').next().unwrap());
    let rows = [
        (vec![], "cookie app: set for the endpoint that answers"),
        (vec!["Cookie: app=1".to_owned()], "cookie app: leads to no endpoint, another one is set"),
        (vec![known], "cookie app: leads to 127.0.0.1:2 while that is healthy and not full"),
    ];
    for (headers, expected) in rows {
        let asked = AskedRequest { headers: &headers, ..AskedRequest::to("a", "/") };
        let text = explain(&config, asked).unwrap().text;
        assert!(text.lines().any(|line| line == expected), "{text}");
    }
}
