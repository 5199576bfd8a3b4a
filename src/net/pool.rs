//! Idle connections to one endpoint, kept by one worker.
//!
//! Last in, first out: the connection used last is the least likely to have been given up by the
//! other side, and the ones at the bottom may grow old and go.
//!
//! With several workers, those that one does not need for itself lie on the [`Shelf`] that all share. A worker comes
//! there when it has none of its own. If it comes often ([`Habit`](super::shelf::Habit)), what it has leased is its
//! own from then on, and goes back and forth without a look at the shelf. What it has not used for a while goes to
//! the shelf with the next sweep.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lease::{Ending, Idle, Lease, Origin};
use super::shared::SharedConnections;
use super::shelf::Shelf;
use super::socket::Unasked;
use crate::upstream::settings::Keeping;

/// Why a connection was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPooled {
    /// As many are kept already as may be.
    Full,
    /// The endpoint has ended it, or sent bytes nobody asked for.
    NotQuiet,
}

/// The connections to one endpoint that can be used again.
pub struct Pool {
    idle: Vec<Idle>,
    idle_timeout: Duration,
    idle_max: u32,
    /// How many of these it keeps for itself.
    own_max: u32,
    sharing: Option<Sharing>,
    /// Those of HTTP/2, which are never leased: requests share them.
    pub shared: SharedConnections,
}

/// What one worker knows of the shelf.
struct Sharing {
    shelf: Arc<Shelf>,
    /// When it last put one there.
    put: Option<Instant>,
    /// When it last had none of its own, as [`Shelf::millis`] counts.
    missed: u32,
    /// How often in a row that was soon after the last time.
    streak: u8,
}

