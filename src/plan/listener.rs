//! A listener: what it is for, and what its sessions share.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::handle::PlanHandle;
use crate::id::{ListenerId, SniTableId, UpstreamId};

/// What connections to a listener begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preamble {
    /// With what they carry.
    Nothing,
    /// With a header of the PROXY protocol.
    ProxyHeader,
}

/// What a listener terminates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Nothing: bytes are what was sent.
    Plain,
    /// TLS, as the plan says.
    Tls,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerKind {
    /// What its connections begin with.
    pub preamble: Preamble,
    /// What it terminates.
    pub transport: Transport,
    /// What is done with them.
    pub service: Service,
}

impl ListenerKind {
    /// For requests of clients that come by themselves, in plain text.
    pub const HTTP: Self =
        Self { preamble: Preamble::Nothing, transport: Transport::Plain, service: Service::Http };
}

/// What is done with the connections of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Their requests are routed.
    Http,
    /// Each goes to an endpoint of this upstream as it is.
    Tcp {
        /// The upstream.
        upstream: UpstreamId,
    },
    /// Each goes as it is to the upstream for the name that its ClientHello asks for.
    Sni {
        /// The upstreams.
        table: SniTableId,
    },
}

/// A listener on one worker, as its sessions know it. They outlive it if it is closed.
pub struct Listener<F> {
    /// Which one it is.
    pub id: ListenerId,
    /// The plan in force, which its sessions follow.
    pub handle: Rc<PlanHandle>,
    /// What is decided about its requests.
    pub filters: Arc<F>,
    kind: Cell<ListenerKind>,
}

impl<F> Listener<F> {
    /// One that is for this.
    pub fn new(
        id: ListenerId,
        kind: ListenerKind,
        handle: &Rc<PlanHandle>,
        filters: Arc<F>,
    ) -> Rc<Self> {
        Rc::new(Self { id, handle: Rc::clone(handle), filters, kind: Cell::new(kind) })
    }

    /// What it is for now. An index in it is of the plan in force, as long as the listener is open.
    pub fn kind(&self) -> ListenerKind {
        self.kind.get()
    }

    /// What it is for from now on.
    pub fn set_kind(&self, kind: ListenerKind) {
        self.kind.set(kind);
    }
}
