//! Idle connections to one endpoint that any worker may take.
//!
//! What a worker keeps for itself no other can use: with many workers and few requests most requests would find no
//! connection at their worker and open one. On the shelf a connection is watched by no reactor. It is moved
//! there, and to the worker that takes it, with one system call each (`EPOLL_CTL_DEL`, `EPOLL_CTL_ADD`); its end is noticed when
//! it is taken, or by the sweep. A TLS session moves with its connection: its keys belong to no thread. Connections of
//! HTTP/2, whose streams have tasks, stay with their worker.
//!
//! Shelves have no cache lines of their own: they are touched only by a worker that has no connection of its own, or one
//! too many, and makes a system call as well.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::lease::{Idle, Lease, Origin};
use super::socket::Unasked;

/// When a worker keeps connections for itself: it has come for one so often, each time soon after the last. What it
/// has not used for as long goes back to the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habit {
    /// What is soon.
    pub window: Duration,
    /// How often in a row that must be.
    pub times: u8,
}

impl Habit {
    /// A request served from the shelf takes four system calls more (`recv`, which tells whether the connection has ended,
    /// `epoll_ctl` twice, and `epoll_wait`, since the new reactor has not told that it can be written to), so a worker
    /// that uses an endpoint all the time must not need it. But what it keeps can be idle while another worker has none, which must not come about by chance:
    /// at 50 requests a second on 32 workers one in thirteen comes to its worker within 50 ms of the last, and
    /// only one in two thousand is the third in a row. `tools/scale pools --simulated` compares others.
    pub const USUAL: Self = Self { window: Duration::from_millis(50), times: 3 };
}

/// The connections, the one used last on top.
#[derive(Debug)]
pub struct Shelf {
    workers: u32,
    habit: Habit,
    made: Instant,
    /// How many there are; changed under the lock, and read without it.
    count: AtomicUsize,
    /// Held for no system call.
    idle: Mutex<Vec<Idle>>,
}

impl Shelf {
    /// Empty, for so many workers.
    pub fn new(workers: usize, habit: Habit) -> Self {
        let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
        let (count, idle) = (AtomicUsize::new(0), Mutex::default());
        Self { workers, habit, made: Instant::now(), count, idle }
    }

    /// How many workers share it.
    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// When one of them keeps connections for itself.
    pub fn habit(&self) -> Habit {
        self.habit
    }

    /// A moment in milliseconds since it was made; they begin again after 49 days.
    pub(super) fn millis(&self, at: Instant) -> u32 {
        let since = at.saturating_duration_since(self.made);
        let millis = since.as_secs() * 1000 + u64::from(since.subsec_millis());
        u32::try_from(millis & u64::from(u32::MAX)).unwrap_or(0)
    }

    /// How many connections there are; of several threads that change it at once, the last may not have been heard.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether there are none, likewise.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts one there, unless there are `max`; says whether it did. Otherwise it is closed.
    pub(super) fn put(&self, mut idle: Idle, max: usize) -> bool {
        if self.len() >= max || idle.lease.stream.rest().is_err() {
            return false;
        }
        let surplus = {
            let mut known = self.idle();
            if known.len() < max {
                let place = known.partition_point(|other| other.since <= idle.since);
                known.insert(place, idle);
                None
            } else {
                Some(idle)
            }
        };
        // Closed without the lock.
        surplus.is_none()
    }

    /// Takes the one that was used last, if it has not been idle for `idle_timeout`; closes those that turn
    /// out to be of no use.
    pub(super) fn take(&self, now: Instant, idle_timeout: Duration) -> Option<Lease> {
        loop {
            let Idle { mut lease, since, .. } = self.pop(now)?;
            if now.duration_since(since) >= idle_timeout {
                // So have those below, which are swept.
                return None;
            }
            // Asks the kernel: there was no reactor to hear of it.
            if lease.stream.unasked() == Unasked::Nothing && lease.stream.wake().is_ok() {
                return Some(Lease { origin: Origin::Shelf, ..lease });
            }
        }
    }

    fn pop(&self, now: Instant) -> Option<Idle> {
        if self.is_empty() {
            return None;
        }
        let mut known = self.idle();
        let place = known.iter().rposition(|idle| idle.is_ready(now))?;
        Some(known.remove(place))
    }

    /// Takes all of them out.
    pub(super) fn take_all(&self) -> Vec<Idle> {
        mem::take(&mut self.idle())
    }

    /// Closes the half that was used least recently.
    pub(super) fn shed(&self) {
        let half: Vec<Idle> = {
            let mut known = self.idle();
            let count = known.len().div_ceil(2);
            known.drain(..count).collect()
        };
        drop(half);
    }

    /// Closes what has become useless: too old, ended by the endpoint, spoken to out of turn, or more than `max`.
    pub(super) fn sweep(&self, now: Instant, idle_timeout: Duration, max: usize) {
        if self.is_empty() {
            return;
        }
        // The kernel is asked about each, which is no time to hold the lock for; nobody finds them meanwhile.
        let mut known = self.take_all();
        known.retain(|idle| {
            idle.age(now) < idle_timeout && idle.lease.stream.unasked() == Unasked::Nothing
        });
        let surplus: Vec<Idle> = {
            let mut added = self.idle();
            known.append(&mut *added);
            known.sort_by_key(|idle| idle.since);
            let count = known.len().saturating_sub(max);
            let surplus = known.drain(..count).collect();
            *added = known;
            surplus
        };
        drop(surplus);
    }

    fn idle(&self) -> Counted<'_> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        Counted { idle, count: &self.count }
    }
}

/// The lock; when it is given back, how many there are is known to those who do not take it.
struct Counted<'a> {
    idle: MutexGuard<'a, Vec<Idle>>,
    count: &'a AtomicUsize,
}

impl std::ops::Deref for Counted<'_> {
    type Target = Vec<Idle>;

    fn deref(&self) -> &Vec<Idle> {
        &self.idle
    }
}

impl std::ops::DerefMut for Counted<'_> {
    fn deref_mut(&mut self) -> &mut Vec<Idle> {
        &mut self.idle
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.count.store(self.idle.len(), Relaxed);
    }
}
