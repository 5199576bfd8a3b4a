//! Where TLS connections go that are not terminated: by the name their clients ask for.

use crate::id::UpstreamId;
use crate::route::ServerNames;
use crate::tls_hello::ServerName;

/// The upstreams of one listener.
#[derive(Clone, Debug, Default)]
pub struct SniTable {
    /// By the name of the host.
    pub names: ServerNames<UpstreamId>,
    /// For connections that name none of these hosts, or are not TLS; without one, they are closed.
    pub fallback: Option<UpstreamId>,
}

impl SniTable {
    /// Where a client goes that asks for this host, or for none.
    pub fn find(&self, name: Option<&ServerName>) -> Option<UpstreamId> {
        let found = name.and_then(|name| self.names.find(name));
        found.map(|(_, upstream)| *upstream).or(self.fallback)
    }

    /// All there are.
    pub fn upstreams(&self) -> impl Iterator<Item = UpstreamId> {
        self.names.entries().iter().map(|(_, upstream)| *upstream).chain(self.fallback)
    }
}
