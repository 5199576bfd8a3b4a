//! The memory cost of connections, of requests that wait, and of endpoints.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::iter;
use std::net::SocketAddr;
use std::time::Duration;

use evener::buffer::Buffer;
use evener::metrics::EndpointMetrics;
use evener::net::pool::Pool;
use evener::session::client_info::ClientInfo;
use evener::session::h1;
use evener::session::parking::Wait;
use evener::upstream::endpoint::{Endpoint, EndpointRecord};
use socket2::{Domain, Socket, Type};
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::support::h2::{RawClient, setting};
use crate::support::origin::ok_head;
use crate::support::paused::{accepted, connect, context, run, send};
use crate::support::{Client, Origin, Process, eventually};

/// The state of a session between two requests: with what tokio adds to it, 104 bytes, it fills the 256 that are
/// allocated for its task. What the reactor keeps takes as much again.
const SESSION_BYTES_MAX: usize = 152;

#[test]
fn a_parked_session_is_small() {
    run(Duration::from_secs(1), async {
        let context = context(&["--route", "/=127.0.0.1:1"]);
        let (stream, _client) = UnixStream::pair().unwrap();
        let (accepted, client_info) = (accepted(&context, stream), ClientInfo::direct(None));
        let session = h1::serve(accepted, client_info, iter::empty(), Wait::First);
        let bytes = size_of_val(&session);
        assert!(bytes <= SESSION_BYTES_MAX, "{bytes} bytes, where {SESSION_BYTES_MAX} are allowed");
    });
}

/// The most memory that a client that does not read its response may cost, in KiB.
const SLOW_READER_KIB_MAX: usize = 272;

#[test]
fn a_client_that_does_not_read_costs_bounded_memory() {
    let lengthy = String::from_utf8(ok_head(100_000_000)).unwrap();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for head in [lengthy, chunked] {
        let each = cost_of_slow_readers(head.clone()) / SLOW_READERS;
        assert!(each <= SLOW_READER_KIB_MAX, "{each} KiB each: {head}");
    }
}

/// The memory that [`SLOW_READERS`] cost in KiB if they are sent `head` and endless chunks. The first few
/// are not counted: with them the process touches the code and the tables that it needs only once.
fn cost_of_slow_readers(head: String) -> usize {
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send_without_end(&head, &chunk);
    });
    let proxy = Process::start(&[
        "--listen",
        "127.0.0.1:0",
        "--threads",
        "1",
        "--route",
        &format!("/={}", origin.address),
    ]);
    let _first = slow_readers(&proxy, &origin, 8);
    let before = settled_kib(&proxy);
    let _clients = slow_readers(&proxy, &origin, SLOW_READERS);
    settled_kib(&proxy).saturating_sub(before)
}

const SLOW_READERS: usize = 64;

/// Clients that send a request and read nothing, each of which is being answered.
fn slow_readers(proxy: &Process, origin: &Origin, count: usize) -> Vec<Client> {
    let others = origin.heads().len();
    let clients = asking(proxy, count);
    eventually("all are being answered", || origin.heads().len() == others + count);
    clients
}

/// The most memory that a stream may cost whose client gives it no credit, in KiB: a first read of the answer,
/// and what the stream and its request need.
const STALLED_STREAM_KIB_MAX: usize = 32;

#[test]
fn a_stream_that_is_given_no_credit_costs_bounded_memory() {
    let length = String::from_utf8(ok_head(100_000_000)).unwrap();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for head in [length, chunked] {
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
        let origin = Origin::start({
            let head = head.clone();
            move |mut conn| {
                conn.head();
                conn.send_without_end(&head, &chunk);
            }
        });
        let route = format!("--route=/={}", origin.address);
        let proxy = Process::start(&["--listen=127.0.0.1:0", "--threads=1", "--check=off", &route]);
        let stalled = |count: u32| {
            let others = origin.heads().len();
            let mut client =
                RawClient::connect_with(proxy.address(), &[(setting::INITIAL_WINDOW_SIZE, 0)]);
            (0..count).for_each(|stream| client.get(2 * stream + 1, "/"));
            (0..count).for_each(|stream| drop(client.section(2 * stream + 1)));
            assert_eq!(origin.heads().len(), others + count as usize);
            (settled_kib(&proxy), client)
        };
        let (before, _first) = stalled(8);
        let (after, _clients) = stalled(100);
        let each = after.saturating_sub(before) / 100;
        assert!(each <= STALLED_STREAM_KIB_MAX, "{each} KiB each: {head}");
    }
}

