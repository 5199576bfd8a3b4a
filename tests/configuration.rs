//! The configuration file: its contents, how flags override it, and how its mistakes are reported.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use evener::config::Config;
use evener::config::describe::summary;
use evener::config::explain::{AskedRequest, explain};
use evener::config::sources::Sources;
use evener::upstream::source::{SourceAnswer, SourceQuery};

use crate::support::{no_environment, temporary};

/// The configuration from a file with this text and these flags.
pub fn read(text: &str, flags: &[&str]) -> Result<Config, Vec<String>> {
    read_bytes(text.as_bytes(), flags)
}

fn read_bytes(bytes: &[u8], flags: &[&str]) -> Result<Config, Vec<String>> {
    let path = temporary("conf.yaml");
    fs::write(&path, bytes).unwrap();
    let first = ["evener", "-c", path.to_str().unwrap()];
    let words: Vec<String> = first.iter().chain(flags).map(ToString::to_string).collect();
    let sources = Sources::read(&words, &no_environment);
    fs::remove_file(&path).unwrap();
    let resolve = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let known = SourceAnswer::Addresses(vec![[192, 0, 2, 1].into()]);
    let answer = |asked: &SourceQuery| (asked.to_string() == "app.internal").then_some(&known);
    let built =
        sources.map_err(evener::config::sources::Unreadable::reasons).and_then(|(_, sources)| {
            let told = |mistakes: Vec<_>| -> Vec<String> {
                mistakes.iter().map(ToString::to_string).collect()
            };
            let mut config = Config::new(&sources, &resolve, &|_| false).map_err(told)?;
            let listed = config.discovery.list(&config.plan, &answer);
            assert_eq!(config.adopt(listed), [""; 0]);
            Ok(config)
        });
    let name = format!("{}:", path.display());
    built.map_err(|mistakes: Vec<String>| {
        mistakes.iter().map(|mistake| mistake.replace(&name, "")).collect()
    })
}

const MINIMAL: &str = r#"
version: 1
threads: 2
listen: [127.0.0.1:8080]
routes:
  - prefix: /auth            # optional: host: api.example.com
    endpoints: [127.0.0.1:44410, "127.0.0.1:44411@2"]
  - prefix: /task
    endpoints: [127.0.0.1:44447]
"#;

const FULL: &str = "
check: off
trusted: [10.0.0.0/8, unix]
max_idle: 7
upstreams:
  - name: auth
    policy: least_requests
    proxy: v2
    check: http:/health
    check_interval: 2s
    connect_timeout: 1s
    max_fails: 2
    fail_timeout: 10s
    fail_on_5xx: true
    upstream_keepalive_timeout: 5s
    endpoints:
      - 127.0.0.1:1
      - {address: 127.0.0.1:2, weight: 3, backup: true}
routes:
  - {prefix: /auth, host: API.example.com, upstream: auth, strip_prefix: true,
     host_header: auth.internal, response_timeout: 2m, tunnel_timeout: 3m}
  - {prefix: /, endpoints: [127.0.0.1:4]}
tcp:
  - 127.0.0.1:5432=127.0.0.1:5433
  - {listen: '127.0.0.1:5434', endpoints: [127.0.0.1:3]}
";

#[test]
fn the_minimal_form_loads() {
    let config = read(MINIMAL, &[]).unwrap();
    assert_eq!((config.threads.get(), config.listeners.len()), (2, 1));
    let [auth, task] = &config.plan.upstreams[..] else { panic!("{:?}", config.plan.upstreams) };
    let weights: Vec<_> = auth.endpoints.iter().map(|endpoint| endpoint.weight.get()).collect();
    assert_eq!((&*auth.name, weights, &*task.name), ("/auth", vec![1, 2], "/task"));
}

#[test]
fn settings_that_only_a_file_has() {
    let text = summary(&read(FULL, &["--threads", "1"]).unwrap());
    for line in [
        "listen 127.0.0.1:8080: HTTP",
        "listen 127.0.0.1:5432: TCP to 127.0.0.1:5432",
        "listen 127.0.0.1:5434: TCP to 127.0.0.1:5434",
        "route api.example.com/auth: to auth, without /auth, Host auth.internal, response timeout \
         2m, tunnel timeout 3m",
        "route /: to /",
        "upstream auth: least_requests, PROXY protocol v2, GET /health every 2s as a check, 2 \
         failures in a row (including 500-599) eject for 10s, timeouts: connect 1s, response \
         30s, idle 1m, tunnel 1h, 7 idle connections for 5s",
        "endpoint 127.0.0.1:2 of auth: weight 3, backup",
        "upstream /: round_robin, no checks, 3 failures in a row eject for 5s, timeouts: connect \
         3s, response 30s, idle 1m, tunnel 1h, 7 idle connections for 50s",
        "trusted: 10.0.0.0/8, unix",
    ] {
        assert!(text.lines().any(|other| other.starts_with(line)), "{line} in\n{text}");
    }
}

