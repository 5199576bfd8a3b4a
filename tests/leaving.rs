//! Clients that leave while nobody reads from them: noticed at once, blamed for it, and of no further
//! cost. Those that have only ended their direction are answered, but not for long.

use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::support::logged::{Logged, lines};
use crate::support::paused::{Endpoint, connect, context, is_open, rest, run, send, until};
use crate::support::{Client, HANG, Origin, Proxy, eventually, temporary};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const EVENT: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                     Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

/// An origin that says this on its first connection and no more, and tells when that has ended;
/// answers all others.
fn quiet(answer: &'static str) -> (Origin, Receiver<()>) {
    let (tell, ended) = sync_channel(1);
    let origin = Origin::start(move |mut conn| {
        if conn.index > 0 {
            return conn.answer_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        conn.head();
        conn.send(answer);
        conn.rest();
        let _ = tell.send(());
    });
    (origin, ended)
}

/// Has a client send this, be told `answer`, and reset its connection: the endpoint's ends too, and
/// the log says so.
fn is_noticed(request: &str, answer: &'static str, end: &str) {
    let (origin, ended) = quiet(answer);
    let logged = Logged::before(&[&origin], &["--max-fails", "1"]);
    let mut client = logged.client();
    client.send(request);
    eventually("it arrives", || origin.heads().len() == 1);
    assert_eq!(client.exactly(answer.len()).len(), answer.len());
    client.reset();
    assert_eq!(ended.recv_timeout(HANG), Ok(()), "{request:?}");
    assert_eq!(logged.line()["end"], json!(end), "{request:?}");
    assert_eq!(logged.proxy.get("/").text(), "ok");
}

#[test]
fn a_client_that_resets_while_its_answer_is_awaited_ends_the_attempt() {
    is_noticed(GET, "", "CA");
    is_noticed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "", "CA");
}

#[test]
fn a_client_that_resets_after_a_pipelined_request_is_noticed_too() {
    is_noticed(&GET.repeat(3), "", "CA");
}

#[test]
fn a_client_that_resets_while_its_answer_is_quiet_ends_the_attempt() {
    is_noticed(GET, EVENT, "CB");
    is_noticed(&GET.repeat(2), EVENT, "CB");
}

#[test]
fn a_client_that_resets_while_the_endpoint_takes_nothing_ends_the_attempt() {
    let (tell, go) = sync_channel::<()>(1);
    let go = Mutex::new(go);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        let _ = go.lock().unwrap().recv_timeout(HANG);
    });
    let logged = Logged::before(&[&origin], &[]);
    let mut client = logged.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n");
    client.send_until_stuck();
    client.reset();
    assert_eq!(logged.says(["status", "down", "end"]), [Value::Null, json!(0), json!("CQ")]);
    tell.send(()).unwrap();
}

/// An address where nobody answers: a listener whose queue is full.
fn unanswered() -> (SocketAddr, (Socket, TcpStream)) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let first = TcpStream::connect(address).unwrap();
    (address, (socket, first))
}

#[test]
fn a_client_that_resets_while_its_endpoint_is_connected_to_ends_the_attempt() {
    let (address, _held) = unanswered();
    let logged = Logged::start(&[&format!("--route=/={address}"), "--connect-timeout", "1h"]);
    let mut client = logged.client();
    client.send(GET);
    eventually("it has come", || logged.proxy.count(|m| &m.requests) == 1);
    client.reset();
    assert_eq!(logged.says(["status", "down", "end"]), [Value::Null, json!(0), json!("CN")]);
}

#[test]
fn an_endpoint_whose_answer_nobody_waits_for_is_reset() {
    let (ending, ended) = sync_channel(1);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        let _ = ending.send(conn.ends_by_reset());
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(GET);
    eventually("it arrives", || origin.heads().len() == 1);
    client.reset();
    assert_eq!(ended.recv_timeout(HANG), Ok(true), "an orderly close keeps a port for a minute");
}

#[test]
fn connections_of_clients_that_reset_are_free_at_once() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.rest();
    });
    let proxy = Proxy::before(&[&origin], &["--max-connections", "20"]);
    let clients: Vec<Client> = (0..20).map(|_| proxy.client()).collect();
    for mut client in clients {
        let before = origin.heads().len();
        client.send(GET);
        eventually("it arrives", || origin.heads().len() > before);
        client.reset();
    }
    // A path that breaks a rule is answered without the origin.
    assert_eq!(proxy.get("/../").status, 400);
    assert_eq!(proxy.drain(HANG), 0);
}

#[test]
fn a_client_of_a_relay_that_resets_while_its_endpoint_takes_nothing_ends_it() {
    let (tell, go) = sync_channel::<()>(1);
    let go = Mutex::new(go);
    let (ending, ended) = sync_channel(1);
    let origin = Origin::start(move |mut conn| {
        let _ = go.lock().unwrap().recv_timeout(HANG);
        let _ = ending.send(conn.ends_by_reset());
    });
    let (path, relay) = (temporary("access.log"), format!("127.0.0.1:0={}", origin.address));
    let log = ["--access-log-format", "json", "--access-log", path.to_str().unwrap()];
    let proxy = Proxy::start_words(&[&log[..], &["--tcp", &relay]].concat());
    let mut client = proxy.client();
    client.send_until_stuck();
    client.reset();
    assert_eq!(lines(&path, 1)[0]["end"], json!("CT"));
    tell.send(()).unwrap();
    assert_eq!(ended.recv_timeout(HANG), Ok(true));
}

