//! What there is to say of an exchange.

use std::net::IpAddr;
use std::time::Duration;

use super::format::{Label, Names};
use crate::id::{EndpointId, RouteId, UpstreamId};
use crate::termination::Termination;

/// What the client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP was expected, and no version was read.
    Http,
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// Bytes that are not looked into.
    Tcp,
}

/// How long the parts of an exchange took; `None` for a part it never came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// From the first byte of the request to the end of its head.
    pub head: Option<Duration>,
    /// Waiting for a turn before the first attempt.
    pub queue: Option<Duration>,
    /// Opening the connection that was used; `None` if it was there already.
    pub connect: Option<Duration>,
    /// From when the connection to the endpoint that was used was there, and the request began to be
    /// sent on it, to the first byte of its answer's head.
    pub first_byte: Option<Duration>,
    /// From the first byte of the request to the last of the answer.
    pub total: Duration,
}

/// One exchange, refused request, tunnel or connection that is over. Empty bytes are absent ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// When the first byte of the request came, in microseconds since 1970 (UTC).
    pub unix_micros: u64,
    /// The client's address, as trusted proxies name it; `None`: it came by a unix socket.
    pub client: Option<IpAddr>,
    /// The address of the connection itself; `None`: a unix socket.
    pub peer: Option<IpAddr>,
    /// What it spoke.
    pub protocol: Protocol,
    /// The version of TLS, if it was spoken.
    pub tls: Option<&'a str>,
    /// The method as it came.
    pub method: &'a [u8],
    /// The target as it came.
    pub target: &'a [u8],
    /// The host that was asked for.
    pub host: &'a [u8],
    /// The Referer field.
    pub referer: &'a [u8],
    /// The User-Agent field.
    pub user_agent: &'a [u8],
    /// The status that was sent; 0: none was.
    pub status: u16,
    /// Bytes taken from the client, heads included.
    pub bytes_from_client: u64,
    /// Bytes sent to the client, heads included.
    pub bytes_to_client: u64,
    /// Bytes among both that went through splice(2).
    pub bytes_spliced: u64,
    /// The names of all that follows, for the process as it was.
    pub names: &'a Names,
    /// The route that was found.
    pub route: Option<RouteId>,
    /// The upstream behind it.
    pub upstream: Option<UpstreamId>,
    /// Every endpoint of it that was tried, in order, the one that answered last.
    pub tried: &'a [EndpointId],
    /// Attempts beyond the first.
    pub retries: u32,
    /// How long it took.
    pub timers: Timers,
    /// How it ended.
    pub termination: Termination,
    /// The request's identifier.
    pub request_id: &'a [u8],
}

impl Protocol {
    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::Http => b"HTTP",
            Self::Http10 => b"HTTP/1.0",
            Self::Http11 => b"HTTP/1.1",
            Self::Tcp => b"TCP",
        }
    }
}

impl<'a> Entry<'a> {
    /// The name of the route, of the upstream, and those of the endpoints that were tried.
    pub(super) fn names(
        &self,
    ) -> (Option<&'a Label>, Option<&'a Label>, impl Iterator<Item = &'a Label>) {
        let route = self.route.and_then(|id| self.names.routes.get(id.index()));
        let upstream = self.upstream.and_then(|id| self.names.upstreams.get(id.index()));
        let endpoints: &[Label] = upstream.map_or(&[], |(_, endpoints)| endpoints);
        let tried = self.tried.iter().filter_map(|id| endpoints.get(id.index()));
        (route, upstream.map(|(name, _)| name), tried)
    }

    /// What is written as a plain number under a name of its own.
    pub(super) fn counts(&self) -> [(&'static [u8], u64); 4] {
        [
            (b"retries", self.retries.into()),
            (b"up", self.bytes_from_client),
            (b"down", self.bytes_to_client),
            (b"spliced", self.bytes_spliced),
        ]
    }
}

impl Timers {
    /// In the order they are written.
    pub(super) fn named(&self) -> [(&'static [u8], Option<Duration>); 5] {
        [
            (b"head", self.head),
            (b"queue", self.queue),
            (b"connect", self.connect),
            (b"first_byte", self.first_byte),
            (b"total", Some(self.total)),
        ]
    }
}
