//! Empty texts and missing values in the configuration file: never taken for a key that was left out.

use evener::config::setting::Setting;

use crate::configuration::read;

/// The text with each of these keys in place of `KEY`.
fn each(text: &str, keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| text.replace("KEY", key)).collect()
}

#[test]
fn an_empty_text_is_a_mistake_of_every_key_that_is_a_flag() {
    let route = "routes: [{prefix: /, endpoints: [127.0.0.1:1]}]\n";
    for setting in Setting::all() {
        let key = setting.key();
        let guarded = if key == "admin_token_file" { "admin: 127.0.0.1:0\n" } else { "" };
        let mistakes = read(&format!("{key}: \"\"\n{route}{guarded}"), &[]).unwrap_err();
        assert!(mistakes.iter().any(|mistake| mistake.starts_with("1:")), "{key}: {mistakes:?}");
    }
}

#[test]
fn an_empty_text_or_none_is_a_mistake_of_every_key_of_an_entry() {
    let upstream = "upstreams: [{name: u, endpoints: [127.0.0.1:1], KEY: VALUE}]\n\
                    routes: [{prefix: /, upstream: u}]";
    let all = [
        each(
            "routes: [{prefix: /, endpoints: [127.0.0.1:1], KEY: VALUE}]",
            &["host", "host_header", "response_timeout", "idle_timeout", "tunnel_timeout"],
        ),
        each(
            "routes: [{endpoints: [127.0.0.1:1], KEY: VALUE}]",
            &["path", "methods", "headers", "query", "clients"],
        ),
        each("routes: [{endpoints: [127.0.0.1:1], KEY: VALUE}]", &["prefix"]),
        each("routes: [{prefix: /, endpoints: [127.0.0.1:1], KEY: VALUE}]", &["strip_prefix"]),
        each("routes: [{prefix: /, KEY: VALUE}]", &["endpoints"]),
        each("routes: [{prefix: /, KEY: VALUE}]", &["upstream"]),
        each(
            "routes: [{prefix: /, endpoints: [{address: 127.0.0.1:1, KEY: VALUE}]}]",
            &["weight", "backup"],
        ),
        each("routes: [{prefix: /, endpoints: [{KEY: VALUE}]}]", &["address"]),
        each("tcp: [{endpoints: [127.0.0.1:1], KEY: VALUE}]", &["listen"]),
        each("tcp: [{listen: ':1', KEY: VALUE}]", &["upstream", "endpoints"]),
        each("tcp: [{listen: ':1', endpoints: [127.0.0.1:1], KEY: VALUE}]", &["sni"]),
        each(&upstream.replace("name: u, ", ""), &["name"]),
        each(upstream, &["hash_on", "sticky", "slow_start", "queue", "retry_on", "max_requests"]),
        each(upstream, &["fail_on_5xx", "verify", "eject_max", "attempt_timeout", "host_header"]),
        each(upstream, &["policy", "proxy", "connect_timeout", "response_timeout"]),
        each(upstream, &["idle_timeout", "tunnel_timeout", "upstream_keepalive_timeout"]),
        each(upstream, &["max_idle", "max_fails", "fail_timeout", "check", "check_interval"]),
    ];
    for text in all.concat() {
        for value in ["\"\"", ""] {
            let text = text.replace("VALUE", value);
            assert!(read(&text, &[]).is_err(), "{text}");
        }
    }
}

#[test]
fn no_value_is_a_mistake_of_every_key_of_the_top_level() {
    let settings = Setting::all().into_iter().map(|setting| setting.key());
    let lists = ["version", "routes", "upstreams", "tcp", "certificates"].map(str::to_owned);
    for key in settings.chain(lists) {
        let mistakes = read(&format!("# first\n{key}:\n"), &[]).unwrap_err();
        let expected = ["there is no value", "expected true or false"];
        let is_told = expected.iter().any(|what| mistakes[0].contains(what));
        assert!(is_told && mistakes[0].starts_with("2:"), "{key}: {mistakes:?}");
    }
}

#[test]
fn the_mistake_says_where_it_is_and_what_to_do() {
    let rows = [
        ("routes: [{prefix: /, host: '', endpoints: [x]}]", "1:28: \"\" is no host: write one"),
        (
            "routes: [{prefix: /, host: , endpoints: [x]}]",
            "1:22: host: there is no value: write one, or leave the key out",
        ),
        ("pid_file: ''", "1:11: \"\" does not name a file"),
        ("user: ''", "1:7: \"\" does not name a user"),
    ];
    for (text, expected) in rows {
        let mistakes = read(text, &[]).unwrap_err();
        let told = mistakes.iter().any(|mistake| mistake.starts_with(expected));
        assert!(told, "{expected} in {mistakes:?}");
    }
}

#[test]
fn a_list_without_a_value_is_told_so_and_not_that_it_is_none() {
    for text in [
        "routes: [{prefix: /, endpoints: }]",
        "upstreams: [{name: u, endpoints: [x], retry_on: }]",
        "tcp:",
    ] {
        let told = read(text, &[]).unwrap_err();
        assert!(told[0].contains(": there is no value: write one"), "{told:?}");
    }
    let told = read("routes: x", &[]).unwrap_err();
    let list = "write routes: [{prefix: /api, endpoints: [127.0.0.1:3000]}]";
    assert_eq!(told, [format!("1:9: routes: expected a list, not a text: {list}")]);
}
