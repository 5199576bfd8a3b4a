//! Draining: requests in progress are finished, new connections refused, and the time is bounded.

use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::origin::ok;
use crate::support::{HANG, Origin, Proxy, eventually, paused};

/// An origin that answers each request when the test allows it.
pub fn gated() -> (Origin, Sender<()>) {
    #[expect(clippy::disallowed_methods, reason = "one message per test")]
    let (open, gate) = channel();
    let gate = Mutex::new(gate);
    let origin = Origin::start(move |mut conn| {
        while conn.head().is_some() {
            let _ = gate.lock().unwrap().recv_timeout(HANG);
            conn.send(ok("done"));
        }
    });
    (origin, open)
}

/// Starts a drain and waits until it has begun.
fn begin(proxy: Proxy) -> JoinHandle<usize> {
    let address = proxy.address;
    let draining = thread::spawn(move || proxy.drain(HANG));
    eventually("new connections are refused", || is_refused(address));
    draining
}

fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

#[test]
fn a_request_under_way_is_finished_and_its_connection_closed() {
    let (origin, open) = gated();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    eventually("the request is under way", || origin.heads().len() == 1);
    let draining = begin(proxy);
    open.send(()).unwrap();
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "done"));
    assert_eq!(response.field("Connection"), Some("close"));
    assert!(client.is_closed());
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn an_idle_connection_is_closed() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    assert_eq!(client.response().field("Connection"), None);
    let draining = begin(proxy);
    assert!(client.is_closed());
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn a_request_sent_on_an_idle_connection_as_the_drain_begins_is_answered() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    client.response();
    let draining = begin(proxy);
    client.get("/");
    let response = client.response();
    assert_eq!((response.status, response.field("Connection")), (200, Some("close")));
    assert!(client.is_closed());
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn connections_are_served_that_were_accepted_just_before_it() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut clients: Vec<_> = (0..16).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.get("/");
    }
    let draining = thread::spawn(move || proxy.drain(HANG));
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn a_session_counts_before_its_task_has_run() {
    paused::run(Duration::from_secs(1), async {
        let context = paused::context(&["--route", "/=127.0.0.1:1"]);
        let _client = paused::connect(&context);
        assert_eq!(context.drain.sessions(), 1);
    });
}

#[test]
fn generated_responses_have_connection_close_too() {
    let origin = Origin::named("a");
    let proxy = Proxy::start(&["--route", &format!("/a={}", origin.address)]);
    let mut client = proxy.client();
    client.get("/b");
    assert_eq!(client.response().field("Connection"), None);
    let draining = begin(proxy);
    client.get("/b");
    let response = client.response();
    assert_eq!((response.status, response.field("Connection")), (404, Some("close")));
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn new_connections_are_refused_after_it() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[&origin], &["--threads", "2"]);
    assert_eq!(proxy.get("/").status, 200);
    let address = proxy.address;
    assert_eq!(proxy.drain(HANG), 0);
    assert!(is_refused(address));
}

#[test]
fn a_request_that_does_not_end_is_cut_at_the_limit_and_counted() {
    let (origin, _open) = gated();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    eventually("the request is under way", || origin.heads().len() == 1);
    assert_eq!(proxy.drain(Duration::from_millis(50)), 1);
    assert!(client.is_closed());
}
