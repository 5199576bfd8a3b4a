//! Bugs that a reviewer once found.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::origin::ok;
use crate::support::paused::{Endpoint, connect, context, is_open, rest, run, send, until};
use crate::support::process::Process;
use crate::support::{Origin, Proxy, eventually, filler, socket_path};

#[test]
fn an_unframed_response_cut_by_the_drain_limit_is_reset() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send("HTTP/1.1 200 OK\r\nDate: a\r\n\r\npart");
        conn.rest();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    let head = "HTTP/1.1 200 OK\r\nDate: a\r\nConnection: close\r\n\r\npart";
    assert_eq!(client.exactly(head.len()), head.as_bytes());
    proxy.drain(Duration::ZERO);
    assert!(client.is_reset());
}

#[test]
fn an_empty_line_after_a_request_does_not_start_a_head() {
    let origin = Origin::named("a");
    let flags = ["--header-timeout", "50ms", "--keepalive-timeout", "20s"];
    let proxy = Proxy::before(&[&origin], &flags);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n");
    assert_eq!(client.response().status, 200);
    // Longer than the header timeout: if it applied, the next response would be a 408.
    std::thread::sleep(Duration::from_millis(200));
    client.get("/");
    assert_eq!(client.response().text(), "a");
    assert_eq!(proxy.count(|metrics| &metrics.head_timeouts), 0);
}

#[test]
fn an_early_answer_goes_on_when_its_client_stops_sending() {
    let (release, released) = sync_channel(1);
    let released = Mutex::new(released);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send("HTTP/1.1 413 A\r\nDate: a\r\nContent-Length: 10\r\n\r\nhello");
        released.lock().unwrap().recv().unwrap();
        conn.send("world");
    });
    let proxy = Proxy::start(&["--route", &format!("/up={}", origin.address)]);
    let mut client = proxy.client();
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\nab");
    let head = "HTTP/1.1 413 A\r\nDate: a\r\nContent-Length: 10\r\nConnection: close\r\n\r\n";
    client.exactly(head.len() + 5);
    client.finish();
    // The FIN has arrived once a request sent after it is answered.
    assert_eq!(proxy.get("/nope").status, 404);
    release.send(()).unwrap();
    assert_eq!(client.rest(), b"world");
}

/// An origin that opens a tunnel, and a channel that reports whether it ended with a reset.
fn tunnelling() -> (Origin, Receiver<bool>) {
    let (sender, ended_by_reset) = sync_channel(1);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send("HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
        let _ = sender.send(conn.ends_by_reset());
    });
    (origin, ended_by_reset)
}

#[test]
fn a_reset_of_the_client_resets_the_tunnel_to_its_end() {
    let (origin, ended_by_reset) = tunnelling();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.response().status, 101);
    client.reset();
    assert!(ended_by_reset.recv().unwrap());
}

/// A buffer filled to its last byte once looked like the end of the connection.
#[test]
fn bodies_of_about_the_size_of_a_block_pass() {
    for size in [65_535, 65_536, 65_537, 131_072] {
        let origin = Origin::echoing(size);
        let proxy = Proxy::before(&[&origin], &[]);
        let body = filler(size);
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        client.send(&body);
        assert!(client.response().body == body, "{size}");
    }
}

#[test]
fn a_tunnel_cut_by_the_drain_limit_is_reset_on_both_sides() {
    let (origin, ended_by_reset) = tunnelling();
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.response().status, 101);
    // The tunnel is open once the 101 is counted.
    eventually("the tunnel is open", || proxy.count(|metrics| &metrics.responses[1]) == 1);
    proxy.drain(Duration::ZERO);
    assert!(client.is_reset());
    assert!(ended_by_reset.recv().unwrap());
}

#[test]
fn a_malformed_response_is_not_counted_as_a_failure() {
    run(Duration::from_millis(100), async {
        let endpoint = Endpoint::start("odd", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            send(&mut stream, "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n").await;
            rest(&mut stream).await;
        });
        let context = context(&[&endpoint.route(), "--max-fails", "1"]);
        let mut client = connect(&context);
        send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 502 "));
        assert!(is_open(&context));
    });
}

#[test]
fn empty_lines_do_not_make_a_new_client_less_idle() {
    run(Duration::from_millis(100), async {
        let (mut client, start) = (connect(&context(&["--route=/=unix:/x"])), Instant::now());
        for _ in 0..3 {
            send(&mut client, "\r\n").await;
            sleep(Duration::from_secs(3)).await;
        }
        assert_eq!(rest(&mut client).await, "");
        assert_eq!(start.elapsed().as_secs(), 10);
    });
}

/// At the end of its drain, a process once removed the socket that its successor had bound meanwhile.
#[test]
fn a_draining_process_leaves_its_successors_socket_alone() {
    let (release, released) = sync_channel(1);
    let released = Mutex::new(released);
    let origin = Origin::start(move |mut conn| {
        // A health check sends no request.
        if conn.head().is_some() {
            released.lock().unwrap().recv().unwrap();
            conn.send(ok("late"));
        }
    });
    let path = socket_path("handed-on");
    let (listen, route) = (format!("unix:{}", path.display()), format!("/={}", origin.address));
    let words = ["--listen", listen.as_str(), "--route", route.as_str()];
    let first = Process::start(&words);
    first.announces("listening on ");
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually("the request has arrived", || origin.heads().len() == 1);
    first.signal("TERM");
    eventually("the socket is gone", || !path.exists());
    let second = Process::start(&words);
    second.announces("listening on ");
    release.send(()).unwrap();
    assert_eq!(first.end().0, Some(0));
    assert!(path.exists());
}

/// The kernel reports a reset only once: after the upload had received it, the response once saw an
/// orderly end.
#[test]
fn a_reset_seen_by_the_upload_resets_the_client() {
    let (release, released) = sync_channel(1);
    let released = Mutex::new(released);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send("HTTP/1.1 200 OK\r\n\r\npart");
        released.lock().unwrap().recv().unwrap();
        conn.reset();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n");
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart";
    client.exactly(head.len());
    client.send_until_stuck();
    release.send(()).unwrap();
    assert!(client.is_reset());
}

#[test]
fn a_slow_response_head_does_not_keep_a_stalled_request_alive() {
    run(Duration::from_millis(100), async {
        let endpoint = Endpoint::start("drips", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            send(&mut stream, "HTTP/1.1 200 OK\r\nA: ").await;
            for _ in 0..600 {
                send(&mut stream, "b").await;
                sleep(Duration::from_secs(1)).await;
            }
        });
        let (mut client, start) = (connect(&context(&[&endpoint.route()])), Instant::now());
        send(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab").await;
        assert!(until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 408 "));
        assert_eq!(start.elapsed().as_secs(), 60);
    });
}
