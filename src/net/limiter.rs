//! How many connections there may be: of all clients, and of each.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Of all clients; what comes beyond waits in the kernel's queue.
    pub connections_max: NonZeroUsize,
    /// Of one client, if that is bounded; what comes beyond is reset. A client is an IPv4 address, or
    /// a /64 of IPv6 addresses.
    pub per_client_max: Option<NonZeroUsize>,
}

/// Counts the connections of all workers. Touched when one is accepted and when it ends, never
/// between.
///
/// Each worker has one of its own, made by [`another`](Self::another), over what all have in common: a permit holds its
/// worker's, so that the count of references to it, too, is written by one core.
#[derive(Debug)]
#[repr(align(128))]
pub struct ConnectionLimiter {
    common: Arc<Common>,
}

/// What all workers write for each connection: one pair of cache lines, which they have to pass on anyway.
#[derive(Debug)]
#[repr(align(128))]
struct Common {
    open: AtomicUsize,
    connections_max: AtomicUsize,
    /// 0: not bounded.
    per_client_max: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, usize>>,
    room: Notify,
}

/// There are as many connections of this address as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl ConnectionLimiter {
    /// With no connections yet.
    pub fn new(capacity: Capacity) -> Arc<Self> {
        let common = Common {
            open: AtomicUsize::new(0),
            connections_max: AtomicUsize::new(0),
            per_client_max: AtomicUsize::new(0),
            clients: Mutex::default(),
            room: Notify::new(),
        };
        let limiter = Self { common: Arc::new(common) };
        limiter.set(capacity);
        Arc::new(limiter)
    }

    /// The same, for another worker.
    #[must_use]
    pub fn another(&self) -> Arc<Self> {
        Arc::new(Self { common: Arc::clone(&self.common) })
    }

    /// Applies other limits from now on; established connections stay.
    pub fn set(&self, capacity: Capacity) {
        let per_client = capacity.per_client_max.map_or(0, NonZeroUsize::get);
        self.common.connections_max.store(capacity.connections_max.get(), Ordering::Relaxed);
        self.common.per_client_max.store(per_client, Ordering::Relaxed);
        self.common.room.notify_waiters();
    }

    /// How many are inside.
    pub fn open(&self) -> usize {
        self.common.open.load(Ordering::Relaxed)
    }

    /// How many may be.
    pub fn connections_max(&self) -> usize {
        self.common.connections_max.load(Ordering::Relaxed)
    }

    /// Lets a connection in, if there is room.
    pub fn try_enter(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let max = self.common.connections_max.load(Ordering::Relaxed);
        let more = |open: usize| (open < max).then_some(open + 1);
        let entered = self.common.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.ok().map(|_| ConnectionPermit { limiter: Arc::clone(self), client: None })
    }

    /// Lets a connection in, be there room or not: one that the kernel has accepted for a listener
    /// that is being closed.
    pub fn enter_anyway(self: &Arc<Self>) -> ConnectionPermit {
        self.common.open.fetch_add(1, Ordering::Relaxed);
        ConnectionPermit { limiter: Arc::clone(self), client: None }
    }

    /// Lets a connection in as soon as there is room.
    pub async fn enter(self: &Arc<Self>) -> ConnectionPermit {
        loop {
            // Before the look, so that room that is made after it is not missed.
            let room = self.common.room.notified();
            if let Some(permit) = self.try_enter() {
                // More may have left than the one whose room this was: those have told nobody.
                if self.open() < self.connections_max() {
                    self.common.room.notify_one();
                }
                return permit;
            }
            room.await;
        }
    }

    /// Nobody waits unless there was no room, so only then is somebody told: that is a write for each connection that
    /// ends.
    fn leave(&self) {
        if self.common.open.fetch_sub(1, Ordering::Relaxed) >= self.connections_max() {
            self.common.room.notify_one();
        }
    }

    /// A panic elsewhere poisons the lock, but the count is still a valid count.
    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.common.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The presence of a connection; it has left when this is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    /// Whom it is counted for; boxed, since most gates do not ask.
    client: Option<Box<IpAddr>>,
}

impl ConnectionPermit {
    /// From a limiter of its own: for a connection that is not limited.
    pub fn alone() -> Self {
        ConnectionLimiter::new(Capacity {
            connections_max: NonZeroUsize::MAX,
            per_client_max: None,
        })
        .enter_anyway()
    }

    /// Counts it for an address, though there be too many of that: it has been let in elsewhere.
    pub fn name_anyway(&mut self, client: Option<IpAddr>) {
        if let (1.., Some(client)) =
            (self.limiter.common.per_client_max.load(Ordering::Relaxed), client)
        {
            let client = counted(client);
            *self.limiter.clients().entry(client).or_insert(0) += 1;
            self.client = Some(Box::new(client));
        }
    }

