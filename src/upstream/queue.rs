//! Who waits for room at an endpoint when every one that may be asked is full.
//!
//! First come, first served, over all workers. A request that ends calls the first in the line, who then
//! picks an endpoint as any request does and stays where it was if it finds none. While anyone waits,
//! newcomers stand behind without a look at the endpoints. A turn is never lost: who leaves instead of
//! using it passes it on, and who finds more room than it needed calls the next.
//!
//! The line is bounded, and kept short when it does not get shorter by itself: if, for as long as an
//! `interval`, more have waited than are served at a time, then requests come faster than they end, and each
//! would wait longer than a request takes. The newest are shed down to that number, and
//! newcomers who find the line not shorter, until as many have found room without waiting as were shed
//! meanwhile. That length, rather than a time, is the target of `CoDel` (RFC 8289) here: it means a wait of
//! one request's duration, whatever that is, without a clock for each request.
//!
//! Behind a lock, which is touched only where somebody waits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::id::EndpointId;
use crate::shed::Shed;

/// Where a request has ended, whose end calls the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreedAt {
    /// The endpoint, by the plan that the request was sent under.
    pub endpoint: EndpointId,
    /// The address of its record, which says whether the plan of whoever is called means the same.
    pub record: usize,
}

/// Who would wait, and under which rules.
#[derive(Clone, Copy, Debug)]
pub struct Entrant {
    /// Those of one kind find room in the same places: only one of another is worth a try where one has
    /// failed. `None`: of a kind of its own.
    pub kind: Option<usize>,
    /// How many may wait, besides the first of each kind.
    pub max: usize,
    /// How many have found room so far, in the line or without it, and how many of these have not ended.
    pub permitted: (u64, usize),
    /// For how long more may wait than are served at a time.
    pub interval: Duration,
}

/// Requests that wait for room at the endpoints of an upstream.
#[derive(Default)]
pub struct RequestQueue {
    /// Those in the line, and those called who have not yet used their turn.
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// The number of the next to come.
    next: u64,
    waiting: BTreeMap<u64, Waiter>,
    /// Those who have been told something, and have not yet gone.
    told: BTreeMap<u64, Told>,
    /// How many of these have a turn.
    called: usize,
    /// Turns for which there was nobody, while somebody who had been called had not yet used his own.
    spare: usize,
    /// How many turns there have been.
    events: u64,
    /// How many there are of each kind, in the line and among those who have a turn.
    kinds: Vec<(usize, usize)>,
    /// What the line was last measured by, and since when it has been as long as that.
    target: usize,
    standing_since: Option<Duration>,
    /// What has happened since it has been too long for too long, or since that was last judged.
    late: Option<Lateness>,
    /// How many have left it because there was room.
    served: u64,
}

/// A part of the time in which the line is kept short.
#[derive(Clone, Copy)]
struct Lateness {
    since: Duration,
    /// How many had found room by then, and how many of them in the line.
    permitted: u64,
    served: u64,
    /// How many have been shed since.
    shed: u64,
}

/// Of fewer requests than this it is not judged whether they come faster than they end.
const JUDGED_MIN: u64 = 100;

/// After so many intervals it is in any case.
const INTERVALS_MAX: u32 = 10;

struct Waiter {
    waker: Option<Waker>,
    kind: Option<usize>,
}

#[derive(Clone, Copy)]
enum Told {
    /// It may look for room now.
    Turn(Option<FreedAt>),
    Shed(Shed),
}

/// Who is woken once the lock has been let go.
type Woken = Option<Waker>;

