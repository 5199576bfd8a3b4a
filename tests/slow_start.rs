//! Endpoints that are added, or come back, get their share little by little.

use std::num::NonZeroU16;

use evener::address::Address;
use evener::config::describe::summary;
use evener::upstream::endpoint::Endpoint;

use super::configuration::read;
use crate::support::{Origin, Proxy};

/// Of 99 requests, how many this one has.
fn share(proxy: &Proxy, name: &str) -> usize {
    let mut client = proxy.client();
    let is_its = |_: &i32| {
        client.get("/");
        client.response().text() == name
    };
    (0..99).filter(is_its).count()
}

#[test]
fn an_endpoint_that_a_reload_adds_starts_with_a_sixteenth() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let mut proxy = Proxy::before(&[&a, &b], &["--slow-start", "1h"]);
    assert!((49..=50).contains(&share(&proxy, "b")));
    let flags = |origins: &[&Origin]| {
        let addresses: Vec<_> = origins.iter().map(|origin| origin.address.to_string()).collect();
        format!("--route=/={}", addresses.join(","))
    };
    let three = flags(&[&a, &b, &c]);
    proxy.reload(&[&three, "--slow-start", "1h"]).unwrap();
    assert_eq!(share(&proxy, "c"), 3);
    // Another reload changes nothing about that.
    proxy.reload(&[&three, "--slow-start", "1h", "--max-fails", "4"]).unwrap();
    assert_eq!(share(&proxy, "c"), 3);
    proxy.reload(&[&three]).unwrap();
    assert_eq!(share(&proxy, "c"), 33);
}

#[test]
fn one_that_is_added_without_a_reload_does_too() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let mut proxy = Proxy::before(&[&a, &b], &["--slow-start", "1h"]);
    let endpoint =
        |origin: &Origin| Endpoint::new(Address::Tcp(origin.address), NonZeroU16::MIN, 1);
    proxy.replace("/", [&a, &b, &c].map(endpoint).into()).unwrap();
    assert_eq!(share(&proxy, "c"), 3);
    proxy.replace("/", [&c, &b, &a].map(endpoint).into()).unwrap();
    assert_eq!(share(&proxy, "c"), 3);
}

#[test]
fn it_is_written_for_an_upstream_or_for_all() {
    let with = |upstream: &str, flags: &[&str]| {
        let text = format!(
            "routes: [{{prefix: /, upstream: u}}]\n\
             upstreams: [{{name: u, endpoints: [127.0.0.1:1], {upstream}}}]\n"
        );
        read(&text, flags).map(|config| summary(&config))
    };
    let all = with("policy: random", &["--slow-start=20s"]).unwrap();
    assert!(all.contains("upstream u: random with a slow start over 20s, "), "{all}");
    let own = with("slow_start: 1m", &["--slow-start=20s"]).unwrap();
    assert!(own.contains(" with a slow start over 1m, "), "{own}");
    for off in [with("slow_start: off", &["--slow-start=20s"]), with("policy: hash", &[])] {
        assert!(!off.unwrap().contains("slow start"));
    }
    for value in ["1ms", "2h", "0s", "on", "-1s"] {
        let mistakes = with(&format!("slow_start: {value}"), &[]).unwrap_err();
        assert!(mistakes[0].starts_with("2:"), "{value}: {mistakes:?}");
    }
}
