//! What each policy promises, through picks over a virtual time.

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "shares are few and times short"
)]
mod tests {
    use std::collections::BinaryHeap;
    use std::num::NonZeroU16;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::address::Address;
    use crate::balance::least_time::AttemptOutcome;
    use crate::balance::tried::Tried;
    use crate::balance::{Affinity, Pick, Picked, Picker, Standing};
    use crate::hash::{hash, nth};
    use crate::id::EndpointId;
    use crate::upstream::Upstream;
    use crate::upstream::admin_state::AdminMode;
    use crate::upstream::endpoint::Endpoint;
    use crate::upstream::endpoint_set::EndpointSet;
    use crate::upstream::health::{CheckVerdict, Tick};
    use crate::upstream::settings::Policy;

    fn endpoint(index: u16, weight: u16) -> Endpoint {
        let address = Address::Tcp(([192, 0, 2, 1], 1000 + index).into());
        Endpoint::new(address, NonZeroU16::new(weight).unwrap(), 1)
    }

    fn endpoints(weights: &[u16]) -> Vec<Endpoint> {
        (0..).zip(weights).map(|(index, &weight)| endpoint(index, weight)).collect()
    }

    /// Picks of one worker.
    struct Worker {
        picker: Picker,
        now: u64,
        picks: u64,
    }

    impl Worker {
        fn new(endpoints: Vec<Endpoint>, policy: Policy, slow_start: u64) -> Self {
            let slow_start = Duration::from_millis(slow_start);
            let sample = Upstream::sample(EndpointSet::new(endpoints));
            let upstream = Upstream { policy, slow_start, ..sample };
            Self { picker: Picker::new(Arc::new(upstream), 0), now: 1_000, picks: 0 }
        }

        fn of(weights: &[u16], policy: Policy) -> Self {
            Self::new(endpoints(weights), policy, 0)
        }

        fn pick(&mut self, key: Option<u64>) -> EndpointId {
            self.picks += 1;
            let affinity = Affinity { key, sticky: None };
            let (now, random) = (Tick::from_millis(self.now), nth(1, self.picks));
            let (tried, standing) = (&Tried::default(), Standing::Newcomer);
            let pick = Pick { now, affinity, tried, random, standing };
            let Picked { endpoint, .. } = self.picker.pick(&pick).unwrap();
            endpoint
        }

        /// The endpoints that so many keys belong to.
        fn owners(&mut self, keys: u64) -> Vec<usize> {
            (0..keys).map(|key| self.pick(Some(hash(&key.to_be_bytes()))).index()).collect()
        }

        /// Of so many requests one after the other, how many go to each endpoint.
        fn shares(&mut self, count: u64, has_key: bool) -> Vec<f64> {
            let mut counts = vec![0_u32; self.picker.upstream().endpoints.len()];
            for number in 0..count {
                let picked = self.pick(has_key.then(|| hash(&number.to_be_bytes())));
                counts[picked.index()] += 1;
            }
            counts.into_iter().map(|picks| f64::from(picks) / count as f64).collect()
        }

        fn endpoint(&self, index: usize) -> &Endpoint {
            &self.picker.upstream().endpoints[index]
        }

        fn begin(&self, index: usize, count: usize) {
            (0..count).for_each(|_| self.endpoint(index).record.in_flight.add());
        }
    }

    fn assert_near(is: &[f64], due: &[f64], by: f64, of: impl std::fmt::Debug) {
        let near = is.iter().zip(due).all(|(is, due)| (is - due).abs() <= by);
        assert!(near && is.len() == due.len(), "{of:?}: {is:?} instead of {due:?}");
    }

    #[test]
    fn shares_follow_the_weights_within_one_in_a_hundred() {
        for weights in [&[1, 1][..], &[1, 3], &[1, 2, 3, 4], &[10, 1, 1, 5, 3, 7, 2, 8, 9, 4]] {
            let total: u16 = weights.iter().sum();
            let due: Vec<_> =
                weights.iter().map(|&weight| f64::from(weight) / f64::from(total)).collect();
            for policy in Policy::ALL.into_iter().filter(|policy| *policy != Policy::LeastTime) {
                let shares = Worker::of(weights, policy).shares(100_000, false);
                assert_near(&shares, &due, 0.01, policy);
            }
            let shares = Worker::of(weights, Policy::Hash).shares(100_000, true);
            assert_near(&shares, &due, 0.01, "keys");
        }
    }

