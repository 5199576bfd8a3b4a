//! `evener demo`: its balancer, its page and its requests.

use std::net::TcpStream;
use std::process::Command;

use crate::support::{Client, Process, eventually, own_address};

fn get(client: &mut Client, path: &str) -> (u16, String) {
    client.get(path);
    let response = client.response();
    (response.status, response.text())
}

#[test]
fn the_demo_balances_over_its_origins_until_sigint() {
    let demo = Process::start(&[
        "demo",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--rate",
        "0",
    ]);
    let address = demo.announces("balances on http://").parse().unwrap();
    let mut client = Client::connect(address);
    let mut auth: Vec<_> = (0..4).map(|_| get(&mut client, "/auth").1).collect();
    assert_eq!(auth[..2], auth[2..]);
    auth.sort();
    assert_eq!(auth, ["auth-1 /auth\n", "auth-1 /auth\n", "auth-2 /auth\n", "auth-2 /auth\n"]);
    assert_eq!(get(&mut client, "/task").1, "task-1 /task\n");
    assert_eq!(get(&mut client, "/nope").0, 404);
    eventually("the live line counts", || demo.says("auth-1 2   auth-2 2   task-1 1 "));
    demo.signal("INT");
    assert_eq!(demo.end().0, Some(0));
}

/// As in `evener demo | head -1`.
#[test]
fn the_demo_goes_on_when_nobody_reads_what_it_prints() {
    // What it prints would say where it listens.
    let address = own_address();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_evener"));
    let mut demo = command
        .args(["demo", "--listen", &address.to_string(), "--admin", "127.0.0.1:0"])
        .stdout(writer)
        .spawn()
        .unwrap();
    eventually("the demo serves", || TcpStream::connect(address).is_ok());
    assert_eq!(get(&mut Client::connect(address), "/task").0, 200);
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&demo),
        rustix::process::Signal::INT,
    )
    .unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0));
}

#[test]
fn the_demo_shows_its_page_and_sends_itself_requests() {
    let words = ["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--rate", "200"];
    let demo = Process::start(&words);
    let url = demo.announces("See it live at http://");
    let mut client = Client::connect(url.trim_end_matches('/').parse().unwrap());
    let mut ask = |path| client.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert!(ask("/").text().starts_with("<!doctype html>"));
    let answered = |text: String| {
        let mut lines = text.lines().filter(|line| line.starts_with("evener_requests_total{"));
        lines.any(|line| line.contains("2xx") && !line.ends_with(" 0"))
    };
    eventually("its own requests are answered", || answered(ask("/metrics").text()));
}
