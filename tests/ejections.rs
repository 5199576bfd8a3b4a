//! How many endpoints are ejected at a time, for what, and where that is said.

use serde_json::json;

use crate::configuration::read;
use crate::support::{Admin, Origin, Proxy, eventually};

/// Longer than any test: an ejected endpoint stays out.
const FOR_GOOD: [&str; 2] = ["--fail-timeout", "10m"];

const ERROR: &str = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn statuses(proxy: &Proxy, count: usize) -> Vec<u16> {
    (0..count).map(|_| proxy.get("/").status).collect()
}

/// A balancer before two primary endpoints and a backup.
fn with_backup([one, two]: &[Origin; 2], spare: &Origin, flags: &[&str]) -> Proxy {
    let text = format!(
        "listen: 127.0.0.1:0\nroutes: [{{prefix: /, endpoints: ['{}', '{}', {{address: '{}', \
         backup: true}}]}}]\n",
        one.address, two.address, spare.address
    );
    Proxy::configured(read(&text, flags).unwrap())
}

#[test]
fn no_more_than_half_of_the_endpoints_are_ejected_by_default() {
    let (one, two, well) = (Origin::refusing(), Origin::refusing(), Origin::named("well"));
    let proxy = Proxy::before(&[&one, &two, &well], &FOR_GOOD);
    assert_eq!(statuses(&proxy, 40), [200; 40]);
    let attempts = [proxy.attempts(0), proxy.attempts(1)];
    assert_eq!(attempts.iter().min(), Some(&3));
    assert!(attempts.iter().any(|count| *count > 10), "{attempts:?}");
}

#[test]
fn a_share_of_all_lets_every_endpoint_be_ejected() {
    let (one, two, well) = (Origin::refusing(), Origin::refusing(), Origin::named("well"));
    let proxy = Proxy::before(&[&one, &two, &well], &["--fail-timeout=10m", "--eject-max=100%"]);
    assert_eq!(statuses(&proxy, 40), [200; 40]);
    assert_eq!([proxy.attempts(0), proxy.attempts(1)], [3, 3]);
}

#[test]
fn all_primary_endpoints_may_be_ejected_while_a_backup_is_healthy() {
    let (dead, spare) = ([(); 2].map(|()| Origin::refusing()), Origin::named("spare"));
    let proxy = with_backup(&dead, &spare, &FOR_GOOD);
    assert_eq!(statuses(&proxy, 40), [200; 40]);
    assert_eq!([proxy.attempts(0), proxy.attempts(1)], [3, 3]);
}

#[test]
fn the_same_of_primary_endpoints_that_answer_with_errors() {
    let bad = [(); 2].map(|()| Origin::answering(ERROR));
    let spare = Origin::named("spare");
    let proxy = with_backup(&bad, &spare, &["--fail-timeout=10m", "--fail-on-5xx"]);
    // Those of one millisecond are one failure.
    eventually("both are ejected", || {
        drop(proxy.get("/"));
        proxy.plan().upstreams[0].endpoints.ejected() == 2
    });
    assert_eq!(statuses(&proxy, 10), [200; 10]);
}

#[test]
fn the_only_endpoint_may_be_ejected_and_is_tried_all_the_same() {
    let proxy = Proxy::before(&[&Origin::refusing()], &FOR_GOOD);
    assert_eq!(statuses(&proxy, 5), [502; 5]);
    assert_eq!((proxy.attempts(0), proxy.plan().upstreams[0].endpoints.ejected()), (5, 1));
}

#[test]
fn without_max_fails_nothing_is_ejected() {
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    let proxy = Proxy::before(&[&dead, &well], &["--max-fails=off"]);
    assert_eq!(statuses(&proxy, 20), [200; 20]);
    assert_eq!((proxy.attempts(0), proxy.attempts(1)), (10, 20));
}

