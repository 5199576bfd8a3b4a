//! A cluster on a virtual clock: workers with their pickers, clients that wait, are served or leave, endpoints that
//! serve so many requests at a time, and what happens to them. One seed is one history; an hour takes a moment.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evener::balance::AttemptOutcome;
use evener::balance::tried::Tried;
use evener::id::EndpointId;
use evener::upstream::budget::RetryToken;
use evener::upstream::health::{FailureKind, Tick};
use evener::upstream::queue::QueueEntry;
use evener::upstream::record::UpstreamRecord;
use evener::upstream::request_permit::RequestPermit;

use super::ledger::Ledger;
use super::plans::PlanInUse;
use super::random::Random;
use super::servers::Server;
use super::world::{End, Ended, History, Micros, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Arrival,
    /// Of the script.
    Turn(usize),
    /// An attempt ends well, or is refused, or has failed.
    Answer(Attempt, bool),
    Timeout(Attempt),
    /// A request has waited for room for as long as it may.
    WaitOver(Attempt),
    /// A request that waits has been woken.
    Look(usize),
    /// The client of a request leaves.
    Leave(usize),
    Reload(usize),
    /// A worker goes on under a plan.
    Adopt(usize, usize),
    /// What a worker does every second.
    Sweep(usize),
}

/// An attempt, the nth of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt {
    pub request: usize,
    pub nth: usize,
}

pub struct Request<'a> {
    arrived: Micros,
    pub worker: usize,
    pub key: u64,
    /// Under which it came, and stays.
    pub plan: usize,
    pub tried: Tried,
    /// Attempts begun.
    pub attempts: usize,
    /// What the next one takes out of the budget when it begins, if it is a retry.
    pub token: Option<RetryToken>,
    /// When that was granted.
    pub granted: Micros,
    pub started: Micros,
    pub endpoint: EndpointId,
    /// The machine that this is.
    pub place: usize,
    pub state: State<'a>,
}

pub enum State<'a> {
    /// Between two other ones.
    Between,
    Waiting(QueueEntry<'a>),
    AtWork(Option<RequestPermit>),
    Over,
}

pub struct Run<'a> {
    pub world: &'a World,
    pub seed: u64,
    pub record: &'a UpstreamRecord,
    /// By number; those that nobody uses any more are gone.
    pub plans: Vec<Option<PlanInUse>>,
    /// The plan of each worker.
    pub current: Vec<usize>,
    pub random: Random,
    pub now: Micros,
    events: BinaryHeap<Reverse<(Micros, u64, Event)>>,
    sequence: u64,
    pub steps: u64,
    pub requests: Vec<Request<'a>>,
    pub waiting: BTreeSet<usize>,
    /// Those that have been woken.
    pub rung: Arc<Mutex<Vec<usize>>>,
    /// How many of these have not looked yet.
    pub looks: usize,
    /// Requests that are not over.
    pub open: usize,
    pub servers: Vec<Server>,
    pub ledger: Ledger,
    pub history: History,
}

/// How late those who are woken look at most; one in eight is on a worker that is busy.
const WAKE_MAX: [usize; 8] = [300, 300, 300, 300, 300, 300, 300, 20_000];

pub fn tick(at: Micros) -> Tick {
    // Ticks before the first ejection could be counted would be none.
    Tick::from_millis(at / 1000 + 1)
}

impl<'a> Run<'a> {
    pub fn new(world: &'a World, seed: u64) -> Self {
        let count = world.machines.len();
        let mut run = Self {
            plans: vec![Some(PlanInUse::first(world))],
            current: vec![0; world.workers],
            random: Random::new(seed),
            now: 0,
            events: BinaryHeap::new(),
            sequence: 0,
            steps: 0,
            requests: Vec::new(),
            waiting: BTreeSet::new(),
            rung: Arc::default(),
            looks: 0,
            open: 0,
            servers: (0..count).map(|_| Server::new()).collect(),
            ledger: Ledger::default(),
            history: History {
                attempts: vec![0; count],
                peaks: vec![0; count],
                ..History::default()
            },
            record: &world.upstream.record,
            seed,
            world,
        };
        for (nth, (at, ..)) in world.script.iter().enumerate() {
            run.schedule(*at, Event::Turn(nth));
        }
        for (nth, (at, _)) in world.reloads.iter().enumerate() {
            run.schedule(*at, Event::Reload(nth));
        }
        for worker in 0..world.workers {
            let at = run.random.below(1_000_000) as Micros;
            run.schedule(at, Event::Sweep(worker));
        }
        run.schedule(0, Event::Arrival);
        run
    }

