//! The attempts at a request, as a session makes them: it asks for an endpoint, waits for room, pays for another
//! attempt, and lets go of what it has.

use std::mem::replace;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use evener::balance::{Affinity, NoneLeft, Pick, Picked, Standing};
use evener::hash::mix;
use evener::upstream::queue::Entrant;
use evener::upstream::request_permit::RequestPermit;

use super::run::{Attempt, Event, Run, State, tick};
use super::world::{End, Micros};

/// Notes which request was woken.
struct Bell(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

impl Run<'_> {
    /// Sends a request to the endpoint that is picked, has it wait for one, or ends it.
    pub fn ask(&mut self, index: usize) {
        match self.pick(index, Standing::Newcomer) {
            Ok(picked) => self.begin(index, picked),
            Err(NoneLeft::AllFull) => self.enter(index),
            Err(_) => self.not_admitted(index, End::Failed),
        }
    }

    fn pick(&mut self, index: usize, standing: Standing) -> Result<Picked, NoneLeft> {
        let (now, random) = (tick(self.now), self.random.next());
        let request = &self.requests[index];
        let affinity = Affinity { key: Some(mix(request.key)), sticky: None };
        let plan = self.plans[request.plan].as_mut().unwrap();
        let pick = Pick { now, affinity, random, standing, tried: &request.tried };
        plan.pickers[request.worker].as_mut().unwrap().pick(&pick)
    }

    fn enter(&mut self, index: usize) {
        let request = &self.requests[index];
        let upstream = &self.plans[request.plan].as_ref().unwrap().upstream;
        let ceiling = upstream.ceiling.unwrap();
        let kind = request.tried.is_empty().then(|| Arc::as_ptr(upstream).addr());
        let (max, interval) = (ceiling.queue_max, ceiling.shed_interval());
        let entrant = Entrant { kind, max, permitted: self.record.permitted(), interval };
        let nth = request.attempts;
        match self.record.queue.enter(&entrant, Duration::from_micros(self.now)) {
            Ok(entry) => {
                self.history.queued += 1;
                self.requests[index].state = State::Waiting(entry);
                self.waiting.insert(index);
                let timeout = Micros::try_from(ceiling.queue_timeout.as_micros()).unwrap();
                let wait = Attempt { request: index, nth };
                self.schedule(self.now + timeout, Event::WaitOver(wait));
                self.look(index);
            }
            Err(_) => self.not_admitted(index, End::Shed),
        }
    }

    /// A request that waits has been woken, or has just begun to wait.
    pub fn look(&mut self, index: usize) {
        let waker = Waker::from(Arc::new(Bell(index, Arc::clone(&self.rung))));
        while let State::Waiting(entry) = &mut self.requests[index].state {
            let freed = match entry.poll(&waker) {
                Poll::Ready(Ok(freed)) => freed,
                Poll::Ready(Err(_)) => return self.not_admitted(index, End::Shed),
                Poll::Pending => return,
            };
            let picked = self.pick(index, Standing::Called(freed));
            let State::Waiting(entry) = &mut self.requests[index].state else { return };
            match picked {
                Ok(picked) => {
                    let permit = picked.permit.as_ref();
                    let more = permit.is_none_or(RequestPermit::has_room_beside);
                    let taken = permit.map(RequestPermit::at);
                    let state = replace(&mut self.requests[index].state, State::Between);
                    if let State::Waiting(entry) = state {
                        entry.served(taken, more);
                    }
                    self.waiting.remove(&index);
                    return self.begin(index, picked);
                }
                Err(NoneLeft::AllFull) => entry.not_served(),
                Err(_) => return self.not_admitted(index, End::Failed),
            }
        }
    }

    pub fn wait_over(&mut self, Attempt { request, nth }: Attempt) {
        let is_waiting = matches!(self.requests[request].state, State::Waiting(_));
        if is_waiting && self.requests[request].attempts == nth {
            self.not_admitted(request, End::Shed);
        }
    }

    /// A request gets no endpoint. What it was granted for this attempt is given back.
    pub fn not_admitted(&mut self, index: usize, end: End) {
        self.waiting.remove(&index);
        let request = &mut self.requests[index];
        request.state = State::Between;
        let is_answered = end == End::Shed && request.attempts > 0;
        if request.token.take().is_some() {
            self.ledger.give_back(tick(request.granted));
        }
        self.end(index, if is_answered { End::Failed } else { end });
    }

    fn begin(&mut self, index: usize, picked: Picked) {
        self.check_permit(index, &picked);
        let (request, now) = (&mut self.requests[index], self.now);
        let plan = self.plans[request.plan].as_ref().unwrap();
        let place = plan.members[picked.endpoint.index()];
        (request.endpoint, request.place, request.started) = (picked.endpoint, place, now);
        request.attempts += 1;
        let attempt = Attempt { request: index, nth: request.attempts };
        let counts = &self.record.counts[request.worker];
        if request.attempts == 1 {
            counts.requests.add(1);
            self.ledger.request(tick(now));
        } else {
            counts.retries.add(1);
            self.history.retries += 1;
            request.token.take().unwrap().spend();
        }
        let record = &plan.upstream.endpoint(picked.endpoint).record;
        record.counts[request.worker].begun.add(1);
        if plan.upstream.policy.counts() {
            record.in_flight.add();
        }
        request.state = State::AtWork(picked.permit);
        self.history.attempts[place] += 1;
        self.schedule(now + self.world.attempt_timeout, Event::Timeout(attempt));
        self.receive(place, attempt);
    }

    /// An attempt is over, and with it what the request had for it.
    pub fn let_go(&mut self, index: usize) {
        let request = &mut self.requests[index];
        let State::AtWork(permit) = replace(&mut request.state, State::Between) else { return };
        let plan = self.plans[request.plan].as_mut().unwrap();
        let record = &plan.upstream.endpoint(request.endpoint).record;
        record.counts[request.worker].ended.add(1);
        if plan.upstream.policy.counts() {
            record.in_flight.remove();
            plan.pickers[request.worker].as_mut().unwrap().in_flight_changed(request.endpoint);
        }
        drop(permit);
    }

    /// An attempt has failed: there is another one if the budget grants it.
    pub fn again(&mut self, index: usize) {
        let request = &mut self.requests[index];
        request.tried.insert(request.endpoint);
        let may_begin = request.attempts < self.world.attempts_max;
        if !(may_begin && self.take_retry(index)) {
            return self.end(index, End::Failed);
        }
        self.let_go(index);
        self.ask(index);
    }

    fn take_retry(&mut self, index: usize) -> bool {
        let share = self.plan_mut(index).upstream.retry_budget;
        let requests = self.record.total(|counts| counts.requests.get());
        let now = tick(self.now);
        let token = self.record.budget.grant(now, share, requests);
        let is_granted = token.is_some();
        (self.requests[index].token, self.requests[index].granted) = (token, self.now);
        self.ledger.judge(now, share, is_granted, self.seed);
        self.history.refused += usize::from(!is_granted);
        is_granted
    }
}
