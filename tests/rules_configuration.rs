//! How rules are configured and shown, and what is refused about them.

use std::fs;
use std::path::Path;

use evener::config::describe::{difference, summary};
use evener::config::explain::{AskedRequest, explain};

use crate::configuration::read;
use crate::support::temporary;

const UPSTREAMS: &str = "upstreams:\n  - {name: app, endpoints: [127.0.0.1:1]}\n";

/// A file with a route that has these keys, and another one.
fn file(keys: &str) -> String {
    format!("routes:\n  - {{{keys}}}\n  - {{prefix: /else, upstream: app}}\n{UPSTREAMS}")
}

/// The lines of `-t` that begin like this.
fn lines(text: &str, beginning: &str) -> Vec<String> {
    let text = summary(&read(text, &["--check", "off"]).unwrap());
    text.lines().filter(|line| line.starts_with(beginning)).map(str::to_owned).collect()
}

/// The one mistake of a route with these keys, without its place.
fn mistake(keys: &str) -> String {
    let mistakes = read(&file(keys), &[]).unwrap_err();
    let [mistake] = &mistakes[..] else { panic!("{keys}: {mistakes:?}") };
    mistake.splitn(3, ':').nth(2).unwrap().trim().to_owned()
}

fn refuses(rows: &[(&str, &str)]) {
    for (keys, expected) in rows {
        let told = mistake(keys);
        assert!(told.starts_with(expected), "{keys}:\n{told}\n{expected}");
    }
}

#[test]
fn edits_of_headers_are_shown_one_a_line() {
    let text = format!(
        "request_headers: {{set: {{X-Real-IP: '{{client}}'}}}}\n{}",
        file(
            "prefix: /, upstream: app, request_headers: {set: {X-Host: \"{host}\"}, add: {X-Tag: a}, \
             remove: [X-Internal]}, response_headers: {remove: [Server]}"
        )
    );
    assert_eq!(
        lines(&text, "request header"),
        [
            "request header X-Real-IP: set to \"{client}\"",
            "request header X-Internal of route /: removed",
            "request header X-Host of route /: set to \"{host}\"",
            "request header X-Tag of route /: added, \"a\"",
        ]
    );
    assert_eq!(lines(&text, "response header"), ["response header Server of route /: removed"]);
}

#[test]
fn headers_that_frame_a_message_are_refused_with_a_remedy() {
    let app = |edits: &str| format!("prefix: /, upstream: app, {edits}");
    for (edits, expected) in [
        ("request_headers: {set: {Content-Length: '1'}}", "Content-Length: it frames the message"),
        ("response_headers: {remove: [Transfer-Encoding]}", "Transfer-Encoding: it frames"),
        ("request_headers: {add: {Host: x}}", "Host: Host is changed by host_header: NAME"),
        ("request_headers: {set: {X_Real_IP: x}}", "X_Real_IP: endpoints may take it for"),
        ("request_headers: {remove: ['']}", "\"\" is no name of a header"),
        ("request_headers: {set: {'X A': x}}", "X A: no name of a header"),
        ("request_headers: {set: {X-A: x}, remove: [x-a]}", "X-A: it is set or removed already"),
        ("request_headers: {set: {X-A: '{hots}'}}", "X-A: unknown variable {hots}: write {{ for"),
        ("request_headers: {set: {X-A: '{endpoint}'}}", "X-A: {endpoint} is known in responses"),
        ("request_headers: {set: {X-A: \"a\\nb\"}}", "X-A: there is a line break"),
        ("response_headers: {set: {Location: '{target}'}}", "Location: a request could choose"),
        ("request_headers: X-A", "write what is changed, as in {set: {X-Real-IP"),
        (
            "request_headers: {sets: {X-A: b}}",
            "unknown key \"sets\" in changes of headers: did you mean set?",
        ),
    ] {
        refuses(&[(&app(edits), expected)]);
    }
}

#[test]
fn mistakes_have_the_place_of_the_header() {
    let text = "request_headers:\n  set:\n    X-A: '{hots}'\n    Host: b\n  remove:\n    - TE\n\
                routes: [{prefix: /, upstream: app}]\n";
    let mistakes = read(&format!("{text}{UPSTREAMS}"), &[]).unwrap_err();
    let places: Vec<_> = mistakes
        .iter()
        .map(|mistake| mistake.split(':').take(2).collect::<Vec<_>>().join(":"))
        .collect();
    assert_eq!(places, ["3:10", "4:5", "6:7"], "{mistakes:?}");
}

#[test]
fn a_route_has_one_outcome() {
    refuses(&[
        (
            "prefix: /",
            "a route needs an outcome: write upstream: NAME, endpoints: [ADDRESS], split",
        ),
        (
            "prefix: /, upstream: app, redirect: {to: /x}",
            "a route has one outcome, and here are upstream and redirect: leave all but one out",
        ),
        (
            "prefix: /, endpoints: ['127.0.0.1:1'], split: {app: 1}, respond: {status: 200}",
            "a route has one outcome, and here are endpoints, split and respond",
        ),
    ]);
}

