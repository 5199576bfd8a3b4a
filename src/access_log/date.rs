//! The date of a line: what the calendar says of a number of microseconds. UTC, without leap seconds.

use super::text;

/// The last second that has a year of four digits, which both formats ask for.
const SECOND_MAX: u64 = 253_402_300_799;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A day of the calendar.
struct Day {
    year: u64,
    /// 1–12.
    month: u64,
    /// 1–31.
    of_month: u64,
}

impl Day {
    /// The day so many days after 1970-01-01: `civil_from_days` of Howard Hinnant, "chrono-compatible
    /// low-level date algorithms" (<https://howardhinnant.github.io/date_algorithms.html>). Its years
    /// begin in March, so that the leap day is the last of one.
    fn after_epoch(days: u64) -> Self {
        let days = days + 719_468; // from 0000-03-01
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let of_month = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self { year: year + era * 400 + u64::from(month <= 2), month, of_month }
    }
}

/// `21/Nov/2026:13:48:17 +0000`, the date of the common log format.
pub(super) fn common(unix_micros: u64, out: &mut Vec<u8>) {
    let second = (unix_micros / 1_000_000).min(SECOND_MAX);
    let Day { year, month, of_month } = Day::after_epoch(second / 86_400);
    let mut date = *b"00/Jan/0000:00:00:00 +0000";
    text::put::<2>(of_month, &mut date[0..2]);
    date[3..6].copy_from_slice(MONTHS[((month - 1) % 12) as usize]);
    text::put::<4>(year, &mut date[7..11]);
    time_of_day(second, &mut date[12..20]);
    out.extend_from_slice(&date);
}

/// `2026-11-21T13:48:17.123456Z` (RFC 3339 §5.6).
pub(super) fn rfc3339(unix_micros: u64, out: &mut Vec<u8>) {
    let second = (unix_micros / 1_000_000).min(SECOND_MAX);
    let Day { year, month, of_month } = Day::after_epoch(second / 86_400);
    let mut date = *b"0000-00-00T00:00:00.000000Z";
    text::put::<4>(year, &mut date[0..4]);
    text::put::<2>(month, &mut date[5..7]);
    text::put::<2>(of_month, &mut date[8..10]);
    time_of_day(second, &mut date[11..19]);
    text::put::<6>(unix_micros % 1_000_000, &mut date[20..26]);
    out.extend_from_slice(&date);
}

/// The digits around the colons.
fn time_of_day(second: u64, out: &mut [u8]) {
    text::put::<2>(second / 3_600 % 24, &mut out[0..2]);
    text::put::<2>(second / 60 % 60, &mut out[3..5]);
    text::put::<2>(second % 60, &mut out[6..8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: fn(u64, &mut Vec<u8>), unix_micros: u64) -> String {
        let mut out = Vec::new();
        write(unix_micros, &mut out);
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
            assert_eq!(written(rfc3339, micros), expected);
        }
        assert_eq!(written(common, 1_795_268_897_123_456), "21/Nov/2026:13:48:17 +0000");
        assert_eq!(written(common, 951_782_400_000_000), "29/Feb/2000:00:00:00 +0000");
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
    fn a_clock_that_is_far_off_writes_a_date_all_the_same() {
        assert!(written(rfc3339, u64::MAX).starts_with("9999-12-31T23:59:59."));
        assert_eq!(written(common, u64::MAX), "31/Dec/9999:23:59:59 +0000");
    }
}
