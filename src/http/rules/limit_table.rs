//! When each of many keys may go on: a bounded table of words that all workers change without a lock.
//!
//! A key is here by its hash of 64 bits, whose secret its senders do not know: neither can they make two keys meet, nor
//! many keys meet in one place. Each key has one place in a small table, one in a larger one and so on, of which each comes
//! into being when it is first needed; a place is two cache lines with room for seven keys. So a look-up reads six
//! lines at most, whatever the keys are, and a limit of few keys takes a few kilobytes.
//!
//! The word of a key is the instant from which it has its whole burst again. A key whose instant has passed is as good as
//! none: its room is taken by whoever needs it, and nothing is lost. When all the room for a key is taken by keys whose
//! instants are still to come, the one whose instant comes first, the oldest, is evicted. Its place remembers the
//! instant of who has left, and no key that could be the same begins earlier. So nobody gains by being evicted, however
//! many keys a client has; when there are too many of them for the table, strangers begin a little later than
//! they should.
//!
//! No change is lost, whatever the threads do. A key that is known is changed by one compare-and-exchange of its word. Room
//! passes from one key to another in four steps: the place remembers the instant; the word becomes `MOVING`,
//! which fails if it has been changed meanwhile, and after which nothing changes it for the old key; the new key is
//! written; the word gets its first instant, a later one than it has ever had, so that a thread that has read an
//! earlier one fails to exchange it. Two threads that bring the same key take turns by a lock: only for keys that come.

use std::array;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The keys of one place. With two words for the place itself, they fill two cache lines: the first is only read as long
/// as no key comes or goes.
const KEYS: usize = 7;

/// The sizes of the tables, as powers of 2: the number of bits of a hash that choose the place.
const LEVELS: [u32; 5] = [4, 8, 12, 15, 14];

/// The most keys that there is room for.
pub const KEYS_MAX: usize = KEYS * PLACES_MAX;

/// The number of places in all tables.
const PLACES_MAX: usize =
    (1 << LEVELS[0]) + (1 << LEVELS[1]) + (1 << LEVELS[2]) + (1 << LEVELS[3]) + (1 << LEVELS[4]);

/// The most memory that a table takes, in bytes.
pub const BYTES_MAX: usize = PLACES_MAX * size_of::<Place>() + OWN_BYTES;

/// What a table takes without its places.
const OWN_BYTES: usize = size_of::<LimitTable>() + size_of::<KeyChanges>();

/// The most memory that all tables of a process take together, in bytes, besides the first 2 KiB of each.
pub const ALL_BYTES_MAX: usize = 64 << 20;

/// The word of room that passes from one key to another.
const MOVING: u64 = u64::MAX;

/// The last instant.
const LAST: u64 = MOVING - 1;

/// What tables may still take.
#[derive(Debug)]
pub struct TableMemory {
    left: AtomicUsize,
}

impl TableMemory {
    /// For tables that take at most so many bytes together, besides the first level of each.
    pub const fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }

    /// That of all tables of the process.
    pub fn of_process() -> &'static Self {
        static ALL: TableMemory = TableMemory::new(ALL_BYTES_MAX);
        &ALL
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.left.load(Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Relaxed);
    }
}

/// Where a key can be, in one of the tables.
#[derive(Debug)]
#[repr(align(128))]
struct Place {
    /// The hashes of its keys; 0 where there is none.
    keys: [AtomicU64; KEYS],
    /// The last instant of the keys that have left.
    floor: AtomicU64,
    /// The instants of its keys.
    instants: [AtomicU64; KEYS],
}

impl Place {
    fn new() -> Self {
        let zeros = || array::from_fn(|_| AtomicU64::new(0));
        Self { keys: zeros(), floor: AtomicU64::new(0), instants: zeros() }
    }
}

/// The room for one key at one place, and the instant it has been read with.
#[derive(Clone, Copy)]
struct Room<'a> {
    place: &'a Place,
    at: usize,
    known: u64,
}

impl<'a> Room<'a> {
    fn read(place: &'a Place, at: usize) -> Self {
        Self { place, at, known: place.instants[at].load(Acquire) }
    }

    fn key(&self) -> &'a AtomicU64 {
        &self.place.keys[self.at]
    }

    /// Whether it is that of this key, with the instant that was read.
    fn is_of(&self, hash: u64) -> bool {
        self.known != MOVING && self.key().load(Acquire) == hash
    }

    /// Replaces the instant, if it is still the one that was read.
    fn exchange(&self, next: u64) -> bool {
        let instant = &self.place.instants[self.at];
        instant.compare_exchange(self.known, next, AcqRel, Relaxed).is_ok()
    }

    /// Takes it from its key, for another one, unless the key has been changed since.
    fn leave(&self) -> bool {
        self.place.floor.fetch_max(self.known, Relaxed);
        self.exchange(MOVING)
    }

    /// Gives it to another key, which begins at this instant, or right after the one that was read.
    fn settle(&self, hash: u64, instant: u64) {
        self.key().store(hash, Release);
        self.place.instants[self.at].store(instant.max(self.known + 1), Release);
    }
}

