//! The share of lines that are written.

use std::fmt;

/// What a share of 1 is in the units of [`SampleRate`].
const WHOLE: u32 = 1_000_000;

/// A share of requests, in millionths: from none to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub struct SampleRate(u32);

impl SampleRate {
    /// All of them.
    pub const ALL: Self = Self(WHOLE);

    /// So many millionths; `None` above one million.
    pub fn new(millionths: u32) -> Option<Self> {
        Some(Self(millionths)).filter(|rate| *rate <= Self::ALL)
    }

    /// Whether a request is among them that has this number: the same one is, at any rate that is higher.
    pub fn takes(self, number: u64) -> bool {
        // The upper half of an evenly distributed number is as good as the whole.
        ((number >> 32) * u64::from(WHOLE)) >> 32 < u64::from(self.0)
    }

    /// Appends it as a decimal fraction of 1, as in `0.01`.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let (whole, rest) = (self.0 / WHOLE, self.0 % WHOLE);
        let digits = format!("{whole}.{rest:06}");
        out.extend_from_slice(digits.trim_end_matches('0').trim_end_matches('.').as_bytes());
    }
}

/// In percent.
impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredth = WHOLE / 100;
        let digits = format!("{}.{:04}", self.0 / hundredth, self.0 % hundredth);
        write!(f, "{}%", digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;

    #[test]
    fn a_rate_takes_its_share_of_numbers_and_all_that_a_lower_one_takes() {
        let numbers: Vec<u64> = (0..100_000).map(|place| hash::nth(1, place)).collect();
        for (millionths, least, most) in
            [(0, 0, 0), (10_000, 900, 1_100), (500_000, 49_500, 50_500), (WHOLE, 100_000, 100_000)]
        {
            let rate = SampleRate::new(millionths).unwrap();
            let taken = numbers.iter().filter(|number| rate.takes(**number)).count();
            assert!((least..=most).contains(&taken), "{taken} at {rate}");
        }
        let [low, high] = [10_000, 20_000].map(|rate| SampleRate::new(rate).unwrap());
        assert!(numbers.iter().all(|number| !low.takes(*number) || high.takes(*number)));
    }

    #[test]
    fn it_is_written_without_trailing_zeros() {
        for (millionths, fraction, percent) in [
            (WHOLE, "1", "100%"),
            (10_000, "0.01", "1%"),
            (1, "0.000001", "0.0001%"),
            (125_000, "0.125", "12.5%"),
            (0, "0", "0%"),
        ] {
            let (rate, mut out) = (SampleRate::new(millionths).unwrap(), Vec::new());
            rate.write(&mut out);
            assert_eq!(
                (&*String::from_utf8(out).unwrap(), &*rate.to_string()),
                (fraction, percent)
            );
        }
        assert_eq!(SampleRate::new(WHOLE + 1), None);
    }
}
