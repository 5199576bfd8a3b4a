//! The memory cost of clients that send nothing, or not all of what they begin.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

use crate::footprint::settled_kib;
use crate::support::{Client, Process};

/// The most memory that a client that rests may cost, in bytes: 562 when measured with 8000 of them. A timer for each
/// would be 112 more.
const IDLE_BYTES_MAX: usize = 640;

#[test]
fn an_idle_client_costs_no_more_than_its_task_and_what_the_reactor_keeps() {
    let words = ["--listen=127.0.0.1:0", "--threads=1", "--check=off", "--header-timeout=1h"];
    let proxy = Process::start(&[&words[..], &["--route=/=127.0.0.1:1"]].concat());
    let (before, _first) = unfinished(&proxy, proxy.address(), "", 100);
    let (after, _more) = unfinished(&proxy, proxy.address(), "", 400);
    let each = after.saturating_sub(before) * 1024 / 400;
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes each");
}

/// The most memory that a client may cost that begins something and does not go on, in bytes: 1016 when
/// measured for the head of a request, and some 5 KiB without optimisation for a `ClientHello`.
const UNFINISHED_HEAD_BYTES_MAX: usize = 3 * 1024;
const UNFINISHED_HELLO_BYTES_MAX: usize = 16 * 1024;

#[test]
fn a_client_that_does_not_finish_a_head_costs_little() {
    let words = ["--listen=127.0.0.1:0", "--threads=1", "--check=off", "--header-timeout=1h"];
    let proxy = Process::start(&[&words[..], &["--route=/=127.0.0.1:1"]].concat());
    let at = proxy.address();
    for bytes in ["G", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
        let each = cost_of_unfinished(&proxy, at, bytes);
        assert!(each <= UNFINISHED_HEAD_BYTES_MAX, "{each} bytes each: {bytes:?}");
    }
}

/// The same of a body, with the connection to its endpoint, in bytes: 4069 when measured with 2000 of them, of which the
/// work on the request is 2560. A little more of that would be 512 more.
const UNFINISHED_BODY_BYTES_MAX: usize = 4500;

#[test]
fn a_client_that_does_not_finish_a_body_costs_little() {
    let endpoint = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    endpoint.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    // The kernel accepts all connections.
    endpoint.listen(1024).unwrap();
    let route = format!("--route=/={}", endpoint.local_addr().unwrap().as_socket().unwrap());
    let words = ["--listen=127.0.0.1:0", "--threads=1", "--check=off", "--idle-timeout=1h"];
    let proxy = Process::start(&[&words[..], &[&route]].concat());
    let bytes = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx";
    let each = cost_of_unfinished(&proxy, proxy.address(), bytes);
    assert!(each <= UNFINISHED_BODY_BYTES_MAX, "{each} bytes each");
}

#[test]
fn a_client_that_does_not_finish_its_hello_costs_little() {
    let relay = "--tcp=127.0.0.1:0,sni=a.example=127.0.0.1:1";
    let words = [relay, "--threads=1", "--check=off", "--handshake-timeout=1h"];
    let proxy = Process::start(&words);
    let at = proxy.announces("listening on ").parse().unwrap();
    let each = cost_of_unfinished(&proxy, at, "\x16");
    assert!(each <= UNFINISHED_HELLO_BYTES_MAX, "{each} bytes each");
}

/// What each of many clients costs in bytes that sends `bytes` and no more.
fn cost_of_unfinished(proxy: &Process, at: SocketAddr, bytes: &str) -> usize {
    // Blocks that the first ones have used are not as cheap as new ones.
    drop(unfinished(proxy, at, bytes, 200));
    let (before, _clients) = unfinished(proxy, at, bytes, 8);
    let (after, _more) = unfinished(proxy, at, bytes, 200);
    after.saturating_sub(before) * 1024 / 200
}

/// The memory with so many clients more that send `bytes` and no more.
fn unfinished(proxy: &Process, at: SocketAddr, bytes: &str, count: usize) -> (usize, Vec<Client>) {
    let client = |_| {
        let mut client = Client::connect(at);
        client.send(bytes);
        client
    };
    let clients: Vec<Client> = (0..count).map(client).collect();
    (settled_kib(proxy), clients)
}
