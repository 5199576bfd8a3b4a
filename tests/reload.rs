//! Reloads: what changes, what stays, and that connections survive.

use std::fs;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use crate::support::origin::{ok, ok_head};
use crate::support::{Client, Conn, Origin, Process, Proxy, eventually, filler, temporary};

fn to(pattern: &str, origin: &Origin) -> String {
    format!("--route={pattern}={}", origin.address)
}

fn text(client: &mut Client, path: &str) -> String {
    client.get(path);
    client.response().text()
}

/// Answers every request with the index of its connection.
fn counting() -> Origin {
    Origin::start(|mut conn| {
        while conn.head().is_some() {
            let index = conn.index.to_string();
            conn.send(ok(&index));
        }
    })
}

#[test]
fn an_open_connection_uses_the_new_plan_from_its_next_request_on() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let mut proxy = Proxy::start(&[&to("/", &one)]);
    let mut client = proxy.client();
    assert_eq!(text(&mut client, "/"), "one");
    proxy.reload(&[&to("/", &two)]).unwrap();
    assert_eq!(text(&mut client, "/"), "two");
    assert_eq!(proxy.count(|metrics| &metrics.accepted), 1);
}

#[test]
fn an_endpoint_that_stays_keeps_its_idle_connections_and_its_counters() {
    let (stays, goes) = (counting(), counting());
    let mut proxy = Proxy::start(&[&to("/", &stays), &to("/b", &goes)]);
    let mut client = proxy.client();
    assert_eq!([text(&mut client, "/"), text(&mut client, "/b")], ["0", "0"]);
    for flags in [[to("/", &stays), to("/c", &goes)], [to("/c", &goes), to("/", &stays)]] {
        proxy.reload(&[&flags[0], &flags[1]]).unwrap();
        assert_eq!([text(&mut client, "/"), text(&mut client, "/c")], ["0", "0"]);
    }
    let endpoints = proxy.plan().upstreams.iter().map(|upstream| upstream.endpoints[0].clone());
    let begun: Vec<u64> = endpoints.map(|endpoint| endpoint.record.begun()).collect();
    assert_eq!(begun, [3, 3]);
}

#[test]
fn the_idle_connections_of_an_endpoint_that_goes_are_closed() {
    let (goes, ended) = Origin::left("bye");
    let stays = Origin::named("stays");
    let mut proxy = Proxy::start(&[&to("/", &goes)]);
    assert_eq!(proxy.get("/").text(), "bye");
    proxy.reload(&[&to("/", &stays)]).unwrap();
    ended.wait();
}

#[test]
fn an_ejection_survives_a_reload() {
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    let route = format!("--route=/={},{}", dead.address, well.address);
    let flags = [route.as_str(), "--fail-timeout", "10m"];
    let mut proxy = Proxy::start(&flags);
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "well");
    }
    assert_eq!(proxy.attempts(0), 3);
    let heavier = format!("--route=/={}@5,{}", dead.address, well.address);
    proxy.reload(&[&heavier, "--fail-timeout", "9m"]).unwrap();
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "well");
    }
    assert_eq!(proxy.attempts(0), 3);
}

/// Sends half of a body for the first request, and the rest once a request arrives on another connection.
fn in_halves(body: &'static [u8]) -> Origin {
    let (release, released) = sync_channel(1);
    let released = Mutex::new(released);
    Origin::start(move |mut conn: Conn| {
        let head = conn.head().unwrap_or_default();
        if head.starts_with("GET /go ") {
            release.send(()).unwrap();
            return conn.send(ok("gone"));
        }
        conn.send([&ok_head(body.len())[..], &body[..body.len() / 2]].concat());
        released.lock().unwrap().recv().unwrap();
        conn.send(&body[body.len() / 2..]);
    })
}

#[test]
fn a_response_in_progress_survives_the_removal_of_its_route() {
    let body: &'static [u8] = filler(300_000).leak();
    let (origin, other) = (in_halves(body), Origin::named("other"));
    let mut proxy = Proxy::start(&[&to("/", &origin)]);
    let mut client = proxy.client();
    client.get("/");
    let first = client.exactly(ok_head(body.len()).len() + body.len() / 2);
    proxy.reload(&[&to("/", &other)]).unwrap();
    assert_eq!(proxy.get("/").text(), "other");
    Client::connect(origin.address).ask("GET /go HTTP/1.1\r\n\r\n");
    let whole = [first, client.exactly(body.len() / 2)].concat();
    assert!(whole.ends_with(body));
    assert_eq!(text(&mut client, "/"), "other");
}

#[test]
fn a_tunnel_survives_the_removal_of_its_route() {
    const SWITCH: &str = "HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send(SWITCH);
        while let Some(byte) = conn.bytes(1) {
            conn.send(byte);
        }
    });
    let other = Origin::named("other");
    let mut proxy = Proxy::start(&[&to("/", &origin)]);
    let mut client = proxy.client();
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    assert_eq!(client.ask(ask).status, 101);
    for _ in 0..3 {
        proxy.reload(&[&to("/", &other)]).unwrap();
        client.send("x");
        assert_eq!(client.exactly(1), b"x");
    }
}

