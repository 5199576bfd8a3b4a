//! Which worker serves a connection that has just been accepted.
//!
//! The kernel spreads connections over the workers by a hash, so a few long-lived ones land unevenly: of 64 on 16
//! workers one often has nine, and another none. A worker that would have more than its fair share gives a fresh
//! connection to the one that has fewest. It looks at the others only then: a connection that stays costs a few loads
//! of words that have just been written, or are its own.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Connections that may be on their way to one worker.
pub const COMING_MAX: usize = 64;

/// How long a worker that is well may leave a connection on its way, in milliseconds: it is at work for
/// milliseconds at a time, but may have to wait for a core. One that takes longer gets no more for now.
const PATIENCE_MILLIS: u64 = 100;

/// How long a connection waits for a worker that is stuck until another one takes it, in milliseconds.
pub const RESCUE_MILLIS: u64 = 1000;

/// A share above the fair one that is not worth evening out: a sixteenth. Among so many that this is a
/// connection, a hash does as well.
const SLACK: usize = 16;

/// Sessions that end within 10 ms are not worth evening out either: these make room by themselves.
const ENDINGS_PER_SECOND: usize = 100;

/// Others may reserve a place at the same moment; who has lost this often keeps its connection.
const TRIES: usize = 4;

/// How many sessions each worker has, and may get.
#[derive(Debug)]
pub struct WorkerLoads {
    workers: Box<[WorkerLoad]>,
}

/// The sessions of one worker. Two lines of its own, since prefetching brings lines in pairs: its worker
/// writes them for each connection, others only when they give one away.
#[derive(Debug, Default)]
#[repr(align(128))]
struct WorkerLoad {
    /// Open sessions; written by the worker alone.
    sessions: AtomicUsize,
    /// Connections that others are giving to it; at most [`COMING_MAX`].
    coming: AtomicUsize,
    /// Since when the first of these waits, in milliseconds.
    since: AtomicU64,
    /// Whether it takes any.
    is_open: AtomicBool,
    /// Whether it has kept one waiting for so long that another worker had to take it. Cleared by the worker when
    /// it is at work again.
    is_stuck: AtomicBool,
}

