//! Endpoints that serve so many requests at a time, and what becomes of them.

use std::collections::VecDeque;

use super::run::{Attempt, Event, Run};
use super::world::{Condition, Machine};

pub struct Server {
    condition: Condition,
    working: Vec<Attempt>,
    waiting: VecDeque<Attempt>,
}

impl Server {
    pub fn new() -> Self {
        let (working, waiting) = (Vec::new(), VecDeque::new());
        Self { condition: Condition::Serving(1.0), working, waiting }
    }

    /// What it has, whether it works on it or not.
    pub fn load(&self) -> usize {
        self.waiting.len() + self.working.len()
    }
}

impl Run<'_> {
    /// Whether an endpoint says anything.
    pub fn answers(&self, place: usize) -> bool {
        self.servers[place].condition != Condition::Frozen
    }

    /// An attempt comes to an endpoint.
    pub fn receive(&mut self, place: usize, attempt: Attempt) {
        let server = &mut self.servers[place];
        if server.condition == Condition::Dead {
            return self.schedule(self.now + 100, Event::Answer(attempt, false));
        }
        server.waiting.push_back(attempt);
        let load = server.load();
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

    pub fn turn(&mut self, nth: usize) {
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

    /// An endpoint has done with an attempt, or its connection has been closed.
    pub fn close(&mut self, attempt: Attempt) {
        let place = self.requests[attempt.request].place;
        let server = &mut self.servers[place];
        server.working.retain(|known| *known != attempt);
        server.waiting.retain(|known| *known != attempt);
        self.work(place);
    }
}
