//! What the rules of a configuration do to requests and responses, compiled when it is read: pure
//! decisions, which [`crate::session`] carries out.

pub mod access;
pub mod candidates;
mod client_hash;
pub mod conditions;
pub mod error_pages;
pub mod escape;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod head_edits;
pub mod limit_table;
pub mod location;
pub mod mirror;
pub mod outcome;
pub mod rate_limit;
pub mod refusal;
pub mod request_limit;
pub mod table;
pub mod template;
#[cfg(any(test, fuzzing))]
pub mod template_fuzz;
pub mod variable;

use std::sync::Arc;

use access::Access;
use error_pages::ErrorPages;
use head_edits::HeadEdits;
use mirror::Mirror;
use outcome::RouteOutcome;
use rate_limit::RateLimiter;
use refusal::RefusingRule;
use request_limit::RequestLimit;
use variable::{Variable, VariableSet};

/// The rules of a route, with those that hold everywhere; or these alone, for answers that no route gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteRules {
    /// What is changed about the heads of requests.
    pub request: HeadEdits,
    /// What is changed about the heads of responses, whoever gives them.
    pub response: HeadEdits,
    /// Which clients are served, if not all are.
    pub access: Option<Access>,
    /// How many requests there may be in a time. Outlives the plan, as long as a later one has the same limit for the
    /// route.
    pub rate_limit: Option<Arc<RateLimiter>>,
    /// How many requests may be in flight. Their count outlives the plan, as long as a later one has a limit for the
    /// route.
    pub max_requests: Option<RequestLimit>,
    /// How many bytes the body of a request may have.
    pub body_max: Option<u64>,
    /// What becomes of its requests.
    pub outcome: RouteOutcome,
    /// Which of those that are forwarded are copied for another upstream, if any are.
    pub mirror: Option<Mirror>,
    /// What answers of our own say.
    pub error_pages: ErrorPages,
    /// The variables of a request that its answer needs.
    pub captures: VariableSet,
    /// Whether anything may say the identifier of a request, so that one without is given one.
    pub wants_id: bool,
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
        let said = self.captures.and(self.request.variables()).and(self.outcome.variables());
        self.wants_id = said.has(Variable::RequestId) || !self.error_pages.is_empty();
        self
    }

    /// Whether they change nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The limits among them.
    pub fn limits(&self) -> impl Iterator<Item = RefusingRule> {
        let networks = self.access.as_ref().map(Access::written);
        let is_set = move |rule: &RefusingRule| match rule {
            RefusingRule::Deny => networks.is_some_and(|(_, denied)| !denied.is_empty()),
            RefusingRule::Allow => networks.is_some_and(|(allowed, _)| !allowed.is_empty()),
            RefusingRule::RateLimit => self.rate_limit.is_some(),
            RefusingRule::MaxRequests => self.max_requests.is_some(),
            RefusingRule::MaxBody => self.body_max.is_some(),
        };
        RefusingRule::ALL.into_iter().filter(is_set)
    }

    /// Whether requests are counted under them, and a later plan goes on counting.
    pub fn counts_something(&self) -> bool {
        self.rate_limit.is_some() || self.max_requests.is_some()
    }

    /// These rules, with what is counted under those that the same route had before.
    #[must_use]
    pub fn in_place_of(&self, before: &Self) -> Self {
        let mut rules = self.clone();
        if rules.rate_limit == before.rate_limit {
            rules.rate_limit.clone_from(&before.rate_limit);
        }
        if let (Some(limit), Some(before)) = (&self.max_requests, &before.max_requests) {
            rules.max_requests = Some(limit.in_place_of(before));
        }
        rules
    }
}
