//! Where the body of a response ends.

/// A response with these header lines, followed by a last chunk.
fn framed(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n0\r\n\r\n")
}

const SWITCHING: &str = "HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";

bad_response! {
    two_equal_lengths: framed("Content-Length: 5\r\nContent-Length: 5") => DuplicateContentLength;
    two_different_lengths: framed("Content-Length: 5\r\nContent-Length: 0")
        => DuplicateContentLength;
    a_list_of_the_same_length: framed("Content-Length: 5, 5") => ContentLength;
    a_plus_sign: framed("Content-Length: +5") => ContentLength;
    a_minus_sign: framed("Content-Length: -5") => ContentLength;
    hexadecimal: framed("Content-Length: 0x5") => ContentLength;
    an_empty_length: framed("Content-Length:") => ContentLength;
    a_length_of_64_bits: framed("Content-Length: 9223372036854775808") => ContentLength;
    a_length_before_chunked: framed("Content-Length: 5\r\nTransfer-Encoding: chunked")
        => LengthAndEncoding;
    a_length_after_chunked: framed("Transfer-Encoding: chunked\r\nContent-Length: 5")
        => LengthAndEncoding;
    chunked_in_http_1_0: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        => EncodingInHttp10;
    gzip: framed("Transfer-Encoding: gzip") => UnknownEncoding;
    gzip_before_chunked: framed("Transfer-Encoding: gzip, chunked") => UnknownEncoding;
    identity: framed("Transfer-Encoding: identity") => UnknownEncoding;
    an_empty_coding: framed("Transfer-Encoding:") => UnknownEncoding;
    a_letter_before_chunked: framed("Transfer-Encoding: xchunked") => UnknownEncoding;
    chunked_twice: framed("Transfer-Encoding: chunked, chunked") => ChunkedNotLast;
    chunked_in_two_fields: framed("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")
        => ChunkedNotLast;
    a_vertical_tab_before_chunked: framed("Transfer-Encoding: \x0bchunked") => FieldValue;
    ambiguous_though_204:
        "HTTP/1.1 204 A\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"
        => LengthAndEncoding;
    ambiguous_though_304: "HTTP/1.1 304 A\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
        => DuplicateContentLength;
    ambiguous_though_interim:
        "HTTP/1.1 103 A\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        => LengthAndEncoding;
    ambiguous_though_answering_head:
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
        => DuplicateContentLength, to HEAD;
    a_101_that_nobody_asked_for: SWITCHING => UnaskedUpgrade;
    a_101_to_http_1_0: SWITCHING => UnaskedUpgrade,
        to "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade, keep-alive\r\nUpgrade: x\r\n\r\n";
    a_101_to_h2c: SWITCHING => UnaskedUpgrade,
        to "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    a_101_without_upgrade: "HTTP/1.1 101 A\r\nConnection: upgrade\r\n\r\n" => UnaskedUpgrade,
        to UPGRADE;
    a_101_without_its_option: "HTTP/1.1 101 A\r\nUpgrade: x\r\n\r\n" => UnaskedUpgrade, to UPGRADE;
    a_101_in_http_1_0: SWITCHING.replace("HTTP/1.1", "HTTP/1.0") => UnaskedUpgrade, to UPGRADE;
    a_101_that_switches_to_h2c: SWITCHING.replace("Upgrade: x", "Upgrade: h2c") => UnaskedUpgrade,
        to UPGRADE;
    a_101_to_a_request_with_a_body: SWITCHING => UnaskedUpgrade,
        to "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\
            Content-Length: 2\r\n\r\nhi";
}

