//! HTTP/2 in the configuration: what is read, what is refused, and what is shown.

use std::sync::Arc;

use evener::config::Config;
use evener::config::describe::{difference, summary};
use evener::plan::Http2;
use evener::upstream::check::CheckKind;
use evener::upstream::endpoint::Scheme;
use evener::upstream::endpoint_set::EndpointSet;

use crate::configuration::read;

/// With these lines and flags.
fn with(text: &str, flags: &[&str]) -> Result<Config, Vec<String>> {
    let route = "routes: [{prefix: /, endpoints: ['127.0.0.1:1']}]\n";
    read(&format!("{text}\n{route}"), flags)
}

fn http2(text: &str, flags: &[&str]) -> Option<Http2> {
    with(text, flags).unwrap().plan.http2
}

#[test]
fn it_is_spoken_unless_it_is_turned_off() {
    let usual = Some(Http2 { streams_max: 128 });
    assert_eq!(http2("", &[]), usual);
    assert_eq!(http2("http2: true", &[]), usual);
    assert_eq!(http2("http2: false", &[]), None);
    assert_eq!(http2("http2: true", &["--no-http2"]), None);
    assert_eq!(http2("", &["--no-http2"]), None);
}

#[test]
fn the_number_of_streams_is_bounded() {
    assert_eq!(http2("max_streams: 1", &[]), Some(Http2 { streams_max: 1 }));
    let flags = ["--max-streams", "65536"];
    assert_eq!(http2("max_streams: 1", &flags), Some(Http2 { streams_max: 65536 }));
    for bad in ["0", "65537", "-1", "off"] {
        let expected = format!("invalid value {bad:?}: expected a number from 1 to 65536");
        let told = with(&format!("max_streams: {bad}"), &[]).unwrap_err();
        assert_eq!(told, [format!("1:14: {expected}")]);
        let told = with("", &["--max-streams", bad]).unwrap_err();
        assert_eq!(told, [format!("--max-streams: {expected}")]);
    }
}

#[test]
fn what_is_no_switch_has_its_line_and_column() {
    let rows = [
        ("http2: 1", "1:8: http2: expected true or false"),
        ("http2: off", "1:8: http2: expected true or false"),
        ("http2: h2c", "1:8: http2: expected true or false"),
        ("http2: [true]", "1:8: "),
        ("no_http2: true", "1:1: unknown key \"no_http2\": write http2: false"),
    ];
    for (text, expected) in rows {
        let told = with(text, &[]).unwrap_err();
        assert!(told[0].starts_with(expected), "{text}: {told:?}");
    }
}

#[test]
fn streams_without_http2_are_a_warning() {
    let warnings = |text: &str, flags: &[&str]| with(text, flags).unwrap().warnings;
    let told = warnings("http2: false\nmax_streams: 64", &[]);
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with(":2:14: has no effect without HTTP/2"), "{told:?}");
    let told = warnings("", &["--no-http2", "--max-streams=64"]);
    assert_eq!(told, ["--max-streams: has no effect without HTTP/2"]);
    assert!(warnings("max_streams: 64", &[]).is_empty());
    assert!(warnings("http2: false", &[]).is_empty());
}

#[test]
fn it_is_shown_and_a_reload_changes_it() {
    let usual = with("", &[]).unwrap();
    let shown = summary(&usual);
    assert!(shown.contains("\nHTTP/2: at most 128 streams per connection\n"), "{shown}");
    let changed = with("", &["--max-streams=64"]).unwrap();
    let expected = "~ HTTP/2: at most 128 streams per connection → at most 64 streams per connection, \
                    for new connections";
    assert_eq!(difference(&usual, &changed), [expected]);
    let expected = "~ HTTP/2: at most 64 streams per connection → off, for new connections";
    assert_eq!(difference(&changed, &with("", &["--no-http2"]).unwrap()), [expected]);
}

/// What is shown of a configuration whose only upstream has this scheme and check.
fn shown(scheme: Scheme, check: CheckKind) -> String {
    let mut config = with("", &[]).unwrap();
    let upstream = &mut Arc::get_mut(&mut config.plan).unwrap().upstreams[0];
    let upstream = Arc::get_mut(upstream).unwrap();
    let mut endpoints = upstream.endpoints.to_vec();
    endpoints[0].scheme = scheme;
    (upstream.endpoints, upstream.check.kind) = (Arc::new(EndpointSet::new(endpoints)), check);
    summary(&config)
}

