//! Requests in flight, counted for all workers together where a policy goes by them.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use evener::balance::Affinity;
use evener::balance::tried::Tried;
use evener::id::{EndpointId, UpstreamId};
use evener::metrics::Metrics;
use evener::net::deadline::Epoch;
use evener::placement::WorkerPlace;
use evener::plan::Plan;
use evener::plan::context::{InFlight, KeptInFlight, WorkerContext};
use evener::plan::handle::PlanHandle;
use evener::plan::shelves::Shelves;
use evener::upstream::Upstream;
use evener::upstream::endpoint_set::EndpointSet;
use evener::upstream::settings::Policy;
use futures_util::FutureExt;
use tokio::time::Instant;

use crate::support::proxy::config;

const UPSTREAM: UpstreamId = UpstreamId::new(0);

/// The same plan with another policy, as a reload would have it.
fn with_policy(plan: &Plan, policy: Policy) -> Arc<Plan> {
    let mut next = plan.clone();
    let upstream = plan.upstream(UPSTREAM);
    let endpoints = Arc::new(EndpointSet::new(upstream.endpoints.iter().cloned()));
    let upstream = Upstream { policy, endpoints, ..Upstream::clone(upstream) };
    next.upstreams[UPSTREAM.index()] = Arc::new(upstream);
    Arc::new(next)
}

/// Workers with three endpoints.
fn workers(policy: Policy, count: usize) -> Vec<Rc<PlanHandle>> {
    let (route, threads) = ("/=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", count.to_string());
    let plan = config(&["--route", route, "--threads", &threads]).plan;
    let (plan, epoch) = (with_policy(&plan, policy), Epoch::begin());
    let context = |worker| {
        let (plan, metrics) = ((Arc::clone(&plan), None), Arc::new(Metrics::new()));
        WorkerContext::new(
            plan,
            &Shelves::default(),
            metrics,
            None,
            WorkerPlace::apart(worker),
            epoch,
        )
    };
    (0..count).map(|worker| PlanHandle::new(context(worker))).collect()
}

fn pick(context: &WorkerContext) -> EndpointId {
    let tried = Tried::default();
    context.pick(UPSTREAM, Instant::now(), Affinity::default(), &tried).unwrap().endpoint
}

fn in_flight(context: &WorkerContext) -> Vec<u64> {
    let endpoints = context.plan.upstream(UPSTREAM).endpoints.iter();
    endpoints.map(|endpoint| endpoint.record.in_flight.get()).collect()
}

/// A request under way, of either kind.
enum UnderWay {
    OfPlan(#[expect(dead_code, reason = "it ends when it is dropped")] InFlight<'static>),
    Kept(#[expect(dead_code, reason = "it ends when it is dropped")] KeptInFlight),
}

#[test]
fn none_is_left_whatever_begins_ends_and_is_reloaded_in_any_order() {
    let workers = workers(Policy::RoundRobin, 2);
    let (mut under_way, mut counted) = (VecDeque::new(), 0);
    let mut state = 11_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % below
    };
    for step in 0..5_000 {
        let worker = usize::try_from(random(2)).unwrap();
        // Contexts are kept by their requests; here, until the test ends.
        let context: &'static WorkerContext = Box::leak(Box::new(workers[worker].get()));
        match random(if step < 4_000 { 100 } else { 40 }) {
            0 => {
                let policy = Policy::ALL[usize::try_from(random(6)).unwrap()];
                let plan = with_policy(&context.plan, policy);
                for worker in &workers {
                    let shelves = Shelves::default();
                    worker.adopt(Arc::clone(&plan), &shelves, None).now_or_never().unwrap();
                }
            }
            1..40 => {
                let ended: Option<(UnderWay, bool)> = under_way.pop_front();
                counted -= u64::from(ended.is_some_and(|(_, is_counted)| is_counted));
                if random(2) == 0 {
                    under_way.rotate_left(under_way.len() / 2);
                }
            }
            _ => {
                let endpoint = pick(context);
                let begun = context.begin(UPSTREAM, endpoint);
                let is_counted = context.plan.upstream(UPSTREAM).policy.counts();
                counted += u64::from(is_counted);
                let begun = match random(2) {
                    0 => UnderWay::OfPlan(begun),
                    _ => UnderWay::Kept(context.keep((begun, None), UPSTREAM, endpoint)),
                };
                under_way.push_back((begun, is_counted));
            }
        }
        assert_eq!(in_flight(context).iter().sum::<u64>(), counted);
    }
    under_way.clear();
    let context = workers[0].get();
    assert_eq!(in_flight(&context), [0; 3]);
    for endpoint in context.plan.upstream(UPSTREAM).endpoints.iter() {
        assert_eq!(endpoint.record.total(evener::metrics::EndpointMetrics::in_flight), 0);
    }
}

#[test]
fn what_one_worker_has_in_flight_counts_for_the_others() {
    for policy in [Policy::LeastRequests, Policy::TwoChoices] {
        let workers = workers(policy, 2);
        let (one, other) = (workers[0].get(), workers[1].get());
        let begin = |number: usize| one.begin(UPSTREAM, EndpointId::new(number % 2));
        let busy: Vec<_> = (0..18).map(begin).collect();
        // Of two choices one may be both of those that are busy.
        let idle = (0..90).filter(|_| pick(&other) == EndpointId::new(2)).count();
        assert!(idle >= 30, "{policy:?}: {idle}");
        drop(busy);
        assert_eq!(in_flight(&other), [0; 3]);
    }
}

#[test]
fn nothing_is_written_for_a_policy_that_does_not_go_by_it() {
    for policy in [Policy::RoundRobin, Policy::Random] {
        let workers = workers(policy, 1);
        let context = workers[0].get();
        let _begun = context.begin(UPSTREAM, pick(&context));
        assert_eq!(in_flight(&context), [0; 3]);
    }
}
