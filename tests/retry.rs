//! Which requests are retried after a failure, and at which endpoint.

use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::closing::{closing, closing_when_reused};
use crate::support::origin::ok;
use crate::support::{Client, Origin, Proxy, eventually};

/// More than is kept of a request for a retry.
const LARGE: usize = 300_000;

/// Reads requests with a body of this length, and answers with the body if it is short, else `well`.
fn accepting(body: usize) -> Origin {
    Origin::start(move |mut conn| {
        while conn.head().is_some() {
            let Some(bytes) = conn.bytes(body) else { return };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            conn.send(ok(if body < 100 { &text } else { "well" }));
        }
    })
}

/// Sends headers and body together, since only what arrives with the headers is kept for a retry.
fn request(client: &mut Client, method: &str, body: &str) {
    let length = body.len();
    let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    client.send(head + body);
}

#[test]
fn a_refused_get_goes_elsewhere() {
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    let proxy = Proxy::before(&[&dead, &well], &[]);
    assert_eq!(proxy.get("/").text(), "well");
    assert_eq!(proxy.count(|metrics| &metrics.retries), 1);
}

#[test]
fn a_refused_post_goes_elsewhere_with_its_body() {
    let (dead, well) = (Origin::refusing(), accepting(5));
    let proxy = Proxy::before(&[&dead, &well], &[]);
    let mut client = proxy.client();
    request(&mut client, "POST", "hello");
    assert_eq!(client.response().text(), "hello");
    assert_eq!(proxy.attempts(0), 1);
}

#[test]
fn a_refused_large_upload_goes_elsewhere() {
    let (dead, well) = (Origin::refusing(), accepting(LARGE));
    let proxy = Proxy::before(&[&dead, &well], &[]);
    let mut client = proxy.client();
    request(&mut client, "POST", &"x".repeat(LARGE));
    assert_eq!(client.response().text(), "well");
    assert_eq!(proxy.attempts(0), 1);
}

#[test]
fn each_endpoint_is_tried_once_and_then_the_answer_is_502() {
    let dead = [Origin::refusing(), Origin::refusing(), Origin::refusing()];
    let proxy = Proxy::before(&dead.each_ref(), &[]);
    assert_eq!(proxy.get("/").status, 502);
    assert_eq!([0, 1, 2].map(|index| proxy.attempts(index)), [1; 3]);
}

#[test]
fn a_get_closed_without_an_answer_goes_to_each_endpoint_once() {
    let (one, two) = (closing(0), closing(0));
    let proxy = Proxy::before(&[&one, &two], &[]);
    assert_eq!(proxy.get("/").status, 502);
    assert_eq!((one.heads().len(), two.heads().len()), (1, 1));
}

#[test]
fn a_get_closed_without_an_answer_goes_elsewhere() {
    let (bad, well) = (closing(0), Origin::named("well"));
    let proxy = Proxy::before(&[&bad, &well], &[]);
    assert_eq!(proxy.get("/").text(), "well");
    assert_eq!(bad.heads().len(), 1);
}

#[test]
fn a_get_reset_without_an_answer_goes_elsewhere() {
    let bad = Origin::start(|mut conn| {
        conn.head();
        conn.reset();
    });
    let well = Origin::named("well");
    let proxy = Proxy::before(&[&bad, &well], &[]);
    assert_eq!(proxy.get("/").text(), "well");
    assert_eq!(bad.heads().len(), 1);
}

#[test]
fn a_get_that_got_part_of_a_head_is_not_repeated() {
    let bad = Origin::start(|mut conn| {
        conn.head();
        conn.send("HTTP/1.1 200 O");
        conn.close();
    });
    let well = Origin::named("well");
    let proxy = Proxy::before(&[&bad, &well], &[]);
    assert_eq!(proxy.get("/").status, 502);
    assert_eq!(proxy.attempts(1), 0);
}

#[test]
fn a_post_closed_without_an_answer_is_not_repeated() {
    let (bad, well) = (closing(5), Origin::named("well"));
    let proxy = Proxy::before(&[&bad, &well], &[]);
    let mut client = proxy.client();
    request(&mut client, "POST", "hello");
    assert_eq!(client.response().status, 502);
    assert_eq!((bad.heads().len(), well.heads().len()), (1, 0));
}

