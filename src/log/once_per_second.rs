//! A line of the error log that could be said thousands of times a second, and is said once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(1);

/// Lets a line through once per second. Touched only when something goes wrong, which may be often: it has cache lines of its
/// own, apart from what else is static.
#[repr(align(128))]
pub struct OncePerSecond(Mutex<(Option<Instant>, u64)>);

impl OncePerSecond {
    /// Lets the first one through.
    pub const fn new() -> Self {
        Self(Mutex::new((None, 0)))
    }

    /// Whether a line may be written now; if so, how many were left out since the last one.
    pub fn permits(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

impl Default for OncePerSecond {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let (lines, now) = (OncePerSecond::new(), Instant::now());
        let after = |millis| lines.permits(now + Duration::from_millis(millis));
        assert_eq!(
            [0, 1, 999, 1000, 1001, 2500].map(after),
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
