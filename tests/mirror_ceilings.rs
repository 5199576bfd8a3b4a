//! When requests are not copied for want of room or of an endpoint.

use std::fs;
use std::sync::{Arc, Mutex};

use evener::http::rules::mirror::MirrorOutcome::{Failed, Full, TooLong, Unavailable};

use crate::configured::proxy;
use crate::mirror::{MIRROR, before, comes_to, count};
use crate::support::{Origin, Process, eventually, temporary};

/// The copies that one worker has under way at most, where there are descriptors enough.
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

#[test]
fn an_upload_that_is_too_long_takes_the_room_of_no_copy() {
    let (app, shadow) = (Origin::start(|mut conn| drop(conn.rest())), Origin::named("shadow"));
    let proxy = before(&app.address.to_string(), &shadow.address.to_string(), MIRROR);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    eventually("it is on its way", || app.connections() == 1);
    for _ in 0..5 {
        client.send(format!("4000\r\n{}\r\n", "x".repeat(0x4000)));
    }
    comes_to(&proxy, TooLong, 1);
    assert_eq!(proxy.count(|metrics| &metrics.copies_ended), 1);
}

/// What is short then is for clients.
#[test]
fn a_silent_mirror_takes_few_of_few_descriptors() {
    let (app, shadow) = (Origin::named("app"), Origin::start(|mut conn| drop(conn.rest())));
    let path = temporary("conf.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\nthreads: 1\ncheck: off\nupstreams:\n  - {{name: app, endpoints: ['{}']}}\n  - {{name: \
         shadow, endpoints: ['{}'], max_fails: off}}\nroutes:\n  - {{prefix: /, upstream: app, {MIRROR}}}\n",
        app.address, shadow.address
    );
    fs::write(&path, text).unwrap();
    let script = format!(
        "ulimit -n 128; exec {} -c {}",
        env!("CARGO_BIN_EXE_evener"),
        path.to_str().unwrap()
    );
    let proxy = Process::command("sh", &["-c", &script]);
    let mut client = proxy.client();
    for _ in 0..200 {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").text(), "app");
    }
    assert_eq!(app.connections(), 1);
    eventually("copies are under way", || (1..=4).contains(&shadow.connections()));
}
