//! Picks of an endpoint, by policy and by the number of endpoints.

use std::collections::VecDeque;
use std::hint::black_box;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use evener::address::Address;
use evener::balance::tried::Tried;
use evener::balance::{Affinity, AttemptOutcome, Pick, Picker, Standing};
use evener::hash::mix;
use evener::upstream::Upstream;
use evener::upstream::endpoint::Endpoint;
use evener::upstream::endpoint_set::EndpointSet;
use evener::upstream::health::Tick;
use evener::upstream::settings::Policy;

use super::Case;

type Make = fn(&str) -> Case;

pub const CASES: &[(&str, Make)] = &[
    ("pick of 1", |name| in_turn(name, 1, 1)),
    ("pick of 4", |name| in_turn(name, 4, 1)),
    ("pick of 100", |name| in_turn(name, 100, 1)),
    ("pick of 1000", |name| in_turn(name, 1000, 1)),
    ("pick of 10000", |name| in_turn(name, 10_000, 1)),
    ("pick of 1000 with 10 weights", |name| in_turn(name, 1000, 10)),
    ("pick of 1000 with 1000 weights", |name| in_turn(name, 1000, 1000)),
    ("pick of 4, random", |name| by_chance(name, 4)),
    ("pick of 1000, random", |name| by_chance(name, 1000)),
    ("pick of 10000, random", |name| by_chance(name, 10_000)),
    ("pick of 4, least requests", |name| counted(name, 4, Policy::LeastRequests)),
    ("pick of 1000, least requests", |name| counted(name, 1000, Policy::LeastRequests)),
    ("pick of 10000, least requests", |name| counted(name, 10_000, Policy::LeastRequests)),
    ("pick of 4, two choices", |name| counted(name, 4, Policy::TwoChoices)),
    ("pick of 1000, two choices", |name| counted(name, 1000, Policy::TwoChoices)),
    ("pick of 10000, two choices", |name| counted(name, 10_000, Policy::TwoChoices)),
    ("pick of 4, least time", |name| counted(name, 4, Policy::LeastTime)),
    ("pick of 1000, least time", |name| counted(name, 1000, Policy::LeastTime)),
    ("pick of 10000, least time", |name| counted(name, 10_000, Policy::LeastTime)),
    ("pick of 4, hash", |name| counted(name, 4, Policy::Hash)),
    ("pick of 1000, hash", |name| counted(name, 1000, Policy::Hash)),
    ("pick of 10000, hash", |name| counted(name, 10_000, Policy::Hash)),
    ("slots of 4", |name| slots(name, 4)),
    ("slots of 1000", |name| slots(name, 1000)),
];

fn picker(count: u16, weights: u16, policy: Policy) -> Picker {
    let endpoint = |port: u16| {
        let address = Address::Tcp(([192, 0, 2, 1], port).into());
        Endpoint::new(address, NonZeroU16::new(port % weights + 1).unwrap(), 1)
    };
    let endpoints = EndpointSet::new((1..=count).map(endpoint));
    Picker::new(Arc::new(Upstream { policy, ..Upstream::sample(endpoints) }), 0)
}

/// The picks that requests with different keys make, one after the other.
fn picks(
    mut picker: Picker,
    mut pick: impl FnMut(&mut Picker, &Pick<'_>) + 'static,
) -> impl FnMut() {
    let (now, tried, mut random) = (Tick::from_millis(1), Tried::default(), 1);
    move || {
        random = mix(random);
        let affinity = Affinity { key: Some(random), sticky: None };
        let (now, standing) = (black_box(now), Standing::Newcomer);
        pick(&mut picker, &Pick { now, affinity, tried: &tried, random, standing });
    }
}

fn in_turn(name: &str, count: u16, weights: u16) -> Case {
    let picker = picker(count, weights, Policy::RoundRobin);
    Case::new(
        name,
        picks(picker, |picker, pick| {
            black_box(picker.pick(pick).unwrap());
        }),
    )
}

fn by_chance(name: &str, count: u16) -> Case {
    let picker = picker(count, 1, Policy::Random);
    Case::new(
        name,
        picks(picker, |picker, pick| {
            black_box(picker.pick(pick).unwrap());
        }),
    )
}

/// With what follows: a request begins, and another one is answered and ends.
fn counted(name: &str, count: u16, policy: Policy) -> Case {
    let mut under_way = VecDeque::new();
    let case = move |picker: &mut Picker, pick: &Pick<'_>| {
        let endpoint = picker.pick(pick).unwrap().endpoint;
        picker.upstream().endpoint(endpoint).record.in_flight.add();
        under_way.push_back(endpoint);
        if under_way.len() > 64
            && let Some(ended) = under_way.pop_front()
        {
            picker.observe(ended, Duration::from_micros(900), AttemptOutcome::Answered);
            picker.upstream().endpoint(ended).record.in_flight.remove();
            picker.in_flight_changed(ended);
        }
    };
    Case::new(name, picks(picker(count, 1, policy), case))
}

/// Which keys belong to which endpoint, worked out.
fn slots(name: &str, count: u16) -> Case {
    let picker = picker(count, 1, Policy::RoundRobin);
    let endpoints = picker.upstream().endpoints.to_vec();
    Case::new(name, move || {
        black_box(EndpointSet::new(endpoints.iter().cloned()).slots());
    })
}
