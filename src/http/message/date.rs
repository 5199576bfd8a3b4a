//! When a message was made: Date (RFC 9110 §6.6.1).

use std::ops::Deref;

use crate::calendar::{Day, MONTHS, SECOND_MAX};
use crate::decimal::padded;

const LENGTH: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

/// A second, formatted as HTTP does: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate([u8; LENGTH]);

impl HttpDate {
    /// The second `unix_seconds` after 1970 began.
    pub fn of(unix_seconds: u64) -> Self {
        let second = unix_seconds.min(SECOND_MAX);
        let Day { year, month, of_month, of_week } = Day::after_epoch(second / 86_400);
        let mut text = *b"Sun, 00 Jan 0000 00:00:00 GMT";
        text[0..3].copy_from_slice(of_week);
        text[5..7].copy_from_slice(&padded::<2>(of_month));
        text[8..11].copy_from_slice(MONTHS[((month - 1) % 12) as usize]);
        text[12..16].copy_from_slice(&padded::<4>(year));
        text[17..19].copy_from_slice(&padded::<2>(second / 3_600 % 24));
        text[20..22].copy_from_slice(&padded::<2>(second / 60 % 60));
        text[23..25].copy_from_slice(&padded::<2>(second % 60));
        Self(text)
    }
}

impl Deref for HttpDate {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_rfc_does() {
        for (second, date) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (1_795_651_199, "Wed, 25 Nov 2026 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(HttpDate::of(second).escape_ascii().to_string(), date);
        }
    }
}
