//! Requests under a ceiling on a virtual clock, by seeds: workers whose wake-ups are late and in any order,
//! clients that leave, retries, endpoints that come and go, ceilings that change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use super::Upstream;
use super::admin_state::AdminMode;
use super::endpoint::Endpoint;
use super::endpoint_set::EndpointSet;
use super::health::Tick;
use super::queue::{Entrant, QueueEntry};
use super::record::UpstreamRecord;
use super::request_permit::RequestPermit;
use super::settings::Ceiling;
use crate::address::Address;
use crate::balance::tried::Tried;
use crate::balance::{Affinity, NoneLeft, Pick, Picked, Picker, Standing};
use crate::id::EndpointId;
use crate::random::Random;
use crate::shed::Shed;

/// What a run is about; times in microseconds.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    endpoints: usize,
    requests_max: u32,
    /// The mean duration of a request, and whether all take as long.
    service: u64,
    is_even: bool,
    /// What is offered of the capacity, in percent.
    load: u64,
    requests: usize,
    queue_max: usize,
    timeout: u64,
    interval: Option<u64>,
    /// One in so many clients leaves while it waits; one in so many requests fails and is sent elsewhere;
    /// one in so many brings about some change. 0: none.
    leaves: usize,
    fails: usize,
    changes: usize,
    /// How late those who are woken may look.
    delay: usize,
}

const CALM: Scenario = Scenario {
    endpoints: 1,
    requests_max: 10,
    service: 10_000,
    is_even: true,
    load: 150,
    requests: 20_000,
    queue_max: 1000,
    timeout: 1_000_000,
    interval: Some(100_000),
    leaves: 0,
    fails: 0,
    changes: 0,
    delay: 30,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    Polls,
    Ends,
    TimesOut,
    Leaves,
}

