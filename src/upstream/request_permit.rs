//! The permit of a request to be at an endpoint that has a ceiling.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use super::Upstream;
use super::endpoint::EndpointRecord;
use super::queue::FreedAt;
use super::record::UpstreamRecord;
use super::settings::Ceiling;
use crate::id::EndpointId;

/// Lets one request be at an endpoint for as long as this lasts, whatever the plan: it is to be dropped after
/// the connection or the stream that it came over, so that the endpoint never has one more. Then the next
/// in the queue of the upstream is called.
#[derive(Debug)]
#[must_use]
pub struct RequestPermit {
    endpoint: Arc<EndpointRecord>,
    upstream: Arc<UpstreamRecord>,
    id: EndpointId,
    worker: usize,
    /// Counted by its worker, and so to be dropped there.
    of_worker: PhantomData<Rc<()>>,
}

impl RequestPermit {
    /// Takes one for an endpoint on behalf of a worker, if there is room under this ceiling.
    pub fn take(
        upstream: &Upstream,
        ceiling: &Ceiling,
        id: EndpointId,
        worker: usize,
    ) -> Option<Self> {
        let endpoint = &upstream.endpoint(id).record;
        if !endpoint.permits.take(ceiling.requests_max.get()) {
            return None;
        }
        let (endpoint, upstream) = (Arc::clone(endpoint), Arc::clone(&upstream.record));
        upstream.counts[worker].permits_taken.add(1);
        Some(Self { endpoint, upstream, id, worker, of_worker: PhantomData })
    }

    /// Where it lets a request be.
    pub fn at(&self) -> FreedAt {
        FreedAt { endpoint: self.id, record: Arc::as_ptr(&self.endpoint).addr() }
    }

    /// Whether there is room for another there.
    pub fn has_room_beside(&self) -> bool {
        self.endpoint.permits.have_room()
    }
}

/// Whether they are for the same endpoint.
impl PartialEq for RequestPermit {
    fn eq(&self, other: &Self) -> bool {
        self.at() == other.at()
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.upstream.counts[self.worker].permits_ended.add(1);
        if self.endpoint.permits.give_back() {
            self.upstream.queue.call(Some(self.at()));
        }
    }
}
