//! Headers about the client and earlier hops, and names that an endpoint may confuse with them.

use super::{PLAIN, field};
use crate::support::{Origin, Proxy};

arrives! {
    content_length_with_an_underscore: field("Content_Length: 5") => Keep PLAIN;
    transfer_encoding_with_an_underscore: field("transfer_encoding: chunked") => Keep PLAIN;
    x_forwarded_for_with_underscores: field("X_Forwarded_For: 6.6.6.6") => Keep PLAIN;
    x_forwarded_for_with_one_underscore: field("X-Forwarded_For: 6.6.6.6") => Keep PLAIN;
    x_forwarded_other_with_underscores: field("X_Forwarded_Port: 1") => Keep PLAIN;
    x_forwarded_by_a_long_name: field("X_Forwarded_Client_Certificate_Chain: x") => Keep PLAIN;
    proxy_which_becomes_a_variable: field("Proxy: http://evil") => Keep PLAIN;
    x_real_ip_with_underscores: field("X_Real_IP: 6.6.6.6") => Keep PLAIN;
    proxy_connection_with_an_underscore: field("Proxy_Connection: close") => Keep PLAIN;
    keep_alive_with_an_underscore: field("Keep_Alive: 5") => Keep PLAIN;
    x_forwarded_for_with_points: field("X.Forwarded.For: 6.6.6.6") => Keep PLAIN;
    x_forwarded_other_with_other_signs: field("X!Forwarded-Port: 1\r\nX~Real~IP: 6.6.6.6") => Keep PLAIN;
    content_length_with_a_point: field("Content.Length: 5") => Keep PLAIN;
    an_innocent_point: field("User.Id: 7") => Keep &field("User.Id: 7");
    an_innocent_underscore: field("User_Id: 7") => Keep &field("User_Id: 7");
    x_forwarded_for_of_a_stranger: field("X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7")
        => Keep PLAIN;
    x_forwarded_proto_of_a_stranger: field("X-Forwarded-Proto: https") => Keep PLAIN;
    x_forwarded_host_of_a_stranger: field("X-Forwarded-Host: b") => Keep PLAIN;
    x_forwarded_other_of_a_stranger: field("X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /b")
        => Keep PLAIN;
    x_real_ip_of_a_stranger: field("X-Real-IP: 6.6.6.6") => Keep PLAIN;
    forwarded_of_a_stranger: field("Forwarded: for=6.6.6.6") => Keep PLAIN;
}

/// The headers an origin receives if the proxy runs with these flags.
fn arriving(lines: &str, flags: &[&str]) -> String {
    let origin = Origin::named("in");
    let proxy = Proxy::before(&[&origin], flags);
    let request = format!("GET / HTTP/1.1\r\nHost: a:80\r\n{lines}\r\n\r\n");
    assert_eq!(proxy.ask(request).status, 200);
    origin.heads().remove(0)
}

const FROM_AFAR: &str = "X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Host: far.test\r\nX-Forwarded-Port: 443\r\n\
    X-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4";

/// The request as it arrives if no header about earlier hops is trusted.
const ADDED: &str = "GET / HTTP/1.1\r\nHost: a:80\r\nX-Forwarded-For: 127.0.0.1\r\n\
    X-Forwarded-Proto: http\r\nX-Forwarded-Host: a:80\r\n\r\n";

#[test]
fn headers_added_to_every_request() {
    assert_eq!(arriving(FROM_AFAR, &[]), ADDED);
}

#[test]
fn headers_of_a_trusted_peer() {
    assert_eq!(
        arriving(FROM_AFAR, &["--trusted", "127.0.0.1"]),
        "GET / HTTP/1.1\r\nHost: a:80\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: far.test\r\n\
         X-Forwarded-Port: 443\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1\r\n\
         Forwarded: for=1.2.3.4, for=127.0.0.1;proto=http;host=\"a:80\"\r\n\
         X-Real-IP: 5.6.7.8\r\n\r\n"
    );
}

#[test]
fn empty_members_of_what_a_trusted_peer_says() {
    let lines = "X-Forwarded-For: , a,,b\r\nX-Forwarded-For:\r\nForwarded: ,for=a,";
    let arrived = arriving(lines, &["--trusted", "127.0.0.1"]);
    assert!(arrived.contains("\r\nX-Forwarded-For: a, b, 127.0.0.1\r\n"), "{arrived}");
    assert!(arrived.contains("\r\nForwarded: for=a, for=127.0.0.1;"), "{arrived}");
}

#[test]
fn headers_that_a_trusted_peer_does_not_send() {
    assert_eq!(arriving("Keep-Alive: 5", &["--trusted", "127.0.0.1"]), ADDED);
}

#[test]
fn headers_of_a_peer_that_is_not_trusted() {
    assert_eq!(arriving(FROM_AFAR, &["--trusted", "10.0.0.0/8,unix"]), ADDED);
}
