//! Formats timestamps as calendar dates, in UTC and without leap seconds.

use crate::calendar::{Day, MONTHS, SECOND_MAX};
use crate::decimal::padded;

/// The formatted dates of one second, cached because most lines share it with the line before.
pub(super) struct Dates {
    second: u64,
    common: [u8; COMMON_LENGTH],
    rfc3339: [u8; RFC3339_LENGTH],
}

const COMMON_LENGTH: usize = "21/Nov/2026:13:48:17 +0000".len();
const RFC3339_LENGTH: usize = "2026-11-21T13:48:17".len();

impl Dates {
    /// A cache that holds the first second of 1970.
    pub(super) fn new() -> Self {
        Self::of(0)
    }

    fn of(second: u64) -> Self {
        let Day { year, month, of_month, .. } = Day::after_epoch(second / 86_400);
        let (year, day) = (padded::<4>(year), padded::<2>(of_month));
        let clock = [second / 3_600 % 24, second / 60 % 60, second % 60].map(padded::<2>);
        let mut common = *b"00/Jan/0000:00:00:00 +0000";
        common[0..2].copy_from_slice(&day);
        common[3..6].copy_from_slice(MONTHS[((month - 1) % 12) as usize]);
        common[7..11].copy_from_slice(&year);
        let mut rfc3339 = *b"0000-00-00T00:00:00";
        rfc3339[0..4].copy_from_slice(&year);
        rfc3339[5..7].copy_from_slice(&padded::<2>(month));
        rfc3339[8..10].copy_from_slice(&day);
        for (at, part) in clock.iter().enumerate() {
            common[12 + 3 * at..][..2].copy_from_slice(part);
            rfc3339[11 + 3 * at..][..2].copy_from_slice(part);
        }
        Self { second, common, rfc3339 }
    }

    fn update(&mut self, second: u64) {
        let second = second.min(SECOND_MAX);
        if second != self.second {
            *self = Self::of(second);
        }
    }

    /// `21/Nov/2026:13:48:17 +0000`, the date of the common log format.
    pub(super) fn common(&mut self, unix_micros: u64, out: &mut Vec<u8>) {
        self.update(unix_micros / 1_000_000);
        out.extend_from_slice(&self.common);
    }

    /// `2026-11-21T13:48:17.123456Z` (RFC 3339 §5.6).
    pub(super) fn rfc3339(&mut self, unix_micros: u64, out: &mut Vec<u8>) {
        self.update(unix_micros / 1_000_000);
        out.extend_from_slice(&self.rfc3339);
        out.push(b'.');
        out.extend_from_slice(&padded::<6>(unix_micros % 1_000_000));
        out.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(unix_micros: u64) -> String {
        let mut out = Vec::new();
        Dates::new().common(unix_micros, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn rfc3339(unix_micros: u64) -> String {
        let mut out = Vec::new();
        Dates::new().rfc3339(unix_micros, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_dates() {
        let rows = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (68_169_599_999_999, "1972-02-28T23:59:59.999999Z"),
            (68_169_600_000_000, "1972-02-29T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_800_000_001, "2000-03-01T00:00:00.000001Z"),
            (1_795_268_897_123_456, "2026-11-21T13:48:17.123456Z"),
            (4_107_542_399_000_000, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ];
        for (micros, expected) in rows {
            assert_eq!(rfc3339(micros), expected);
        }
        assert_eq!(common(1_795_268_897_123_456), "21/Nov/2026:13:48:17 +0000");
        assert_eq!(common(951_782_400_000_000), "29/Feb/2000:00:00:00 +0000");
    }

    #[test]
    fn every_day_of_1200_years_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..1200 * 365 {
            let found = Day::after_epoch(days);
            assert_eq!((found.year, found.month, found.of_month), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day = day % length + 1;
            month = if day > 1 { month } else { month % 12 + 1 };
            year += u64::from(day == 1 && month == 1);
        }
    }

    #[test]
    fn the_cache_follows_the_second_of_each_line() {
        let (mut dates, mut out) = (Dates::new(), Vec::new());
        for micros in [1_000_000, 1_999_999, 2_000_000, 0] {
            dates.rfc3339(micros, &mut out);
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1970-01-01T00:00:01.000000Z1970-01-01T00:00:01.999999Z\
             1970-01-01T00:00:02.000000Z1970-01-01T00:00:00.000000Z"
        );
    }

    #[test]
    fn a_clock_beyond_year_9999_still_writes_a_valid_date() {
        assert!(rfc3339(u64::MAX).starts_with("9999-12-31T23:59:59."));
        assert_eq!(common(u64::MAX), "31/Dec/9999:23:59:59 +0000");
    }
}