    /// Counts it for an address, where these are bounded.
    pub fn name(&mut self, client: Option<IpAddr>) -> Result<(), TooMany> {
        let max = self.limiter.common.per_client_max.load(Ordering::Relaxed);
        let (1.., Some(client)) = (max, client) else { return Ok(()) };
        let client = counted(client);
        let mut clients = self.limiter.clients();
        let count = clients.entry(client).or_insert(0);
        if *count >= max {
            return Err(TooMany);
        }
        *count += 1;
        drop(clients);
        self.client = Some(Box::new(client));
        Ok(())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let mut clients = self.limiter.clients();
            if let Some(count) = clients.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    clients.remove(&client);
                }
            }
        }
        self.limiter.leave();
    }
}

/// What connections from an address are counted under. A subscriber has a /64 of IPv6 at least, and
/// can open each connection from another address of it (RFC 6177); an IPv4 address that is written as
/// one of IPv6 is the same client.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn limiter(connections_max: usize, per_client_max: usize) -> Arc<ConnectionLimiter> {
        let connections_max = NonZeroUsize::new(connections_max).unwrap();
        ConnectionLimiter::new(Capacity {
            connections_max,
            per_client_max: NonZeroUsize::new(per_client_max),
        })
    }

    #[test]
    fn who_finds_no_room_waits_until_somebody_leaves() {
        let limiter = limiter(1, 0);
        let first = limiter.try_enter().unwrap();
        assert!(limiter.try_enter().is_none());
        let mut cx = Context::from_waker(Waker::noop());
        let mut entering = pin!(limiter.enter());
        assert!(entering.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert!(matches!(entering.as_mut().poll(&mut cx), Poll::Ready(_)));
    }

    #[test]
    fn of_two_who_leave_at_once_each_lets_one_in() {
        let limiter = limiter(2, 0);
        let both = [limiter.try_enter(), limiter.another().try_enter()];
        let mut cx = Context::from_waker(Waker::noop());
        let (mut one, mut other) = (pin!(limiter.enter()), pin!(limiter.enter()));
        assert!(
            one.as_mut().poll(&mut cx).is_pending() && other.as_mut().poll(&mut cx).is_pending()
        );
        drop(both);
        let entered = one.as_mut().poll(&mut cx);
        assert!(entered.is_ready() && other.as_mut().poll(&mut cx).is_ready());
    }

    /// A worker writes the references to its own one, and all write what they have in common.
    #[test]
    fn what_workers_have_of_their_own_and_in_common_lies_apart() {
        let limiter = limiter(1, 0);
        let others = [limiter.another(), limiter.another()];
        let lines = |limiter: &Arc<ConnectionLimiter>| Arc::as_ptr(limiter).addr() / 128;
        assert_ne!(lines(&others[0]), lines(&others[1]));
        assert_eq!(Arc::as_ptr(&limiter.common), Arc::as_ptr(&others[0].common));
        assert_eq!((size_of::<Common>(), align_of::<Common>()), (128, 128));
    }

    #[test]
    fn more_room_lets_those_in_who_wait() {
        let limiter = limiter(1, 0);
        let _first = limiter.try_enter();
        let mut cx = Context::from_waker(Waker::noop());
        let mut entering = pin!(limiter.enter());
        assert!(entering.as_mut().poll(&mut cx).is_pending());
        let two = NonZeroUsize::new(2).unwrap();
        limiter.set(Capacity { connections_max: two, per_client_max: None });
        assert!(entering.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn each_address_is_counted_by_itself_and_forgotten_when_it_has_left() {
        let limiter = limiter(9, 1);
        let named = |address: &str| {
            let mut permit = limiter.try_enter().unwrap();
            permit.name(Some(address.parse().unwrap())).map(|()| permit)
        };
        let one = named("192.0.2.1").unwrap();
        let _other = named("192.0.2.2").unwrap();
        assert_eq!(named("::ffff:192.0.2.1").err(), Some(TooMany));
        drop(one);
        drop(named("192.0.2.1").unwrap());
        assert_eq!((limiter.clients().len(), limiter.open()), (1, 1));
    }

    #[test]
    fn ipv6_is_counted_by_the_64_bits_of_a_subscriber() {
        let limiter = limiter(9, 1);
        let named = |address: &str| {
            let mut permit = limiter.try_enter().unwrap();
            permit.name(Some(address.parse().unwrap())).map(|()| permit)
        };
        let one = named("2001:db8:0:1::1").unwrap();
        assert_eq!(named("2001:db8:0:1:ffff:ffff:ffff:ffff").err(), Some(TooMany));
        let _other = named("2001:db8:0:2::1").unwrap();
        drop(one);
        named("2001:db8:0:1::2").unwrap();
    }
}
