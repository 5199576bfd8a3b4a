//! What is known of an exchange once it has ended: what a line of the access log says.

use std::net::IpAddr;
use std::num::NonZeroU32;

use crate::access_log::{Facts, Protocol, Texts, Timers};
use crate::plan::Plan;
use crate::termination::Termination;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// All that the access log knows of an exchange, borrowed from where it has been collected: `docs/access-log.md` describes it.
#[derive(Clone, Copy)]
pub struct ExchangeRecord<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) texts: &'a Texts,
    pub(crate) plan: &'a Plan,
}

impl<'a> ExchangeRecord<'a> {
    /// The client, behind trusted proxies the one that they name; none over a Unix socket.
    pub fn client(&self) -> Option<IpAddr> {
        self.facts.client
    }

    /// The address of the connection itself; none of a Unix socket.
    pub fn peer(&self) -> Option<IpAddr> {
        self.facts.peer
    }

    /// What the client spoke.
    pub fn protocol(&self) -> Protocol {
        self.facts.protocol
    }

    /// The number of the stream, of a connection of HTTP/2.
    pub fn stream(&self) -> Option<NonZeroU32> {
        self.facts.stream
    }

    /// The method.
    pub fn method(&self) -> &'a [u8] {
        self.texts.parts()[0]
    }

    /// Path and query, as they came.
    pub fn target(&self) -> &'a [u8] {
        self.texts.parts()[1]
    }

    /// The host that was asked for, with its port if that was sent; empty if there was none.
    pub fn host(&self) -> &'a [u8] {
        self.texts.parts()[2]
    }

    /// The header Referer; empty if there was none.
    pub fn referer(&self) -> &'a [u8] {
        self.texts.parts()[3]
    }

    /// The header User-Agent; empty if there was none.
    pub fn user_agent(&self) -> &'a [u8] {
        self.texts.parts()[4]
    }

    /// Version, cipher suite, server name and `full` or `resumed`, with slashes between them; empty without TLS.
    pub fn tls(&self) -> &'a [u8] {
        self.texts.parts()[5]
    }

    /// The request's identifier, as its endpoint was told.
    pub fn request_id(&self) -> &'a [u8] {
        self.texts.request_id()
    }

    /// Bytes that came from the client, with the head.
    pub fn bytes_from_client(&self) -> u64 {
        self.facts.bytes_from_client
    }

    /// Bytes that were sent to the client, with heads.
    pub fn bytes_to_client(&self) -> u64 {
        self.facts.bytes_to_client
    }

    /// How many of both were moved by splice(2).
    pub fn bytes_spliced(&self) -> u64 {
        self.facts.bytes_spliced
    }

    /// How long its parts took, and all of it.
    pub fn timers(&self) -> &'a Timers {
        &self.facts.timers
    }

    /// How many attempts there were.
    pub fn attempts(&self) -> u32 {
        self.facts.tried.count()
    }

    /// The upstream of the last attempt, or of the wait for room.
    pub fn upstream(&self) -> Option<&'a Upstream> {
        self.facts.upstream.map(|upstream| &**self.plan.upstream(upstream))
    }

    /// The endpoints that were tried, in order; the last one has answered, or was the last to fail.
    pub fn tried(&self) -> impl DoubleEndedIterator<Item = &'a Endpoint> + use<'a> {
        let tried: &'a Facts = self.facts;
        let endpoints = self.upstream().map(|upstream| {
            tried.tried.first().iter().map(move |endpoint| upstream.endpoint(*endpoint))
        });
        endpoints.into_iter().flatten()
    }

    /// Why the last of them was picked, in a word; empty if none was.
    pub fn picked(&self) -> &'static str {
        self.facts.picked
    }

    /// The rule that has answered in place of an endpoint, in a word; empty if none has.
    pub fn rule(&self) -> &'static str {
        self.facts.rule
    }

    /// Who ended it, and what was being done then: [`Termination::COMPLETE`] if it came to its end.
    pub fn termination(&self) -> Termination {
        self.facts.termination
    }

    /// The status that the client of a gRPC call was told, as a number.
    pub fn grpc_status(&self) -> Option<u8> {
        self.facts.call_status.map(|status| status as u8)
    }
}