impl RequestQueue {
    /// Whether anyone waits; one load.
    #[must_use]
    pub fn is_waited_in(&self) -> bool {
        self.waiting() > 0
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// There is room at an endpoint, or may be somewhere: the next in the line is called. One load if nobody
    /// waits.
    pub fn call(&self, freed: Option<FreedAt>) {
        if self.is_waited_in() {
            let mut line = self.line();
            let woken = line.call(freed);
            self.unlock(line, woken);
        }
    }

    /// Joins the line at `now`, which counts from any moment that is the same for all. Whoever is the first of
    /// its kind has its turn at once: there may be room that is of no use to those before it, or was made
    /// before anyone could see that it waits.
    pub fn enter(&self, entrant: &Entrant, now: Duration) -> Result<QueueEntry<'_>, Shed> {
        let mut line = self.line();
        let shed = line.keep_short(entrant, now);
        if let Some(refused) = line.refuses(entrant) {
            self.unlock(line, shed);
            return Err(refused);
        }
        let (number, kind) = (line.next, entrant.kind);
        line.next += 1;
        if line.spare > 0 || !line.has_peer(kind) {
            line.spare = line.spare.saturating_sub(1);
            line.tell(number, Told::Turn(None));
        } else {
            line.waiting.insert(number, Waiter { waker: None, kind });
        }
        line.comes(kind);
        self.unlock(line, shed);
        Ok(QueueEntry { queue: self, number, kind, seen: 0, has_left: false })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has changed is seen by all, and those who are told something are woken.
    fn unlock(&self, line: MutexGuard<'_, Line>, woken: impl IntoIterator<Item = Waker>) {
        self.waiting.store(line.waiting.len() + line.called, SeqCst);
        drop(line);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Line {
    /// Sheds the newest if the line has been too long for too long.
    fn keep_short(&mut self, entrant: &Entrant, now: Duration) -> Vec<Waker> {
        self.target = entrant.target();
        self.has_left();
        if let Some(late) = self.late {
            self.late = late.judged(entrant, self.served, now);
            return Vec::new();
        }
        if self.waiting.len() < self.target {
            return Vec::new();
        }
        let since = *self.standing_since.get_or_insert(now);
        if now.saturating_sub(since) < entrant.interval {
            return Vec::new();
        }
        let surplus = self.waiting.len() - self.target;
        let (permitted, _) = entrant.permitted;
        self.late = Some(Lateness { since: now, permitted, served: self.served, shed: 0 });
        let mut woken = Vec::new();
        for _ in 0..surplus {
            let Some((number, waiter)) = self.waiting.pop_last() else { break };
            self.told.insert(number, Told::Shed(Shed::Late));
            self.goes(waiter.kind);
            woken.extend(waiter.waker);
        }
        woken
    }

    /// Why somebody may not join, if so.
    fn refuses(&mut self, entrant: &Entrant) -> Option<Shed> {
        let is_first_of_kind = entrant.kind.is_some() && !self.has_peer(entrant.kind);
        // It may find room that is of no use to those who wait, such as at an endpoint that they do not know of.
        if is_first_of_kind && entrant.max > 0 {
            return None;
        }
        let length = self.waiting.len();
        // Who has its turn may find no room, and waits on.
        if length + self.called >= entrant.max {
            return Some(Shed::Full);
        }
        let late = self.late.as_mut().filter(|_| length >= entrant.target())?;
        late.shed += 1;
        Some(Shed::Late)
    }

    fn has_peer(&self, kind: Option<usize>) -> bool {
        kind.is_some_and(|kind| self.kinds.iter().any(|(known, _)| *known == kind))
    }

    fn comes(&mut self, kind: Option<usize>) {
        let Some(kind) = kind else { return };
        match self.kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.kinds.push((kind, 1)),
        }
    }

    /// Fewer wait in the line, or it is measured by something else.
    fn has_left(&mut self) {
        if self.waiting.len() < self.target {
            self.standing_since = None;
        }
    }

    /// Somebody of that kind has left.
    fn goes(&mut self, kind: Option<usize>) {
        if let Some((_, count)) = self.kinds.iter_mut().find(|(known, _)| Some(*known) == kind) {
            *count -= 1;
            self.kinds.retain(|(_, count)| *count > 0);
        }
        self.has_left();
        if self.waiting.is_empty() && self.called == 0 {
            self.spare = 0;
        }
    }

    fn tell(&mut self, number: u64, told: Told) {
        self.called += usize::from(matches!(told, Told::Turn(_)));
        self.told.insert(number, told);
    }

    fn call(&mut self, freed: Option<FreedAt>) -> Woken {
        self.events += 1;
        let Some((number, waiter)) = self.waiting.pop_first() else {
            self.spare += usize::from(self.called > 0);
            return None;
        };
        self.tell(number, Told::Turn(freed));
        self.has_left();
        waiter.waker
    }

    /// Calls the next after `number` who may find room where one of that kind has not.
    fn call_another(&mut self, number: u64, kind: Option<usize>, freed: Option<FreedAt>) -> Woken {
        let mut behind = self.waiting.range(number..);
        let is_other = |waiter: &Waiter| kind.is_none() || waiter.kind != kind;
        let next = behind.find(|(_, waiter)| is_other(waiter)).map(|(&next, _)| next);
        let Some((next, waiter)) = next.and_then(|next| Some((next, self.waiting.remove(&next)?)))
        else {
            self.spare += usize::from(self.called > 0);
            return None;
        };
        self.tell(next, Told::Turn(freed));
        self.has_left();
        waiter.waker
    }

    /// Takes out somebody who has been told something.
    fn take_told(&mut self, number: u64) -> Option<Told> {
        let told = self.told.remove(&number)?;
        self.called -= usize::from(matches!(told, Told::Turn(_)));
        Some(told)
    }
}

impl Entrant {
    /// What the line is kept to: one more than are served at a time, so that there is always a next, even of one
    /// at a time.
    fn target(&self) -> usize {
        self.permitted.1.saturating_add(1)
    }
}

impl Lateness {
    /// What goes on of it: requests still come faster than they end, if more were shed than found room without
    /// waiting.
    fn judged(self, entrant: &Entrant, served: u64, now: Duration) -> Option<Self> {
        let (since, shed) = (now.saturating_sub(self.since), self.shed);
        let (permitted, _) = entrant.permitted;
        let new = permitted.saturating_sub(self.permitted);
        let is_long = since >= entrant.interval.saturating_mul(INTERVALS_MAX);
        if since < entrant.interval || new + shed < JUDGED_MIN && !is_long {
            return Some(self);
        }
        let at_once = new.saturating_sub(served - self.served);
        (at_once < shed).then_some(Self { since: now, permitted, served, shed: 0 })
    }
}

impl fmt::Debug for RequestQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestQueue").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

/// A place in the line. It is given up when this is dropped, and a turn that was not used is passed on.
#[derive(Debug)]
#[must_use]
pub struct QueueEntry<'a> {
    queue: &'a RequestQueue,
    number: u64,
    kind: Option<usize>,
    /// How many turns there had been when it had its own.
    seen: u64,
    has_left: bool,
}

impl QueueEntry<'_> {
    /// Waits for its turn, which comes with a hint where there is room; or for being shed. Whoever has its
    /// turn has to say [`QueueEntry::served`] or [`QueueEntry::not_served`], or to leave.
    pub fn poll(&mut self, waker: &Waker) -> Poll<Result<Option<FreedAt>, Shed>> {
        let mut line = self.queue.line();
        match line.told.get(&self.number) {
            Some(Told::Turn(freed)) => {
                self.seen = line.events;
                return Poll::Ready(Ok(*freed));
            }
            Some(Told::Shed(shed)) => return Poll::Ready(Err(*shed)),
            None => {}
        }
        if let Some(waiter) = line.waiting.get_mut(&self.number) {
            match &mut waiter.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
        Poll::Pending
    }

    /// It has found room at `taken`, if that is a single place, and leaves. `more`: there is room for
    /// another one there.
    pub fn served(mut self, taken: Option<FreedAt>, more: bool) {
        self.has_left = true;
        let mut line = self.queue.line();
        let told = line.take_told(self.number);
        line.served += 1;
        line.goes(self.kind);
        let woken = match told {
            Some(Told::Turn(Some(freed))) if taken == Some(freed) => {
                if more {
                    line.call(taken)
                } else {
                    None
                }
            }
            // The room that it was called for may still be there.
            Some(Told::Turn(freed)) => line.call(freed.filter(|_| !more)),
            Some(Told::Shed(_)) | None => None,
        };
        self.queue.unlock(line, woken);
    }

    /// It has found no room, and goes back to where it was in the line. Another who may find some is called.
    pub fn not_served(&mut self) {
        let mut line = self.queue.line();
        let Some(Told::Turn(freed)) = line.take_told(self.number) else { return };
        // One that came while it looked, and that nobody has been called for.
        let again = line.spare > 0 && line.events != self.seen;
        line.spare -= usize::from(again);
        let woken = line.call_another(self.number, self.kind, freed);
        if again {
            line.tell(self.number, Told::Turn(None));
        } else {
            line.waiting.insert(self.number, Waiter { waker: None, kind: self.kind });
        }
        self.queue.unlock(line, woken);
    }
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        if self.has_left {
            return;
        }
        let mut line = self.queue.line();
        let told = line.take_told(self.number);
        if let Some(Told::Shed(_)) = told {
            return;
        }
        line.waiting.remove(&self.number);
        line.goes(self.kind);
        let woken = match told {
            Some(Told::Turn(freed)) => line.call(freed),
            Some(Told::Shed(_)) | None => None,
        };
        self.queue.unlock(line, woken);
    }
}

#[cfg(test)]
mod tests {
    use super::{QueueEntry, Told, Waiter};

    /// Of a map with eleven entries to a node, five of which are in use at least.
    fn node_share_max<V>() -> usize {
        (11 * size_of::<(u64, V)>() + 2 * size_of::<usize>()).div_ceil(5)
    }

    #[test]
    fn who_waits_costs_the_line_less_than_150_bytes() {
        let (entry, waits) = (size_of::<QueueEntry<'_>>(), node_share_max::<Waiter>());
        assert!(entry <= 48, "{entry} bytes");
        assert!(waits <= 92, "{waits} bytes");
        // Those who have been told something wait no longer.
        assert!(node_share_max::<Told>() <= waits);
    }
}