#[test]
fn flags_override_the_file() {
    let typed = ["--threads", "3", "--route", "/x=127.0.0.1:9", "--listen", ":1", "--check", "tcp"];
    let text = summary(&read(FULL, &typed).unwrap());
    for line in ["threads: 3", "listen 0.0.0.0:1: HTTP", "route /x: to /x"] {
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    }
    assert!(!text.contains("route /:") && !text.contains("127.0.0.1:8080"), "{text}");
    assert!(text.contains("upstream /x: round_robin, a connection every 1s"), "{text}");
}

#[test]
fn each_mistake_has_its_line_and_column() {
    let rows = [
        ("upstream_verify: no\n", "1:1: unknown key \"upstream_verify\": write upstream_insecure"),
        ("threads: [2]\n", "1:10: threads: expected a text, not a list: write threads: 2"),
        ("fail_on_5xx: 1\n", "1:14: fail_on_5xx: expected true or false"),
        ("listen: {a: b}\n", "1:9: listen: expected a text or a list, not keys: write list"),
        ("a: [\n", "1:4: unclosed bracket '['"),
        (
            "tcp: [{listen: ':1', endpoints: ['http://127.0.0.1:2']}]\n",
            "1:34: \"http://127.0.0.1:2\"",
        ),
        (
            "routes:\n  - prefix: /\n    endpoint: x\n",
            "3:5: unknown key \"endpoint\" in a route: write upstream: NAME",
        ),
        ("routes: [{prefix: /, endpoints: [{addres: x}]}]\n", "1:35: unknown key \"addres\""),
        ("config: x\n", "1:1: unknown key \"config\""),
        ("trusted: [10.0.0.0/8, x]\nroute: /=127.0.0.1:1\n", "1:23: invalid value \"x\""),
        ("routes: [{prefix: /, endpoints: []}]\n", "1:19: there are no endpoints"),
        ("routes: [{prefix: /, host: a/b, endpoints: [x]}]\n", "1:28: invalid host \"a/b\""),
        ("routes: [{prefix: /, host: !env A, endpoints: [x]}]\n", "1:33: unsupported tag"),
        ("routes: [{prefix: /, strip_prefix: true, endpoints: [x]}]\n", "1:19: strip_prefix req"),
        ("routes: [{prefix: /i*, strip_prefix: true, endpoints: [x]}]\n", "1:19: strip_prefix req"),
        ("listen: [127.0.0.1:1, 0.0.0.0:1]\n", "1:23: 0.0.0.0:1 overlaps with 127.0.0.1:1"),
        ("log_level: trace\n", "1:12: invalid value \"trace\""),
        ("listen: [null]\n", "1:10: listen: expected a list of texts, not of nothing: writ"),
        ("routes: [{prefix: /, endpoints: [127.0.0.1:0]}]\n", "1:34: \"127.0.0.1:0\": the port"),
        ("tcp: [{listen: ':1'}]\n", "1:7: a relay needs either upstream: NAME or endpoints"),
        (
            "tcp: [{listen: ':1,proxy', endpoints: [127.0.0.1:2]}]\n",
            "1:7: \",proxy\" requires --trusted",
        ),
        ("tcp: [':1=127.0.0.1:1']\n", "1:7: 127.0.0.1:1 is where this balancer listens itself"),
    ];
    for (text, expected) in rows {
        let mistakes = read(text, &[]).unwrap_err();
        let told = mistakes.iter().any(|mistake| mistake.starts_with(expected));
        assert!(told, "{expected} in {mistakes:?}");
    }
}

#[test]
fn mistakes_about_upstreams() {
    let upstream = |fields: &str| {
        let route = "routes: [{prefix: /, upstream: u}]";
        read(&format!("{route}\nupstreams:\n  - {{{fields}}}\n"), &[]).unwrap_err()
    };
    let rows = [
        (
            "name: u, endpoints: [127.0.0.1:1], policy: best",
            "3:49: invalid value \"best\": expected one of round_robin, lea",
        ),
        ("name: u, endpoints: [127.0.0.1:1], proxy: v3", "3:48: invalid value \"v3\""),
        ("name: u, endpoints: [127.0.0.1:1], max_idle: -1", "3:51: invalid value \"-1\""),
        (
            "name: u, endpoints: [127.0.0.1:1], check_interval: 2h",
            "3:57: invalid value \"2h\": expected a duration from 10ms to 1h",
        ),
        ("name: u, endpoints: [127.0.0.1:1, 127.0.0.1:1]", "3:40: 127.0.0.1:1 is given twice"),
        (
            "name: u, endpoints: [{address: 127.0.0.1:1, weight: 0}]",
            "3:58: invalid weight \"0\": expected a number from 1 to 1000",
        ),
        ("name: u, endpoints: [{address: 127.0.0.1:1@3}]", "3:27: \"127.0.0.1:1@3\": write the w"),
        ("name: u, endpoints: [{address: 127.0.0.1:1, backup: true}]", "3:12: every endpoint is a"),
        ("name: u v, endpoints: [127.0.0.1:1]", "3:12: invalid name \"u v\""),
        ("name: w, endpoints: [127.0.0.1:1]", "1:32: there is no upstream \"u\": did you mean w?"),
        ("name: u", "3:12: an upstream needs endpoints"),
        ("endpoints: [127.0.0.1:1]", "3:5: an upstream needs a name"),
    ];
    for (fields, expected) in rows {
        let mistakes = upstream(fields);
        let told = mistakes.iter().any(|mistake| mistake.starts_with(expected));
        assert!(told, "{expected} in {mistakes:?}");
    }
}

