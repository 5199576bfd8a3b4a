//! A policy of whoever embeds the balancer.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;

use super::endpoint::Endpoint;

/// Which endpoint a request goes to, decided in code. One value serves all threads.
///
/// Who may be asked at all is not its concern: endpoints that are down, ejected, drained, full or tried already are not
/// among its candidates, and backups are only where no others are left. A session that is sticky, or that filters have
/// given an endpoint, goes there without it being asked.
///
/// ```
/// use evener::{CustomPolicy, PolicyCandidate};
///
/// /// The one with the fewest requests in flight, of several the first.
/// struct FillUp;
///
/// impl CustomPolicy for FillUp {
///     fn pick(&self, candidates: &[PolicyCandidate<'_>], _: u64) -> usize {
///         let busy = |(_, candidate): &(usize, &PolicyCandidate<'_>)| candidate.in_flight;
///         candidates.iter().enumerate().min_by_key(busy).map_or(0, |(place, _)| place)
///     }
/// }
/// ```
pub trait CustomPolicy: Send + Sync + 'static {
    /// The place among the candidates, of which there is at least one, of the one that is picked. One that there is not
    /// stands for the first. `random` is any number, another one each time.
    fn pick(&self, candidates: &[PolicyCandidate<'_>], random: u64) -> usize;
}

/// An endpoint that could be picked.
#[derive(Clone, Copy, Debug)]
pub struct PolicyCandidate<'a> {
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// Its share among the others: the configured weight, or less while it starts slowly.
    pub weight: NonZeroU16,
    /// The requests that all threads together have in flight there.
    pub in_flight: u64,
}

/// A policy that upstreams share.
#[derive(Clone)]
pub struct SharedPolicy(pub Arc<dyn CustomPolicy>);

impl fmt::Debug for SharedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedPolicy(…)")
    }
}
