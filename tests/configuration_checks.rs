//! Checks in full and ejections, as they are written and shown.

use evener::config::describe::summary;

use super::configuration::read;

fn with(upstream: &str) -> Result<String, Vec<String>> {
    let text =
        format!("routes: [{{prefix: /, upstream: u}}]\nupstreams:\n  - {{name: u, {upstream}}}\n");
    read(&text, &["--check-interval=3s"]).map(|config| summary(&config))
}

#[test]
fn a_check_in_full_is_shown_with_all_that_is_not_usual() {
    let rows = [
        ("check: {http: /h}", "GET /h every 3s as a check, "),
        (
            "check: {http: /h, host: app.internal, method: HEAD, status: '200-299,404', port: 8081, \
             interval: 2s, timeout: 500ms, rise: 2, fall: 5}",
            "HEAD /h every 2s as a check (status 200-299,404, host app.internal, port 8081, within \
             500ms, 2 to rise and 5 to fall), ",
        ),
        (
            "check_interval: 1s, check: {http: /h, body: all is well, status: [200, 300-399]}",
            "GET /h every 1s as a check (status 200,300-399, body with \"all is well\"), ",
        ),
        ("check: {tcp: true, port: 81}", "a connection every 3s as a check (port 81), "),
        (
            "check: {http: /h, status: 200, method: OPTIONS}",
            "OPTIONS /h every 3s as a check (status 200)",
        ),
    ];
    for (check, expected) in rows {
        let text = with(&format!("endpoints: [127.0.0.1:1], {check}")).unwrap();
        assert!(text.contains(&format!(", {expected}")), "{expected} in\n{text}");
    }
    let rows = [
        ("grpc: a.B", "gRPC health of a.B every 3s as a check"),
        ("grpc: ''", "gRPC health of the server every 3s as a check"),
    ];
    for (check, expected) in rows {
        let text = with(&format!("endpoints: ['h2c://127.0.0.1:1'], check: {{{check}}}")).unwrap();
        assert!(text.contains(&format!(", {expected}, ")), "{expected} in\n{text}");
    }
}

#[test]
fn mistakes_in_checks() {
    let rows = [
        ("{}", "3:48: a check needs one of tcp: true, http: /path, https: /path and grpc: SERVICE"),
        ("{http: /a, tcp: true}", "3:55: http: the check asks by tcp already"),
        ("{http: /a, grpc: a}", "3:65: grpc: the check asks by http already"),
        ("{tcp: false}", "3:54: tcp: false asks nothing: write check: off"),
        ("{tcp: true, status: 200}", "3:68: status: has no effect on a check by tcp"),
        ("{tcp: true, host: a}", "3:66: host: has no effect on a check by tcp"),
        ("{http: a}", "3:55: invalid path \"a\""),
        ("{http: 'http://a/b'}", "3:55: invalid path"),
        ("{http: //a/b}", "3:55: invalid value \"http://a/b\": a check has no host"),
        ("{http: /, method: CONNECT}", "3:66: invalid method \"CONNECT\""),
        ("{http: /, method: 'a b'}", "3:66: invalid method \"a b\""),
        ("{http: /, method: HEAD, body: a}", "3:78: body: an answer to HEAD has none"),
        ("{http: /, body: ''}", "3:64: body: expected 1 to 1024 bytes"),
        ("{http: /, status: 2xx}", "3:66: invalid status \"2xx\": expected 200 to 599"),
        ("{http: /, status: []}", "3:66: status: an empty list"),
        ("{http: /, port: 0}", "3:64: invalid value \"0\": expected a number from 1 to 65535"),
        ("{http: /, rise: 256}", "3:64: invalid value \"256\": expected a number from 1 to 255"),
        ("{http: /, fall: 0}", "3:64: invalid value \"0\": expected a number from 1 to 255"),
        (
            "{http: /, timeout: 2h}",
            "3:67: invalid value \"2h\": expected a duration from 10ms to 1h",
        ),
        (
            "{http: /, interval: 1ms}",
            "3:68: invalid value \"1ms\": expected a duration from 10ms to 1h",
        ),
        (
            "{http: /, interval: 1s}, check_interval: 2s",
            "3:68: interval: check_interval is given too",
        ),
        ("{http: /, host: 'a b'}", "3:64: invalid host \"a b\""),
        ("{http: /, hosts: a}", "3:58: unknown key \"hosts\""),
        ("{grpc: true}", "3:55: true: write \"\" for the whole server, or a service"),
        ("{grpc: a.B}", "3:48: a check by gRPC takes HTTP/2"),
        ("", "3:41: check: there is no value: write one, or leave the key out"),
    ];
    for (check, expected) in rows {
        let mistakes = with(&format!("endpoints: [127.0.0.1:1], check: {check}")).unwrap_err();
        let told = mistakes.iter().any(|mistake| mistake.starts_with(expected));
        assert!(told, "{expected} in {mistakes:?}");
    }
    let told = with("endpoints: [unix:/a], check: {http: /, port: 81}").unwrap_err();
    assert_eq!(told, ["3:44: port: unix:/a has none: leave port out"]);
}

