//! One worker's picks among the endpoints of an upstream.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use super::balancer::Balancer;
use super::candidate::{Found, Tier};
use super::ceilings::{Finder, Taking, take_freed};
use super::least_time::AttemptOutcome;
use super::pick::{NoneLeft, Pick, PickReason, Picked, Standing};
use super::slow_start;
use super::tried::Tried;
use crate::id::EndpointId;
use crate::upstream::Upstream;
use crate::upstream::admin_state::AdminMode;
use crate::upstream::endpoint::{Endpoint, EndpointRecord, EndpointRole};
use crate::upstream::health::{Admission, HealthStatus, Tick};

/// Of so many endpoints per millisecond the tiers are assigned at most: a thousand endpoints that come
/// and go must not cost more than the requests. Up to that many, they are as soon as something changes.
const ASSIGNED_PER_MS: u64 = 256;

/// How often one pick assigns the tiers: each time, what it had found has changed while it looked.
const ROUNDS_MAX: usize = 4;

/// One worker's picks among the endpoints of an upstream.
pub struct Picker {
    upstream: Arc<Upstream>,
    /// On whose behalf, by its index.
    worker: usize,
    balancer: Balancer,
    /// By endpoint, as they were assigned last: what it may have, and its share.
    tiers: Box<[Tier]>,
    weights: Box<[NonZeroU16]>,
    /// How many endpoints are in each tier.
    sizes: [usize; Tier::COUNT],
    /// What the endpoints' changes were then, and when that was.
    seen: u64,
    assigned: Tick,
    /// When the next ejected endpoint is due for its trial, or one that starts slowly for a larger share.
    due: Option<Tick>,
    /// Why nothing is found where nothing is.
    none_left: NoneLeft,
    finder: Finder,
}

impl Picker {
    /// `worker` is the index of the worker: each begins with another endpoint.
    pub fn new(upstream: Arc<Upstream>, worker: usize) -> Self {
        let order: Vec<_> = upstream.endpoints.ids().map(|(id, _)| id).collect();
        let mut picker = Self::in_order(upstream, &order, Tick::from_millis(0));
        picker.balancer.skip_turns(worker);
        picker.worker = worker;
        picker
    }

    /// The same for a replaced upstream: the endpoints that stay keep their order in turn.
    #[must_use]
    pub fn succeeded_by(&self, upstream: Arc<Upstream>) -> Self {
        let ids = upstream.endpoints.ids();
        let known: HashMap<_, _> = ids.map(|(id, endpoint)| (key(endpoint), id)).collect();
        let stays = |id| known.get(&key(self.upstream.endpoint(id))).copied();
        let mut order: Vec<_> = self.balancer.order().into_iter().filter_map(stays).collect();
        let staying: HashSet<_> = order.iter().copied().collect();
        order.extend(upstream.endpoints.ids().map(|(id, _)| id).filter(|id| !staying.contains(id)));
        let mut next = Self::in_order(upstream, &order, self.assigned);
        let pairs = self.upstream.endpoints.ids().filter_map(|(id, _)| Some((id, stays(id)?)));
        next.balancer.inherit(&self.balancer, pairs);
        next.worker = self.worker;
        next
    }

    fn in_order(upstream: Arc<Upstream>, order: &[EndpointId], now: Tick) -> Self {
        let weights: Box<[_]> = upstream.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let mut picker = Self {
            balancer: Balancer::new(&upstream, &weights, order),
            weights,
            tiers: vec![Tier::Down; upstream.endpoints.len()].into(),
            sizes: [0; Tier::COUNT],
            upstream,
            worker: 0,
            seen: 0,
            assigned: now,
            due: None,
            none_left: NoneLeft::AllDown,
            finder: Finder::default(),
        };
        picker.assign(now);
        picker
    }

    /// What is chosen from.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The only endpoint there is, if it may have requests now and has no ceiling: there is nothing to
    /// balance, and nothing else to look at. A thousand routes with an endpoint each would read their
    /// turns from memory that no cache holds (7 % of CPU per request there).
    #[inline]
    pub fn only(&self, tried: &Tried) -> Option<Picked> {
        let [only] = &**self.upstream.endpoints else { return None };
        let endpoint = EndpointId::new(0);
        // One that is open is so at any time.
        let is_open = only.admission(Tick::from_millis(0)) == Admission::Open;
        let is_free = is_open && self.upstream.ceiling.is_none() && !tried.contains(endpoint);
        let reason = PickReason::OnlyOne;
        is_free.then_some(Picked { endpoint, on_trial: false, reason, permit: None })
    }

