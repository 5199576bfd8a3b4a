//! Chunks in requests: sizes, extensions, data.

use evener::reject::Reject;

use super::gate::{After, CHUNKED, lent};

refused_body! {
    a_size_missing: "\r\n0\r\n\r\n" => ChunkSize;
    a_size_of_other_letters: "g\r\n\r\n" => ChunkSize;
    a_letter_after_the_size: "1g\r\na\r\n0\r\n\r\n" => ChunkSize;
    a_plus_sign: "+1\r\na\r\n0\r\n\r\n" => ChunkSize;
    a_minus_sign: "-1\r\na\r\n0\r\n\r\n" => ChunkSize;
    a_prefix_0x: "0x1\r\na\r\n0\r\n\r\n" => ChunkSize;
    an_underscore: "1_0\r\n0123456789abcdef\r\n0\r\n\r\n" => ChunkSize;
    a_point: "1.0\r\na\r\n0\r\n\r\n" => ChunkSize;
    quotes: "\"1\"\r\na\r\n0\r\n\r\n" => ChunkSize;
    a_space_before_the_size: " 1\r\na\r\n0\r\n\r\n" => ChunkSize;
    a_tab_before_the_size: "\t1\r\na\r\n0\r\n\r\n" => ChunkSize;
    an_empty_line_before_the_size: "1\r\na\r\n\r\n0\r\n\r\n" => ChunkSize;
    nul_after_the_size: "1\0\r\na\r\n0\r\n\r\n" => ChunkSize;
    a_comma_after_the_size: "1,1\r\na\r\n0\r\n\r\n" => ChunkSize;
    a_bit_more_than_63_bits: "8000000000000000\r\na\r\n0\r\n\r\n" => ChunkSize;
    seventeen_digits_that_wrap_around: "10000000000000001\r\na\r\n0\r\n\r\n" => ChunkSize;
    all_of_64_bits: "ffffffffffffffff\r\na\r\n0\r\n\r\n" => ChunkSize;
    a_bare_cr_after_the_size: "1\ra\r\n0\r\n\r\n" => ChunkSize;
    a_bare_cr_and_a_crlf_after_the_size: "1\r\r\na\r\n0\r\n\r\n" => ChunkSize;
    a_bare_lf_after_the_size: "1\na\r\n0\r\n\r\n" => BareLf;
    a_bare_lf_after_the_last_size: "0\n\r\n" => BareLf;
    a_bare_lf_as_the_last_line: "0\r\n\n" => BareLf;
    bare_lfs_throughout: "1\na\n0\n\n" => BareLf;
    a_space_after_the_size: "1 \r\na\r\n0\r\n\r\n" => ChunkExtension;
    a_tab_after_the_size: "1\t\r\na\r\n0\r\n\r\n" => ChunkExtension;
    an_extension_without_a_name: "1;\r\na\r\n0\r\n\r\n" => ChunkExtension;
    an_extension_with_a_value_alone: "1;=b\r\na\r\n0\r\n\r\n" => ChunkExtension;
    an_extension_with_an_empty_value: "1;a=\r\na\r\n0\r\n\r\n" => ChunkExtension;
    an_extension_without_a_semicolon: "1 a\r\na\r\n0\r\n\r\n" => ChunkExtension;
    two_semicolons: "1;;a\r\na\r\n0\r\n\r\n" => ChunkExtension;
    two_words_for_a_name: "1;a b\r\na\r\n0\r\n\r\n" => ChunkExtension;
    an_extension_with_open_quotes: "1;a=\"b\r\na\r\n0\r\n\r\n" => ChunkExtension;
    an_extension_with_an_escape_at_its_end: "1;a=\"\\\r\na\r\n0\r\n\r\n" => ChunkExtension;
    a_bare_cr_in_an_extension: "1;a\rb\r\na\r\n0\r\n\r\n" => ChunkExtension;
    a_bare_cr_in_quotes: "1;a=\"\r\"\r\na\r\n0\r\n\r\n" => ChunkExtension;
    nul_in_an_extension: "1;a\0\r\na\r\n0\r\n\r\n" => ChunkExtension;
    an_octet_above_ascii_in_a_name: "1;\u{e9}\r\na\r\n0\r\n\r\n" => ChunkExtension;
    a_bare_lf_in_an_extension: "1;a\nb\r\na\r\n0\r\n\r\n" => BareLf;
    a_bare_lf_in_quotes: "1;a=\"\n\"\r\na\r\n0\r\n\r\n" => BareLf;
    a_bare_lf_after_an_extension: "0;a\n\r\n" => BareLf;
    a_size_line_too_long: format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(1024)) => ChunkLineTooLong;
    data_longer_than_its_size: "1\r\nab\r\n0\r\n\r\n" => ChunkEnd;
    data_longer_by_two: "1\r\nabc0\r\n\r\n" => ChunkEnd;
    no_line_end_after_data: "1\r\na0\r\n\r\n" => ChunkEnd;
    a_bare_lf_after_data: "1\r\na\n0\r\n\r\n" => ChunkEnd;
    a_bare_cr_after_data: "1\r\na\r0\r\n\r\n" => ChunkEnd;
    a_request_after_data: "1\r\naGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" => ChunkEnd;
}