    #[test]
    fn no_endpoint_starves() {
        let mut weights = vec![1; 200];
        weights[0] = 100;
        for policy in Policy::ALL {
            for has_key in [false, true] {
                let shares = Worker::of(&weights, policy).shares(60_000, has_key);
                assert!(shares.iter().all(|&share| share > 0.0), "{policy:?}: {shares:?}");
            }
        }
    }

    #[test]
    fn the_less_busy_of_two_is_picked_for_its_weight_whoever_keeps_it_busy() {
        for policy in [Policy::TwoChoices, Policy::LeastRequests, Policy::LeastTime] {
            let mut worker = Worker::of(&[1, 4], policy);
            worker.begin(0, 2);
            worker.begin(1, 4);
            assert_eq!(worker.shares(100, false), [0.0, 1.0], "{policy:?}");
            worker.begin(1, 40);
            assert_eq!(worker.shares(102, false)[0], 1.0, "{policy:?}");
        }
    }

    /// Requests that come every so many milliseconds on the average to endpoints that take so long; the time of each, in
    /// order, and how many each endpoint has had.
    fn simulate(policy: Policy, times: &[u64], gap: f64, count: u64) -> (Vec<u64>, Vec<usize>) {
        let mut worker = Worker::of(&vec![1; times.len()], policy);
        let mut under_way: BinaryHeap<std::cmp::Reverse<(u64, u64, usize)>> = BinaryHeap::new();
        let (mut took, mut picks) = (Vec::new(), vec![0; times.len()]);
        let mut at = 1_000.0;
        for number in 0..count {
            let chance = |place| nth(number, place) as f64 / u64::MAX as f64;
            at += gap * -(1.0 - chance(0)).ln();
            while let Some(&std::cmp::Reverse((end, time, index))) = under_way.peek()
                && end <= at as u64
            {
                under_way.pop();
                let endpoint = EndpointId::new(index);
                worker.endpoint(index).record.in_flight.remove();
                worker.picker.in_flight_changed(endpoint);
                worker.picker.observe(
                    endpoint,
                    Duration::from_millis(time),
                    AttemptOutcome::Answered,
                );
            }
            worker.now = at as u64;
            let index = worker.pick(None).index();
            worker.begin(index, 1);
            picks[index] += 1;
            let time = (times[index] as f64 * (0.5 + chance(1))) as u64;
            took.push(time);
            under_way.push(std::cmp::Reverse((worker.now + time, time, index)));
        }
        took.sort_unstable();
        (took, picks)
    }

    #[test]
    fn one_slow_endpoint_is_avoided_and_tried_again() {
        let p99 = |took: &[u64]| took[took.len() * 99 / 100];
        for (times, gap) in [
            (&[20, 20, 20, 200][..], 1.0),
            (&[20, 20, 20, 200], 10.0),
            (&[20, 20, 20, 200], 1_000.0),
            (&[200, 20, 20, 20, 20, 20, 20, 20, 20, 20], 0.5),
        ] {
            let (in_turn, _) = simulate(Policy::RoundRobin, times, gap, 20_000);
            let (by_time, picks) = simulate(Policy::LeastTime, times, gap, 20_000);
            let (before, after) = (p99(&in_turn), p99(&by_time));
            assert!(before >= 5 * after, "{gap}: {before} and {after} ms, {picks:?}");
            assert!(picks.iter().all(|&picks| picks >= 20), "{gap}: {picks:?}");
        }
    }

