//! One access log entry.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::field::LogField;
use super::format::{Label, Names};
use super::sample_rate::SampleRate;
use crate::grpc::status::Status;
use crate::id::{EndpointId, RouteId, UpstreamId};
use crate::termination::Termination;
use crate::trace::context::TraceId;

/// The protocol of the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP was expected, but no version was read.
    Http,
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
    /// TCP bytes, passed on without parsing.
    Tcp,
}

/// How long the parts of an exchange took; `None` for a part that was never reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// From the first byte of the request to the end of its headers.
    pub head: Option<Duration>,
    /// Queued before the first attempt.
    pub queue: Option<Duration>,
    /// Connecting to the endpoint that answered; `None` for a reused connection.
    pub connect: Option<Duration>,
    /// From when the connection was ready and sending the request began, to the first byte of the
    /// response headers.
    pub first_byte: Option<Duration>,
    /// From the first byte of the request to the last byte of the response.
    pub total: Duration,
}

/// A finished exchange, refused request, tunnel or connection. Empty text fields are absent ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogEntry<'a> {
    /// When the first byte of the request arrived, in microseconds since 1970 (UTC).
    pub unix_micros: u64,
    /// The client's address, as trusted proxies name it; `None`: it came by a unix socket.
    pub client: Option<IpAddr>,
    /// The address of the connection itself; `None`: a unix socket.
    pub peer: Option<IpAddr>,
    /// The client's protocol.
    pub protocol: Protocol,
    /// The stream it came on, of an HTTP/2 connection.
    pub stream: Option<NonZeroU32>,
    /// What was agreed on, if TLS was used.
    pub tls: &'a [u8],
    /// The method as received.
    pub method: &'a [u8],
    /// The target as received.
    pub target: &'a [u8],
    /// The requested host.
    pub host: &'a [u8],
    /// The Referer header.
    pub referer: &'a [u8],
    /// The User-Agent header.
    pub user_agent: &'a [u8],
    /// The status that was sent; 0 if none was.
    pub status: u16,
    /// Bytes received from the client, including headers.
    pub bytes_from_client: u64,
    /// Bytes sent to the client, including headers.
    pub bytes_to_client: u64,
    /// The part of both that was moved with splice(2).
    pub bytes_spliced: u64,
    /// The names of the plan that the IDs below refer to.
    pub names: &'a Names,
    /// The matching route.
    pub route: Option<RouteId>,
    /// The upstream of that route.
    pub upstream: Option<UpstreamId>,
    /// The endpoints that were tried, in order.
    pub tried: &'a [EndpointId],
    /// The rule that answered, if one did.
    pub rule: &'static str,
    /// Why the last of them was picked.
    pub picked: &'static str,
    /// Attempts after the first.
    pub retries: u32,
    /// How long each part took.
    pub timers: Timers,
    /// How it ended.
    pub termination: Termination,
    /// What its client was told, if it was a call of gRPC.
    pub call_status: Option<Status>,
    /// The trace it belongs to.
    pub trace: Option<TraceId>,
    /// The request ID.
    pub request_id: &'a [u8],
    /// The share of requests like this one that have a line.
    pub sample: SampleRate,
}

/// What a field says, whatever the format.
pub(super) enum LogValue<'a> {
    /// A moment, in microseconds since 1970 (UTC).
    Time(u64),
    /// An address; `None`: a unix socket.
    Address(Option<IpAddr>),
    /// A text that may hold anything, or that people read; empty if there is none.
    Text(&'a [u8]),
    /// A text of one word; empty if there is none.
    Word(&'a [u8]),
    /// A name of the plan's.
    Name(Option<&'a Label>),
    /// Endpoints.
    Endpoints,
    /// A status; 0 if none was sent.
    Status(u16),
    /// A number, if there is one.
    Number(Option<u64>),
    /// A trace, if there is one.
    Trace(Option<TraceId>),
    /// How long something took, if it was done.
    Seconds(Option<Duration>),
    /// A share.
    Share(SampleRate),
}

impl Protocol {
    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::Http => b"HTTP",
            Self::Http10 => b"HTTP/1.0",
            Self::Http11 => b"HTTP/1.1",
            Self::Http2 => b"HTTP/2.0",
            Self::Tcp => b"TCP",
        }
    }
}

impl<'a> LogEntry<'a> {
    /// The names of the route, the upstream and the endpoints that were tried.
    pub(super) fn names(
        &self,
    ) -> (Option<&'a Label>, Option<&'a Label>, impl Iterator<Item = &'a Label>) {
        let route = self.route.and_then(|id| self.names.routes.get(id.index()));
        let upstream = self.upstream.and_then(|id| self.names.upstreams.get(id.index()));
        let endpoints: &[Label] = upstream.map_or(&[], |(_, endpoints)| endpoints);
        let tried = self.tried.iter().filter_map(|id| endpoints.get(id.index()));
        (route, upstream.map(|(name, _)| name), tried)
    }

    /// What a field says.
    pub(super) fn value(&self, field: LogField) -> LogValue<'_> {
        let (route, upstream, _) = self.names();
        let Timers { head, queue, connect, first_byte, total } = self.timers;
        match field {
            LogField::Time => LogValue::Time(self.unix_micros),
            LogField::Client => LogValue::Address(self.client),
            LogField::Peer => LogValue::Address(self.peer),
            LogField::Method => LogValue::Text(self.method),
            LogField::Target => LogValue::Text(self.target),
            LogField::Protocol => LogValue::Word(self.protocol.name()),
            LogField::Referer => LogValue::Text(self.referer),
            LogField::UserAgent => LogValue::Text(self.user_agent),
            LogField::Host => LogValue::Text(self.host),
            LogField::Id => LogValue::Word(self.request_id),
            LogField::Tls => LogValue::Word(self.tls),
            LogField::Route => LogValue::Name(route),
            LogField::Upstream => LogValue::Name(upstream),
            LogField::Tried => LogValue::Endpoints,
            LogField::Status => LogValue::Status(self.status),
            LogField::Retries => LogValue::Number(Some(self.retries.into())),
            LogField::Up => LogValue::Number(Some(self.bytes_from_client)),
            LogField::Down => LogValue::Number(Some(self.bytes_to_client)),
            LogField::Spliced => LogValue::Number(Some(self.bytes_spliced)),
            LogField::Head => LogValue::Seconds(head),
            LogField::Queue => LogValue::Seconds(queue),
            LogField::Connect => LogValue::Seconds(connect),
            LogField::FirstByte => LogValue::Seconds(first_byte),
            LogField::Total => LogValue::Seconds(Some(total)),
            LogField::Stream => LogValue::Number(self.stream.map(|stream| stream.get().into())),
            LogField::GrpcStatus => {
                LogValue::Number(self.call_status.map(|status| status.code().into()))
            }
            LogField::End => LogValue::Word(self.termination.letters()),
            LogField::Rule => LogValue::Word(self.rule.as_bytes()),
            LogField::Picked => LogValue::Word(self.picked.as_bytes()),
            LogField::TraceId => LogValue::Trace(self.trace),
            LogField::Sample => LogValue::Share(self.sample),
        }
    }

    /// The share of requests like this one that have a line, where not all of them do.
    pub(super) fn shown_sample(&self) -> Option<SampleRate> {
        (self.names.layout.sample != SampleRate::ALL).then_some(self.sample)
    }

    /// The fields that are plain numbers, with their names, in output order.
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
    /// The timers with their names, in output order.
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
