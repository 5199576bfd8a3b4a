//! The endpoints of an upstream, which can be replaced without its settings.

use std::ops::Deref;
use std::sync::atomic::{AtomicU8, Ordering};

use super::admin_state::AdminMode;
use super::endpoint::Endpoint;
use super::health::{Admission, Tick};
use super::watchers::Changes;
use crate::id::EndpointId;

/// Whether an upstream has anyone to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It has; they may be ejected, in which case they are tried all the same.
    Available,
    /// Every endpoint was taken out by hand.
    Drained,
    /// None can be asked, and not all of them were taken out by hand.
    Down,
}

impl Availability {
    const ALL: [Self; 3] = [Self::Available, Self::Drained, Self::Down];

    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Drained => "drained",
            Self::Down => "down",
        }
    }
}

/// The endpoints of an upstream; never changed, only replaced.
#[derive(Debug)]
pub struct EndpointSet {
    endpoints: Box<[Endpoint]>,
    changes: Changes,
    /// What was said last of their availability: its place in [`Availability::ALL`].
    said: AtomicU8,
}

impl EndpointSet {
    /// Of these, known by their indices from now on.
    #[must_use]
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let (endpoints, changes): (Box<[_]>, _) =
            (endpoints.into_iter().collect(), Changes::default());
        for endpoint in &endpoints {
            endpoint.record.watch(&changes);
        }
        Self { endpoints, changes, said: AtomicU8::new(0) }
    }

    /// The same in place of another set: what was said of that need not be said again.
    #[must_use]
    pub fn in_place_of(self, other: &Self) -> Self {
        self.said.store(other.said.load(Ordering::Relaxed), Ordering::Relaxed);
        self
    }

    /// Whether there is anyone to ask; looks at every endpoint.
    #[must_use]
    pub fn availability(&self) -> Availability {
        // Time brings back what is ejected, never what is down.
        let is_down =
            |endpoint: &Endpoint| endpoint.admission(Tick::from_millis(0)) == Admission::Down;
        let is_ready = |endpoint: &Endpoint| endpoint.record.admin_state.mode() == AdminMode::Ready;
        if !self.iter().all(is_down) {
            Availability::Available
        } else if self.is_empty() || self.iter().any(is_ready) {
            Availability::Down
        } else {
            Availability::Drained
        }
    }

    /// Its availability, if that has not been said yet; of several threads one is told.
    pub fn turn(&self) -> Option<Availability> {
        let is = self.availability();
        let place = Availability::ALL.iter().zip(0..).find(|(known, _)| **known == is)?.1;
        (self.said.swap(place, Ordering::Relaxed) != place).then_some(is)
    }

    /// All of them, with their ids.
    pub fn ids(&self) -> impl Iterator<Item = (EndpointId, &Endpoint)> {
        (0..).map(EndpointId::new).zip(&self.endpoints)
    }

    /// Counts what may change which of them get requests, apart from time; one load.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.count()
    }
}

impl Deref for EndpointSet {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::address::Address;
    use crate::upstream::health::CheckVerdict;

    #[test]
    fn its_availability_is_told_once_per_change() {
        let endpoint = |path: &str| Endpoint::new(Address::Unix(path.into()), NonZeroU16::MIN, 1);
        let set = EndpointSet::new([endpoint("/a"), endpoint("/b")]);
        let at = Tick::from_millis(1);
        set[0].health().on_check(CheckVerdict::Down, at);
        assert_eq!((set.availability(), set.turn()), (Availability::Available, None));
        set[1].record.admin_state.set(AdminMode::Drained, at);
        assert_eq!((set.turn(), set.turn()), (Some(Availability::Down), None));
        set[0].record.admin_state.set(AdminMode::Down, at);
        assert_eq!(set.turn(), Some(Availability::Drained));
        let heir = EndpointSet::new(set.iter().cloned()).in_place_of(&set);
        assert_eq!(heir.turn(), None);
        heir[1].record.admin_state.set(AdminMode::Ready, at);
        assert_eq!(heir.turn(), Some(Availability::Available));
        assert_eq!(EndpointSet::new([]).turn(), Some(Availability::Down));
    }
}
