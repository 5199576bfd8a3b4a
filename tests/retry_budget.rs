//! The budget of retries over real sockets, with several threads.

use std::thread;
use std::time::Instant;

use crate::support::admin::Admin;
use crate::support::closing::closing;

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
