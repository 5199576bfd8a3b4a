//! Request counters that other tests do not cover.

use std::time::Duration;

use evener::fault::{Fault, Kind, Stage};
use evener::id::{EndpointId, UpstreamId};
use evener::session::record::{self, AttemptTarget};
use tokio::time::Instant;

use crate::support::paused;
use crate::support::{Origin, Proxy, eventually};

#[test]
fn every_response_is_timed_and_counted_by_its_route() {
    let (origin, cutting) = (
        Origin::named("o"),
        Origin::start(|mut conn| {
            conn.head();
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
            conn.close();
        }),
    );
    let (whole, cut) = (format!("/a={}", origin.address), format!("/cut={}", cutting.address));
    let proxy = Proxy::start(&["--route", &whole, "--route", &cut]);
    for (path, status) in [("/a", 200), ("/a/b", 200), ("/nowhere", 404), ("/cut", 200)] {
        assert_eq!(proxy.get(path).status, status);
    }
    assert_eq!(proxy.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    let timed = || proxy.metrics(|metrics| metrics.durations.counts().sum());
    eventually("all are counted", || timed() == 5);
    let routes = &proxy.plan().routes;
    let counts: Vec<u64> = routes.iter().map(|route| route.counts[0].responses[2].get()).collect();
    assert_eq!(counts, [2, 1]);
}

#[test]
fn a_fault_of_this_machine_is_none_of_the_endpoints() {
    paused::run(Duration::from_secs(1), async {
        let context = paused::context(&["--route", "/=127.0.0.1:1", "--max-fails", "1"]);
        let (upstream, endpoint) = (UpstreamId::new(0), EndpointId::new(0));
        let (started, connect_within) = (Instant::now(), Duration::from_secs(3));
        let target = &AttemptTarget { upstream, endpoint, started, connect_within };
        let fault = Fault::upstream(Stage::Connect, Kind::Exhausted);
        record::failure(&context, target, fault, false, None);
        assert_eq!(context.counts(upstream, endpoint).failed.get(), 0);
        assert_eq!(context.metrics.local_failures.get(), 1);
        assert!(paused::is_open(&context));
    });
}
