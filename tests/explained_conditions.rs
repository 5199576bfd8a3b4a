//! What `evener explain` says of conditions.

use std::net::IpAddr;
use std::process::Command;

use evener::config::explain::{AskedRequest, explain};

use crate::configuration::read;
use crate::support::temporary;

const FILE: &str = r#"
routes:
  - {prefix: /, endpoints: [127.0.0.1:1]}
  - {prefix: /a, methods: [GET], headers: {X-Beta: "1"}, endpoints: [127.0.0.1:1]}
  - {prefix: /a, methods: [PUT], clients: [10.0.0.0/8], endpoints: [127.0.0.1:1]}
  - {host: "*.example.com", path: /a/b, query: {v: 2}, endpoints: [127.0.0.1:1]}
  - {host: x.example.com, prefix: /only, methods: [GET], endpoints: [127.0.0.1:1]}
"#;

#[track_caller]
fn expect(asked: AskedRequest<'_>, lines: &[&str]) {
    let text = explain(&read(FILE, &[]).unwrap(), asked).unwrap().text;
    let told = |line: &&str| line.contains("route") || line.starts_with("conditions");
    assert_eq!(text.lines().filter(told).collect::<Vec<_>>(), lines, "{text}");
}

#[test]
fn it_names_the_conditions_that_hold_and_those_of_others_that_fail() {
    let (beta, client) = (["X-Beta: 1".to_owned()], Some(IpAddr::from([10, 1, 2, 3])));
    expect(
        AskedRequest { headers: &beta, ..AskedRequest::to("a", "/a") },
        &[
            "route /a GET X-Beta=1: the longest prefix, and all conditions hold; other matches: /",
            "conditions: method GET, header X-Beta: 1 hold",
            "not route /a PUT 10.0.0.0/8: method PUT, client in 10.0.0.0/8 fail",
        ],
    );
    expect(
        AskedRequest { method: "PUT", client, ..AskedRequest::to("z.example.com", "/a/b?v=1") },
        &[
            "route /a PUT 10.0.0.0/8: the most specific one whose conditions hold, by its prefix; other matches: /",
            "conditions: method PUT, client in 10.0.0.0/8 hold",
            "not route =*.example.com/a/b ?v=2: parameter \"v\" = \"2\" fails",
            "not route /a GET X-Beta=1: method GET, header X-Beta: 1 fail",
        ],
    );
    expect(
        AskedRequest::to("z.example.com", "/a/b?v=2"),
        &[
            "route =*.example.com/a/b ?v=2: the exact path of *.example.com, and all conditions hold; other matches: /",
            "conditions: parameter \"v\" = \"2\" holds",
            "not route /a GET X-Beta=1: header X-Beta: 1 fails",
            "not route /a PUT 10.0.0.0/8: method PUT, client in 10.0.0.0/8 fail",
        ],
    );
}

#[test]
fn it_says_which_status_a_request_without_a_route_gets() {
    let text = FILE.replace("{prefix: /, ", "{prefix: /z, ");
    let config = read(&text, &[]).unwrap();
    let told = |method| {
        let asked = AskedRequest { method, ..AskedRequest::to("x.example.com", "/only") };
        let explained = explain(&config, asked).unwrap();
        (explained.is_routed, explained.text)
    };
    let (is_routed, text) = told("POST");
    let status = "route: none takes POST, the response is 405 with Allow: GET, HEAD\n";
    assert!(!is_routed && text.contains(status), "{text}");
    assert!(text.contains("not route x.example.com/only GET: method GET fails\n"), "{text}");
    assert!(told("HEAD").0);
}

#[test]
fn at_most_eight_others_are_shown() {
    let route = |nth| format!("  - {{headers: {{X: v{nth}}}, endpoints: [127.0.0.1:1]}}\n");
    let routes: Vec<String> = (0..20).map(route).collect();
    let config = read(&format!("routes:\n{}", routes.concat()), &[]).unwrap();
    let text = explain(&config, AskedRequest::to("a", "/")).unwrap().text;
    assert_eq!(text.matches("not route ").count(), 8, "{text}");
    assert!(text.contains("not 12 more routes, whose conditions fail too\n"), "{text}");
}

#[test]
fn the_method_is_a_flag() {
    let path = temporary("conf.yaml");
    std::fs::write(&path, FILE).unwrap();
    let run = |method: &str| {
        let words = [
            "explain",
            "-c",
            path.to_str().unwrap(),
            "--method",
            method,
            "--client=10.0.0.1",
            "/a",
        ];
        let output = Command::new(env!("CARGO_BIN_EXE_evener")).args(words).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = run("PUT");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("request: PUT localhost /a\nroute /a PUT 10.0.0.0/8: "), "{text}");
    let (code, text) = run("P T");
    assert_eq!((code, text.contains("--method: invalid value \"P T\"")), (Some(2), true), "{text}");
}

#[test]
fn a_url_says_host_and_scheme() {
    let path = temporary("conf.yaml");
    let text = "routes: [{host: a.example, redirect: {to: '{scheme}://b.example{target}'}}]\n";
    std::fs::write(&path, text).unwrap();
    let explained = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evener"));
        let ran = command.args(["explain", "-c", path.to_str().unwrap()]).args(words).output();
        let ran = ran.unwrap();
        String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap()
    };
    for (words, location) in [
        (&["--host", "a.example", "--query", "c", "/x"][..], "308 to http://b.example/x?c"),
        (&["--https", "a.example/x"], "308 to https://b.example/x"),
        (&["https://a.example"], "308 to https://b.example/"),
    ] {
        assert!(explained(words).contains(location), "{words:?}: {}", explained(words));
    }
    let twice = explained(&["--host", "a.example", "b.example/"]);
    assert!(twice.contains("--host: there is one in PATH, too: \"b.example\""), "{twice}");
}
