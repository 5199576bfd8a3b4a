//! Connections are spread evenly over the threads, wherever the kernel has them accepted.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::support::tls::{Authority, Identity, TlsOptions};
use crate::support::{Admin, Client, HANG, Origin, Proxy, eventually, socket_path};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Waits until so many connections are open, and returns how many the busiest thread has.
fn most(admin: &Admin, open: u64) -> u64 {
    eventually("they are open", || admin.metric("evener_connections_active") == open);
    admin.metric("evener_thread_connections_max")
}

/// By a hash alone, one thread in 200 trials or so would have no more than nine.
#[test]
fn long_lived_connections_are_even() {
    let admin = Admin::before(&[&Origin::named("o")], &["--threads", "16"]);
    let clients = [(); 128].map(|()| admin.client());
    // Two threads may each give one to the same at the same moment.
    assert!(most(&admin, 128) <= 9);
    assert!(admin.metric("evener_connections_rebalanced_total") > 0);
    drop(clients);
    assert_eq!(most(&admin, 0), 0);
}

#[test]
fn connections_of_every_kind_of_listener_are_served_wherever_they_go() {
    let (origin, path) = (Origin::named("hello"), socket_path("rebalancing"));
    let (files, unix) = (Identity::localhost().files(), format!("unix:{}", path.display()));
    let (route, tcp) = (format!("/={}", origin.address), format!("127.0.0.1:0={}", origin.address));
    let words = [
        &["--threads", "16", "--cert", &files.cert, "--key", &files.key, "--route", &route][..],
        &["--trusted", "127.0.0.1", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0,proxy"],
        &["--listen-tls", "127.0.0.1:0", "--tcp", &tcp, "--listen", &unix],
    ];
    let admin = Admin::start(&words.concat());
    let at = admin.process.addresses(5);
    let mut plain = [0, 1, 3].map(|kind| [(); 20].map(|()| Client::connect(at[kind])));
    let mut local = [(); 20].map(|()| UnixStream::connect(&path).unwrap());
    let options = TlsOptions::trusting(Authority::shared());
    let mut secure = [(); 20].map(|()| options.connect(at[2], "localhost"));
    assert!(most(&admin, 100) <= 8);
    assert!(admin.metric("evener_connections_rebalanced_total") > 0);
    for client in &mut plain[1] {
        client.send("PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n");
    }
    assert!(plain.iter_mut().flatten().all(|client| client.ask(GET).text() == "hello"));
    for client in &mut local {
        let mut answer = String::new();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
    }
    assert!(secure.iter_mut().all(|client| client.ask(GET).text() == "hello"));
}

#[test]
fn a_connection_counts_once_for_the_limits_wherever_it_is_served() {
    for limit in ["--max-connections", "--max-connections-per-client"] {
        let admin = Admin::before(&[&Origin::named("o")], &["--threads", "16", limit, "40"]);
        for _ in 0..3 {
            let clients = [(); 60].map(|()| admin.client());
            assert!(most(&admin, 40) <= 4);
            drop(clients);
            assert_eq!(most(&admin, 0), 0);
        }
        assert!(admin.metric("evener_connections_rebalanced_total") > 0);
    }
}

#[test]
fn what_is_on_its_way_when_its_listener_is_removed_is_served() {
    let origin = Origin::named("o");
    let (route, relay) = (
        format!("--route=/={0}", origin.address),
        format!("--tcp=127.0.0.2:0={0}", origin.address),
    );
    let mut proxy = Proxy::start(&[&route, "--threads", "8"]);
    for _ in 0..10 {
        proxy.reload(&[&route, "--threads", "8", &relay]).unwrap();
        let at = proxy.addresses()[1];
        let mut clients = [(); 40].map(|()| Client::connect(at));
        proxy.reload(&[&route, "--threads", "8"]).unwrap();
        assert!(clients.iter_mut().all(|client| client.ask(GET).text() == "o"));
    }
    assert!(proxy.count(|all| &all.rebalanced) > 0);
}

#[test]
fn what_is_on_its_way_when_a_drain_begins_is_served() {
    let origin = Origin::named("o");
    let proxy = Proxy::before(&[&origin], &["--threads", "8"]);
    let ask = |()| {
        let mut client = proxy.client();
        client.send(GET);
        client
    };
    let mut early = [(); 40].map(ask);
    eventually("some have gone elsewhere", || proxy.count(|all| &all.rebalanced) > 0);
    let mut late = [(); 80].map(ask);
    assert_eq!(proxy.drain(HANG), 0);
    assert!(early.iter_mut().chain(&mut late).all(|client| client.response().text() == "o"));
}
