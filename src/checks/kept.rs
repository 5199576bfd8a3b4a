//! Connections that are kept from one check to the next.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};

use crate::net::connect::SPARE_PROBES_MAX;
use crate::net::limiter::ConnectionLimiter;
use crate::net::socket::Unasked;
use crate::net::stream::Stream;

/// Descriptors that are for none of these: of the workers, listeners and logs of a process of the usual size, and of
/// probes.
const OTHER_DESCRIPTORS: u64 = 128 + 2 * SPARE_PROBES_MAX as u64;

/// Those of all checks. Together with the clients they take half of the descriptors; the other half is for endpoints, of which
/// a client needs one while its request is in flight.
pub(super) struct KeptConnections {
    count: Rc<Cell<u64>>,
    clients: Arc<ConnectionLimiter>,
    max: u64,
}

impl KeptConnections {
    /// None yet; these are the clients.
    pub(super) fn new(clients: Arc<ConnectionLimiter>) -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { count: Rc::default(), clients, max: limit.saturating_sub(OTHER_DESCRIPTORS) / 2 }
    }

    /// With the clients.
    fn taken(&self) -> u64 {
        self.count.get() + u64::try_from(self.clients.open()).unwrap_or(u64::MAX)
    }

    /// Whether another one may be kept.
    pub(super) fn has_room(&self) -> bool {
        self.taken() < self.max
    }

    /// Keeps one on, unless it has to make room for clients.
    pub(super) fn keep_on(&self, connection: KeptConnection) -> Option<KeptConnection> {
        (self.taken() <= self.max).then_some(connection)
    }

    /// Keeps another one, over which this is asked.
    pub(super) fn keep(&self, stream: Stream, request: Box<str>) -> KeptConnection {
        self.count.set(self.count.get() + 1);
        KeptConnection { stream, request, count: Rc::clone(&self.count) }
    }
}

/// One of them.
pub(super) struct KeptConnection {
    pub(super) stream: Stream,
    /// What is asked over it, each time.
    pub(super) request: Box<str>,
    count: Rc<Cell<u64>>,
}

impl KeptConnection {
    /// Whether the endpoint has neither ended it nor sent anything that it was not asked for.
    pub(super) fn is_quiet(&self) -> bool {
        self.stream.unasked() == Unasked::Nothing
    }
}

impl Drop for KeptConnection {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use tokio::net::UnixStream;

    use super::*;
    use crate::net::limiter::Capacity;
    use crate::net::socket::Socket;

    #[tokio::test]
    async fn clients_come_before_kept_connections() {
        let capacity = Capacity { connections_max: NonZeroUsize::MAX, per_client_max: None };
        let limiter = ConnectionLimiter::new(capacity);
        let kept = KeptConnections { max: 2, ..KeptConnections::new(Arc::clone(&limiter)) };
        let (stream, _other) = UnixStream::pair().unwrap();
        let first = kept.keep(Stream::Plain(Socket::Unix(stream)), "".into());
        assert!(kept.has_room());
        let client = limiter.enter_anyway();
        assert!(!kept.has_room());
        let first = kept.keep_on(first).expect("there is room for both");
        let _second = limiter.enter_anyway();
        assert!(kept.keep_on(first).is_none());
        assert_eq!(kept.count.get(), 0);
        drop(client);
        assert!(kept.has_room());
    }
}
