//! One address of an upstream.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::admin_state::{AdminMode, AdminState};
use super::check::CheckOutcome;
use super::endpoint_tls::{EndpointTls, TlsDigest};
use super::failures::Failures;
use super::health::{Admission, Health, Tick};
use super::permits::Permits;
use super::shared_count::SharedCount;
use super::watchers::Changes;
use crate::address::Address;
use crate::app_protocol::AppProtocol;
use crate::metrics::{Counter, EndpointMetrics};

/// One address requests may be sent to, shared by all workers.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As it was configured, without scheme and weight: `ip:port`, `name:port` or `unix:/path`.
    pub name: Box<str>,
    /// What it speaks.
    pub scheme: Scheme,
    /// Where it is: of a name, one of its addresses.
    pub address: Address,
    /// Its share of the requests, 1–1000, relative to the others of the same upstream.
    pub weight: NonZeroU16,
    /// Whether it is there for every request.
    pub role: EndpointRole,
    /// What TLS to it needs; only where its scheme has TLS.
    pub tls: Option<Arc<EndpointTls>>,
    /// What is known of it: outlives the plan, as long as a later one has the endpoint too.
    pub record: Arc<EndpointRecord>,
}

/// What an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1 in plain text; whatever its clients speak, where connections are relayed as they are.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 in plain text, with prior knowledge (RFC 9113 §3.3).
    H2c,
    /// HTTP/2 over TLS, agreed on by ALPN (RFC 9113 §3.2).
    H2,
}

impl Scheme {
    /// As it is written before `://`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::H2 => "h2",
        }
    }

    /// The one that is written so.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Http, Self::Https, Self::H2c, Self::H2]
            .into_iter()
            .find(|known| known.name() == name)
    }

    /// The version of HTTP.
    pub const fn protocol(self) -> AppProtocol {
        match self {
            Self::Http | Self::Https => AppProtocol::Http1,
            Self::H2c | Self::H2 => AppProtocol::Http2,
        }
    }

    /// Whether it is spoken over TLS.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::H2)
    }

    /// HTTP/2, over TLS or not as this is.
    #[must_use]
    pub const fn over_http2(self) -> Self {
        match self {
            Self::Http | Self::H2c => Self::H2c,
            Self::Https | Self::H2 => Self::H2,
        }
    }

    /// The same version of HTTP over TLS.
    #[must_use]
    pub const fn over_tls(self) -> Self {
        match self {
            Self::Http | Self::Https => Self::Https,
            Self::H2c | Self::H2 => Self::H2,
        }
    }
}

/// What the connections to an endpoint are: those of the same kind can stand in for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionKind {
    /// What is spoken.
    pub protocol: AppProtocol,
    /// Whether that is over TLS, and what it depends on.
    pub tls: Option<TlsDigest>,
}

impl ConnectionKind {
    /// HTTP/1.1 in plain text.
    pub const PLAIN: Self = Self { protocol: AppProtocol::Http1, tls: None };
}

/// When an endpoint gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointRole {
    /// Whenever it is healthy.
    Primary,
    /// When no primary one is.
    Backup,
}

impl EndpointRole {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Backup];
}

/// What is known of an endpoint.
#[derive(Debug)]
pub struct EndpointRecord {
    /// Whether it may be sent requests now.
    pub health: Health,
    /// What each worker has counted.
    pub counts: Box<[EndpointMetrics]>,
    /// How many of its checks had which outcome, by [`CheckOutcome`]: counted by the thread of the checks, and so outside of
    /// what workers read.
    pub checks: Box<[Counter; CheckOutcome::ALL.len()]>,
    /// Whether it is meant to have requests at all.
    pub admin_state: AdminState,
    /// What has gone wrong with it lately.
    pub failures: Failures,
    /// Attempts in progress that were begun for a policy that goes by them.
    pub in_flight: SharedCount,
    /// The requests at it, where there is a ceiling for them.
    pub permits: Permits,
    /// When it was added to an upstream that had others already, in milliseconds; 0 if it was not.
    added: AtomicU64,
}

