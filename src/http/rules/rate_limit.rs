//! How many requests a client, or whoever sends some header, may make in a time: a token bucket for each, told by one
//! number, the instant at which it will be full again (the generic cell rate algorithm, ITU-T I.371).
//!
//! Not the crate governor: it keeps keys in a map with a lock for each shard, which grows with every key that comes until
//! all of it is swept; keys here are in a bounded [`LimitTable`] without locks.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::client_hash::ClientHash;
use super::limit_table::{LimitTable, TableMemory};

/// Instants are counted in sixteenths of a nanosecond, in 64 bits: they last for 36 years. The time for one request is rounded
/// up to them, which is one request in 1.6 million at 10 000 a second, and one in 16 000 at the highest rate.
const TICKS_PER_NANOSECOND: u128 = 16;

/// The highest rate, in requests a second, minute or hour.
pub const RATE_MAX: u32 = 1_000_000;

/// The largest burst, in requests.
pub const BURST_MAX: u32 = 1_000_000;

/// The longest time in which a burst may come back.
pub const REFILL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a rate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatePeriod {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl RatePeriod {
    /// Its length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// How it is written.
    pub const fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
        }
    }
}

/// A number of requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; [`RATE_MAX`] at most.
    pub requests: NonZeroU32,
    /// In which time.
    pub period: RatePeriod,
}

impl Rate {
    /// One second's worth, at least 1.
    pub fn per_second(self) -> NonZeroU32 {
        NonZeroU32::new(self.requests.get() / self.period.seconds()).unwrap_or(NonZeroU32::MIN)
    }

    /// The time for one request, in ticks. Rounded up, so that no more are admitted.
    fn interval(self) -> u64 {
        let period = u128::from(self.period.seconds()) * 1_000_000_000 * TICKS_PER_NANOSECOND;
        period.div_ceil(u128::from(self.requests.get())).try_into().unwrap_or(u64::MAX)
    }

    /// In which time this many requests are allowed again.
    pub fn time_for(self, requests: NonZeroU32) -> Duration {
        let ticks = u128::from(self.interval()) * u128::from(requests.get());
        Duration::from_nanos(u64::try_from(ticks / TICKS_PER_NANOSECOND).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.period.letter())
    }
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// Those of one client: one address of IPv4, one /64 network of IPv6, which is what one client has. Those without an
    /// address (a Unix socket) are one client.
    Client,
    /// Those with the same value of this header. Those without it are together.
    Header(Box<str>),
    /// All of the route.
    Route,
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Route => f.write_str("route"),
        }
    }
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many requests over a long time.
    pub rate: Rate,
    /// How many at once after a pause.
    pub burst: NonZeroU32,
    /// Whose.
    pub by: LimitKey,
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, burst {}, by {}", self.rate, self.burst, self.by)
    }
}

/// A request is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateExceeded {
    /// In how many seconds the next one is admitted, rounded up; at least 1.
    pub retry_after: u64,
}

/// A word on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OwnLine(AtomicU64);

/// What is known of the keys of a limit.
#[derive(Debug)]
enum Known {
    One(OwnLine),
    Many { table: LimitTable, secret: RandomState, client_hash: ClientHash },
}

/// A limit with what has been used of it, for all workers.
///
/// Over any time, from the instant of one request to that of another, a key is admitted `burst` requests and those that its
/// rate allows in this time, rounded down, and no more, however many threads ask. If there are always more, it is exactly
/// as many: each request that is admitted moves the key's instant by the time for one request, and one is refused only
/// if that would move it by more than the burst past now. So it does not matter which threads ask, in which order, and whether
/// one that is held up asks with an instant that others have passed.
#[derive(Debug)]
pub struct RateLimiter {
    limit: RateLimit,
    /// The time for one request, in ticks.
    interval: u64,
    /// The time for a burst, in ticks.
    burst: u64,
    /// Tick 0.
    origin: Instant,
    known: Known,
}

