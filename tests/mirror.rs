//! Requests that are copied for another upstream: what the copy is, and that nothing comes of it.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use evener::http::rules::mirror::MirrorOutcome::{
    self, Answered, Exempt, Failed, Incomplete, TooLong,
};

use crate::configured::proxy;
use crate::support::origin::{Conn, ok};
use crate::support::{Origin, Proxy, eventually, filler};

/// The balancer with this route to `app`, whose requests are copied to `shadow`.
pub fn before(app: &str, shadow: &str, keys: &str) -> Proxy {
    proxy(&format!(
        "threads: 1\nupstreams:\n  - {{name: app, endpoints: ['{app}']}}\n  - {{name: shadow, endpoints: \
         ['{shadow}'], max_fails: off}}\nroutes:\n  - {{prefix: /, upstream: app, {keys}}}\n"
    ))
}

/// How often a copy has come to this.
pub fn count(proxy: &Proxy, outcome: MirrorOutcome) -> u64 {
    proxy.count(|metrics| &metrics.mirrors[outcome as usize])
}

/// Waits until so many copies have come to this.
pub fn comes_to(proxy: &Proxy, outcome: MirrorOutcome, expected: u64) {
    eventually(&format!("{outcome:?} is {expected}"), || count(proxy, outcome) == expected);
}

/// An origin that tells of each request: its head and its body.
pub fn telling() -> (Origin, Receiver<(String, Vec<u8>)>) {
    let (told, heard) = sync_channel(16);
    let told = Mutex::new(told);
    let origin = Origin::start(move |mut conn| {
        while let Some(head) = conn.head() {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let body = conn.bytes(length.map_or(0, |length| length.parse().unwrap())).unwrap();
            told.lock().unwrap().send((head, body)).unwrap();
            conn.send(ok("shadow"));
        }
    });
    (origin, heard)
}

/// Reads requests with a body of this length, and answers `app`.
fn reading(length: usize) -> Origin {
    Origin::start(move |mut conn| {
        while conn.head().is_some() {
            conn.bytes(length).unwrap();
            conn.send(ok("app"));
        }
    })
}

/// Answers a request, and closes its connection amid the answer.
fn cut(mut conn: Conn) {
    conn.head();
    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
    conn.close();
}

pub const MIRROR: &str = "mirror: {upstream: shadow}";

#[test]
fn a_copy_is_edited_like_the_request_and_says_what_it_is() {
    let (app, (shadow, copies)) = (Origin::named("app"), telling());
    let keys = format!(
        "{MIRROR}, replace_prefix: /v2, host_header: inner, request_headers: {{set: {{X-A: '{{path}}'}}, \
         remove: [X-B]}}"
    );
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), &keys);
    let answer = proxy.ask("GET /a HTTP/1.1\r\nHost: x\r\nX-B: secret\r\nX-C: c\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "app"));
    let (copy, _) = copies.recv().unwrap();
    let original = &app.heads()[0];
    assert_eq!(copy.replace("X-Mirror: 1\r\n", ""), *original);
    assert_ne!(copy, *original);
    comes_to(&proxy, Answered, 1);
}

#[test]
fn a_copy_has_the_body_whole_however_it_came() {
    let (app, (shadow, copies)) = (
        Origin::start(|mut conn| {
            conn.head();
            assert_eq!(conn.chunks().unwrap(), b"abcdefg");
            conn.send(ok("app"));
        }),
        telling(),
    );
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), MIRROR);
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    client.send("3\r\nabc\r\n4\r\nde");
    assert_eq!(count(&proxy, Answered), 0);
    client.send("fg\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "app");
    let (head, body) = copies.recv().unwrap();
    assert_eq!(body, b"abcdefg");
    assert!(!head.contains("Expect") && !head.contains("Transfer-Encoding"), "{head}");
}

#[test]
fn bodies_are_copied_up_to_64_kib() {
    let (shadow, copies) = telling();
    for (length, outcome) in [(64 * 1024, Answered), (64 * 1024 + 1, TooLong)] {
        let app = reading(length);
        let proxy = before(&app.address.to_string(), &shadow.address.to_string(), MIRROR);
        let body = filler(length);
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
        client.send(&body);
        assert_eq!(client.response().text(), "app");
        comes_to(&proxy, outcome, 1);
        assert_eq!(
            copies.try_recv().ok().map(|(_, copied)| copied == body),
            (outcome == Answered).then_some(true)
        );
    }
}

#[test]
fn chunks_beyond_64_kib_go_on_and_are_not_copied() {
    let (app, shadow) = (
        Origin::start(|mut conn| {
            conn.head();
            let length = conn.chunks().unwrap().len();
            conn.send(ok(&length.to_string()));
        }),
        Origin::named("shadow"),
    );
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), MIRROR);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..5 {
        client.send(format!("4000\r\n{}\r\n", "x".repeat(0x4000)));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "81920");
    comes_to(&proxy, TooLong, 1);
    assert!(shadow.heads().is_empty());
}

