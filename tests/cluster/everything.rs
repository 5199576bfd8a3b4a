//! Everything at once: ceilings and the queue, the budget of retries, clients that leave, reloads, slow start, and
//! endpoints in any trouble.

use std::num::NonZeroU32;
use std::time::Duration;

use evener::upstream::Upstream;
use evener::upstream::budget::BudgetShare;
use evener::upstream::settings::{Ceiling, Policy};

use super::random::Random;
use super::scenario::{MACHINE, S, SCENARIOS};
use super::world::{Condition, End, Ended, History, Machine, Micros, Reload, World};
use super::{seeds, settings};

/// How long requests keep coming, and when all trouble is over.
const SPAN: Micros = 8 * S;
const MENDED: Micros = 4 * S;

/// A world by chance, and the share of what its machines can take that it is offered.
fn world(random: &mut Random) -> (World, f64) {
    let count = [1, 2, 3, 4, 7, 16, 60, 1000][random.below(8)];
    let load = 0.1 + 1.4 * random.share();
    let requests = if count > 100 { 400 } else { 1500 };
    let parallel = 1 + random.below(if count < 7 { 8 } else { 3 });
    let rate = requests as f64 * 1e6 / SPAN as f64;
    let service = (load * (parallel * count) as f64 * 1e6 / rate).min(100_000.0);
    let weight = |random: &mut Random| 1 + random.below(4) as u16;
    let machine = |random: &mut Random| Machine {
        weight: weight(random),
        service: service as Micros,
        parallel,
    };
    let machines: Vec<_> = (0..count).map(|_| machine(random)).collect();
    let load = rate * service / 1e6 / (parallel * count) as f64;
    let mut world = World::new(any_settings(random, parallel), machines, 1 + random.below(4));
    (world.rate, world.requests, world.attempt_timeout) = (rate, requests, S);
    world.patience = [None, Some(S / 5), Some(2 * S)][random.below(3)];
    trouble(random, &mut world);
    reloads(random, &mut world, parallel);
    (world, load)
}

fn any_settings(random: &mut Random, parallel: usize) -> Upstream {
    let ceiling = Ceiling {
        requests_max: any_max(random, parallel),
        queue_max: [0, 1, 20, 1000, 1000][random.below(5)],
        queue_timeout: Duration::from_millis(50 + random.below(950) as u64),
    };
    let percent = BudgetShare::Percent(random.below(101) as u8);
    Upstream {
        slow_start: Duration::from_secs([0, 0, 1, 3][random.below(4)]),
        ceiling: (random.below(5) > 0).then_some(ceiling),
        retry_budget: [BudgetShare::USUAL, percent, BudgetShare::Unlimited][random.below(3)],
        ..settings(Policy::ALL[random.below(Policy::ALL.len())])
    }
}

fn any_max(random: &mut Random, parallel: usize) -> NonZeroU32 {
    NonZeroU32::new(1 + random.below(2 * parallel) as u32).unwrap()
}

/// Endpoints flap, are slow, half dead, frozen or dead, and all are mended at once. The last one is always well.
fn trouble(random: &mut Random, world: &mut World) {
    let count = world.machines.len();
    if count == 1 && random.below(2) == 0 {
        return;
    }
    let spared = usize::from(count > 1);
    for _ in 0..random.below(3 * count.min(20)) {
        let condition = match random.below(5) {
            0 => Condition::Dead,
            1 => Condition::Frozen,
            2 => Condition::Failing(random.share()),
            3 => Condition::Serving(1.0),
            _ => Condition::Serving(1.0 + 9.0 * random.share()),
        };
        let at = random.below(MENDED as usize) as Micros;
        world.script.push((at, random.below(count - spared), condition));
    }
    if random.below(3) == 0 {
        let at = random.below(MENDED as usize) as Micros;
        world.script.extend((0..count - spared).map(|place| (at, place, Condition::Dead)));
    }
    world.script.sort_by_key(|(at, ..)| *at);
    world.script.extend((0..count).map(|place| (MENDED, place, Condition::Serving(1.0))));
}

/// The ceiling changes, and endpoints leave and come back, in another order. The last one stays.
fn reloads(random: &mut Random, world: &mut World, parallel: usize) {
    let count = world.machines.len();
    for nth in 0..random.below(7) as Micros {
        let at = (1 + nth) * S / 2 + random.below(400_000) as Micros;
        let mut members: Vec<_> = (0..count).collect();
        for _ in 0..random.below(1 + count.min(8)) {
            members.swap_remove(random.below(members.len()));
        }
        members.retain(|&place| place + 1 < count);
        members.push(count - 1);
        let first = random.below(members.len());
        members.rotate_left(first);
        world.reloads.push((at, Reload { requests_max: any_max(random, parallel), members }));
    }
    let ceiling = world.upstream.ceiling.map_or(NonZeroU32::MIN, |ceiling| ceiling.requests_max);
    let all = Reload { requests_max: ceiling, members: (0..count).collect() };
    world.reloads.push((MENDED, all));
}

