//! Idle connections that workers share: opened by one, used by any.

use std::io::Read;
use std::sync::mpsc::sync_channel;
use std::thread::{scope, sleep};
use std::time::Duration;

use evener::net::shelf::Habit;

use crate::support::admin::Admin;
use crate::support::chain::{Chain, counting, text};
use crate::support::origin::ok;
use crate::support::tls::{Identity, TlsOrigin, TlsServer};
use crate::support::{Origin, Proxy, eventually};
use crate::upstream_tls::{ca, to};

const WORKERS: [&str; 2] = ["--threads", "8"];

/// Longer than what counts as often: whoever asks keeps nothing for itself.
fn pause() {
    sleep(Habit::USUAL.window + Duration::from_millis(5));
}

/// Has this many clients ask, one after the other: about as many for each worker.
fn ask_in_turn(proxy: &Proxy, clients: usize) {
    for _ in 0..clients {
        assert_eq!(proxy.get("/").status, 200);
        pause();
    }
}

#[test]
fn eight_workers_that_are_asked_in_turn_share_a_connection() {
    let origin = Origin::named("shared");
    let proxy = Proxy::before(&[&origin], &WORKERS);
    ask_in_turn(&proxy, 30);
    // Each would have one of its own; a client may be faster than the worker that has answered it.
    assert!(origin.connections() <= 3, "{}", origin.connections());
    let reuses = proxy.count(|metrics| &metrics.shelf_reuses);
    assert_eq!((reuses, proxy.count(|metrics| &metrics.reuses)), (reuses, reuses));
    assert!(reuses >= 27, "{reuses}");
}

#[test]
fn so_do_they_over_tls_without_another_handshake() {
    let origin = TlsOrigin::answering(&TlsServer::showing(Identity::localhost()), ok("shared"));
    let proxy = Proxy::start(&[&to(&origin), &ca(), WORKERS[0], WORKERS[1]]);
    ask_in_turn(&proxy, 30);
    assert!(origin.handshakes().len() <= 3, "{}", origin.handshakes().len());
}

#[test]
fn everybody_gets_the_answer_to_what_they_asked_whoever_had_the_connection_before() {
    let origin = Origin::start(|mut conn| {
        while let Some(head) = conn.head() {
            conn.send(ok(head.split(' ').nth(1).unwrap_or_default()));
        }
    });
    let proxy = Proxy::before(&[&origin], &WORKERS);
    let ask = |client: u64| {
        for nth in 0..40 {
            let target = format!("/{client}/{nth}");
            assert_eq!(proxy.get(&target).text(), target);
            sleep(Duration::from_millis((client * 47 + nth * 13) % 120));
        }
    };
    let ask = &ask;
    scope(|threads| {
        for client in 0..4 {
            threads.spawn(move || ask(client));
        }
    });
    let shelved = proxy.count(|metrics| &metrics.shelf_reuses);
    assert!(shelved > 20 && proxy.count(|metrics| &metrics.failed_attempts) == 0, "{shelved}");
}

#[test]
fn a_worker_that_is_asked_all_the_time_needs_no_shelf() {
    let origin = Origin::named("own");
    let proxy = Proxy::before(&[&origin], &["--threads", "2"]);
    let mut client = proxy.client();
    for _ in 0..300 {
        client.get("/");
        assert_eq!(client.response().status, 200);
    }
    let shelved = proxy.count(|metrics| &metrics.shelf_reuses);
    assert!(shelved < 30 && origin.connections() == 1, "{shelved}");
}

#[test]
fn one_worker_has_nobody_to_share_with() {
    let origin = Origin::named("own");
    let proxy = Proxy::before(&[&origin], &["--threads", "1"]);
    ask_in_turn(&proxy, 3);
    assert_eq!(proxy.count(|metrics| &metrics.reuses), 2);
    assert_eq!(proxy.count(|metrics| &metrics.shelf_reuses), 0);
}

#[test]
fn what_the_endpoint_closes_on_the_shelf_is_closed_here_and_what_is_idle_is_shown() {
    let (close, closes) = sync_channel(1);
    let (ended, has_ended) = sync_channel(1);
    let closes = std::sync::Mutex::new(closes);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send(ok("once"));
        closes.lock().unwrap().recv().unwrap();
        conn.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = ended.send(conn.stream.read(&mut [0]).unwrap());
    });
    let address = origin.address.to_string();
    let admin = Admin::start(&["--route", &format!("/={address}"), WORKERS[0], WORKERS[1]]);
    assert_eq!(text(&mut admin.client()), "once");
    let idle = || admin.endpoint(0)["connections"]["idle"].as_u64().unwrap();
    eventually("it is idle", || idle() == 1);
    close.send(()).unwrap();
    assert_eq!(has_ended.recv().unwrap(), 0);
    eventually("none is", || idle() == 0);
}

#[test]
fn the_shelf_of_an_endpoint_that_goes_is_closed() {
    let (goes, ended) = Origin::left("bye");
    let stays = Origin::named("stays");
    let mut proxy = Proxy::before(&[&goes], &WORKERS);
    assert_eq!(proxy.get("/").text(), "bye");
    proxy.reload(&[WORKERS[0], WORKERS[1], &format!("--route=/={}", stays.address)]).unwrap();
    ended.wait();
}

#[test]
fn over_tls_it_is_closed_in_order() {
    let (sender, ended) = sync_channel(1);
    let server = TlsServer::showing(Identity::localhost());
    let goes = TlsOrigin::start(&server, move |mut conn| {
        conn.head();
        conn.send(ok("bye"));
        let _ = sender.send(conn.stream.read_to_end(&mut Vec::new()));
    });
    let stays = Origin::named("stays");
    let mut proxy = Proxy::start(&[&to(&goes), &ca(), WORKERS[0], WORKERS[1]]);
    assert_eq!(proxy.get("/").text(), "bye");
    let route = format!("--route=/={}", stays.address);
    proxy.reload(&[&route, WORKERS[0], WORKERS[1]]).unwrap();
    // With a close_notify: the end alone would be an error.
    assert_eq!(ended.recv().unwrap().ok(), Some(0));
}

#[test]
fn the_shelf_goes_to_the_next_process() {
    let origin = counting();
    let mut chain = Chain::start(&[&origin], &["--check", "off"]);
    let mut client = chain.client();
    assert_eq!(text(&mut client), "0");
    for _ in 0..2 {
        let old = chain.upgrade(&WORKERS);
        assert_eq!(old.end().0, Some(0));
        // Whichever worker it is now.
        assert_eq!(text(&mut client), "0");
    }
    assert_eq!(origin.connections(), 1);
}
