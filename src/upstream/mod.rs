//! The endpoints of an upstream, their health and their settings.

pub mod admin_state;
pub mod budget;
pub mod check;
pub mod custom_policy;
pub mod custom_source;
pub mod departed;
pub mod ejections;
pub mod endpoint;
pub mod endpoint_set;
pub mod endpoint_tls;
pub mod failures;
pub mod health;
mod health_word;
pub mod permits;
pub mod queue;
#[cfg(test)]
mod queue_simulation;
#[cfg(test)]
mod queue_tests;
pub mod record;
pub mod recovery;
pub mod request_permit;
pub mod retries;
pub mod settings;
pub mod shared_count;
pub mod slots;
pub mod source;
mod span;
pub mod split_cookie;
pub mod srv;
pub mod sticky;
mod watched_word;
pub mod watchers;

use std::sync::Arc;
use std::time::Duration;

use crate::id::EndpointId;
use crate::proxy_protocol::Version;
use budget::BudgetShare;
use check::{Check, CheckKind};
use custom_policy::SharedPolicy;
use endpoint::Endpoint;
use endpoint_set::EndpointSet;
use health::{Thresholds, Tick};
use record::UpstreamRecord;
use retries::Retries;
use settings::{Ceiling, HashOn, Keeping, Policy, ServerErrors, UpstreamTimeouts};
use sticky::Sticky;

/// Endpoints that can stand in for each other, and how they are used; shared by all workers.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its own, or that of the route or the listener it belongs to.
    pub name: Box<str>,
    /// Where its requests go.
    pub endpoints: Arc<EndpointSet>,
    /// What is known of it: outlives the plan.
    pub record: Arc<UpstreamRecord>,
    /// Which of them a request goes to.
    pub policy: Policy,
    /// What decides instead, if the program around has a policy of its own.
    pub custom_policy: Option<SharedPolicy>,
    /// What is hashed, if that is its policy.
    pub hash_on: Option<HashOn>,
    /// What keeps clients on their endpoints, if anything does.
    pub sticky: Option<Arc<Sticky>>,
    /// How long one that comes back, or is added, takes to get its whole share; zero: no time.
    pub slow_start: Duration,
    /// How many requests each of them may have at a time; any number if absent.
    pub ceiling: Option<Ceiling>,
    /// When an endpoint is ejected.
    pub thresholds: Thresholds,
    /// Whether a server error is a failure.
    pub server_errors: ServerErrors,
    /// What is sent to it.
    pub traffic: Traffic,
    /// The header of the PROXY protocol that its connections begin with, if they do.
    pub announces: Option<Version>,
    /// What Host says to its endpoints, if its route says nothing else.
    pub host_header: Option<Box<str>>,
    /// What Host says to endpoints where neither says anything, if not what the client said.
    pub usual_host: Option<Box<str>>,
    /// How long waits for its endpoints may last.
    pub timeouts: UpstreamTimeouts,
    /// What is kept of its idle connections.
    pub keeping: Keeping,
    /// How its endpoints are checked.
    pub check: Check,
    /// When what an endpoint has failed goes to another.
    pub retries: Retries,
    /// How many retries there may be for its requests.
    pub retry_budget: BudgetShare,
}

impl Upstream {
    /// What Host says to its endpoints where its route says nothing, if not what the client said.
    #[inline]
    pub fn host(&self) -> Option<&str> {
        self.host_header.as_deref().or(self.usual_host.as_deref())
    }

    /// One of its endpoints.
    pub fn endpoint(&self, id: EndpointId) -> &Endpoint {
        &self.endpoints[id.index()]
    }

    /// When one of its endpoints is ejected that fails at `now`.
    pub fn thresholds_of(&self, id: EndpointId, now: Tick) -> Thresholds {
        let eject_max =
            self.endpoints.share_of(self.endpoint(id).role, self.thresholds.eject_max, now);
        Thresholds { eject_max, ..self.thresholds }
    }