impl RateLimiter {
    /// A limit of which nothing has been used. `secret` is what nobody may know who chooses keys; `now` comes before all
    /// other instants.
    pub fn new(limit: RateLimit, secret: RandomState, now: Instant) -> Self {
        let interval = limit.rate.interval();
        let burst = interval.saturating_mul(limit.burst.get().into());
        let known = match limit.by {
            LimitKey::Route => Known::One(OwnLine::default()),
            LimitKey::Client | LimitKey::Header(_) => {
                let table = LimitTable::new(TableMemory::of_process());
                Known::Many { table, client_hash: ClientHash::new(&secret), secret }
            }
        };
        Self { limit, interval, burst, origin: now, known }
    }

    /// The limit.
    pub fn limit(&self) -> &RateLimit {
        &self.limit
    }

    /// Admits a request of this client, or says when the next one will be.
    ///
    /// # Errors
    ///
    /// There have been too many.
    pub fn admit_client(&self, client: Option<IpAddr>, now: Instant) -> Result<(), RateExceeded> {
        self.admit(now, |_, hash| hash.of(client))
    }

    /// The same of a request with this value of the header, or without it.
    ///
    /// # Errors
    ///
    /// There have been too many.
    pub fn admit_value(&self, value: Option<&[u8]>, now: Instant) -> Result<(), RateExceeded> {
        self.admit(now, |secret, _| secret.hash_one(value))
    }

    fn admit(
        &self,
        now: Instant,
        hash: impl FnOnce(&RandomState, &ClientHash) -> u64,
    ) -> Result<(), RateExceeded> {
        let now = self.ticks(now);
        match &self.known {
            Known::One(OwnLine(instant)) => {
                // Nothing else depends on the word.
                let next = |known: u64| self.next(known.max(now), now).ok();
                match instant.fetch_update(Relaxed, Relaxed, next) {
                    Ok(_) => Ok(()),
                    Err(known) => self.next(known.max(now), now).map(drop),
                }
            }
            Known::Many { table, secret, client_hash } => {
                table.change(hash(secret, client_hash), now, |known| self.next(known, now))
            }
        }
    }

    /// The same of any request of the route.
    ///
    /// # Errors
    ///
    /// There have been too many.
    pub fn admit_any(&self, now: Instant) -> Result<(), RateExceeded> {
        self.admit_value(None, now)
    }

    /// How many keys were evicted, because there were too many, before their whole burst was there again.
    pub fn evicted(&self) -> u64 {
        match &self.known {
            Known::One(_) => 0,
            Known::Many { table, .. } => table.evicted(),
        }
    }

    /// The instant at which the burst is there again after one more request; until now it was `instant`.
    fn next(&self, instant: u64, now: u64) -> Result<u64, RateExceeded> {
        let next = instant.saturating_add(self.interval);
        let excess = next.saturating_sub(now).saturating_sub(self.burst);
        if excess == 0 {
            return Ok(next);
        }
        let second = u64::try_from(1_000_000_000 * TICKS_PER_NANOSECOND).unwrap_or(u64::MAX);
        Err(RateExceeded { retry_after: excess.div_ceil(second) })
    }

