//! Clusters worth a look, by name.

use evener::upstream::Upstream;

use super::world::{Condition, Machine, Micros, World};

/// A scenario: its name, what happens in it, and how it begins with these settings.
pub type Scenario = (&'static str, &'static str, fn(Upstream) -> World);

/// All of them. Every machine serves 4 requests at a time in 2 ms each: 2000 a second.
pub const SCENARIOS: &[Scenario] = &[
    ("equal", "four equal endpoints at 70 % of what they can", |settings| {
        loaded(World::new(settings, machines(&[1; 4]), 2), 0.7)
    }),
    ("weights", "weights 1, 2, 3 and 4, each machine as strong as its weight says", |settings| {
        let machines = [1, 2, 3, 4].map(|weight| Machine {
            weight,
            parallel: 4 * usize::from(weight),
            ..MACHINE
        });
        loaded(World::new(settings, machines.into(), 2), 0.7)
    }),
    ("slow", "one endpoint of four is ten times slower; 25 % load", |settings| {
        let world = World::new(settings, machines(&[1; 4]), 2);
        scripted(loaded(world, 0.25), &[(0, 0, Condition::Serving(10.0))])
    }),
    (
        "degrades",
        "one of four turns ten times slower at 2 s, and is itself again at 6 s",
        |settings| {
            let world = World::new(settings, machines(&[1; 4]), 2);
            let script =
                [(2 * S, 0, Condition::Serving(10.0)), (6 * S, 0, Condition::Serving(1.0))];
            scripted(loaded(world, 0.25), &script)
        },
    ),
    ("killed", "one of four is killed at 2 s and started again at 4 s", |settings| {
        let world = World::new(settings, machines(&[1; 4]), 2);
        let script = [(2 * S, 0, Condition::Dead), (4 * S, 0, Condition::Serving(1.0))];
        scripted(loaded(world, 0.5), &script)
    }),
    ("frozen", "one of four answers nothing from 2 s to 4 s", |settings| {
        let world = World::new(settings, machines(&[1; 4]), 2);
        let script = [(2 * S, 0, Condition::Frozen), (4 * S, 0, Condition::Serving(1.0))];
        scripted(loaded(world, 0.5), &script)
    }),
    ("flapping", "one of four dies and comes back every 100 ms", |settings| {
        let world = World::new(settings, machines(&[1; 4]), 2);
        let turn = |nth: u64| {
            let condition =
                if nth.is_multiple_of(2) { Condition::Dead } else { Condition::Serving(1.0) };
            (S + nth * S / 10, 0, condition)
        };
        scripted(loaded(world, 0.5), &(0..60).map(turn).collect::<Vec<_>>())
    }),
    ("half-dead", "one of four fails half of its requests from 2 s on", |settings| {
        let world = World::new(settings, machines(&[1; 4]), 2);
        scripted(loaded(world, 0.5), &[(2 * S, 0, Condition::Failing(0.5))])
    }),
    ("outage", "all four are dead from 2 s to 3 s", |settings| {
        let world = World::new(settings, machines(&[1; 4]), 2);
        let down = (0..4).map(|place| (2 * S, place, Condition::Dead));
        let up = (0..4).map(|place| (3 * S, place, Condition::Serving(1.0)));
        scripted(loaded(world, 0.5), &down.chain(up).collect::<Vec<_>>())
    }),
    ("thousand", "a thousand equal endpoints at 70 %", |settings| {
        let mut world = loaded(World::new(settings, machines(&[1; 1000]), 2), 0.7);
        world.requests = 200_000;
        world.keys = 100_000;
        world
    }),
];

/// A second.
pub const S: Micros = 1_000_000;

/// What a machine is unless something else is said.
pub const MACHINE: Machine = Machine { weight: 1, service: 2000, parallel: 4 };

/// Machines with these weights.
pub fn machines(weights: &[u16]) -> Vec<Machine> {
    weights.iter().map(|&weight| Machine { weight, ..MACHINE }).collect()
}

/// Under this share of the load that all machines together can take, for 8 s.
pub fn loaded(mut world: World, share: f64) -> World {
    let most = |machine: &Machine| machine.parallel as f64 * 1e6 / machine.service as f64;
    world.rate = share * world.machines.iter().map(most).sum::<f64>();
    world.requests = (world.rate * 8.0) as usize;
    world
}

fn scripted(mut world: World, script: &[(Micros, usize, Condition)]) -> World {
    world.script = script.to_vec();
    world
}
