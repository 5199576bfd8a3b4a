//! How much of its share an endpoint has that comes back, or has been added.

use std::time::Duration;

use crate::upstream::health::Tick;

/// The whole share: it grows in so many steps.
pub(super) const WHOLE: u16 = 16;

/// However short the steps are, shares are changed no more often.
const STEP_MIN: Duration = Duration::from_millis(250);

/// The part of its share that an endpoint has at `now`, of [`WHOLE`] and at least 1, if it has been there since
/// `since` and is to have the whole share after `ramp`; and when that changes.
#[must_use]
pub(super) fn part(since: Option<Tick>, ramp: Duration, now: Tick) -> (u16, Option<Tick>) {
    let ramp = u64::try_from(ramp.as_millis()).unwrap_or(u64::MAX);
    let Some(since) = since else { return (WHOLE, None) };
    let passed = now.as_millis().saturating_sub(since.as_millis());
    if passed >= ramp {
        return (WHOLE, None);
    }
    let steps = u64::from(WHOLE - 1);
    // Less than all of them, since the ramp has not passed.
    let step = u128::from(passed) * u128::from(steps) / u128::from(ramp);
    let step = u64::try_from(step).unwrap_or(steps);
    let next = u128::from(step + 1) * u128::from(ramp);
    let next = u64::try_from(next.div_ceil(u128::from(steps))).unwrap_or(u64::MAX);
    let next = Tick::from_millis(since.as_millis().saturating_add(next));
    let part = u16::try_from(step).map_or(WHOLE, |step| 1 + step);
    (part, Some(next.max(now.saturating_add(STEP_MIN))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::from_millis(millis)
    }

    #[test]
    fn a_share_grows_in_even_steps_to_the_whole() {
        let ramp = Duration::from_secs(15);
        let since = Some(at(1_000));
        let rows = [
            (1_000, (1, Some(at(2_000)))),
            (1_999, (1, Some(at(2_249)))),
            (2_000, (2, Some(at(3_000)))),
            (8_500, (8, Some(at(9_000)))),
            (15_999, (15, Some(at(16_249)))),
            (16_000, (WHOLE, None)),
            // One that has come back a moment after the clock was read.
            (900, (1, Some(at(2_000)))),
        ];
        for (now, expected) in rows {
            assert_eq!(part(since, ramp, at(now)), expected, "{now}");
        }
    }

    #[test]
    fn one_that_was_there_all_along_has_its_whole_share() {
        assert_eq!(part(None, Duration::from_secs(10), at(5)), (WHOLE, None));
        assert_eq!(part(Some(at(5)), Duration::ZERO, at(5)), (WHOLE, None));
    }

    #[test]
    fn short_ramps_have_fewer_steps() {
        let (mut now, mut changes) = (at(0), 0);
        while let (_, Some(next)) = part(Some(at(0)), Duration::from_secs(1), now) {
            assert!(next > now);
            (now, changes) = (next, changes + 1);
        }
        assert_eq!((now, changes), (at(1_000), 4));
    }
}
