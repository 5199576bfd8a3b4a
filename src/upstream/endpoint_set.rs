//! The endpoints of an upstream, which can be replaced without its settings.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use super::admin_state::AdminMode;
use super::ejections::{EjectShare, EjectedCount};
use super::endpoint::{Endpoint, EndpointRole};
use super::health::{Admission, Tick};
use super::queue::RequestQueue;
use super::slots::{Slots, Thrower};
use super::watchers::Changes;
use crate::hash::hash;
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
    /// By role.
    ejected: [Arc<EjectedCount>; EndpointRole::ALL.len()],
    backups: Box<[EndpointId]>,
    /// What was said last of their availability: its place in [`Availability::ALL`].
    said: AtomicU8,
    /// Which keys belong to which of them; worked out when it is needed.
    slots: OnceLock<Arc<Slots>>,
}

impl EndpointSet {
    /// Of these, known by their indices from now on.
    #[must_use]
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let (endpoints, changes): (Box<[_]>, _) =
            (endpoints.into_iter().collect(), Changes::default());
        let of_role = |role| endpoints.iter().filter(move |endpoint| endpoint.role == role);
        let ejected = EndpointRole::ALL.map(|role| EjectedCount::of(of_role(role).count()));
        endpoints.iter().for_each(|endpoint| endpoint.health().close_count());
        for endpoint in &endpoints {
            endpoint.record.watch(&changes);
            endpoint.health().count_in(&ejected[endpoint.role as usize]);
        }
        for count in &ejected {
            count.open();
        }
        let ids = (0..).map(EndpointId::new).zip(&endpoints);
        let backups = ids.filter(|(_, endpoint)| endpoint.role == EndpointRole::Backup);
        let backups = backups.map(|(id, _)| id).collect();
        let (said, slots) = (AtomicU8::new(0), OnceLock::new());
        Self { endpoints, changes, ejected, backups, said, slots }
    }

    /// The same in place of another set: what was said of that need not be said again, and its slots are
    /// the same if they depend on the same.
    #[must_use]
    pub fn in_place_of(self, other: &Self) -> Self {
        self.said.store(other.said.load(Ordering::Relaxed), Ordering::Relaxed);
        if let Some(slots) = other.slots.get().filter(|slots| slots.are_of(&self.throwers())) {
            self.slots.get_or_init(|| Arc::clone(slots));
        }
        self
    }

    /// Which keys belong to which of them. The first call takes a few milliseconds.
    pub fn slots(&self) -> &Arc<Slots> {
        self.slots.get_or_init(|| Arc::new(Slots::new(self.throwers())))
    }

    /// What their slots depend on. An endpoint is known by its name, which may outlive its address; if
    /// several have it, by its address. Its scheme does not matter.
    fn throwers(&self) -> Vec<Thrower> {
        let mut named: HashMap<&str, usize> = HashMap::new();
        self.iter().for_each(|endpoint| *named.entry(&endpoint.name).or_default() += 1);
        let thrower = |endpoint: &Endpoint| Thrower {
            identity: match named.get(&*endpoint.name) {
                Some(1) => hash(endpoint.name.as_bytes()),
                _ => hash(endpoint.address.to_string().as_bytes()),
            },
            weight: endpoint.weight,
        };
        self.iter().map(thrower).collect()
    }

    /// From now on somebody in this queue is called when what may be asked has changed: there may be room.
    pub fn call(&self, queue: &Arc<RequestQueue>) {
        self.changes.call(queue);
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

    /// How many of them are ejected or on trial now; of those that have come into another set since, none.
    #[must_use]
    pub fn ejected(&self) -> usize {
        self.ejected.iter().map(|count| count.get()).sum()
    }

    /// How many of them may be at `now`.
    #[must_use]
    pub fn ejected_max(&self, share: EjectShare, now: Tick) -> usize {
        let most = |role| self.ejected[role as usize].most(self.share_of(role, share, now));
        EndpointRole::ALL.into_iter().map(most).sum()
    }

    /// Which share of those of a role may be out at `now`, where this one is configured: while a backup is healthy, all
    /// of the primary ones, since it is there for that.
    #[must_use]
    pub fn share_of(&self, role: EndpointRole, share: EjectShare, now: Tick) -> EjectShare {
        let is_healthy = |id: &EndpointId| self[id.index()].admission(now) == Admission::Open;
        let has_backup = role == EndpointRole::Primary && self.backups.iter().any(is_healthy);
        if has_backup { EjectShare::ALL } else { share }
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
    use std::num::{NonZeroU8, NonZeroU16};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, AtomicUsize};

    use super::*;
    use crate::address::Address;
    use crate::upstream::Upstream;
    use crate::upstream::endpoint::Scheme;
    use crate::upstream::health::{
        CheckVerdict, FailureKind, HealthStatus, Thresholds, Transition,
    };

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

    #[test]
    fn a_key_stays_with_a_name_whatever_its_address_and_scheme() {
        let endpoint = |name: &str, port: u16, scheme| {
            let address = Address::Tcp(([192, 0, 2, 1], port).into());
            let plain = Endpoint::new(address, NonZeroU16::MIN, 1);
            Endpoint { name: name.into(), scheme, ..plain }
        };
        let set = EndpointSet::new([
            endpoint("a:80", 1, Scheme::Http),
            endpoint("b:80", 2, Scheme::Http),
            endpoint("b:80", 3, Scheme::Http),
        ]);
        let slots = Arc::clone(set.slots());
        let next = [
            endpoint("a:80", 9, Scheme::H2),
            endpoint("b:80", 2, Scheme::Http),
            endpoint("b:80", 3, Scheme::Http),
        ];
        let next = EndpointSet::new(next).in_place_of(&set);
        assert!(Arc::ptr_eq(next.slots(), &slots));
        let moved = EndpointSet::new([endpoint("a:80", 1, Scheme::Http)]).in_place_of(&set);
        assert!(!Arc::ptr_eq(moved.slots(), &slots));
    }

    const FAILURE: FailureKind = FailureKind::Exchange;

    fn of(count: usize) -> EndpointSet {
        let address = || Address::Unix("/a".into());
        EndpointSet::new((0..count).map(|_| Endpoint::new(address(), NonZeroU16::MIN, 1)))
    }

    fn thresholds() -> Thresholds {
        Thresholds { fails_max: Some(NonZeroU8::MIN), ..Thresholds::default() }
    }

    fn fail(endpoint: &Endpoint, now: u64) -> Option<Transition> {
        let now = Tick::from_millis(now);
        endpoint.health().on_failure(now, now, FAILURE, &thresholds())
    }

    #[test]
    fn half_of_the_endpoints_are_ejected_and_the_next_when_one_is_back() {
        let set = of(5);
        let ejected = |outcome| matches!(outcome, Some(Transition::Ejected { .. }));
        assert!(ejected(fail(&set[0], 1)) && ejected(fail(&set[1], 1)));
        assert_eq!((fail(&set[2], 1), set.ejected()), (Some(Transition::Withheld), 2));
        assert_eq!(set[2].admission(Tick::from_millis(1)), Admission::Open);
        // One on trial is still out, and may be ejected again.
        let due = Tick::from_millis(5001);
        assert!(set[0].health().claim_trial(due, &thresholds()));
        assert_eq!(fail(&set[2], 5001), Some(Transition::Withheld));
        assert!(ejected(fail(&set[0], 5001)));
        assert_eq!(set.ejected(), 2);
        let back = set[1].health().on_success(due, due);
        assert_eq!((back, set.ejected()), (Some(Transition::Readmitted), 1));
        assert!(ejected(fail(&set[2], 5002)));
        // What the checks bring back counts no more.
        set[2].health().on_check(CheckVerdict::Down, due);
        set[2].health().on_check(CheckVerdict::Up, due);
        assert_eq!(set.ejected(), 1);
    }

    #[test]
    fn those_of_each_role_are_counted_by_themselves_and_a_healthy_backup_lets_all_primary_ones_go()
    {
        let roles = [EndpointRole::Primary, EndpointRole::Backup].map(|role| [role; 2]);
        let roles = roles.as_flattened().iter();
        let endpoints = of(4).to_vec().into_iter().zip(roles);
        let endpoints = endpoints.map(|(endpoint, &role)| Endpoint { role, ..endpoint });
        let upstream = Upstream::sample(EndpointSet::new(endpoints));
        let upstream = Upstream { thresholds: thresholds(), ..upstream };
        let (set, at) = (&upstream.endpoints, Tick::from_millis(1));
        let fail = |index: usize| {
            let thresholds = upstream.thresholds_of(EndpointId::new(index), at);
            set[index].health().on_failure(at, at, FAILURE, &thresholds)
        };
        let ejected = |outcome| matches!(outcome, Some(Transition::Ejected { .. }));
        let max = || set.ejected_max(EjectShare::HALF, at);
        assert!(ejected(fail(0)) && ejected(fail(2)));
        assert_eq!((max(), fail(3)), (3, Some(Transition::Withheld)));
        set[3].health().on_check(CheckVerdict::Down, at);
        assert_eq!((max(), fail(1)), (2, Some(Transition::Withheld)));
        set[3].health().on_check(CheckVerdict::Up, at);
        assert!(ejected(fail(1)));
        assert_eq!(set.ejected(), 3);
    }

    #[test]
    fn an_ejection_goes_with_its_endpoint_into_another_set_and_another_process() {
        let set = of(2);
        fail(&set[0], 1);
        let heir = EndpointSet::new([set[0].clone(), of(1)[0].clone(), of(1)[0].clone()]);
        assert_eq!((set.ejected(), heir.ejected()), (0, 1));
        assert_eq!(fail(&heir[1], 1), Some(Transition::Withheld));
        let other = of(2);
        (0..2).for_each(|_| other[1].health().restore(heir[0].health().word()));
        assert_eq!((other.ejected(), fail(&other[0], 1)), (1, Some(Transition::Withheld)));
        other[1].health().restore(0);
        assert_eq!(other.ejected(), 0);
    }

    #[test]
    fn an_endpoint_that_was_ejected_before_none_are_comes_back_with_its_trial() {
        let set = of(1);
        fail(&set[0], 1);
        let never = Thresholds { fails_max: None, ..thresholds() };
        let (health, due) = (set[0].health(), Tick::from_millis(5001));
        assert_eq!(health.on_failure(due, due, FAILURE, &never), None);
        assert!(health.claim_trial(due, &never));
        assert_eq!(health.on_failure(due, due, FAILURE, &never), Some(Transition::Readmitted));
        assert_eq!((health.on_failure(due, due, FAILURE, &never), set.ejected()), (None, 0));
    }

    #[test]
    fn the_share_holds_whatever_several_threads_do_and_replace() {
        const STEPS: u64 = 20_000;
        let set = of(7);
        let endpoints = set.to_vec();
        let heirs = Mutex::new(set);
        let (now, peak) = (AtomicU64::new(0), AtomicUsize::new(0));
        let worker = |seed: u64| {
            let mut random = seed;
            for _ in 0..STEPS {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = now.fetch_add(random >> 8 & 3, Ordering::Relaxed);
                let tick = Tick::from_millis(at);
                let health = endpoints[(random >> 16 & 0xff) as usize % 7].health();
                let _: Option<Transition> = match random >> 40 & 15 {
                    0 => health.on_check(CheckVerdict::Down, tick),
                    1 => health.on_check(CheckVerdict::Up, tick),
                    2 => health.claim_trial(tick, &thresholds()).then_some(Transition::Readmitted),
                    3..7 => health.on_success(tick, tick),
                    7 => {
                        let mut heirs = heirs.lock().unwrap();
                        *heirs = EndpointSet::new(endpoints.clone());
                        None
                    }
                    _ => health.on_failure(tick, tick, FAILURE, &thresholds()),
                };
                peak.fetch_max(heirs.lock().unwrap().ejected(), Ordering::Relaxed);
            }
        };
        std::thread::scope(|scope| {
            (1..5).for_each(|seed| drop(scope.spawn(move || worker(seed * 0x9e37_79b9))));
        });
        let start = Tick::from_millis(0);
        for known in &endpoints {
            known.health().on_check(CheckVerdict::Up, start);
        }
        let out = |known: &&Endpoint| known.health().condition(start) != HealthStatus::Up;
        let (set, out) = (heirs.into_inner().unwrap(), endpoints.iter().filter(out).count());
        assert_eq!((set.ejected(), peak.into_inner()), (out, 3));
    }
}