/// Instants by key, for any number of threads.
#[derive(Debug)]
pub struct LimitTable {
    levels: [OnceLock<Box<[Place]>>; LEVELS.len()],
    memory: &'static TableMemory,
    changes: Box<KeyChanges>,
}

/// What is written when keys come, on cache lines apart from what every request reads: new ones may come in floods.
#[derive(Debug)]
#[repr(align(128))]
struct KeyChanges {
    /// Held by whoever brings a key, for each place of the first level: keys that are the same have the same one.
    coming: [Mutex<()>; 1 << LEVELS[0]],
    evicted: AtomicU64,
}

impl LimitTable {
    /// Without any keys. Once no memory is left, it stays as large as it is.
    pub fn new(memory: &'static TableMemory) -> Self {
        let (coming, evicted) = (array::from_fn(|_| Mutex::new(())), AtomicU64::new(0));
        let changes = Box::new(KeyChanges { coming, evicted });
        Self { levels: array::from_fn(|_| OnceLock::new()), memory, changes }
    }

    /// Changes the instant of a key: `next` gets the one it has, or `now` if that is over, and returns a later one or what
    /// is to be told instead. No other thread changes it between the two.
    ///
    /// `now` need not be the same for all threads.
    ///
    /// # Errors
    ///
    /// What `next` has told.
    pub fn change<E>(
        &self,
        hash: u64,
        now: u64,
        next: impl Fn(u64) -> Result<u64, E>,
    ) -> Result<(), E> {
        let hash = hash.max(1);
        loop {
            if let Some(room) = self.find(hash) {
                if room.exchange(next(room.known.max(now))?.min(LAST)) {
                    return Ok(());
                }
            } else if let Some(told) = self.bring(hash, now, &next) {
                return told;
            }
        }
    }

    /// How many keys were evicted whose instants were still to come.
    pub fn evicted(&self) -> u64 {
        self.changes.evicted.load(Relaxed)
    }

    /// How many bytes the table has taken by now.
    pub fn bytes(&self) -> usize {
        let levels = self.levels.iter().filter_map(OnceLock::get);
        levels.map(|level| size_of_val(&**level)).sum::<usize>() + OWN_BYTES
    }

    /// The places of a key in the tables that there are.
    fn places(&self, hash: u64) -> impl Iterator<Item = &Place> {
        let tables = self.levels.iter().map_while(OnceLock::get);
        tables.zip(0..).map(move |(table, level)| place(table, hash, level))
    }

    fn find(&self, hash: u64) -> Option<Room<'_>> {
        self.places(hash).find_map(|place| {
            let is_its = |at: &usize| place.keys[*at].load(Acquire) == hash;
            let mut rooms = (0..KEYS).filter(is_its).map(|at| Room::read(place, at));
            // It may have lost the room since.
            rooms.find(|room| room.is_of(hash))
        })
    }

    /// Takes room for a key that has none, and changes its instant. None if another thread was faster with it, or has
    /// changed the key that was to leave.
    fn bring<E>(
        &self,
        hash: u64,
        now: u64,
        next: &impl Fn(u64) -> Result<u64, E>,
    ) -> Option<Result<(), E>> {
        let coming = &self.changes.coming;
        let first = usize::try_from(hash & 0xffff).unwrap_or(0) % coming.len();
        // A panic elsewhere leaves the table whole.
        let _coming = coming[first].lock().unwrap_or_else(PoisonError::into_inner);
        if self.find(hash).is_some() {
            return None;
        }
        let (floor, oldest) = self.oldest(hash, now);
        let is_free = oldest.is_some_and(|room| room.known <= now);
        if !is_free && self.grow(hash) {
            return None;
        }
        let room = oldest?;
        // Where an older one of the same place stood it may have stood itself.
        let begins = now.max(floor).max(room.known);
        let told = next(begins);
        let instant = told.as_ref().map_or(begins, |next| *next);
        if !room.leave() {
            return None;
        }
        room.settle(hash, instant.min(LAST));
        if !is_free {
            self.changes.evicted.fetch_add(1, Relaxed);
        }
        Some(told.map(drop))
    }

    /// The room for a key that is over, or else comes to its end first, and the instant before which it cannot begin.
    fn oldest(&self, hash: u64, now: u64) -> (u64, Option<Room<'_>>) {
        let (mut floor, mut oldest) = (0, None::<Room<'_>>);
        for place in self.places(hash) {
            floor = floor.max(place.floor.load(Relaxed));
            for at in 0..KEYS {
                if oldest.is_some_and(|room| room.known <= now) {
                    // The first one: so what is in use stays in the small tables.
                    break;
                }
                let room = Room::read(place, at);
                if room.known < oldest.map_or(MOVING, |oldest| oldest.known) {
                    oldest = Some(room);
                }
            }
        }
        (floor, oldest)
    }

    /// Adds the next table, if there is one to add and memory for it.
    fn grow(&self, hash: u64) -> bool {
        let known = self.places(hash).count();
        let Some(level) = self.levels.get(known) else { return false };
        let places = 1_usize << LEVELS[known];
        let bytes = if known == 0 { 0 } else { places * size_of::<Place>() };
        if !self.memory.take(bytes) {
            return false;
        }
        if level.set((0..places).map(|_| Place::new()).collect()).is_err() {
            // Another thread was faster, and its table is as good.
            self.memory.give_back(bytes);
        }
        true
    }
}

