//! What one pick does about endpoints that have a ceiling: those that are full are passed over, and the
//! room at the one that is picked is taken with the pick, so that no other worker can take it too.

use super::candidate::Tier;
use super::tried::Tried;
use crate::id::EndpointId;
use crate::upstream::Upstream;
use crate::upstream::endpoint::{Endpoint, EndpointRole};
use crate::upstream::health::{Admission, Tick};
use crate::upstream::queue::FreedAt;
use crate::upstream::request_permit::RequestPermit;
use crate::upstream::settings::Ceiling;

/// Takes the room at an endpoint that is being picked.
pub(super) struct Taking<'a> {
    upstream: &'a Upstream,
    worker: usize,
    permit: Option<RequestPermit>,
    /// The tier of one that is full.
    full: Option<Tier>,
}

impl<'a> Taking<'a> {
    pub(super) fn new(upstream: &'a Upstream, worker: usize) -> Self {
        Self { upstream, worker, permit: None, full: None }
    }

    /// Takes the room at this one, of this tier; of a later tier than one that is full there is none: backups
    /// are for failures, not for requests that may wait.
    pub(super) fn take(&mut self, id: EndpointId, tier: Tier) -> bool {
        let Some(ceiling) = &self.upstream.ceiling else { return true };
        if self.full.is_some_and(|full| tier > full) {
            return false;
        }
        self.permit = self.permit_for(ceiling, id);
        if self.permit.is_none() {
            self.full = Some(tier);
        }
        self.permit.is_some()
    }

    /// Whether this one, of this tier, is taken as long as something else is so, too: another worker may be
    /// faster with that.
    pub(super) fn take_if(
        &mut self,
        id: EndpointId,
        tier: Tier,
        is_so: impl FnOnce() -> bool,
    ) -> bool {
        let takes = self.take(id, tier) && is_so();
        if !takes {
            self.permit = None;
        }
        takes
    }

    /// The tier of those that are full, if any was.
    pub(super) const fn full(&self) -> Option<Tier> {
        self.full
    }

    pub(super) fn into_permit(self) -> Option<RequestPermit> {
        self.permit
    }

    fn permit_for(&self, ceiling: &Ceiling, id: EndpointId) -> Option<RequestPermit> {
        RequestPermit::take(self.upstream, ceiling, id, self.worker)
    }
}

/// Takes the room where some has just been made, without a look at the others: these were full. Nothing, if
/// it cannot be asked now, or is not one that goes first.
pub(super) fn take_freed(
    upstream: &Upstream,
    worker: usize,
    freed: FreedAt,
    (now, tried): (Tick, &Tried),
) -> Option<(EndpointId, RequestPermit)> {
    let (ceiling, id) = (upstream.ceiling.as_ref()?, freed.endpoint);
    let endpoint: &Endpoint = upstream.endpoints.get(id.index())?;
    let is_same = std::sync::Arc::as_ptr(&endpoint.record).addr() == freed.record;
    let goes_first = endpoint.role == EndpointRole::Primary;
    let is_open = is_same && goes_first && endpoint.admission(now) == Admission::Open;
    if !is_open || tried.contains(id) {
        return None;
    }
    Some((id, RequestPermit::take(upstream, ceiling, id, worker)?))
}

/// Finds room among many that are full, more than a policy passes over: at the first that has any, from
/// where there was some last time. Looks at each of them only where all are full, and whoever finds that
/// waits in the queue, behind which nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Finder {
    last: usize,
}

