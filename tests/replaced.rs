//! Endpoints that are replaced while everything else stays: what is kept, and what ends.

use std::num::NonZeroU16;
use std::sync::Arc;

use evener::address::Address;
use evener::upstream::endpoint::Endpoint;
use evener::upstream::settings::Policy;

use crate::support::origin::ok;
use crate::support::proxy::config;
use crate::support::{Client, Origin, Proxy, Rendezvous};

/// Answers every request with its name and the index of its connection.
fn named(name: &'static str) -> Origin {
    Origin::start(move |mut conn| {
        while conn.head().is_some() {
            let text = format!("{name}{}", conn.index);
            conn.send(ok(&text));
        }
    })
}

/// Answers its first request when it has been waited for twice, and all others at once.
fn held() -> (Origin, Rendezvous) {
    let both = Rendezvous::default();
    let ours = both.clone();
    let origin = Origin::start(move |mut conn| {
        let mut is_held = conn.index == 0;
        while conn.head().is_some() {
            if std::mem::take(&mut is_held) {
                ours.wait();
                ours.wait();
            }
            conn.send(ok("held"));
        }
    });
    (origin, both)
}

fn endpoints(origins: &[&Origin]) -> Vec<Endpoint> {
    let endpoint =
        |origin: &&Origin| Endpoint::new(Address::Tcp(origin.address), NonZeroU16::MIN, 1);
    origins.iter().map(endpoint).collect()
}

fn texts(client: &mut Client, count: usize) -> Vec<String> {
    let mut text = || {
        client.get("/");
        client.response().text()
    };
    (0..count).map(|_| text()).collect()
}

#[test]
fn endpoints_that_stay_keep_their_connections_and_counters() {
    let (stays, goes, comes) = (named("stays"), named("goes"), named("comes"));
    let mut proxy = Proxy::before(&[&stays, &goes], &[]);
    let mut client = proxy.client();
    assert_eq!(texts(&mut client, 2), ["stays0", "goes0"]);
    proxy.replace("/", endpoints(&[&comes, &stays])).unwrap();
    assert_eq!(texts(&mut client, 3), ["stays0", "comes0", "stays0"]);
    assert_eq!((proxy.attempts(0), proxy.attempts(1)), (1, 3));
    assert_eq!(proxy.count(|metrics| &metrics.accepted), 1);
}

#[test]
fn the_idle_connections_of_one_that_goes_are_closed() {
    let (goes, ended) = Origin::left("bye");
    let mut proxy = Proxy::before(&[&goes], &[]);
    assert_eq!(proxy.get("/").text(), "bye");
    proxy.replace("/", endpoints(&[&named("comes")])).unwrap();
    ended.wait();
}

#[test]
fn they_are_closed_even_while_a_request_holds_what_was_replaced() {
    let ((goes, ended), (held, both)) = (Origin::left("bye"), held());
    let mut proxy = Proxy::before(&[&goes, &held], &[]);
    assert_eq!(proxy.get("/").text(), "bye");
    let mut client = proxy.client();
    client.get("/");
    both.wait();
    proxy.replace("/", endpoints(&[&named("comes")])).unwrap();
    ended.wait();
    both.wait();
    assert_eq!(client.response().text(), "held");
}

#[test]
fn health_outlives_a_replacement() {
    let (dead, healthy, comes) = (Origin::refusing(), named("healthy"), named("comes"));
    let mut proxy = Proxy::before(&[&dead, &healthy], &["--fail-timeout", "10m"]);
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(proxy.attempts(0), 3);
    proxy.replace("/", endpoints(&[&comes, &healthy, &dead])).unwrap();
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(proxy.attempts(2), 3);
}

#[test]
fn a_response_under_way_comes_whole_though_its_endpoint_has_gone() {
    let ((goes, hold), comes) = (held(), named("comes"));
    let mut proxy = Proxy::before(&[&goes], &[]);
    let mut client = proxy.client();
    client.get("/");
    hold.wait();
    proxy.replace("/", endpoints(&[&comes])).unwrap();
    assert_eq!(proxy.get("/").text(), "comes0");
    hold.wait();
    assert_eq!(client.response().text(), "held");
    assert_eq!(texts(&mut client, 1), ["comes0"]);
}

#[test]
fn what_began_before_counts_for_least_requests_until_it_ends() {
    let ((busy, hold), idle) = (held(), named("idle"));
    let route = format!("--route=/={},{}", busy.address, idle.address);
    let mut config = config(&[&route]);
    let plan = Arc::get_mut(&mut config.plan).unwrap();
    Arc::get_mut(&mut plan.upstreams[0]).unwrap().policy = Policy::LeastRequests;
    let mut proxy = Proxy::configured(config);
    let mut waiting = proxy.client();
    waiting.get("/");
    hold.wait();
    proxy.replace("/", endpoints(&[&busy, &idle])).unwrap();
    let mut client = proxy.client();
    assert_eq!(texts(&mut client, 3), ["idle0"; 3]);
    hold.wait();
    assert_eq!(waiting.response().text(), "held");
    assert!(texts(&mut client, 2).contains(&"held".to_owned()));
}

#[test]
fn an_upstream_that_is_not_there_has_no_endpoints() {
    let mut proxy = Proxy::before(&[&named("a")], &[]);
    assert_eq!(proxy.replace("b", Vec::new()), Err("there is no upstream \"b\"".to_owned()));
    proxy.replace("/", Vec::new()).unwrap();
    assert_eq!(proxy.get("/").status, 503);
}
