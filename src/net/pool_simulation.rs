//! The pools of many workers, and the shelf between them, on a virtual clock: requests at random times, each at a
//! worker by chance.

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "shares and times, far from any bound"
)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::io::Write;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use crate::net::lease::{Ending, Lease, Origin};
    use crate::net::memory::Memory;
    use crate::net::pool::Pool;
    use crate::net::shelf::{Habit, Shelf};
    use crate::net::socket::Socket;
    use crate::random::Random;
    use crate::upstream::settings::Keeping;

    const KEEPING: Keeping = Keeping { idle_max: 512, idle_timeout: Duration::from_secs(5) };

    /// How long an endpoint takes, on average.
    const SERVICE: Duration = Duration::from_millis(5);

    /// Requests a second in the table of [`figures`].
    const RATES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 200.0, 500.0, 2000.0];

    /// One endpoint, and who asks it.
    #[derive(Clone, Copy)]
    struct Load {
        workers: usize,
        /// Requests a second, of all workers together.
        rate: f64,
        /// How long it goes on, after as long a time that is not counted.
        duration: Duration,
        /// When a worker keeps connections for itself; without one nothing is shared.
        habit: Option<Habit>,
    }

    /// What has come of it.
    #[derive(Clone, Copy, Debug, Default)]
    struct Outcome {
        requests: u32,
        opened: u32,
        /// Requests on a connection from the shelf.
        shelved: u32,
        /// Connections that were idle, summed over all requests.
        idle: usize,
    }

    impl Outcome {
        fn reuse(&self) -> f64 {
            1.0 - f64::from(self.opened) / f64::from(self.requests)
        }
    }

    /// What happens, of which the earlier comes first.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Event {
        Request,
        Answer(usize, u64),
        Sweep(usize),
    }

    struct Simulated {
        load: Load,
        pools: Vec<Pool>,
        shelf: Arc<Shelf>,
        events: BinaryHeap<Reverse<(Duration, Event)>>,
        leased: Vec<(u64, Lease)>,
        /// The endpoint's ends of all connections.
        peers: Vec<Memory>,
        outcome: Outcome,
        begin: Instant,
    }

    /// The time from one event of a Poisson process to the next, so many seconds on average.
    fn interval(random: &mut Random, mean: f64) -> Duration {
        let share = (random.below(1 << 30) as f64 + 1.0) / f64::from(1 << 30);
        Duration::from_secs_f64(-mean * share.ln())
    }

    impl Simulated {
        fn new(load: Load) -> Self {
            let shelf = Arc::new(Shelf::new(load.workers, load.habit.unwrap_or(Habit::USUAL)));
            let pool = |_| {
                let mut pool = Pool::new();
                pool.set_keeping(KEEPING, load.habit.map(|_| &shelf));
                pool
            };
            let pools = (0..load.workers).map(pool).collect();
            let sweeps = (0..load.workers).map(|worker| {
                let phase = Duration::from_secs(1) * worker as u32 / load.workers as u32;
                Reverse((phase, Event::Sweep(worker)))
            });
            let events = sweeps.chain([Reverse((Duration::ZERO, Event::Request))]).collect();
            let (outcome, begin) = (Outcome::default(), Instant::now());
            Self {
                load,
                pools,
                shelf,
                events,
                leased: Vec::new(),
                peers: Vec::new(),
                outcome,
                begin,
            }
        }

        fn request(&mut self, worker: usize, now: Instant, counts: bool) -> u64 {
            let pool = &mut self.pools[worker];
            let lease = pool.lease(now).or_else(|| pool.lease_shelved(now));
            self.outcome.requests += u32::from(counts);
            let lease = lease.unwrap_or_else(|| {
                let (ours, theirs) = Memory::pair(1);
                self.peers.push(theirs);
                Lease {
                    carried: self.peers.len() as u64,
                    ..Lease::new(Socket::Memory(ours).into())
                }
            });
            match lease.origin {
                Origin::Opened => self.outcome.opened += u32::from(counts),
                Origin::Shelf => self.outcome.shelved += u32::from(counts),
                Origin::Pool => {}
            }
            if counts {
                let own: usize = self.pools.iter().map(Pool::len).sum();
                self.outcome.idle += own + self.shelf.len();
            }
            let id = lease.carried;
            self.leased.push((id, lease));
            id
        }

        fn answer(&mut self, worker: usize, id: u64, now: Instant) {
            let place = self.leased.iter().position(|(leased, _)| *leased == id).unwrap();
            let (_, lease) = self.leased.swap_remove(place);
            self.pools[worker].put(lease, Ending::Framed, now).unwrap();
        }

        fn sweep(&mut self, worker: usize, now: Instant) {
            self.pools[worker].sweep(now);
            if worker == 0 {
                self.pools[worker].sweep_shelf(now);
            }
        }

        fn run(mut self, seed: u64) -> Outcome {
            // Times do not depend on how many workers there are.
            let (mut times, mut places) = (Random::new(seed), Random::new(seed + 1000));
            while let Some(Reverse((at, event))) = self.events.pop() {
                if at > 2 * self.load.duration {
                    break;
                }
                let now = self.begin + at;
                match event {
                    Event::Request => {
                        let worker = places.below(self.load.workers);
                        let id = self.request(worker, now, at > self.load.duration);
                        let took = interval(&mut times, SERVICE.as_secs_f64());
                        self.events.push(Reverse((at + took, Event::Answer(worker, id))));
                        let next = at + interval(&mut times, 1.0 / self.load.rate);
                        self.events.push(Reverse((next, Event::Request)));
                    }
                    Event::Answer(worker, id) => self.answer(worker, id, now),
                    Event::Sweep(worker) => {
                        self.sweep(worker, now);
                        self.events
                            .push(Reverse((at + Duration::from_secs(1), Event::Sweep(worker))));
                    }
                }
            }
            self.outcome
        }
    }

    /// What comes of this load, by chance of this seed.
    fn simulate(load: Load, seed: u64) -> Outcome {
        Simulated::new(load).run(seed)
    }

    /// Of so many workers that share what is idle, and of one that is alone.
    fn both(rate: f64, workers: usize, habit: Option<Habit>, seed: u64) -> [Outcome; 2] {
        let duration = Duration::from_secs_f64(6.0 + 4000.0 / rate);
        let many = Load { workers, rate, duration, habit };
        [many, Load { workers: 1, habit: None, ..many }].map(|load| simulate(load, seed))
    }

    #[test]
    fn many_workers_reuse_as_one_does() {
        for rate in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0] {
            for seed in 0..3 {
                let [many, one] = both(rate, 32, Some(Habit::USUAL), seed);
                let (many, one) = (many.reuse(), one.reuse());
                assert!(many > one - 0.005, "{rate}/s, seed {seed}: {many} where one reuses {one}");
            }
        }
    }

    #[test]
    fn the_shelf_is_hardly_needed_at_high_rates() {
        for seed in 0..2 {
            let (duration, habit) = (Duration::from_secs(5), Some(Habit::USUAL));
            let many = simulate(Load { workers: 4, rate: 5000.0, duration, habit }, seed);
            let shelved = f64::from(many.shelved) / f64::from(many.requests);
            assert!(shelved < 0.01, "seed {seed}: {shelved} of {} requests", many.requests);
        }
    }

    /// The percentage of requests that reuse a connection, of one worker and of 32, of those that the shelf serves, and
    /// connections that are idle; on average over four seeds.
    #[test]
    #[ignore = "no check: it takes a minute and prints a table, for `tools/scale pools --simulated`; what must hold of it is tested beside it"]
    fn figures() {
        let habit = |window, times| Some(Habit { window: Duration::from_millis(window), times });
        let habits =
            [None, habit(0, 1), habit(20, 1), Some(Habit::USUAL), habit(100, 3), habit(1000, 1)];
        let (mut out, seeds) = (std::io::stdout(), 0..4);
        for (habit, rate) in habits.iter().flat_map(|habit| RATES.map(|rate| (habit, rate))) {
            let mut sums = [0.0; 5];
            for seed in seeds.clone() {
                let outcomes = both(rate, 32, *habit, seed);
                let [many, one] = outcomes.map(|all| 100.0 * all.reuse());
                let [idle, alone] = outcomes.map(|all| all.idle as f64 / f64::from(all.requests));
                let shelved =
                    100.0 * f64::from(outcomes[0].shelved) / f64::from(outcomes[0].requests);
                for (sum, of) in sums.iter_mut().zip([one, many, shelved, alone, idle]) {
                    *sum += of / 4.0;
                }
            }
            let named = habit.map_or("-".to_owned(), |habit| {
                format!("{}x{}", habit.window.as_millis(), habit.times)
            });
            let [one, many, shelved, alone, idle] = sums;
            writeln!(
                out,
                "POOLS {named} {rate} {one:.2} {many:.2} {shelved:.1} {alone:.1} {idle:.1}"
            )
            .unwrap();
        }
    }
}
