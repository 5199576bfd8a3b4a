//! Warnings about redirects that lead back to their own routes.

use crate::configuration::read;
use crate::support::tls::Identity;

/// The warnings about routes of a file with these listeners and routes.
fn warnings(listeners: &str, routes: &[&str]) -> Vec<String> {
    let files = Identity::localhost().files();
    let tls = if listeners.contains("listen_tls") {
        format!("certificates: [{{cert: '{}', key: '{}'}}]\n", files.cert, files.key)
    } else {
        String::new()
    };
    let routes: String = routes.iter().flat_map(|route| ["  - {", *route, "}\n"]).collect();
    let config = read(&format!("{listeners}\n{tls}routes:\n{routes}"), &[]).unwrap();
    config.warnings.into_iter().filter(|warning| warning.contains("without end")).collect()
}

const PLAIN: &str = "listen: [':80']";
const TLS: &str = "listen_tls: [':443']";
const BOTH: &str = "redirect_https: true\nlisten: [':80']\nlisten_tls: [':443']";
const OTHER: &str = "listen: [':8080']\nlisten_tls: [':8443']";
const APP: &str = "endpoints: ['127.0.0.1:1']";

#[test]
fn what_is_sure_to_go_round_is_warned_of() {
    let rows: &[(&str, &[&str], &str)] = &[
        (OTHER, &["redirect: {to: '/new{target}'}"], "/ leads to /new/, then to /new/new/,"),
        (OTHER, &["path: /a, redirect: {to: /a}"], "/a leads to /a, then again,"),
        (OTHER, &["prefix: /a, redirect: {to: '/a/b?{query}'}"], "/a leads to /a/b, then again,"),
        (
            OTHER,
            &["prefix: /a, methods: [GET, PUT], redirect: {to: '/a{path}'}"],
            "/a leads to /a/a,",
        ),
        (
            OTHER,
            &["clients: [10.0.0.0/8], redirect: {to: '/x'}", APP],
            "/ leads to /x, then again,",
        ),
        (
            OTHER,
            &["prefix: /a, redirect: {to: /b}", "prefix: /b, redirect: {to: /a}"],
            "/a leads to /b, then to /a,",
        ),
        (
            PLAIN,
            &["host: a.example, redirect: {to: '{scheme}://a.example{target}'}"],
            "a.example/ leads to http://a.example/, then again,",
        ),
        (
            TLS,
            &["host: '*.b.example', redirect: {to: 'https://{host}:443/x'}"],
            "a.b.example/ leads to https://a.b.example:443/x, then again,",
        ),
        (
            BOTH,
            &["host: a.example, redirect: {to: 'http://a.example{target}'}"],
            "a.example/ leads to http://a.example/, then again,",
        ),
    ];
    for (listeners, routes, expected) in rows {
        let told = warnings(listeners, routes);
        let all = format!("redirects without end: {expected} and so on");
        let is_told =
            told.first().is_some_and(|told| told.starts_with("route ") && told.contains(expected));
        assert!(is_told, "{all} in {told:?}");
    }
}

#[test]
fn what_may_end_is_not() {
    let rows: &[(&str, &[&str])] = &[
        (OTHER, &["redirect: {to: '/new{target}'}", "prefix: /new, endpoints: ['127.0.0.1:1']"]),
        (OTHER, &["path: /, redirect: {to: /home}", APP]),
        (OTHER, &["methods: [POST], redirect: {to: /, status: 303}", APP]),
        (OTHER, &["headers: {X-A: b}, redirect: {to: /}", APP]),
        (OTHER, &["query: {a: b}, redirect: {to: /x}", APP]),
        (OTHER, &["redirect: {to: '/x'}, response_headers: {set: {Set-Cookie: seen=1}}"]),
        (OTHER, &["redirect: {to: 'https://docs.example{target}'}"]),
        // Who listens there is not known.
        (OTHER, &["host: a.example, redirect: {to: '{scheme}://a.example{target}'}"]),
        (PLAIN, &["host: a.example, redirect: {to: 'https://a.example{target}'}"]),
        (PLAIN, &["host: www.a.example, redirect: {to: 'http://a.example{target}'}"]),
        (TLS, &["host: a.example, redirect: {to: 'https://www.{host}{target}'}"]),
        (TLS, &["host: a.example, redirect: {to: 'https://{host}:8443{target}'}"]),
    ];
    for (listeners, routes) in rows {
        assert_eq!(warnings(listeners, routes), [""; 0], "{routes:?}");
    }
}
