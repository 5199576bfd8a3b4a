//! Unhealthy endpoints: ejected by failed requests, or down by failed checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::origin::ok;
use crate::support::{Origin, Proxy, eventually};

/// Longer than any test: an ejected endpoint stays out.
const FOR_GOOD: [&str; 2] = ["--fail-timeout", "10m"];

const ERROR: &str = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";

fn statuses(proxy: &Proxy, count: usize) -> Vec<u16> {
    (0..count).map(|_| proxy.get("/").status).collect()
}

/// Sends half of a body.
fn cutting() -> Origin {
    Origin::start(|mut conn| {
        if conn.head().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            conn.close();
        }
    })
}

#[test]
fn three_connect_failures_eject_and_no_request_fails() {
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    let proxy = Proxy::before(&[&dead, &well], &FOR_GOOD);
    assert_eq!(statuses(&proxy, 20), [200; 20]);
    assert_eq!((proxy.attempts(0), proxy.attempts(1)), (3, 20));
}

#[test]
fn three_answers_cut_short_eject() {
    let (cut, one, two) = (cutting(), Origin::named("one"), Origin::named("two"));
    let proxy = Proxy::before(&[&cut, &one, &two], &FOR_GOOD);
    let cuts = |count| (0..count).filter(|_| !proxy.get("/").whole).count();
    assert_eq!((cuts(9), cuts(12)), (3, 0));
    assert_eq!(proxy.attempts(0), 3);
}

#[test]
fn a_success_between_failures_starts_the_count_again() {
    let turn = AtomicUsize::new(0);
    let moody = Origin::start(move |mut conn| {
        while conn.head().is_some() {
            let fine = turn.fetch_add(1, Ordering::SeqCst) % 3 == 2;
            conn.send(if fine { ok("fine") } else { ERROR.into() });
        }
    });
    let well = Origin::named("well");
    let flags = ["--fail-timeout", "10m", "--fail-on-5xx"];
    let proxy = Proxy::before(&[&moody, &well], &flags);
    statuses(&proxy, 24);
    assert_eq!(proxy.attempts(0), 12);
}

#[test]
fn responses_with_500_eject_if_configured() {
    let (ill, well) = (Origin::answering(ERROR), Origin::named("well"));
    let flags = ["--fail-timeout", "10m", "--fail-on-5xx"];
    let proxy = Proxy::before(&[&ill, &well], &flags);
    let errors = statuses(&proxy, 20).iter().filter(|status| **status == 500).count();
    assert_eq!((errors, proxy.attempts(0)), (3, 3));
}

#[test]
fn responses_with_500_do_not_eject_by_default() {
    let (ill, well) = (Origin::answering(ERROR), Origin::named("well"));
    let proxy = Proxy::before(&[&ill, &well], &FOR_GOOD);
    let errors = statuses(&proxy, 20).iter().filter(|status| **status == 500).count();
    assert_eq!((errors, proxy.attempts(0)), (10, 10));
}

#[test]
fn max_fails_is_how_many_failures_eject() {
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    let flags = ["--fail-timeout", "10m", "--max-fails", "1"];
    let proxy = Proxy::before(&[&dead, &well], &flags);
    assert_eq!(statuses(&proxy, 6), [200; 6]);
    assert_eq!(proxy.attempts(0), 1);
}

#[test]
fn an_endpoint_that_does_not_answer_in_time_is_a_504_and_is_not_asked_again() {
    let slow = Origin::start(|mut conn| {
        conn.head();
        conn.rest();
    });
    let well = Origin::named("well");
    let proxy = Proxy::before(&[&slow, &well], &["--response-timeout", "50ms"]);
    assert_eq!(proxy.get("/").status, 504);
    assert_eq!((proxy.attempts(0), proxy.attempts(1)), (1, 0));
}

#[test]
fn an_ejected_endpoint_that_passes_its_trial_is_used_again() {
    let mended = Origin::start(|mut conn| {
        if conn.index < 3 {
            conn.head();
            return conn.close();
        }
        conn.answer_all(&ok("mended"));
    });
    let well = Origin::named("well");
    let proxy = Proxy::before(&[&mended, &well], &["--fail-timeout", "100ms"]);
    eventually("the trial", || proxy.get("/").text() == "mended");
    let texts: Vec<_> = (0..10).map(|_| proxy.get("/").text()).collect();
    assert_eq!(texts.iter().filter(|text| *text == "mended").count(), 5);
}

