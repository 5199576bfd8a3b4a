//! Endpoints that disconnect before they answer, or that send too much, too early or without end.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evener::reject::Reject;
use tokio::time::{Instant, sleep};

use crate::support::origin::ok;
use crate::support::paused::{self, connect, context, rest, run, send, until};
use crate::support::{CheckVerdict, Conn, Ending, HANG, Origin, Proxy};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

/// How many bytes of a request an endpoint reads before it disconnects; the last means the whole head.
const STAGES: [usize; 4] = [0, 1, 20, usize::MAX];

/// Every combination of ending and stage.
fn ends() -> impl Iterator<Item = (Ending, usize)> {
    Ending::BOTH.into_iter().flat_map(|ending| STAGES.map(|stage| (ending, stage)))
}

/// Reads `stage` bytes of a request on its first connection, after another request if `used`, and ends
/// it without an answer; answers normally on all others.
fn dying(used: bool, stage: usize, ending: Ending) -> Origin {
    Origin::start(move |mut conn| {
        if conn.index > 0 {
            return conn.answer_all(&ok("well"));
        }
        if used {
            conn.head();
            conn.send(ok("first"));
        }
        if stage == usize::MAX {
            conn.head();
        } else {
            let _ = std::io::Read::read_exact(&mut conn.stream, &mut vec![0; stage]);
        }
        conn.leave(ending);
    })
}

#[test]
fn a_get_goes_elsewhere_wherever_its_endpoint_ended() {
    for (ending, stage) in ends() {
        let (bad, good) = (dying(false, stage, ending), Origin::named("good"));
        let proxy = Proxy::before(&[&bad, &good], &[]);
        assert_eq!(proxy.get("/").text(), "good", "{ending:?} {stage}");
    }
}

#[test]
fn a_get_with_one_endpoint_is_a_502_wherever_that_ended_and_the_next_is_served() {
    for (ending, stage) in ends() {
        let origin = dying(false, stage, ending);
        let proxy = Proxy::before(&[&origin], &[]);
        assert_eq!(proxy.get("/").status, 502, "{ending:?} {stage}");
        assert_eq!(proxy.get("/").text(), "well", "{ending:?} {stage}");
    }
}

#[test]
fn a_get_on_a_used_connection_gets_a_new_one_wherever_that_ended() {
    for (ending, stage) in ends() {
        let origin = dying(true, stage, ending);
        let proxy = Proxy::before(&[&origin], &["--max-fails", "1"]);
        let texts = [proxy.get("/").text(), proxy.get("/").text()];
        assert_eq!(texts, ["first", "well"], "{ending:?} {stage}");
        assert_eq!(origin.connections(), 2, "{ending:?} {stage}");
    }
}

#[test]
fn a_post_is_not_sent_again_wherever_its_endpoint_ended() {
    for (ending, stage) in ends().filter(|(_, stage)| *stage > 0) {
        for used in [false, true] {
            let (bad, good) = (dying(used, stage, ending), Origin::named("good"));
            let proxy = Proxy::before(&[&bad, &good], &[]);
            if used {
                assert_eq!([(); 2].map(|()| proxy.get("/").text()), ["first", "good"]);
            }
            assert_eq!(proxy.ask(POST).status, 502, "{ending:?} {stage} {used}");
            assert!(!good.heads().concat().contains("POST"), "{ending:?} {stage} {used}");
        }
    }
}

#[test]
fn a_post_that_meets_the_end_of_its_connection_is_executed_once_or_not_at_all() {
    for ending in Ending::BOTH {
        let done = Arc::new(Mutex::new(0));
        let doing = Arc::clone(&done);
        let origin = Origin::start(move |mut conn| {
            if conn.head().is_some() && conn.bytes(5).is_some() {
                *doing.lock().unwrap() += 1;
                conn.send(ok("done"));
                // The next request may be on its way already.
                conn.leave(ending);
            }
        });
        let proxy = Proxy::before(&[&origin], &["--max-fails", "255"]);
        for _ in 0..100 {
            let before = *done.lock().unwrap();
            let status = proxy.ask(POST).status;
            let times = *done.lock().unwrap() - before;
            assert!(matches!((status, times), (200, 1) | (502, 0 | 1)), "{status} {times}");
        }
    }
}

#[test]
fn an_interim_response_and_then_the_end_is_a_502() {
    for ending in Ending::BOTH {
        let origin = Origin::start(move |mut conn| {
            conn.head();
            conn.send("HTTP/1.1 103 A\r\n\r\nHTTP/1.1 200");
            conn.leave(ending);
        });
        let good = Origin::named("good");
        let proxy = Proxy::before(&[&origin, &good], &[]);
        let mut client = proxy.client();
        client.get("/");
        assert_eq!((client.response().status, client.response().status), (103, 502));
        assert!(good.heads().is_empty());
    }
}

/// An endpoint on a Unix socket that serves each connection with `serve`, given its number from 1.
fn numbered<F: Future<Output = ()> + 'static>(
    name: &str,
    serve: impl Fn(u64, tokio::net::UnixStream) -> F + 'static,
) -> (paused::Endpoint, Rc<Cell<u64>>) {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    let endpoint = paused::Endpoint::start(name, move |stream| {
        counted.set(counted.get() + 1);
        serve(counted.get(), stream)
    });
    (endpoint, count)
}

