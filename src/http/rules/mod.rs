//! What the rules of a configuration do to requests and responses, compiled when it is read: pure
//! decisions, which [`crate::session`] carries out.

pub mod candidates;
pub mod conditions;
pub mod error_pages;
pub mod escape;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod head_edits;
pub mod location;
pub mod outcome;
pub mod table;
pub mod template;
pub mod variable;

use error_pages::ErrorPages;
use head_edits::HeadEdits;
use outcome::RouteOutcome;
use variable::VariableSet;

/// The rules of a route, with those that hold everywhere; or these alone, for answers that no route gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteRules {
    /// What is changed about the heads of requests.
    pub request: HeadEdits,
    /// What is changed about the heads of responses, whoever gives them.
    pub response: HeadEdits,
    /// What becomes of its requests.
    pub outcome: RouteOutcome,
    /// What answers of our own say.
    pub error_pages: ErrorPages,
    /// The variables of a request that its answer needs.
    pub captures: VariableSet,
}

impl RouteRules {
    /// The same with what follows from the rest.
    #[must_use]
    pub fn settled(mut self) -> Self {
        let of_outcome = match &self.outcome {
            RouteOutcome::Respond(respond) => respond.headers().variables(),
            RouteOutcome::Forward | RouteOutcome::Redirect(_) => VariableSet::default(),
        };
        self.captures = self.response.variables().and(of_outcome);
        self
    }

    /// Whether they change nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
