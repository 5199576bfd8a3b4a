//! Messages that are refused without waiting for their end, which may never come.

use super::gate::CHUNKED;

refused_at_once! {
    a_tls_greeting: b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" => 400 RequestLine;
    an_ssl_2_greeting: b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10" => 400 RequestLine;
    a_single_nul: b"\0" => 400 RequestLine;
    a_single_space: b" " => 400 RequestLine;
    a_first_line_in_lf: b"GET / HTTP/1.1\n" => 400 BareLf;
    a_field_in_lf: b"GET / HTTP/1.1\r\nHost: a\n" => 400 BareLf;
    a_target_without_end: format!("GET /{}", "a".repeat(20_000)) => 414 TargetTooLong;
    a_field_without_end: format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000))
        => 431 HeadTooLarge;
    fields_without_end: format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(4_000))
        => 431 HeadTooLarge;
    a_chunk_without_a_size: format!("{CHUNKED}x") => 400 ChunkSize;
    a_size_line_without_end: format!("{CHUNKED}1;{}", "x".repeat(1024)) => 400 ChunkLineTooLong;
    zeros_without_end: format!("{CHUNKED}{}", "0".repeat(1024)) => 400 ChunkLineTooLong;
    data_without_a_line_end: format!("{CHUNKED}1\r\nab") => 400 ChunkEnd;
    a_trailer_without_end: format!("{CHUNKED}0\r\nX: {}", "y".repeat(8192))
        => 400 TrailerTooLarge;
    a_head_with_much_after_it: format!("GET / HTTP/1.1\n{}", "x".repeat(300_000)) => 400 BareLf;
    a_chunk_with_much_after_it: format!("{CHUNKED}x{}", "x".repeat(300_000)) => 400 ChunkSize;
}

/// The head of a response whose chunks are under test.
const ANSWERED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

bad_response_at_once! {
    a_binary_response: b"\0\x01\x02" => StatusLine;
    a_tls_alert: b"\x15\x03\x01\0\x02\x02\x16" => StatusLine;
    a_status_line_in_lf: "HTTP/1.1 200 OK\n" => BareLf;
    a_response_field_without_end: format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000))
        => HeadTooLarge;
    a_response_chunk_without_a_size: format!("{ANSWERED}x") => ChunkSize;
    a_response_size_line_without_end: format!("{ANSWERED}1;{}", "x".repeat(1024))
        => ChunkLineTooLong;
    a_response_trailer_without_end: format!("{ANSWERED}0\r\nX: {}", "y".repeat(8192))
        => TrailerTooLarge;
}