#[test]
fn each_outcome_is_shown_in_one_line() {
    for (keys, expected) in [
        ("prefix: /, redirect: {to: '/new{target}'}", "redirects by 308 to /new{target}"),
        (
            "host: a.example, prefix: /, redirect: {to: 'https://www.{host}{target}', status: 301}",
            "redirects by 301 to https://www.{host}{target}",
        ),
        ("prefix: /, respond: {status: 204}", "answers 204 without a body"),
        (
            "prefix: /, respond: {status: 503, body: \"at {{noon}\\n\", headers: {Retry-After: 3600}}",
            "answers 503 with text/plain, \"at {{noon}\\n\", Retry-After: \"3600\"",
        ),
        ("prefix: /, split: {app: 95, other: 5}", "to app (95), other (5)"),
        (
            "prefix: /, split: {app: 1, other: 0}, sticky: {cookie: side, max_age: 1h}",
            "to app (1), other (0), sticky by cookie side for 1h",
        ),
    ] {
        let others = "  - {name: other, endpoints: [127.0.0.1:2]}\n";
        let both = "routes:\n  - {prefix: /both, split: {app: 1, other: 1}}\n";
        let text = format!("{both}{}{others}", file(keys).replace("routes:\n", ""));
        let shown = &lines(&text, "route ")[1];
        assert_eq!(shown.split_once(": ").unwrap().1, expected, "{keys}");
    }
}

/// What `evener explain` says of a request, from its route on.
fn explained(keys: &str, client: Option<&str>) -> String {
    let config = read(&file(keys), &["--check", "off"]).unwrap();
    let client = client.map(|client| client.parse().unwrap());
    let asked = AskedRequest { client, ..AskedRequest::to("A.example:80", "/a/./b?c=d") };
    let text = explain(&config, asked).unwrap().text;
    text.split("route ").nth(1).unwrap().to_owned()
}

