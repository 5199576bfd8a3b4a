//! What the parts of a configuration in force are known by: indices that cannot be mistaken for each
//! other.

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
}
