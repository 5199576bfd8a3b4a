//! Chooses which endpoint of an upstream serves the next request: smooth
//! weighted round robin, as in nginx.
//!
//! Which endpoints may be chosen is the caller's business, asked through a
//! predicate; nothing here knows of health, connections or time. Each worker
//! has its own [`RoundRobin`] per upstream, so there is nothing to synchronise.

use std::num::NonZeroU16;

/// Smooth weighted round robin over the endpoints `0..weights.len()`.
///
/// While all are eligible, every run of `sum(weights)` picks gives each
/// endpoint exactly its weight, and spreads the turns of a heavy endpoint out
/// instead of bunching them (weights 5, 1, 1 give `a a b a c a a`).
///
/// The algorithm is nginx's `ngx_http_upstream_get_peer` without its
/// `effective_weight`: an endpoint in trouble is ineligible, not lighter.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    endpoints: Box<[Endpoint]>,
}

impl RoundRobin {
    /// Weights are meant to be within 1..=1000. The instance begins as if
    /// `offset` picks had been made already: workers given their own indices
    /// start at different endpoints, and the uneven remainders of their
    /// rounds cancel out.
    #[must_use]
    pub fn new(weights: &[NonZeroU16], offset: usize) -> Self {
        let endpoints = weights.iter().map(|&weight| Endpoint::new(weight));
        let mut fresh = Self { endpoints: endpoints.collect() };
        let round: usize = weights.iter().map(|w| usize::from(w.get())).sum();
        // The credits are all zero again after each full round.
        for _ in 0..offset.checked_rem(round).unwrap_or(0) {
            fresh.pick(|_| true);
        }
        fresh
    }

    /// Picks the next endpoint among those for which `eligible(index)` holds;
    /// `None`, and nothing changes, if it holds for none.
    ///
    /// `eligible` is asked once for each endpoint, in order. An endpoint
    /// passed over as ineligible keeps the credit it has and earns none, so
    /// that it is not flooded when it returns.
    pub fn pick(&mut self, mut eligible: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for (index, endpoint) in self.endpoints.iter_mut().enumerate() {
            if !eligible(index) {
                continue;
            }
            total += endpoint.weight;
            endpoint.credit += endpoint.weight;
            if best.is_none_or(|(_, credit)| endpoint.credit > credit) {
                best = Some((index, endpoint.credit));
            }
        }
        let (index, _) = best?;
        self.endpoints[index].credit -= total;
        Some(index)
    }
}

/// `credit` rises by the weight with each pick the endpoint takes part in, and
/// the one picked pays what all of them earned. Hence the credits of an
/// instance always sum to zero.
#[derive(Clone, Copy, Debug)]
struct Endpoint {
    weight: i64,
    credit: i64,
}

impl Endpoint {
    fn new(weight: NonZeroU16) -> Self {
        Self { weight: weight.get().into(), credit: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_robin(weights: &[u16], offset: usize) -> RoundRobin {
        let weights: Vec<_> =
            weights.iter().map(|&weight| NonZeroU16::new(weight).unwrap()).collect();
        RoundRobin::new(&weights, offset)
    }

    fn picks(balancer: &mut RoundRobin, count: usize) -> Vec<usize> {
        (0..count).map(|_| balancer.pick(|_| true).unwrap()).collect()
    }

    fn counts(picks: &[usize], endpoints: usize) -> Vec<usize> {
        let mut counts = vec![0; endpoints];
        for &index in picks {
            counts[index] += 1;
        }
        counts
    }

    #[test]
    fn heavy_endpoints_are_spread_out_as_in_nginx() {
        let mut balancer = round_robin(&[5, 1, 1], 0);
        assert_eq!(picks(&mut balancer, 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn every_run_of_full_rounds_gives_exact_shares() {
        let tables: [&[u16]; 5] = [&[1], &[1, 1, 1], &[5, 1, 1], &[3, 7, 2, 8], &[1000, 1, 999]];
        for weights in tables {
            let round: usize = weights.iter().map(|&weight| usize::from(weight)).sum();
            for offset in [0, 1, 2, round - 1, round, 3 * round + 1] {
                let picks = picks(&mut round_robin(weights, offset), 3 * round);
                let shares: Vec<_> = weights.iter().map(|&w| 3 * usize::from(w)).collect();
                assert_eq!(counts(&picks, weights.len()), shares, "{weights:?} {offset}");
            }
        }
    }

    #[test]
    fn equal_weights_differ_by_at_most_one_in_any_window() {
        for weight in [1, 7] {
            let picks = picks(&mut round_robin(&[weight; 5], 3), 40);
            for length in 1..20 {
                for window in picks.windows(length) {
                    let counts = counts(window, 5);
                    let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
                    assert!(spread <= 1, "{window:?}");
                }
            }
        }
    }

    #[test]
    fn an_offset_begins_after_that_many_picks() {
        let sequence = picks(&mut round_robin(&[4, 2, 1], 0), 30);
        for offset in 0..20 {
            let later = picks(&mut round_robin(&[4, 2, 1], offset), 10);
            assert_eq!(later, sequence[offset..offset + 10]);
        }
    }

    #[test]
    fn one_pick_on_each_worker_adds_up_to_a_round() {
        let weights = [4, 2, 1];
        let first: Vec<_> =
            (0..7).map(|worker| picks(&mut round_robin(&weights, worker), 1)[0]).collect();
        assert_eq!(counts(&first, 3), [4, 2, 1]);
    }

    #[test]
    fn the_share_of_an_ineligible_endpoint_is_spread_evenly() {
        let mut balancer = round_robin(&[1; 4], 0);
        let picks: Vec<_> = (0..30).map(|_| balancer.pick(|index| index != 2).unwrap()).collect();
        assert_eq!(counts(&picks, 4), [10, 10, 0, 10]);
    }

    #[test]
    fn ineligible_endpoints_build_up_no_credit() {
        let mut balancer = round_robin(&[1, 1, 1], 0);
        for _ in 0..999 {
            assert_ne!(balancer.pick(|index| index != 2), Some(2));
        }
        let returned = counts(&picks(&mut balancer, 30), 3)[2];
        assert!((9..=11).contains(&returned), "{returned}");
    }

    #[test]
    fn credits_stay_small_whatever_is_eligible() {
        let weights = [1, 1000, 7, 300, 300];
        let mut balancer = round_robin(&weights, 0);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let picked = balancer.pick(|index| random >> index & 1 == 1);
            assert_eq!(picked.is_none(), random.trailing_zeros() >= 5);
            let credits = balancer.endpoints.iter().map(|endpoint| endpoint.credit);
            assert!(credits.clone().all(|credit| credit.abs() <= 5 * 1608));
            assert_eq!(credits.sum::<i64>(), 0);
        }
    }

    #[test]
    fn nothing_is_picked_when_nothing_is_eligible() {
        assert_eq!(round_robin(&[], 3).pick(|_| true), None);
        let mut balancer = round_robin(&[2, 1], 0);
        assert_eq!(balancer.pick(|_| false), None);
        assert_eq!(picks(&mut balancer, 3), [0, 1, 0]);
    }
}
