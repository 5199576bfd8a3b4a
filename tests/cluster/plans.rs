//! What is in force: which endpoints there are, and under which ceiling. A request stays under the plan it came
//! under; workers go on under another one each in its own time.

use std::collections::HashMap;
use std::sync::Arc;

use evener::balance::Picker;
use evener::upstream::Upstream;
use evener::upstream::endpoint_set::EndpointSet;
use evener::upstream::settings::Ceiling;

use super::run::{Event, Run, tick};
use super::world::{Micros, Reload, World};

pub struct PlanInUse {
    pub upstream: Arc<Upstream>,
    /// The machines that its endpoints are.
    pub members: Vec<usize>,
    /// Those of the workers that have had it.
    pub pickers: Vec<Option<Picker>>,
    /// Requests under it that are not over.
    pub requests: usize,
}

/// How long a worker takes at most to see another plan.
const ADOPT_MAX: usize = 20_000;

impl PlanInUse {
    pub fn first(world: &World) -> Self {
        let upstream = Arc::new(world.upstream.clone());
        let picker = |worker| Some(Picker::new(Arc::clone(&upstream), worker));
        let pickers = (0..world.workers).map(picker).collect();
        if upstream.ceiling.is_some() {
            upstream.endpoints.call(&upstream.record.queue);
        }
        let members = (0..world.machines.len()).collect();
        Self { upstream, members, pickers, requests: 0 }
    }
}

impl Run<'_> {
    /// The plan of a request.
    pub fn plan_mut(&mut self, request: usize) -> &mut PlanInUse {
        self.plans[self.requests[request].plan].as_mut().unwrap()
    }

    /// Another configuration is loaded. What is known of endpoints goes on, even of those that had left.
    pub fn reload(&mut self, nth: usize) {
        let Reload { requests_max, members } = self.world.reloads[nth].1.clone();
        let before = Arc::clone(&self.plans.last().unwrap().as_ref().unwrap().upstream);
        let mut known: HashMap<_, _> =
            before.endpoints.iter().map(|known| (&known.address, known)).collect();
        let departed = &self.record.departed;
        let mut endpoints = Vec::new();
        for &place in &members {
            let mut endpoint = self.world.endpoint(place);
            if let Some(known) = known.remove(&endpoint.address) {
                endpoint.go_on_as(known);
            } else {
                endpoint.record = departed.take(&endpoint.address).unwrap_or(endpoint.record);
                endpoint.record.add(tick(self.now));
            }
            endpoints.push(endpoint);
        }
        departed.add(known.into_values());
        let endpoints = Arc::new(EndpointSet::new(endpoints).in_place_of(&before.endpoints));
        let ceiling = before.ceiling.map(|known| Ceiling { requests_max, ..known });
        let upstream = Arc::new(Upstream { endpoints, ceiling, ..Upstream::clone(&before) });
        upstream.prepare();
        let pickers = (0..self.world.workers).map(|_| None).collect();
        self.plans.push(Some(PlanInUse { upstream, members, pickers, requests: 0 }));
        for worker in 0..self.world.workers {
            let at = self.now + self.random.below(ADOPT_MAX) as Micros;
            self.schedule(at, Event::Adopt(worker, self.plans.len() - 1));
        }
    }

    pub fn adopt(&mut self, worker: usize, plan: usize) {
        let before = self.current[worker];
        if before >= plan {
            return;
        }
        let picker = self.plans[before].as_ref().unwrap().pickers[worker].as_ref().unwrap();
        let next = self.plans[plan].as_ref().unwrap();
        let upstream = Arc::clone(&next.upstream);
        let picker = picker.succeeded_by(Arc::clone(&upstream));
        self.plans[plan].as_mut().unwrap().pickers[worker] = Some(picker);
        self.current[worker] = plan;
        if upstream.ceiling.is_some() {
            upstream.endpoints.call(&upstream.record.queue);
            upstream.record.queue.call(None);
        }
        self.forget_plans();
    }

    /// Plans that no worker and no request has any more are gone, and with them what is known of endpoints that
    /// have left.
    pub fn forget_plans(&mut self) {
        let oldest = self.current.iter().copied().min().unwrap_or(0);
        for plan in &mut self.plans[..oldest] {
            plan.take_if(|plan| plan.requests == 0);
        }
    }

    /// What a worker does every second.
    pub fn sweep(&mut self, worker: usize) {
        let upstream = &self.plans[self.current[worker]].as_ref().unwrap().upstream;
        if upstream.ceiling.is_some() {
            self.record.queue.call(None);
        }
        let requests = || self.record.total(|counts| counts.requests.get());
        self.record.budget.sample(tick(self.now), requests);
        self.ledger.look(tick(self.now));
        if self.open > 0 || self.requests.len() < self.world.requests {
            self.schedule(self.now + 1_000_000, Event::Sweep(worker));
        }
    }
}