impl Drop for LimitTable {
    fn drop(&mut self) {
        let taken = self.levels.iter().skip(1).filter_map(OnceLock::get);
        self.memory.give_back(taken.map(|level| size_of_val(&**level)).sum());
    }
}

/// The place of a key in the table of one level: other bits of the hash than in the others.
fn place(table: &[Place], hash: u64, level: u32) -> &Place {
    let bits = hash.rotate_right(13 * level);
    let at = usize::try_from(bits & 0xffff).unwrap_or(0);
    &table[at & (table.len() - 1)]
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::convert::Infallible;

    use super::*;

    /// With memory of its own: tests run beside each other.
    fn table() -> LimitTable {
        LimitTable::new(Box::leak(Box::new(TableMemory::new(2 * BYTES_MAX))))
    }

    /// The numbers of a test that are random.
    fn random(seed: u64) -> impl Iterator<Item = u64> {
        (0..).map(move |place| crate::hash::nth(seed, place))
    }

    /// Adds to the instant of a key, and returns it.
    fn add(table: &LimitTable, hash: u64, now: u64, more: u64) -> u64 {
        let changed = AtomicU64::new(0);
        let next = |instant: u64| {
            changed.store(instant + more, Relaxed);
            Ok::<_, Infallible>(instant + more)
        };
        table.change(hash, now, next).unwrap_or_else(|never| match never {});
        changed.into_inner()
    }

    #[test]
    fn keys_are_apart_and_a_hundred_thousand_of_them_fit() {
        let table = table();
        let keys: Vec<u64> = random(1).take(100_000).collect();
        for (of, &key) in (1..).zip(&keys) {
            assert_eq!(add(&table, key, 5, of), 5 + of);
        }
        for (of, &key) in (1..).zip(&keys) {
            assert_eq!(add(&table, key, 5, 1), 6 + of);
        }
        assert_eq!(table.evicted(), 0);
        assert!(table.bytes() <= BYTES_MAX && BYTES_MAX < 8 << 20, "{BYTES_MAX}");
    }

    #[test]
    fn a_few_keys_take_a_few_kilobytes_and_those_that_are_over_none() {
        let table = table();
        assert!(table.bytes() < 512);
        for (now, key) in (1..).zip(random(2).take(100_000)) {
            add(&table, key, now, 20);
        }
        assert!(table.bytes() < 64 << 10, "{}", table.bytes());
        assert_eq!(table.evicted(), 0);
    }

    /// Keys of the same places in all tables.
    fn rivals(count: usize) -> Vec<u64> {
        (1..).take(count).map(|key| key << LEVELS[0] & 0x1ff0).collect()
    }

    #[test]
    fn whatever_comes_no_key_gains() {
        let (table, keys) = (table(), rivals(3 * KEYS * LEVELS.len()));
        let mut known: HashMap<u64, u64> = HashMap::new();
        for (step, choice) in (0..).zip(random(3).take(100_000)) {
            let now = 1 + step + choice % 10;
            let key = keys[usize::try_from(choice >> 32).unwrap() % keys.len()];
            let expected = known.get(&key).map_or(now, |&instant| now.max(instant)) + 40;
            let instant = add(&table, key, now, 40);
            assert!(instant >= expected, "{instant} {expected}");
            known.insert(key, instant);
        }
        assert!(table.evicted() > 10_000, "{}", table.evicted());
        assert_eq!(table.bytes(), BYTES_MAX);
    }

    #[test]
    fn what_is_written_when_keys_come_lies_apart_from_what_requests_read() {
        assert!(align_of::<KeyChanges>() == 128 && align_of::<Place>() == 128);
        assert_eq!((size_of::<KeyChanges>() % 128, size_of::<Place>()), (0, 128));
    }

    #[test]
    fn the_oldest_of_a_place_is_evicted_and_comes_back_no_earlier() {
        let table = table();
        // There is room for one less.
        let keys = rivals(KEYS * LEVELS.len() + 1);
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        for (of, &key) in (1..).zip(&keys) {
            let instant = add(&table, key, 1, 1000 + of);
            let is_last = of == keys.len() as u64;
            // The last one begins where the oldest stood.
            assert_eq!(instant, 1001 + of + if is_last { 1001 } else { 0 });
        }
        assert_eq!(table.evicted(), 1);
        assert_eq!(add(&table, keys[1], 1, 10), 1013);
        assert_eq!(add(&table, keys[0], 1, 10), 1014, "it begins where the next oldest stood");
    }

    /// Has threads, whose clocks differ, add to keys chosen at random, and checks that each change came on top of all others
    /// of its key.
    fn race(keys: &[u64], ticks_per_step: u64) -> LimitTable {
        const MORE: u64 = 40;
        let table = table();
        let changes = std::thread::scope(|scope| {
            let work = |thread: u64| {
                let (table, mut changes) = (&table, Vec::new());
                for (step, choice) in (0..).zip(random(thread).take(20_000)) {
                    let now = 1 + ticks_per_step * step + choice % 100;
                    let key = keys[usize::try_from(choice >> 32).unwrap() % keys.len()];
                    changes.push((key, add(table, key, now, MORE)));
                }
                changes
            };
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || work(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let mut changes = changes;
        changes.sort_unstable();
        for pair in changes.windows(2) {
            let [(key, before), (other, after)] = [pair[0], pair[1]];
            assert!(key != other || after >= before + MORE, "{key:x}: {before} {after}");
        }
        table
    }

    #[test]
    fn no_change_is_lost_whatever_the_threads_do() {
        let few: Vec<u64> = random(4).take(4).collect();
        assert_eq!([1, 1000].map(|ticks| race(&few, ticks).evicted()), [0, 0]);
        // They come and go all the time.
        for (count, ticks) in [(KEYS + 2, 20), (KEYS + 2, 40), (2 * KEYS, 10), (8 * KEYS, 8)] {
            race(&rivals(count), ticks);
        }
        // Keys that are in use are evicted for others.
        assert!(race(&rivals(3 * KEYS * LEVELS.len()), 1).evicted() > 1000);
    }

    #[test]
    fn room_that_passes_to_another_key_is_changed_for_none_but_the_new_one() {
        let place = Place::new();
        let room = Room::read(&place, 0);
        assert!(room.leave());
        room.settle(1, 10);
        let [late, mover] = [(); 2].map(|()| Room::read(&place, 0));
        assert!(late.is_of(1) && mover.leave() && !late.exchange(11), "it is moving");
        assert!(!Room::read(&place, 0).is_of(1));
        assert_eq!(place.floor.load(Relaxed), 10, "known before it has left");
        mover.settle(2, 10);
        assert!(!late.exchange(11) && !late.is_of(1));
        let next = Room::read(&place, 0);
        assert!(next.is_of(2) && next.exchange(20) && !next.leave(), "it has been changed since");
        assert!(Room::read(&place, 0).is_of(2));
    }

    #[test]
    fn all_tables_together_take_no_more_than_there_is() {
        let first = size_of::<Place>() << LEVELS[0];
        let memory = &*Box::leak(Box::new(TableMemory::new(3 * BYTES_MAX)));
        let tables: Vec<_> = (0..20).map(|_| LimitTable::new(memory)).collect();
        for table in &tables {
            for key in rivals(2 * KEYS * LEVELS.len()) {
                add(table, key, 1, 1000);
            }
        }
        let taken: usize = tables.iter().map(LimitTable::bytes).sum();
        let fixed = tables.len() * (first + OWN_BYTES);
        assert_eq!(taken - fixed, 3 * BYTES_MAX - memory.left());
        assert!(memory.left() < size_of::<Place>() << LEVELS[1], "{}", memory.left());
        assert_eq!((first, ALL_BYTES_MAX), (2048, 64 << 20), "as documented");
        let evicted: Vec<u64> = tables.iter().map(LimitTable::evicted).collect();
        assert!(evicted[0] < evicted[19], "{evicted:?}");
        drop(tables);
        assert_eq!(memory.left(), 3 * BYTES_MAX);
    }
}
