//! How routing by server name is configured, described and explained.

use evener::config::describe::summary;
use evener::config::explain::{AskedRequest, explain};

use crate::configuration::read;

const FILE: &str = r#"
listen: ["127.0.0.1:80"]
routes: [{prefix: /, endpoints: ["10.0.0.1:80"]}]
upstreams:
  - {name: a, endpoints: ["10.0.0.1:443"]}
  - {name: b, endpoints: ["10.0.0.2:443"]}
  - {name: rest, endpoints: ["10.0.0.3:443"]}
tcp:
  - listen: ":443"
    sni: {a.example.com: a, "*.B.example.com": b}
    upstream: rest
  - {listen: ":444", sni: {a.example.com: a}}
  - 0.0.0.0:444,sni=c.example.com=10.0.0.4:443
"#;

fn lines(file: &str, flags: &[&str]) -> Vec<String> {
    summary(&read(file, flags).unwrap()).lines().map(str::to_owned).collect()
}

#[test]
fn names_of_one_address_are_one_listener() {
    for (file, flags) in [
        (FILE, &["--handshake-timeout", "5s"][..]),
        (
            "handshake_timeout: 5s",
            &[
                "--tcp=:443,sni=A.example.com=10.0.0.1:443",
                "--tcp=:444,sni=a.example.com=10.0.0.1:443",
                "--tcp=:443=10.0.0.3:443",
                "--tcp=:444,sni=c.example.com.=10.0.0.4:443",
                "--tcp=0.0.0.0:443,sni=*.b.example.com=10.0.0.2:443@2,10.0.0.5:443,proxy=v2",
            ],
        ),
    ] {
        let lines = lines(file, flags);
        let rest = if file == FILE { "rest" } else { ":443" };
        for line in [
            &*format!(
                "listen 0.0.0.0:443: TCP by server name (ClientHello within 5s), others to {rest}"
            ),
            "listen 0.0.0.0:444: TCP by server name (ClientHello within 5s), others are closed",
        ] {
            assert!(lines.iter().any(|other| other == line), "{line} in {lines:#?}");
        }
        for subject in [
            "server name a.example.com at 0.0.0.0:443: to ",
            "server name *.b.example.com at 0.0.0.0:443: to ",
            "server name a.example.com at 0.0.0.0:444: to ",
            "server name c.example.com at 0.0.0.0:444: to ",
        ] {
            let count = lines.iter().filter(|line| line.starts_with(subject)).count();
            assert_eq!(count, 1, "{subject} in {lines:#?}");
        }
    }
}

#[test]
fn an_explanation_says_where_the_name_leads() {
    let config = read(FILE, &[]).unwrap();
    for (host, expected) in [
        ("a.example.com", ["to a, by a.example.com", "to a, by a.example.com"]),
        ("x.b.example.com:443", ["to b, by *.b.example.com", "closed, since no name matches"]),
        (
            "c.example.com",
            [
                "to rest, since no name matches",
                "to 0.0.0.0:444,sni=c.example.com, by c.example.com",
            ],
        ),
    ] {
        let text = explain(&config, AskedRequest::to(host, "/")).unwrap().text;
        let bare = host.trim_end_matches(":443");
        for (address, outcome) in ["0.0.0.0:443", "0.0.0.0:444"].iter().zip(expected) {
            let line = format!("server name {bare} at {address}: {outcome}");
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
    }
}

#[test]
fn mistakes_in_the_file_have_their_place() {
    let upstreams = "upstreams: [{name: a, endpoints: ['10.0.0.1:1']}]\ntcp:\n";
    for (tcp, mistake) in [
        ("- {listen: ':1', sni: {}, upstream: a}", "3:23: there are no names"),
        ("- {listen: ':1', sni: {a b: a}}", "3:24: invalid name \"a b\": not a host name"),
        ("- {listen: ':1', sni: {'*': a}}", "3:24: invalid name \"*\": `*` alone is not a name"),
        ("- {listen: ':1', sni: {'a.*.c': a}}", "3:24: invalid name \"a.*.c\": `*` may only"),
        ("- {listen: ':1', sni: {10.0.0.1: a}}", "3:24: invalid name \"10.0.0.1\": clients do not"),
        ("- {listen: ':1', sni: {a.b: c}, upstream: a}", "3:29: there is no upstream \"c\""),
        ("- {listen: ':1', sni: {a.b: a, A.B.: a}}", "3:32: a.b is given twice"),
        ("- {listen: ':1', sni: {a.b: a, a.b: a}}", "3:32: a.b is given twice"),
        ("- {listen: ':1', sni: {a.b: }}", "there is no value"),
        (
            "- {listen: ':1', sni: a.b}",
            "3:23: sni: expected names with values, not a text: write sni",
        ),
        ("- {listen: ':1', sni: {a.b: a}, upstream: a, endpoints: ['10.0.0.1:1']}", "3:3: a relay"),
        ("- {listen: ':1', sni: {a.b: a}}\n- {listen: ':1', sni: {A.b: a}}", "4:24: a.b is given"),
        (
            "- {listen: ':1', sni: {a.b: a}, upstream: a}\n- {listen: ':1', upstream: a}",
            "4:3: there is an upstream already for the names that are not listed",
        ),
        (
            "- {listen: '127.0.0.1:1', sni: {a.b: a}}\n- {listen: ':1', upstream: a}",
            "4:3: 0.0.0.0:1 overlaps with 127.0.0.1:1",
        ),
    ] {
        let mistakes = read(&format!("{upstreams}{tcp}\n"), &[]).unwrap_err();
        assert!(mistakes.iter().any(|line| line.contains(mistake)), "{mistake} in {mistakes:?}");
    }
}

#[test]
fn mistakes_in_flags_name_them() {
    for (words, mistake) in [
        (&["--tcp=:1,sni=a.b"][..], "--tcp: \":1,sni=a.b\": no endpoint follows the name"),
        (&["--tcp=:1,sni==10.0.0.1:1"], "--tcp: invalid name \"\": not a host name"),
        (&["--tcp=:1,sni=a.b="], "--tcp: an endpoint is empty"),
        (&["--tcp=:1,sni=a.b=https://10.0.0.1:1"], "connections are relayed as they are"),
        (
            &["--tcp=:1,sni=a.b=10.0.0.1:1", "--tcp=:1,sni=A.b=10.0.0.2:1"],
            "--tcp: a.b is given twice",
        ),
        (
            &["--tcp=:1=10.0.0.1:1", "--tcp=:1,sni=a.b=10.0.0.2:1", "--tcp=:1=10.0.0.3:1"],
            "--tcp: there is an upstream already",
        ),
        (
            &["--trusted=unix", "--tcp=:1,proxy=10.0.0.1:1", "--tcp=:1,sni=a.b=10.0.0.2:1"],
            "--tcp: \",proxy\" must stand in all values for an address, or in none",
        ),
        (&["--tcp=127.0.0.1:1,sni=a.b=127.0.0.1:1"], "is where this balancer listens itself"),
    ] {
        let mistakes = read("", words).unwrap_err();
        assert!(mistakes.iter().any(|line| line.contains(mistake)), "{mistake} in {mistakes:?}");
    }
}