#[test]
fn what_is_known_of_an_endpoint_goes_on_as_one_endpoint_only() {
    let origin = counting();
    let (a, b, c) = (to("/a", &origin), to("/b", &origin), to("/c", &origin));
    let mut proxy = Proxy::start(&[&a]);
    let record = |proxy: &Proxy, upstream: usize| {
        Arc::clone(&proxy.plan().upstreams[upstream].endpoints[0].record)
    };
    let first = record(&proxy, 0);
    proxy.reload(&[&b, &c]).unwrap();
    let (second, third) = (record(&proxy, 0), record(&proxy, 1));
    assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&second, &third));
    proxy.reload(&[&c, &b, &a]).unwrap();
    assert!(Arc::ptr_eq(&record(&proxy, 0), &third) && Arc::ptr_eq(&record(&proxy, 1), &second));
}

#[test]
fn only_changes_are_reported() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let mut proxy = Proxy::start(&[&to("/", &one)]);
    assert_eq!(proxy.reload(&[&to("/", &one)]).unwrap(), [""; 0]);
    let route = format!("--route=/={}@2,{}", one.address, two.address);
    let changes = proxy.reload(&[&route, "--max-head", "2k"]).unwrap();
    let expected = [
        format!("~ endpoint {} of /: weight 1 → weight 2", one.address),
        format!("+ endpoint {} of /: weight 1", two.address),
        "~ heads: at most 16384 bytes and 100 fields → at most 2048 bytes and 100 fields".into(),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn of_an_upstream_only_the_settings_that_differ_are_reported() {
    let origin = Origin::named("one");
    let mut proxy = Proxy::start(&[&to("/", &origin)]);
    let flags = ["--policy", "least_requests", "--attempt-timeout", "2s", "--max-fails", "off"];
    let changes = proxy.reload(&[&[&*to("/", &origin)], &flags[..]].concat()).unwrap();
    let expected = "~ upstream /: policy round_robin → least_requests, max_fails 3 → off, \
                    retry_on connect,stale,reset → connect,stale,reset,timeout, \
                    attempt_timeout off → 2s";
    assert_eq!(changes, [expected]);
}

#[test]
fn a_plan_is_freed_with_its_last_user() {
    let body: &'static [u8] = filler(100).leak();
    let (origin, other) = (in_halves(body), Origin::named("other"));
    let mut proxy = Proxy::start(&[&to("/", &origin)]);
    let mut idle = proxy.client();
    let mut busy = proxy.client();
    busy.get("/");
    busy.exactly(ok_head(body.len()).len() + body.len() / 2);
    let first = Arc::downgrade(proxy.plan());
    proxy.reload(&[&to("/", &other)]).unwrap();
    assert_eq!(text(&mut idle, "/"), "other");
    let mut later = Vec::new();
    for _ in 0..100 {
        later.push(Arc::downgrade(proxy.plan()));
        proxy.reload(&[&to("/", &other)]).unwrap();
    }
    assert!(first.upgrade().is_some());
    Client::connect(origin.address).ask("GET /go HTTP/1.1\r\n\r\n");
    busy.exactly(body.len() / 2);
    eventually("the plans are freed", || {
        first.upgrade().is_none() && later.iter().all(|plan| plan.upgrade().is_none())
    });
}

#[test]
fn an_endpoint_without_checks_is_no_longer_down() {
    let (dead, flags) = (Origin::refusing(), ["--check-interval", "20ms"]);
    let route = to("/", &dead);
    let mut proxy = Proxy::start(&[&route, "--check", "tcp", flags[0], flags[1]]);
    eventually("it is down", || proxy.get("/").status == 503);
    proxy.reload(&[&route]).unwrap();
    eventually("it is tried again", || proxy.get("/").status == 502);
}

fn write(path: &Path, origin: &Origin, more: &str) {
    let (at, route) = (origin.address, "routes: [{prefix: /, endpoints: ");
    let text = format!("listen: 127.0.0.1:0\nthreads: 2\n{route}['{at}']}}]\n{more}");
    fs::write(path, text).unwrap();
}

#[test]
fn sighup_reloads_the_file_and_a_refused_one_changes_nothing() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let path = temporary("reload.yaml");
    write(&path, &one, "");
    let process = Process::start(&["-c", path.to_str().unwrap(), "--check", "off"]);
    let mut client = process.client();
    assert_eq!(text(&mut client, "/"), "one");
    write(&path, &two, "max_idle: x\n");
    process.signal("HUP");
    eventually("it is refused", || process.says("reload.yaml:4:11: invalid value \"x\""));
    assert!(process.says("reload refused, nothing has changed"));
    assert_eq!(text(&mut client, "/"), "one");
    write(&path, &two, "");
    process.signal("HUP");
    eventually("it is followed", || process.says("reloaded: "));
    assert_eq!(text(&mut client, "/"), "two");
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn of_many_changes_the_log_says_the_first_and_how_many_there_are() {
    let origin = Origin::named("one");
    let path = temporary("many.yaml");
    write(&path, &origin, "");
    let process = Process::start(&["-c", path.to_str().unwrap(), "--check", "off"]);
    process.address();
    let address = origin.address;
    let more = |nth: usize| format!("  - {{prefix: /{nth}, endpoints: ['{address}']}}\n");
    let routes: String = (0..250).map(more).collect();
    let file = format!("listen: 127.0.0.1:0\nthreads: 2\nroutes:\n{}{routes}", more(999));
    fs::write(&path, file).unwrap();
    process.signal("HUP");
    eventually("it is followed", || process.says("reload: and "));
}