returns! {
    a_length: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        => Keep Reused "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    leading_zeros: "HTTP/1.1 200 OK\r\ncontent-length:\t005 \r\n\r\nhello"
        => Keep Reused "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    chunked_in_upper_case: "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n"
        => Keep Reused "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    neither: "HTTP/1.1 200 OK\r\n\r\nhello"
        => Close Dropped "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
    neither_in_http_1_0: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello"
        => Close Dropped "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
    bytes_after_a_length: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!"
        => Keep Dropped "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    an_answer_after_the_answer:
        "HTTP/1.1 200 A\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 B\r\nContent-Length: 2\r\n\r\nno"
        => Keep Dropped "HTTP/1.1 200 A\r\nContent-Length: 2\r\n\r\nhi";
    bytes_after_the_last_chunk: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n!"
        => Keep Dropped "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    status_204: "HTTP/1.1 204 A\r\nX: y\r\n\r\n" => Keep Reused "HTTP/1.1 204 A\r\nX: y\r\n\r\n";
    status_204_with_a_length: "HTTP/1.1 204 A\r\nContent-Length: 5\r\n\r\n"
        => Keep Rests "HTTP/1.1 204 A\r\n\r\n";
    status_204_with_a_length_of_zero: "HTTP/1.1 204 A\r\nContent-Length: 0\r\n\r\n"
        => Keep Reused "HTTP/1.1 204 A\r\n\r\n";
    status_204_with_a_coding: "HTTP/1.1 204 A\r\nTransfer-Encoding: chunked\r\n\r\n"
        => Keep Rests "HTTP/1.1 204 A\r\n\r\n";
    status_204_with_a_body: "HTTP/1.1 204 A\r\n\r\nhello" => Keep Dropped "HTTP/1.1 204 A\r\n\r\n";
    status_205: "HTTP/1.1 205 A\r\nContent-Length: 0\r\n\r\n"
        => Keep Reused "HTTP/1.1 205 A\r\nContent-Length: 0\r\n\r\n";
    status_304: "HTTP/1.1 304 A\r\nETag: b\r\n\r\n"
        => Keep Reused "HTTP/1.1 304 A\r\nETag: b\r\n\r\n";
    status_304_with_a_length: "HTTP/1.1 304 A\r\nContent-Length: 5\r\n\r\n"
        => Keep Rests "HTTP/1.1 304 A\r\nContent-Length: 5\r\n\r\n";
    status_304_with_a_body: "HTTP/1.1 304 A\r\nContent-Length: 5\r\n\r\nhello"
        => Keep Dropped "HTTP/1.1 304 A\r\nContent-Length: 5\r\n\r\n";
    an_interim_response: "HTTP/1.1 103 A\r\nLink: b\r\n\r\nHTTP/1.1 204 C\r\n\r\n"
        => Keep Reused "HTTP/1.1 103 A\r\nLink: b\r\n\r\nHTTP/1.1 204 C\r\n\r\n";
    an_interim_response_with_a_length:
        "HTTP/1.1 103 A\r\nContent-Length: 25\r\n\r\nHTTP/1.1 204 C\r\n\r\n"
        => Keep Reused "HTTP/1.1 103 A\r\n\r\nHTTP/1.1 204 C\r\n\r\n";
    an_interim_response_with_a_coding:
        "HTTP/1.1 103 A\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 204 C\r\n\r\n"
        => Keep Reused "HTTP/1.1 103 A\r\n\r\nHTTP/1.1 204 C\r\n\r\n";
    an_interim_response_with_close:
        "HTTP/1.1 103 A\r\nConnection: close\r\n\r\nHTTP/1.1 204 C\r\n\r\n"
        => Keep Reused "HTTP/1.1 103 A\r\n\r\nHTTP/1.1 204 C\r\n\r\n";
    a_100_that_nobody_expects: "HTTP/1.1 100 A\r\n\r\nHTTP/1.1 204 C\r\n\r\n"
        => Keep Reused "HTTP/1.1 100 A\r\n\r\nHTTP/1.1 204 C\r\n\r\n";
    a_length_in_answer_to_head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        => Keep Rests "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", to HEAD;
    chunked_in_answer_to_head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        => Keep Rests "HTTP/1.1 200 OK\r\n\r\n", to HEAD;
    neither_in_answer_to_head: "HTTP/1.1 200 OK\r\n\r\n"
        => Keep Rests "HTTP/1.1 200 OK\r\n\r\n", to HEAD;
    a_body_in_answer_to_head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        => Keep Dropped "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", to HEAD;
}
