//! One worker's share of an upstream.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;

use super::shelves::Shelves;
use crate::balance::Picker;
use crate::net::pool::Pool;
use crate::upstream::Upstream;
use crate::upstream::endpoint::{ConnectionKind, Endpoint, EndpointRecord};

/// One worker's share of an upstream: its turn in balancing, its idle connections.
pub(super) struct Share {
    pub(super) picker: RefCell<Picker>,
    pub(super) pools: Box<[Rc<RefCell<Pool>>]>,
}

impl Share {
    /// Takes over what is `known` of the upstream's endpoints, by their records.
    pub(super) fn new(
        upstream: &Arc<Upstream>,
        worker: usize,
        shelves: (&Shelves, usize),
        known: &mut Known<'_>,
    ) -> Self {
        let first = upstream.endpoints.iter().find_map(|endpoint| known.get(&key(endpoint)));
        let upstream_of = || Arc::clone(upstream);
        let picker = first.map_or_else(
            || Picker::new(upstream_of(), worker),
            |kept| kept.share.picker.borrow().succeeded_by(upstream_of()),
        );
        let kept = |(place, endpoint): (usize, &Endpoint)| {
            let fits = |kept: &KnownPool<'_>| kept.kind == endpoint.connection_kind();
            // One whose connections would not do any more stays among what is closed.
            let pool = match known.entry(key(endpoint)) {
                Entry::Occupied(kept) if fits(kept.get()) => Rc::clone(kept.remove().pool),
                Entry::Occupied(_) | Entry::Vacant(_) => Rc::default(),
            };
            pool.borrow_mut().set_keeping(upstream.keeping, shelves.0.shelf(shelves.1, place));
            pool
        };
        let pools = upstream.endpoints.iter().enumerate().map(kept).collect();
        if upstream.ceiling.is_some() {
            upstream.endpoints.call(&upstream.record.queue);
            // There may be room by this plan where there was none by the last.
            upstream.record.queue.call(None);
        }
        Self { picker: RefCell::new(picker), pools }
    }

    /// Its pools, by the records of their endpoints.
    pub(super) fn known(&self) -> Vec<(*const EndpointRecord, KnownPool<'_>)> {
        let picker = self.picker.borrow();
        let endpoints = picker.upstream().endpoints.iter().zip(&self.pools);
        let kept = |(endpoint, pool)| {
            (key(endpoint), KnownPool { share: self, pool, kind: endpoint.connection_kind() })
        };
        endpoints.map(kept).collect()
    }
}

/// The shares and pools of an earlier plan that have no heir yet.
pub(super) type Known<'a> = HashMap<*const EndpointRecord, KnownPool<'a>>;

/// A pool, the share it is of, and what its connections are.
pub(super) struct KnownPool<'a> {
    share: &'a Share,
    pub(super) pool: &'a Rc<RefCell<Pool>>,
    kind: ConnectionKind,
}

/// What an endpoint is known by, whatever the plan.
fn key(endpoint: &Endpoint) -> *const EndpointRecord {
    Arc::as_ptr(&endpoint.record)
}
