//! Which requests of a route are copied for another upstream.

use crate::id::UpstreamId;

/// A share of requests, in steps of a hundredth of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MirrorShare(u16);

impl MirrorShare {
    /// All of them.
    pub const ALL: Self = Self(10_000);

    /// So many hundredths of a percent; `None` above 100 %.
    pub fn new(hundredths: u16) -> Option<Self> {
        Some(Self(hundredths)).filter(|share| *share <= Self::ALL)
    }

    /// Whether a request is among them that chance has given this number.
    pub fn takes(self, random: u64) -> bool {
        // The upper half of one number by chance is as good as another.
        ((random >> 32) * u64::from(Self::ALL.0)) >> 32 < u64::from(self.0)
    }
}

/// In percent.
impl std::fmt::Display for MirrorShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match (rest, rest % 10) {
            (0, _) => write!(f, "{whole} %"),
            (_, 0) => write!(f, "{whole}.{} %", rest / 10),
            (_, _) => write!(f, "{whole}.{rest:02} %"),
        }
    }
}

/// What is copied, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The upstream that gets the copies.
    pub upstream: UpstreamId,
    /// How many of the requests are copied.
    pub share: MirrorShare,
}

/// What has become of a request that was to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorOutcome {
    /// An endpoint has answered the copy.
    Answered,
    /// None has: it could not be reached, was too slow, or gave no answer that could be read.
    Failed,
    /// No copy was sent, since no endpoint may be asked, or each has as many requests as it may.
    Unavailable,
    /// No copy was sent, since too many were under way.
    Full,
    /// No copy was sent, since the body was too long.
    TooLong,
    /// No copy was sent, since the request did not come whole.
    Incomplete,
    /// No copy was sent, since the request asked for another protocol, or was a copy itself.
    Exempt,
}

impl MirrorOutcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::Failed,
        Self::Unavailable,
        Self::Full,
        Self::TooLong,
        Self::Incomplete,
        Self::Exempt,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Unavailable => "unavailable",
            Self::Full => "full",
            Self::TooLong => "too_long",
            Self::Incomplete => "incomplete",
            Self::Exempt => "exempt",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;

    #[test]
    fn as_many_are_taken_as_the_share_says() {
        for hundredths in [0, 1, 50, 5_000, 9_999, 10_000] {
            let share = MirrorShare::new(hundredths).unwrap();
            let taken = (0..1_000_000).filter(|nth| share.takes(hash::nth(7, *nth))).count();
            let expected = usize::from(hundredths) * 100;
            assert!(taken.abs_diff(expected) <= 1_500, "{taken} of a million, {hundredths}");
        }
        assert!(MirrorShare::ALL.takes(u64::MAX) && !MirrorShare(0).takes(0));
        assert_eq!(MirrorShare::new(10_001), None);
    }

    #[test]
    fn a_share_is_written_in_percent() {
        let written = |hundredths| MirrorShare(hundredths).to_string();
        assert_eq!([10_000, 550, 505, 1].map(written), ["100 %", "5.5 %", "5.05 %", "0.01 %"]);
    }
}
