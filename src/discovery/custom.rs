//! Endpoints that are found in code.

use tokio::task::JoinError;

use super::outcome::LookupOutcome;
use crate::config::source::lines;
use crate::upstream::custom_source::CustomQuery;
use crate::upstream::source::SourceAnswer;

/// Asks a source, which may take its time.
pub(super) fn look(query: &CustomQuery) -> LookupOutcome {
    match query.ask() {
        // Each is a line of its own, whatever it holds.
        Ok((found, interval)) => match lines(&found.join("\n")) {
            Ok(entries) => LookupOutcome::Found(SourceAnswer::Lines(entries), Some(interval)),
            Err((_, what)) if found.is_empty() => LookupOutcome::Failed(what),
            Err((nth, what)) => LookupOutcome::Failed(format!("endpoint {nth}: {what}")),
        },
        Err(reason) => LookupOutcome::Failed(reason),
    }
}

/// Why it was not asked to the end.
pub(super) fn why(error: &JoinError) -> String {
    if error.is_panic() { "it has panicked".to_owned() } else { error.to_string() }
}
