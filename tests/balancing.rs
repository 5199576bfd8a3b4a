//! Requests are distributed evenly over the endpoints.

use std::collections::HashMap;

use crate::support::{Origin, Proxy};

fn spread(bodies: impl Iterator<Item = String>) -> HashMap<String, usize> {
    bodies.fold(HashMap::new(), |mut counts, body| {
        *counts.entry(body).or_default() += 1;
        counts
    })
}

#[test]
fn three_hundred_requests_over_one_connection_are_even() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let proxy = Proxy::before(&[&a, &b], &[]);
    let mut client = proxy.client();
    let counts = spread((0..300).map(|_| {
        client.get("/");
        client.response().text()
    }));
    assert_eq!((counts["a"], counts["b"]), (150, 150));
}

#[test]
fn three_hundred_requests_over_many_connections_and_workers_are_even() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let proxy = Proxy::before(&[&a, &b], &["--threads", "2"]);
    let counts = spread((0..300).map(|_| proxy.get("/").text()));
    assert!(counts["a"].abs_diff(150) <= 1, "{counts:?}");
}

#[test]
fn weights_share_out_the_requests() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let route = format!("/={}@3,{}", a.address, b.address);
    let proxy = Proxy::start(&["--route", &route]);
    let counts = spread((0..40).map(|_| proxy.get("/").text()));
    assert_eq!((counts["a"], counts["b"]), (30, 10));
}