/// Those who were not served though they could have been.
fn unserved(ended: &[Ended]) -> usize {
    ended.iter().filter(|ended| matches!(ended.end, End::Failed | End::Shed)).count()
}

#[test]
fn whatever_happens_at_once_nothing_is_lost_and_every_bound_holds() {
    for seed in 0..50 * seeds() {
        let (world, load) = world(&mut Random::new(seed));
        // What has to hold at each step is checked there.
        let history = world.run(seed);
        nobody_starves(&world, &history, seed);
        let Upstream { ceiling, .. } = world.upstream;
        let parallel = world.machines[0].parallel;
        let is_ample = ceiling.is_none_or(|ceiling| {
            ceiling.requests_max.get() as usize >= parallel && ceiling.queue_max >= 20
        });
        if load <= 0.3 && is_ample {
            let mut late = history.ended;
            late.retain(|ended| ended.arrived > MENDED + 2 * S);
            let (lost, all) = (unserved(&late), late.len());
            assert!(lost * 50 <= all, "seed {seed}: {lost} of {all} lost after all was well");
        }
    }
}

/// All of them, in another configuration whose ceiling is so high.
fn all_under(count: usize, max: u32) -> Reload {
    Reload { requests_max: NonZeroU32::new(max).unwrap(), members: (0..count).collect() }
}

fn ceiling(max: u32) -> Ceiling {
    let requests_max = NonZeroU32::new(max).unwrap();
    Ceiling { requests_max, queue_max: 1000, queue_timeout: Duration::from_secs(1) }
}

/// One that is always well has an eighth of its part at least.
fn nobody_starves(world: &World, history: &History, seed: u64) {
    let weight = |machine: &Machine| usize::from(machine.weight);
    let all: usize = world.machines.iter().map(weight).sum();
    let (Some(own), count) = (world.machines.last().map(weight), world.machines.len()) else {
        return;
    };
    let had = history.attempts[count - 1];
    let due = history.attempts.iter().sum::<usize>() * own / all;
    assert!(count > 16 || had * 8 >= due, "seed {seed}: {had} of {due}");
}

#[test]
fn shares_follow_the_weights_through_reloads_and_whoever_leaves() {
    let (.., make) = SCENARIOS.iter().find(|known| known.0 == "weights").unwrap();
    // `least_time` goes by the times, and by weight only in the long run.
    for policy in Policy::ALL.into_iter().filter(|policy| *policy != Policy::LeastTime) {
        for seed in 0..seeds() {
            let mut world = make(Upstream { ceiling: Some(ceiling(100)), ..settings(policy) });
            (world.requests, world.keys, world.patience) = (10_000, 100_000, Some(S / 50));
            let reload = |nth| (S / 10 * nth, all_under(4, 100 + nth as u32));
            world.reloads = (1..7).map(reload).collect();
            let shares = world.run(seed).shares();
            let within = if policy == Policy::RoundRobin { 0.01 } else { 0.04 };
            for (share, due) in shares.into_iter().zip([0.1, 0.2, 0.3, 0.4]) {
                let is_due = (share - due).abs() <= within;
                assert!(is_due, "{policy:?}, seed {seed}: {share:.3} of {due}");
            }
        }
    }
}

#[test]
fn when_all_return_at_once_everybody_is_served_again_and_each_has_its_share() {
    for policy in Policy::ALL {
        for seed in 0..seeds() {
            let slow_start = Duration::from_secs(2);
            let settings = Upstream { slow_start, ceiling: Some(ceiling(4)), ..settings(policy) };
            let machines = vec![Machine { service: 20_000, ..MACHINE }; 4];
            let mut world = World::new(settings, machines, 3);
            (world.rate, world.requests) = (200.0, 3600);
            let turn = |at, condition| (0..4).map(move |place| (at, place, condition));
            world.script = turn(2 * S, Condition::Dead).collect();
            world.script.extend(turn(3 * S, Condition::Serving(1.0)));
            let history = world.run(seed);
            let case = format!("{policy:?}, seed {seed}");
            assert!(unserved(&history.within(2 * S, 3 * S)) > 0, "{case}: nothing was wrong");
            let late = history.within(7 * S / 2, 18 * S);
            assert_eq!(unserved(&late), 0, "{case}");
            // Those that were ejected for 5 s have had their slow start by then.
            let last = history.within(11 * S, 17 * S);
            for place in 0..4 {
                let own = last.iter().filter(|ended| ended.endpoint == Some(place)).count();
                assert!(own * 8 >= last.len(), "{case}: {own} of {} at {place}", last.len());
            }
        }
    }
}
