//! Trailer sections of requests: header syntax, but no names that matter to a proxy.

use super::gate::{After, CHUNKED, lent};

refused_body! {
    a_line_without_a_colon: "0\r\nX\r\n\r\n" => Trailer;
    an_empty_name: "0\r\n: a\r\n\r\n" => Trailer;
    a_space_before_the_colon: "0\r\nX : a\r\n\r\n" => Trailer;
    a_tab_before_the_colon: "0\r\nX\t: a\r\n\r\n" => Trailer;
    a_separator_in_a_name: "0\r\nX(: a\r\n\r\n" => Trailer;
    an_octet_above_ascii_in_a_name: "0\r\nX\u{e9}: a\r\n\r\n" => Trailer;
    a_value_folded_with_a_space: "0\r\nX: a\r\n b\r\n\r\n" => Trailer;
    a_value_folded_with_a_tab: "0\r\nX: a\r\n\tb: c\r\n\r\n" => Trailer;
    white_space_before_the_first_field: "0\r\n X: a\r\n\r\n" => Trailer;
    nul_in_a_name: "0\r\nX\0: a\r\n\r\n" => Trailer;
    nul_in_a_value: "0\r\nX: a\0\r\n\r\n" => Trailer;
    delete_in_a_value: "0\r\nX: a\x7f\r\n\r\n" => Trailer;
    a_control_character_in_a_value: "0\r\nX: a\x0b\r\n\r\n" => Trailer;
    a_bare_cr_in_a_value: "0\r\nX: a\rb\r\n\r\n" => Trailer;
    a_request_for_a_field: "0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" => Trailer;
    a_chunk_after_the_last: "0\r\n5\r\nhello\r\n0\r\n\r\n" => Trailer;
    a_bare_lf_after_a_field: "0\r\nX: a\nY: b\r\n\r\n" => BareLf;
    a_bare_lf_at_the_end: "0\r\nX: a\r\n\n" => BareLf;
    content_length: "0\r\nContent-Length: 5\r\n\r\n" => ForbiddenTrailer;
    transfer_encoding: "0\r\nTransfer-Encoding: chunked\r\n\r\n" => ForbiddenTrailer;
    host: "0\r\nhost: b\r\n\r\n" => ForbiddenTrailer;
    connection: "0\r\nConnection: close\r\n\r\n" => ForbiddenTrailer;
    expect: "0\r\nExpect: 100-continue\r\n\r\n" => ForbiddenTrailer;
    upgrade: "0\r\nUpgrade: x\r\n\r\n" => ForbiddenTrailer;
    te: "0\r\nTE: trailers\r\n\r\n" => ForbiddenTrailer;
    keep_alive: "0\r\nKeep-Alive: timeout=5\r\n\r\n" => ForbiddenTrailer;
    proxy_connection: "0\r\nProxy-Connection: close\r\n\r\n" => ForbiddenTrailer;
    http2_settings: "0\r\nHTTP2-Settings: x\r\n\r\n" => ForbiddenTrailer;
    x_forwarded_for: "0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n" => ForbiddenTrailer;
    x_forwarded_host: "0\r\nX-Forwarded-Host: b\r\n\r\n" => ForbiddenTrailer;
    x_forwarded_proto: "0\r\nX-Forwarded-Proto: https\r\n\r\n" => ForbiddenTrailer;
    x_forwarded_other: "0\r\nX-Forwarded-Port: 1\r\n\r\n" => ForbiddenTrailer;
    forwarded: "0\r\nForwarded: for=6.6.6.6\r\n\r\n" => ForbiddenTrailer;
    x_real_ip: "0\r\nX-Real-IP: 6.6.6.6\r\n\r\n" => ForbiddenTrailer;
    underscores: "0\r\ncontent_length: 5\r\n\r\n" => ForbiddenTrailer;
    underscores_in_x_forwarded_for: "0\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n" => ForbiddenTrailer;
    points_in_x_forwarded_for: "0\r\nX.Forwarded.For: 6.6.6.6\r\n\r\n" => ForbiddenTrailer;
    forbidden_after_an_innocent_one: "0\r\nX: a\r\nHost: b\r\n\r\n" => ForbiddenTrailer;
    too_large: format!("0\r\n{}\r\n", "X: y\r\n".repeat(8192 / 6 + 1)) => TrailerTooLarge;
    one_field_too_large: format!("0\r\nX: {}\r\n\r\n", "y".repeat(8192)) => TrailerTooLarge;
}

/// A request with this trailer section.
fn trailing(lines: &str) -> String {
    format!("{CHUNKED}2\r\nhi\r\n0\r\n{lines}\r\n")
}

arrives! {
    a_trailer: trailing("X-Sum: 1\r\n") => Keep &trailing("X-Sum: 1\r\n");
    several: trailing("b: 2\r\nA: 1\r\nb: 3\r\n") => Keep &trailing("b: 2\r\nA: 1\r\nb: 3\r\n");
    an_octet_above_ascii_in_a_value: trailing("X: \u{e9}\r\n") => Keep &trailing("X: \u{e9}\r\n");
    an_empty_value: trailing("X:\r\n") => Keep &trailing("X:\r\n");
    trailers_that_connection_may_name:
        trailing("X-Sum: 1\r\n").replace("\r\nHost: a", "\r\nHost: a\r\nConnection: x-sum")
        => Keep &trailing("");
    trailers_beside_te:
        trailing("X-Sum: 1\r\n").replace("\r\nHost: a", "\r\nHost: a\r\nConnection: te")
        => Keep &trailing("X-Sum: 1\r\n");
    an_innocent_name_with_an_underscore: trailing("X_Sum: 1\r\n") => Keep &trailing("X_Sum: 1\r\n");
}

#[test]
fn as_large_as_may_be() {
    let lines = format!("X: {}\r\n", "y".repeat(8192 - 7));
    lent(|gate| gate.passes(trailing(&lines), After::Keep, &trailing(&lines)));
}
