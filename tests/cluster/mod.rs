//! Balancing, health and what follows from them, on a virtual clock over many seeds.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "shares and times, far from any bound"
)]

mod attempts;
mod everything;
mod history;
mod invariants;
mod ledger;
mod plans;
mod random;
mod run;
mod scenario;
mod servers;
mod world;

use evener::upstream::Upstream;
use evener::upstream::endpoint_set::EndpointSet;
use evener::upstream::settings::Policy;

use random::Random;
use scenario::{MACHINE, S, SCENARIOS, loaded};
use world::{Condition, History, Machine, World};

/// The seeds of each test: one, or as many as `EVENER_SEEDS` says; a failure names its own.
fn seeds() -> u64 {
    std::env::var("EVENER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1)
}

fn settings(policy: Policy) -> Upstream {
    Upstream { policy, ..Upstream::sample(EndpointSet::new([])) }
}

/// What becomes of a scenario, under each policy and each seed.
fn live(name: &str, check: impl Fn(&World, &History, &str)) {
    let (.., make) = SCENARIOS.iter().find(|known| known.0 == name).unwrap();
    for policy in Policy::ALL {
        for seed in 0..seeds() {
            let world = make(settings(policy));
            let history = world.run(seed);
            check(&world, &history, &format!("{name}, {policy:?}, seed {seed}"));
        }
    }
}

/// Every request has ended, and no endpoint is thought to have any.
fn nothing_is_left(world: &World, history: &History, case: &str) {
    assert_eq!(history.ended.len(), world.requests, "{case}");
    for endpoint in world.upstream.endpoints.iter() {
        assert_eq!(endpoint.record.in_flight.get(), 0, "{case}");
    }
}

#[test]
fn an_endpoint_that_fails_is_hidden_from_clients() {
    for name in ["killed", "frozen", "flapping", "half-dead"] {
        live(name, |world, history, case| {
            nothing_is_left(world, history, case);
            assert!(history.failed() <= 0.001, "{case}: {:.4} failed", history.failed());
        });
    }
}

#[test]
fn shares_follow_the_weights_under_load() {
    live("weights", |world, history, case| {
        let within = if world.upstream.policy == Policy::RoundRobin { 0.01 } else { 0.03 };
        for (share, due) in history.shares().into_iter().zip([0.1, 0.2, 0.3, 0.4]) {
            assert!((share - due).abs() <= within, "{case}: {share:.3} of {due}");
        }
    });
}

#[test]
fn policies_that_go_by_load_do_not_wait_for_a_slow_endpoint() {
    let p99 = |policy| {
        let (.., make) = SCENARIOS.iter().find(|known| known.0 == "slow").unwrap();
        let history = make(settings(policy)).run(0);
        assert!(history.attempts[0] > 100, "{policy:?}: starved");
        history.quantile(0.99)
    };
    let round_robin = p99(Policy::RoundRobin);
    for policy in [Policy::LeastRequests, Policy::TwoChoices, Policy::LeastTime] {
        let own = p99(policy);
        assert!(own * 5 <= round_robin, "{policy:?}: {own} µs, round robin {round_robin} µs");
    }
}

#[test]
fn what_returns_has_its_share_again() {
    // It was ejected for 5 s at most when it came back.
    live("killed", |_, history, case| {
        let late = history.within(7 * S, 8 * S);
        let own = late.iter().filter(|ended| ended.endpoint == Some(0)).count();
        assert!(own * 8 > late.len(), "{case}: {own} of {}", late.len());
    });
}

#[test]
fn after_an_outage_of_all_every_request_is_served_again() {
    live("outage", |world, history, case| {
        nothing_is_left(world, history, case);
        let failed = |from, to| {
            history.within(from, to).iter().filter(|ended| ended.endpoint.is_none()).count()
        };
        assert!(failed(2 * S, 3 * S) > 0, "{case}: there was none");
        assert_eq!(failed(3 * S + S / 10, 9 * S), 0, "{case}");
    });
}

#[test]
fn endpoints_of_any_number_in_any_trouble_lose_no_request() {
    for seed in 0..40 * seeds() {
        let mut random = Random::new(seed);
        let count = [1, 2, 3, 4, 7, 16, 100, 1000][random.below(8)];
        let policy = Policy::ALL[random.below(Policy::ALL.len())];
        let machine = |_| Machine { weight: 1 + random.below(4) as u16, ..MACHINE };
        let machines: Vec<_> = (0..count).map(machine).collect();
        let mut world = loaded(World::new(settings(policy), machines, 1 + random.below(3)), 0.4);
        world.requests = 4000;
        let end = (f64::from(4000) / world.rate * S as f64) as u64;
        // The last one is always well.
        for _ in 0..random.below(2 * count) {
            let condition = match random.below(4) {
                0 => Condition::Dead,
                1 => Condition::Frozen,
                2 => Condition::Failing(random.share()),
                _ => Condition::Serving(1.0 + 9.0 * random.share()),
            };
            let at = (random.share() * end as f64) as u64;
            world.script.push((at, random.below(count.max(2) - 1), condition));
        }
        world.script.retain(|(_, place, _)| place + 1 < count);
        let history = world.run(seed);
        let case = format!("{count} endpoints, {policy:?}, seed {seed}");
        nothing_is_left(&world, &history, &case);
        assert!(count == 1 || history.attempts[count - 1] > 0 || count == 1000, "{case}: starved");
    }
}
