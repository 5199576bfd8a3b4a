//! When requests are not copied for want of room or of an endpoint.

use std::sync::{Arc, Mutex};

use evener::http::rules::mirror::MirrorOutcome::{Failed, Full, Unavailable};

use crate::configured::proxy;
use crate::mirror::{MIRROR, before, comes_to, count};
use crate::support::{Origin, eventually};

/// The copies that one worker has under way at most.
const COPIES_MAX: usize = 512;

#[test]
fn copies_beyond_their_ceiling_are_dropped_and_requests_go_on() {
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let ours = Arc::clone(&accepted);
    let (app, shadow) =
        (Origin::named("app"), Origin::start(move |conn| ours.lock().unwrap().push(conn)));
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), MIRROR);
    let mut client = proxy.client();
    for _ in 0..COPIES_MAX + 10 {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").text(), "app");
    }
    comes_to(&proxy, Full, 10);
    eventually("all are under way", || accepted.lock().unwrap().len() == COPIES_MAX);
    shadow.stop();
    comes_to(&proxy, Failed, COPIES_MAX as u64);
}

#[test]
fn no_copy_is_sent_where_no_endpoint_has_room() {
    let app = Origin::named("app");
    let shadow = Origin::start(|mut conn| drop(conn.rest()));
    let proxy = proxy(&format!(
        "upstreams:\n  - {{name: app, endpoints: ['{}']}}\n  - {{name: shadow, endpoints: ['{}'], max_requests: \
         1}}\nroutes:\n  - {{prefix: /, upstream: app, {MIRROR}}}\n",
        app.address, shadow.address
    ));
    proxy.get("/");
    eventually("one is there", || shadow.connections() == 1);
    assert_eq!(proxy.get("/").text(), "app");
    comes_to(&proxy, Unavailable, 1);
}

#[test]
fn no_copy_is_sent_where_no_endpoint_is_up() {
    let (app, shadow) = (Origin::named("app"), Origin::refusing());
    let proxy = proxy(&format!(
        "upstreams:\n  - {{name: app, endpoints: ['{}']}}\n  - {{name: shadow, endpoints: ['{}'], check: tcp, \
         check_interval: 20ms}}\nroutes:\n  - {{prefix: /, upstream: app, {MIRROR}}}\n",
        app.address, shadow.address
    ));
    eventually("it is known to be down", || {
        assert_eq!(proxy.get("/").text(), "app");
        count(&proxy, Unavailable) > 0
    });
}
