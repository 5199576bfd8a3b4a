//! Quantiles of what a histogram has observed within an interval.

use super::grid::Cell;
use super::reading::Buckets;
use super::text::latency;

/// A latency in seconds, or only that it is more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantile {
    pub(super) seconds: f64,
    pub(super) is_more: bool,
}

impl Quantile {
    /// As it is shown.
    pub(super) fn text(self) -> String {
        format!("{}{}", if self.is_more { ">" } else { "" }, latency(self.seconds))
    }

    /// As a value of a table.
    pub(super) fn cell(self) -> Cell {
        Cell::number(self.seconds, self.text())
    }
}

/// A counter as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "what is shown has three digits")]
pub(super) fn number(counter: u64) -> f64 {
    counter as f64
}

/// What has been observed since the reading before, still cumulative; nothing if the bounds are others.
pub(super) fn grown(now: &Buckets, before: Option<&Buckets>) -> Buckets {
    let Some(before) = before.filter(|before| before.len() == now.len()) else { return Vec::new() };
    let pairs = now.iter().zip(before);
    let grown = pairs.map(|((bound, now), (was, before))| {
        let count = now.checked_sub(*before).filter(|_| bound == was)?;
        Some((*bound, count))
    });
    grown.collect::<Option<Buckets>>().unwrap_or_default()
}

/// A quantile of cumulative buckets, interpolated linearly within its bucket.
pub(super) fn quantile(share: f64, buckets: &Buckets) -> Quantile {
    let unknown = Quantile { seconds: f64::NAN, is_more: false };
    let all = number(buckets.last().map_or(0, |(_, count)| *count));
    if all <= 0.0 {
        return unknown;
    }
    let rank = share * all;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        let upto = number(*count);
        if upto >= rank && upto > below {
            let Some(high) = bound else { return Quantile { seconds: low, is_more: true } };
            let inside = (rank - below).max(0.0) / (upto - below);
            return Quantile { seconds: low + (high - low) * inside, is_more: false };
        }
        (low, below) = (bound.unwrap_or(low), upto.max(below));
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated_within_their_bucket() {
        let buckets = vec![(Some(0.001), 10), (Some(0.002), 30), (Some(0.004), 40), (None, 40)];
        let at = |share, buckets: &Buckets| {
            let Quantile { seconds, is_more } = quantile(share, buckets);
            (format!("{seconds:.5}"), is_more)
        };
        assert_eq!(at(0.5, &buckets), ("0.00150".to_owned(), false));
        assert_eq!(at(0.25, &buckets), ("0.00100".to_owned(), false));
        assert_eq!(at(1.0, &buckets), ("0.00400".to_owned(), false));
        assert_eq!(at(0.99, &vec![(Some(0.001), 1), (None, 100)]), ("0.00100".to_owned(), true));
        assert_eq!(at(0.5, &vec![(Some(0.001), 0), (None, 0)]).0, "NaN");
        let other = vec![(Some(0.5), 0), (None, 0)];
        assert_eq!(grown(&vec![(Some(1.0), 5), (None, 9)], Some(&other)), []);
        let before = vec![(Some(1.0), 2), (None, 3)];
        assert_eq!(
            grown(&vec![(Some(1.0), 5), (None, 9)], Some(&before)),
            [(Some(1.0), 3), (None, 6)]
        );
        assert_eq!(grown(&vec![(Some(1.0), 1), (None, 9)], Some(&before)), []);
    }
}