#[test]
fn a_withheld_ejection_is_counted_and_told_once() {
    let (one, two, well) = (Origin::refusing(), Origin::refusing(), Origin::named("well"));
    let admin = Admin::before(&[&one, &two, &well], &FOR_GOOD);
    let mut client = admin.client();
    (0..40).for_each(|_| assert_eq!(client.ask(GET).status, 200));
    let ejections = admin.status()["upstreams"][0]["ejections"].clone();
    assert_eq!((&ejections["now"], &ejections["max"]), (&json!(1), &json!(1)));
    assert_eq!(ejections["reasons"], json!({"refused": 1}));
    let withheld = admin.metric("evener_ejections_withheld_total{upstream=\"/\"}");
    assert_eq!(ejections["withheld"], json!(withheld));
    assert!(withheld > 2);
    assert_eq!(admin.metric("evener_ejections_total{upstream=\"/\",reason=\"refused\"}"), 1);
    let told = "fails and is not ejected, since 1 of 3 are (--eject-max 50%): endpoint refused";
    eventually(told, || admin.process.says(told));
    admin.process.signal("INT");
    let (_, lines) = admin.process.end();
    assert_eq!(lines.iter().filter(|line| line.contains("is not ejected")).count(), 1);
}

#[test]
fn each_ejection_is_counted_by_its_reason() {
    let closing = Origin::start(|mut conn| {
        conn.head();
        conn.close();
    });
    let resetting = Origin::start(|mut conn| {
        conn.head();
        conn.reset();
    });
    let cutting = Origin::start(|mut conn| {
        if conn.head().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            conn.close();
        }
    });
    let silent = Origin::start(|mut conn| {
        conn.head();
        conn.rest();
    });
    let garbled = Origin::answering("SSH-2.0-OpenSSH_9.6\r\n\r\n");
    let rows = [
        (&closing, "closed", "5s"),
        (&resetting, "reset", "5s"),
        (&cutting, "closed", "5s"),
        (&silent, "timeout", "50ms"),
        (&garbled, "protocol", "5s"),
        (&Origin::answering(ERROR), "server_error", "5s"),
        (&Origin::refusing(), "refused", "5s"),
    ];
    for (origin, reason, limit) in rows {
        let flags = ["--fail-timeout=10m", "--fail-on-5xx", "--response-timeout", limit];
        let proxy = Proxy::before(&[origin], &flags);
        (0..4).for_each(|_| drop(proxy.get("/")));
        let record = &proxy.plan().upstreams[0].record;
        let counted = |known: &evener::ejection_reason::EjectionReason| record.ejections(*known);
        let all = evener::ejection_reason::EjectionReason::ALL;
        let counted: Vec<_> = all.iter().filter(|known| counted(known) > 0).collect();
        assert_eq!(counted.iter().map(|known| known.name()).collect::<Vec<_>>(), [reason]);
    }
}

#[test]
fn checks_take_out_as_many_as_they_find_dead() {
    let (one, two) = (Origin::refusing(), Origin::refusing());
    let flags = ["--check", "tcp", "--check-interval=20ms", "--max-fails=off"];
    let proxy = Proxy::before(&[&one, &two], &flags);
    eventually("both are down", || proxy.get("/").status == 503);
    assert_eq!(proxy.plan().upstreams[0].endpoints.ejected(), 0);
}

#[test]
fn ejections_count_after_a_reload_and_no_further_one_is_made() {
    let (one, two, well) = (Origin::refusing(), Origin::refusing(), Origin::named("well"));
    let mut proxy = Proxy::before(&[&one, &two, &well], &FOR_GOOD);
    statuses(&proxy, 20);
    let ejected = |proxy: &Proxy| proxy.plan().upstreams[0].endpoints.ejected();
    assert_eq!(ejected(&proxy), 1);
    let to = |origins: &[&Origin]| {
        let all: Vec<_> = origins.iter().map(|origin| origin.address.to_string()).collect();
        format!("--route=/={}", all.join(","))
    };
    let more = Origin::named("more");
    proxy.reload(&[&to(&[&more, &one, &two, &well]), "--fail-timeout=10m"]).unwrap();
    assert_eq!(ejected(&proxy), 1);
    statuses(&proxy, 20);
    // Two of four may be.
    assert_eq!(ejected(&proxy), 2);
    proxy.reload(&[&to(&[&one, &two, &well]), "--fail-timeout=10m"]).unwrap();
    statuses(&proxy, 20);
    assert_eq!(ejected(&proxy), 2);
}