    /// Picks an endpoint that has not been tried: the one that the client has had before, if that may
    /// have requests; otherwise one that is healthy or due for its trial, primary ones before backups;
    /// failing these one that is ejected, since a try may succeed where a refusal cannot. Never one the
    /// active checks have found dead, or that was taken out by hand.
    pub fn pick(&mut self, pick: &Pick<'_>) -> Result<Picked, NoneLeft> {
        if let Some(only) = self.only(pick.tried) {
            return Ok(only);
        }
        // Requests that came together may ask in another order.
        let now = pick.now.max(self.assigned);
        if self.upstream.ceiling.is_some()
            && let Some(early) = self.pick_without_a_look(pick, now)
        {
            return early;
        }
        if let Some(picked) = self.sticky(pick, now) {
            return Ok(picked);
        }
        if self.is_out_of_date(now) && self.may_assign(now) {
            self.assign(now);
        }
        let mut full = None;
        for _ in 0..ROUNDS_MAX {
            let mut on_trial = false;
            let mut found_in = Tier::Down;
            let upstream = &self.upstream;
            let mut taking = Taking::new(upstream, self.worker);
            let fits = |id, tier| {
                found_in = tier;
                fits((upstream, &mut taking), id, tier, now, &mut on_trial)
            };
            let found = self.balancer.pick(pick, |id| in_flight(upstream, id), fits);
            full = taking.full();
            match found {
                Found::Endpoint(endpoint) => {
                    let reason = match found_in {
                        _ if on_trial => PickReason::Trial,
                        Tier::Primary if self.is_last(pick.tried) => PickReason::OnlyOne,
                        Tier::Primary => PickReason::Policy,
                        Tier::Backup => PickReason::Backup,
                        Tier::Ejected | Tier::Down => PickReason::Panic,
                    };
                    let permit = taking.into_permit();
                    return Ok(Picked { endpoint, on_trial, reason, permit });
                }
                Found::OutOfDate if full.is_some() && !self.is_out_of_date(now) => break,
                Found::Nothing if !self.is_out_of_date(now) => break,
                Found::Nothing | Found::OutOfDate => self.assign(now),
            }
        }
        full.map_or(Err(self.none_left), |tier| self.pick_among_full(pick, now, tier))
    }

    /// Where there is a ceiling: who comes while others wait is behind them, and who is called takes what
    /// has just been freed.
    fn pick_without_a_look(&self, pick: &Pick<'_>, now: Tick) -> Option<Result<Picked, NoneLeft>> {
        let upstream = &*self.upstream;
        match pick.standing {
            Standing::Newcomer if upstream.record.queue.is_waited_in() => {
                Some(Err(NoneLeft::AllFull))
            }
            Standing::Newcomer | Standing::Called(None) => None,
            Standing::Called(Some(freed)) => {
                let taken = take_freed(upstream, self.worker, freed, (now, pick.tried));
                taken.map(|(endpoint, permit)| Ok(Picked::with_room(endpoint, permit)))
            }
        }
    }

    /// Where the policy has found only some that are full, of this tier.
    fn pick_among_full(
        &mut self,
        pick: &Pick<'_>,
        now: Tick,
        tier: Tier,
    ) -> Result<Picked, NoneLeft> {
        let Self { upstream, worker, tiers, finder, .. } = self;
        let found = finder.find((upstream, *worker), (tiers, tier), (now, pick.tried));
        let (endpoint, permit) = found.ok_or(NoneLeft::AllFull)?;
        Ok(Picked::with_room(endpoint, permit))
    }

    /// The endpoint that the client has had before: a backup too, since a client that has been moved
    /// there once is not to be moved again.
    fn sticky(&self, pick: &Pick<'_>, now: Tick) -> Option<Picked> {
        let endpoint = pick.affinity.sticky?;
        let mut on_trial = false;
        let mut taking = Taking::new(&self.upstream, self.worker);
        let is_left = endpoint.index() < self.tiers.len() && !pick.tried.contains(endpoint);
        let of_upstream = (&*self.upstream, &mut taking);
        let is_picked = is_left && fits(of_upstream, endpoint, Tier::Primary, now, &mut on_trial);
        let (reason, permit) = (PickReason::Sticky, taking.into_permit());
        is_picked.then_some(Picked { endpoint, on_trial, reason, permit })
    }

    /// Whether only one primary endpoint has not been tried.
    fn is_last(&self, tried: &Tried) -> bool {
        let primary = self.sizes[Tier::Primary as usize];
        // Most picks need not look further.
        primary <= 1 + tried.len() && {
            let is_primary = |id: &&EndpointId| self.tiers[id.index()] == Tier::Primary;
            primary <= 1 + tried.iter().filter(is_primary).count()
        }
    }

    /// Requests at an endpoint have ended: what begins is seen with the next pick.
    pub fn in_flight_changed(&mut self, endpoint: EndpointId) {
        self.balancer.set_in_flight(endpoint, in_flight(&self.upstream, endpoint));
    }

