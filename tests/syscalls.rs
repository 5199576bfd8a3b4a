//! The system calls of a request, counted by strace on a fixed script. If strace is missing or not
//! permitted, the tests say so and check nothing.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use crate::support::origin::ok;
use crate::support::tls::{Authority, Identity, TlsOptions};
use crate::support::{Origin, Process, eventually, socket_path};

const REQUESTS: usize = 100;

/// Calls by name, from the first with `/begin` in its bytes to the first with `/end`.
type Calls = BTreeMap<String, usize>;

fn can_trace() -> bool {
    let mut trial = Command::new("strace");
    trial.args(["-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let can = trial.status().is_ok_and(|status| status.success());
    if !can {
        eprintln!("strace is missing or may not trace: nothing was counted");
    }
    can
}

/// The calls between two requests, while `script` runs; `None` if they cannot be counted.
fn calls(name: &str, script: impl Fn(&Process)) -> Option<Calls> {
    calls_with(name, ok("thirteen byte"), script)
}

/// The same with this answer to each request.
fn calls_with(name: &str, answer: Vec<u8>, script: impl Fn(&Process)) -> Option<Calls> {
    if !can_trace() {
        return None;
    }
    let log = socket_path(name);
    let origin = Origin::answering(answer);
    let route = format!("/={}", origin.address);
    let words = ["--listen", "127.0.0.1:0", "--threads", "1", "--check", "off", "--route", &route];
    let proxy = Process::traced(&log, &words);
    let ask = |path| {
        let mut client = proxy.client();
        client.get(path);
        client.response();
    };
    ask("/warm");
    ask("/begin");
    script(&proxy);
    ask("/end");
    let written = || fs::read_to_string(&log).unwrap();
    eventually("the log is written", || written().contains("/end"));
    let mut counted = Calls::new();
    let lines = written();
    let after = lines.lines().skip_while(|line| !line.contains("/begin"));
    for line in after.take_while(|line| !line.contains("/end")) {
        // `PID name(arguments) = result`; a call interrupted by another thread's has two lines.
        let call = line.split_whitespace().nth(1).unwrap_or_default();
        // In a debug build, std checks with fcntl that a descriptor is open before closing it.
        if let Some((name, _)) = call.split_once('(').filter(|(name, _)| *name != "fcntl") {
            *counted.entry(name.to_owned()).or_default() += 1;
        }
    }
    let _ = fs::remove_file(&log);
    Some(counted)
}

/// Asserts that there are at most `max` calls of these names for each of [`REQUESTS`], plus a few for the
/// first and last request and for periodic work.
fn hold(counted: &Calls, names: &[&str], max: usize) {
    let count: usize = names.iter().filter_map(|name| counted.get(*name)).sum();
    assert!(count <= max * REQUESTS + 30, "{count} of {names:?}, {max} each: {counted:?}");
}

const DATA: &[&str] = &["recvfrom", "sendto", "read", "readv", "recvmsg", "sendmsg", "writev"];

#[test]
fn a_request_takes_four_data_calls_and_no_others_but_waits() {
    let counted = calls("calls-request", |proxy| {
        let mut client = proxy.client();
        for _ in 0..REQUESTS {
            client.get("/");
            client.response();
        }
    });
    let Some(mut counted) = counted else { return };
    hold(&counted, DATA, 4);
    hold(&counted, &["epoll_wait"], 3);
    counted.retain(|name, _| !DATA.contains(&name.as_str()) && name != "epoll_wait");
    let others: Vec<_> = counted.keys().map(String::as_str).collect();
    hold(&counted, &others, 0);
}

#[test]
fn a_body_that_came_with_its_head_leaves_with_it() {
    let counted = calls_with("calls-body", ok(&"x".repeat(10 * 1024)), |proxy| {
        let mut client = proxy.client();
        for _ in 0..REQUESTS {
            client.get("/");
            client.response();
        }
    });
    let Some(counted) = counted else { return };
    hold(&counted, DATA, 4);
    hold(&counted, &["sendto"], 1);
}

#[test]
fn a_connection_takes_six_more_calls() {
    let counted = calls("calls-connection", |proxy| {
        for _ in 0..REQUESTS {
            let close = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
            assert_eq!(proxy.client().ask(close).status, 200);
        }
    });
    let Some(mut counted) = counted else { return };
    hold(&counted, DATA, 4);
    // An accept that finds no connection ends each batch; here every batch is one connection.
    let ends = [("accept4", 2), ("epoll_ctl", 2), ("close", 1), ("epoll_wait", 4)];
    for (name, max) in ends {
        hold(&counted, &[name], max);
    }
    counted.retain(|name, _| {
        !DATA.iter().chain(ends.map(|(name, _)| name).iter()).any(|known| known == name)
    });
    let others: Vec<_> = counted.keys().map(String::as_str).collect();
    hold(&counted, &others, 0);
}

/// Otherwise a client with Nagle's algorithm sends its first request 40 ms later.
#[test]
fn the_end_of_a_handshake_is_acknowledged_at_once() {
    if !can_trace() {
        return;
    }
    let (log, files) = (socket_path("calls-tls"), Identity::localhost().files());
    let tls = ["--listen-tls", "127.0.0.1:0", "--cert", &files.cert, "--key", &files.key];
    let words =
        [&tls[..], &["--threads", "1", "--route", "/=127.0.0.1:1", "--check", "off"]].concat();
    let proxy = Process::traced(&log, &words);
    let options = TlsOptions::trusting(Authority::shared());
    let _waiting = options.connect(proxy.address(), "localhost");
    let written = || fs::read_to_string(&log).unwrap();
    eventually("it is acknowledged", || written().contains("TCP_QUICKACK, [1]"));
    let _ = fs::remove_file(&log);
}