/// A time in milliseconds that is not soon before any, unless Evener has run for 24 days.
const LONG_AGO: u32 = 1 << 31;

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// Empty, and keeping nothing until told to.
    pub fn new() -> Self {
        let (idle, shared) = (Vec::new(), SharedConnections::default());
        let idle_timeout = Duration::ZERO;
        Self { idle, idle_timeout, idle_max: 0, own_max: 0, sharing: None, shared }
    }

    /// Closes all there are, and keeps none any more. What waits for a connection that is being opened gets
    /// it.
    pub fn close(&mut self) {
        self.shared.retire();
        let shared = mem::take(&mut self.shared);
        *self = Self { shared, ..Self::new() };
    }

    /// By which rules it goes.
    pub fn keeping(&self) -> Keeping {
        Keeping { idle_max: self.idle_max as usize, idle_timeout: self.idle_timeout }
    }

    /// Goes by other rules from now on, and shares this shelf with other workers if there is one.
    pub fn set_keeping(&mut self, keeping: Keeping, shared: Option<&Arc<Shelf>>) {
        self.idle_timeout = keeping.idle_timeout;
        self.idle_max = u32::try_from(keeping.idle_max).unwrap_or(u32::MAX);
        let known = self.sharing.take();
        self.sharing = shared.map(|shelf| {
            let same = known.filter(|known| Arc::ptr_eq(&known.shelf, shelf));
            let new =
                || Sharing { shelf: Arc::clone(shelf), put: None, missed: LONG_AGO, streak: 0 };
            same.unwrap_or_else(new)
        });
        self.own_max = self.idle_max - self.given_up();
        let surplus = self.idle.len().saturating_sub(self.own_max as usize);
        self.idle.drain(..surplus);
    }

    /// How many of those that it may keep it gives up for room on the shelf: all workers together keep no
    /// more than without one.
    fn given_up(&self) -> u32 {
        let divided = |sharing: &Sharing| self.idle_max.div_ceil(sharing.shelf.workers());
        self.sharing.as_ref().map_or(0, divided)
    }

    /// Closes the half that was used least recently: their descriptors are needed elsewhere.
    pub fn shed(&mut self) {
        let half = self.idle.len().div_ceil(2);
        self.idle.drain(..half);
        if let Some(sharing) = &self.sharing {
            sharing.shelf.shed();
        }
    }

    /// Takes out all that are quiet and whose last answer was certainly complete, those on the shelf included: they
    /// are to go to another process.
    pub fn take(&mut self, now: Instant) -> Vec<Lease> {
        let shelved = self.sharing.as_ref().map(|sharing| sharing.shelf.take_all());
        let all = mem::take(&mut self.idle).into_iter().chain(shelved.unwrap_or_default());
        let ready = all.filter(|idle| idle.is_ready(now));
        let quiet = ready.filter(|idle| idle.lease.stream.unasked() == Unasked::Nothing);
        quiet.map(|idle| idle.lease).collect()
    }

    /// When an exchange last gave a connection back, as far as that can be told without a note for each.
    pub fn last_put(&self) -> Option<Instant> {
        let own = self.idle.last().map(|idle| idle.since);
        let shelved = self.sharing.as_ref().and_then(|sharing| sharing.put);
        own.max(shelved)
    }

    /// How many there are, without those on the shelf.
    pub fn len(&self) -> usize {
        self.idle.len() + self.shared.idle()
    }

    /// Whether there are none, likewise.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the connection that was kept last, if it is still of use; drops those that are not.
    #[inline]
    pub fn lease(&mut self, now: Instant) -> Option<Lease> {
        while let Some(last) = self.idle.iter().rposition(|idle| idle.is_ready(now)) {
            let Idle { lease, since, .. } = self.idle.remove(last);
            if now.duration_since(since) >= self.idle_timeout {
                // Whatever lies below is older still.
                self.idle.drain(..last);
                return None;
            }
            if lease.stream.unasked() == Unasked::Nothing {
                return Some(Lease { origin: Origin::Pool, ..lease });
            }
        }
        None
    }

    /// Takes the one that was put on the shelf last, where [`Pool::lease`] has found none.
    pub fn lease_shelved(&mut self, now: Instant) -> Option<Lease> {
        let sharing = self.sharing.as_mut()?;
        let (at, window) = (sharing.shelf.millis(now), sharing.shelf.habit().window);
        let since = at.wrapping_sub(mem::replace(&mut sharing.missed, at));
        let is_soon = u128::from(since) < window.as_millis();
        sharing.streak = if is_soon { sharing.streak.saturating_add(1) } else { 0 };
        sharing.shelf.take(now, self.idle_timeout)
    }

    /// Keeps a connection whose last exchange ended cleanly.
    pub fn put(&mut self, lease: Lease, ending: Ending, now: Instant) -> Result<(), NotPooled> {
        if lease.origin != Origin::Pool || self.idle.len() >= self.own_max as usize {
            return self.place(lease, ending, now);
        }
        if lease.stream.unasked() != Unasked::Nothing {
            return Err(NotPooled::NotQuiet);
        }
        self.idle.push(Idle::new(lease, ending, now));
        Ok(())
    }

    /// Finds a place for one that it has not had among its own, or not any more.
    #[cold]
    fn place(&mut self, lease: Lease, ending: Ending, now: Instant) -> Result<(), NotPooled> {
        if self.idle_max == 0 {
            return Err(NotPooled::Full);
        }
        if lease.stream.unasked() != Unasked::Nothing {
            return Err(NotPooled::NotQuiet);
        }
        if lease.origin == Origin::Opened {
            // Not when it was opened: one that is never idle does not need it.
            lease.stream.keep_alive();
        }
        let has_room = self.idle.len() < self.own_max as usize;
        let idle = Idle::new(lease, ending, now);
        let max = self.shelf_max();
        let takes = |sharing: &Sharing| {
            let stays = has_room && sharing.streak >= sharing.shelf.habit().times;
            !stays && sharing.shelf.len() < max
        };
        let is_kept = if let Some(sharing) = self.sharing.as_mut().filter(|known| takes(known)) {
            sharing.put = Some(now);
            sharing.shelf.put(idle, max)
        } else {
            if has_room {
                self.idle.push(idle);
            }
            has_room
        };
        is_kept.then_some(()).ok_or(NotPooled::Full)
    }

    /// How many the shelf has room for.
    fn shelf_max(&self) -> usize {
        let workers = self.sharing.as_ref().map_or(0, |sharing| sharing.shelf.workers());
        self.given_up() as usize * workers as usize
    }

    /// Drops what has become useless: too old, ended by the endpoint, or spoken to out of turn. What other workers may
    /// need more goes to the shelf.
    pub fn sweep(&mut self, now: Instant) {
        self.shared.sweep();
        if self.idle.is_empty() {
            return;
        }
        let idle_timeout = self.idle_timeout;
        self.idle.retain(|idle| {
            idle.age(now) < idle_timeout && idle.lease.stream.unasked() == Unasked::Nothing
        });
        let Some(Sharing { shelf, .. }) = &self.sharing else { return };
        let unused = self.idle.partition_point(|idle| idle.age(now) >= shelf.habit().window);
        let max = self.shelf_max();
        for idle in self.idle.drain(..unused.min(max.saturating_sub(shelf.len()))) {
            shelf.put(idle, max);
        }
    }

    /// The same for those on the shelf, which is for one worker to do; returns how many are left.
    pub fn sweep_shelf(&self, now: Instant) -> usize {
        let Some(Sharing { shelf, .. }) = &self.sharing else { return 0 };
        shelf.sweep(now, self.idle_timeout, self.shelf_max());
        shelf.len()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as StdUnixStream;

    use super::*;
    use crate::net::lease::QUARANTINE;
    use crate::net::socket::Socket;
    use crate::net::stream::Stream;

    const KEEPING: Keeping = Keeping { idle_max: 2, idle_timeout: Duration::from_secs(50) };

    fn keeping() -> Pool {
        let mut pool = Pool::new();
        pool.set_keeping(KEEPING, None);
        pool
    }

    fn pair() -> (Lease, StdUnixStream) {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = tokio::net::UnixStream::from_std(ours).unwrap();
        (Lease::new(Stream::Plain(Socket::Unix(stream))), theirs)
    }

    /// Lets the reactor report what the kernel knows.
    async fn settle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_kept_is_leased_first() {
        let mut pool = keeping();
        let ((first, _a), (second, mut b)) = (pair(), pair());
        pool.put(first, Ending::Framed, Instant::now()).unwrap();
        pool.put(second, Ending::Framed, Instant::now()).unwrap();
        let leased = pool.lease(Instant::now()).unwrap();
        b.write_all(b"x").unwrap();
        settle().await;
        assert_eq!(leased.stream.unasked(), Unasked::Bytes);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pool_is_capped() {
        let mut pool = keeping();
        let peers: Vec<_> = (0..3).map(|_| pair()).collect();
        let mut results = Vec::new();
        let mut held = Vec::new();
        for (stream, peer) in peers {
            results.push(pool.put(stream, Ending::Framed, Instant::now()));
            held.push(peer);
        }
        assert_eq!(results, [Ok(()), Ok(()), Err(NotPooled::Full)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_connection_is_not_leased() {
        let mut pool = keeping();
        let (stream, peer) = pair();
        pool.put(stream, Ending::Framed, Instant::now()).unwrap();
        drop(peer);
        settle().await;
        assert!(pool.lease(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_unasked_bytes_is_neither_kept_nor_leased() {
        let mut pool = keeping();
        let ((stream, mut peer), (noisy, mut other)) = (pair(), pair());
        pool.put(stream, Ending::Framed, Instant::now()).unwrap();
        peer.write_all(b"x").unwrap();
        other.write_all(b"x").unwrap();
        settle().await;
        assert_eq!(pool.put(noisy, Ending::Framed, Instant::now()), Err(NotPooled::NotQuiet));
        assert!(pool.lease(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_announced_body_that_must_not_come_a_connection_waits_for_it() {
        let mut pool = keeping();
        let ((good, _kept), (bad, mut peer)) = (pair(), pair());
        pool.put(good, Ending::Announced, Instant::now()).unwrap();
        pool.put(bad, Ending::Announced, Instant::now()).unwrap();
        assert!(pool.lease(Instant::now()).is_none());
        peer.write_all(b"x").unwrap();
        tokio::time::sleep(QUARANTINE).await;
        assert!(pool.lease(Instant::now()).is_some());
        assert!(pool.lease(Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_by_other_rules_is_dropped() {
        let mut pool = keeping();
        let ((first, _a), (second, _b), (third, _c)) = (pair(), pair(), pair());
        pool.put(first, Ending::Framed, Instant::now()).unwrap();
        pool.put(second, Ending::Framed, Instant::now()).unwrap();
        pool.set_keeping(Keeping { idle_max: 1, ..KEEPING }, None);
        assert_eq!(pool.len(), 1);
        pool.close();
        assert!(pool.is_empty());
        assert_eq!(pool.put(third, Ending::Framed, Instant::now()), Err(NotPooled::Full));
    }

    #[tokio::test(start_paused = true)]
    async fn the_older_half_goes_where_descriptors_are_needed() {
        let mut pool = keeping();
        let ((first, mut older), (second, _b)) = (pair(), pair());
        pool.put(first, Ending::Framed, Instant::now()).unwrap();
        pool.put(second, Ending::Framed, Instant::now()).unwrap();
        pool.shed();
        assert_eq!((pool.len(), older.read(&mut [0]).unwrap()), (1, 0));
        pool.shed();
        assert!(pool.is_empty());
    }

    #[tokio::test]
    async fn a_connection_that_is_kept_probes_a_silent_peer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = Stream::tcp(tokio::net::TcpStream::connect(address).await.unwrap());
        let _peer = listener.accept().unwrap();
        let mut pool = keeping();
        pool.put(Lease::new(stream), Ending::Framed, Instant::now()).unwrap();
        let Some(Lease { stream: Stream::Plain(Socket::Tcp(stream)), .. }) =
            pool.lease(Instant::now())
        else {
            panic!("not kept")
        };
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), crate::net::keep_alive::IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_too_long_is_swept() {
        let mut pool = keeping();
        let (stream, _peer) = pair();
        pool.put(stream, Ending::Framed, Instant::now()).unwrap();
        tokio::time::advance(KEEPING.idle_timeout).await;
        pool.sweep(Instant::now());
        assert!(pool.idle.is_empty());
    }
}
