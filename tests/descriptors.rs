//! Few file descriptors, and more clients than there are any for: everybody is served in the end.

use std::net::SocketAddr;

use crate::support::origin::ok;
use crate::support::{Client, Origin, Process, eventually, socket_path};

const ONCE: &str = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/// A balancer that may open so many descriptors, before these origins.
fn limited(descriptors: usize, origins: &[Origin], flags: &str) -> Process {
    let addresses: Vec<String> = origins.iter().map(|origin| origin.address.to_string()).collect();
    let script = format!(
        "ulimit -n {descriptors}; exec {} --listen 127.0.0.1:0 --route /={} {flags}",
        env!("CARGO_BIN_EXE_evener"),
        addresses.join(",")
    );
    Process::command("sh", &["-c", &script])
}

fn origins() -> [Origin; 3] {
    [(); 3].map(|()| Origin::answering(ok("served")))
}

/// Serves so many clients that stay connected at once, and then more than there are descriptors for.
fn hold(descriptors: usize, at_once: usize) {
    let origins = origins();
    let proxy = limited(descriptors, &origins, "");
    let address = proxy.address();
    let mut staying: Vec<Client> = (0..at_once).map(|_| Client::connect(address)).collect();
    for client in &mut staying {
        client.get("/");
        assert_eq!(client.response().status, 200);
    }
    for client in &mut staying {
        client.get("/again");
        assert_eq!(client.response().status, 200);
    }
    serve_all(address, descriptors);
    drop(staying);
    serve_all(address, descriptors);
}

/// More clients than descriptors, connected at the same time.
fn serve_all(address: SocketAddr, descriptors: usize) {
    let count = (descriptors + descriptors / 2).min(500);
    let mut clients: Vec<Client> = (0..count).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(ONCE);
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn of_64_some_are_for_clients() {
    hold(64, 6);
}

#[test]
fn of_128_some_are_for_clients() {
    hold(128, 24);
}

#[test]
fn of_256_a_third_is_for_clients() {
    hold(256, 80);
}

#[test]
fn of_1024_two_fifths_are_for_clients() {
    hold(1024, 400);
}

#[test]
fn below_64_it_does_not_start_and_says_why() {
    let (code, said) = limited(63, &origins(), "--threads 1").end();
    assert_eq!(code, Some(2));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("evener: file descriptors: this process may open 63"), "{said:?}");
}

#[test]
fn a_limit_of_connections_that_does_not_fit_is_lowered_and_said() {
    let origins = origins();
    let proxy = limited(128, &origins, "--max-connections 1000 --threads 1");
    let address = proxy.address();
    eventually("it says so", || {
        proxy.says("--max-connections 1000: there are file descriptors for")
    });
    serve_all(address, 128);
}

#[test]
fn idle_connections_to_endpoints_go_where_their_descriptors_are_needed() {
    // Each connection would be kept, and there is no room for as many.
    let origins: Vec<Origin> = (0..64).map(|_| Origin::answering(ok("served"))).collect();
    let proxy = limited(64, &origins, "--threads 1 --check off");
    let mut client = proxy.client();
    for _ in 0..128 {
        client.get("/");
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn an_upgrade_that_runs_out_of_them_loses_no_connection() {
    let (origins, path) = (origins(), socket_path("few"));
    let flags = format!("--threads 1 --upgrade-sock {}", path.display());
    let old = limited(64, &origins, &flags);
    let address = old.address();
    let mut all: Vec<Client> = (0..40).map(|_| Client::connect(address)).collect();
    for client in &mut all {
        client.get("/");
    }
    for client in &mut all[..8] {
        assert_eq!(client.response().status, 200);
    }
    old.signal("QUIT");
    let new = limited(64, &origins, &format!("{flags} -u"));
    eventually("all have been handed over or kept", || new.says("the old process has handed over"));
    assert!(!new.says("is lost"));
}
