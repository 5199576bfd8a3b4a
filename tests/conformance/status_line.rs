//! The first line of a response.

use super::EMPTY;

/// A response with this first line and no body.
fn status(line: &str) -> String {
    format!("{line}\r\nContent-Length: 0\r\n\r\n")
}

bad_response! {
    no_http_at_all: "nonsense\r\n\r\n" => StatusLine;
    settings_of_http_2: b"\0\0\x12\x04\0\0\0\0\0" => SpeaksHttp2;
    goaway_of_http_2: b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01" => SpeaksHttp2;
    another_frame_of_http_2: b"\0\0\0\x01\x05\0\0\0\x01" => StatusLine;
    an_empty_line_before_it: status("\r\nHTTP/1.1 200 OK") => StatusLine;
    a_bare_lf_before_it: status("\nHTTP/1.1 200 OK") => StatusLine;
    a_space_before_it: status(" HTTP/1.1 200 OK") => StatusLine;
    lower_case: status("http/1.1 200 OK") => StatusLine;
    another_protocol: status("ICY 200 OK") => StatusLine;
    version_0_9: status("HTTP/0.9 200 OK") => StatusLine;
    version_1_2: status("HTTP/1.2 200 OK") => StatusLine;
    version_2_0: status("HTTP/2.0 200 OK") => StatusLine;
    a_version_of_two_digits: status("HTTP/1.10 200 OK") => StatusLine;
    a_version_without_a_minor: status("HTTP/1 200 OK") => StatusLine;
    no_status: status("HTTP/1.1") => StatusLine;
    a_reason_for_a_status: status("HTTP/1.1 OK") => StatusLine;
    a_status_of_two_digits: status("HTTP/1.1 20 OK") => StatusLine;
    a_status_of_four_digits: status("HTTP/1.1 2000 OK") => StatusLine;
    a_status_with_a_letter: status("HTTP/1.1 2O0 OK") => StatusLine;
    a_status_with_a_sign: status("HTTP/1.1 +20 OK") => StatusLine;
    a_status_with_a_fraction: status("HTTP/1.1 200.1 OK") => StatusLine;
    two_spaces_before_the_status: status("HTTP/1.1  200 OK") => StatusLine;
    a_tab_before_the_status: status("HTTP/1.1\t200 OK") => StatusLine;
    a_tab_after_the_status: status("HTTP/1.1 200\tOK") => StatusLine;
    no_space_after_the_status: status("HTTP/1.1 200OK") => StatusLine;
    nul_in_the_reason: status("HTTP/1.1 200 O\0K") => StatusLine;
    a_bare_cr_in_the_reason: status("HTTP/1.1 200 O\rK") => StatusLine;
    a_control_character_in_the_reason: status("HTTP/1.1 200 O\x1bK") => StatusLine;
    delete_in_the_reason: status("HTTP/1.1 200 O\x7fK") => StatusLine;
    a_bare_lf_ends_the_line: "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n" => BareLf;
    status_000: status("HTTP/1.1 000 A") => StatusCode;
    status_099: status("HTTP/1.1 099 A") => StatusCode;
    status_600: status("HTTP/1.1 600 A") => StatusCode;
    status_999: status("HTTP/1.1 999 A") => StatusCode;
}

returns! {
    status_and_reason: "HTTP/1.1 200 Fine, thanks (really)\r\nContent-Length: 2\r\n\r\nhi"
        => Keep Reused "HTTP/1.1 200 Fine, thanks (really)\r\nContent-Length: 2\r\n\r\nhi";
    an_unknown_status: "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nhi"
        => Keep Reused "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nhi";
    status_599: "HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nhi"
        => Keep Reused "HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nhi";
    an_empty_reason: &status("HTTP/1.1 200 ")
        => Keep Reused "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n";
    no_reason: &status("HTTP/1.1 200") => Keep Reused "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n";
    a_tab_in_the_reason: &status("HTTP/1.1 200 A\tB")
        => Keep Reused "HTTP/1.1 200 A\tB\r\nContent-Length: 0\r\n\r\n";
    an_octet_above_ascii_in_the_reason: &status("HTTP/1.1 200 caf\u{e9}")
        => Keep Reused "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n";
    http_1_0: &status("HTTP/1.0 200 OK") => Keep Dropped EMPTY;
    http_1_0_that_stays: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
        => Keep Reused EMPTY;
}
