//! What is made of the outcome of a check.

use std::borrow::Cow;

use super::failure::CheckFailure;
use super::spec::CheckTarget;
use crate::fault::{Kind, Side};
use crate::id::EndpointId;
use crate::session::record::{log_local, log_transition};
use crate::upstream::Upstream;
use crate::upstream::check::{CheckOutcome, RiseFall};
use crate::upstream::failures::{Detail, Failed, Met};
use crate::upstream::health::{Admission, CheckVerdict, Tick};

/// Takes back what checks have found out about an endpoint that is no longer checked: nothing else
/// would.
pub(super) fn forget(upstream: &Upstream, endpoint: EndpointId, now: Tick) {
    let health = upstream.endpoint(endpoint).health();
    if health.admission(now) == Admission::Down
        && let Some(transition) = health.on_check(CheckVerdict::Up, now)
    {
        log_transition(upstream, endpoint, transition, now, &"it is not checked any more");
    }
}

/// What checks have found before: under an earlier plan, or in another process.
pub(super) fn found_before(targets: &[CheckTarget], now: Tick) -> CheckVerdict {
    let is_down = |CheckTarget { upstream, endpoint }: &CheckTarget| {
        upstream.endpoint(*endpoint).health().admission(now) == Admission::Down
    };
    if targets.iter().all(is_down) { CheckVerdict::Down } else { CheckVerdict::Up }
}

/// Reports the outcome; a fault of this machine says nothing about the endpoint.
pub(super) fn report(
    targets: &[CheckTarget],
    rise_fall: &mut RiseFall,
    result: Result<(), CheckFailure>,
    now: Tick,
) {
    if let Err(CheckFailure { fault, .. }) = result
        && fault.side == Side::Local
    {
        count(targets, CheckOutcome::LocalFailure);
        let address = |of: &CheckTarget| of.upstream.endpoint(of.endpoint).address.clone();
        return targets.iter().take(1).for_each(|of| log_local(&address(of), fault));
    }
    let passed = result.is_ok();
    count(targets, if passed { CheckOutcome::Passed } else { CheckOutcome::Failed });
    rise_fall.record(passed);
    let mut failure = result.err();
    for CheckTarget { upstream, endpoint } in targets {
        let record = &upstream.endpoint(*endpoint).record;
        let mut why = Cow::Borrowed("check passed");
        if let Some(CheckFailure { fault, detail }) = &mut failure {
            if let (Kind::Tls(fault), Some(Detail::Text(text))) = (fault.kind, &*detail) {
                record.failures.explain(fault, text);
            }
            let failed = Failed::new(now, Met::ByCheck, *fault).with(detail.take());
            let failed = record.failures.add(failed);
            why = failed.reason().into();
            // One of them was asked, for all of them.
            *detail = failed.detail;
        }
        // Reported even when it has not changed: a success may lift an ejection. A failure
        // that does not turn the verdict must not be reported as a success, though.
        if passed == (rise_fall.verdict() == CheckVerdict::Up)
            && let Some(transition) = record.health.on_check(rise_fall.verdict(), now)
        {
            log_transition(upstream, *endpoint, transition, now, &why);
        }
    }
}

/// Counts a check, made or left out, for each of those that it is about.
pub(super) fn count(targets: &[CheckTarget], outcome: CheckOutcome) {
    for target in targets {
        target.endpoint().record.checks[outcome as usize].add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU8, NonZeroU16};
    use std::sync::Arc;

    use super::*;
    use crate::address::Address;
    use crate::fault::{Fault, Stage};
    use crate::metrics::Counter;
    use crate::upstream::endpoint::Endpoint;
    use crate::upstream::endpoint_set::EndpointSet;

    #[test]
    fn outcomes_are_counted_and_what_this_machine_lacks_takes_nobody_out() {
        let endpoint =
            Endpoint::new(Address::Tcp("127.0.0.1:1".parse().unwrap()), NonZeroU16::MIN, 1);
        let upstream = Arc::new(Upstream::sample(EndpointSet::new([endpoint])));
        let targets = [CheckTarget { upstream, endpoint: EndpointId::new(0) }];
        let now = Tick::from_millis(1000);
        let mut rise_fall = RiseFall::new(NonZeroU8::MIN, NonZeroU8::MIN);
        let met = |kind| Err(Fault::upstream(Stage::Connect, kind).into());
        let counted = || targets[0].endpoint().record.checks.each_ref().map(Counter::get);
        report(&targets, &mut rise_fall, Ok(()), now);
        report(&targets, &mut rise_fall, met(Kind::Exhausted), now);
        assert_eq!((counted(), found_before(&targets, now)), ([1, 0, 0, 1], CheckVerdict::Up));
        report(&targets, &mut rise_fall, met(Kind::Refused), now);
        assert_eq!((counted(), found_before(&targets, now)), ([1, 1, 0, 1], CheckVerdict::Down));
    }
}
