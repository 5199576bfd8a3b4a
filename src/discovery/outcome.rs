//! What has come of asking a source.

use std::time::Duration;

use crate::upstream::source::SourceAnswer;

/// What has come of asking.
#[derive(Debug)]
pub(super) enum LookupOutcome {
    /// A file has not changed.
    Unchanged,
    /// An answer, and how long it holds if it says so.
    Found(SourceAnswer, Option<Duration>),
    /// None, for this reason.
    Failed(String),
}