/// Notes who was woken.
struct Bell(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

struct Simulation<'a> {
    scenario: Scenario,
    random: Random,
    now: u64,
    events: BinaryHeap<Reverse<(u64, usize, Event)>>,
    rung: Arc<Mutex<Vec<usize>>>,
    record: &'a UpstreamRecord,
    upstream: Arc<Upstream>,
    pickers: Vec<Picker>,
    waiting: BTreeMap<usize, (QueueEntry<'a>, Tried)>,
    at_work: BTreeMap<usize, (RequestPermit, EndpointId, Tried)>,
    began: Vec<u64>,
    latencies: Vec<u64>,
    ended: Vec<usize>,
    shed: [usize; 3],
    left: usize,
    unavailable: usize,
    last_end: u64,
}

impl<'a> Simulation<'a> {
    fn new(
        scenario: Scenario,
        seed: u64,
        upstream: &Arc<Upstream>,
        record: &'a UpstreamRecord,
    ) -> Self {
        let pickers = (0..2).map(|worker| Picker::new(Arc::clone(upstream), worker)).collect();
        upstream.endpoints.call(&upstream.record.queue);
        Self {
            scenario,
            random: Random::new(seed),
            now: 0,
            events: BinaryHeap::from([Reverse((0, 0, Event::Arrives))]),
            rung: Arc::default(),
            record,
            upstream: Arc::clone(upstream),
            pickers,
            waiting: BTreeMap::new(),
            at_work: BTreeMap::new(),
            began: Vec::new(),
            latencies: Vec::new(),
            ended: Vec::new(),
            shed: [0; 3],
            left: 0,
            unavailable: 0,
            last_end: 0,
        }
    }

    fn run(&mut self) {
        while let Some(Reverse((at, who, event))) = self.events.pop() {
            self.now = self.now.max(at);
            match event {
                Event::Arrives => self.arrive(who),
                Event::Polls => self.poll(who),
                Event::Ends => self.end(who),
                Event::TimesOut | Event::Leaves => self.give_up(who, event),
            }
            let rung = std::mem::take(&mut *self.rung.lock().unwrap());
            for who in rung {
                let delay = self.random.below(self.scenario.delay) as u64;
                self.events.push(Reverse((self.now + delay, who, Event::Polls)));
            }
            self.check();
        }
        assert!(self.waiting.is_empty() && self.at_work.is_empty());
        assert_eq!(self.record.queue.waiting(), 0);
        assert_eq!(self.record.permitted().1, 0);
        let ended = self.latencies.len() + self.shed.iter().sum::<usize>();
        assert_eq!(ended + self.left + self.unavailable, self.scenario.requests);
    }

    /// Never more than the ceiling; and as long as nobody who was woken has yet to look, nobody waits for
    /// what is there.
    fn check(&mut self) {
        if self.scenario.requests > 1000 {
            return;
        }
        let polls = |Reverse((_, _, event)): &Reverse<(_, _, Event)>| *event == Event::Polls;
        let nobody_looks = !self.events.iter().any(polls);
        let Some(ceiling) = self.upstream.ceiling else { return };
        for (id, endpoint) in self.upstream.endpoints.ids() {
            let taken = endpoint.record.permits.taken();
            let at_it = self.at_work.values().filter(|(_, at, _)| *at == id).count();
            assert_eq!(taken as usize, at_it);
            assert!(taken <= self.scenario.requests_max.max(ceiling.requests_max.get()));
            let is_open = endpoint.record.admin_state.mode() == AdminMode::Ready;
            let has_room = is_open && taken < ceiling.requests_max.get();
            let waits = self.waiting.values().any(|(_, tried)| !tried.contains(id));
            assert!(!(nobody_looks && has_room && waits), "room at {id:?}, and somebody waits");
        }
    }

    fn exponential(&mut self, mean: u64) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "of a random number")]
        let share = (self.random.below(1 << 20) as f64 + 0.5) / f64::from(1 << 20);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds")]
        #[expect(clippy::cast_precision_loss, reason = "microseconds")]
        let time = (-share.ln() * mean as f64) as u64;
        time
    }

    fn one_in(&mut self, count: usize) -> bool {
        count > 0 && self.random.below(count) == 0
    }

    fn arrive(&mut self, who: usize) {
        self.began.push(self.now);
        if self.began.len() < self.scenario.requests {
            let Scenario { endpoints, requests_max, service, load, .. } = self.scenario;
            let capacity = endpoints as u64 * u64::from(requests_max);
            let next = self.exponential(service * 100 / (capacity * load));
            self.events.push(Reverse((self.now + next, who + 1, Event::Arrives)));
        }
        if self.one_in(self.scenario.changes) {
            self.change();
        }
        self.ask(who, Tried::default());
    }

    fn change(&mut self) {
        let index = self.random.below(self.scenario.endpoints);
        let admin_state = &self.upstream.endpoints[index].record.admin_state;
        let tick = Tick::from_millis(self.now / 1000);
        if admin_state.mode() == AdminMode::Ready && self.random.below(3) == 0 {
            admin_state.set(AdminMode::Drained, tick);
        } else if admin_state.mode() == AdminMode::Drained {
            admin_state.set(AdminMode::Ready, tick);
        } else {
            let most = self.scenario.requests_max as usize;
            let max = u32::try_from(1 + self.random.below(most)).unwrap();
            let requests_max = NonZeroU32::new(max).unwrap();
            let ceiling = self.upstream.ceiling.map(|known| Ceiling { requests_max, ..known });
            self.upstream = Arc::new(Upstream { ceiling, ..Upstream::clone(&self.upstream) });
            for picker in &mut self.pickers {
                *picker = picker.succeeded_by(Arc::clone(&self.upstream));
            }
            self.record.queue.call(None);
        }
    }

    fn pick(&mut self, who: usize, standing: Standing, tried: &Tried) -> Result<Picked, NoneLeft> {
        let now = Tick::from_millis(self.now / 1000);
        let (affinity, random) = (Affinity::default(), who as u64);
        self.pickers[who % 2].pick(&Pick { now, affinity, tried, random, standing })
    }

    fn ask(&mut self, who: usize, tried: Tried) {
        match self.pick(who, Standing::Newcomer, &tried) {
            Ok(picked) => return self.begin(who, picked, tried),
            Err(NoneLeft::AllFull) => {}
            Err(_) => {
                self.unavailable += 1;
                return;
            }
        }
        let kind = tried.is_empty().then(|| Arc::as_ptr(&self.upstream).addr());
        let Scenario { queue_max: max, interval, timeout, .. } = self.scenario;
        let permitted = self.record.permitted();
        let interval = interval.map_or(Duration::MAX, Duration::from_micros);
        let entrant = Entrant { kind, max, permitted, interval };
        let record = self.record;
        match record.queue.enter(&entrant, Duration::from_micros(self.now)) {
            Ok(entry) => {
                self.waiting.insert(who, (entry, tried));
                let due = self.now + timeout;
                self.events.push(Reverse((due, who, Event::TimesOut)));
                if self.one_in(self.scenario.leaves) {
                    let leaves = self.now + self.exponential(timeout / 100);
                    self.events.push(Reverse((leaves, who, Event::Leaves)));
                }
                self.poll(who);
            }
            Err(shed) => self.shed[shed as usize] += 1,
        }
    }

    fn poll(&mut self, who: usize) {
        let waker = Waker::from(Arc::new(Bell(who, Arc::clone(&self.rung))));
        while let Some((mut entry, tried)) = self.waiting.remove(&who) {
            match entry.poll(&waker) {
                Poll::Ready(Ok(freed)) => match self.pick(who, Standing::Called(freed), &tried) {
                    Ok(picked) => {
                        let permit = picked.permit.as_ref().unwrap();
                        entry.served(Some(permit.at()), permit.has_room_beside());
                        self.begin(who, picked, tried);
                    }
                    Err(NoneLeft::AllFull) => {
                        entry.not_served();
                        self.waiting.insert(who, (entry, tried));
                    }
                    Err(_) => self.unavailable += 1,
                },
                Poll::Ready(Err(shed)) => self.shed[shed as usize] += 1,
                Poll::Pending => {
                    self.waiting.insert(who, (entry, tried));
                    return;
                }
            }
        }
    }

    fn begin(&mut self, who: usize, picked: Picked, tried: Tried) {
        let Scenario { service, is_even, .. } = self.scenario;
        let takes = if is_even { service } else { self.exponential(service) };
        self.at_work.insert(who, (picked.permit.unwrap(), picked.endpoint, tried));
        self.events.push(Reverse((self.now + takes, who, Event::Ends)));
    }

    fn end(&mut self, who: usize) {
        let (permit, endpoint, mut tried) = self.at_work.remove(&who).unwrap();
        drop(permit);
        if self.one_in(self.scenario.fails) && tried.insert(endpoint) {
            return self.ask(who, tried);
        }
        self.last_end = self.now;
        self.ended.push(who);
        self.latencies.push(self.now - self.began[who]);
    }

    fn give_up(&mut self, who: usize, event: Event) {
        if self.waiting.remove(&who).is_none() {
            return;
        }
        if event == Event::TimesOut {
            self.shed[Shed::TimedOut as usize] += 1;
        } else {
            self.left += 1;
        }
    }

    /// The latency that so many percent are below, as a share of the mean duration of a request.
    #[expect(clippy::cast_precision_loss, reason = "microseconds")]
    fn percentile(&mut self, percent: usize) -> f64 {
        self.latencies.sort_unstable();
        self.latencies[self.latencies.len() * percent / 100] as f64 / self.scenario.service as f64
    }

    /// How much of the capacity was of use.
    #[expect(clippy::cast_precision_loss, reason = "microseconds")]
    fn goodput(&self) -> f64 {
        let Scenario { endpoints, requests_max, service, .. } = self.scenario;
        let capacity = endpoints as u64 * u64::from(requests_max) * self.last_end / service;
        self.latencies.len() as f64 / capacity as f64
    }
}

