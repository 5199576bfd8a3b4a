//! Idle connections to one endpoint, kept by one worker.
//!
//! Last in, first out: the connection used last is the least likely to have been given up by the
//! other side, and the ones at the bottom may grow old and go.

use std::time::Duration;

use tokio::time::Instant;

use super::shared::SharedConnections;
use super::socket::Unasked;
use super::stream::Stream;
use crate::upstream::settings::Keeping;

/// Why a connection was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPooled {
    /// The pool holds `idle_max` already.
    Full,
    /// The endpoint has ended it, or sent bytes nobody asked for.
    NotQuiet,
}

/// The connections to one endpoint that can be used again.
pub struct Pool {
    idle: Vec<Idle>,
    keeping: Keeping,
    /// Those of HTTP/2, which are never leased: requests share them.
    pub shared: SharedConnections,
}

/// A connection to an endpoint, leased for one exchange.
#[derive(Debug)]
pub struct Lease {
    /// The connection.
    pub stream: Stream,
    /// Bytes written to it before this exchange.
    pub carried: u64,
    /// Whether it has carried an exchange before, and so may have gone stale.
    pub is_reused: bool,
}

impl Lease {
    /// Of a connection that has just been opened.
    pub fn new(stream: Stream) -> Self {
        Self { stream, carried: 0, is_reused: false }
    }
}

struct Idle {
    lease: Lease,
    since: Instant,
    /// Before this it is not leased.
    ready: Instant,
}

/// How sure it is that the answer was all that the endpoint had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its framing said where it ends.
    Framed,
    /// It had no body, but announced one, or answered HEAD. An endpoint that sends that body all
    /// the same does it soon: given [`QUARANTINE`] it is found out.
    Announced,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

/// How long a connection waits for bytes nobody asked for, where there is reason to.
pub const QUARANTINE: Duration = Duration::from_secs(1);

impl Pool {
    /// Empty, and keeping nothing until told to.
    pub fn new() -> Self {
        let keeping = Keeping { idle_max: 0, idle_timeout: Duration::ZERO };
        Self { idle: Vec::new(), keeping, shared: SharedConnections::default() }
    }

    /// Closes all there are, and keeps none any more. What waits for a connection that is being opened gets
    /// it.
    pub fn close(&mut self) {
        self.shared.retire();
        let shared = std::mem::take(&mut self.shared);
        *self = Self { shared, ..Self::new() };
    }

    /// By which rules it goes.
    pub fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// Goes by other rules from now on.
    pub fn set_keeping(&mut self, keeping: Keeping) {
        self.keeping = keeping;
        let surplus = self.idle.len().saturating_sub(keeping.idle_max);
        self.idle.drain(..surplus);
    }

    /// Closes the half that was used least recently: their descriptors are needed elsewhere.
    pub fn shed(&mut self) {
        let half = self.idle.len().div_ceil(2);
        self.idle.drain(..half);
    }

    /// Takes out all that are quiet and whose last answer was certainly complete.
    pub fn take(&mut self, now: Instant) -> Vec<Lease> {
        let all = std::mem::take(&mut self.idle).into_iter();
        let ready = all.filter(|idle| idle.ready <= now);
        let quiet = ready.filter(|idle| idle.lease.stream.unasked() == Unasked::Nothing);
        quiet.map(|idle| idle.lease).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.idle.len() + self.shared.idle()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the connection that was kept last, if it is still of use; drops those that are not.
    #[inline]
    pub fn lease(&mut self, now: Instant) -> Option<Lease> {
        while let Some(last) = self.idle.iter().rposition(|idle| idle.ready <= now) {
            let Idle { lease, since, .. } = self.idle.remove(last);
            if now.duration_since(since) >= self.keeping.idle_timeout {
                // Whatever lies below is older still.
                self.idle.drain(..last);
                return None;
            }
            if lease.stream.unasked() == Unasked::Nothing {
                return Some(Lease { is_reused: true, ..lease });
            }
        }
        None
    }

    /// Keeps a connection whose last exchange ended cleanly.
    pub fn put(&mut self, lease: Lease, ending: Ending, now: Instant) -> Result<(), NotPooled> {
        if self.idle.len() >= self.keeping.idle_max {
            return Err(NotPooled::Full);
        }
        if lease.stream.unasked() != Unasked::Nothing {
            return Err(NotPooled::NotQuiet);
        }
        if !lease.is_reused {
            // Not when it was opened: one that is never idle does not need it.
            lease.stream.keep_alive();
        }
        let ready = match ending {
            Ending::Framed => now,
            Ending::Announced => now + QUARANTINE,
        };
        self.idle.push(Idle { lease, since: now, ready });
        Ok(())
    }

    /// Drops what has become useless: too old, ended by the endpoint, or spoken to out of turn.
    pub fn sweep(&mut self, now: Instant) {
        self.shared.sweep();
        let idle_timeout = self.keeping.idle_timeout;
        self.idle.retain(|idle| {
            now.duration_since(idle.since) < idle_timeout
                && idle.lease.stream.unasked() == Unasked::Nothing
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as StdUnixStream;

    use super::*;
    use crate::net::socket::Socket;

    const KEEPING: Keeping = Keeping { idle_max: 2, idle_timeout: Duration::from_secs(50) };

    fn keeping() -> Pool {
        let mut pool = Pool::new();
        pool.set_keeping(KEEPING);
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
        pool.set_keeping(Keeping { idle_max: 1, ..KEEPING });
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