#[test]
fn a_route_that_no_request_can_reach_is_a_mistake() {
    let route = |prefix: &str| format!("  - {{prefix: {prefix}, endpoints: [127.0.0.1:1]}}\n");
    let text = ["/a%62", "/ab", "/x", "/x/../x"].map(route).concat();
    let expected = [(3, 2, "/ab"), (5, 4, "/x")].map(|(at, of, name)| {
        format!("{at}:14: unreachable: the route at {of}:14 already matches {name}")
    });
    assert_eq!(read(&format!("routes:\n{text}"), &[]).unwrap_err(), expected);
}

#[test]
fn all_mistakes_are_reported_at_once_in_file_order() {
    let text = "idle_timeout: 5\nroutes:\n  - {prefix: x, endpoints: [y]}\nmax_fails: 0\n";
    let mistakes = read(text, &[]).unwrap_err();
    let lines: Vec<_> = mistakes.iter().filter_map(|told| told.split(':').next()).collect();
    assert_eq!(lines, ["1", "3", "3", "4"], "{mistakes:?}");
}

#[test]
fn an_explanation_names_the_route_and_what_it_changes() {
    let config = read(FULL, &[]).unwrap();
    let explained = |host, target| explain(&config, AskedRequest::to(host, target));
    let text = explained("api.example.com:80", "/x/../auth//y?z").unwrap().text;
    for line in [
        "path: /auth//y, normalised and without its query",
        "route api.example.com/auth: the longest prefix of this host; other matches: /",
        "target: //y?z, without /auth",
        "Host: auth.internal, instead of the client's",
        "endpoint 127.0.0.1:1 of auth: weight 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    }
    for (host, target) in [("a", "/.."), ("a b", "/"), ("a", "/ b"), ("a\r\nX: y", "/")] {
        assert!(explained(host, target).unwrap_err().contains("answered 400"), "{host}");
    }
}

fn run(words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_evener")).args(words).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn written(text: &str) -> PathBuf {
    let path = temporary("conf.yaml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_test_prints_the_configuration_and_binds_nothing() {
    let (good, bad) = (written(MINIMAL), written("threads: x\n"));
    let free = "--listen=127.0.0.1:0";
    let (code, output) = run(&["-t", "-c", good.to_str().unwrap(), free]);
    assert_eq!((code, output.lines().next()), (Some(0), Some("threads: 2")));
    let (code, output) = run(&["-t", "-c", bad.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(output.contains(&format!("evener: {}:1:10: invalid value \"x\"", bad.display())));
    assert_eq!(run(&["-t", "-c", "/nonexistent.yaml"]).0, Some(2));
    assert_eq!(run(&["-t", "-c", good.to_str().unwrap(), free, "--"]).0, Some(0));
}

#[test]
fn explain_exits_with_1_if_there_is_no_route() {
    let path = written(MINIMAL);
    let explain = |target| run(&["explain", "-c", path.to_str().unwrap(), target]);
    let (code, output) = explain("/auth/x");
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("route /auth: the only one whose prefix matches"), "{output}");
    assert_eq!(explain("/nope").0, Some(1));
    for refused in ["nope", "/a b", "/a#b", "/..", "/a\nroute /fake: x"] {
        assert_eq!(explain(refused).0, Some(2), "{refused:?}");
    }
    let (code, output) = run(&["explain", "-c", path.to_str().unwrap(), "--", "/auth"]);
    assert_eq!(code, Some(0), "{output}");
}

#[test]
fn a_file_that_is_too_large_or_not_text_is_refused() {
    let mistakes = read_bytes(&vec![b'#'; 16 * 1024 * 1024 + 1], &[]).unwrap_err();
    assert!(mistakes[0].contains("larger than 16777216 bytes"), "{mistakes:?}");
    let mistakes = read_bytes(b"threads: 2\n# \xff\n", &[]).unwrap_err();
    assert_eq!(mistakes, ["2:3: is not valid UTF-8: save the file in that encoding"]);
}

#[test]
fn http_settings_are_a_mistake_at_a_tcp_upstream() {
    let text = "tcp: [{listen: ':1', upstream: u}]\nupstreams:\n  - name: u\n    endpoints: \
                [127.0.0.1:2]\n    check: http:/h\n    response_timeout: 1s\n    max_idle: 1\n";
    let mistakes = read(text, &[]).unwrap_err();
    let starts: Vec<_> = mistakes.iter().map(|told| &told[..told.len().min(11)]).collect();
    assert_eq!(starts, ["5:12: check", "6:23: respo", "7:15: max_i"], "{mistakes:?}");
}