fn upstream(scenario: &Scenario) -> Arc<Upstream> {
    let endpoint = |_| Endpoint::new(Address::Unix("/x".into()), NonZeroU16::MIN, 2);
    let endpoints = EndpointSet::new((0..scenario.endpoints).map(endpoint));
    let ceiling = Ceiling {
        requests_max: NonZeroU32::new(scenario.requests_max).unwrap(),
        queue_max: scenario.queue_max,
        queue_timeout: Duration::from_micros(scenario.timeout),
    };
    let (record, ceiling) = (UpstreamRecord::new(2), Some(ceiling));
    Arc::new(Upstream { record, ceiling, ..Upstream::sample(endpoints) })
}

/// Runs it, and returns what `of` says of it.
fn run<R>(scenario: Scenario, seed: u64, of: impl FnOnce(&mut Simulation<'_>) -> R) -> R {
    let upstream = upstream(&scenario);
    let record = Arc::clone(&upstream.record);
    let mut simulation = Simulation::new(scenario, seed, &upstream, &record);
    simulation.run();
    of(&mut simulation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_happens_the_ceiling_holds_no_room_is_left_and_everybody_ends() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let scenario = Scenario {
                endpoints: 1 + random.below(5),
                requests_max: 1 + u32::try_from(random.below(6)).unwrap(),
                is_even: random.below(2) == 0,
                load: 50 + random.below(400) as u64,
                requests: 500,
                queue_max: [0, 1, 20, 1000][random.below(4)],
                timeout: 20_000 + random.below(500_000) as u64,
                interval: [None, Some(0), Some(20_000)][random.below(3)],
                leaves: random.below(4),
                fails: random.below(5),
                changes: [0, 20][random.below(2)],
                ..CALM
            };
            run(scenario, seed, |_| ());
        }
    }

    /// An overload of any kind: those who are served are served soon, and no capacity is lost. Without shedding,
    /// in the same runs, each waits for most of the timeout.
    #[test]
    fn under_half_again_the_capacity_those_served_wait_little_and_no_capacity_is_lost() {
        for (is_even, requests_max, unloaded) in
            [(true, 1, 1.0), (true, 3, 1.0), (true, 10, 1.0), (true, 40, 1.0), (false, 10, 4.7)]
        {
            let requests = 20_000 + 500 * requests_max as usize;
            let scenario = Scenario { requests_max, is_even, requests, ..CALM };
            let (goodput, slowest) = run(scenario, 7, |run| (run.goodput(), run.percentile(99)));
            assert!(goodput >= 0.95, "{requests_max} at a time: {goodput}");
            assert!(slowest <= 3.05 * unloaded, "{requests_max} at a time: {slowest}");
            let bare = Scenario { interval: None, requests: 5000, ..scenario };
            assert!(run(bare, 7, |run| run.percentile(50)) > 10.0);
        }
    }

    #[test]
    fn what_the_endpoints_can_take_is_not_shed() {
        for requests_max in [10, 40] {
            for is_even in [true, false] {
                let scenario = Scenario { is_even, requests_max, load: 80, ..CALM };
                let shed = run(scenario, 7, |run| run.shed);
                assert!(shed.iter().sum::<usize>() <= scenario.requests / 100, "{shed:?}");
            }
        }
    }

    #[test]
    fn who_has_waited_longest_is_served_first() {
        let scenario = Scenario { requests: 300, load: 200, interval: None, delay: 0, ..CALM };
        // Requests take as long as each other, and so end in the order in which they began.
        let ended = run(scenario, 7, |run| std::mem::take(&mut run.ended));
        assert!(ended.is_sorted(), "{ended:?}");
    }
}