    /// An attempt at an endpoint has been answered, or has failed, after so long.
    pub fn observe(&mut self, endpoint: EndpointId, took: Duration, outcome: AttemptOutcome) {
        self.balancer.observe(endpoint, took, outcome);
    }

    fn is_out_of_date(&self, now: Tick) -> bool {
        self.upstream.endpoints.changes() != self.seen || self.due.is_some_and(|due| now >= due)
    }

    fn may_assign(&self, now: Tick) -> bool {
        let pause = self.tiers.len() as u64 / ASSIGNED_PER_MS;
        now.as_millis() >= self.assigned.as_millis() + pause
    }

    fn assign(&mut self, now: Tick) {
        // First, so that what changes meanwhile is noticed afterwards.
        self.seen = self.upstream.endpoints.changes();
        (self.assigned, self.due) = (now, None);
        self.sizes = [0; Tier::COUNT];
        let mut by_hand = 0;
        for (endpoint, tier) in self.upstream.endpoints.iter().zip(&mut self.tiers) {
            *tier = match (endpoint.admission(now), endpoint.role) {
                (Admission::Open | Admission::TrialDue, EndpointRole::Primary) => Tier::Primary,
                (Admission::Open | Admission::TrialDue, EndpointRole::Backup) => Tier::Backup,
                (Admission::Ejected, _) => {
                    self.due = self.due.into_iter().chain(trial_at(endpoint, now)).min();
                    Tier::Ejected
                }
                (Admission::Down, _) => {
                    let is_by_hand = endpoint.record.admin_state.mode() != AdminMode::Ready;
                    by_hand += usize::from(is_by_hand);
                    Tier::Down
                }
            };
            self.sizes[*tier as usize] += 1;
        }
        self.none_left = match self.tiers.len() {
            count if self.sizes[Tier::Down as usize] < count => NoneLeft::AllTried,
            count if count > 0 && by_hand == count => NoneLeft::AllDrained,
            _ => NoneLeft::AllDown,
        };
        if !self.upstream.slow_start.is_zero() {
            self.assign_weights(now);
        }
        let in_flight = |id| in_flight(&self.upstream, id);
        self.balancer.assign(&self.tiers, &self.weights, in_flight);
    }

    /// The weights as far as endpoints have them already that start slowly.
    fn assign_weights(&mut self, now: Tick) {
        let ramp = self.upstream.slow_start;
        let part = |endpoint: &Endpoint| slow_start::part(endpoint.record.back_since(), ramp, now);
        let parts: Vec<_> = self.upstream.endpoints.iter().map(part).collect();
        let changes = parts.iter().filter_map(|(_, changes)| *changes);
        self.due = self.due.into_iter().chain(changes).min();
        let is_whole = parts.iter().all(|(part, _)| *part == slow_start::WHOLE);
        for ((endpoint, weight), (part, _)) in
            self.upstream.endpoints.iter().zip(&mut self.weights).zip(parts)
        {
            let scaled = endpoint.weight.get().saturating_mul(part);
            *weight = NonZeroU16::new(scaled).filter(|_| !is_whole).unwrap_or(endpoint.weight);
        }
    }
}

/// Whether an endpoint may have a request now, as one of its tier. One that is due for its trial may if
/// this request is the trial: of several workers one succeeds.
fn fits(
    (upstream, taking): (&Upstream, &mut Taking<'_>),
    id: EndpointId,
    tier: Tier,
    now: Tick,
    on_trial: &mut bool,
) -> bool {
    let endpoint = upstream.endpoint(id);
    match (endpoint.admission(now), tier) {
        (Admission::Open, Tier::Primary | Tier::Backup) | (Admission::Ejected, Tier::Ejected) => {
            taking.take(id, tier)
        }
        (Admission::TrialDue, Tier::Primary | Tier::Backup) => {
            let claim = || endpoint.health().claim_trial(now, &upstream.thresholds);
            *on_trial = taking.take_if(id, tier, claim);
            *on_trial
        }
        _ => false,
    }
}

/// The requests in flight at an endpoint, of all workers.
fn in_flight(upstream: &Upstream, endpoint: EndpointId) -> u64 {
    upstream.endpoint(endpoint).record.in_flight.get()
}

/// When an ejected endpoint is due for its trial.
fn trial_at(endpoint: &Endpoint, now: Tick) -> Option<Tick> {
    match endpoint.health().condition(now) {
        HealthStatus::Ejected { until, .. } | HealthStatus::Trial { until, .. } => Some(until),
        // It has changed just now, which is noticed with the next pick.
        HealthStatus::Up | HealthStatus::TrialDue | HealthStatus::Down => None,
    }
}

/// What an endpoint is known by, whatever set it is in.
fn key(endpoint: &Endpoint) -> *const EndpointRecord {
    Arc::as_ptr(&endpoint.record)
}
