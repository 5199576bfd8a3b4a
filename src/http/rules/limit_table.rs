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

use std::array;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
pub const BYTES_MAX: usize = PLACES_MAX * size_of::<Place>() + size_of::<LimitTable>();

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

/// The room for one key at one place.
#[derive(Clone, Copy)]
struct Room<'a> {
    place: &'a Place,
    at: usize,
}

impl Room<'_> {
    fn key(&self) -> &AtomicU64 {
        &self.place.keys[self.at]
    }

    fn instant(&self) -> &AtomicU64 {
        &self.place.instants[self.at]
    }
}

/// Instants by key, for any number of threads.
#[derive(Debug)]
pub struct LimitTable {
    levels: [OnceLock<Box<[Place]>>; LEVELS.len()],
    evicted: AtomicU64,
}

impl LimitTable {
    /// Without any keys.
    pub fn new() -> Self {
        Self { levels: array::from_fn(|_| OnceLock::new()), evicted: AtomicU64::new(0) }
    }

    /// Changes the instant of a key: `next` gets the one it has, or `now` if that is over, and returns another one or what
    /// is to be told instead. No other thread changes it between the two.
    ///
    /// `now` need not be the same for all threads. While a key comes, and others with it or instead of it, one change
    /// for each thread may be lost.
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
            let (room, start) = match self.find(hash) {
                Some(room) => (room, now),
                None => match self.take(hash, now) {
                    Some(taken) => taken,
                    None => continue,
                },
            };
            let known = room.instant().load(Relaxed);
            let later = next(known.max(start))?;
            let changed = room.instant().compare_exchange(known, later, Relaxed, Relaxed).is_ok();
            // The instant of a key that has come instead is another one, so this was the right one's.
            if changed {
                return Ok(());
            }
        }
    }

    /// How many keys were evicted whose instants were still to come.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// How many bytes the table has taken by now.
    pub fn bytes(&self) -> usize {
        let places: usize = self.levels.iter().filter_map(OnceLock::get).map(|of| of.len()).sum();
        places * size_of::<Place>() + size_of::<Self>()
    }

    /// The places of a key in the tables that there are.
    fn places(&self, hash: u64) -> impl Iterator<Item = &Place> {
        let tables = self.levels.iter().map_while(OnceLock::get);
        tables.zip(0..).map(move |(table, level)| place(table, hash, level))
    }

    fn find(&self, hash: u64) -> Option<Room<'_>> {
        self.places(hash).find_map(|place| {
            let at = place.keys.iter().position(|key| key.load(Relaxed) == hash)?;
            Some(Room { place, at })
        })
    }

    /// Takes room for a key that has none, and says from which instant on it begins. None if another thread was
    /// faster with it, or has changed the key that was to be evicted.
    fn take(&self, hash: u64, now: u64) -> Option<(Room<'_>, u64)> {
        let (mut floor, mut known) = (now, 0);
        let mut oldest: Option<(u64, u64, Room<'_>)> = None;
        let is_free =
            |oldest: &Option<(u64, u64, Room<'_>)>| oldest.as_ref().is_some_and(|of| of.0 <= now);
        for place in self.places(hash) {
            known += 1;
            floor = floor.max(place.floor.load(Relaxed));
            for at in 0..KEYS {
                if is_free(&oldest) {
                    // The first one: so what is in use stays in the small tables.
                    break;
                }
                let room = Room { place, at };
                let (key, instant) = (room.key().load(Relaxed), room.instant().load(Relaxed));
                if oldest.as_ref().is_none_or(|(first, ..)| instant < *first) {
                    oldest = Some((instant, key, room));
                }
            }
        }
        let is_free = is_free(&oldest);
        if !is_free && known < LEVELS.len() {
            // Another thread may be faster, and its table is as good.
            let table = (0..1_usize << LEVELS[known]).map(|_| Place::new()).collect();
            let _ = self.levels[known].set(table);
            return None;
        }
        let (instant, key, room) = oldest?;
        // Before it goes, so that it cannot come back in between. Also if it is over: for another thread, whose clock is
        // behind, it may not be.
        room.place.floor.fetch_max(instant, Relaxed);
        room.key().compare_exchange(key, hash, Relaxed, Relaxed).ok()?;
        if !is_free {
            self.evicted.fetch_add(1, Relaxed);
        }
        Some((room, floor))
    }
}

impl Default for LimitTable {
    fn default() -> Self {
        Self::new()
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
        let table = LimitTable::new();
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
        let table = LimitTable::new();
        assert!(table.bytes() < 256);
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
        let (table, keys) = (LimitTable::new(), rivals(3 * KEYS * LEVELS.len()));
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
    fn the_oldest_of_a_place_is_evicted_and_comes_back_no_earlier() {
        let table = LimitTable::new();
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

    #[test]
    fn no_change_is_lost_whatever_the_threads_do() {
        let table = LimitTable::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for step in 0..40_000_u64 {
                        add(&table, 1 + step % 4, 1, 1);
                    }
                });
            }
        });
        let all: u64 = (1..=4).map(|key| add(&table, key, 1, 0) - 1).sum();
        // One for each thread and key that came at the same time.
        assert!((160_000 - 16..=160_000).contains(&all), "{all}");
    }
}