    /// Whether another does exactly the same, but for what is known of its endpoints.
    pub fn is_like(&self, other: &Self) -> bool {
        // Whatever is added to it has to be compared too.
        let Self {
            name,
            endpoints,
            record: _,
            policy,
            custom_policy,
            hash_on,
            sticky,
            slow_start,
            ceiling,
            thresholds,
            server_errors,
            traffic,
            announces,
            host_header,
            usual_host,
            timeouts,
            keeping,
            check,
            retries,
            retry_budget,
        } = self;
        let cookie =
            |sticky: &Option<Arc<Sticky>>| sticky.as_ref().map(|sticky| sticky.cookie.clone());
        let are_alike = |(one, two): (&Endpoint, &Endpoint)| one.is_like(two);
        custom_policy.is_none()
            && other.custom_policy.is_none()
            && endpoints.len() == other.endpoints.len()
            && endpoints.iter().zip(other.endpoints.iter()).all(are_alike)
            && cookie(sticky) == cookie(&other.sticky)
            && (name, policy, hash_on, slow_start, ceiling, thresholds)
                == (
                    &other.name,
                    &other.policy,
                    &other.hash_on,
                    &other.slow_start,
                    &other.ceiling,
                    &other.thresholds,
                )
            && (server_errors, traffic, announces, host_header, usual_host)
                == (
                    &other.server_errors,
                    &other.traffic,
                    &other.announces,
                    &other.host_header,
                    &other.usual_host,
                )
            && (timeouts, keeping, check, retries, retry_budget)
                == (
                    &other.timeouts,
                    &other.keeping,
                    &other.check,
                    &other.retries,
                    &other.retry_budget,
                )
    }

    /// The same by a policy of the program around.
    #[must_use]
    pub fn with_policy(&self, policy: SharedPolicy) -> Self {
        Self { policy: Policy::Custom, custom_policy: Some(policy), ..self.clone() }
    }

    /// The same with other endpoints.
    #[must_use]
    pub fn with_endpoints(&self, endpoints: EndpointSet) -> Self {
        let sticky = self.sticky.as_ref().map(|sticky| sticky.with_endpoints(&endpoints));
        let (endpoints, sticky) = (Arc::new(endpoints), sticky.map(Arc::new));
        Self { endpoints, sticky, ..self.clone() }
    }

    /// Works out now what its policy goes by, which takes a few milliseconds: no worker has to.
    pub fn prepare(&self) {
        if self.policy == Policy::Hash {
            self.endpoints.slots();
        }
    }

    /// Whether one of its endpoints has as many requests as it may.
    pub fn is_full(&self, endpoint: &Endpoint) -> bool {
        let taken = endpoint.record.permits.taken();
        self.ceiling.is_some_and(|ceiling| taken >= ceiling.requests_max.get())
    }

    /// Of requests that go round, with the limits that stand by default.
    pub fn sample(endpoints: EndpointSet) -> Self {
        let second = Duration::from_secs(1);
        Self {
            name: "/".into(),
            endpoints: Arc::new(endpoints),
            record: UpstreamRecord::new(1),
            policy: Policy::RoundRobin,
            custom_policy: None,
            hash_on: None,
            sticky: None,
            slow_start: Duration::ZERO,
            ceiling: None,
            thresholds: Thresholds::default(),
            server_errors: ServerErrors::Answers,
            traffic: Traffic::Http,
            announces: None,
            host_header: None,
            usual_host: None,
            timeouts: UpstreamTimeouts {
                connect: 3 * second,
                response: 30 * second,
                idle: 60 * second,
                tunnel: 3600 * second,
            },
            keeping: Keeping { idle_max: 512, idle_timeout: 50 * second },
            check: Check::every(second, CheckKind::Off),
            retries: Retries::USUAL,
            retry_budget: BudgetShare::USUAL,
        }
    }
}

/// What is sent to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// Requests.
    Http,
    /// Connections as they are.
    Tcp,
}
