//! One endpoint of three breaks, in each of the ways that `tools/faults` measures: what clients see of it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use evener::plan::context::WorkerContext;
use futures_util::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::support::origin::ok;
use crate::support::paused::{self, Endpoint};
use crate::support::{Conn, Origin, Proxy, eventually};

/// Longer than any test: an ejected endpoint stays out.
const FOR_GOOD: &str = "--fail-timeout=10m";

/// Requests before it breaks, and after.
const REQUESTS: usize = 60;

/// What an endpoint does about a request while it is broken; it returns a connection that it goes on with.
type Broken = fn(Conn) -> Option<Conn>;

/// Reads what comes, and answers nothing.
const FROZEN: Broken = |mut conn| {
    conn.rest();
    None
};

/// Answers 500 to every request.
const ERRING: Broken = |mut conn| {
    conn.send("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    Some(conn)
};

/// An endpoint that answers until it is told to break.
fn breaking(broken: Broken) -> (Origin, Arc<AtomicBool>) {
    let is_broken = Arc::new(AtomicBool::new(false));
    let ours = Arc::clone(&is_broken);
    let origin = Origin::start(move |mut conn| {
        while conn.head().is_some() {
            if !ours.load(Ordering::SeqCst) {
                conn.send(ok("well"));
            } else if let Some(kept) = broken(conn) {
                conn = kept;
            } else {
                return;
            }
        }
    });
    (origin, is_broken)
}

/// How many of so many requests, one after the other, are not answered with 200 and whole.
fn failures(proxy: &Proxy, count: usize) -> usize {
    let answers = (0..count).map(|_| proxy.get("/"));
    answers.filter(|answer| answer.status != 200 || !answer.whole).count()
}

/// How many requests fail once one of three endpoints breaks so: it is ejected by its third failure.
fn failed(broken: Broken, flags: &[&str]) -> usize {
    let (origin, is_broken) = breaking(broken);
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let proxy = Proxy::before(&[&origin, &one, &two], &[&[FOR_GOOD], flags].concat());
    assert_eq!(failures(&proxy, REQUESTS), 0);
    is_broken.store(true, Ordering::SeqCst);
    let before = proxy.attempts(0);
    let failed = failures(&proxy, REQUESTS);
    // A connection from the pool that it has closed is replaced, and held against nobody.
    assert!((3..=4).contains(&(proxy.attempts(0) - before)));
    failed
}

#[test]
fn an_endpoint_that_is_killed_and_comes_back_costs_no_request() {
    let (killed, one, two) = (Origin::named("old"), Origin::named("one"), Origin::named("two"));
    let proxy = Proxy::before(&[&killed, &one, &two], &["--fail-timeout=100ms"]);
    assert_eq!(failures(&proxy, REQUESTS), 0);
    killed.stop();
    assert_eq!(failures(&proxy, REQUESTS), 0);
    let _back = Origin::start_at(killed.address, |conn| conn.answer_all(&ok("new")));
    eventually("it is used again", || {
        let answer = proxy.get("/");
        assert_eq!(answer.status, 200);
        answer.text() == "new"
    });
    assert_eq!(failures(&proxy, REQUESTS), 0);
}

#[test]
fn a_frozen_endpoint_costs_three_requests_before_it_is_ejected() {
    assert_eq!(failed(FROZEN, &["--response-timeout=200ms"]), 3);
}

#[test]
fn a_frozen_endpoint_costs_no_request_with_a_timeout_for_attempts() {
    // Whatever waited for the other one would not end within this test.
    let flags = ["--attempt-timeout=200ms", "--response-timeout=1h"];
    assert_eq!(failed(FROZEN, &flags), 0);
}

#[test]
fn of_one_that_answers_500_three_answers_are_seen_before_it_is_ejected() {
    assert_eq!(failed(ERRING, &["--fail-on-5xx"]), 3);
}

#[test]
fn of_one_that_answers_500_nothing_is_seen_if_that_is_retried() {
    assert_eq!(failed(ERRING, &["--fail-on-5xx", "--retry-on=connect,stale,5xx"]), 0);
}

#[test]
fn an_answer_500_passes_and_ejects_nobody_unless_a_flag_says_otherwise() {
    let (origin, is_broken) = breaking(ERRING);
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let proxy = Proxy::before(&[&origin, &one, &two], &[FOR_GOOD]);
    is_broken.store(true, Ordering::SeqCst);
    assert_eq!(failures(&proxy, REQUESTS), REQUESTS / 3);
}

#[test]
fn one_that_resets_amid_its_answers_cuts_three_at_most_before_it_is_ejected() {
    let resetting: Broken = |mut conn| {
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        conn.reset();
        None
    };
    assert!(failed(resetting, &[]) <= 3);
}

#[test]
fn one_that_accepts_and_closes_costs_no_idempotent_request() {
    let closing: Broken = |conn| {
        conn.close();
        None
    };
    assert_eq!(failed(closing, &[]), 0);
}

#[test]
fn one_that_comes_and_goes_costs_no_request() {
    let turn = AtomicUsize::new(0);
    // Of twelve connections two are closed at once, and all when they are used for the fourth time.
    let flapping = Origin::start(move |mut conn| {
        if conn.index / 2 % 6 == 1 {
            return conn.close();
        }
        while conn.head().is_some() {
            if turn.fetch_add(1, Ordering::SeqCst) % 4 == 3 {
                return conn.close();
            }
            conn.send(ok("well"));
        }
    });
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let proxy = Proxy::before(&[&flapping, &one, &two], &["--max-fails=off"]);
    assert_eq!(failures(&proxy, 5 * REQUESTS), 0);
    assert!(flapping.connections() > 20);
}

#[test]
fn one_that_refuses_and_serves_in_turns_costs_no_request() {
    let (mut flapping, one, two) =
        (Origin::named("old"), Origin::named("one"), Origin::named("two"));
    let flags = ["--max-fails=off", "--retry-budget=off"];
    let proxy = Proxy::before(&[&flapping, &one, &two], &flags);
    for turn in 1..=3 {
        assert_eq!(failures(&proxy, REQUESTS), 0);
        flapping.stop();
        assert_eq!(failures(&proxy, REQUESTS), 0);
        assert!(proxy.metrics(|metrics| metrics.retries.get()) >= turn * 20);
        flapping = Origin::start_at(flapping.address, |conn| conn.answer_all(&ok("new")));
    }
}

/// Whether another request has come.
async fn is_asked(stream: &mut UnixStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return false };
        head.push(byte);
    }
    true
}