#[test]
fn a_put_that_is_kept_whole_is_repeated_whole() {
    let (bad, well) = (closing(5), accepting(5));
    let proxy = Proxy::before(&[&bad, &well], &[]);
    let mut client = proxy.client();
    request(&mut client, "PUT", "hello");
    assert_eq!(client.response().text(), "hello");
    assert_eq!(bad.heads().len(), 1);
}

#[test]
fn a_put_that_is_not_kept_whole_is_not_repeated() {
    let (bad, well) = (closing(LARGE), Origin::named("well"));
    let proxy = Proxy::before(&[&bad, &well], &[]);
    let mut client = proxy.client();
    request(&mut client, "PUT", &"x".repeat(LARGE));
    assert_eq!(client.response().status, 502);
    assert_eq!((bad.heads().len(), well.heads().len()), (1, 0));
}

#[test]
fn a_get_on_a_stale_connection_goes_elsewhere() {
    let (stale, well) = (closing_when_reused(), Origin::named("well"));
    let proxy = Proxy::before(&[&stale, &well], &[]);
    let texts = [(); 3].map(|()| proxy.get("/").text());
    assert_eq!(texts, ["stale", "well", "well"]);
    assert_eq!((stale.heads().len(), stale.connections()), (2, 1));
}

#[test]
fn a_get_on_a_stale_connection_is_repeated_on_a_new_one() {
    let stale = closing_when_reused();
    let proxy = Proxy::before(&[&stale], &[]);
    assert_eq!([(); 4].map(|()| proxy.get("/").status), [200; 4]);
    assert_eq!((stale.heads().len(), stale.connections()), (7, 4));
}

#[test]
fn a_post_on_a_stale_connection_is_502_and_not_repeated() {
    let (stale, well) = (closing_when_reused(), Origin::named("well"));
    let proxy = Proxy::before(&[&stale, &well], &[]);
    proxy.get("/");
    proxy.get("/");
    let mut client = proxy.client();
    request(&mut client, "POST", "hello");
    assert_eq!(client.response().status, 502);
    let heads = [stale.heads(), well.heads()].concat();
    assert_eq!(heads.iter().filter(|head| head.starts_with("POST ")).count(), 1);
}

#[test]
fn stale_connections_are_not_counted_as_failures() {
    let stale = closing_when_reused();
    let well = Origin::named("well");
    let flags = ["--fail-timeout", "10m", "--max-fails", "1"];
    let proxy = Proxy::before(&[&stale, &well], &flags);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(proxy.attempts(0), 10);
}

/// Sends 200 GET requests, reconnecting when a connection is cut; returns how many responses were cut.
fn load(proxy: &Proxy, answered: &AtomicUsize) -> usize {
    let mut client = proxy.client();
    let mut cuts = 0;
    for _ in 0..200 {
        client.get("/");
        let response = client.response();
        assert_eq!(response.status, 200);
        if !response.whole {
            cuts += 1;
            client = proxy.client();
        }
        answered.fetch_add(1, Ordering::SeqCst);
    }
    client.stream.shutdown(Shutdown::Both).unwrap();
    cuts
}

#[test]
fn an_endpoint_killed_under_load_costs_no_answer_that_had_not_begun() {
    let (victim, well) = (Origin::named("victim"), Origin::named("well"));
    let proxy = Proxy::before(&[&victim, &well], &["--fail-timeout", "10m"]);
    let answered = AtomicUsize::new(0);
    let cuts: usize = thread::scope(|scope| {
        let loads = [(); 8].map(|()| scope.spawn(|| load(&proxy, &answered)));
        eventually("half of the load", || answered.load(Ordering::SeqCst) > 600);
        victim.stop();
        loads.map(|load| load.join().unwrap()).iter().sum()
    });
    assert_eq!(answered.load(Ordering::SeqCst), 1600);
    assert!(cuts <= 8, "{cuts}: more than were under way");
    assert!(!well.heads().is_empty() && !victim.heads().is_empty());
}
