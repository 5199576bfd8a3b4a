//! How long an ejection lasts, in 15 bits.

use std::time::Duration;

/// Milliseconds as a floating-point number of 15 bits, the mantissa in the
/// lower 11: both ends of a term must fit in the word, as an attempt is
/// held against the one and the admission against the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(u16);

impl Span {
    const MANTISSA_BITS: u32 = 11;
    const MANTISSA: u16 = (1 << Self::MANTISSA_BITS) - 1;
    const MAX: Self = Self(u16::MAX >> 1);

    /// Rounded up by less than a thousandth; never zero, as a claimed trial
    /// must bar others from the same tick.
    #[expect(clippy::cast_possible_truncation, reason = "the mantissa is what fits")]
    pub(super) fn at_least(duration: Duration) -> Self {
        let millis = millis(duration).clamp(1, Self::MAX.millis());
        let mantissa = |exponent: u16| millis.div_ceil(1 << exponent);
        let fits = |&exponent: &u16| mantissa(exponent) <= Self::MANTISSA.into();
        let exponent = (0..15).find(fits).unwrap_or(15);
        Self(mantissa(exponent) as u16 | exponent << Self::MANTISSA_BITS)
    }

    /// From its [bits](Span::bits), of which the highest is not one.
    pub(super) const fn of_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The lower 15 of 16.
    pub(super) const fn bits(self) -> u16 {
        self.0
    }

    pub(super) const fn millis(self) -> u64 {
        ((self.0 & Self::MANTISSA) as u64) << (self.0 >> Self::MANTISSA_BITS)
    }
}

/// Whole milliseconds, as many as fit.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_round_up_to_eleven_bits() {
        let exact = [1, 2, 2_047, 2_048, 5_000, 10_000, 20_000, 40_000, 60_000, 960_000];
        let rounded =
            [(0, 1), (2_049, 2_050), (4_095, 4_096), (45_000, 45_024), (3_600_000, 3_600_384)];
        let max = 2_047 << 15;
        let bounds = [(max - 1, max), (max, max), (max + 1, max), (u64::MAX, max)];
        for (millis, span) in exact.map(|ms| (ms, ms)).into_iter().chain(rounded).chain(bounds) {
            assert_eq!(Span::at_least(Duration::from_millis(millis)).millis(), span, "{millis}");
        }
    }
}
