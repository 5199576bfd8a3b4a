//! A cluster on a virtual clock: workers with their pickers, endpoints that serve so many requests at a
//! time, and what happens to them. One seed is one history; an hour takes a moment.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use evener::balance::tried::Tried;
use evener::balance::{Affinity, AttemptOutcome, Pick, Picker, Standing};
use evener::hash::mix;
use evener::id::EndpointId;
use evener::upstream::Upstream;
use evener::upstream::health::{FailureKind, Tick};

use super::random::Random;
use super::world::{Condition, Ended, History, Machine, Micros, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// Of the script.
    Turn(usize),
    /// An attempt ends well, or is refused, or has failed.
    Answer(Attempt, bool),
    Timeout(Attempt),
}

/// An attempt, the nth of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Attempt {
    request: usize,
    nth: usize,
}

struct Request {
    arrived: Micros,
    worker: usize,
    key: u64,
    tried: Tried,
    /// Attempts begun.
    attempts: usize,
    started: Micros,
    endpoint: EndpointId,
    is_over: bool,
}

struct Server {
    condition: Condition,
    working: Vec<Attempt>,
    waiting: VecDeque<Attempt>,
}

pub struct Run<'a> {
    world: &'a World,
    upstream: Arc<Upstream>,
    pickers: Vec<Picker>,
    random: Random,
    now: Micros,
    events: BinaryHeap<Reverse<(Micros, u64, Event)>>,
    sequence: u64,
    requests: Vec<Request>,
    servers: Vec<Server>,
    history: History,
}

fn tick(at: Micros) -> Tick {
    // Ticks before the first ejection could be counted would be none.
    Tick::from_millis(at / 1000 + 1)
}

impl<'a> Run<'a> {
    pub fn new(world: &'a World, seed: u64) -> Self {
        let upstream = Arc::new(world.upstream.clone());
        let picker = |worker| Picker::new(Arc::clone(&upstream), worker);
        let server = |_: &Machine| Server {
            condition: Condition::Serving(1.0),
            working: Vec::new(),
            waiting: VecDeque::new(),
        };
        let count = world.machines.len();
        let mut run = Self {
            pickers: (0..world.workers).map(picker).collect(),
            upstream,
            random: Random::new(seed),
            now: 0,
            events: BinaryHeap::new(),
            sequence: 0,
            requests: Vec::new(),
            servers: world.machines.iter().map(server).collect(),
            history: History {
                attempts: vec![0; count],
                peaks: vec![0; count],
                ..History::default()
            },
            world,
        };
        for (nth, (at, ..)) in world.script.iter().enumerate() {
            run.schedule(*at, Event::Turn(nth));
        }
        run.schedule(0, Event::Arrival);
        run
    }

    fn schedule(&mut self, at: Micros, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    pub fn live(mut self) -> History {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            match event {
                Event::Arrival => self.arrive(),
                Event::Turn(nth) => self.turn(nth),
                Event::Answer(attempt, is_well) => self.finish(attempt, is_well),
                Event::Timeout(attempt) => self.time_out(attempt),
            }
        }
        self.history
    }

    fn arrive(&mut self) {
        let (worker, key) = (self.random.below(self.world.workers), self.random.next());
        self.requests.push(Request {
            arrived: self.now,
            worker,
            key: key % self.world.keys,
            tried: Tried::default(),
            attempts: 0,
            started: self.now,
            endpoint: EndpointId::new(0),
            is_over: false,
        });
        self.attempt(self.requests.len() - 1);
        if self.requests.len() < self.world.requests {
            let pause = self.random.exponential(1e6 / self.world.rate);
            self.schedule(self.now + pause, Event::Arrival);
        }
    }

    /// Sends a request to the endpoint that is picked, or ends it.
    fn attempt(&mut self, index: usize) {
        let (upstream, now) = (Arc::clone(&self.upstream), self.now);
        let random = self.random.next();
        let request = &mut self.requests[index];
        let affinity = Affinity { key: Some(mix(request.key)), sticky: None };
        let standing = Standing::Newcomer;
        let pick = Pick { now: tick(now), affinity, random, standing, tried: &request.tried };
        let picked = self.pickers[request.worker].pick(&pick);
        let Ok(picked) = picked else { return self.end(index, None) };
        request.endpoint = picked.endpoint;
        request.started = now;
        request.attempts += 1;
        let attempt = Attempt { request: index, nth: request.attempts };
        let record = &upstream.endpoint(picked.endpoint).record;
        record.counts[request.worker].begun.add(1);
        record.in_flight.add();
        self.history.attempts[picked.endpoint.index()] += 1;
        self.schedule(now + self.world.attempt_timeout, Event::Timeout(attempt));
        self.receive(picked.endpoint.index(), attempt);
    }

