//! A connection to an endpoint: leased for one exchange, idle before and after.

use std::time::Duration;

use tokio::time::Instant;

use super::stream::Stream;

/// A connection to an endpoint, leased for one exchange.
#[derive(Debug)]
pub struct Lease {
    /// The connection.
    pub stream: Stream,
    /// Bytes written to it before this exchange.
    pub carried: u64,
    /// Where it was before.
    pub origin: Origin,
}

/// Where a leased connection has come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It has been opened.
    Opened,
    /// It lay on the shelf that workers share.
    Shelf,
    /// This worker kept it for itself.
    Pool,
}

impl Lease {
    /// Of a connection that has just been opened.
    pub fn new(stream: Stream) -> Self {
        Self { stream, carried: 0, origin: Origin::Opened }
    }

    /// Whether it has carried an exchange before, and so may have gone stale.
    pub fn is_reused(&self) -> bool {
        self.origin != Origin::Opened
    }
}

/// How sure it is that the answer was all that the endpoint had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its framing said where it ends.
    Framed,
    /// It had no body, but announced one, or answered HEAD. An endpoint that sends that body all
    /// the same does it soon: given [`QUARANTINE`] it is found out.
    Announced,
}

/// How long a connection waits for bytes nobody asked for, where there is reason to.
pub const QUARANTINE: Duration = Duration::from_secs(1);

/// A connection between two exchanges.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) lease: Lease,
    /// When its last exchange ended, by the clock of the worker that had it.
    pub(super) since: Instant,
    ending: Ending,
}

impl Idle {
    /// From now on.
    pub(super) fn new(lease: Lease, ending: Ending, now: Instant) -> Self {
        Self { lease, since: now, ending }
    }

    /// Whether it may be leased. That does not depend on the time if all was said: another worker may have looked at
    /// the clock before it was put here.
    #[inline]
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        match self.ending {
            Ending::Framed => true,
            Ending::Announced => self.age(now) >= QUARANTINE,
        }
    }

    /// For how long it has been.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.duration_since(self.since)
    }
}
