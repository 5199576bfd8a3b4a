//! Shows how evenly connections lie on workers, by the hash of the kernel and with the decision that workers make; see
//! tools/scale.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, clippy::print_stdout)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "shares and times, far from any bound"
)]
#![allow(dead_code, reason = "tests/cluster uses the rest")]

#[path = "../tests/cluster/random.rs"]
mod random;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use evener::placement::{WorkerLoads, WorkerPlace};

use random::Random;

/// How long a connection is on its way to another worker, in microseconds: more than it takes a worker that is at work.
const WAY: u64 = 200;

/// Who decides where a connection is served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The hash that has chosen who accepts it.
    Hash,
    /// Whoever accepts it.
    Worker,
}

/// What happens at a time in microseconds: connections that arrive at another worker, or end.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(u64, usize),
    Ends(usize),
    Second,
}

struct World {
    rule: Rule,
    random: Random,
    places: Vec<WorkerPlace>,
    sessions: Vec<usize>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    open: usize,
    accepted: usize,
    given: usize,
}

impl World {
    fn new(rule: Rule, workers: usize, seed: u64) -> Self {
        let loads = WorkerLoads::new(workers);
        let places: Vec<_> = (0..workers).map(|index| WorkerPlace::new(&loads, index)).collect();
        for place in &places {
            place.set_open(true);
        }
        let (random, sessions) = (Random::new(seed), vec![0; workers]);
        let events = BinaryHeap::from([Reverse((1_000_000, Event::Second))]);
        Self { rule, random, places, sessions, events, open: 0, accepted: 0, given: 0 }
    }

    /// Lets happen what happens until then.
    fn go_on(&mut self, now: u64) {
        while self.events.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Reverse((at, event)) = self.events.pop().unwrap();
            match event {
                Event::Arrives(life, worker) => {
                    self.begin(worker, at, life);
                    self.places[worker].loads().arrived(worker, 1, at / 1000);
                }
                Event::Ends(worker) => {
                    self.open -= 1;
                    self.sessions[worker] -= 1;
                    self.places[worker].session_ended(self.sessions[worker]);
                }
                Event::Second => {
                    self.places.iter().for_each(WorkerPlace::look);
                    self.events.push(Reverse((at + 1_000_000, Event::Second)));
                }
            }
        }
    }

    /// A connection comes that lasts for so long.
    fn accept(&mut self, now: u64, life: u64) {
        let worker = self.random.below(self.places.len());
        self.open += 1;
        self.accepted += 1;
        let chosen = match self.rule {
            Rule::Hash => None,
            Rule::Worker => self.places[worker].choose(self.open, || now / 1000),
        };
        match chosen {
            None => self.begin(worker, now, life),
            Some(other) => {
                self.given += 1;
                self.events.push(Reverse((now + WAY, Event::Arrives(life, other))));
            }
        }
    }

    fn begin(&mut self, worker: usize, now: u64, life: u64) {
        self.sessions[worker] += 1;
        self.places[worker].session_begun(self.sessions[worker]);
        self.events.push(Reverse((now.saturating_add(life), Event::Ends(worker))));
    }

    /// The connections of the worker that has most, by the mean.
    fn ratio(&self) -> f64 {
        let mean = self.open as f64 / self.sessions.len() as f64;
        *self.sessions.iter().max().unwrap() as f64 / mean
    }

    fn given(&self) -> f64 {
        100.0 * self.given as f64 / self.accepted as f64
    }
}

/// So many that come within a moment and stay: the mean and the highest ratio, and the share that is given away.
fn staying(rule: Rule, connections: u64, workers: usize, trials: u64) -> (f64, f64, f64) {
    let (mut sum, mut highest, mut given) = (0.0, 0.0_f64, 0.0);
    for seed in 0..trials {
        let mut world = World::new(rule, workers, seed);
        for connection in 0..connections {
            world.go_on(connection * 50);
            world.accept(connection * 50, u64::MAX);
        }
        world.go_on(connections * 50 + WAY);
        sum += world.ratio();
        highest = highest.max(world.ratio());
        given += world.given();
    }
    (sum / trials as f64, highest, given / trials as f64)
}

/// Connections at random, so many a second, that last for a time in milliseconds: the mean ratio while there are as many as
/// there will be, the share that is given away, and how many that are a second.
fn coming(rule: Rule, workers: usize, rate: u64, life: u64) -> (f64, f64, f64) {
    let (mut world, mut now) = (World::new(rule, workers, 1), 0);
    let begin = (5 * life * 1000).max(2_000_000);
    let end = begin + (10 * life * 1000).clamp(5_000_000, 100_000_000);
    let (mut sum, mut counted) = (0.0, false);
    while now < end {
        now += world.random.exponential(1e6 / rate as f64);
        world.go_on(now);
        if now >= begin && !counted {
            (world.accepted, world.given, counted) = (0, 0, true);
        }
        let lasts = world.random.exponential(life as f64 * 1000.0);
        world.accept(now, lasts);
        sum += if counted { world.ratio() } else { 0.0 };
    }
    let seconds = (end - begin) as f64 / 1e6;
    (sum / world.accepted as f64, world.given(), world.given as f64 / seconds)
}

fn main() {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let trials = words.first().map_or(1000, |word| word.parse().unwrap());
    println!("Connections of the worker that has most, by the mean: {trials} trials\n");
    println!(
        "| connections that stay, workers | hash | hash, worst | Evener | Evener, worst | given away |"
    );
    println!("|---|---|---|---|---|---|");
    let sizes =
        [(16, 16), (64, 16), (256, 16), (1024, 16), (64, 4), (64, 2), (128, 64), (1024, 64)];
    for (connections, workers) in sizes {
        let (hash, worst, _) = staying(Rule::Hash, connections, workers, trials);
        let (even, most, given) = staying(Rule::Worker, connections, workers, trials);
        let label = format!("{connections} on {workers}");
        println!("| {label} | {hash:.2} | {worst:.2} | {even:.2} | {most:.2} | {given:.0} % |");
    }
    println!("\n| on 16 workers | open | hash | Evener | given away | a second |");
    println!("|---|---|---|---|---|---|");
    for (rate, life) in [(20_000, 3), (2000, 3), (200, 5), (5000, 100), (300, 1000), (64, 10_000)] {
        let (hash, ..) = coming(Rule::Hash, 16, rate, life);
        let (even, given, each) = coming(Rule::Worker, 16, rate, life);
        let open = rate as f64 * life as f64 / 1000.0;
        let label = format!("{rate} a second, {life} ms each");
        println!("| {label} | {open:.0} | {hash:.2} | {even:.2} | {given:.1} % | {each:.0} |");
    }
}
