//! Chunks and trailers of responses.

const OLD: &str = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";

/// A response with these chunks.
fn chunked(chunks: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

bad_response! {
    a_size_missing: chunked("\r\n0\r\n\r\n") => ChunkSize;
    a_size_of_other_letters: chunked("zz\r\n") => ChunkSize;
    a_sign: chunked("-1\r\na\r\n0\r\n\r\n") => ChunkSize;
    a_prefix_0x: chunked("0x1\r\na\r\n0\r\n\r\n") => ChunkSize;
    a_space_before_the_size: chunked(" 1\r\na\r\n0\r\n\r\n") => ChunkSize;
    a_size_of_64_bits: chunked("8000000000000000\r\na\r\n") => ChunkSize;
    a_space_after_the_size: chunked("1 \r\na\r\n0\r\n\r\n") => ChunkExtension;
    an_extension_with_open_quotes: chunked("1;a=\"\r\na\r\n0\r\n\r\n") => ChunkExtension;
    a_size_line_too_long: chunked(&format!("1;{}", "x".repeat(2000))) => ChunkLineTooLong;
    a_bare_lf_after_the_size: chunked("1\na\r\n0\r\n\r\n") => BareLf;
    data_longer_than_its_size: chunked("1\r\nab\r\n0\r\n\r\n") => ChunkEnd;
    a_bare_lf_after_data: chunked("1\r\na\n0\r\n\r\n") => ChunkEnd;
    a_malformed_trailer: chunked("0\r\nX : a\r\n\r\n") => Trailer;
    a_folded_trailer: chunked("0\r\nX: a\r\n b\r\n\r\n") => Trailer;
    a_forbidden_trailer: chunked("0\r\nContent-Length: 5\r\n\r\n") => ForbiddenTrailer;
    trailers_too_large: chunked(&format!("0\r\nX: {}", "x".repeat(9000))) => TrailerTooLarge;
}

returns! {
    chunks: &chunked("5\r\nhello\r\n0\r\n\r\n") => Keep Reused &chunked("5\r\nhello\r\n0\r\n\r\n");
    leading_zeros: &chunked("0005\r\nhello\r\n000\r\n\r\n")
        => Keep Reused &chunked("5\r\nhello\r\n0\r\n\r\n");
    extensions: &chunked("5;a=\"b;c\" ; d\r\nhello\r\n0;e\r\n\r\n")
        => Keep Reused &chunked("5\r\nhello\r\n0\r\n\r\n");
    trailers: &chunked("2\r\nhi\r\n0\r\nX-Sum: 1\r\nx: y\r\n\r\n")
        => Keep Reused &chunked("2\r\nhi\r\n0\r\nX-Sum: 1\r\nx: y\r\n\r\n");
    chunks_for_an_http_1_0_client:
        &chunked("5;a\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n")
        => Close Reused "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world", to OLD;
    a_length_for_an_http_1_0_client: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        => Keep Reused
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi", to OLD;
    an_interim_response_for_an_http_1_0_client:
        "HTTP/1.1 103 A\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        => Keep Reused
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi", to OLD;
    a_length_for_an_http_1_0_client_that_goes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        => Close Reused
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        to "GET / HTTP/1.0\r\n\r\n";
    a_close_that_the_client_asked_for: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        => Close Reused
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        to "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
}
