//! `attempt_timeout`: what a frozen endpoint costs, on a paused clock.

use std::rc::Rc;
use std::time::Duration;

use evener::id::{EndpointId, RouteId, UpstreamId};
use evener::plan::context::WorkerContext;
use evener::upstream::health::Admission;
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::support::paused::{Endpoint, connect, context, rest, run, send, until, well};

const TICK: Duration = Duration::from_millis(10);

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

/// Accepts, and does nothing more.
async fn frozen(mut stream: UnixStream) {
    rest(&mut stream).await;
}

/// A balancer before these endpoints, over HTTP/1.1 unless their scheme says otherwise.
fn before(scheme: &str, endpoints: &[&Endpoint], flags: &[&str]) -> Rc<WorkerContext> {
    let paths = endpoints.iter().map(|own| format!("{scheme}unix:{}", own.path.display()));
    let route = format!("--route=/={}", paths.collect::<Vec<_>>().join(","));
    context(&[&[route.as_str()], flags].concat())
}

/// The status that a request is answered with, and how long that takes.
async fn ask(context: &Rc<WorkerContext>, request: &str) -> (u16, Duration) {
    let (mut client, began) = (connect(context), Instant::now());
    send(&mut client, request).await;
    let head = until(&mut client, "\r\n\r\n").await;
    (head[9..12].parse().unwrap(), began.elapsed())
}

fn is_open(context: &WorkerContext, endpoint: usize) -> bool {
    let upstream = context.plan.upstream(UpstreamId::new(0));
    let health = upstream.endpoint(EndpointId::new(endpoint)).health();
    health.admission(context.tick(Instant::now())) == Admission::Open
}

fn assert_about(took: Duration, expected: u64) {
    let expected = Duration::from_millis(expected);
    assert!(took >= expected && took < expected + Duration::from_millis(300), "{took:?}");
}

#[test]
fn a_request_takes_as_long_as_its_attempts_and_an_answer_as_long_as_its_own() {
    run(TICK, async {
        let (bad, good) = (Endpoint::start("frozen", frozen), Endpoint::start("well", well));
        let context = before("", &[&bad, &good], &["--attempt-timeout", "2s"]);
        ask(&context, GET).await;
        tokio::time::sleep(TICK).await;
        let of_route = &context.route_counts(RouteId::new(0)).durations;
        let of_upstream = &context.upstream_counts(UpstreamId::new(0)).durations;
        assert_about(Duration::from_micros(of_route.sum_micros()), 2000);
        assert_about(Duration::from_micros(of_upstream.sum_micros()), 0);
        assert_eq!([of_route, of_upstream].map(|counted| counted.counts().sum::<u64>()), [1, 1]);
    });
}

#[test]
fn a_frozen_endpoint_costs_an_idempotent_request_so_long_and_no_longer() {
    run(TICK, async {
        let (bad, good) = (Endpoint::start("frozen", frozen), Endpoint::start("well", well));
        let context = before("", &[&bad, &good], &["--attempt-timeout", "2s"]);
        let (status, took) = ask(&context, GET).await;
        assert_eq!(status, 200);
        assert_about(took, 2000);
    });
}

#[test]
fn each_attempt_that_times_out_counts_as_a_failure() {
    run(TICK, async {
        let (bad, good) = (Endpoint::start("frozen", frozen), Endpoint::start("well", well));
        let flags = ["--attempt-timeout", "2s", "--max-fails", "1", "--fail-timeout", "1h"];
        let context = before("", &[&bad, &good], &flags);
        assert_eq!(ask(&context, GET).await.0, 200);
        assert_eq!([0, 1].map(|endpoint| is_open(&context, endpoint)), [false, true]);
        assert_about(ask(&context, GET).await.1, 0);
    });
}

#[test]
fn a_post_ends_with_504_after_it_and_goes_nowhere_else() {
    run(TICK, async {
        let (bad, good) = (Endpoint::start("frozen", frozen), Endpoint::start("well", well));
        let context = before("", &[&bad, &good], &["--attempt-timeout", "2s"]);
        let (status, took) = ask(&context, POST).await;
        assert_eq!(status, 504);
        assert_about(took, 2000);
        assert_eq!(context.metrics.retries.get(), 0);
    });
}

#[test]
fn without_the_reason_the_attempt_ends_with_504() {
    run(TICK, async {
        let (bad, good) = (Endpoint::start("frozen", frozen), Endpoint::start("well", well));
        let flags = ["--attempt-timeout", "2s", "--retry-on", "connect"];
        let (status, took) = ask(&before("", &[&bad, &good], &flags), GET).await;
        assert_eq!(status, 504);
        assert_about(took, 2000);
    });
}

#[test]
fn all_attempts_together_have_the_response_timeout_and_who_gets_the_rest_is_not_blamed() {
    run(TICK, async {
        let bad = [(); 4].map(|()| Endpoint::start("frozen", frozen));
        let flags = ["--attempt-timeout", "2s", "--response-timeout", "5s", "--max-fails", "1"];
        let context = before("", &bad.each_ref(), &flags);
        let (status, took) = ask(&context, GET).await;
        assert_eq!(status, 504);
        assert_about(took, 5000);
        let open = [0, 1, 2, 3].map(|endpoint| is_open(&context, endpoint));
        assert_eq!(open, [false, false, true, true]);
    });
}

#[test]
fn without_it_the_reason_alone_has_each_attempt_take_the_response_timeout() {
    run(TICK, async {
        let (bad, good) = (Endpoint::start("frozen", frozen), Endpoint::start("well", well));
        let flags = ["--retry-on", "timeout", "--response-timeout", "5s"];
        let (status, took) = ask(&before("", &[&bad, &good], &flags), GET).await;
        assert_eq!(status, 200);
        assert_about(took, 5000);
    });
}

#[test]
fn an_endpoint_of_http_2_that_sends_no_settings_costs_so_long() {
    run(TICK, async {
        let bad = [(); 2].map(|()| Endpoint::start("frozen", frozen));
        let flags = ["--attempt-timeout", "1s", "--connect-timeout", "10s"];
        let (status, took) = ask(&before("h2c://", &bad.each_ref(), &flags), POST).await;
        assert_eq!(status, 504);
        assert_about(took, 2000);
    });
}

#[test]
fn a_time_that_is_longer_than_the_response_timeout_changes_nothing() {
    run(TICK, async {
        let bad = Endpoint::start("frozen", frozen);
        let flags = ["--attempt-timeout", "1m", "--response-timeout", "5s"];
        let (status, took) = ask(&before("", &[&bad], &flags), GET).await;
        assert_eq!(status, 504);
        assert_about(took, 5000);
    });
}

/// The second request goes over a connection that is there already: its attempt begins when its head is whole.
#[test]
fn a_client_that_pauses_in_its_head_takes_nothing_of_the_time_for_an_answer() {
    run(TICK, async {
        let endpoint = Endpoint::start("well", well);
        let context = before("", &[&endpoint], &["--response-timeout", "3s"]);
        let mut client = connect(&context);
        send(&mut client, GET).await;
        until(&mut client, "ok").await;
        let (most, last) = GET.split_at(GET.len() - 4);
        // As many bytes of empty lines as are still to come.
        send(&mut client, &format!("\r\n\r\n{most}")).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        send(&mut client, last).await;
        let answer = until(&mut client, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    });
}
