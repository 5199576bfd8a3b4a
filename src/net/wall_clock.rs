//! The time of day. It may be set at any moment, so deadlines use [`tokio::time::Instant`] instead.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since 1970 began. A clock set to before that counts as unset.
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
