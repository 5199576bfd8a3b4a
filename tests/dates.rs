//! Date: on answers of our own, and on responses that lack it.

use std::time::{Duration, SystemTime};

use evener::http::message::date::HttpDate;

use crate::support::{Origin, Proxy, Response};

/// Whether a response says that it was made between `start` and now. Date lags by a second at most,
/// and by more on a machine that is late.
fn is_of_now(response: &Response, start: SystemTime) -> bool {
    let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let earliest = seconds(start - Duration::from_secs(30));
    let date = response.field("date").expect("a Date");
    (earliest..=seconds(SystemTime::now())).any(|second| *HttpDate::of(second) == *date.as_bytes())
}

#[test]
fn answers_of_our_own_say_when_they_were_made() {
    let start = SystemTime::now();
    let proxy = Proxy::start(&["--route", "/a=127.0.0.1:1"]);
    for (request, status) in [
        ("GET /b HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", 502),
        ("GET / HTTP/1.1\r\n\r\n", 400),
    ] {
        let response = proxy.ask(request);
        assert_eq!(response.status, status);
        assert!(is_of_now(&response, start), "{response:?}");
    }
}

#[test]
fn a_response_without_a_date_is_given_one_and_keeps_its_own() {
    let start = SystemTime::now();
    let theirs = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let answer = |date: &str| format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 0\r\n\r\n");
    let answers = [answer(""), answer(theirs)];
    let origin = Origin::start(move |mut conn| {
        for answer in &answers {
            if conn.head().is_some() {
                conn.send(answer);
            }
        }
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    let given = client.response();
    assert!(is_of_now(&given, start), "{given:?}");
    client.get("/");
    assert_eq!(client.response().field("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
}
