//! The first line of a request: method, target, version, and the spaces between them.

use evener::reject::Reject;

use super::gate::lent;
use super::{PLAIN, line};

refused! {
    two_spaces_after_the_method: line("GET  / HTTP/1.1") => 400 RequestLine;
    two_spaces_after_the_target: line("GET /  HTTP/1.1") => 400 RequestLine;
    a_space_before_the_line: line(" GET / HTTP/1.1") => 400 RequestLine;
    a_space_after_the_line: line("GET / HTTP/1.1 ") => 400 RequestLine;
    a_tab_after_the_method: line("GET\t/ HTTP/1.1") => 400 RequestLine;
    a_tab_after_the_target: line("GET /\tHTTP/1.1") => 400 RequestLine;
    a_tab_after_the_line: line("GET / HTTP/1.1\t") => 400 RequestLine;
    a_space_inside_the_target: line("GET /a b HTTP/1.1") => 400 RequestLine;
    no_space_after_the_method: line("GET/ HTTP/1.1") => 400 RequestLine;
    no_target: line("GET HTTP/1.1") => 400 RequestLine;
    a_method_alone: line("GET") => 400 RequestLine;
    an_empty_method: line("/ HTTP/1.1") => 400 RequestLine;
    an_octet_above_ascii_in_the_method: line("G\u{c9}T / HTTP/1.1") => 400 RequestLine;
    nul_in_the_method: line("G\0T / HTTP/1.1") => 400 RequestLine;
    a_bare_cr_in_the_method: line("GE\rT / HTTP/1.1") => 400 RequestLine;
    a_bare_cr_in_the_target: line("GET /\ra HTTP/1.1") => 400 RequestLine;
    a_bare_cr_before_the_version: line("GET /\rHTTP/1.1") => 400 RequestLine;
    a_bare_cr_after_the_version: line("GET / HTTP/1.1\r") => 400 RequestLine;
    a_bare_lf_ends_the_line: "GET / HTTP/1.1\nHost: a\r\n\r\n" => 400 BareLf;
    a_bare_lf_in_the_target: line("GET /\na HTTP/1.1") => 400 BareLf;
    a_bare_lf_before_the_line: "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" => 400 RequestLine;
    a_bare_cr_before_the_line: "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n" => 400 RequestLine;
    a_nul_before_the_line: "\0GET / HTTP/1.1\r\nHost: a\r\n\r\n" => 400 RequestLine;
    a_byte_order_mark: line("\u{feff}GET / HTTP/1.1") => 400 RequestLine;
    no_version_http_0_9: "GET /\r\n" => 400 RequestLine;
    no_version_with_fields: line("GET /") => 400 RequestLine;
    version_0_9: line("GET / HTTP/0.9") => 505 Version;
    version_1_2: line("GET / HTTP/1.2") => 505 Version;
    version_1_9: line("GET / HTTP/1.9") => 505 Version;
    version_2_0: line("GET / HTTP/2.0") => 505 Version;
    version_3_0: line("GET / HTTP/3.0") => 505 Version;
    a_version_of_two_digits: line("GET / HTTP/1.10") => 400 RequestLine;
    a_version_with_leading_zeros: line("GET / HTTP/01.1") => 400 RequestLine;
    a_version_without_a_minor: line("GET / HTTP/1") => 400 RequestLine;
    a_version_with_a_comma: line("GET / HTTP/1,1") => 400 RequestLine;
    a_version_in_lower_case: line("GET / http/1.1") => 400 RequestLine;
    a_version_of_another_protocol: line("GET / HTTPS/1.1") => 400 RequestLine;
    a_version_of_rtsp: line("GET / RTSP/1.0") => 400 RequestLine;
    a_response_for_a_request: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" => 400 RequestLine;
    the_proxy_protocol_in_text: "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" => 400 RequestLine;
    the_proxy_protocol_in_binary: b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" => 400 RequestLine;
    connect: "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n" => 501 Connect;
    connect_to_a_path: line("CONNECT / HTTP/1.1") => 501 Connect;
}

arrives! {
    http_1_1: line("GET /a?b=c HTTP/1.1") => Keep &line("GET /a?b=c HTTP/1.1");
    http_1_0: line("GET / HTTP/1.0") => Close PLAIN;
    http_1_0_that_stays: "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
        => Keep PLAIN;
    an_unknown_method: line("BREW / HTTP/1.1") => Keep &line("BREW / HTTP/1.1");
    a_method_in_lower_case: line("get / HTTP/1.1") => Keep &line("get / HTTP/1.1");
    connect_in_lower_case: line("connect / HTTP/1.1") => Keep &line("connect / HTTP/1.1");
    a_method_of_every_token_character: line("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1")
        => Keep &line("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1");
    head: line("HEAD / HTTP/1.1") => Keep &line("HEAD / HTTP/1.1");
    trace: line("TRACE / HTTP/1.1") => Keep &line("TRACE / HTTP/1.1");
    empty_lines_before_the_line: line("\r\n\r\nGET / HTTP/1.1") => Keep PLAIN;
}

#[test]
fn a_separator_in_the_method() {
    for byte in "()<>@,;:\\\"/[]?={}".chars() {
        let request = line(&format!("G{byte}T / HTTP/1.1"));
        lent(|gate| gate.refuses(request, 400, Reject::RequestLine));
    }
}

#[test]
fn a_control_character_in_the_line() {
    let controls = (1..=0x1f).chain([0x7f]).map(char::from);
    for byte in controls.filter(|byte| !['\t', '\n', '\r'].contains(byte)) {
        for place in [format!("G{byte}T / HTTP/1.1"), format!("GET / HTTP/1.1{byte}")] {
            lent(|gate| gate.refuses(line(&place), 400, Reject::RequestLine));
        }
    }
}
