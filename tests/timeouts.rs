//! Every wait ends at its deadline: whole sessions on a paused clock, over Unix sockets.

use std::future::pending;
use std::time::Duration;

use evener::id::{EndpointId, UpstreamId};
use evener::upstream::health::Admission;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::support::paused::{
    Endpoint, begin_sweeps, connect, context, rest, run, send, until, well,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello";

/// An endpoint that does not exist, for tests that end before one is contacted.
const NOWHERE: &str = "--route=/=unix:/nowhere";

const TICK: Duration = Duration::from_millis(10);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Asserts that this much virtual time has passed, or a few ticks more.
fn assert_passed(since: Instant, expected: u64) {
    assert_passed_within(since, expected, 1);
}

fn assert_passed_within(since: Instant, expected: u64, tolerance: u64) {
    let passed = since.elapsed();
    assert!(passed >= seconds(expected) && passed < seconds(expected + tolerance), "{passed:?}");
}

/// Reads a request and never answers.
async fn silent(mut stream: UnixStream) {
    until(&mut stream, "\r\n\r\n").await;
    rest(&mut stream).await;
}

/// Sends half of a body and then nothing more.
async fn stalling(mut stream: UnixStream) {
    until(&mut stream, "\r\n\r\n").await;
    send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    rest(&mut stream).await;
}

#[test]
fn a_client_that_drips_its_head_gets_408_after_10_s() {
    run(TICK, async {
        let mut client = connect(&context(&[NOWHERE]));
        let start = Instant::now();
        for piece in ["GET / HTTP", "/1.1\r\n", "Host: a\r\n", "A: b\r\n"] {
            send(&mut client, piece).await;
            sleep(seconds(2)).await;
        }
        until(&mut client, "\r\n\r\n").await.strip_prefix("HTTP/1.1 408 ").expect("a 408");
        assert_passed(start, 10);
    });
}

#[test]
fn a_client_that_sends_nothing_is_closed_silently_after_10_s() {
    run(TICK, async {
        let mut client = connect(&context(&[NOWHERE]));
        let start = Instant::now();
        assert_eq!(rest(&mut client).await, "");
        assert_passed(start, 10);
    });
}

#[test]
fn an_idle_client_is_closed_silently_after_75_s() {
    run(TICK, async {
        let endpoint = Endpoint::start("idle", well);
        // With a timer of its own, and by the sweeps of its worker until shortly before.
        for (requests, is_swept) in [(1, false), (3, false), (1, true), (3, true)] {
            let context = context(&[&endpoint.route()]);
            if is_swept {
                begin_sweeps(&context);
            }
            let mut client = connect(&context);
            for _ in 0..requests {
                send(&mut client, GET).await;
                until(&mut client, "\r\n\r\nok").await;
            }
            let start = Instant::now();
            assert_eq!(rest(&mut client).await, "");
            assert_passed(start, 75);
        }
    });
}

#[test]
fn a_client_that_asks_again_in_time_is_kept() {
    run(TICK, async {
        let endpoint = Endpoint::start("again", well);
        let mut client = connect(&context(&[&endpoint.route()]));
        for _ in 0..5 {
            send(&mut client, GET).await;
            until(&mut client, "\r\n\r\nok").await;
            sleep(seconds(55)).await;
        }
    });
}

#[test]
fn an_endpoint_that_does_not_answer_is_a_504_after_30_s() {
    run(TICK, async {
        let endpoint = Endpoint::start("silent", silent);
        let mut client = connect(&context(&[&endpoint.route()]));
        let start = Instant::now();
        send(&mut client, GET).await;
        until(&mut client, "\r\n\r\n").await.strip_prefix("HTTP/1.1 504 ").expect("a 504");
        assert_passed(start, 30);
    });
}

#[test]
fn three_answers_that_do_not_come_eject() {
    run(TICK, async {
        let endpoint = Endpoint::start("thrice", silent);
        let context = context(&[&endpoint.route(), "--fail-timeout", "1h"]);
        let health = context.plan.upstreams[0].endpoints[0].health();
        for _ in 0..3 {
            assert_eq!(health.admission(context.tick(Instant::now())), Admission::Open);
            let mut client = connect(&context);
            send(&mut client, GET).await;
            until(&mut client, "\r\n\r\n").await.strip_prefix("HTTP/1.1 504 ").expect("a 504");
        }
        assert_eq!(health.admission(context.tick(Instant::now())), Admission::Ejected);
    });
}

#[test]
fn the_time_for_an_answer_begins_when_the_request_is_sent() {
    run(TICK, async {
        let endpoint = Endpoint::start("slow-post", silent);
        let mut client = connect(&context(&[&endpoint.route()]));
        send(&mut client, POST).await;
        sleep(seconds(40)).await;
        let start = Instant::now();
        send(&mut client, "world").await;
        until(&mut client, "\r\n\r\n").await.strip_prefix("HTTP/1.1 504 ").expect("a 504");
        assert_passed(start, 30);
    });
}

#[test]
fn an_answer_that_stalls_in_its_body_is_cut_after_60_s() {
    run(TICK, async {
        let endpoint = Endpoint::start("stalling", stalling);
        let mut client = connect(&context(&[&endpoint.route()]));
        send(&mut client, GET).await;
        until(&mut client, "hello").await;
        let start = Instant::now();
        assert_eq!(rest(&mut client).await, "");
        assert_passed(start, 60);
    });
}

#[test]
fn a_request_that_stalls_in_its_body_gets_408_after_60_s() {
    run(TICK, async {
        let endpoint = Endpoint::start("upload", silent);
        let mut client = connect(&context(&[&endpoint.route()]));
        send(&mut client, POST).await;
        let start = Instant::now();
        until(&mut client, "\r\n\r\n").await.strip_prefix("HTTP/1.1 408 ").expect("a 408");
        assert_passed(start, 60);
    });
}

#[test]
fn a_client_that_reads_nothing_is_cut_after_60_s() {
    run(TICK, async {
        let endpoint = Endpoint::start("flood", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await;
            send(&mut stream, &"x".repeat(100_000_000)).await;
        });
        let context = context(&[&endpoint.route()]);
        let mut client = connect(&context);
        send(&mut client, GET).await;
        let start = Instant::now();
        while context.drain.sessions() == 1 || start.elapsed() < seconds(1) {
            sleep(TICK).await;
        }
        // Lingering takes up to two seconds.
        assert!((60..63).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert!(rest(&mut client).await.len() < 100_000_000);
    });
}

#[test]
fn a_body_that_is_slow_but_steady_is_not_cut() {
    run(TICK, async {
        let endpoint = Endpoint::start("steady", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
            for _ in 0..10 {
                sleep(seconds(50)).await;
                send(&mut stream, "x").await;
            }
            pending::<()>().await;
        });
        let mut client = connect(&context(&[&endpoint.route()]));
        let start = Instant::now();
        send(&mut client, GET).await;
        until(&mut client, "\r\n\r\nxxxxxxxxxx").await;
        assert_passed(start, 500);
    });
}

