//! What the parts of a configuration in force are known by: indices that cannot be mistaken for each
//! other.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// The one at `index` in its table.
            #[must_use]
            #[expect(clippy::cast_possible_truncation, reason = "no table is that long")]
            pub const fn new(index: usize) -> Self {
                Self(index as u32)
            }

            /// Its index in its table.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// A route of a plan.
    RouteId;
    /// An upstream of a plan.
    UpstreamId;
    /// An endpoint of an upstream.
    EndpointId;
    /// A table of server names of a plan.
    SniTableId;
}

/// A listener. The same on every worker and for as long as it is open, in the process that takes it
/// over at an upgrade too; never used again for another one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ListenerId(u64);

impl ListenerId {
    /// Of the first listener of a process that has taken none over.
    pub const FIRST: Self = Self(0);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        // A number that another process has sent may be any.
        Self(self.0.saturating_add(1))
    }
}
