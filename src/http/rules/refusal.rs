//! Which limit of a route has refused a request.

/// A limit that refuses requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RefusingRule {
    /// The client is in a network that is denied.
    Deny,
    /// The client is in none that is allowed.
    Allow,
    /// There have been too many requests.
    RateLimit,
    /// Too many requests are in flight.
    MaxRequests,
    /// The body is too long.
    MaxBody,
}

impl RefusingRule {
    /// All of them, in the order in which requests are held to them.
    pub const ALL: [Self; 5] =
        [Self::Deny, Self::Allow, Self::RateLimit, Self::MaxRequests, Self::MaxBody];

    /// The key that it is configured by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
            Self::RateLimit => "rate_limit",
            Self::MaxRequests => "max_requests",
            Self::MaxBody => "max_body",
        }
    }
}
