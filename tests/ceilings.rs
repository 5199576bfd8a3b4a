//! Ceilings: never more requests at an endpoint than it may have, and a queue for the rest.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use evener::metrics::UpstreamMetrics;
use evener::shed::Shed;

use crate::support::logged::Logged;
use crate::support::origin::ok;
use crate::support::{Client, Origin, Proxy, Rendezvous, eventually};

/// A client that closes its connection is not taken for one that has only sent all.
const LEAVES_AT_ONCE: [&str; 2] = ["--half-close-timeout", "0"];

/// Reads a request, waits for the test twice, and answers.
fn held() -> (Origin, Rendezvous) {
    let rendezvous = Rendezvous::default();
    let ours = rendezvous.clone();
    let origin = Origin::start(move |mut conn| {
        while conn.head().is_some() {
            ours.wait();
            ours.wait();
            conn.send(ok("held"));
        }
    });
    (origin, rendezvous)
}

/// A client whose request is at such an endpoint.
fn arrived(proxy: &Proxy, rendezvous: &Rendezvous) -> Client {
    let mut client = proxy.client();
    client.get("/");
    rendezvous.wait();
    client
}

fn total(proxy: &Proxy, of: impl Fn(&UpstreamMetrics) -> u64) -> u64 {
    proxy.plan().upstreams[0].record.total(of)
}

fn shed(proxy: &Proxy, why: Shed) -> u64 {
    total(proxy, |counts| counts.shed[why as usize].get())
}

/// A client whose request waits in the queue as the last of so many.
fn queued(proxy: &Proxy, count: usize) -> Client {
    let mut client = proxy.client();
    client.get("/");
    eventually("it waits", || proxy.waiting() == count);
    client
}

#[test]
fn five_hundred_clients_of_two_threads_never_bring_an_endpoint_an_eleventh_request() {
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let (seen, arrived, ten) = (Arc::clone(&most), AtomicUsize::new(0), Barrier::new(10));
    let origin = Origin::start(move |mut conn| {
        while conn.head().is_some() {
            seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // The first ten are there at the same time; of the others, those that happen to be.
            if arrived.fetch_add(1, Ordering::SeqCst) < 10 {
                ten.wait();
            }
            thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            conn.send(ok("well"));
        }
    });
    let flags = ["--threads", "2", "--max-requests", "10", "--queue-timeout", "1h"];
    let proxy = Proxy::before(&[&origin], &flags);
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let mut clients: Vec<_> = (0..50).map(|_| proxy.client()).collect();
                for _ in 0..4 {
                    for client in &mut clients {
                        client.get("/");
                    }
                    for client in &mut clients {
                        assert_eq!(client.response().status, 200);
                    }
                }
            });
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 10);
    assert!(total(&proxy, |counts| counts.queued.get()) > 0);
    eventually("all have gone", || proxy.plan().upstreams[0].record.permitted().1 == 0);
    assert_eq!(proxy.waiting(), 0);
}

#[test]
fn without_a_queue_the_answer_is_503_at_once() {
    let (origin, rendezvous) = held();
    let proxy = Proxy::before(&[&origin], &["--max-requests", "1", "--queue", "0"]);
    let mut first = arrived(&proxy, &rendezvous);
    let answer = proxy.get("/");
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
    assert_eq!((shed(&proxy, Shed::Full), total(&proxy, |counts| counts.queued.get())), (1, 0));
    rendezvous.wait();
    assert_eq!(first.response().status, 200);
}

#[test]
fn who_waits_for_too_long_is_told_503() {
    let (origin, rendezvous) = held();
    let flags = ["--max-requests", "1", "--queue-timeout", "20ms"];
    let proxy = Proxy::before(&[&origin], &flags);
    let mut first = arrived(&proxy, &rendezvous);
    let answer = proxy.get("/");
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
    assert_eq!((shed(&proxy, Shed::TimedOut), proxy.waiting()), (1, 0));
    rendezvous.wait();
    assert_eq!(first.response().status, 200);
}

#[test]
fn a_client_that_leaves_frees_its_place_in_the_queue() {
    let (origin, rendezvous) = held();
    let flags = ["--max-requests", "1", "--queue", "1", "--queue-timeout", "1h"];
    let proxy = Proxy::before(&[&origin], &[&flags[..], &LEAVES_AT_ONCE].concat());
    let mut first = arrived(&proxy, &rendezvous);
    drop(queued(&proxy, 1));
    eventually("it has left", || proxy.waiting() == 0);
    assert_eq!(total(&proxy, |counts| counts.queue_left.get()), 1);
    let mut second = queued(&proxy, 1);
    assert_eq!(proxy.get("/").status, 503);
    rendezvous.wait();
    assert_eq!(first.response().status, 200);
    rendezvous.wait();
    rendezvous.wait();
    assert_eq!(second.response().status, 200);
}

#[test]
fn a_client_that_leaves_its_request_makes_room() {
    let rendezvous = Rendezvous::default();
    let ours = rendezvous.clone();
    let origin = Origin::start(move |mut conn| {
        conn.head();
        if conn.index == 0 {
            ours.wait();
            // Until the request is given up.
            conn.rest();
        } else {
            conn.send(ok("next"));
        }
    });
    let flags = ["--max-requests", "1", "--queue-timeout", "1h"];
    let proxy = Proxy::before(&[&origin], &[&flags[..], &LEAVES_AT_ONCE].concat());
    let first = arrived(&proxy, &rendezvous);
    let mut second = queued(&proxy, 1);
    drop(first);
    assert_eq!(second.response().text(), "next");
}