#[test]
fn however_many_requests_there_are_one_is_the_trial_of_an_ejected_endpoint() {
    paused::run(Duration::from_millis(10), async {
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        // It fails three times, and then takes its time.
        let broken = Endpoint::start("broken", move |mut stream| {
            let count = Rc::clone(&count);
            async move {
                while is_asked(&mut stream).await {
                    count.set(count.get() + 1);
                    if count.get() <= 3 {
                        return;
                    }
                    sleep(Duration::from_secs(1)).await;
                    paused::send(&mut stream, "HTTP/1.1 204 Back\r\n\r\n").await;
                }
            }
        });
        let well = Endpoint::start("well", async |mut stream| {
            while is_asked(&mut stream).await {
                paused::send(&mut stream, "HTTP/1.1 204 Well\r\n\r\n").await;
            }
        });
        let route = format!("{},unix:{}", broken.route(), well.path.display());
        let context = paused::context(&[&route, "--fail-timeout=5s"]);
        let get = async |context: Rc<WorkerContext>| {
            let mut client = paused::connect(&context);
            let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            paused::send(&mut client, request).await;
            assert!(paused::rest(&mut client).await.starts_with("HTTP/1.1 204 "));
        };
        for _ in 0..10 {
            get(Rc::clone(&context)).await;
        }
        assert_eq!(asked.get(), 3);
        sleep(Duration::from_secs(6)).await;
        join_all((0..50).map(|_| get(Rc::clone(&context)))).await;
        assert_eq!(asked.get(), 4);
        join_all((0..50).map(|_| get(Rc::clone(&context)))).await;
        assert_eq!(asked.get(), 4 + 25);
    });
}
