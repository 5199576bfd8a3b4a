//! Reloads that open and close listeners, or change their upstreams.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Client, Origin, Proxy, eventually};

fn to(pattern: &str, origin: &Origin) -> String {
    format!("--route={pattern}={}", origin.address)
}

fn text(client: &mut Client, path: &str) -> String {
    client.get(path);
    client.response().text()
}

#[test]
fn relays_go_where_they_did_when_routes_come_and_go() {
    let (http, raw) = (Origin::named("http"), Origin::named("raw"));
    let relay = format!("--tcp=127.0.0.1:0={}", raw.address);
    let mut proxy = Proxy::start(&[&to("/", &http), &relay]);
    let at = proxy.addresses()[1];
    let mut before = Client::connect(at);
    assert_eq!(text(&mut before, "/"), "raw");
    proxy.reload(&[&to("/", &http), &to("/a", &http), &to("/b", &http), &relay]).unwrap();
    assert_eq!(text(&mut Client::connect(at), "/"), "raw");
    assert_eq!(text(&mut before, "/"), "raw");
    assert_eq!(proxy.get("/b").text(), "http");
}

#[test]
fn listeners_come_and_go_and_their_connections_stay() {
    let origin = Origin::named("o");
    let route = to("/", &origin);
    let relay = format!("--tcp=127.0.0.2:0={}", origin.address);
    let mut proxy = Proxy::start(&[&route]);
    let changes = proxy.reload(&[&route, &relay]).unwrap();
    assert!(changes.iter().any(|change| change.starts_with("+ listen 127.0.0.2:0: TCP")));
    let at = proxy.addresses()[1];
    let mut client = Client::connect(at);
    assert_eq!(text(&mut client, "/"), "o");
    proxy.reload(&[&route]).unwrap();
    eventually("the listener is closed", || TcpStream::connect(at).is_err());
    assert_eq!(text(&mut client, "/"), "o");
}

#[test]
fn a_reload_that_cannot_bind_changes_nothing() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let somewhere_else = Origin::named("somewhere else");
    let mut proxy = Proxy::start(&[&to("/", &one)]);
    let taken = format!("--listen={}", somewhere_else.address);
    let refused = proxy.reload(&[&to("/", &two), &taken]).unwrap_err();
    assert!(refused.contains("is in use"), "{refused}");
    assert_eq!(proxy.get("/").text(), "one");
    let threads = proxy.reload(&[&to("/", &two), "--threads", "2"]).unwrap_err();
    assert!(threads.contains("a reload cannot change threads"), "{threads}");
    assert_eq!(proxy.get("/").text(), "one");
}

#[test]
fn connections_accepted_during_reloads_go_to_the_upstream_of_their_listener() {
    let (raw, other) = (Origin::named("raw"), Origin::named("other"));
    let relay = format!("--tcp=127.0.0.1:0={}", raw.address);
    let more = format!("--tcp=127.0.0.2:0={}", other.address);
    let http = to("/", &other);
    let mut proxy = Proxy::start(&[&http, &relay]);
    let (at, stop) = (proxy.addresses()[1], Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let asking = std::thread::spawn(move || {
        let mut count = 0;
        while !stopped.load(Ordering::SeqCst) {
            assert_eq!(text(&mut Client::connect(at), "/"), "raw");
            count += 1;
        }
        count
    });
    for _ in 0..50 {
        proxy.reload(&[&http, &to("/a", &other), &relay, &more]).unwrap();
        proxy.reload(&[&http, &relay]).unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    assert!(asking.join().unwrap() > 0);
}

#[test]
fn a_route_to_a_port_that_the_kernel_chose_for_a_listener_is_refused() {
    let origin = Origin::named("o");
    let mut proxy = Proxy::before(&[&origin], &[]);
    let looping = format!("--route=/={},{}", origin.address, proxy.address);
    let refused = proxy.reload(&[&looping]).unwrap_err();
    assert_eq!(refused, format!("{} is where this balancer listens itself", proxy.address));
    assert_eq!(proxy.get("/").text(), "o");
}