impl EndpointRecord {
    /// Nothing is held against it, and nothing counted by any of so many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        let counts = (0..workers).map(|_| EndpointMetrics::default()).collect();
        let (admin_state, failures) = (AdminState::default(), Failures::default());
        Arc::new(Self {
            health: Health::new(),
            counts,
            checks: Box::default(),
            admin_state,
            failures,
            in_flight: SharedCount::default(),
            permits: Permits::default(),
            added: AtomicU64::new(0),
        })
    }
}

impl EndpointRecord {
    /// Whatever may change whether it is picked is counted there from now on.
    pub fn watch(&self, changes: &Changes) {
        self.health.watch(changes);
        self.admin_state.watch(changes);
    }

    /// It is added now to an upstream that has others already.
    pub fn add(&self, now: Tick) {
        self.added.store(now.as_millis(), Relaxed);
    }

    /// Since when it may have had requests, if not since the start: when it was added, has recovered, or
    /// was put back by hand.
    pub fn back_since(&self) -> Option<Tick> {
        let (mode, set) = self.admin_state.mode_since();
        let by_hand = if mode == AdminMode::Ready { set.as_millis() } else { 0 };
        let added = self.added.load(Relaxed);
        let since = by_hand.max(added).max(self.health.recovery.at().as_millis());
        (since > 0).then_some(Tick::from_millis(since))
    }

    /// Attempts begun, of all workers.
    pub fn begun(&self) -> u64 {
        self.total(|counts| counts.begun.get())
    }

    /// What each worker has of something, of all of them.
    pub fn total(&self, of: impl Fn(&EndpointMetrics) -> u64) -> u64 {
        self.counts.iter().map(of).sum()
    }
}

impl Endpoint {
    /// A primary endpoint that nothing is known of, configured by its address.
    pub fn new(address: Address, weight: NonZeroU16, workers: usize) -> Self {
        Self {
            name: address.to_string().into(),
            scheme: Scheme::Http,
            address,
            weight,
            role: EndpointRole::Primary,
            tls: None,
            record: EndpointRecord::new(workers),
        }
    }

    /// Goes on as `known`: with all that is known of it, and with the TLS sessions that it can resume
    /// if nothing has changed about them.
    pub fn go_on_as(&mut self, known: &Self) {
        self.record = Arc::clone(&known.record);
        if self.connection_kind() == known.connection_kind() {
            self.tls.clone_from(&known.tls);
        }
    }

    /// Whether another is configured in the same way, at the same address.
    pub fn is_like(&self, other: &Self) -> bool {
        let Self { name, scheme, address, weight, role, tls: _, record: _ } = self;
        self.connection_kind() == other.connection_kind()
            && (name, scheme, address, weight, role)
                == (&other.name, &other.scheme, &other.address, &other.weight, &other.role)
    }

    /// What its connections are.
    pub fn connection_kind(&self) -> ConnectionKind {
        let tls = self.tls.as_ref().map(|tls| tls.digest);
        ConnectionKind { protocol: self.protocol(), tls }
    }

    /// The version of HTTP it speaks.
    pub fn protocol(&self) -> AppProtocol {
        self.scheme.protocol()
    }

    /// The name it was configured with, if that is not its address.
    pub fn own_name(&self) -> Option<&str> {
        (*self.name != *self.address.to_string()).then_some(&self.name)
    }

    /// Whether it may be sent requests now.
    pub fn health(&self) -> &Health {
        &self.record.health
    }

    /// What may be sent at `now`, by its health and by what it was told.
    pub fn admission(&self, now: Tick) -> Admission {
        match self.record.admin_state.mode() {
            AdminMode::Ready => self.record.health.admission(now),
            AdminMode::Drained | AdminMode::Down => Admission::Down,
        }
    }
}

/// Its address, and the name it was configured with; with its scheme, if that is not `http`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme != Scheme::Http {
            write!(f, "{}://", self.scheme.name())?;
        }
        write!(f, "{}", self.address)?;
        self.own_name().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}