    /// An attempt comes to an endpoint.
    fn receive(&mut self, place: usize, attempt: Attempt) {
        let server = &mut self.servers[place];
        if server.condition == Condition::Dead {
            return self.schedule(self.now + 100, Event::Answer(attempt, false));
        }
        server.waiting.push_back(attempt);
        let load = server.waiting.len() + server.working.len();
        self.history.peaks[place] = self.history.peaks[place].max(load);
        self.work(place);
    }

    /// An endpoint takes up what waits in it, as far as it can.
    fn work(&mut self, place: usize) {
        let Machine { service, parallel, .. } = self.world.machines[place];
        while self.servers[place].working.len() < parallel {
            let (slower, fails) = match self.servers[place].condition {
                Condition::Serving(slower) => (slower, 0.0),
                Condition::Failing(share) => (1.0, share),
                Condition::Dead | Condition::Frozen => return,
            };
            let server = &mut self.servers[place];
            let Some(attempt) = server.waiting.pop_front() else { return };
            server.working.push(attempt);
            let time = self.random.exponential(service as f64 * slower);
            let is_well = self.random.share() >= fails;
            self.schedule(self.now + time, Event::Answer(attempt, is_well));
        }
    }

    fn turn(&mut self, nth: usize) {
        let (_, place, condition) = self.world.script[nth];
        let server = &mut self.servers[place];
        server.condition = condition;
        if condition == Condition::Dead {
            let lost: Vec<_> = server.working.drain(..).chain(server.waiting.drain(..)).collect();
            for attempt in lost {
                self.schedule(self.now, Event::Answer(attempt, false));
            }
        }
        self.work(place);
    }

    fn is_current(&self, attempt: Attempt) -> bool {
        let request = &self.requests[attempt.request];
        request.attempts == attempt.nth && !request.is_over
    }

    fn finish(&mut self, attempt: Attempt, is_well: bool) {
        let place = self.requests[attempt.request].endpoint.index();
        if self.is_current(attempt) && self.servers[place].condition != Condition::Frozen {
            self.leave(place, attempt);
            self.tell(attempt, (!is_well).then_some(FailureKind::Exchange));
            if is_well {
                self.end(attempt.request, Some(place));
            } else {
                self.again(attempt.request);
            }
        }
    }

    fn time_out(&mut self, attempt: Attempt) {
        if self.is_current(attempt) {
            let place = self.requests[attempt.request].endpoint.index();
            self.leave(place, attempt);
            self.tell(attempt, Some(FailureKind::Silence));
            self.again(attempt.request);
        }
    }

    /// An endpoint has done with an attempt, or its connection has been closed.
    fn leave(&mut self, place: usize, attempt: Attempt) {
        let server = &mut self.servers[place];
        server.working.retain(|known| *known != attempt);
        server.waiting.retain(|known| *known != attempt);
        self.work(place);
    }

    /// Records how an attempt ended.
    fn tell(&mut self, attempt: Attempt, failure: Option<FailureKind>) {
        let request = &self.requests[attempt.request];
        let endpoint = self.upstream.endpoint(request.endpoint);
        let (started, now) = (tick(request.started), tick(self.now));
        let outcome = match failure {
            None => {
                endpoint.health().on_success(started, now);
                AttemptOutcome::Answered
            }
            Some(failure) => {
                let thresholds = self.upstream.thresholds_of(request.endpoint, now);
                endpoint.health().on_failure(started, now, failure, &thresholds);
                AttemptOutcome::Failed
            }
        };
        let took = Duration::from_micros(self.now - request.started);
        let picker = &mut self.pickers[request.worker];
        picker.observe(request.endpoint, took, outcome);
        endpoint.record.counts[request.worker].ended.add(1);
        endpoint.record.in_flight.remove();
        picker.in_flight_changed(request.endpoint);
    }

    fn again(&mut self, index: usize) {
        let request = &mut self.requests[index];
        request.tried.insert(request.endpoint);
        if request.attempts < self.world.attempts_max {
            self.attempt(index);
        } else {
            self.end(index, None);
        }
    }

    fn end(&mut self, index: usize, endpoint: Option<usize>) {
        let request = &mut self.requests[index];
        request.is_over = true;
        self.history.ended.push(Ended { arrived: request.arrived, at: self.now, endpoint });
    }
}
