//! Limits on the number of connections.

use std::io::Write;

use crate::support::{Client, Origin, Process, Proxy, eventually};

fn answers(client: &mut Client) -> bool {
    client.get("/");
    client.response().status == 200
}

#[test]
fn a_connection_above_the_limit_waits_until_another_ends() {
    let origin = Origin::named("o");
    let proxy = Proxy::before(&[&origin], &["--max-connections", "2"]);
    let (mut first, mut second) = (proxy.client(), proxy.client());
    assert!(answers(&mut first) && answers(&mut second));
    let mut third = proxy.client();
    third.get("/");
    eventually("it waits", || proxy.count(|metrics| &metrics.waited) == 1);
    assert!(answers(&mut first));
    drop(second);
    assert_eq!(third.response().status, 200);
    assert_eq!(proxy.count(|metrics| &metrics.requests), 4);
}

#[test]
fn a_reload_makes_room() {
    let origin = Origin::named("o");
    let route = format!("--route=/={}", origin.address);
    let mut proxy = Proxy::start(&[&route, "--max-connections", "1"]);
    let mut first = proxy.client();
    assert!(answers(&mut first));
    let mut second = proxy.client();
    second.get("/");
    eventually("it waits", || proxy.count(|metrics| &metrics.waited) == 1);
    proxy.reload(&[&route, "--max-connections", "2"]).unwrap();
    assert_eq!(second.response().status, 200);
}

#[test]
fn a_connection_that_waits_when_a_drain_begins_is_still_answered() {
    let origin = Origin::named("o");
    let proxy = Proxy::before(&[&origin], &["--max-connections", "1"]);
    let mut first = proxy.client();
    assert!(answers(&mut first));
    let mut second = proxy.client();
    second.get("/");
    eventually("it waits", || proxy.count(|metrics| &metrics.waited) == 1);
    let draining = std::thread::spawn(move || proxy.drain(crate::support::HANG));
    assert_eq!(second.response().status, 200);
    drop((first, second));
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn a_connection_above_the_limit_per_client_is_reset() {
    let origin = Origin::named("o");
    let proxy = Proxy::before(&[&origin], &["--max-connections-per-client", "2"]);
    let (mut first, mut second) = (proxy.client(), proxy.client());
    assert!(answers(&mut first) && answers(&mut second));
    assert!(proxy.client().is_reset());
    assert_eq!(proxy.count(|metrics| &metrics.turned_away), 1);
    drop(first);
    eventually("there is room", || {
        let mut client = proxy.client();
        // It may have been reset already.
        let sent = client.stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        sent.is_ok() && client.at_most(12) == b"HTTP/1.1 200"
    });
}

#[test]
fn limits_apply_to_the_client_named_in_the_proxy_header() {
    let origin = Origin::named("o");
    let route = format!("--route=/={}", origin.address);
    let flags = ["--listen", "127.0.0.1:0,proxy", "--trusted", "127.0.0.0/8", route.as_str()];
    let proxy = Proxy::start_words(&[&flags[..], &["--max-connections-per-client", "1"]].concat());
    let announced = |client: &str| {
        let mut connection = proxy.client();
        connection.send(format!("PROXY TCP4 {client} 192.0.2.9 1 2\r\n"));
        connection
    };
    let (mut one, mut other) = (announced("192.0.2.1"), announced("192.0.2.2"));
    assert!(answers(&mut one) && answers(&mut other));
    assert!(announced("192.0.2.1").is_reset());
}

#[test]
fn the_limit_of_descriptors_is_raised_to_what_is_allowed() {
    let origin = Origin::named("o");
    let route = format!("/={}", origin.address);
    let script = format!(
        "ulimit -Sn 64; exec {} --listen 127.0.0.1:0 --route {route}",
        env!("CARGO_BIN_EXE_evener")
    );
    let process = Process::command("sh", &["-c", &script]);
    assert!(answers(&mut process.client()));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> =
        line.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}
