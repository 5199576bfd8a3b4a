//! What every policy chooses among, and what it may find.

use crate::id::EndpointId;

/// Which endpoints go first: one of a later tier is picked only where none of the earlier ones is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Primary endpoints that are healthy, or due for a trial.
    Primary,
    /// Backups that are.
    Backup,
    /// Ejected endpoints: a try may succeed where a refusal cannot.
    Ejected,
    /// Those that get nothing.
    Down,
}

impl Tier {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// Those that get anything, in the order in which they are asked.
    pub const SERVING: [Self; 3] = [Self::Primary, Self::Backup, Self::Ejected];
}

/// What a policy has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This endpoint.
    Endpoint(EndpointId),
    /// Nothing is left to try.
    Nothing,
    /// Too many are no longer what their tiers say: these have to be assigned again.
    OutOfDate,
}

/// The candidates that one pick may pass over before the tiers count as out of date: twice as many as
/// can have been tried.
const PASSES_MAX: u32 = 16;

/// The candidates that one pick has passed over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    count: u32,
    moved: bool,
}

impl Passed {
    /// Whether a candidate is taken; otherwise it is passed over.
    pub(super) fn takes(&mut self, is_tried: bool, still_fits: impl FnOnce() -> bool) -> bool {
        if !is_tried && still_fits() {
            return true;
        }
        self.count += 1;
        self.moved |= !is_tried;
        false
    }

    /// Whether no more may be passed over.
    pub(super) const fn is_full(self) -> bool {
        self.count >= PASSES_MAX
    }

    /// Whether any had moved to another tier: then a tier that seems used up may not be.
    pub(super) const fn any_moved(self) -> bool {
        self.moved
    }
}
