//! Why a request that finds every endpoint full is turned away.

/// Why a request is refused instead of waiting, or does not wait any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// As many wait as may.
    Full,
    /// Requests have come faster than they end for a while: it would have waited too long.
    Late,
    /// There was no room for it in time.
    TimedOut,
}

impl Shed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::Late, Self::TimedOut];

    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Late => "late",
            Self::TimedOut => "timeout",
        }
    }
}