#[test]
fn a_post_after_a_close_uses_a_new_connection() {
    run(Duration::from_millis(10), async {
        let (endpoint, connections) = numbered("closes", |number, mut stream| async move {
            until(&mut stream, "hello").await;
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
            // Closes right after its response, or while the connection is idle.
            sleep(Duration::from_millis(number % 2 * 100)).await;
        });
        let mut client = connect(&context(&[&endpoint.route(), "--max-fails", "1"]));
        for number in 1..=4 {
            send(&mut client, POST).await;
            assert!(until(&mut client, "\r\n\r\nhi").await.starts_with("HTTP/1.1 200 "));
            assert_eq!(connections.get(), number);
            sleep(Duration::from_millis(200)).await;
        }
    });
}

#[test]
fn an_answer_on_an_idle_connection_is_not_taken_for_the_next() {
    run(Duration::from_millis(10), async {
        let (endpoint, connections) = numbered("twice", |_, mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine").await;
            sleep(Duration::from_millis(100)).await;
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother").await;
            rest(&mut stream).await;
        });
        let mut client = connect(&context(&[&endpoint.route()]));
        for _ in 0..3 {
            send(&mut client, GET).await;
            until(&mut client, "\r\n\r\nmine").await;
            sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(connections.get(), 3);
    });
}

#[test]
fn two_answers_to_one_request_are_one_whatever_their_framing() {
    let other = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother";
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmine\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
    ] {
        let origin = Origin::answering(answer.to_owned() + other);
        let proxy = Proxy::before(&[&origin], &[]);
        for connections in 1..=2 {
            let response = proxy.get("/");
            assert!(response.whole && "mine".starts_with(&response.text()), "{answer}");
            assert_eq!(origin.connections(), connections, "{answer}");
        }
    }
}

#[test]
fn a_greeting_that_is_not_http_is_a_502() {
    let origin = Origin::start(|mut conn| {
        conn.send("220 ready\r\n\r\n");
        conn.rest();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    assert_eq!((proxy.get("/").status, proxy.ask(POST).status), (502, 502));
    assert_eq!(origin.connections(), 2);
}

/// An endless response: asserts that it is refused and the endpoint's connection closed.
fn never_ends(start: &'static str, piece: &str, reject: Reject) {
    let (sender, ended) = sync_channel(1);
    let pieces = piece.repeat(2_000);
    let origin = Origin::start(move |mut conn: Conn| {
        conn.head();
        conn.send_without_end(start, &pieces);
        let _ = sender.send(());
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(GET.replace("Host", "Connection: close\r\nHost"));
    let verdict = client.verdict();
    assert!(
        matches!(verdict, CheckVerdict::Cut(200, _) | CheckVerdict::Whole(502, _)),
        "{verdict:?}"
    );
    assert_eq!(ended.recv_timeout(HANG), Ok(()));
    assert_eq!(proxy.count(|m| &m.bad_responses[reject as usize]), 1);
}

#[test]
fn chunks_that_never_end_are_cut() {
    let start = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    never_ends(start, "0", Reject::ChunkLineTooLong);
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a";
    never_ends(chunk, "b", Reject::ChunkLineTooLong);
}

#[test]
fn trailers_that_never_end_are_cut() {
    let last = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
    never_ends(last, "A: b\r\n", Reject::TrailerTooLarge);
    let field = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ";
    never_ends(field, "b", Reject::TrailerTooLarge);
}

#[test]
fn a_head_that_never_ends_is_a_502() {
    never_ends("HTTP/1.1 200 ", "O", Reject::HeadTooLarge);
    never_ends("HTTP/1.1 200 OK\r\n", "A: b\r\n", Reject::HeadTooLarge);
    never_ends("HTTP/1.1 200 OK\r\nA", "b", Reject::HeadTooLarge);
}

#[test]
fn interim_responses_that_never_end_are_a_502_whether_they_are_passed_on_or_not() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let origin = Origin::start(|mut conn| {
            conn.head();
            conn.send_without_end("", "HTTP/1.1 100 Continue\r\n\r\n");
        });
        let proxy = Proxy::before(&[&origin], &[]);
        let mut client = proxy.client();
        client.send(format!("GET / {version}\r\nHost: a\r\nConnection: close\r\n\r\n"));
        assert!(matches!(client.verdict(), CheckVerdict::Whole(502, _)), "{version}");
        assert_eq!(proxy.count(|m| &m.bad_responses[Reject::TooManyInterim as usize]), 1);
    }
}

#[test]
fn a_head_that_drips_is_a_504_after_30_s_however_it_drips() {
    for (first, size, pace) in [(0, 1, 1), (0, 7, 9), (0, 2, 29), (29, 1, 9)] {
        run(Duration::from_millis(10), async move {
            let (endpoint, _) = numbered("drips", move |_, mut stream| async move {
                until(&mut stream, "\r\n\r\n").await;
                let head = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(200));
                sleep(Duration::from_secs(first)).await;
                for piece in head.as_bytes().chunks(size) {
                    send(&mut stream, std::str::from_utf8(piece).unwrap()).await;
                    sleep(Duration::from_secs(pace)).await;
                }
            });
            let mut client = connect(&context(&[&endpoint.route()]));
            let start = Instant::now();
            send(&mut client, GET).await;
            assert!(until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 504 "));
            assert_eq!(start.elapsed().as_secs(), 30, "{first} {size} {pace}");
        });
    }
}