#[test]
fn another_attempt_waits_for_room_too() {
    let (dead, (held, rendezvous)) = (Origin::refusing(), held());
    let flags = ["--max-requests", "1", "--queue-timeout", "1h", "--max-fails", "100"];
    let proxy = Proxy::before(&[&dead, &held], &flags);
    let mut first = arrived(&proxy, &rendezvous);
    let mut second = queued(&proxy, 1);
    rendezvous.wait();
    assert_eq!(first.response().text(), "held");
    rendezvous.wait();
    rendezvous.wait();
    assert_eq!(second.response().text(), "held");
}

#[test]
fn a_reload_that_raises_the_ceiling_makes_room_at_once() {
    // Requests for this are answered in pairs.
    let pair = Rendezvous::default();
    let origin = Origin::start(move |mut conn| {
        while let Some(head) = conn.head() {
            if head.contains("/pair") {
                pair.wait();
            }
            conn.send(ok("well"));
        }
    });
    let route = format!("--route=/={}", origin.address);
    let flags = |max| [route.as_str(), "--max-requests", max, "--queue-timeout", "1h"];
    let mut proxy = Proxy::start(&flags("1"));
    let mut first = proxy.client();
    first.get("/pair");
    eventually("it is there", || origin.heads().len() == 1);
    // Goes by the plan that it began with.
    let mut second = queued(&proxy, 1);
    proxy.reload(&flags("2")).unwrap();
    let mut third = proxy.client();
    third.get("/pair");
    for client in [&mut third, &mut first, &mut second] {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn a_reload_that_lowers_the_ceiling_waits_until_enough_have_ended() {
    let (now, gates) = (Arc::new(AtomicUsize::new(0)), [(); 2].map(|()| Rendezvous::default()));
    let ours = gates.clone();
    let origin = Origin::start(move |mut conn| {
        while let Some(head) = conn.head() {
            let count = now.fetch_add(1, Ordering::SeqCst) + 1;
            if head.contains("/held") {
                ours[conn.index].wait();
                ours[conn.index].wait();
            }
            now.fetch_sub(1, Ordering::SeqCst);
            conn.send(ok(&count.to_string()));
        }
    });
    let route = format!("--route=/={}", origin.address);
    let flags = |max| [route.as_str(), "--max-requests", max, "--queue-timeout", "1h"];
    let mut proxy = Proxy::start(&flags("2"));
    let mut held = [proxy.client(), proxy.client()];
    for (client, gate) in held.iter_mut().zip(&gates) {
        client.get("/held");
        gate.wait();
    }
    proxy.reload(&flags("1")).unwrap();
    let mut next = queued(&proxy, 1);
    for (client, gate) in held.iter_mut().zip(&gates) {
        assert_eq!(proxy.waiting(), 1);
        gate.wait();
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(next.response().text(), "1");
}

#[test]
fn relayed_connections_count_until_they_are_closed() {
    let origin = Origin::start(|mut conn| {
        conn.send("hello");
        conn.rest();
        conn.close();
    });
    let relay = format!("127.0.0.1:0={}", origin.address);
    let flags = ["--tcp", &relay, "--max-requests", "1", "--queue", "1", "--queue-timeout", "1h"];
    let proxy = Proxy::start_words(&flags);
    let mut first = proxy.client();
    assert_eq!(first.exactly(5), b"hello");
    let mut second = proxy.client();
    eventually("it waits", || proxy.waiting() == 1);
    assert!(proxy.client().is_reset());
    assert_eq!((shed(&proxy, Shed::Full), proxy.count(|all| &all.tcp_refused)), (1, 1));
    drop(first);
    assert_eq!(second.exactly(5), b"hello");
}

#[test]
fn the_log_says_how_long_it_waited_and_how_it_ended() {
    let (origin, rendezvous) = held();
    let flags = ["--max-requests", "1", "--queue", "1", "--queue-timeout", "1h"];
    let logged = Logged::before(&[&origin], &flags);
    let (mut first, mut second) = (logged.client(), logged.client());
    first.get("/first");
    rendezvous.wait();
    second.get("/second");
    eventually("it waits", || logged.proxy.waiting() == 1);
    assert_eq!(logged.proxy.get("/shed").status, 503);
    rendezvous.wait();
    rendezvous.wait();
    rendezvous.wait();
    for client in [&mut first, &mut second] {
        assert_eq!(client.response().status, 200);
    }
    let lines = logged.lines(3);
    let of = |target: &str| lines.iter().find(|line| line["target"] == target).unwrap().clone();
    assert_eq!(of("/first")["queue"], 0.0);
    assert!(of("/second")["queue"].as_f64().unwrap() > 0.0);
    let shed = of("/shed");
    assert_eq!((&shed["end"], &shed["upstream"]), (&"RW".into(), &"/".into()));
}

#[test]
fn an_endpoint_that_leaves_and_comes_back_still_has_the_requests_from_before() {
    let ((origin, rendezvous), other) = (held(), Origin::named("other"));
    let route = |origin: &Origin| format!("/={}", origin.address);
    let (ours, others) = (route(&origin), route(&other));
    let flags = |route| ["--max-requests", "1", "--queue", "0", "--route", route];
    let mut proxy = Proxy::start(&flags(&ours));
    let mut first = proxy.client();
    first.get("/");
    rendezvous.wait();
    proxy.reload(&flags(&others)).unwrap();
    assert_eq!(proxy.get("/").text(), "other");
    proxy.reload(&flags(&ours)).unwrap();
    assert_eq!(proxy.get("/").status, 503);
    rendezvous.wait();
    assert_eq!(first.response().status, 200);
}
