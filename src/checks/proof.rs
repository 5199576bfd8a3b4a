//! What requests prove about an endpoint, so that a check need not ask.

use super::spec::CheckTarget;
use crate::metrics::EndpointMetrics;
use crate::upstream::health::{Admission, Tick};

/// What was known of requests to an endpoint when it was last looked at.
#[derive(Default)]
pub(super) struct Proof {
    /// When that was, in milliseconds; 0: never.
    looked: u64,
    /// The connections opened by then.
    opened: u64,
    /// The attempts that had failed by then.
    failed: u64,
    /// How many targets there were.
    targets: usize,
}

/// Whether nothing is held against any of these.
pub(super) fn are_healthy(targets: &[CheckTarget], now: Tick) -> bool {
    targets.iter().all(|target| {
        let health = target.endpoint().health();
        health.is_untroubled() && health.admission(now) == Admission::Open
    })
}

impl Proof {
    /// Whether, since this was last asked, an endpoint has accepted a connection for a request or has answered one whole,
    /// and has failed none, for one of these targets, which are all at the same address; and nothing is held against any
    /// of them.
    pub(super) fn advance(&mut self, targets: &[CheckTarget], now: Tick) -> bool {
        let counts = || targets.iter().flat_map(|target| &target.endpoint().record.counts);
        let opened = counts().map(|counts: &EndpointMetrics| counts.connects.get()).sum();
        let answered = counts().map(|counts| counts.answered.get()).max().unwrap_or(0);
        // One that answers over old connections may accept no others: requests show that by failing.
        let failed = counts().map(|counts| counts.failed.get()).sum();
        let is_first = self.looked == 0 || self.targets != targets.len();
        let has_proven = (opened > self.opened || answered > self.looked) && failed == self.failed;
        *self = Self { looked: now.as_millis().max(1), opened, failed, targets: targets.len() };
        !is_first && has_proven && are_healthy(targets, now)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;
    use std::sync::Arc;

    use super::*;
    use crate::address::Address;
    use crate::id::EndpointId;
    use crate::upstream::Upstream;
    use crate::upstream::endpoint::Endpoint;
    use crate::upstream::endpoint_set::EndpointSet;
    use crate::upstream::health::{CheckVerdict, FailureKind, Thresholds};

    #[test]
    fn what_has_happened_since_the_last_look_proves_something_and_only_of_an_endpoint_without_trouble()
     {
        let endpoint =
            Endpoint::new(Address::Tcp("127.0.0.1:1".parse().unwrap()), NonZeroU16::MIN, 1);
        let upstream = Arc::new(Upstream::sample(EndpointSet::new([endpoint])));
        let targets = [CheckTarget { upstream, endpoint: EndpointId::new(0) }];
        let record = &targets[0].endpoint().record;
        let (connects, answered) = (&record.counts[0].connects, &record.counts[0].answered);
        let mut proof = Proof::default();
        connects.add(1);
        let mut look = |at| proof.advance(&targets, Tick::from_millis(at));
        // What was before is not known.
        assert!(!look(1000));
        assert!(!look(2000));
        connects.add(1);
        assert!(look(3000));
        assert!(!look(4000));
        answered.set(3999);
        assert!(!look(5000));
        answered.set(5001);
        assert!(look(6000));
        assert!(!look(7000));
        answered.set(7001);
        record.counts[0].failed.add(1);
        assert!(!look(7500));
        answered.set(7501);
        assert!(look(7600));
        answered.set(7601);
        record.health.on_check(CheckVerdict::Down, Tick::from_millis(7602));
        assert!(!look(7700));
        record.health.on_check(CheckVerdict::Up, Tick::from_millis(7701));
        answered.set(7702);
        assert!(look(7800));
        let (at, usual) = (Tick::from_millis(7801), Thresholds::default());
        record.health.on_failure(at, at, FailureKind::Exchange, &usual);
        answered.set(7801);
        assert!(!look(8000));
    }
}
