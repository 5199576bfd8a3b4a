//! Content-Length in requests: one decimal number.

use super::framed;
use super::gate::Gate;
use crate::support::eventually;

/// A request with five bytes after its headers.
fn five(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\nhello")
}

refused! {
    two_of_the_same: five("Content-Length: 5\r\nContent-Length: 5") => 400 DuplicateContentLength;
    two_that_differ: five("Content-Length: 5\r\nContent-Length: 0") => 400 DuplicateContentLength;
    two_with_the_larger_last: five("Content-Length: 0\r\nContent-Length: 5")
        => 400 DuplicateContentLength;
    two_in_different_case: five("content-length: 5\r\nX: y\r\nCONTENT-LENGTH: 5")
        => 400 DuplicateContentLength;
    two_of_which_one_is_invalid: five("Content-Length: 5\r\nContent-Length: x")
        => 400 DuplicateContentLength;
    a_list_of_the_same: five("Content-Length: 5, 5") => 400 ContentLength;
    a_list_that_differs: five("Content-Length: 5, 6") => 400 ContentLength;
    a_list_with_an_empty_member: five("Content-Length: 5,") => 400 ContentLength;
    a_plus_sign: five("Content-Length: +5") => 400 ContentLength;
    a_minus_sign: five("Content-Length: -5") => 400 ContentLength;
    minus_zero: five("Content-Length: -0") => 400 ContentLength;
    hexadecimal: five("Content-Length: 0x5") => 400 ContentLength;
    hexadecimal_digits: five("Content-Length: a") => 400 ContentLength;
    a_space_inside: five("Content-Length: 5 5") => 400 ContentLength;
    a_parameter: five("Content-Length: 5;") => 400 ContentLength;
    a_fraction: five("Content-Length: 5.0") => 400 ContentLength;
    an_exponent: five("Content-Length: 5e0") => 400 ContentLength;
    an_underscore: five("Content-Length: 0_5") => 400 ContentLength;
    quotes: five("Content-Length: \"5\"") => 400 ContentLength;
    digits_of_another_script: five("Content-Length: \u{665}") => 400 ContentLength;
    empty: five("Content-Length:") => 400 ContentLength;
    white_space_alone: five("Content-Length: \t ") => 400 ContentLength;
    a_bit_more_than_63_bits: five("Content-Length: 9223372036854775808") => 400 ContentLength;
    more_than_64_bits: five("Content-Length: 18446744073709551621") => 400 ContentLength;
    more_than_19_digits: five("Content-Length: 00000000000000000005") => 400 ContentLength;
    a_vertical_tab: five("Content-Length: \x0b5") => 400 FieldValue;
    nul_after_it: five("Content-Length: 5\0") => 400 FieldValue;
    in_http_1_0_twice: "POST / HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello"
        => 400 DuplicateContentLength;
    invalid_on_get: "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n" => 400 ContentLength;
}

arrives! {
    a_length: five("Content-Length: 5")
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    zero: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    leading_zeros: five("Content-Length: 005")
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    white_space_around_it: five("content-length:\t 5 \t")
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    on_get: "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        => Keep "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    a_request_in_the_body:
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n"
        => Keep
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    none_on_post: "POST / HTTP/1.1\r\nHost: a\r\n\r\n" => Keep "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    in_http_1_0: "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        => Close "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
}

#[test]
fn the_largest_of_63_bits() {
    let gate = Gate::new(&[]);
    gate.proxy.client().send(framed("Content-Length: 9223372036854775807"));
    eventually("the head arrives", || gate.inside.origin.heads().len() == 1);
    let head = &gate.inside.origin.heads()[0];
    assert!(head.contains("\r\nContent-Length: 9223372036854775807\r\n"), "{head}");
    assert_eq!(head.matches("Content-Length").count(), 1, "{head}");
}
