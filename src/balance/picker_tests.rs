//! Picks from the endpoints of an upstream: who may be picked, in which order, and why.

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::num::NonZeroU16;
    use std::sync::Arc;

    use crate::address::Address;
    use crate::balance::tried::Tried;
    use crate::balance::{Affinity, NoneLeft, Pick, PickReason, Picked, Picker, Standing};
    use crate::id::EndpointId;
    use crate::upstream::Upstream;
    use crate::upstream::admin_state::AdminMode;
    use crate::upstream::ejections::EjectShare;
    use crate::upstream::endpoint::{Endpoint, EndpointRole};
    use crate::upstream::endpoint_set::EndpointSet;
    use crate::upstream::health::{CheckVerdict, FailureKind, Thresholds, Tick};
    use crate::upstream::settings::Policy;
    use crate::upstream::shared_count::SharedCount;

    const NOW: Tick = Tick::from_millis(1000);

    fn endpoints(weights: &[u16]) -> Vec<Endpoint> {
        let address = Address::Unix("/x".into());
        let weights = weights.iter().map(|&weight| NonZeroU16::new(weight).unwrap());
        weights.map(|weight| Endpoint::new(address.clone(), weight, 1)).collect()
    }

    fn picker(endpoints: Vec<Endpoint>, policy: Policy) -> Picker {
        let upstream = Upstream { policy, ..Upstream::sample(EndpointSet::new(endpoints)) };
        Picker::new(Arc::new(upstream), 0)
    }

    fn of(count: usize) -> Picker {
        picker(endpoints(&vec![1; count]), Policy::RoundRobin)
    }

    fn eject(picker: &Picker, index: usize, now: Tick) {
        let health = picker.upstream().endpoints[index].health();
        let eject_max = EjectShare::of_percent(100).unwrap();
        let thresholds = Thresholds { eject_max, ..Thresholds::default() };
        for _ in 0..3 {
            health.on_failure(now, now, FailureKind::Exchange, &thresholds);
        }
    }

    fn pick(picker: &mut Picker, now: Tick, tried: &Tried) -> Result<Picked, NoneLeft> {
        let (affinity, standing) = (Affinity::default(), Standing::Newcomer);
        picker.pick(&Pick { now, affinity, tried, random: 1, standing })
    }

    fn picks(picker: &mut Picker, now: Tick, times: usize) -> Vec<usize> {
        let picks = (0..times).filter_map(|_| pick(picker, now, &Tried::default()).ok());
        picks.map(|picked| picked.endpoint.index()).collect()
    }

    fn set(picker: &Picker, index: usize, mode: AdminMode) {
        picker.upstream().endpoints[index].record.admin_state.set(mode, NOW);
    }

    #[test]
    fn an_ejected_endpoint_is_skipped_and_comes_back_with_one_trial() {
        for policy in [Policy::RoundRobin, Policy::LeastRequests] {
            let mut picker = picker(endpoints(&[1, 1]), policy);
            eject(&picker, 0, NOW);
            assert_eq!(picks(&mut picker, NOW, 4), [1; 4]);
            let later = Tick::from_millis(6001);
            let trial = picks(&mut picker, later, 6);
            assert_eq!(trial.iter().filter(|index| **index == 0).count(), 1, "{policy:?}");
        }
    }

    #[test]
    fn when_all_are_ejected_requests_are_still_tried() {
        let mut picker = of(2);
        eject(&picker, 0, NOW);
        eject(&picker, 1, NOW);
        assert_eq!(picks(&mut picker, NOW, 4).len(), 4);
    }

    #[test]
    fn one_whose_trial_another_worker_has_claimed_is_used_where_there_is_no_other() {
        let mut picker = of(1);
        eject(&picker, 0, NOW);
        let due = Tick::from_millis(6001);
        let mut other = Picker::new(Arc::clone(picker.upstream()), 1);
        assert!(pick(&mut picker, due, &Tried::default()).unwrap().on_trial);
        assert!(!pick(&mut other, due, &Tried::default()).unwrap().on_trial);
        // One that had come a little earlier, and asks later.
        assert!(pick(&mut other, NOW, &Tried::default()).is_ok());
    }

    #[test]
    fn what_the_checks_found_dead_is_not_tried() {
        let mut picker = of(1);
        picker.upstream().endpoints[0].health().on_check(CheckVerdict::Down, NOW);
        assert_eq!(pick(&mut picker, NOW, &Tried::default()), Err(NoneLeft::AllDown));
        picker.upstream().endpoints[0].health().on_check(CheckVerdict::Up, NOW);
        assert_eq!(picks(&mut picker, NOW, 1), [0]);
    }

    #[test]
    fn an_empty_set_has_nobody_to_ask() {
        for policy in [Policy::RoundRobin, Policy::LeastRequests] {
            let mut picker = picker(Vec::new(), policy);
            assert_eq!(pick(&mut picker, NOW, &Tried::default()), Err(NoneLeft::AllDown));
        }
    }

    #[test]
    fn what_is_taken_out_by_hand_is_not_tried_until_it_is_ready_again() {
        for mode in [AdminMode::Drained, AdminMode::Down] {
            let mut picker = of(2);
            set(&picker, 0, mode);
            eject(&picker, 1, NOW);
            assert_eq!(picks(&mut picker, NOW, 4), [1; 4]);
            set(&picker, 1, mode);
            assert_eq!(pick(&mut picker, NOW, &Tried::default()), Err(NoneLeft::AllDrained));
            set(&picker, 0, AdminMode::Ready);
            assert_eq!(picks(&mut picker, NOW, 4), [0; 4]);
        }
    }

    #[test]
    fn a_mixture_of_dead_and_drained_endpoints_counts_as_dead() {
        let mut picker = of(2);
        set(&picker, 0, AdminMode::Drained);
        picker.upstream().endpoints[1].health().on_check(CheckVerdict::Down, NOW);
        assert_eq!(pick(&mut picker, NOW, &Tried::default()), Err(NoneLeft::AllDown));
    }

    #[test]
    fn a_backup_serves_only_while_no_primary_is_fit() {
        let mut of_two = endpoints(&[1, 1]);
        of_two[0].role = EndpointRole::Backup;
        let mut picker = picker(of_two, Policy::RoundRobin);
        assert_eq!(picks(&mut picker, NOW, 4), [1; 4]);
        eject(&picker, 1, NOW);
        assert_eq!(picks(&mut picker, NOW, 4), [0; 4]);
    }

    #[test]
    fn the_least_busy_for_its_weight_is_picked_and_ties_go_in_turn() {
        let mut picker = picker(endpoints(&[1, 3]), Policy::LeastRequests);
        let mut shares = [0; 2];
        for _ in 0..40 {
            let endpoint = pick(&mut picker, NOW, &Tried::default()).unwrap().endpoint;
            shares[endpoint.index()] += 1;
            let in_flight = |picker: &Picker, change: fn(&SharedCount)| {
                change(&picker.upstream().endpoint(endpoint).record.in_flight);
            };
            in_flight(&picker, SharedCount::add);
            in_flight(&picker, SharedCount::remove);
            picker.in_flight_changed(endpoint);
        }
        assert_eq!(shares, [10, 30]);
        picker.upstream().endpoints[1].record.in_flight.add();
        assert_eq!(picks(&mut picker, NOW, 4), [0; 4]);
    }

    #[test]
    fn nothing_is_tried_twice() {
        for policy in [Policy::RoundRobin, Policy::LeastRequests] {
            let mut picker = picker(endpoints(&[1, 1]), policy);
            let mut tried = Tried::default();
            for _ in 0..2 {
                let endpoint = pick(&mut picker, NOW, &tried).unwrap().endpoint;
                assert!(tried.insert(endpoint));
            }
            assert_eq!(pick(&mut picker, NOW, &tried), Err(NoneLeft::AllTried));
        }
    }

    #[test]
    fn of_many_endpoints_none_that_has_just_failed_is_picked() {
        let mut picker = of(1000);
        picks(&mut picker, NOW, 1);
        (1..500).for_each(|index| eject(&picker, index, NOW));
        let first = picks(&mut picker, NOW, 1000);
        assert!(first.iter().all(|&index| !(1..500).contains(&index)));
        let later = Tick::from_millis(NOW.as_millis() + 10);
        let second = picks(&mut picker, later, 1002);
        assert_eq!(second.iter().collect::<HashSet<_>>().len(), 501);
    }

    #[test]
    fn a_replaced_set_goes_on_with_the_next_in_turn() {
        let old = endpoints(&[1; 4]);
        let mut picker = picker(old.clone(), Policy::RoundRobin);
        assert_eq!(picks(&mut picker, NOW, 2), [0, 1]);
        let next = [&old[3..], &old[..3], &endpoints(&[1])].concat();
        let upstream = Upstream {
            endpoints: Arc::new(EndpointSet::new(next)),
            ..Upstream::clone(picker.upstream())
        };
        let mut next = picker.succeeded_by(Arc::new(upstream));
        assert_eq!(picks(&mut next, NOW, 6), [3, 0, 1, 2, 4, 3]);
    }

    #[test]
    fn a_pick_says_why() {
        let mut of_three = endpoints(&[1; 3]);
        of_three[2].role = EndpointRole::Backup;
        let mut picker = picker(of_three, Policy::RoundRobin);
        let mut tried = Tried::default();
        let mut why = |picker: &mut Picker, now| {
            let Picked { endpoint, reason, .. } = pick(picker, now, &tried).unwrap();
            tried.insert(endpoint);
            reason
        };
        assert_eq!(why(&mut picker, NOW), PickReason::Policy);
        assert_eq!(why(&mut picker, NOW), PickReason::OnlyOne);
        assert_eq!(why(&mut picker, NOW), PickReason::Backup);
        (0..3).for_each(|index| eject(&picker, index, NOW));
        assert_eq!(pick(&mut picker, NOW, &Tried::default()).unwrap().reason, PickReason::Panic);
        let due = pick(&mut picker, Tick::from_millis(6001), &Tried::default()).unwrap();
        assert_eq!((due.reason, due.on_trial), (PickReason::Trial, true));
        let only = pick(&mut of(1), NOW, &Tried::default()).unwrap();
        assert_eq!(only.reason, PickReason::OnlyOne);
    }

    #[test]
    fn a_sticky_endpoint_is_taken_while_it_may_have_requests() {
        for policy in [Policy::RoundRobin, Policy::LeastRequests] {
            let mut of_three = endpoints(&[1; 3]);
            of_three[2].role = EndpointRole::Backup;
            let mut picker = picker(of_three, policy);
            let again = |picker: &mut Picker, sticky, tried: &Tried| {
                let affinity = Affinity { sticky: Some(EndpointId::new(sticky)), key: None };
                let standing = Standing::Newcomer;
                picker.pick(&Pick { now: NOW, affinity, tried, random: 1, standing }).unwrap()
            };
            let none = Tried::default();
            for index in [0, 1, 2, 1, 1] {
                let Picked { endpoint, reason, .. } = again(&mut picker, index, &none);
                assert_eq!((endpoint.index(), reason), (index, PickReason::Sticky));
            }
            let mut tried = none;
            tried.insert(EndpointId::new(0));
            assert_ne!(again(&mut picker, 0, &tried).reason, PickReason::Sticky, "tried");
            assert_ne!(
                again(&mut picker, 7, &none).reason,
                PickReason::Sticky,
                "there is none such"
            );
            set(&picker, 1, AdminMode::Drained);
            assert_eq!(again(&mut picker, 1, &none).endpoint.index(), 0);
            eject(&picker, 0, NOW);
            assert_eq!(again(&mut picker, 0, &none).reason, PickReason::Backup);
        }
    }
}
