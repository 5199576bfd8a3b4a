//! Origins that close connections where an answer was due.

use super::Origin;
use super::origin::ok;

/// Reads requests with a body of this length, and closes each connection without an answer.
pub fn closing(body: usize) -> Origin {
    Origin::start(move |mut conn| {
        conn.head();
        conn.bytes(body);
        conn.close();
    })
}

/// Answers the first request on each connection with `stale`, and closes it at the second.
pub fn closing_when_reused() -> Origin {
    Origin::start(|mut conn| {
        if conn.head().is_some() {
            conn.send(ok("stale"));
            conn.head();
            conn.close();
        }
    })
}