    #[test]
    fn one_slow_answer_does_not_cost_an_endpoint_its_share() {
        for slow_at in [0, 100, 2_000] {
            let mut worker = Worker::of(&[1; 5], Policy::LeastTime);
            let (mut picks, mut was_slow) = ([0; 5], false);
            for number in 0..5_000 {
                worker.now += 10;
                let endpoint = worker.pick(None);
                let is_slow = !was_slow && number >= slow_at && endpoint.index() == 0;
                was_slow |= is_slow;
                let took = Duration::from_millis(if is_slow { 1_000 } else { 10 });
                worker.picker.observe(endpoint, took, AttemptOutcome::Answered);
                picks[endpoint.index()] += 1;
            }
            assert!(picks.iter().all(|&picks| picks > 700), "{slow_at}: {picks:?}");
        }
    }

    #[test]
    fn one_that_fails_fast_is_no_fast_one() {
        let mut worker = Worker::of(&[1; 4], Policy::LeastTime);
        let mut failed = 0;
        for _ in 0..4_000 {
            worker.now += 10;
            let endpoint = worker.pick(None);
            let fails = endpoint.index() == 0;
            failed += u32::from(fails);
            let (took, outcome) =
                if fails { (1, AttemptOutcome::Failed) } else { (20, AttemptOutcome::Answered) };
            worker.picker.observe(endpoint, Duration::from_millis(took), outcome);
        }
        assert!((4..200).contains(&failed), "{failed}");
    }

    #[test]
    fn a_new_endpoint_is_not_flooded_before_anything_is_known_of_it() {
        let mut worker = Worker::of(&[1; 4], Policy::LeastTime);
        for _ in 0..200 {
            worker.now += 10;
            let endpoint = worker.pick(None);
            if endpoint.index() != 3 {
                worker.picker.observe(
                    endpoint,
                    Duration::from_millis(20),
                    AttemptOutcome::Answered,
                );
            }
        }
        worker.begin(3, 1);
        let share = worker.shares(400, false)[3];
        assert!(share < 0.01, "one that has a request under way for four: {share}");
    }

    #[test]
    fn of_ten_one_that_goes_moves_its_keys_only() {
        let all = endpoints(&[1; 10]);
        let mut before = Worker::new(all.clone(), Policy::Hash, 0);
        let before = before.owners(20_000);
        for out in 0..10 {
            let mut rest = all.clone();
            rest.remove(out);
            let after = Worker::new(rest, Policy::Hash, 0).owners(20_000);
            let name = |owner: usize| owner + usize::from(owner >= out);
            let moved = before.iter().zip(&after).filter(|(was, is)| **was != name(**is));
            let moved = moved.map(|(was, _)| *was).collect::<Vec<_>>();
            assert!(moved.len() <= 2_400 && moved.iter().all(|&was| was == out), "{}", moved.len());
        }
    }

    #[test]
    fn keys_of_one_that_is_out_go_to_all_others_and_come_back() {
        let mut worker = Worker::of(&[1, 1, 2, 1, 3], Policy::Hash);
        let before = worker.owners(10_000);
        worker.endpoint(4).record.admin_state.set(AdminMode::Drained, Tick::from_millis(1));
        let during = worker.owners(10_000);
        let mut taken = [0; 5];
        for (was, is) in before.iter().zip(&during) {
            assert!(*was == 4 || was == is);
            taken[*is] += usize::from(*was == 4);
        }
        // Of about 3750 keys.
        let due = [750_usize, 750, 1_500, 750, 0];
        assert!(taken.iter().zip(due).all(|(is, due)| due.abs_diff(*is) < 150), "{taken:?}");
        worker.endpoint(4).record.admin_state.set(AdminMode::Ready, Tick::from_millis(2));
        assert_eq!(worker.owners(10_000), before);
    }

    #[test]
    fn keys_do_not_depend_on_the_order_or_the_worker() {
        let all = endpoints(&[1, 2, 3, 4]);
        let turned: Vec<_> = [2, 0, 3, 1].map(|index: usize| all[index].clone()).into();
        let mut worker = Worker::new(all, Policy::Hash, 0);
        let mut other = Worker::new(turned, Policy::Hash, 0);
        let owners = worker.owners(1_000);
        let places = [1, 3, 0, 2];
        let same: Vec<_> = owners.iter().map(|&owner| places[owner]).collect();
        assert_eq!(other.owners(1_000), same);
        worker.picker = Picker::new(Arc::clone(worker.picker.upstream()), 3);
        assert_eq!(worker.owners(1_000), owners);
    }

