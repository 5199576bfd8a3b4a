//! Upgrades: what one process hands over to the next, without disturbing clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use crate::support::chain::{Chain, ask_unix, counting, launch, text};
use crate::support::origin::{ok, ok_head};
use crate::support::{Client, Conn, Origin, eventually, filler, socket_path, temporary};

#[test]
fn idle_connections_on_both_sides_continue_in_the_new_process() {
    let origin = counting();
    let mut chain = Chain::start(&[&origin], &["--check", "off"]);
    let mut client = chain.client();
    assert_eq!(text(&mut client), "0");
    for _ in 0..3 {
        let old = chain.upgrade(&["--threads", "1"]);
        assert_eq!(old.end().0, Some(0));
        assert_eq!(text(&mut client), "0");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn the_new_process_may_come_first() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &[]);
    let mut client = chain.client();
    assert_eq!(text(&mut client), "o");
    let next = launch(&chain.words, &["-u"]);
    eventually("it waits", || next.says("waiting for up to 30s"));
    chain.running.signal("QUIT");
    assert_eq!(chain.running.end().0, Some(0));
    assert_eq!(text(&mut client), "o");
    assert_eq!(next.address(), chain.address);
}

#[test]
fn an_idle_client_keeps_its_keepalive_timeout() {
    let origin = Origin::named("o");
    let mut chain = Chain::start(&[&origin], &["--header-timeout", "20ms"]);
    let mut client = chain.client();
    assert_eq!(text(&mut client), "o");
    assert_eq!(chain.upgrade(&[]).end().0, Some(0));
    // Several times the header timeout, which applies to new clients only.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(text(&mut client), "o");
}

#[test]
fn a_connection_handed_over_as_the_next_upgrade_begins_is_answered() {
    let go = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&go);
    let origin = Origin::start(move |mut conn: Conn| {
        while let Some(head) = conn.head() {
            if head.starts_with("GET /wait ") {
                eventually("it may go on", || told.load(Ordering::SeqCst));
            }
            conn.send(ok("o"));
        }
    });
    let mut chain = Chain::start(&[&origin], &[]);
    let mut client = chain.client();
    client.get("/wait");
    eventually("it is asked", || origin.heads().len() == 1);
    let first = chain.upgrade(&[]);
    let second = chain.upgrade(&[]);
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.response().text(), "o");
    assert_eq!((first.end().0, second.end().0), (Some(0), Some(0)));
    assert_eq!(text(&mut chain.client()), "o");
}

#[test]
fn a_response_in_progress_is_finished_before_its_connection_is_handed_over() {
    let body: &'static [u8] = filler(200_000).leak();
    let go = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&go);
    let origin = Origin::start(move |mut conn: Conn| {
        while let Some(head) = conn.head() {
            if !head.starts_with("GET /long ") {
                conn.send(ok("short"));
                continue;
            }
            conn.send([&ok_head(body.len())[..], &body[..1000]].concat());
            eventually("it may go on", || told.load(Ordering::SeqCst));
            conn.send(&body[1000..]);
        }
    });
    let mut chain = Chain::start(&[&origin], &[]);
    let mut client = chain.client();
    client.get("/long");
    let start = client.exactly(ok_head(body.len()).len() + 1000);
    let old = chain.upgrade(&["--threads", "3"]);
    assert_eq!(text(&mut chain.client()), "short");
    go.store(true, Ordering::SeqCst);
    assert!([start, client.exactly(body.len() - 1000)].concat().ends_with(body));
    assert_eq!(old.end().0, Some(0));
    assert_eq!(text(&mut client), "short");
}

#[test]
fn a_tunnel_stays_where_it_is_until_it_ends() {
    const SWITCH: &str = "HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send(SWITCH);
        while let Some(byte) = conn.bytes(1) {
            conn.send(byte);
        }
        conn.close();
    });
    let mut chain = Chain::start(&[&origin], &[]);
    let mut client = chain.client();
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    assert_eq!(client.ask(ask).status, 101);
    let old = chain.upgrade(&[]);
    client.send("x");
    assert_eq!(client.exactly(1), b"x");
    drop(client);
    assert_eq!(old.end().0, Some(0));
}

#[test]
fn an_ejection_is_handed_over() {
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    let flags = ["--check", "off", "--fail-timeout", "10m", "--threads", "1"];
    let mut chain = Chain::start(&[&dead, &well], &flags[..4]);
    let mut client = chain.client();
    for _ in 0..12 {
        assert_eq!(text(&mut client), "well");
    }
    eventually("it is ejected", || chain.running.says("ejected for "));
    let old = chain.upgrade(&flags[4..]);
    assert_eq!(old.end().0, Some(0));
    for _ in 0..12 {
        assert_eq!(text(&mut client), "well");
    }
    assert!(!chain.running.says("ejected"));
}

#[test]
fn no_connection_is_refused_or_reset_while_processes_and_threads_change() {
    let origin = Origin::named("o");
    let mut chain = Chain::start(&[&origin], &["--check", "off"]);
    let (address, stop) = (chain.address, Arc::new(AtomicBool::new(false)));
    let load = |is_kept: bool| {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let (mut count, mut client) = (0, Client::connect(address));
            while !stop.load(Ordering::SeqCst) {
                assert_eq!(text(&mut client), "o");
                count += 1;
                if !is_kept {
                    client = Client::connect(address);
                }
            }
            count
        })
    };
    let loads = [load(true), load(true), load(false), load(false)];
    for threads in ["1", "3", "2"] {
        let old = chain.upgrade(&["--threads", threads]);
        assert_eq!(old.end().0, Some(0));
    }
    stop.store(true, Ordering::SeqCst);
    for load in loads {
        assert!(load.join().expect("no request failed") > 0);
    }
}

#[test]
fn unix_listeners_and_the_pid_file_are_handed_over() {
    let (origin, path, pid) = (Origin::named("o"), socket_path("upl"), temporary("pid"));
    let listen = format!("unix:{}", path.display());
    let flags = ["--listen", &listen, "--pid-file", pid.to_str().unwrap()];
    let mut chain = Chain::start(&[&origin], &flags);
    let old = chain.upgrade(&[]);
    assert_eq!(old.end().0, Some(0));
    let named = |pid: &PathBuf| fs::read_to_string(pid).unwrap_or_default().trim().to_owned();
    assert_eq!(named(&pid), chain.running.id().to_string());
    let answer = ask_unix(&path).unwrap();
    assert!(answer.ends_with("\r\n\r\no"), "{answer}");
}
