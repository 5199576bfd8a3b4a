//! What has to hold at every step, and when all is over.

use evener::balance::Picked;
use evener::upstream::health::Admission;

use super::run::{Run, State, tick};

impl Run<'_> {
    fn case(&self) -> String {
        format!("seed {}, {} µs", self.seed, self.now)
    }

    /// A request that was let in is not one more than its ceiling allows.
    pub fn check_permit(&self, index: usize, picked: &Picked) {
        let upstream = &self.plans[self.requests[index].plan].as_ref().unwrap().upstream;
        assert_eq!(picked.permit.is_some(), upstream.ceiling.is_some(), "{}", self.case());
        if let Some(ceiling) = upstream.ceiling {
            let taken = upstream.endpoint(picked.endpoint).record.permits.taken();
            let max = ceiling.requests_max.get();
            assert!(taken <= max, "{}: {taken} of {max}", self.case());
        }
    }

    pub fn check(&self) {
        if self.looks == 0 && !self.waiting.is_empty() {
            self.check_room();
        }
        if self.steps.is_multiple_of(64) {
            self.check_counts();
        }
    }

    /// Once all who were woken have looked, nobody waits for what is there.
    fn check_room(&self) {
        let now = tick(self.now);
        for (number, plan) in self.plans.iter().enumerate() {
            let Some(plan) = plan else { continue };
            let Some(ceiling) = plan.upstream.ceiling else { continue };
            for (id, endpoint) in plan.upstream.endpoints.ids() {
                let taken = endpoint.record.permits.taken();
                if taken >= ceiling.requests_max.get() || endpoint.admission(now) != Admission::Open
                {
                    continue;
                }
                let of_use = |index: &&usize| {
                    let request = &self.requests[**index];
                    request.plan == number && !request.tried.contains(id)
                };
                let waits = self.waiting.iter().find(of_use);
                assert!(waits.is_none(), "{}: room at {id:?} for {waits:?}", self.case());
            }
        }
    }

    /// What is thought to be at the endpoints is there.
    fn check_counts(&self) {
        let mut held = vec![0; self.world.machines.len()];
        for request in &self.requests {
            if let State::AtWork(Some(_)) = request.state {
                held[request.place] += 1;
            }
        }
        for plan in self.plans.iter().flatten().filter(|plan| plan.upstream.ceiling.is_some()) {
            for (endpoint, &place) in plan.upstream.endpoints.iter().zip(&plan.members) {
                let taken = endpoint.record.permits.taken();
                assert_eq!(taken, held[place], "{}: permits of {place}", self.case());
            }
        }
        let permitted = self.record.permitted().1;
        assert_eq!(permitted, held.iter().sum::<u32>() as usize, "{}", self.case());
    }

    /// Everybody has ended, and nothing is left of anybody.
    pub fn check_end(&self) {
        let case = self.case();
        assert_eq!(self.history.ended.len(), self.world.requests, "{case}");
        assert_eq!((self.open, self.looks, self.waiting.len()), (0, 0, 0), "{case}");
        assert_eq!(self.record.queue.waiting(), 0, "{case}: somebody is thought to wait");
        self.check_counts();
        for endpoint in self.plans.iter().flatten().flat_map(|plan| plan.upstream.endpoints.iter())
        {
            assert_eq!(endpoint.record.in_flight.get(), 0, "{case}");
        }
        let most = self.ledger.most(self.world.upstream.retry_budget, tick(self.now));
        let retries = self.record.total(|counts| counts.retries.get());
        assert!(retries <= most, "{case}: {retries} retries of {most}");
        assert_eq!(retries, self.history.retries as u64, "{case}");
        self.check_peaks();
    }

    /// No endpoint has seen more at a time than the highest ceiling there was.
    fn check_peaks(&self) {
        let Some(ceiling) = self.world.upstream.ceiling else { return };
        let reloaded = self.world.reloads.iter().map(|(_, reload)| reload.requests_max);
        let max = reloaded.chain([ceiling.requests_max]).max().unwrap().get() as usize;
        for (place, &peak) in self.history.peaks.iter().enumerate() {
            assert!(peak <= max, "{}: {peak} of {max} at {place}", self.case());
        }
    }
}
