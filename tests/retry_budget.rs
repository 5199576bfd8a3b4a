//! The budget of retries: over real sockets, with several threads, and of requests that are cancelled.

use std::thread;
use std::time::{Duration, Instant};

use evener::session;
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::support::admin::Admin;
use crate::support::closing::closing;
use crate::support::paused::{
    Endpoint, accepted, connect, context, rest, run as paused, send, until,
};

const CLIENTS: usize = 10;
const REQUESTS: usize = 60;

/// Sends all requests; returns how many the endpoints got, and for how many seconds.
fn run(flags: &[&str]) -> (Admin, usize, u64) {
    let origins = [closing(0), closing(0), closing(0)];
    let flags = [&["--threads", "2", "--fail-timeout", "1ms"], flags].concat();
    let admin = Admin::before(&origins.each_ref(), &flags);
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = admin.client();
                for _ in 0..REQUESTS {
                    client.get("/");
                    assert_eq!(client.response().status, 502);
                }
            });
        }
    });
    let seconds = began.elapsed().as_secs() + 1;
    let attempts = origins.iter().map(|origin| origin.heads().len()).sum();
    (admin, attempts, seconds)
}

#[test]
fn an_upstream_that_fails_all_gets_a_fifth_more_and_ten_a_second() {
    let (admin, attempts, seconds) = run(&[]);
    let requests = CLIENTS * REQUESTS;
    let most = requests * 6 / 5 + 10 * usize::try_from(seconds).unwrap();
    assert!(attempts > requests && attempts <= most, "{attempts} in {seconds} s");
    let upstream = &admin.status()["upstreams"][0]["retries"];
    assert_eq!(upstream["made"], attempts - requests);
    assert!(upstream["refused"].as_u64().unwrap() > 0, "{upstream}");
    let text = admin.get("/metrics").text();
    let made = format!("evener_upstream_retries_total{{upstream=\"/\"}} {}\n", attempts - requests);
    assert!(text.contains(&made), "{made} in {text}");
}

#[test]
fn without_a_budget_each_endpoint_is_tried() {
    let (_, attempts, _) = run(&["--retry-budget", "off"]);
    assert_eq!(attempts, 3 * CLIENTS * REQUESTS);
}

#[test]
fn a_retry_that_is_cancelled_in_the_queue_is_given_back() {
    const TICK: Duration = Duration::from_millis(10);
    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    paused(TICK, async {
        let closing = Endpoint::start("closing", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
        });
        let held = Endpoint::start("held", |mut stream| async move {
            rest(&mut stream).await;
        });
        let route = format!("{},unix:{}", closing.route(), held.path.display());
        let ceiling = ["--max-requests", "1", "--queue-timeout", "1h", "--max-fails", "off"];
        let context = context(&[&[route.as_str()], &ceiling[..]].concat());
        let upstream = &context.plan.upstreams[0];
        let at_held = || upstream.endpoints[1].record.begun();
        let mut first = connect(&context);
        send(&mut first, GET).await;
        while at_held() == 0 {
            sleep(TICK).await;
        }
        // Far more than the budget has.
        for _ in 0..100 {
            let (mut client, theirs) = UnixStream::pair().unwrap();
            let session = session::spawn(accepted(&context, theirs));
            send(&mut client, GET).await;
            while upstream.record.queue.waiting() == 0 {
                sleep(TICK).await;
            }
            session.abort();
            session.await.unwrap_err();
        }
        assert_eq!(upstream.record.total(|counts| counts.retries_refused.get()), 0);
    });
}