    #[test]
    fn with_most_endpoints_out_every_key_still_has_one() {
        let mut worker = Worker::of(&[1; 1000], Policy::Hash);
        for index in 2..1000 {
            worker.endpoint(index).health().on_check(CheckVerdict::Down, Tick::from_millis(1));
        }
        let owners = worker.owners(2_000);
        let first = owners.iter().filter(|owner| **owner == 0).count();
        assert!(owners.iter().all(|&owner| owner < 2) && first.abs_diff(1_000) < 200, "{first}");
        assert_eq!(worker.owners(2_000), owners);
    }

    #[test]
    fn an_endpoint_with_more_than_its_part_is_passed_over() {
        let mut worker = Worker::of(&[1; 4], Policy::Hash);
        let key = Some(hash(b"popular"));
        let mut counts = [0; 4];
        for _ in 0..400 {
            let index = worker.pick(key).index();
            worker.begin(index, 1);
            counts[index] += 1;
        }
        let most = *counts.iter().max().unwrap();
        assert!(most <= 126, "{counts:?}");
        // Few are never too many.
        let mut worker = Worker::of(&[1; 4], Policy::Hash);
        let owner = worker.pick(key).index();
        worker.begin(owner, 15);
        assert_eq!(worker.pick(key).index(), owner);
        worker.begin(owner, 1);
        assert_ne!(worker.pick(key).index(), owner);
    }

    #[test]
    fn one_that_comes_back_or_is_added_starts_slowly() {
        for policy in Policy::ALL.into_iter().filter(|policy| *policy != Policy::LeastTime) {
            for has_key in [false, true] {
                let all = endpoints(&[2; 4]);
                all[1].record.add(Tick::from_millis(1_000));
                let mut worker = Worker::new(all, policy, 16_000);
                for (at, part) in
                    [(0, 1.0), (4_000, 4.0), (8_000, 8.0), (15_999, 15.0), (16_300, 16.0)]
                {
                    worker.now = 1_000 + at;
                    let whole = 48.0 + part;
                    let mut due = [16.0 / whole, part / whole, 16.0 / whole, 16.0 / whole];
                    if policy == Policy::Hash && has_key {
                        // Of its own keys only: no other ones are to move.
                        let others = (1.0 - part / 64.0) / 3.0;
                        due = [others, part / 64.0, others, others];
                    }
                    let shares = worker.shares(10_000, has_key);
                    assert_near(&shares, &due, 0.015, (policy, has_key, at));
                }
                let health = worker.endpoint(2).health();
                health.on_check(CheckVerdict::Down, Tick::from_millis(20_000));
                health.on_check(CheckVerdict::Up, Tick::from_millis(30_000));
                worker.now = 30_000;
                let share = worker.shares(10_000, has_key)[2];
                assert!((share - 1.0 / 49.0).abs() < 0.01, "{policy:?}: {share}");
            }
        }
    }

    #[test]
    fn those_there_at_start_have_their_whole_share() {
        let mut worker = Worker::new(endpoints(&[1; 4]), Policy::RoundRobin, 16_000);
        assert_eq!(worker.shares(400, false), [0.25; 4]);
    }

    #[test]
    fn what_is_known_of_the_times_outlives_a_replacement() {
        let all = endpoints(&[1; 3]);
        let mut worker = Worker::new(all.clone(), Policy::LeastTime, 0);
        for (index, millis) in [(0, 10), (1, 10), (2, 300)] {
            for _ in 0..4 {
                let took = Duration::from_millis(millis);
                worker.picker.observe(EndpointId::new(index), took, AttemptOutcome::Answered);
            }
        }
        let next = [&all[2..], &all[..2]].concat();
        let upstream = Upstream::clone(worker.picker.upstream());
        let endpoints = Arc::new(EndpointSet::new(next));
        worker.picker = worker.picker.succeeded_by(Arc::new(Upstream { endpoints, ..upstream }));
        assert_eq!(worker.shares(20, false)[0], 0.0);
    }
}
