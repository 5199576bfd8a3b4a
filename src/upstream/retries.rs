//! When a request that an endpoint has failed goes to another, and how often.

use std::fmt;
use std::time::Duration;

/// The most further attempts a request may be given.
pub const RETRIES_MAX: u8 = 7;

/// Why a request may go to another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// There was no connection, or the endpoint has said that it has done nothing about the request.
    Connect,
    /// A connection from before had been closed by the endpoint meanwhile.
    Stale,
    /// A new connection ended, in whatever way, before any byte of an answer.
    Reset,
    /// The head of the answer took too long.
    Timeout,
    /// The endpoint answered 502.
    BadGateway,
    /// The endpoint answered 503.
    Unavailable,
    /// The endpoint answered 504.
    GatewayTimeout,
    /// The endpoint answered 500 to 599.
    ServerError,
}

impl RetryReason {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Stale,
        Self::Reset,
        Self::Timeout,
        Self::BadGateway,
        Self::Unavailable,
        Self::GatewayTimeout,
        Self::ServerError,
    ];

    /// As it is written in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Stale => "stale",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::BadGateway => "502",
            Self::Unavailable => "503",
            Self::GatewayTimeout => "504",
            Self::ServerError => "5xx",
        }
    }
}

/// A set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn(u8);

impl RetryOn {
    /// None.
    pub const NOTHING: Self = Self(0);

    /// Those that stand where a configuration names none: what costs an endpoint no work twice.
    pub const USUAL: Self =
        Self::NOTHING.with(RetryReason::Connect).with(RetryReason::Stale).with(RetryReason::Reset);

    /// The same with another one.
    #[must_use]
    pub const fn with(self, reason: RetryReason) -> Self {
        Self(self.0 | 1 << reason as u8)
    }

    /// Whether that is one of them.
    pub const fn has(self, reason: RetryReason) -> bool {
        self.0 & (1 << reason as u8) != 0
    }

    /// Whether there is one that is in both.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether an answer with this status is one of them.
    pub const fn has_status(self, status: u16) -> bool {
        let named = match status {
            502 => self.has(RetryReason::BadGateway),
            503 => self.has(RetryReason::Unavailable),
            504 => self.has(RetryReason::GatewayTimeout),
            _ => false,
        };
        named || status >= 500 && status < 600 && self.has(RetryReason::ServerError)
    }

    /// Those among them.
    pub fn iter(self) -> impl Iterator<Item = RetryReason> {
        RetryReason::ALL.into_iter().filter(move |reason| self.has(*reason))
    }
}

impl FromIterator<RetryReason> for RetryOn {
    fn from_iter<T: IntoIterator<Item = RetryReason>>(reasons: T) -> Self {
        reasons.into_iter().fold(Self::NOTHING, Self::with)
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, reason) in self.iter().enumerate() {
            let before = if nth == 0 { "" } else { ", " };
            write!(f, "{before}{}", reason.name())?;
        }
        Ok(())
    }
}

/// The settings of retries, of an upstream or a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Further attempts that a request may be given; at most [`RETRIES_MAX`].
    pub max: u8,
    /// For these reasons, if they have been named.
    pub named: Option<RetryOn>,
    /// How long an attempt may take to bring the head of its answer, from the last byte of the request, and how
    /// long to connect; only the other timeouts hold without it.
    pub attempt_timeout: Option<Duration>,
}

impl Retries {
    /// What stands by default.
    pub const USUAL: Self = Self { max: RETRIES_MAX, named: None, attempt_timeout: None };

    /// The reasons in force. Who bounds an attempt means to make another one.
    pub const fn on(&self) -> RetryOn {
        match (self.named, self.attempt_timeout) {
            (Some(named), _) => named,
            (None, None) => RetryOn::USUAL,
            (None, Some(_)) => RetryOn::USUAL.with(RetryReason::Timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let on: RetryOn = [RetryReason::Unavailable, RetryReason::Connect].into_iter().collect();
        assert_eq!(on.to_string(), "connect, 503");
        let held = [500, 502, 503, 504].map(|status| on.has_status(status));
        assert_eq!(held, [false, false, true, false]);
        assert!(on.meets(RetryOn::USUAL) && !on.meets(RetryOn::NOTHING.with(RetryReason::Stale)));
    }

    #[test]
    fn server_errors_are_500_to_599() {
        let on = RetryOn::NOTHING.with(RetryReason::ServerError);
        let held = [499, 500, 502, 599, 600].map(|status| on.has_status(status));
        assert_eq!(held, [false, true, true, true, false]);
    }

    #[test]
    fn a_bound_for_attempts_makes_timeouts_a_reason_unless_reasons_are_named() {
        let attempt_timeout = Some(Duration::from_secs(1));
        let bounded = Retries { attempt_timeout, ..Retries::USUAL };
        assert!(!Retries::USUAL.on().has(RetryReason::Timeout));
        assert!(bounded.on().has(RetryReason::Timeout));
        let named = Retries { named: Some(RetryOn::USUAL), ..bounded };
        assert!(!named.on().has(RetryReason::Timeout));
    }
}