#[test]
fn a_check_in_full_may_be_that_of_all_upstreams() {
    let text = "check: {http: /h, timeout: 1s, rise: 3}\nupstreams:\n  - {name: u, endpoints: \
                [127.0.0.1:1], check_interval: 7s}\n  - {name: v, endpoints: [127.0.0.1:1], check: \
                off}\nroutes:\n  - {prefix: /, upstream: u}\n  - {prefix: /v, upstream: v}\n  - {prefix: /w, \
                endpoints: [127.0.0.1:1]}\n";
    let shown = |flags: &[&str]| summary(&read(text, flags).unwrap());
    let expected = [
        "upstream u: round_robin, GET /h every 7s as a check (within 1s, 3 to rise and 2 to fall), ",
        "upstream v: round_robin, no checks, ",
        "upstream /w: round_robin, GET /h every 3s as a check (within 1s, 3 to rise and 2 to fall), ",
    ];
    let text_shown = shown(&["--check-interval=3s"]);
    assert!(expected.iter().all(|line| text_shown.contains(line)), "{text_shown}");
    let typed = shown(&["--check=tcp"]);
    assert!(typed.contains("upstream /w: round_robin, a connection every 1s as a check, "));
    let told =
        read("check: {http: /, body: ''}\nroutes: [{prefix: /, endpoints: [127.0.0.1:1]}]", &[]);
    assert!(told.unwrap_err()[0].starts_with("1:24: body: expected 1 to 1024 bytes"));
}

#[test]
fn a_request_in_full_has_no_effect_on_a_tcp_upstream() {
    let text = |check: &str| {
        format!(
            "upstreams: [{{name: u, endpoints: ['127.0.0.1:1'], check: {check}}}]\n\
             tcp: [{{listen: ':2', upstream: u}}]"
        )
    };
    let told = read(&text("{http: /}"), &[]).unwrap_err();
    let what = "has no effect on a TCP upstream, which is checked by connecting: write tcp or off";
    assert_eq!(told, [format!("1:58: check: {what}")]);
    assert!(read(&text("{tcp: true, port: 3, rise: 2}"), &[]).is_ok());
}

#[test]
fn how_many_are_ejected_is_shown_where_it_is_not_usual() {
    let rows = [
        ("max_fails: 2", ", 2 failures in a row eject for 5s, timeouts"),
        ("eject_max: 20%", ", 3 failures in a row eject for 5s, at most 20% at a time, timeouts"),
        ("max_fails: off", ", failures eject none, timeouts"),
    ];
    for (setting, expected) in rows {
        let text = with(&format!("endpoints: [127.0.0.1:1], {setting}")).unwrap();
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    let told = with("endpoints: [127.0.0.1:1], eject_max: 0%").unwrap_err();
    assert_eq!(told, ["3:52: invalid value \"0%\": to eject none, write max_fails: off"]);
}
