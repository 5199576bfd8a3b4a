//! Picks of an endpoint, by policy and by the number of endpoints.

use std::hint::black_box;
use std::num::NonZeroU16;
use std::sync::Arc;

use evener::address::Address;
use evener::balance::tried::Tried;
use evener::balance::{Affinity, Pick, Picker};
use evener::upstream::Upstream;
use evener::upstream::endpoint::Endpoint;
use evener::upstream::endpoint_set::EndpointSet;
use evener::upstream::health::Tick;
use evener::upstream::settings::Policy;

use super::Case;

type Make = fn(&str) -> Case;

pub const CASES: &[(&str, Make)] = &[
    ("pick of 1", |name| round_robin(name, 1)),
    ("pick of 4", |name| round_robin(name, 4)),
    ("pick of 100", |name| round_robin(name, 100)),
    ("pick of 1000", |name| round_robin(name, 1000)),
    ("pick of 10000", |name| round_robin(name, 10_000)),
    ("pick of 1000 with 10 weights", |name| weighted(name, 1000, 10)),
    ("pick of 1000 with 1000 weights", |name| weighted(name, 1000, 1000)),
    ("pick of 4, least requests", |name| least_requests(name, 4)),
    ("pick of 100, least requests", |name| least_requests(name, 100)),
    ("pick of 1000, least requests", |name| least_requests(name, 1000)),
    ("pick of 10000, least requests", |name| least_requests(name, 10_000)),
];

fn picker(count: u16, weights: u16, policy: Policy) -> Picker {
    let endpoint = |port: u16| {
        let address = Address::Tcp(([192, 0, 2, 1], port).into());
        Endpoint::new(address, NonZeroU16::new(port % weights + 1).unwrap(), 1)
    };
    let endpoints = EndpointSet::new((1..=count).map(endpoint));
    Picker::new(Arc::new(Upstream { policy, ..Upstream::sample(endpoints) }), 0)
}

fn pick(now: Tick, tried: &Tried) -> Pick<'_> {
    Pick { now, affinity: Affinity::default(), tried, random: 1 }
}

fn round_robin(name: &str, count: u16) -> Case {
    weighted(name, count, 1)
}

fn weighted(name: &str, count: u16, weights: u16) -> Case {
    let mut picker = picker(count, weights, Policy::RoundRobin);
    let (now, tried) = (Tick::from_millis(1), Tried::default());
    Case::new(name, move || {
        black_box(picker.pick(&pick(black_box(now), &tried)).unwrap());
    })
}

/// With what follows: a request begins, and another one ends.
fn least_requests(name: &str, count: u16) -> Case {
    let mut picker = picker(count, 1, Policy::LeastRequests);
    let (now, tried) = (Tick::from_millis(1), Tried::default());
    let mut under_way = std::collections::VecDeque::new();
    Case::new(name, move || {
        let endpoint = picker.pick(&pick(black_box(now), &tried)).unwrap().endpoint;
        picker.upstream().endpoint(endpoint).record.counts[0].begun.add(1);
        picker.in_flight_changed(endpoint);
        under_way.push_back(endpoint);
        if under_way.len() > 64
            && let Some(ended) = under_way.pop_front()
        {
            picker.upstream().endpoint(ended).record.counts[0].ended.add(1);
            picker.in_flight_changed(ended);
        }
    })
}