    fn ticks(&self, now: Instant) -> u64 {
        let ticks = now.saturating_duration_since(self.origin).as_nanos() * TICKS_PER_NANOSECOND;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

/// The same limit, whatever has been used of it.
impl PartialEq for RateLimiter {
    fn eq(&self, other: &Self) -> bool {
        self.limit == other.limit
    }
}

impl Eq for RateLimiter {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn limiter(requests: u32, period: RatePeriod, burst: u32, by: LimitKey) -> RateLimiter {
        let rate = Rate { requests: NonZeroU32::new(requests).unwrap(), period };
        let limit = RateLimit { rate, burst: NonZeroU32::new(burst).unwrap(), by };
        RateLimiter::new(limit, RandomState::new(), origin())
    }

    /// One instant for all of a test.
    fn origin() -> Instant {
        static ORIGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *ORIGIN
    }

    fn at(seconds: f64) -> Instant {
        origin() + Duration::from_secs_f64(seconds)
    }

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn what_is_known_of_the_only_key_has_cache_lines_of_its_own() {
        assert_eq!((size_of::<OwnLine>(), align_of::<OwnLine>()), (128, 128));
    }

    #[test]
    fn a_burst_then_the_rate() {
        let limiter = limiter(10, RatePeriod::Second, 3, LimitKey::Route);
        let admitted = |seconds| limiter.admit_any(at(seconds)).is_ok();
        assert_eq!([0.0, 0.0, 0.0, 0.0, 0.05].map(admitted), [true, true, true, false, false]);
        assert_eq!([0.1, 0.1, 0.19, 0.2].map(admitted), [true, false, false, true]);
        assert_eq!([9.0, 9.0, 9.0, 9.0].map(admitted), [true, true, true, false]);
    }

    #[test]
    fn the_next_request_is_admitted_when_it_was_said_and_no_earlier() {
        for (requests, period, burst, retry_after) in [
            (1, RatePeriod::Second, 1, 1),
            (7, RatePeriod::Minute, 2, 9),
            (1, RatePeriod::Hour, 1, 3600),
            (1000, RatePeriod::Hour, 5, 4),
            (1_000_000, RatePeriod::Second, 1_000_000, 1),
        ] {
            let limiter = limiter(requests, period, burst, LimitKey::Client);
            let admit = |seconds: f64| limiter.admit_client(address("192.0.2.1"), at(seconds));
            for _ in 0..burst {
                assert_eq!(admit(0.0), Ok(()));
            }
            assert_eq!(admit(0.0), Err(RateExceeded { retry_after }), "{}", limiter.limit());
            let interval = f64::from(period.seconds()) / f64::from(requests);
            assert!(admit(interval * 0.99).is_err());
            assert_eq!(admit(f64::from(u32::try_from(retry_after).unwrap())), Ok(()));
        }
    }

    #[test]
    fn clients_are_apart_by_address_and_by_network_of_ipv6() {
        let limiter = limiter(1, RatePeriod::Hour, 1, LimitKey::Client);
        let rows = [
            ("192.0.2.1", true),
            ("192.0.2.2", true),
            ("::ffff:192.0.2.1", false),
            ("2001:db8:0:1::1", true),
            ("2001:db8:0:1:ffff::2", false),
            ("2001:db8:0:2::1", true),
            ("2001:db8:0:2::1", false),
        ];
        for (client, expected) in rows {
            assert_eq!(
                limiter.admit_client(address(client), at(0.0)).is_ok(),
                expected,
                "{client}"
            );
        }
        assert_eq!([None, None].map(|of| limiter.admit_client(of, at(0.0)).is_ok()), [true, false]);
    }

    #[test]
    fn requests_without_the_header_are_together_and_apart_from_an_empty_one() {
        let limiter = limiter(1, RatePeriod::Hour, 1, LimitKey::Header("x-key".into()));
        let keys: [Option<&[u8]>; 7] =
            [None, None, Some(b""), Some(b""), Some(b"a"), Some(b"b"), Some(b"a")];
        let admitted = keys.map(|key| limiter.admit_value(key, at(0.0)).is_ok());
        assert_eq!(admitted, [true, false, true, false, true, true, false]);
    }

    /// How many of one client get in. The instants of a second come in steps of 100 µs, and twice as many requests as are
    /// allowed; each thread's clock goes up to `skew` steps wrong, another way at each step.
    fn admitted_of_threads(limiter: &RateLimiter, threads: u64, skew: u64) -> u32 {
        const STEP: Duration = Duration::from_micros(100);
        let admit = |now| u32::from(limiter.admit_client(address("192.0.2.1"), now).is_ok());
        let first: u32 = (0..200).map(|_| admit(origin() + STEP * 100)).sum();
        assert_eq!(first, 100, "the burst");
        let work = |thread: u64| {
            let steps = (0..10_000_u32).map(|step| {
                let wrong = crate::hash::below(crate::hash::nth(thread, step.into()), 1 + 2 * skew);
                origin() + STEP * (100 + step + u32::try_from(wrong).unwrap())
            });
            steps.map(|now| admit(now) + admit(now)).sum::<u32>()
        };
        let later: u32 = std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..threads).map(|of| scope.spawn(move || work(of))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let last = origin() + STEP * 10_100 + STEP * u32::try_from(2 * skew).unwrap();
        let rest: u32 = (0..100 + 2 * skew).map(|_| admit(last)).sum();
        first + later + rest
    }

    #[test]
    fn any_number_of_threads_get_exactly_what_one_would() {
        for by in [LimitKey::Client, LimitKey::Route] {
            for (threads, skew) in [(1, 0), (2, 0), (2, 20), (8, 20)] {
                let limiter = limiter(10_000, RatePeriod::Second, 100, by.clone());
                let admitted = admitted_of_threads(&limiter, threads, skew);
                let expected = 100 + 10_000 + u32::try_from(2 * skew).unwrap();
                assert_eq!(admitted, expected, "{by}, {threads} threads, {skew} steps");
            }
        }
    }

    #[test]
    fn threads_that_bring_a_client_at_the_same_time_share_its_burst() {
        let limiter = limiter(1, RatePeriod::Hour, 3, LimitKey::Client);
        let admitted: Vec<AtomicU32> = (0..20_000).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for (client, admitted) in (0_u32..).zip(&admitted) {
                        let client = Some(IpAddr::from(client.to_be_bytes()));
                        let is_ok = || limiter.admit_client(client, at(0.0)).is_ok();
                        admitted.fetch_add(u32::from(is_ok()) + u32::from(is_ok()), Relaxed);
                    }
                });
            }
        });
        assert!(admitted.into_iter().all(|admitted| admitted.into_inner() == 3));
    }

    /// A bucket that is filled bit by bit, in the simplest way: in thousandths of a token.
    struct Bucket {
        tokens: u64,
        filled: u64,
    }

    #[test]
    fn it_admits_what_a_bucket_of_tokens_admits() {
        for seed in 0..100 {
            let random = |place, below| crate::hash::below(crate::hash::nth(seed, place), below);
            // A thousandth of a token each millisecond for each of these; and whole numbers of ticks for a token.
            let rates = [1, 2, 5, 8, 10, 20, 40, 50];
            let rate: u64 = rates[usize::try_from(random(0, 8)).unwrap()];
            let burst = 1 + random(1, 20);
            let [requests, burst_max] = [rate, burst].map(|number| u32::try_from(number).unwrap());
            let limiter = limiter(requests, RatePeriod::Second, burst_max, LimitKey::Client);
            let full = 1000 * burst;
            let mut buckets: [_; 3] = std::array::from_fn(|_| Bucket { tokens: full, filled: 0 });
            let mut now = 0;
            for step in 0..1000 {
                now += random(2 + 2 * step, 2000 / rate);
                let client = random(3 + 2 * step, 3);
                let bucket = &mut buckets[usize::try_from(client).unwrap()];
                bucket.tokens = full.min(bucket.tokens + (now - bucket.filled) * rate);
                bucket.filled = now;
                let expected = bucket.tokens >= 1000;
                bucket.tokens -= if expected { 1000 } else { 0 };
                let client = address(&format!("192.0.2.{client}"));
                let admitted = limiter.admit_client(client, origin() + Duration::from_millis(now));
                assert_eq!(admitted.is_ok(), expected, "seed {seed}, step {step}");
            }
        }
    }

    #[test]
    fn many_clients_gain_nothing() {
        let limiter = limiter(1, RatePeriod::Hour, 1, LimitKey::Client);
        let (mut admitted, clients) = (0, 280_000_u32);
        for seconds in [0.0, 1.0] {
            for client in 0..clients {
                let client = Some(IpAddr::from(client.to_be_bytes()));
                admitted += u32::from(limiter.admit_client(client, at(seconds)).is_ok());
            }
        }
        assert!(admitted <= clients && limiter.evicted() > 0, "{admitted}");
    }

    #[test]
    fn the_burst_is_a_second_of_the_rate() {
        let per_second = |requests, period| {
            Rate { requests: NonZeroU32::new(requests).unwrap(), period }.per_second().get()
        };
        assert_eq!(per_second(100, RatePeriod::Second), 100);
        assert_eq!(per_second(120, RatePeriod::Minute), 2);
        assert_eq!(per_second(119, RatePeriod::Minute), 1);
        assert_eq!(per_second(1, RatePeriod::Hour), 1);
    }
}
