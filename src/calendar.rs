//! Calendar dates, in UTC and without leap seconds.

/// The last second of the year 9999: every format requires four-digit years.
pub const SECOND_MAX: u64 = 253_402_300_799;

/// The names of the months, from January.
pub const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The names of the days, from Sunday.
const WEEKDAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// From 1970.
    pub year: u64,
    /// 1–12.
    pub month: u64,
    /// 1–31.
    pub of_month: u64,
    /// Its name.
    pub of_week: &'static [u8; 3],
}

impl Day {
    /// The date `days` days after 1970-01-01: `civil_from_days` from Howard Hinnant's
    /// "chrono-compatible low-level date algorithms"
    /// (<https://howardhinnant.github.io/date_algorithms.html>). Its years begin in March, so that
    /// the leap day comes last.
    pub fn after_epoch(days: u64) -> Self {
        // 1970-01-01 was a Thursday.
        let of_week = WEEKDAYS[((days + 4) % 7) as usize];
        let days = days + 719_468; // from 0000-03-01
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let of_month = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self { year: year + era * 400 + u64::from(month <= 2), month, of_month, of_week }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (days, year, month, of_month, of_week) in [
            (0, 1970, 1, 1, b"Thu"),
            (11_016, 2000, 2, 29, b"Tue"),
            (9_075, 1994, 11, 6, b"Sun"),
            (20_783, 2026, 11, 26, b"Thu"),
            (SECOND_MAX / 86_400, 9999, 12, 31, b"Fri"),
        ] {
            assert_eq!(Day::after_epoch(days), Day { year, month, of_month, of_week });
        }
    }
}