/// A request with these chunks.
fn chunked(chunks: &str) -> String {
    CHUNKED.to_owned() + chunks
}

arrives! {
    chunks: chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        => Keep &chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    leading_zeros: chunked("0005\r\nhello\r\n0000\r\n\r\n")
        => Keep &chunked("5\r\nhello\r\n0\r\n\r\n");
    very_many_leading_zeros: chunked(&format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(1000)))
        => Keep &chunked("5\r\nhello\r\n0\r\n\r\n");
    upper_case_digits: chunked("A\r\n0123456789\r\n0\r\n\r\n")
        => Keep &chunked("A\r\n0123456789\r\n0\r\n\r\n");
    an_extension: chunked("1;a\r\n!\r\n0;b\r\n\r\n") => Keep &chunked("1\r\n!\r\n0\r\n\r\n");
    an_extension_with_a_value: chunked("1;a=b;c=d\r\n!\r\n0\r\n\r\n")
        => Keep &chunked("1\r\n!\r\n0\r\n\r\n");
    an_extension_in_quotes: chunked("1;a=\"b;c=\\\"d\\\", \u{e9}\t\"\r\n!\r\n0\r\n\r\n")
        => Keep &chunked("1\r\n!\r\n0\r\n\r\n");
    white_space_around_an_extension: chunked("1 ; a = b\t;\tc\r\n!\r\n0\r\n\r\n")
        => Keep &chunked("1\r\n!\r\n0\r\n\r\n");
    line_ends_in_data: chunked("6\r\n\r\n0\r\n\r\r\n0\r\n\r\n")
        => Keep &chunked("6\r\n\r\n0\r\n\r\r\n0\r\n\r\n");
    no_chunk_but_the_last: chunked("0\r\n\r\n") => Keep &chunked("0\r\n\r\n");
}

#[test]
fn a_control_character_in_an_extension() {
    let controls = (1..=0x1f).chain([0x7f]).map(char::from);
    for byte in controls.filter(|byte| !['\t', '\n'].contains(byte)) {
        for extension in [format!("a{byte}"), format!("a=\"{byte}\""), format!("a=\"\\{byte}\"")] {
            let request = chunked(&format!("1;{extension}\r\na\r\n0\r\n\r\n"));
            lent(|gate| gate.refuses(request, 400, Reject::ChunkExtension));
        }
    }
}

#[test]
fn a_size_line_of_full_length() {
    let line = format!("1;{}\r\n", "x".repeat(1024 - 4));
    let request = chunked(&format!("{line}!\r\n0\r\n\r\n"));
    lent(|gate| gate.passes(request, After::Keep, &chunked("1\r\n!\r\n0\r\n\r\n")));
}

#[test]
fn chunks_in_single_bytes() {
    let request = chunked("05;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n");
    lent(|gate| {
        let arrived = gate.arrived_in_pieces(1, request.as_bytes(), After::Keep);
        let chunks = arrived[0].strip_prefix(CHUNKED).unwrap();
        let (data, trailers) = chunks.split_once("\r\n0\r\n").unwrap();
        // In how many chunks depends on how it came.
        let data: String = data.split("\r\n").skip(1).step_by(2).collect();
        assert_eq!((data.as_str(), trailers), ("hello", "X: y\r\n\r\n"));
    });
}
