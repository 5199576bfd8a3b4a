//! What can be said of an upstream besides where its endpoints are.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// How long each wait for an endpoint may last. None is infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// To open a connection.
    pub connect: Duration,
    /// For the head of a response, from the last byte of the request.
    pub response: Duration,
    /// Between two bytes of a body, whichever way they go.
    pub idle: Duration,
    /// Between two bytes of a tunnel.
    pub tunnel: Duration,
}

/// What is kept of connections that are idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Idle connections per endpoint and worker.
    pub idle_max: usize,
    /// How long a connection may lie idle.
    pub idle_timeout: Duration,
}

/// How many requests may be at each endpoint, over all workers, and what becomes of those that find every
/// one full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Requests at one endpoint, those that a connection is being opened for included.
    pub requests_max: NonZeroU32,
    /// How many may wait for room at any of them, beyond which they are refused.
    pub queue_max: usize,
    /// How long one may wait.
    pub queue_timeout: Duration,
}

impl Ceiling {
    /// For how long as many may wait as are served at a time, before the newest are refused.
    pub fn shed_interval(&self) -> Duration {
        self.queue_timeout / 10
    }
}

/// Which of the endpoints that may be sent a request gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The next one in turn, by weight.
    RoundRobin,
    /// The one with the fewest requests in flight for its weight; in turn where several have.
    LeastRequests,
    /// Of two by chance, by weight, the one with fewer requests in flight for its weight.
    TwoChoices,
    /// Any, by weight.
    Random,
    /// Of two by chance, by weight, the one that answers sooner, as far as is known.
    LeastTime,
    /// The same for all requests with the same key.
    Hash,
    /// That of the program around.
    Custom,
}

impl Policy {
    /// All that can be configured.
    pub const ALL: [Self; 6] = [
        Self::RoundRobin,
        Self::LeastRequests,
        Self::TwoChoices,
        Self::Random,
        Self::LeastTime,
        Self::Hash,
    ];

    /// Whether it goes by the requests in flight, which are counted for all workers together then.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::RoundRobin | Self::Random)
    }

    /// As it is written in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastRequests => "least_requests",
            Self::TwoChoices => "two_choices",
            Self::Random => "random",
            Self::LeastTime => "least_time",
            Self::Hash => "hash",
            Self::Custom => "custom",
        }
    }
}

/// What the policy `hash` goes by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HashOn {
    /// The address of the client, without its port: of the real one behind trusted proxies.
    Client,
    /// The normalised path, without the query.
    Path,
    /// The normalised path and the query.
    Target,
    /// The host, in lower case and without its port.
    Host,
    /// The first header of this name, in any case.
    Header(Box<str>),
    /// The first cookie of this name.
    Cookie(Box<str>),
    /// The first parameter of this name in the query.
    Query(Box<str>),
}

/// As it is written in a configuration.
impl fmt::Display for HashOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Path => f.write_str("path"),
            Self::Target => f.write_str("target"),
            Self::Host => f.write_str("host"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
        }
    }
}

/// Whether a response of 500–599 counts against its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerErrors {
    /// It does not: the endpoint is there and answers.
    Answers,
    /// It counts as a failure.
    Failures,
}
