//! What has gone wrong with an endpoint lately, to say why it is out.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::health::Tick;
use crate::fault::{Errno, Fault, Kind};

/// How many are kept.
const KEPT_MAX: usize = 8;

/// Who met a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// A request, or a connection that was passed on.
    ByRequest,
    /// A check.
    ByCheck,
}

/// One failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// When.
    pub at: Tick,
    /// By whom it was met.
    pub met: Met,
    /// What it was.
    pub fault: Fault,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = if self.met == Met::ByCheck { "check, " } else { "" };
        write!(f, "{check}{}: {}", self.fault.stage.name(), self.fault.phrase())?;
        // What a connection is cut by in the middle is known by its kind only.
        let reset = || Errno::of(libc::ECONNRESET).filter(|_| self.fault.kind == Kind::Reset);
        self.fault.errno.or_else(reset).map_or(Ok(()), |errno| write!(f, " ({errno})"))
    }
}

/// The last failures, and when the endpoint last became another one by its health.
///
/// A lock is fine: successful requests never take it.
#[derive(Debug, Default)]
pub struct Failures(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    last: VecDeque<Failed>,
    turned: Option<Tick>,
}

impl Failures {
    /// Keeps one more. A check that fails as the one before did only makes that newer: it must not
    /// push out what requests have met.
    pub fn add(&self, failed: Failed) {
        let mut kept = self.kept();
        if let Some(newest) = kept.last.front_mut()
            && failed.met == Met::ByCheck
            && (newest.met, newest.fault) == (failed.met, failed.fault)
        {
            newest.at = failed.at;
            return;
        }
        kept.last.truncate(KEPT_MAX - 1);
        kept.last.push_front(failed);
    }

    /// The newest first.
    pub fn last(&self) -> Vec<Failed> {
        self.kept().last.iter().copied().collect()
    }

    /// It is in another state from `at` on.
    pub fn turn(&self, at: Tick) {
        self.kept().turned = Some(at);
    }

    /// Since when it has been in its state, if it was ever in another one.
    pub fn turned(&self) -> Option<Tick> {
        self.kept().turned
    }

    /// The entries are whole even if the lock is poisoned by a panic elsewhere.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::fault::Stage;

    fn failed(at: u64, met: Met, kind: Kind) -> Failed {
        Failed { at: Tick::from_millis(at), met, fault: Fault::upstream(Stage::Connect, kind) }
    }

    #[test]
    fn the_newest_are_kept_and_checks_that_fail_alike_are_one() {
        let failures = Failures::default();
        for at in 0..20 {
            failures.add(failed(at, Met::ByRequest, Kind::Refused));
        }
        for at in 20..40 {
            failures.add(failed(at, Met::ByCheck, Kind::Refused));
        }
        let at: Vec<u64> = failures.last().iter().map(|failed| failed.at.as_millis()).collect();
        assert_eq!(at, [39, 19, 18, 17, 16, 15, 14, 13]);
        failures.add(failed(40, Met::ByCheck, Kind::TimedOut));
        assert_eq!(failures.last().len(), KEPT_MAX);
        assert_eq!(failures.last()[1].at, Tick::from_millis(39));
    }

    #[test]
    fn a_failure_says_where_what_and_why() {
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let mut one = failed(0, Met::ByCheck, Kind::Refused);
        assert_eq!(one.to_string(), "check, connect: endpoint refused the connection");
        one.fault = one.fault.caused_by(&refused);
        one.met = Met::ByRequest;
        assert_eq!(one.to_string(), "connect: endpoint refused the connection (ECONNREFUSED)");
        let reset = Fault::upstream(Stage::ResponseHead, Kind::Reset);
        let text = Failed { fault: reset, ..one }.to_string();
        assert_eq!(text, "response head: endpoint closed without an answer (ECONNRESET)");
    }
}
