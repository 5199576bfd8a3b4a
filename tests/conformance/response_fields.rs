//! Headers of responses: their syntax, and which are passed on.

use super::{EMPTY, answered};

bad_response! {
    a_space_before_the_colon: answered("X : a") => FieldName;
    a_tab_before_the_colon: answered("X\t: a") => FieldName;
    a_space_inside_a_name: answered("X Y: a") => FieldName;
    an_empty_name: answered(": a") => FieldName;
    a_bare_cr_before_a_name: answered("\rX: a") => FieldName;
    a_bare_cr_as_the_empty_line: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\r\n\r\n" => FieldName;
    a_line_without_a_colon: answered("X") => FieldName;
    a_separator_in_a_name: answered("X(: a") => FieldName;
    an_octet_above_ascii_in_a_name: answered("X\u{e9}: a") => FieldName;
    nul_in_a_name: answered("X\0: a") => FieldName;
    nul_in_a_value: answered("X: a\0b") => FieldValue;
    delete_in_a_value: answered("X: a\x7fb") => FieldValue;
    a_bare_cr_in_a_value: answered("X: a\rb") => FieldValue;
    a_bare_lf_after_a_value: answered("X: a\nY: b") => BareLf;
    a_bare_lf_as_the_empty_line: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n" => BareLf;
    bare_lfs_at_the_end: "HTTP/1.1 200 OK\r\nContent-Length: 0\n\n" => BareLf;
    a_value_folded_with_a_space: answered("X: a\r\n b") => ObsFold;
    a_value_folded_with_a_tab: answered("X: a\r\n\tb") => ObsFold;
    white_space_before_the_first_field: "HTTP/1.1 200 OK\r\n X: a\r\n\r\n" => ObsFold;
    a_head_too_large: answered(&format!("X: {}", "x".repeat(20_000))) => HeadTooLarge;
    too_many_fields: answered(&"X: y\r\n".repeat(101)) => TooManyFields;
    a_bad_field_of_an_interim_response: "HTTP/1.1 103 A\r\nX : a\r\n\r\n" => FieldName;
}

returns! {
    order_case_and_number: &answered("Set-Cookie: a\r\nx-B: 2\r\nset-cookie: b\r\nX-b: 1")
        => Keep Reused &answered("Set-Cookie: a\r\nx-B: 2\r\nset-cookie: b\r\nX-b: 1");
    an_octet_above_ascii_in_a_value: &answered("X: caf\u{e9}")
        => Keep Reused &answered("X: caf\u{e9}");
    white_space_around_a_value: &answered("X: \t a \t") => Keep Reused &answered("X: a");
    an_underscore_in_a_name: &answered("X_Y: a") => Keep Reused &answered("X_Y: a");
    content_length_with_an_underscore: &answered("Content_Length: 5")
        => Keep Reused &answered("Content_Length: 5");
    connection: &answered("Connection: keep-alive") => Keep Reused EMPTY;
    a_field_that_connection_names: &answered("X: a\r\nConnection: x\r\nY: b")
        => Keep Reused &answered("Y: b");
    connection_names_content_length: &answered("Connection: content-length") => Keep Reused EMPTY;
    close: &answered("Connection: close") => Keep Dropped EMPTY;
    close_among_others: &answered("Connection: x, CLOSE") => Keep Dropped EMPTY;
    keep_alive: &answered("Keep-Alive: timeout=5") => Keep Reused EMPTY;
    proxy_connection: &answered("Proxy-Connection: close") => Keep Reused EMPTY;
    upgrade: &answered("Upgrade: h2\r\nConnection: upgrade") => Keep Reused EMPTY;
    upgrade_of_a_426:
        "HTTP/1.1 426 A\r\nUpgrade: h9\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n"
        => Keep Reused
        "HTTP/1.1 426 A\r\nUpgrade: h9\r\nContent-Length: 0\r\nConnection: upgrade\r\n\r\n";
}