#[test]
fn a_request_that_waits_for_a_connection_holds_no_block() {
    let endpoint = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    endpoint.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    // The kernel accepts one connection, and none after it.
    endpoint.listen(0).unwrap();
    let address = endpoint.local_addr().unwrap().as_socket().unwrap();
    let _accepted = Client::connect(address);
    let route = format!("--route=/={address}");
    run(Duration::from_millis(1), async {
        let context = context(&[&route, "--connect-timeout=1h"]);
        let mut client = connect(&context);
        let before = spare_blocks();
        send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        while context.metrics.requests.get() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(spare_blocks(), before);
    });
}

/// The most memory that an endpoint may cost with two threads, in bytes, whatever its upstream does: 1750 when
/// measured, with what is left over of reading the configuration.
const ENDPOINT_BYTES_MAX: usize = 3072;

#[test]
fn an_endpoint_costs_bounded_memory() {
    // Those that know most of each.
    for policy in ["least_time", "hash"] {
        let of = |count: usize| {
            let endpoints: Vec<_> = (0..count).map(|index| format!("unix:/none/{index}")).collect();
            let route = format!("--route=/={}", endpoints.join(","));
            let process = Process::start(&[
                "--listen=127.0.0.1:0",
                "--threads=2",
                "--check=off",
                "--sticky=a",
                "--max-requests=1",
                "--policy",
                policy,
                &route,
            ]);
            process.address();
            settled_kib(&process)
        };
        let each = of(2010).saturating_sub(of(10)) * 1024 / 2000;
        assert!(each <= ENDPOINT_BYTES_MAX, "{each} bytes each: {policy}");
    }
}

/// What is known of an endpoint, whatever the number of threads: 584 bytes when measured, of which some 250 are there
/// so that what several threads change has cache lines of its own.
const ENDPOINT_SHARED_BYTES_MAX: usize = 600;

/// What each thread has of it besides, without its policy: its counters and its pool, 256 bytes when
/// measured.
const ENDPOINT_THREAD_BYTES_MAX: usize = 256;

#[test]
fn an_endpoint_is_small() {
    let shared = size_of::<Endpoint>() + size_of::<EndpointRecord>();
    assert!(shared <= ENDPOINT_SHARED_BYTES_MAX, "{shared} bytes");
    let of_thread = size_of::<EndpointMetrics>() + size_of::<RefCell<Pool>>();
    assert!(of_thread <= ENDPOINT_THREAD_BYTES_MAX, "{of_thread} bytes");
}

/// The most memory that a request may cost that waits for room at an endpoint, with its connection, in KiB: 7 when
/// measured, of which one is the connection.
const QUEUED_KIB_MAX: usize = 12;

#[test]
fn a_request_that_waits_for_room_costs_bounded_memory() {
    let origin = Origin::start(|mut conn| drop(conn.rest()));
    let route = format!("--route=/={}", origin.address);
    let proxy = Process::start(&[
        "--listen=127.0.0.1:0",
        "--threads=1",
        "--check=off",
        "--max-requests=1",
        "--queue-timeout=1h",
        "--response-timeout=1h",
        &route,
    ]);
    let waiting = |count: usize| {
        let clients = asking(&proxy, count);
        (settled_kib(&proxy), clients)
    };
    let (before, _first) = waiting(8);
    let (after, _clients) = waiting(200);
    let each = after.saturating_sub(before) / 200;
    assert!(each <= QUEUED_KIB_MAX, "{each} KiB each");
}

/// So many clients, each of which has sent a request.
fn asking(proxy: &Process, count: usize) -> Vec<Client> {
    let client = |_| {
        let mut client = proxy.client();
        client.get("/");
        client
    };
    (0..count).map(client).collect()
}

/// Where the blocks are that this thread would fill next: two, as many as a request has at a time until it is
/// on its way.
fn spare_blocks() -> BTreeSet<usize> {
    let mut blocks = [Buffer::new(), Buffer::new()];
    blocks.each_mut().map(|block| block.spare_mut().as_ptr().addr()).into()
}

/// The memory of a process once it stops growing, in KiB, without the pages of its binary.
pub fn settled_kib(process: &Process) -> usize {
    let mut last = 0;
    eventually("the memory stops growing", || {
        let now = anonymous_kib(process);
        std::thread::sleep(Duration::from_millis(200));
        std::mem::replace(&mut last, now) == now
    });
    last
}

fn anonymous_kib(process: &Process) -> usize {
    let status = read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse().unwrap()
}