#[test]
fn a_request_that_does_not_come_whole_is_not_copied() {
    let (app, shadow) = (reading(5), Origin::named("shadow"));
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), MIRROR);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    eventually("it is on its way", || !app.heads().is_empty());
    assert_eq!(proxy.count(|metrics| &metrics.copies_begun), 1);
    assert_eq!(proxy.count(|metrics| &metrics.copies_ended), 0);
    client.reset();
    comes_to(&proxy, Incomplete, 1);
    eventually("its room is free", || proxy.count(|metrics| &metrics.copies_ended) == 1);
    assert!(shadow.heads().is_empty());
}

#[test]
fn a_share_of_the_requests_is_copied() {
    let (app, shadow) = (Origin::named("app"), Origin::named("shadow"));
    for (percent, some) in [("0", false), ("50", true)] {
        let keys = format!("mirror: {{upstream: shadow, percent: {percent}}}");
        let proxy = before(&app.address.to_string(), &shadow.address.to_string(), &keys);
        let mut client = proxy.client();
        (0..100)
            .for_each(|_| assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").status, 200));
        eventually("copies end", || (20..80).contains(&count(&proxy, Answered)) == some);
    }
}

#[test]
fn copies_of_copies_and_upgrades_are_not_copied() {
    let (app, shadow) = (Origin::named("app"), Origin::named("shadow"));
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), MIRROR);
    for lines in ["X-Mirror: 1", "Upgrade: x\r\nConnection: upgrade"] {
        proxy.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n"));
    }
    comes_to(&proxy, Exempt, 2);
    assert!(shadow.heads().is_empty());
}

#[test]
fn a_loop_ends_though_a_route_removes_what_copies_are_known_by() {
    let (app, (shadow, copies)) = (Origin::named("app"), telling());
    let keys = format!("{MIRROR}, request_headers: {{remove: [X-Mirror]}}");
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), &keys);
    proxy.ask("GET / HTTP/1.1\r\nHost: x\r\nX-Mirror: 1\r\n\r\n");
    comes_to(&proxy, Exempt, 1);
    proxy.get("/");
    assert!(copies.recv().unwrap().0.contains("X-Mirror: 1"));
}

#[test]
fn copies_share_connections() {
    let (app, (shadow, copies)) = (Origin::named("app"), telling());
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), MIRROR);
    for nth in 1..=3 {
        assert_eq!(proxy.get("/").text(), "app");
        copies.recv().unwrap();
        comes_to(&proxy, Answered, nth);
    }
    assert_eq!(shadow.connections(), 1);
}

#[test]
fn a_copy_goes_over_a_new_connection_if_an_idle_one_has_ended() {
    let (app, shadow) = (
        Origin::named("app"),
        Origin::start(|mut conn| {
            // Says that it stays, and then leaves when it is asked again.
            conn.head();
            conn.send(ok("shadow"));
            if conn.index == 0 {
                conn.head();
                return conn.close();
            }
            conn.rest();
        }),
    );
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), MIRROR);
    for nth in 1..=2 {
        assert_eq!(proxy.get("/").text(), "app");
        comes_to(&proxy, Answered, nth);
    }
    assert_eq!(shadow.connections(), 2);
}

#[test]
fn an_answer_to_a_copy_may_be_long_malformed_or_missing() {
    let long =
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", &[b'x'; 3 << 20][..]].concat();
    let rows = [
        (Origin::answering(long), Answered),
        (Origin::start(cut), Answered),
        (
            Origin::answering(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
            ),
            Answered,
        ),
        (Origin::answering("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Failed),
        (Origin::answering("nonsense\r\n\r\n"), Failed),
        (Origin::refusing(), Failed),
        (Origin::start(Conn::reset), Failed),
        (Origin::start(Conn::close), Failed),
    ];
    for (shadow, outcome) in rows {
        let app = Origin::named("app");
        let proxy = before(&app.address.to_string(), &shadow.address.to_string(), MIRROR);
        assert_eq!(proxy.get("/").text(), "app");
        comes_to(&proxy, outcome, 1);
        assert_eq!(proxy.count(|metrics| &metrics.retries), 0);
    }
}

#[test]
fn answers_of_our_own_are_not_copied() {
    let (app, shadow) = (Origin::named("app"), Origin::named("shadow"));
    let keys = format!("{MIRROR}, deny: [127.0.0.1]");
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), &keys);
    assert_eq!(proxy.get("/").status, 403);
    assert!(MirrorOutcome::ALL.into_iter().all(|outcome| count(&proxy, outcome) == 0));
}
