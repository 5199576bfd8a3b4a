//! Connections that are kept from one check to the next.

use std::cell::Cell;
use std::rc::Rc;

use rustix::process::{Resource, getrlimit};

use crate::net::socket::Unasked;
use crate::net::stream::Stream;

/// Checks may keep one in so many of the descriptors that the process may have: the others are for clients.
const DESCRIPTORS_PER_KEPT: u64 = 4;

/// Those of all checks.
pub(super) struct KeptConnections {
    count: Rc<Cell<u64>>,
    max: u64,
}

impl Default for KeptConnections {
    fn default() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { count: Rc::default(), max: limit / DESCRIPTORS_PER_KEPT }
    }
}

impl KeptConnections {
    /// Whether another one may be kept.
    pub(super) fn has_room(&self) -> bool {
        self.count.get() < self.max
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
