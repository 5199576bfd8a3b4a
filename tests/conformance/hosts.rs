//! The Host header: exactly one, of the form `host[:port]`.

use super::PLAIN;
use super::gate::{After, lent};
use crate::support::{Origin, Proxy};

/// A request with these Host headers.
fn hosts(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n")
}

refused! {
    none: "GET / HTTP/1.1\r\n\r\n" => 400 MissingHost;
    none_among_others: hosts("Accept: a") => 400 MissingHost;
    two_of_the_same: hosts("Host: a\r\nHost: a") => 400 DuplicateHost;
    two_that_differ: hosts("Host: a\r\nHost: b") => 400 DuplicateHost;
    two_in_different_case: hosts("Host: a\r\nX: y\r\nhOST: a") => 400 DuplicateHost;
    two_in_http_1_0: "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n" => 400 DuplicateHost;
    two_and_an_absolute_target: "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"
        => 400 DuplicateHost;
    a_list: hosts("Host: a, b") => 400 InvalidHost;
    a_list_without_space: hosts("Host: a,b") => 400 InvalidHost;
    a_path: hosts("Host: a/b") => 400 InvalidHost;
    a_query: hosts("Host: a?b") => 400 InvalidHost;
    a_fragment: hosts("Host: a#b") => 400 InvalidHost;
    a_backslash: hosts("Host: a\\b") => 400 InvalidHost;
    user_information: hosts("Host: u@a") => 400 InvalidHost;
    a_space: hosts("Host: a b") => 400 InvalidHost;
    a_tab: hosts("Host: a\tb") => 400 InvalidHost;
    a_scheme: hosts("Host: http://a") => 400 InvalidHost;
    a_port_of_letters: hosts("Host: a:x") => 400 InvalidHost;
    a_port_with_a_sign: hosts("Host: a:+80") => 400 InvalidHost;
    a_port_of_six_digits: hosts("Host: a:123456") => 400 InvalidHost;
    a_port_above_65535: hosts("Host: a:65536") => 400 InvalidHost;
    a_port_of_99999: hosts("Host: a:99999") => 400 InvalidHost;
    an_ipv6_port_above_65535: hosts("Host: [::1]:65536") => 400 InvalidHost;
    a_bad_escape: hosts("Host: a%zz") => 400 InvalidHost;
    half_an_escape: hosts("Host: a%2") => 400 InvalidHost;
    a_percent_sign_at_its_end: hosts("Host: a%") => 400 InvalidHost;
    two_ports: hosts("Host: a:80:80") => 400 InvalidHost;
    a_port_alone: hosts("Host: :80") => 400 InvalidHost;
    an_octet_above_ascii: hosts("Host: \u{e9}") => 400 InvalidHost;
    ipv6_without_its_end: hosts("Host: [::1") => 400 InvalidHost;
    ipv6_without_brackets: hosts("Host: ::1") => 400 InvalidHost;
    ipv6_with_more_after_it: hosts("Host: [::1]a") => 400 InvalidHost;
    ipv6_of_other_letters: hosts("Host: [::g]") => 400 InvalidHost;
    ipv6_of_one_number: hosts("Host: [1]") => 400 InvalidHost;
    ipv4_in_brackets: hosts("Host: [127.0.0.1]") => 400 InvalidHost;
    ipv6_with_nothing_in_it: hosts("Host: []") => 400 InvalidHost;
    nul: hosts("Host: a\0b") => 400 FieldValue;
    invalid_in_http_1_0: "GET / HTTP/1.0\r\nHost: a b\r\n\r\n" => 400 InvalidHost;
}

arrives! {
    a_port: hosts("Host: a.b:8080") => Keep &hosts("Host: a.b:8080");
    the_largest_port: hosts("Host: a:65535") => Keep &hosts("Host: a:65535");
    an_empty_port: hosts("Host: a:") => Keep &hosts("Host: a:");
    an_escape: hosts("Host: a%2Fb") => Keep &hosts("Host: a%2Fb");
    ipv6_with_a_port: hosts("Host: [::1]:80") => Keep &hosts("Host: [::1]:80");
    empty: hosts("Host:") => Keep &hosts("Host: ");
    spaces_around_it: hosts("Host: \t a \t") => Keep PLAIN;
    after_other_fields: hosts("X: y\r\nhOST: a") => Keep &hosts("X: y\r\nhOST: a");
}

#[test]
fn none_in_http_1_0() {
    lent(|gate| {
        let arrived = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", gate.proxy.address);
        gate.passes("GET / HTTP/1.0\r\n\r\n", After::Close, &arrived);
    });
}

#[test]
fn one_of_our_own_choice() {
    let origin = Origin::named("in");
    let proxy = Proxy::before(&[&origin], &["--host-header", "inner.test"]);
    assert_eq!(proxy.ask(hosts("Host: a")).status, 200);
    assert_eq!(
        origin.heads()[0],
        "GET / HTTP/1.1\r\nHost: inner.test\r\nX-Forwarded-For: 127.0.0.1\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n"
    );
}