impl Finder {
    /// An endpoint that is of `tier` now, can be asked and has not been tried.
    pub(super) fn find(
        &mut self,
        (upstream, worker): (&Upstream, usize),
        (tiers, tier): (&[Tier], Tier),
        (now, tried): (Tick, &Tried),
    ) -> Option<(EndpointId, RequestPermit)> {
        let ceiling = upstream.ceiling.as_ref()?;
        let count = upstream.endpoints.len();
        let last = if self.last < count { self.last } else { 0 };
        (last..count).chain(0..last).find_map(|index| {
            let id = EndpointId::new(index);
            let may_be_asked = match upstream.endpoints[index].admission(now) {
                Admission::Open => true,
                Admission::Ejected => tier == Tier::Ejected,
                Admission::TrialDue | Admission::Down => false,
            };
            if tiers[index] != tier || !may_be_asked || tried.contains(id) {
                return None;
            }
            let permit = RequestPermit::take(upstream, ceiling, id, worker)?;
            self.last = index;
            Some((id, permit))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::address::Address;
    use crate::balance::{Affinity, NoneLeft, Pick, Picked, Picker, Standing};
    use crate::upstream::endpoint_set::EndpointSet;
    use crate::upstream::health::{CheckVerdict, FailureKind};
    use crate::upstream::settings::Policy;

    const NOW: Tick = Tick::from_millis(1000);

    fn picker(count: usize, requests_max: u32, policy: Policy) -> Picker {
        let endpoint = |index| {
            let address = Address::Unix(format!("/{index}").into());
            Endpoint::new(address, NonZeroU16::MIN, 1)
        };
        of((0..count).map(endpoint).collect(), requests_max, policy)
    }

    fn of(endpoints: Vec<Endpoint>, requests_max: u32, policy: Policy) -> Picker {
        let ceiling = Ceiling {
            requests_max: NonZeroU32::new(requests_max).unwrap(),
            queue_max: 10,
            queue_timeout: Duration::from_secs(1),
        };
        let upstream = Upstream::sample(EndpointSet::new(endpoints));
        Picker::new(Arc::new(Upstream { policy, ceiling: Some(ceiling), ..upstream }), 0)
    }

    fn pick(picker: &mut Picker, standing: Standing) -> Result<Picked, NoneLeft> {
        let (affinity, tried) = (Affinity { key: Some(7), sticky: None }, &Tried::default());
        picker.pick(&Pick { now: NOW, affinity, tried, random: 0, standing })
    }

    fn newcomer(picker: &mut Picker) -> Result<Picked, NoneLeft> {
        pick(picker, Standing::Newcomer)
    }

    #[test]
    fn an_endpoint_that_is_full_is_passed_over_until_a_request_has_ended() {
        let counts = |policy| [1, 2, 40].map(|count| (policy, count));
        for (policy, count) in Policy::ALL.into_iter().flat_map(counts) {
            let mut picker = picker(count, 3, policy);
            let mut at_work: Vec<_> =
                (0..3 * count).map(|_| newcomer(&mut picker).unwrap()).collect();
            for (_, endpoint) in picker.upstream().endpoints.ids() {
                assert_eq!(endpoint.record.permits.taken(), 3);
            }
            assert_eq!(newcomer(&mut picker), Err(NoneLeft::AllFull));
            let ended = at_work.swap_remove(count);
            let id = ended.endpoint;
            drop(ended);
            assert_eq!(newcomer(&mut picker).map(|picked| picked.endpoint), Ok(id));
        }
    }

    #[test]
    fn who_is_called_takes_what_was_freed_and_newcomers_wait_behind() {
        let mut picker = picker(3, 1, Policy::RoundRobin);
        let mut at_work: Vec<_> = (0..3).map(|_| newcomer(&mut picker).unwrap()).collect();
        let record = Arc::clone(&picker.upstream().record);
        let entrant = crate::upstream::queue::Entrant {
            kind: Some(1),
            max: 1,
            permitted: (3, 3),
            interval: Duration::from_secs(1),
        };
        let _waits = record.queue.enter(&entrant, Duration::ZERO).unwrap();
        let ended = at_work.swap_remove(1);
        let freed = ended.permit.as_ref().unwrap().at();
        drop(ended);
        assert_eq!(newcomer(&mut picker), Err(NoneLeft::AllFull));
        let called = pick(&mut picker, Standing::Called(Some(freed))).unwrap();
        assert_eq!(called.endpoint, freed.endpoint);
    }

    #[test]
    fn what_was_freed_is_not_taken_if_it_may_not_be_asked_any_more() {
        let mut picker = picker(2, 1, Policy::RoundRobin);
        let first = newcomer(&mut picker).unwrap();
        let freed = first.permit.as_ref().unwrap().at();
        picker.upstream().endpoint(first.endpoint).health().on_check(CheckVerdict::Down, NOW);
        let gone = first.endpoint;
        drop(first);
        assert_ne!(pick(&mut picker, Standing::Called(Some(freed))).unwrap().endpoint, gone);
    }

    #[test]
    fn neither_backups_nor_ejected_endpoints_are_for_what_may_wait() {
        let endpoint = |role| {
            let endpoint = Endpoint::new(Address::Unix("/x".into()), NonZeroU16::MIN, 1);
            Endpoint { role, ..endpoint }
        };
        let roles = [EndpointRole::Primary, EndpointRole::Primary, EndpointRole::Backup];
        let mut picker = of(roles.map(endpoint).into(), 1, Policy::RoundRobin);
        for _ in 0..3 {
            let upstream = picker.upstream();
            let health = upstream.endpoints[1].health();
            health.on_failure(NOW, NOW, FailureKind::Exchange, &upstream.thresholds);
        }
        let first = newcomer(&mut picker).unwrap();
        assert_eq!(first.endpoint, EndpointId::new(0));
        assert_eq!(newcomer(&mut picker), Err(NoneLeft::AllFull));
    }
}
