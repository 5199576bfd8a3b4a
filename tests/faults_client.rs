//! Clients that leave midway, are slow, never end, or continue after a refusal.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::origin::ok;
use crate::support::paused::{Endpoint, connect, context, rest, run, send, until};
use crate::support::{Conn, Ending, HANG, Origin, Proxy, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sent where it must not be read as a request.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// The headers of a response too large for all socket buffers on the way together.
const HUGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n";

/// An origin whose first connection waits with its request until the test lets it go on, and reports
/// when it has ended; all others are answered normally.
fn watched(answer: impl Fn(&mut Conn) + Send + Sync + 'static) -> Watched {
    let ((go, gate), (tell, ended)) = (sync_channel::<()>(1), sync_channel(1));
    let gate = Mutex::new(gate);
    let origin = Origin::start(move |mut conn| {
        if conn.index > 0 {
            return conn.answer_all(&ok("well"));
        }
        conn.head();
        let _ = gate.lock().unwrap().recv_timeout(HANG);
        answer(&mut conn);
        let _ = tell.send(conn.rest());
    });
    Watched { origin, go, ended }
}

struct Watched {
    origin: Origin,
    go: SyncSender<()>,
    /// The last bytes received on the first connection, once it has ended.
    ended: Receiver<Vec<u8>>,
}

impl Watched {
    /// Asserts that the first connection has ended with these bytes, that the next client gets a new
    /// one, and that no session is left.
    fn is_over(&self, proxy: Proxy, last: &str) {
        assert_eq!(self.ended.recv_timeout(HANG).as_deref(), Ok(last.as_bytes()));
        assert_eq!(proxy.get("/").text(), "well");
        assert_eq!(self.origin.connections(), 2);
        assert_eq!(proxy.drain(HANG), 0);
    }
}

#[test]
fn a_client_that_leaves_in_its_upload_ends_the_upload_and_its_connection() {
    let rows = [
        ("Content-Length: 10\r\n", "", ""),
        ("Content-Length: 10\r\nExpect: 100-continue\r\n", "", ""),
        ("Content-Length: 10\r\n", "hello", "hello"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n9", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked\r\n", "a\r\nhello", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked\r\n", "0\r\nA: b\r\n", ""),
    ];
    for ((fields, sent, passed), ending) in rows.into_iter().flat_map(both) {
        let watched = watched(|_| {});
        let proxy = Proxy::before(&[&watched.origin], &["--max-fails", "1"]);
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{sent}"));
        eventually("it arrives", || watched.origin.heads().len() == 1);
        client.leave(ending);
        watched.go.send(()).unwrap();
        watched.is_over(proxy, passed);
    }
}

fn both<T: Copy>(row: T) -> [(T, Ending); 2] {
    Ending::BOTH.map(|ending| (row, ending))
}

#[test]
fn a_client_that_leaves_in_its_answer_ends_the_answer_and_its_connection() {
    for ending in Ending::BOTH {
        let watched = watched(|conn| {
            conn.send_without_end(HUGE, &"x".repeat(1 << 16));
        });
        let proxy = Proxy::before(&[&watched.origin], &["--max-fails", "1"]);
        let mut client = proxy.client();
        client.send(GET);
        watched.go.send(()).unwrap();
        client.exactly(1000);
        client.leave(ending);
        watched.is_over(proxy, "");
    }
}

#[test]
fn a_client_that_leaves_while_it_waits_is_noticed() {
    for ending in Ending::BOTH {
        let watched = watched(|conn| {
            conn.send_without_end(HUGE, &"x".repeat(1 << 16));
        });
        let proxy = Proxy::before(&[&watched.origin], &["--max-fails", "1"]);
        let mut client = proxy.client();
        client.send(GET);
        eventually("it arrives", || watched.origin.heads().len() == 1);
        client.leave(ending);
        watched.go.send(()).unwrap();
        watched.is_over(proxy, "");
    }
}

#[test]
fn a_client_that_leaves_within_its_head_reaches_no_endpoint() {
    let origin = Origin::named("well");
    let proxy = Proxy::before(&[&origin], &[]);
    for ending in Ending::BOTH {
        for count in 0..GET.len() {
            let mut client = proxy.client();
            client.send(&GET[..count]);
            client.leave(ending);
        }
    }
    assert_eq!(proxy.get("/").text(), "well");
    assert_eq!(proxy.drain(HANG), 0);
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn bytes_after_a_body_are_the_next_request() {
    let origin = Origin::echoing(5);
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloworld\r\n\r\n");
    assert_eq!((client.response().text().as_str(), client.response().status), ("hello", 400));
    assert!(client.is_closed());
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn complete_requests_before_the_end_are_answered_and_the_rest_is_not() {
    let origin = Origin::named("well");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(GET.repeat(20) + "GET / HTTP/1.1\r\nHost: a\r\n");
    client.finish();
    for _ in 0..20 {
        assert_eq!(client.response().text(), "well");
    }
    assert!(client.is_closed());
    assert_eq!(origin.heads().len(), 20);
}

#[test]
fn a_body_that_never_ends_is_refused() {
    let endless = |piece: &str| piece.repeat(1 << 18);
    let rows = [
        ("", endless("0")),
        ("5\r\nhello\r\n", endless("0")),
        ("5;a", endless("b")),
        ("0\r\n", endless("A: b\r\n")),
        ("5\r\nhello\r\n0\r\nA: ", endless("b")),
    ];
    let origin = Origin::start(|mut conn| while conn.head().is_some() {});
    let proxy = Proxy::before(&[&origin], &[]);
    for (start, piece) in rows {
        let mut client = proxy.client();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{start}{piece}"));
        assert_eq!(client.response().status, 400, "{start:?}");
        assert!(!client.is_reset(), "{start:?}");
    }
    assert_eq!(proxy.drain(HANG), 0);
}

/// Asserts that a request is refused with this status, and that nothing sent with it or later is
/// executed.
fn refused(flags: &[&str], request: &str, status: u16) {
    let origin = Origin::start(|mut conn| while conn.head().is_some() {});
    let route = format!("/up={}", origin.address);
    let proxy = Proxy::start(&[&["--route", &route], flags].concat());
    let mut client = proxy.client();
    client.send(request);
    let response = client.response();
    let shown = &request[..request.len().min(100)];
    assert_eq!((response.status, response.field("connection")), (status, Some("close")), "{shown}");
    client.send(NEXT.repeat(2));
    client.finish();
    assert!(client.is_closed(), "{shown}");
    drop(client);
    assert_eq!(proxy.drain(HANG), 0);
    let heads = origin.heads().concat();
    assert!(!heads.contains("next"), "{heads}");
}

#[test]
fn nothing_after_a_refused_head_is_executed() {
    let long = "x".repeat(20_000);
    let rows = [
        ("GET /up HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET /up HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n".to_owned(), 417),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 501),
        ("GET /up HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(), 505),
        (format!("GET /up?{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET /up HTTP/1.1\r\nHost: a\r\nA: {long}\r\n\r\n"), 431),
        (format!("GET /up HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(200)), 431),
    ];
    for (request, status) in rows {
        refused(&[], &(request + NEXT), status);
    }
}

#[test]
fn nothing_after_a_refused_body_is_executed() {
    let head = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n");
    for chunk in ["zz\r\n", "1\r\nab", "0\r\nHost: a\r\n\r\n", "1;=\r\na\r\n0\r\n\r\n"] {
        let body = format!("Transfer-Encoding: chunked\r\n\r\n{chunk}{NEXT}");
        for path in ["/up", "/nowhere"] {
            refused(&[], &(head(path) + &body), 400);
        }
    }
}

#[test]
fn nothing_after_a_404_before_its_body_is_executed() {
    let head = "POST /nowhere HTTP/1.1\r\nHost: a\r\n";
    refused(&[], &format!("{head}Content-Length: 999\r\n\r\n"), 404);
    refused(&[], &format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n"), 404);
}

#[test]
fn nothing_after_a_408_is_executed() {
    refused(&["--header-timeout", "50ms"], "GET /up HTTP/1.1\r\nHost: a\r\n", 408);
    let head = "POST /up HTTP/1.1\r\nHost: a\r\n";
    let flags = ["--idle-timeout", "50ms"];
    refused(&flags, &format!("{head}Content-Length: 999\r\n\r\nhello"), 408);
    refused(&flags, &format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello"), 408);
}

#[test]
fn a_request_after_a_404_with_all_of_its_body_is_executed() {
    let origin = Origin::named("next");
    let proxy = Proxy::start(&["--route", &format!("/next={}", origin.address)]);
    let mut client = proxy.client();
    let chunked = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{chunked}{NEXT}"));
    assert_eq!((client.response().status, client.response().text().as_str()), (404, "next"));
}

/// Sends `before`, then headers in pieces of `size` bytes every `pace` seconds, and asserts that this
/// times out after ten seconds.
fn drips(before: &str, size: usize, pace: u64) {
    run(Duration::from_millis(10), async {
        let endpoint = Endpoint::start("heads", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
            rest(&mut stream).await;
        });
        let mut client = connect(&context(&[&endpoint.route()]));
        send(&mut client, before).await;
        if before.len() > 2 {
            until(&mut client, "hi").await;
        }
        sleep(Duration::from_secs(5)).await;
        let (head, start) = (format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(200)), Instant::now());
        for piece in head.as_bytes().chunks(size) {
            if start.elapsed().as_secs() + pace >= 10 {
                break;
            }
            send(&mut client, std::str::from_utf8(piece).unwrap()).await;
            sleep(Duration::from_secs(pace)).await;
        }
        assert!(until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 408 "));
        assert_eq!(start.elapsed().as_secs(), 10, "{before:?} {size} {pace}");
    });
}

#[test]
fn a_head_that_drips_is_a_408_after_10_s_however_it_drips() {
    for (size, pace) in [(1, 1), (9, 4), (20, 1)] {
        drips("", size, pace);
        drips("\r\n", size, pace);
        drips(GET, size, pace);
        drips(&(GET.to_owned() + "\r\n"), size, pace);
    }
}
