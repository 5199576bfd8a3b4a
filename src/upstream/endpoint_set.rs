//! The endpoints of an upstream, which can be replaced without its settings.

use std::ops::Deref;

use super::endpoint::Endpoint;
use super::watchers::Changes;
use crate::id::EndpointId;

/// The endpoints of an upstream; never changed, only replaced.
#[derive(Debug)]
pub struct EndpointSet {
    endpoints: Box<[Endpoint]>,
    changes: Changes,
}

impl EndpointSet {
    /// Of these, known by their indices from now on.
    #[must_use]
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let (endpoints, changes): (Box<[_]>, _) =
            (endpoints.into_iter().collect(), Changes::default());
        for endpoint in &endpoints {
            endpoint.record.watch(&changes);
        }
        Self { endpoints, changes }
    }

    /// All of them, with their ids.
    pub fn ids(&self) -> impl Iterator<Item = (EndpointId, &Endpoint)> {
        (0..).map(EndpointId::new).zip(&self.endpoints)
    }

    /// Counts what may change which of them get requests, apart from time; one load.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.count()
    }
}

impl Deref for EndpointSet {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.endpoints
    }
}