#[test]
fn an_endpoint_and_a_check_over_http2_are_shown_as_such() {
    let text = shown(Scheme::H2c, CheckKind::Grpc("a.B".to_owned()));
    assert!(text.contains("\nendpoint 127.0.0.1:1 of /: weight 1, HTTP/2\n"), "{text}");
    assert!(text.contains(", gRPC health of a.B every 1s as a check, "), "{text}");
    let text = shown(Scheme::Http, CheckKind::Grpc(String::new()));
    assert!(text.contains("\nendpoint 127.0.0.1:1 of /: weight 1\n"), "{text}");
    assert!(text.contains(", gRPC health of the server every 1s as a check, "), "{text}");
}

#[test]
fn an_endpoint_over_http2_is_written_with_its_scheme() {
    let text = "upstreams:\n  - name: u\n    verify: false\n    endpoints:\n      - h2://127.0.0.1:1@2\n      - \
                {address: 'h2c://127.0.0.1:2', backup: true}\nroutes: [{prefix: /, upstream: u}]";
    let config = read(text, &[]).unwrap();
    let endpoints = config.plan.upstreams[0].endpoints.iter();
    let schemes: Vec<_> = endpoints.map(|known| (known.scheme, known.tls.is_some())).collect();
    assert_eq!(schemes, [(Scheme::H2, true), (Scheme::H2c, false)]);
    let text = summary(&config);
    let lines = [
        "endpoint 127.0.0.1:1 of u: weight 2, HTTP/2, TLS as 127.0.0.1, NOT verified\n",
        "endpoint 127.0.0.1:2 of u: weight 1, backup, HTTP/2\n",
    ];
    assert!(lines.iter().all(|line| text.contains(line)), "{text}");
}

#[test]
fn a_relay_takes_no_scheme_of_http2() {
    let relay = read("tcp: [{listen: ':1', endpoints: ['h2c://127.0.0.1:2']}]", &[]);
    let expected =
        "\"h2c://127.0.0.1:2\": connections are relayed as they are: leave the scheme out";
    assert_eq!(relay.unwrap_err(), [format!("1:34: {expected}")]);
}

#[test]
fn a_check_of_an_upstream_that_is_relayed_to_has_no_effect_and_asks_for_no_scheme() {
    let told = read(
        "upstreams: [{name: u, endpoints: ['127.0.0.1:1'], check: grpc}]\n\
                     tcp: [{listen: ':2', upstream: u}]",
        &[],
    );
    let told = told.unwrap_err();
    assert!(told[0].starts_with("1:58: check: has no effect on a TCP upstream"), "{told:?}");
}

#[test]
fn another_scheme_for_an_address_is_a_change_of_the_endpoint() {
    let with = |scheme: &str| read("", &[&format!("--route=/={scheme}127.0.0.1:1")]).unwrap();
    let expected = ["~ endpoint 127.0.0.1:1 of /: weight 1 → weight 1, HTTP/2"];
    assert_eq!(difference(&with(""), &with("h2c://")), expected);
}

#[test]
fn a_proxy_header_to_an_endpoint_over_http2_is_a_mistake() {
    let file = "upstreams: [{name: u, verify: false, proxy: v2, endpoints: ['h2://127.0.0.1:1']}]\n\
                routes: [{prefix: /, upstream: u}]";
    let what = "a PROXY header does not suit h2://127.0.0.1:1, where clients share connections: leave proxy \
                out, or write https://127.0.0.1:1";
    assert_eq!(read(file, &[]).unwrap_err(), [format!("1:45: {what}")]);
    let flag = "--route=/=127.0.0.1:1,h2c://127.0.0.1:2,proxy=v1";
    let what = "a PROXY header does not suit h2c://127.0.0.1:2, where clients share connections: leave proxy \
                out, or write 127.0.0.1:2";
    let told = read("", &[flag]).unwrap_err();
    assert!(told.len() == 1 && told[0].ends_with(what), "{told:?}");
}
