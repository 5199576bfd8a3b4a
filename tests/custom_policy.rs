//! Policies that a program brings along: whom they choose among, and what comes of their choice.

use std::sync::Arc;

use evener::{Config, CustomPolicy, PolicyCandidate, RouteBuilder, UpstreamBuilder};

use crate::support::{Origin, Proxy};

/// Always this place.
struct Place(usize);

impl CustomPolicy for Place {
    fn pick(&self, candidates: &[PolicyCandidate<'_>], _: u64) -> usize {
        assert!(!candidates.is_empty());
        self.0
    }
}

/// The one with the highest weight.
struct Heaviest;

impl CustomPolicy for Heaviest {
    fn pick(&self, candidates: &[PolicyCandidate<'_>], _: u64) -> usize {
        let weight = |(_, candidate): &(usize, &PolicyCandidate<'_>)| candidate.weight;
        candidates.iter().enumerate().max_by_key(weight).map_or(0, |(place, _)| place)
    }
}

fn proxy(policy: impl CustomPolicy, endpoints: &[&str]) -> Proxy {
    let upstream = UpstreamBuilder::new("app").custom_policy(Arc::new(policy));
    let upstream = endpoints.iter().fold(upstream, |upstream, at| upstream.endpoint(at));
    let route = RouteBuilder::prefix("/").upstream("app");
    let config = Config::builder().listen("127.0.0.1:0").threads(1).check("off");
    Proxy::configured(config.upstream(upstream).route(route).build().unwrap())
}

#[test]
fn the_place_it_names_is_picked_and_one_that_there_is_not_stands_for_the_first() {
    let origins = ["one", "two", "three"].map(Origin::named);
    let addresses = origins.each_ref().map(|origin| origin.address.to_string());
    let endpoints = addresses.each_ref().map(String::as_str);
    for (place, name) in [(0, "one"), (2, "three"), (3, "one"), (usize::MAX, "one")] {
        let proxy = proxy(Place(place), &endpoints);
        let texts = [(); 3].map(|()| proxy.get("/").text());
        assert_eq!(texts, [name; 3], "{place}");
    }
}

#[test]
fn it_sees_weights_and_only_whom_it_may_choose() {
    let (refusing, second) = (Origin::refusing(), Origin::named("second"));
    let third = Origin::named("third");
    let endpoints = [(&third, 1), (&refusing, 3), (&second, 2)];
    let endpoints = endpoints.map(|(origin, weight)| format!("{}@{weight}", origin.address));
    let proxy = proxy(Heaviest, &endpoints.each_ref().map(String::as_str));
    assert_eq!([proxy.get("/").text(), proxy.get("/").text()], ["second", "second"]);
    assert!(proxy.attempts(1) >= 1);
}
