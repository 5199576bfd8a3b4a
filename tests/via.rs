//! Via: how requests and responses say that they have been here, and requests that go in circles.

use evener::reject::Reject;

use crate::support::{Client, Origin, Proxy};

/// The values of Via in a head.
fn via(head: &str) -> Vec<&str> {
    head.lines().filter_map(|line| line.strip_prefix("Via: ")).collect()
}

fn to(proxy: &Proxy) -> String {
    format!("/={}", proxy.address)
}

#[test]
fn requests_and_responses_say_what_they_have_passed() {
    let origin = Origin::answering("HTTP/1.0 200 OK\r\nVia: 1.1 b\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::before(&[&origin], &["--via", "edge"]);
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 a\r\n\r\n");
    assert_eq!(via(&answer.head), ["1.1 b", "1.0 edge"]);
    let heads = origin.heads();
    let [theirs, ours] = via(&heads[0])[..] else { panic!("{heads:?}") };
    assert_eq!(theirs, "1.0 a");
    assert!(ours.starts_with("1.1 edge (evener/") && ours.ends_with(')'), "{ours}");
}

#[test]
fn without_a_name_nothing_is_said() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[&origin], &[]);
    assert!(via(&proxy.get("/").head).is_empty());
    assert!(via(&origin.heads()[0]).is_empty());
}

#[test]
fn a_request_that_goes_in_circles_is_answered_508_by_who_knows_it() {
    let origin = Origin::named("a");
    let mut last = Proxy::before(&[&origin], &[]);
    let first = Proxy::start(&["--route", &to(&last), "--via", "edge"]);
    assert_eq!(first.get("/").text(), "a");
    last.reload(&["--route", &to(&first)]).unwrap();
    assert_eq!(first.get("/").status, 508);
    assert_eq!(first.count(|metrics| &metrics.rejects[Reject::Loop as usize]), 1);
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn two_processes_of_one_name_are_no_loop_and_a_reload_makes_no_other_process() {
    let origin = Origin::named("a");
    let last = Proxy::before(&[&origin], &["--via", "edge"]);
    let mut first = Proxy::start(&["--route", &to(&last), "--via", "edge"]);
    assert_eq!(first.get("/").text(), "a");
    first.reload(&["--route", &to(&last), "--via", "renamed"]).unwrap();
    let heads = origin.heads();
    let again = format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {}\r\n\r\n", via(&heads[0])[0]);
    assert_eq!(Client::connect(first.address).ask(again).status, 508);
}
