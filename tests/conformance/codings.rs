//! Transfer-Encoding in requests: `chunked`, once, alone, in HTTP/1.1.

use super::framed;

refused! {
    with_a_length_after_it: framed("Transfer-Encoding: chunked\r\nContent-Length: 5")
        => 400 LengthAndEncoding;
    with_a_length_before_it: framed("Content-Length: 5\r\nTransfer-Encoding: chunked")
        => 400 LengthAndEncoding;
    with_a_length_of_zero: framed("Content-Length: 0\r\nTransfer-Encoding: chunked")
        => 400 LengthAndEncoding;
    with_an_invalid_length: framed("Content-Length: x\r\nTransfer-Encoding: chunked")
        => 400 LengthAndEncoding;
    unknown_with_a_length: framed("Content-Length: 5\r\nTransfer-Encoding: x")
        => 400 LengthAndEncoding;
    empty_with_a_length: framed("Content-Length: 5\r\nTransfer-Encoding:") => 400 LengthAndEncoding;
    with_a_length_in_http_1_0:
        "POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        => 400 LengthAndEncoding;
    in_http_1_0: "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        => 400 EncodingInHttp10;
    unknown_in_http_1_0: "POST / HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n"
        => 400 EncodingInHttp10;
    gzip: framed("Transfer-Encoding: gzip") => 501 UnknownEncoding;
    gzip_before_chunked: framed("Transfer-Encoding: gzip, chunked") => 501 UnknownEncoding;
    identity: framed("Transfer-Encoding: identity") => 501 UnknownEncoding;
    identity_before_chunked: framed("Transfer-Encoding: identity, chunked") => 501 UnknownEncoding;
    unknown: framed("Transfer-Encoding: x") => 501 UnknownEncoding;
    unknown_after_chunked: framed("Transfer-Encoding: chunked, x") => 501 UnknownEncoding;
    empty: framed("Transfer-Encoding:") => 501 UnknownEncoding;
    a_comma_alone: framed("Transfer-Encoding: ,") => 501 UnknownEncoding;
    a_letter_before_chunked: framed("Transfer-Encoding: xchunked") => 501 UnknownEncoding;
    a_letter_after_chunked: framed("Transfer-Encoding: chunkedx") => 501 UnknownEncoding;
    a_space_inside_chunked: framed("Transfer-Encoding: chun ked") => 501 UnknownEncoding;
    a_parameter_of_chunked: framed("Transfer-Encoding: chunked;q=1") => 501 UnknownEncoding;
    quotes_around_chunked: framed("Transfer-Encoding: \"chunked\"") => 501 UnknownEncoding;
    a_name_in_the_value: framed("Transfer-Encoding: Transfer-Encoding: chunked")
        => 501 UnknownEncoding;
    a_colon_before_chunked: framed("Transfer-Encoding:: chunked") => 501 UnknownEncoding;
    a_letter_of_another_script: framed("Transfer-Encoding: chun\u{212a}ed") => 501 UnknownEncoding;
    a_comma_after_chunked: framed("Transfer-Encoding: chunked,") => 501 UnknownEncoding;
    a_comma_before_chunked: framed("Transfer-Encoding: ,chunked") => 501 UnknownEncoding;
    chunked_twice_in_a_list: framed("Transfer-Encoding: chunked, chunked") => 400 ChunkedNotLast;
    chunked_before_gzip: framed("Transfer-Encoding: chunked, gzip") => 400 ChunkedNotLast;
    chunked_around_gzip: framed("Transfer-Encoding: chunked, gzip, chunked") => 400 ChunkedNotLast;
    chunked_in_two_fields: framed("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")
        => 400 ChunkedNotLast;
    chunked_and_another_field: framed("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")
        => 400 ChunkedNotLast;
    another_field_and_chunked: framed("Transfer-Encoding: gzip\r\ntransfer-encoding: chunked")
        => 400 ChunkedNotLast;
    an_empty_field_and_chunked: framed("Transfer-Encoding:\r\nTransfer-Encoding: chunked")
        => 400 ChunkedNotLast;
    a_vertical_tab_before_chunked: framed("Transfer-Encoding: \x0bchunked") => 400 FieldValue;
    a_form_feed_after_chunked: framed("Transfer-Encoding: chunked\x0c") => 400 FieldValue;
    nul_after_chunked: framed("Transfer-Encoding: chunked\0") => 400 FieldValue;
    a_bare_cr_before_chunked: framed("Transfer-Encoding: \rchunked") => 400 FieldValue;
    a_fold_before_chunked: framed("Transfer-Encoding:\r\n\tchunked") => 400 ObsFold;
    a_space_before_the_colon: framed("Transfer-Encoding : chunked") => 400 FieldName;
    a_name_after_a_bare_lf: framed("X: a\nTransfer-Encoding: chunked") => 400 BareLf;
    a_name_after_a_bare_cr: framed("X: a\rTransfer-Encoding: chunked") => 400 FieldValue;
}

arrives! {
    chunked: framed("Transfer-Encoding: chunked")
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    chunked_in_upper_case: framed("TRANSFER-ENCODING: CHUNKED")
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    white_space_around_chunked: framed("Transfer-Encoding:\t chunked \t")
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    chunked_on_get: "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        => Keep "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    an_underscore_in_its_name: "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n"
        => Keep "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    an_underscore_in_its_name_with_a_length:
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi"
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
}
