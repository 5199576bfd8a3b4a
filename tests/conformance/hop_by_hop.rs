//! Hop-by-hop headers, Expect and Upgrade.

use super::{PLAIN, field, framed};

arrives! {
    keep_alive: field("Keep-Alive: timeout=5") => Keep PLAIN;
    te: field("TE: gzip") => Keep PLAIN;
    te_for_trailers: field("TE: gzip;q=0.5, trailers\r\nConnection: TE")
        => Keep &field("TE: trailers\r\nConnection: TE");
    te_that_connection_does_not_name: field("TE: trailers")
        => Keep &field("TE: trailers\r\nConnection: TE");
    te_in_http_1_0: "GET / HTTP/1.0\r\nHost: a\r\nTE: trailers\r\n\r\n" => Close PLAIN;
    proxy_connection: field("Proxy-Connection: close") => Keep PLAIN;
    http2_settings: field("HTTP2-Settings: AAAA") => Keep PLAIN;
    connection: field("Connection: keep-alive") => Keep PLAIN;
    connection_with_odd_members: field("Connection: ,, \"a\" ;b,")
        => Keep PLAIN;
    close: field("Connection: close") => Close PLAIN;
    close_twice: field("Connection: close, close") => Close PLAIN;
    close_in_another_case: field("connection: CLOSE") => Close PLAIN;
    close_in_a_second_field: field("Connection: keep-alive\r\nConnection: close") => Close PLAIN;
    close_over_keep_alive: field("Connection: close, keep-alive") => Close PLAIN;
    close_over_keep_alive_in_http_1_0:
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n"
        => Close PLAIN;
    a_field_that_connection_names: field("X: a\r\nConnection: x\r\nY: b")
        => Keep "GET / HTTP/1.1\r\nHost: a\r\nY: b\r\n\r\n";
    fields_that_connection_names_in_a_list: field("Connection: close, X ,y\r\nX: a\r\nY: b\r\nx: c")
        => Close PLAIN;
    a_field_that_a_second_connection_names: field("Connection: x\r\nX: a\r\nConnection: y\r\nY: b")
        => Keep PLAIN;
    connection_names_content_length:
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nhi"
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    connection_names_transfer_encoding:
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    connection_names_host: field("Connection: host") => Keep PLAIN;
    connection_names_x_forwarded: field("Connection: x-forwarded-for, X-Forwarded-Proto")
        => Keep PLAIN;
    connection_names_expect: framed("Connection: expect\r\nExpect: 100-continue\r\nContent-Length: 5")
        => Keep &framed("Expect: 100-continue\r\nContent-Length: 5");
    expect_without_a_body: field("Expect: 100-continue") => Keep PLAIN;
    expect_with_a_body_of_nothing: field("Expect: 100-continue\r\nContent-Length: 0")
        => Keep &field("Content-Length: 0");
    upgrade_without_its_option: field("Upgrade: x") => Keep PLAIN;
    upgrade_with_another_option: field("Upgrade: x\r\nConnection: keep-alive") => Keep PLAIN;
    the_option_without_upgrade: field("Connection: upgrade") => Keep PLAIN;
    upgrade_to_h2c:
        field("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A")
        => Keep PLAIN;
    upgrade_to_h2c_in_upper_case: field("Connection: upgrade\r\nUpgrade: H2C") => Keep PLAIN;
    upgrade_to_h2c_with_a_version: field("Connection: upgrade\r\nUpgrade: h2c/2") => Keep PLAIN;
    upgrade_to_http_2: field("Connection: upgrade\r\nUpgrade: HTTP/2.0") => Keep PLAIN;
    upgrade_to_h2c_in_a_list: field("Connection: upgrade\r\nUpgrade: x, h2c") => Keep PLAIN;
    upgrade_to_h2c_in_a_second_field: field("Connection: upgrade\r\nUpgrade: x\r\nUpgrade: h2c")
        => Keep PLAIN;
    upgrade_in_http_1_0:
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade, keep-alive\r\nUpgrade: x\r\n\r\n"
        => Keep PLAIN;
    upgrade_with_a_body:
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\
         Content-Length: 2\r\n\r\nhi"
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    upgrade_with_chunks:
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    upgrade_that_is_declined: field("Connection: upgrade\r\nUpgrade: x")
        => Keep &field("Upgrade: x\r\nConnection: upgrade");
    expect: "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
        => Keep "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
    expect_in_another_case: framed("EXPECT: 100-Continue\r\nContent-Length: 5")
        => Keep &framed("EXPECT: 100-Continue\r\nContent-Length: 5");
    expect_in_http_1_0: "GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n" => Close PLAIN;
    another_expectation_in_http_1_0: "GET / HTTP/1.0\r\nHost: a\r\nExpect: x\r\n\r\n"
        => Close PLAIN;
}

refused! {
    another_expectation: field("Expect: x") => 417 Expectation;
    expect_in_a_list: field("Expect: 100-continue, x") => 417 Expectation;
    expect_twice_in_a_list: field("Expect: 100-continue, 100-continue") => 417 Expectation;
    expect_in_two_fields: field("Expect: 100-continue\r\nExpect: 100-continue") => 417 Expectation;
    expect_without_a_value: field("Expect:") => 417 Expectation;
    expect_with_a_parameter: field("Expect: 100-continue;a=b") => 417 Expectation;
    expect_with_a_wrong_number: field("Expect: 101-continue") => 417 Expectation;
}