#[test]
fn a_client_of_a_relay_that_resets_after_it_has_said_all_ends_it() {
    let (tell, told) = sync_channel(2);
    let origin = Origin::start(move |mut conn| {
        let _ = tell.send(conn.rest() == b"hello");
        // After a FIN a read goes on saying that there is no more, even if a reset follows.
        eventually("the reset arrives", || conn.stream.take_error().unwrap().is_some());
        let _ = tell.send(true);
    });
    let proxy = Proxy::start_words(&["--tcp", &format!("127.0.0.1:0={}", origin.address)]);
    let mut client = proxy.client();
    client.send("hello");
    client.finish();
    assert_eq!(told.recv_timeout(HANG), Ok(true));
    client.reset();
    assert_eq!(told.recv_timeout(HANG), Ok(true));
}

// Half-closes, on a paused clock.

const TICK: Duration = Duration::from_millis(10);

/// Reads a request, answers this, and says no more.
fn endpoint(name: &str, answer: &'static str) -> Endpoint {
    Endpoint::start(name, move |mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
        send(&mut stream, answer).await;
        rest(&mut stream).await;
    })
}

/// A client that has sent this and ended its direction, and when it did.
async fn finished(endpoint: &Endpoint, flags: &[&str], request: &str) -> (UnixStream, Instant) {
    let route = endpoint.route();
    let mut client = connect(&context(&[&[&*route], flags].concat()));
    send(&mut client, request).await;
    client.shutdown().await.unwrap();
    (client, Instant::now())
}

fn assert_passed(since: Instant, expected: Duration) {
    let passed = since.elapsed();
    assert!(passed >= expected && passed < expected + Duration::from_secs(1), "{passed:?}");
}

#[test]
fn a_client_that_half_closes_is_waited_with_for_5_s() {
    run(TICK, async {
        let endpoint = endpoint("mute", "");
        let (mut client, start) = finished(&endpoint, &[], GET).await;
        assert_eq!(rest(&mut client).await, "");
        assert_passed(start, Duration::from_secs(5));
    });
}

#[test]
fn the_wait_with_a_client_that_half_closes_is_as_long_as_the_flag_says() {
    for (limit, expected) in [("0", 0), ("2s", 2), ("10s", 10)] {
        run(TICK, async {
            let endpoint = endpoint("mute-for", "");
            let flags = ["--half-close-timeout", limit];
            let (mut client, start) = finished(&endpoint, &flags, GET).await;
            assert_eq!(rest(&mut client).await, "");
            assert_passed(start, Duration::from_secs(expected));
        });
    }
}

#[test]
fn a_quiet_body_of_a_client_that_half_closes_ends_after_5_s() {
    run(TICK, async {
        let endpoint = endpoint("quiet", EVENT);
        let (mut client, start) = finished(&endpoint, &[], GET).await;
        assert!(rest(&mut client).await.ends_with("hello\r\n"));
        assert_passed(start, Duration::from_secs(5));
    });
}

#[test]
fn an_answer_that_goes_on_is_sent_to_a_client_that_half_closes() {
    run(TICK, async {
        let endpoint = Endpoint::start("slow", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            let pieces = ["HTTP/1.1 103 A\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"];
            for piece in pieces.into_iter().chain(["o", "k"]) {
                sleep(Duration::from_secs(4)).await;
                send(&mut stream, piece).await;
            }
            rest(&mut stream).await;
        });
        let (mut client, start) = finished(&endpoint, &[], GET).await;
        assert!(rest(&mut client).await.ends_with("\r\n\r\nok"));
        assert_passed(start, Duration::from_secs(16));
    });
}

#[test]
fn each_request_before_a_half_close_has_its_wait() {
    run(TICK, async {
        let endpoint = Endpoint::start("four", |mut stream| async move {
            loop {
                until(&mut stream, "\r\n\r\n").await;
                sleep(Duration::from_secs(4)).await;
                send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        });
        let (mut client, start) = finished(&endpoint, &[], &GET.repeat(3)).await;
        assert_eq!(rest(&mut client).await.matches("\r\n\r\nok").count(), 3);
        assert_passed(start, Duration::from_secs(12));
    });
}

#[test]
fn a_client_that_leaves_is_not_held_against_the_endpoint() {
    run(TICK, async {
        let endpoint = endpoint("blameless", "");
        let context = context(&[&endpoint.route(), "--max-fails", "1"]);
        let mut client = connect(&context);
        send(&mut client, GET).await;
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, "");
        assert!(is_open(&context));
    });
}

#[test]
fn the_log_says_that_a_client_that_half_closed_has_left() {
    let (origin, ended) = quiet("");
    let logged = Logged::before(&[&origin], &["--half-close-timeout", "1ms"]);
    let mut client = logged.client();
    client.send(GET);
    client.finish();
    assert_eq!(logged.says(["status", "down", "end"]), [Value::Null, json!(0), json!("CA")]);
    assert_eq!(ended.recv_timeout(HANG), Ok(()));
}