impl WorkerLoads {
    /// Of so many workers, which have no sessions and take none yet.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { workers: (0..workers).map(|_| WorkerLoad::default()).collect() })
    }

    /// The sessions of the worker that has most.
    pub fn most(&self) -> usize {
        self.workers.iter().map(|load| load.sessions.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    /// So many that were on their way to a worker are no longer.
    pub fn arrived(&self, worker: usize, count: usize, now: u64) {
        let load = &self.workers[worker];
        load.since.store(now, Ordering::Relaxed);
        load.coming.fetch_sub(count, Ordering::Relaxed);
    }

    /// The worker with fewest sessions, if one has fewer than `here`; what is returned is on its way to it.
    #[cold]
    fn reserve(&self, own: usize, here: usize, now: u64) -> Option<usize> {
        let count = self.workers.len();
        for _ in 0..TRIES {
            // From the next one on, so that not everybody gives to the same of those who have none.
            let others = (1..count).map(|step| (own + step) % count);
            let open = others.filter_map(|worker| {
                let coming = self.workers[worker].room(now)?;
                Some((self.workers[worker].total(coming), coming, worker))
            });
            let (fewest, coming, worker) = open.min_by_key(|(total, ..)| *total)?;
            if fewest + 1 >= here {
                return None;
            }
            if self.workers[worker].begin(coming, now) {
                return Some(worker);
            }
        }
        None
    }
}

impl WorkerLoad {
    fn total(&self, coming: usize) -> usize {
        self.sessions.load(Ordering::Relaxed) + coming
    }

    /// How many are on their way to it, if it takes one more.
    fn room(&self, now: u64) -> Option<usize> {
        let coming = self.coming.load(Ordering::Relaxed);
        let takes = self.is_open.load(Ordering::Relaxed) && !self.is_stuck.load(Ordering::Relaxed);
        let is_prompt = coming == 0 || self.waited(now) < PATIENCE_MILLIS;
        (takes && is_prompt && coming < COMING_MAX).then_some(coming)
    }

    fn waited(&self, now: u64) -> u64 {
        now.saturating_sub(self.since.load(Ordering::Relaxed))
    }

    /// One more is on its way, unless another has been sent since `coming` was read.
    fn begin(&self, coming: usize, now: u64) -> bool {
        if coming == 0 {
            self.since.store(now, Ordering::Relaxed);
        }
        let relaxed = Ordering::Relaxed;
        self.coming.compare_exchange(coming, coming + 1, relaxed, relaxed).is_ok()
    }
}

/// The place of one worker among all.
#[derive(Debug)]
pub struct WorkerPlace {
    loads: Arc<WorkerLoads>,
    index: usize,
    /// Sessions that have ended, and how many had at the last look.
    ended: Cell<(usize, usize)>,
    /// An excess that goes away by itself.
    fleeting: Cell<usize>,
}

impl WorkerPlace {
    /// The worker with this index.
    pub fn new(loads: &Arc<WorkerLoads>, index: usize) -> Self {
        let (ended, fleeting) = (Cell::default(), Cell::default());
        Self { loads: Arc::clone(loads), index, ended, fleeting }
    }

    /// A worker that is not among others, whatever its index.
    pub fn apart(index: usize) -> Self {
        Self::new(&WorkerLoads::new(index + 1), index)
    }

    /// Its index.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Of all workers.
    pub fn loads(&self) -> &Arc<WorkerLoads> {
        &self.loads
    }

    /// It has so many sessions now that one has begun.
    pub fn session_begun(&self, sessions: usize) {
        self.own().sessions.store(sessions, Ordering::Relaxed);
    }

    /// It has so many sessions now that one has ended.
    pub fn session_ended(&self, sessions: usize) {
        self.own().sessions.store(sessions, Ordering::Relaxed);
        let (ended, before) = self.ended.get();
        self.ended.set((ended.wrapping_add(1), before));
    }

    /// To be called once a second: sees how many sessions end, and that the worker is not stuck.
    pub fn look(&self) {
        let (ended, before) = self.ended.get();
        self.ended.set((ended, ended));
        self.fleeting.set(ended.wrapping_sub(before) / ENDINGS_PER_SECOND);
        if self.own().is_stuck.load(Ordering::Relaxed) {
            self.own().is_stuck.store(false, Ordering::Relaxed);
        }
    }

    /// From now on it takes connections of others, or does not.
    pub fn set_open(&self, is_open: bool) {
        self.own().is_open.store(is_open, Ordering::Relaxed);
    }

    /// Where one more connection goes, if it is not to stay: it is on its way there until
    /// [`WorkerLoads::arrived`] says otherwise. `open` is the number of connections of all workers, with this one;
    /// `now` says the time in milliseconds.
    #[inline]
    pub fn choose(&self, open: usize, now: impl FnOnce() -> u64) -> Option<usize> {
        let here = self.own().total(self.own().coming.load(Ordering::Relaxed)) + 1;
        let fair = open.div_ceil(self.loads.workers.len());
        if here <= fair + fair / SLACK + self.fleeting.get() {
            return None;
        }
        self.loads.reserve(self.index, here, now())
    }

    /// The others that have kept a connection waiting for so long that it has to be taken from them.
    pub fn overdue(&self, now: u64) -> impl Iterator<Item = usize> {
        let others = self.loads.workers.iter().enumerate();
        let overdue = others.filter(move |(index, load)| {
            let is_due = load.waited(now) >= RESCUE_MILLIS || !load.is_open.load(Ordering::Relaxed);
            *index != self.index && load.coming.load(Ordering::Relaxed) > 0 && is_due
        });
        overdue.map(|(index, load)| {
            load.is_stuck.store(true, Ordering::Relaxed);
            index
        })
    }

    fn own(&self) -> &WorkerLoad {
        &self.loads.workers[self.index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers that take connections, with so many sessions each.
    fn workers(sessions: &[usize]) -> Vec<WorkerPlace> {
        let loads = WorkerLoads::new(sessions.len());
        let place = |(index, sessions): (usize, &usize)| {
            let place = WorkerPlace::new(&loads, index);
            place.set_open(true);
            place.session_begun(*sessions);
            place
        };
        sessions.iter().enumerate().map(place).collect()
    }

    /// Where the first worker gives one more connection at this time.
    fn choice(workers: &[WorkerPlace], now: u64) -> Option<usize> {
        let sessions: usize =
            workers.iter().map(|place| place.own().sessions.load(Ordering::Relaxed)).sum();
        workers[0].choose(sessions + 1, || now)
    }

    #[test]
    fn a_share_that_is_fair_stays_and_nobody_else_is_asked() {
        let no_clock = || panic!("the others were looked at");
        for (sessions, open) in [(&[0, 0][..], 1), (&[3, 4, 4], 12), (&[4, 4, 4], 13), (&[9], 10)] {
            assert_eq!(workers(sessions)[0].choose(open, no_clock), None, "{sessions:?}");
        }
    }

    #[test]
    fn more_than_that_goes_to_who_has_fewest() {
        assert_eq!(choice(&workers(&[5, 4, 2, 3]), 1), Some(2));
        assert_eq!(choice(&workers(&[1, 0]), 1), Some(1));
    }

    #[test]
    fn of_those_who_have_as_few_the_next_one_is_chosen() {
        let workers = workers(&[0, 2, 0, 1]);
        assert_eq!(workers[1].choose(4, || 1), Some(2));
        assert_eq!(workers[3].choose(4, || 1), Some(0));
    }

    #[test]
    fn what_is_on_its_way_counts() {
        let workers = workers(&[2, 0, 0]);
        let chosen: Vec<_> = (0..5).map(|_| choice(&workers, 1)).collect();
        assert_eq!(chosen, [Some(1), Some(2), Some(1), Some(2), None]);
        workers[1].loads().arrived(1, 2, 1);
        assert_eq!(choice(&workers, 1), Some(1));
    }

    #[test]
    fn a_sixteenth_above_the_share_is_let_be() {
        assert_eq!(choice(&workers(&[165, 155]), 1), None);
        assert_eq!(choice(&workers(&[190, 155]), 1), Some(1));
    }

    #[test]
    fn connections_that_end_soon_are_let_be() {
        let workers = workers(&[7, 0]);
        assert_eq!(choice(&workers, 1), Some(1));
        (0..400).for_each(|_| workers[0].session_ended(7));
        workers[0].look();
        assert_eq!(choice(&workers, 1), None);
        workers[0].look();
        assert_eq!(choice(&workers, 1), Some(1));
    }

    #[test]
    fn a_worker_that_takes_none_gets_none() {
        let workers = workers(&[9, 0, 3]);
        workers[1].set_open(false);
        assert_eq!(choice(&workers, 1), Some(2));
    }

    #[test]
    fn a_worker_that_leaves_one_waiting_gets_no_more_until_it_has_taken_it() {
        let workers = workers(&[9, 0, 3]);
        let gives = |now| choice(&workers, now);
        assert_eq!((gives(1000), gives(1099), gives(1100)), (Some(1), Some(1), Some(2)));
        workers[1].loads().arrived(1, 2, 1200);
        assert_eq!(gives(5000), Some(1));
    }

    #[test]
    fn what_a_stuck_worker_leaves_waiting_is_due_for_others_and_it_gets_no_more_until_it_works() {
        let workers = workers(&[9, 0]);
        let overdue = |now| workers[0].overdue(now).collect::<Vec<_>>();
        assert_eq!(choice(&workers, 1000), Some(1));
        assert!(overdue(1999).is_empty());
        assert_eq!((overdue(2000), workers[1].overdue(2000).count()), (vec![1], 0));
        workers[0].loads().arrived(1, 1, 2000);
        assert_eq!((overdue(4000), choice(&workers, 4000)), (vec![], None));
        workers[1].look();
        assert_eq!(choice(&workers, 4000), Some(1));
    }

    #[test]
    fn what_a_worker_that_is_gone_leaves_is_due_at_once() {
        let workers = workers(&[9, 0]);
        assert_eq!(choice(&workers, 1000), Some(1));
        workers[1].set_open(false);
        assert_eq!(workers[0].overdue(1000).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn so_many_are_on_their_way_to_one_and_no_more() {
        let workers = workers(&[1000, 0]);
        let given = (0..1000).map_while(|_| choice(&workers, 1)).count();
        assert_eq!(given, COMING_MAX);
    }

    /// Three workers accept all connections at the same time, and see in each other's way what the others have.
    #[test]
    fn those_who_give_at_once_do_not_all_give_to_the_same() {
        let (workers, accepters, each) = (8, 3, 100);
        let loads = WorkerLoads::new(workers);
        let given: Vec<_> = (0..workers).map(|_| AtomicUsize::new(0)).collect();
        let (open, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let begin = std::sync::Barrier::new(workers);
        let work = |index: usize| {
            let (place, mut sessions) = (WorkerPlace::new(&loads, index), 0);
            place.set_open(true);
            begin.wait();
            let mut left = if index < accepters { each } else { 0 };
            while left > 0 || done.load(Ordering::SeqCst) < accepters {
                let arrived = given[index].swap(0, Ordering::SeqCst);
                sessions += arrived;
                place.session_begun(sessions);
                loads.arrived(index, arrived, 0);
                if left == 0 {
                    std::thread::yield_now();
                    continue;
                }
                let open = open.fetch_add(1, Ordering::SeqCst) + 1;
                if let Some(other) = place.choose(open, || 0) {
                    given[other].fetch_add(1, Ordering::SeqCst);
                } else {
                    sessions += 1;
                    place.session_begun(sessions);
                }
                left -= 1;
                done.fetch_add(usize::from(left == 0), Ordering::SeqCst);
            }
            sessions + given[index].swap(0, Ordering::SeqCst)
        };
        let sessions: Vec<usize> = std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                (0..workers).map(|index| scope.spawn(move || work(index))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(sessions.iter().sum::<usize>(), accepters * each);
        assert!(sessions.iter().all(|own| *own <= 38 + 8), "{sessions:?}");
    }

    /// Prefetching brings lines of 64 bytes in pairs.
    #[test]
    fn each_worker_has_two_lines_of_its_own() {
        assert_eq!((size_of::<WorkerLoad>(), align_of::<WorkerLoad>()), (128, 128));
    }
}
