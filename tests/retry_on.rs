//! `retry_on`: which failures and answers lead to another endpoint.

use crate::support::closing::{closing, closing_when_reused};
use crate::support::{Origin, Proxy, Response};

const ANY: &str = "connect,stale,reset,timeout,5xx";

/// Answers with this status, its own name and nothing else.
fn telling(status: u16, name: &str) -> Origin {
    let length = name.len();
    Origin::answering(format!("HTTP/1.1 {status} A\r\nContent-Length: {length}\r\n\r\n{name}"))
}

fn post(proxy: &Proxy) -> Response {
    proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
}

#[test]
fn an_explicit_list_is_taken_literally() {
    for (on, dead, status) in [
        ("connect", Origin::refusing(), 200),
        ("reset", Origin::refusing(), 502),
        ("connect", closing(0), 502),
        ("reset", closing(0), 200),
        ("timeout,503", closing(0), 502),
    ] {
        let well = Origin::named("well");
        let proxy = Proxy::before(&[&dead, &well], &["--retry-on", on]);
        assert_eq!(proxy.get("/").status, status, "{on}");
    }
}

#[test]
fn a_status_in_the_list_goes_elsewhere() {
    for (on, status, goes_on) in [
        ("502", 502, true),
        ("503", 503, true),
        ("504", 504, true),
        ("5xx", 500, true),
        ("5xx", 503, true),
        ("502,504", 503, false),
        ("connect,stale,reset", 503, false),
    ] {
        let (bad, well) = (telling(status, "bad"), Origin::named("well"));
        let proxy = Proxy::before(&[&bad, &well], &["--retry-on", on]);
        let expected = if goes_on { "well" } else { "bad" };
        assert_eq!(proxy.get("/").text(), expected, "{on} {status}");
    }
}

#[test]
fn when_retries_are_used_up_the_last_answer_is_passed_on() {
    let bad = [telling(503, "one"), telling(502, "two"), telling(503, "three")];
    let flags = ["--retry-on", "5xx", "--retries", "1"];
    let proxy = Proxy::before(&bad.each_ref(), &flags);
    let response = proxy.get("/");
    assert_eq!((response.status, response.text()), (502, "two".into()));
    assert_eq!([0, 1, 2].map(|index| proxy.attempts(index)), [1, 1, 0]);
}

#[test]
fn an_answer_is_passed_on_where_there_is_no_other_endpoint() {
    let bad = [telling(503, "one"), telling(502, "two")];
    let proxy = Proxy::before(&bad.each_ref(), &["--retry-on", "5xx"]);
    let response = proxy.get("/");
    assert_eq!((response.status, response.text()), (502, "two".into()));
    assert_eq!([0, 1].map(|index| proxy.attempts(index)), [1, 1]);
}

#[test]
fn a_short_answer_that_is_declined_leaves_its_connection_in_the_pool() {
    let (bad, well) = (telling(503, "bad"), Origin::named("well"));
    let proxy = Proxy::before(&[&bad, &well], &["--retry-on", "503", "--max-fails", "9"]);
    assert_eq!([(); 4].map(|()| proxy.get("/").status), [200; 4]);
    assert_eq!((bad.heads().len(), bad.connections()), (2, 1));
}

#[test]
fn an_answer_that_has_not_come_whole_is_declined_with_its_connection() {
    let bad = Origin::start(|mut conn| {
        conn.head();
        conn.send("HTTP/1.1 503 A\r\nContent-Length: 9\r\n\r\nhalf");
        assert!(conn.ends_by_reset());
    });
    let well = Origin::named("well");
    let proxy = Proxy::before(&[&bad, &well], &["--retry-on", "503"]);
    assert_eq!(proxy.get("/").text(), "well");
}

#[test]
fn a_status_counts_as_a_failure_where_it_does_without_retries() {
    let (bad, well) = (telling(503, "bad"), Origin::named("well"));
    let flags = ["--retry-on", "503", "--fail-on-5xx", "--max-fails", "1", "--fail-timeout", "1m"];
    let proxy = Proxy::before(&[&bad, &well], &flags);
    assert_eq!([(); 4].map(|()| proxy.get("/").status), [200; 4]);
    assert_eq!(proxy.attempts(0), 1);
}

#[test]
fn a_post_is_never_sent_again_whatever_the_list() {
    for bad in [closing(0), telling(503, "bad")] {
        let well = Origin::named("well");
        let proxy = Proxy::before(&[&bad, &well], &["--retry-on", ANY]);
        assert!(post(&proxy).status >= 502);
        assert_eq!((bad.heads().len(), well.heads().len()), (1, 0));
    }
}

#[test]
fn a_post_that_was_not_sent_goes_elsewhere() {
    let (dead, well) = (Origin::refusing(), Origin::echoing(1));
    let proxy = Proxy::before(&[&dead, &well], &["--retry-on", ANY]);
    assert_eq!(post(&proxy).status, 200);
}

#[test]
fn without_retries_there_is_one_attempt() {
    for dead in [Origin::refusing(), closing(0)] {
        let well = Origin::named("well");
        let proxy = Proxy::before(&[&dead, &well], &["--retries", "0"]);
        assert_eq!(proxy.get("/").status, 502);
        assert_eq!(proxy.attempts(1), 0);
    }
}

#[test]
fn a_stale_connection_is_replaced_without_a_retry() {
    let stale = closing_when_reused();
    let proxy = Proxy::before(&[&stale], &["--retries", "0"]);
    assert_eq!([(); 4].map(|()| proxy.get("/").status), [200; 4]);
    assert_eq!(stale.connections(), 4);
}

#[test]
fn a_list_without_stale_replaces_nothing() {
    let stale = closing_when_reused();
    let proxy = Proxy::before(&[&stale], &["--retry-on", "connect"]);
    assert_eq!([(); 2].map(|()| proxy.get("/").status), [200, 502]);
}

#[test]
fn a_relay_is_connected_as_often_as_retries_allow() {
    let dead = [Origin::refusing(), Origin::refusing(), Origin::named("well")];
    for (retries, is_reached) in [("1", false), ("2", true)] {
        let endpoints = dead.each_ref().map(|origin| origin.address.to_string()).join(",");
        let relay = format!("127.0.0.1:0={endpoints}");
        let proxy = Proxy::start_words(&["--tcp", &relay, "--retries", retries]);
        let mut client = proxy.client();
        if is_reached {
            client.get("/");
            assert_eq!(client.response().text(), "well");
        } else {
            assert!(client.is_reset());
        }
    }
}
