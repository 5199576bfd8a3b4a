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
        self.endpoint.permits.give_back();
        self.upstream.queue.call(Some(self.at()));
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};
    use std::task::{Poll, Waker};
    use std::time::Duration;

    use super::*;
    use crate::address::Address;
    use crate::upstream::endpoint::Endpoint;
    use crate::upstream::endpoint_set::EndpointSet;
    use crate::upstream::queue::Entrant;

    fn ceiling(requests_max: u32) -> Ceiling {
        let second = Duration::from_secs(1);
        let requests_max = NonZeroU32::new(requests_max).unwrap();
        Ceiling { requests_max, queue_max: 10, queue_timeout: second }
    }

    #[test]
    fn who_waits_is_called_though_somebody_has_just_asked_under_a_lower_ceiling() {
        let endpoint = Endpoint::new(Address::Unix("/a".into()), NonZeroU16::MIN, 1);
        let upstream = Upstream::sample(EndpointSet::new([endpoint]));
        let take = |max| RequestPermit::take(&upstream, &ceiling(max), EndpointId::new(0), 0);
        let [first, _second, _third] = [take(3), take(3), take(3)];
        let interval = Duration::from_secs(1);
        let entrant = Entrant { kind: Some(1), max: 10, permitted: (3, 3), interval };
        let mut waits = upstream.record.queue.enter(&entrant, Duration::ZERO).unwrap();
        assert!(waits.poll(Waker::noop()).is_ready() && take(3).is_none());
        waits.not_served();
        assert!(waits.poll(Waker::noop()).is_pending() && take(1).is_none());
        let freed = first.as_ref().map(RequestPermit::at);
        // Still as many as that lower ceiling allows, and more.
        drop(first);
        assert_eq!(waits.poll(Waker::noop()), Poll::Ready(Ok(freed)));
    }
}