#[test]
fn a_tunnel_is_cut_after_an_hour_of_silence_and_not_before() {
    run(TICK * 10, async {
        let endpoint = Endpoint::start("tunnel", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            let switch = "HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
            send(&mut stream, switch).await;
            until(&mut stream, "ping").await;
            send(&mut stream, "pong").await;
            rest(&mut stream).await;
        });
        let mut client = connect(&context(&[&endpoint.route()]));
        let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        send(&mut client, head).await;
        until(&mut client, "\r\n\r\n").await;
        sleep(seconds(3590)).await;
        send(&mut client, "ping").await;
        until(&mut client, "pong").await;
        let start = Instant::now();
        assert_eq!(rest(&mut client).await, "");
        // The clock ticks by ten times as much here, also while the kernel moves bytes.
        assert_passed_within(start, 3600, 60);
    });
}

#[test]
fn an_endpoint_has_one_trial_at_a_time() {
    run(TICK, async {
        let dead = "--route=/=unix:/nowhere,";
        let endpoint = Endpoint::start("trial", well);
        let context = context(&[&format!("{dead}unix:{}", endpoint.path.display())]);
        let mut client = connect(&context);
        let mut attempts = Vec::new();
        for _ in 0..3 {
            for _ in 0..10 {
                send(&mut client, GET).await;
                until(&mut client, "\r\n\r\nok").await;
            }
            attempts.push(context.counts(UpstreamId::new(0), EndpointId::new(0)).begun.get());
            sleep(seconds(11)).await;
        }
        assert_eq!(attempts, [3, 4, 5]);
    });
}

#[test]
fn an_endpoint_that_owes_a_100_is_waited_for_no_longer_than_for_an_answer() {
    run(TICK, async {
        let endpoint = Endpoint::start("owing", |mut stream| async move {
            rest(&mut stream).await;
        });
        let context = context(&[&endpoint.route(), "--max-fails", "1"]);
        let (mut client, start) = (connect(&context), Instant::now());
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
        send(&mut client, head).await;
        assert!(until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 504 "));
        assert_eq!(start.elapsed().as_secs(), 30);
        let health = context.plan.upstreams[0].endpoints[0].health();
        assert_eq!(health.admission(context.tick(Instant::now())), Admission::Ejected);
    });
}

#[test]
fn a_103_is_not_the_100_that_was_waited_for() {
    run(TICK, async {
        let endpoint = Endpoint::start("hints", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            send(&mut stream, "HTTP/1.1 103 A\r\n\r\n").await;
            rest(&mut stream).await;
        });
        let (mut client, start) = (connect(&context(&[&endpoint.route()])), Instant::now());
        let fields = "Content-Length: 9\r\nExpect: 100-continue\r\n";
        send(&mut client, &format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
        assert!(until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 103 "));
        assert!(until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 504 "));
        assert_eq!(start.elapsed().as_secs(), 30);
    });
}
