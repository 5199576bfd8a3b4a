//! Max-Forwards, which bounds OPTIONS and TRACE.

use super::gate::lent;
use super::{PLAIN, field};
use crate::support::Client;

/// A request of this method with this count.
fn bounded(method: &str, count: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {count}\r\n\r\n")
}

arrives! {
    options: bounded("OPTIONS", "3") => Keep &bounded("OPTIONS", "2");
    trace: bounded("TRACE", "1") => Keep &bounded("TRACE", "0");
    more_than_any_path_takes: bounded("OPTIONS", "99999999999") => Keep &bounded("OPTIONS", "255");
    more_than_64_bits: bounded("TRACE", &"9".repeat(100)) => Keep &bounded("TRACE", "255");
    leading_zeros: bounded("OPTIONS", "010") => Keep &bounded("OPTIONS", "9");
    named_by_connection:
        "OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: Max-Forwards\r\nMax-Forwards: 3\r\n\r\n"
        => Keep &bounded("OPTIONS", "2");
    another_method: field("Max-Forwards: 0") => Keep &field("Max-Forwards: 0");
    none: PLAIN.replace("GET", "TRACE") => Keep &PLAIN.replace("GET", "TRACE");
}

refused! {
    two: "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n"
        => 400 MaxForwards;
    a_list: bounded("TRACE", "1, 1") => 400 MaxForwards;
    a_sign: bounded("OPTIONS", "-1") => 400 MaxForwards;
    letters: bounded("OPTIONS", "x") => 400 MaxForwards;
    nothing: bounded("OPTIONS", "") => 400 MaxForwards;
}

/// Asks with a count of 0: what comes back is ours, and the connection goes on.
fn ends_here(method: &str, status: u16) {
    lent(|gate| {
        let before = gate.inside.origin.heads().len();
        let mut client: Client = gate.proxy.client();
        let secret = bounded(method, "0\r\nCookie: secret");
        let answer = client.ask(secret);
        assert_eq!((answer.status, answer.field("cache-control")), (status, Some("no-store")));
        let allowed = answer.field("allow").unwrap();
        assert!(allowed.split(", ").any(|one| one == "OPTIONS"), "{answer:?}");
        assert!(!answer.text().contains("secret"));
        assert_eq!(gate.inside.origin.heads().len(), before);
        assert_eq!(client.ask(PLAIN).status, 200);
    });
}

#[test]
fn options_at_its_last_hop() {
    ends_here("OPTIONS", 200);
}

#[test]
fn trace_at_its_last_hop() {
    ends_here("TRACE", 405);
}