#[test]
fn when_all_are_ejected_requests_are_still_tried() {
    let (one, two) = (Origin::refusing(), Origin::refusing());
    let proxy = Proxy::before(&[&one, &two], &["--fail-timeout=10m", "--eject-max=100%"]);
    assert_eq!(statuses(&proxy, 10), [502; 10]);
    assert_eq!((proxy.attempts(0), proxy.attempts(1)), (10, 10));
}

#[test]
fn an_endpoint_that_fails_its_checks_is_skipped_and_no_request_fails() {
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    // So many that only the checks can take it out.
    let flags = ["--check", "tcp", "--check-interval", "20ms", "--max-fails", "255"];
    let flags = [&flags[..], &["--retry-budget", "off"]].concat();
    let proxy = Proxy::before(&[&dead, &well], &flags);
    eventually("it is skipped", || {
        let before = proxy.attempts(0);
        assert_eq!(statuses(&proxy, 4), [200; 4]);
        proxy.attempts(0) == before
    });
    assert!(proxy.attempts(0) < 255);
}

#[test]
fn when_all_are_down_the_answer_is_503_with_retry_after() {
    let dead = Origin::refusing();
    let proxy = Proxy::before(&[&dead], &["--check", "tcp", "--check-interval", "20ms"]);
    eventually("it is down", || proxy.get("/").status == 503);
    let tried = proxy.attempts(0);
    assert_eq!(proxy.get("/").field("Retry-After"), Some("1"));
    assert_eq!(proxy.attempts(0), tried);
}

#[test]
fn a_recovered_endpoint_is_used_again() {
    let origin = Origin::named("old");
    let proxy = Proxy::before(&[&origin], &["--check", "tcp", "--check-interval", "20ms"]);
    assert_eq!(proxy.get("/").text(), "old");
    origin.stop();
    eventually("it is down", || proxy.get("/").status == 503);
    let _back = Origin::start_at(origin.address, |conn| conn.answer_all(&ok("new")));
    eventually("it is up", || proxy.get("/").text() == "new");
}

#[test]
fn an_http_check_depends_on_the_status() {
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = Arc::clone(&ill);
    let origin = Origin::start(move |mut conn| {
        while let Some(head) = conn.head() {
            let fails = head.starts_with("GET /health ") && is_ill.load(Ordering::SeqCst);
            let hint = "HTTP/1.1 103 A\r\n\r\n";
            conn.send(if fails { ERROR.into() } else { [hint.as_bytes(), &ok("fine")].concat() });
        }
    });
    let flags = ["--check", "http:/health", "--check-interval", "50ms"];
    let proxy = Proxy::before(&[&origin], &flags);
    eventually("it is down", || proxy.get("/").status == 503);
    ill.store(false, Ordering::SeqCst);
    // Both the check and the request receive a 103 first.
    eventually("it is up", || proxy.get("/").status == 103);
}

#[test]
fn an_http_check_requests_its_path() {
    let origin = Origin::named("well");
    let flags = ["--check", "http:/health?deep=1", "--check-interval", "20ms"];
    let _proxy = Proxy::before(&[&origin], &flags);
    eventually("a check", || !origin.heads().is_empty());
    let head = origin.heads().swap_remove(0);
    assert!(head.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nHost: {}\r\n", origin.address)), "{head}");
}

#[test]
fn a_new_endpoint_is_used_before_a_check_has_passed() {
    let origin = Origin::start(|mut conn| {
        while let Some(head) = conn.head() {
            if head.starts_with("GET /health ") { conn.send(ERROR) } else { conn.send(ok("hello")) }
        }
    });
    let flags = ["--check", "http:/health", "--check-interval", "1h"];
    let proxy = Proxy::before(&[&origin], &flags);
    eventually("it is checked", || origin.heads().len() == 1);
    assert_eq!(proxy.get("/").text(), "hello");
}