    pub fn schedule(&mut self, at: Micros, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    pub fn live(mut self) -> History {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            self.steps += 1;
            match event {
                Event::Arrival => self.arrive(),
                Event::Turn(nth) => self.turn(nth),
                Event::Answer(attempt, is_well) => self.finish(attempt, is_well),
                Event::Timeout(attempt) => self.time_out(attempt),
                Event::WaitOver(attempt) => self.wait_over(attempt),
                Event::Look(request) => {
                    self.looks -= 1;
                    self.look(request);
                }
                Event::Leave(request) => self.leave(request),
                Event::Reload(nth) => self.reload(nth),
                Event::Adopt(worker, plan) => self.adopt(worker, plan),
                Event::Sweep(worker) => self.sweep(worker),
            }
            let rung = std::mem::take(&mut *self.rung.lock().unwrap());
            for request in rung {
                let max = WAKE_MAX[self.random.below(WAKE_MAX.len())];
                let delay = self.random.below(max) as Micros;
                self.looks += 1;
                self.schedule(self.now + delay, Event::Look(request));
            }
            self.check();
        }
        self.check_end();
        self.history
    }

    fn arrive(&mut self) {
        let (worker, key) = (self.random.below(self.world.workers), self.random.next());
        let index = self.requests.len();
        self.requests.push(Request {
            arrived: self.now,
            worker,
            key: key % self.world.keys,
            plan: self.current[worker],
            tried: Tried::default(),
            attempts: 0,
            token: None,
            granted: self.now,
            started: self.now,
            endpoint: EndpointId::new(0),
            place: 0,
            state: State::Between,
        });
        self.open += 1;
        self.plan_mut(index).requests += 1;
        if let Some(patience) = self.world.patience {
            let leaves = self.now + self.random.exponential(patience as f64);
            self.schedule(leaves, Event::Leave(index));
        }
        self.ask(index);
        if self.requests.len() < self.world.requests {
            let pause = self.random.exponential(1e6 / self.world.rate);
            self.schedule(self.now + pause, Event::Arrival);
        }
    }

    fn is_current(&self, attempt: Attempt) -> bool {
        let request = &self.requests[attempt.request];
        request.attempts == attempt.nth && matches!(request.state, State::AtWork(_))
    }

    fn finish(&mut self, attempt: Attempt, is_well: bool) {
        if self.is_current(attempt) && self.answers(self.requests[attempt.request].place) {
            self.close(attempt);
            self.tell(attempt, (!is_well).then_some(FailureKind::Exchange));
            if is_well {
                self.end(attempt.request, End::Answered);
            } else {
                self.again(attempt.request);
            }
        }
    }

    fn time_out(&mut self, attempt: Attempt) {
        if self.is_current(attempt) {
            self.close(attempt);
            self.tell(attempt, Some(FailureKind::Silence));
            self.again(attempt.request);
        }
    }

    /// Records how an attempt ended.
    fn tell(&mut self, attempt: Attempt, failure: Option<FailureKind>) {
        let request = &self.requests[attempt.request];
        let plan = self.plans[request.plan].as_mut().unwrap();
        let endpoint = plan.upstream.endpoint(request.endpoint);
        let (started, now) = (tick(request.started), tick(self.now));
        let outcome = match failure {
            None => {
                endpoint.health().on_success(started, now);
                AttemptOutcome::Answered
            }
            Some(failure) => {
                let thresholds = plan.upstream.thresholds_of(request.endpoint, now);
                endpoint.health().on_failure(started, now, failure, &thresholds);
                AttemptOutcome::Failed
            }
        };
        let took = Duration::from_micros(self.now - request.started);
        plan.pickers[request.worker].as_mut().unwrap().observe(request.endpoint, took, outcome);
    }

    /// The client of a request leaves, wherever that is.
    fn leave(&mut self, index: usize) {
        let request = &self.requests[index];
        match request.state {
            State::Waiting(_) => self.not_admitted(index, End::Left),
            State::AtWork(_) => {
                self.close(Attempt { request: index, nth: request.attempts });
                self.end(index, End::Left);
            }
            State::Between | State::Over => {}
        }
    }

    pub fn end(&mut self, index: usize, end: End) {
        self.let_go(index);
        let request = &mut self.requests[index];
        request.state = State::Over;
        let endpoint = (end == End::Answered).then_some(request.place);
        self.history.ended.push(Ended { arrived: request.arrived, at: self.now, endpoint, end });
        self.open -= 1;
        self.plan_mut(index).requests -= 1;
        self.forget_plans();
    }
}
