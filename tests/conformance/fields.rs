//! The syntax of field lines in requests.

use evener::reject::Reject;

use super::gate::{After, lent};
use super::{PLAIN, field};

refused! {
    a_space_before_the_colon: field("X : a") => 400 FieldName;
    a_tab_before_the_colon: field("X\t: a") => 400 FieldName;
    a_bare_cr_before_a_name: field("\rX: a") => 400 FieldName;
    a_bare_cr_as_the_empty_line: "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n" => 400 FieldName;
    a_space_inside_a_name: field("X Y: a") => 400 FieldName;
    an_empty_name: field(": a") => 400 FieldName;
    a_line_without_a_colon: field("X") => 400 FieldName;
    an_octet_above_ascii_in_a_name: field("X\u{e9}: a") => 400 FieldName;
    nul_in_a_name: field("X\0: a") => 400 FieldName;
    a_bare_cr_in_a_name: field("X\rY: a") => 400 FieldName;
    nul_in_a_value: field("X: a\0b") => 400 FieldValue;
    nul_as_a_value: field("X: \0") => 400 FieldValue;
    delete_in_a_value: field("X: a\x7fb") => 400 FieldValue;
    a_bare_cr_in_a_value: field("X: a\rb") => 400 FieldValue;
    a_bare_cr_after_a_value: field("X: a\r") => 400 FieldValue;
    a_bare_cr_and_a_field_in_a_value: field("X: a\rContent-Length: 5") => 400 FieldValue;
    a_bare_lf_after_a_value: field("X: a\nY: b") => 400 BareLf;
    a_bare_lf_after_a_name: field("X\n: a") => 400 BareLf;
    a_bare_lf_and_a_request_in_a_value: field("X: a\n\nGET /smuggled HTTP/1.1") => 400 BareLf;
    bare_lfs_at_the_end: "GET / HTTP/1.1\r\nHost: a\n\n" => 400 BareLf;
    a_bare_lf_as_the_empty_line: "GET / HTTP/1.1\r\nHost: a\r\n\n" => 400 BareLf;
    a_bare_lf_then_an_empty_line: "GET / HTTP/1.1\r\nHost: a\n\r\n" => 400 BareLf;
    every_line_ends_in_lf: "GET / HTTP/1.1\nHost: a\n\n" => 400 BareLf;
    a_value_folded_with_a_space: field("X: a\r\n b") => 400 ObsFold;
    a_value_folded_with_a_tab: field("X: a\r\n\tb") => 400 ObsFold;
    a_fold_of_white_space_alone: field("X: a\r\n ") => 400 ObsFold;
    a_fold_that_looks_like_a_field: field("X: a\r\n Content-Length: 5") => 400 ObsFold;
    a_fold_before_the_value: field("Transfer-Encoding:\r\n chunked") => 400 ObsFold;
    white_space_before_the_first_field: "GET / HTTP/1.1\r\n Host: a\r\n\r\n" => 400 ObsFold;
}

arrives! {
    a_name_of_every_token_character: field("!#$%&'*+-.^_`|~09azAZ: a")
        => Keep &field("!#$%&'*+-.^_`|~09azAZ: a");
    octets_above_ascii_in_a_value: field("X: caf\u{e9} \u{80}\u{7ff}")
        => Keep &field("X: caf\u{e9} \u{80}\u{7ff}");
    an_empty_value: field("X:") => Keep &field("X: ");
    a_value_without_a_space: field("X:a") => Keep &field("X: a");
    white_space_around_a_value: field("X: \t a \t ") => Keep &field("X: a");
    white_space_inside_a_value: field("X: a \t b") => Keep &field("X: a \t b");
    a_colon_in_a_value: field("X:: a: b") => Keep &field("X: : a: b");
    order_case_and_number: field("x-B: 2\r\nX-a: 1\r\nCookie: a\r\nX-A: 3\r\ncookie: b")
        => Keep &field("x-B: 2\r\nX-a: 1\r\nCookie: a\r\nX-A: 3\r\ncookie: b");
}

#[test]
fn a_separator_in_a_name() {
    for byte in "()<>@,;\\\"/[]?={}".chars() {
        for name in [format!("X{byte}Y"), format!("{byte}X"), format!("X{byte}")] {
            lent(|gate| gate.refuses(field(&format!("{name}: a")), 400, Reject::FieldName));
        }
    }
}

/// Every control character except NUL, tab, LF and CR, which have their own tests.
fn controls() -> impl Iterator<Item = char> {
    (1..=0x1f).map(char::from).filter(|byte| !['\t', '\n', '\r'].contains(byte))
}

#[test]
fn a_control_character_in_a_name() {
    for byte in controls().chain(['\x7f']) {
        lent(|gate| gate.refuses(field(&format!("X{byte}: a")), 400, Reject::FieldName));
    }
}

#[test]
fn a_control_character_in_a_value() {
    for byte in controls() {
        for value in [format!("a{byte}b"), byte.to_string()] {
            lent(|gate| gate.refuses(field(&format!("X: {value}")), 400, Reject::FieldValue));
        }
    }
}

/// Malformed names are refused for framing and routing headers too.
#[test]
fn odd_names_that_a_lenient_reader_might_trim() {
    for name in ["Content-Length", "Transfer-Encoding", "Host", "Connection"] {
        for odd in [format!("{name} "), format!("{name}\x0b"), format!("\x0b{name}")] {
            lent(|gate| gate.refuses(field(&format!("{odd}: 5")), 400, Reject::FieldName));
        }
    }
}

#[test]
fn a_head_in_single_bytes() {
    lent(|gate| gate.passes_in_pieces(1, PLAIN.as_bytes(), After::Keep, PLAIN));
}
