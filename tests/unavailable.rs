//! Upstreams that have nobody left to ask, and who is told.

use serde_json::json;

use crate::support::origin::ok;
use crate::support::{Admin, Origin, eventually};

const GAUGE: &str = "evener_upstream_available{upstream=\"/\"}";

#[test]
fn an_upstream_without_endpoints_is_said_everywhere_and_once() {
    let dead = Origin::refusing();
    let admin = Admin::before(&[&dead], &["--check", "tcp", "--check-interval", "20ms"]);
    admin.until(0, "down");
    eventually("it is logged", || {
        admin.process.says("/: no endpoint is left: requests are answered")
    });
    let status = admin.status();
    assert_eq!(status["unavailable"], json!(["/"]));
    assert_eq!(status["upstreams"][0]["availability"], "down");
    assert_eq!(admin.metric(GAUGE), 0);
    assert_eq!(admin.get("/readyz").status, 200);
    let answer = admin.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("every endpoint of this route is down"));
    let _back = dead.recovers(|mut conn| {
        while conn.head().is_some() {
            conn.send(ok("back"));
        }
    });
    admin.until(0, "up");
    eventually("so is its return", || admin.process.says("/: endpoints are available again"));
    assert_eq!((&admin.status()["unavailable"], admin.metric(GAUGE)), (&json!([]), 1));
    admin.process.signal("INT");
    let (_, lines) = admin.process.end();
    assert_eq!(lines.iter().filter(|line| line.contains("no endpoint is left")).count(), 1);
}

#[test]
fn endpoints_taken_out_by_hand_are_told_from_dead_ones() {
    let origin = Origin::named("o");
    let admin = Admin::before(&[&origin], &[]);
    assert_eq!(admin.order(&origin, "drain").status, 200);
    let answer = admin.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("has been taken out of service"), "{}", answer.text());
    assert_eq!(admin.status()["upstreams"][0]["availability"], "drained");
    let said = "/: every endpoint has been taken out of service: requests";
    eventually("it is logged", || admin.process.says(said));
    assert_eq!(admin.order(&origin, "ready").status, 200);
    assert_eq!((&admin.status()["unavailable"], admin.metric(GAUGE)), (&json!([]), 1));
}
