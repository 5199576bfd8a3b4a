//! The request target: its four forms, and what none of them may contain.

use evener::reject::Reject;

use super::gate::lent;
use super::{PLAIN, line};

refused! {
    a_fragment: line("GET /a#b HTTP/1.1") => 400 Target;
    an_octet_above_ascii: line("GET /\u{e9} HTTP/1.1") => 400 Target;
    an_octet_that_is_no_utf_8: b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n" => 400 RequestLine;
    nul: line("GET /\0 HTTP/1.1") => 400 RequestLine;
    delete: line("GET /\x7f HTTP/1.1") => 400 RequestLine;
    no_slash: line("GET a HTTP/1.1") => 400 Target;
    a_backslash_for_a_slash: line("GET \\a HTTP/1.1") => 400 Target;
    a_query_alone: line("GET ?a HTTP/1.1") => 400 Target;
    authority_form: line("GET a:80 HTTP/1.1") => 400 Target;
    asterisk_form_of_get: line("GET * HTTP/1.1") => 400 Target;
    asterisk_form_with_more: line("OPTIONS *a HTTP/1.1") => 400 Target;
    another_scheme: line("GET ftp://a/ HTTP/1.1") => 400 Target;
    a_scheme_alone: line("GET http: HTTP/1.1") => 400 Target;
    one_slash_after_the_scheme: line("GET http:/a HTTP/1.1") => 400 Target;
    an_absolute_target_without_a_host: line("GET http:///a HTTP/1.1") => 400 Target;
    an_absolute_target_with_user_information: line("GET http://u@a/ HTTP/1.1") => 400 Target;
    an_absolute_target_with_a_password: line("GET http://u:p@a/ HTTP/1.1") => 400 Target;
    an_absolute_target_with_a_bad_port: line("GET http://a:b/ HTTP/1.1") => 400 Target;
    an_absolute_target_with_a_backslash: line("GET http://a\\b/ HTTP/1.1") => 400 Target;
    an_absolute_target_of_another_host: line("GET http://b/ HTTP/1.1") => 400 HostMismatch;
    an_absolute_target_of_another_port: line("GET http://a:81/ HTTP/1.1") => 400 HostMismatch;
    an_absolute_target_with_a_port_above_65535: line("GET http://a:65536/ HTTP/1.1") => 400 Target;
    an_absolute_target_with_a_bad_escape: line("GET http://a%zz/ HTTP/1.1") => 400 Target;
    an_absolute_target_with_the_port_of_https: line("GET http://a:443/ HTTP/1.1")
        => 400 HostMismatch;
    an_absolute_target_and_an_empty_host: "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"
        => 400 HostMismatch;
    an_absolute_target_without_host: "GET http://a/ HTTP/1.1\r\n\r\n" => 400 MissingHost;
    a_path_above_the_root: line("GET /../a HTTP/1.1") => 400 PathAboveRoot;
    a_path_above_the_root_later: line("GET /a/../../b HTTP/1.1") => 400 PathAboveRoot;
    a_path_above_the_root_at_its_end: line("GET /.. HTTP/1.1") => 400 PathAboveRoot;
    a_path_above_the_root_escaped: line("GET /%2e%2E/a HTTP/1.1") => 400 PathAboveRoot;
    a_path_above_the_root_half_escaped: line("GET /.%2e/a HTTP/1.1") => 400 PathAboveRoot;
    a_path_above_the_root_in_absolute_form: line("GET http://a/../b HTTP/1.1") => 400 PathAboveRoot;
}

arrives! {
    absolute_form: line("GET http://a/b?c HTTP/1.1") => Keep &line("GET /b?c HTTP/1.1");
    absolute_form_of_https: line("GET https://a/b HTTP/1.1") => Keep &line("GET /b HTTP/1.1");
    absolute_form_in_upper_case: line("GET HTTP://A/B HTTP/1.1")
        => Keep "GET /B HTTP/1.1\r\nHost: A\r\n\r\n";
    absolute_form_without_a_path: line("GET http://a HTTP/1.1") => Keep PLAIN;
    absolute_form_with_a_query_but_no_path: line("GET http://a?b=/c HTTP/1.1")
        => Keep &line("GET /?b=/c HTTP/1.1");
    absolute_form_of_options_with_a_query_but_no_path: line("OPTIONS http://a?b HTTP/1.1")
        => Keep &line("OPTIONS /?b HTTP/1.1");
    absolute_form_with_the_default_port: line("GET http://a:80/ HTTP/1.1")
        => Keep "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n";
    absolute_form_with_an_empty_port: line("GET http://a:/ HTTP/1.1")
        => Keep "GET / HTTP/1.1\r\nHost: a:\r\n\r\n";
    absolute_form_of_https_with_the_default_port: "GET https://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n"
        => Keep PLAIN;
    absolute_form_in_http_1_0: "GET http://a/b HTTP/1.0\r\n\r\n"
        => Close "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    asterisk_form: line("OPTIONS * HTTP/1.1") => Keep &line("OPTIONS * HTTP/1.1");
    absolute_form_of_options: line("OPTIONS http://a HTTP/1.1") => Keep &line("OPTIONS * HTTP/1.1");
    absolute_form_of_options_with_a_path: line("OPTIONS http://a/ HTTP/1.1")
        => Keep &line("OPTIONS / HTTP/1.1");
    two_slashes: line("GET //a//b HTTP/1.1") => Keep &line("GET //a//b HTTP/1.1");
    dot_segments: line("GET /a/../b/./c HTTP/1.1") => Keep &line("GET /a/../b/./c HTTP/1.1");
    escapes: line("GET /%61%2F%zz%00%0d%0a HTTP/1.1")
        => Keep &line("GET /%61%2F%zz%00%0d%0a HTTP/1.1");
    dots_in_a_query: line("GET /?/../.. HTTP/1.1") => Keep &line("GET /?/../.. HTTP/1.1");
}

#[test]
fn a_control_character() {
    let controls = (1..=0x1f).map(char::from);
    for byte in controls.filter(|byte| !['\t', '\n', '\r'].contains(byte)) {
        let request = line(&format!("GET /{byte} HTTP/1.1"));
        lent(|gate| gate.refuses(request, 400, Reject::RequestLine));
    }
}