#[test]
fn an_explanation_shows_what_rules_would_write() {
    let keys = "prefix: /a, upstream: app, request_headers: {set: {X-A: '{client} {host} {path}'}, \
                remove: [X-B]}, response_headers: {add: {X-C: '{query} {endpoint} {upstream}'}}";
    let text = explained(keys, Some("192.0.2.7"));
    for line in [
        "\nrequest header X-B: removed\n",
        "\nrequest header X-A: set to \"192.0.2.7 a.example /a/b\"\n",
        "\nresponse header X-C: added, \"c=d {endpoint} app\"\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let text = explained("prefix: /, redirect: {to: '/new{target}'}", None);
    assert!(text.contains("\nredirect: 308 to /new/a/./b?c=d\n"), "{text}");
    let text = explained("prefix: /, respond: {status: 200, body: '{client} {method}'}", None);
    assert!(text.contains("\nresponse: 200\nbody: text/plain, \"{client} GET\"\n"), "{text}");
    let text = explained("prefix: /, split: {app: 3}, replace_prefix: /v2", None);
    assert!(text.contains("\ntarget: /v2/a/b?c=d, after /v2\n"), "{text}");
}

#[test]
fn a_prefix_is_stripped_or_replaced() {
    let shown = |keys: &str| lines(&file(&format!("upstream: app, {keys}")), "route ").remove(0);
    for (keys, expected) in [
        ("prefix: /api, replace_prefix: /v2", "route /api: to app, with /v2 instead of /api"),
        ("prefix: /api/, replace_prefix: /v2/", "route /api/: to app, with /v2 instead of /api"),
        ("prefix: /, replace_prefix: /v2", "route /: to app, after /v2"),
        ("prefix: /api, replace_prefix: /", "route /api: to app, without /api"),
    ] {
        assert_eq!(shown(keys), expected);
    }
    let wrong = |keys: &str, expected: &str| {
        refuses(&[(&format!("prefix: /a, upstream: app, {keys}"), expected)]);
    };
    wrong("replace_prefix: v2", "replace_prefix: \"v2\": write a path that begins with one /");
    wrong("replace_prefix: //v2", "replace_prefix: \"//v2\": write a path that begins with one /");
    wrong("replace_prefix: /a?b", "replace_prefix: \"/a?b\": write visible ASCII without ?");
    wrong("replace_prefix: '/{host}'", "replace_prefix: \"/{host}\": write visible ASCII");
    wrong("replace_prefix: /a/../b", "replace_prefix: \"/a/../b\": write /b");
    wrong("replace_prefix: /..", "replace_prefix: \"/..\": it climbs above the root");
    wrong("replace_prefix: /b, strip_prefix: true", "replace_prefix: strip_prefix is there, too");
    refuses(&[(
        "prefix: /img*, upstream: app, replace_prefix: /b",
        "replace_prefix requires whole segments, and /img* has none",
    )]);
}

#[test]
fn redirects_are_checked() {
    refuses(&[
        ("prefix: /, redirect: {to: '{target}'}", "a request could choose the host by {target}"),
        ("prefix: /, redirect: {to: '/{query}'}", "a request could choose the host by {query}"),
        (
            "prefix: /, redirect: {to: 'https://{host}/'}",
            "a request could choose any host by {host}",
        ),
        ("prefix: /, redirect: {to: //a/}", "// begins a host"),
        ("prefix: /, redirect: {to: /, status: 200}", "200 is no redirect: write 301, 302, 303"),
        ("prefix: /, redirect: {to: /, status: x}", "invalid value \"x\": expected 301, 302"),
        ("prefix: /, redirect: {status: 301}", "a redirect needs to: LOCATION"),
        ("prefix: /, redirect: https://a/", "write redirect: {to: \"https://a/\"}"),
        ("prefix: /, redirect: {to: /}, retries: 1", "retries: has no effect on a redirect"),
        ("prefix: /, redirect: {to: /}, sticky: a", "sticky: of a route it keeps clients with one"),
    ]);
}

#[test]
fn answers_are_checked() {
    refuses(&[
        ("prefix: /, respond: {status: 99}", "99 is no status of an answer: write 200 to 599"),
        ("prefix: /, respond: {status: 204, body: x}", "a 204 has no body: leave body out"),
        ("prefix: /, respond: {body: x}", "an answer needs status: NUMBER"),
        ("prefix: /, respond: {status: 200, body: '{x}'}", "unknown variable {x}"),
        ("prefix: /, respond: {status: 200, headers: {TE: x}}", "TE: it frames the message"),
        (
            "prefix: /, respond: {status: 200, headers: {Content-Type: x}}",
            "Content-Type: write content_type: TYPE instead",
        ),
        (
            "prefix: /, respond: {status: 200, content_type: ''}",
            "invalid value \"\": expected a media type",
        ),
        ("prefix: /, respond: ok", "an answer is written as {status: 503"),
        (
            "prefix: /x, respond: {status: 200}, strip_prefix: true",
            "strip_prefix: has no effect on an answer of our own",
        ),
    ]);
}

#[test]
fn splits_are_checked() {
    refuses(&[
        ("prefix: /, split: {}", "split: at least one upstream needs a weight above 0"),
        ("prefix: /, split: {app: 0}", "split: at least one upstream needs a weight above 0"),
        (
            "prefix: /, split: {app: 1001}",
            "invalid value \"1001\": expected a whole number from 0 to 1000",
        ),
        (
            "prefix: /, split: {other: 1}",
            "there is no upstream \"other\": add it to upstreams, as in {",
        ),
        ("prefix: /, upstream: app, sticky: a", "sticky: of a route it keeps clients with one"),
    ]);
}

#[test]
fn a_split_and_its_upstreams_have_cookies_of_different_names() {
    let text = "upstreams:\n  - {name: a, endpoints: ['127.0.0.1:1'], sticky: side}\n  - {name: b, endpoints: \
                ['127.0.0.1:2']}\nroutes:\n  - {prefix: /, split: {a: 1, b: 1}, sticky: side}\n";
    let mistakes = read(text, &[]).unwrap_err();
    assert!(mistakes[0].contains("upstream a has the cookie \"side\" too"), "{mistakes:?}");
}

#[test]
fn error_pages_are_read_from_beside_the_file_that_names_them() {
    let (path, large) = (temporary("sorry.html"), temporary("large.txt"));
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let (sorry, large_name) = (name(&path), name(&large));
    let page = |keys: &str| file(&format!("prefix: /, upstream: app, error_pages: {{{keys}}}"));
    let shown = |text: &str| read(&page(text), &["--check", "off"]);
    fs::write(&path, "<p>{status}</p>").unwrap();
    fs::write(&large, vec![b'x'; 1024 * 1024 + 1]).unwrap();
    let all = format!("5xx: {sorry}");
    let now = shown(&all).unwrap();
    let expected = format!("error page 5xx of route /: {sorry} (15 bytes, ");
    assert!(summary(&now).contains(&expected), "{}", summary(&now));
    fs::write(&path, "<p>{status}?</p>").unwrap();
    let changed = difference(&now, &shown(&all).unwrap());
    assert!(changed[0].starts_with(&format!("~ {expected}")), "{changed:?}");
    for (keys, expected) in [
        ("503: none.html".to_owned(), "none.html: No such file or directory".to_owned()),
        (
            format!("503: {large_name}"),
            format!("{large_name}: a page must not be larger than 1048576"),
        ),
        (
            "503: /etc/hosts".to_owned(),
            "/etc/hosts: the name of a page must end in .html, ".to_owned(),
        ),
        ("503: ''".to_owned(), "\"\" does not name a file".to_owned()),
        (format!("200: {sorry}"), "\"200\" is no error status: write one of 400 to 599".to_owned()),
    ] {
        refuses(&[(&format!("prefix: /, upstream: app, error_pages: {{{keys}}}"), &expected)]);
    }
    fs::remove_file(&path).unwrap();
    fs::remove_file(&large).unwrap();
}
