//! The line of the access log that is to be written about a request, a tunnel or a connection: what
//! has been learned so far. There is none while nothing is logged.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::client_info::ClientInfo;
use crate::access_log::{Facts, Protocol, TRIED_MAX, Texts};
use crate::balance::tried::ATTEMPTS_MAX;
use crate::fault::{Fault, Kind, Side, tunnel_termination};
use crate::grpc::status::Status;
use crate::http::h2::section::FieldSection;
use crate::http::message::field::Name;
use crate::http::message::head::{RequestHead, Version};
use crate::id::{EndpointId, RouteId, UpstreamId};
use crate::log::access_logger::Log;
use crate::metrics::Metrics;
use crate::net::listen::Peer;
use crate::plan::context::WorkerContext;
use crate::relay::copy::Meter;
use crate::termination::{Ender, ExchangePhase, Termination};
use crate::tls_hello::ServerName;
use crate::trace::context::{TraceContext, TraceId};
use crate::trace::span::SpanRecord;

const _: () = assert!(TRIED_MAX == ATTEMPTS_MAX);

/// What is shown of a first line that could not be understood, in bytes.
const ODD_LINE_BYTES_MAX: usize = 1024;

/// The same of a field's value in a head that was refused.
const ODD_VALUE_BYTES_MAX: usize = 1024;

/// What is known of a line. It is written when this is dropped, so that there is one whatever happens
/// to the work it is about; if that was cut, it says so.
pub struct RequestLog {
    /// That of the plan it began under, which has the names.
    log: Rc<Log>,
    /// What was agreed on, if the client speaks TLS.
    tls: Option<Rc<str>>,
    began: Instant,
    texts: Texts,
    facts: RefCell<Facts>,
    /// When the request began to be sent, by the attempt under way.
    sent: Cell<Instant>,
    ended: Cell<Option<Instant>>,
    phase: Cell<ExchangePhase>,
    /// How many bytes the client was sent before the answer.
    answer_from: Cell<u64>,
    /// How it ended, once it has.
    termination: Cell<Option<Termination>>,
    /// Its spans, if they are sent.
    spans: Option<Box<RefCell<SpanRecord>>>,
    fate: Fate,
}

/// Whether the line is written when this is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written,
    /// There was nothing to tell.
    Discarded,
}

impl RequestLog {
    /// About something that begins now; none, if nothing is logged. The connection it came over is
    /// that of `peer`.
    pub fn begin(
        context: &WorkerContext,
        (client, peer): (Peer, Peer),
        protocol: Protocol,
        began: Instant,
    ) -> Option<Box<Self>> {
        let log = context.log.as_ref()?;
        let access_logger = &log.access_logger;
        Some(Box::new(Self {
            log: Rc::clone(log),
            tls: None,
            began,
            texts: access_logger.spare(),
            facts: RefCell::new(Facts::new(
                access_logger.unix_micros(began),
                (client, peer),
                protocol,
            )),
            sent: Cell::new(began),
            ended: Cell::new(None),
            phase: Cell::new(ExchangePhase::RequestHead),
            answer_from: Cell::new(0),
            termination: Cell::new(None),
            spans: None,
            fate: Fate::Written,
        }))
    }

    /// Its client speaks TLS.
    fn over_tls(&mut self, agreed: &Rc<str>) {
        self.tls = Some(Rc::clone(agreed));
    }

    /// Nothing has happened that is worth a line.
    pub fn discard(mut self: Box<Self>) {
        self.fate = Fate::Discarded;
    }

    /// The head has come whole.
    pub fn head_came(&mut self, took: Duration) {
        self.facts.get_mut().timers.head = Some(took);
    }

    /// Keeps what the line is to say of the head, which is from `client`, and the request's identifier:
    /// `theirs`, if that counts, or a generated one.
    pub fn read(&mut self, head: &RequestHead<'_, '_>, client: Peer, theirs: Option<&[u8]>) {
        let facts = self.facts.get_mut();
        facts.client = client;
        facts.protocol = protocol(head.version);
        let (mut referer, mut user_agent): (&[u8], &[u8]) = (b"", b"");
        for (known, name, value) in head.fields.iter() {
            match name.len() {
                7 if known == Name::Other && name.eq_ignore_ascii_case(b"referer") => {
                    referer = value;
                }
                10 if known == Name::Other && name.eq_ignore_ascii_case(b"user-agent") => {
                    user_agent = value;
                }
                _ => {}
            }
        }
        let made = self.log.access_logger.make_id();
        let id = theirs.unwrap_or(&made);
        let target = head.path_and_query();
        let (method, target) = (head.method.as_bytes(), target.as_bytes());
        let tls = self.tls.as_deref().unwrap_or_default().as_bytes();
        self.texts.keep([method, target, head.authority, referer, user_agent, tls, id]);
    }

    /// It is TLS that is relayed, for the host of this name if one was asked for: nothing else is known.
    pub fn relays_tls(&mut self, server_name: Option<&ServerName>) {
        let tls = format!("-/-/{}/-", server_name.map_or("-", ServerName::as_str));
        self.texts.keep([b"", b"", b"", b"", b"", tls.as_bytes(), b""]);
    }

    /// Keeps the first line of what could not be read as a head, as far as there are words in it.
    pub fn read_odd(&mut self, bytes: &[u8]) {
        self.took(bytes.len() as u64);
        if !self.texts.is_empty() {
            return;
        }
        let bytes = &bytes[..bytes.len().min(ODD_LINE_BYTES_MAX)];
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let line = &bytes[..end.unwrap_or(bytes.len())];
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.facts.get_mut().protocol = match words.next() {
            Some(b"HTTP/1.1") => Protocol::Http11,
            Some(b"HTTP/1.0") => Protocol::Http10,
            _ => Protocol::Http,
        };
        let tls = self.tls.as_deref().unwrap_or_default().as_bytes();
        self.texts.keep([method, target, b"", b"", b"", tls, b""]);
    }

    /// Keeps what can be told of a head that was refused, however far that has come: fields of HTTP/2, not
    /// checked.
    pub fn read_refused(&mut self, section: &FieldSection) {
        self.took(section.cost_bytes() as u64);
        if !self.texts.is_empty() {
            return;
        }
        let value = |name: &str| {
            let found = section.iter().find(|(known, _)| *known == name.as_bytes());
            let value = found.map(|(_, value)| value).unwrap_or_default();
            &value[..value.len().min(ODD_VALUE_BYTES_MAX)]
        };
        let host = Some(value(":authority")).filter(|host| !host.is_empty());
        let host = host.unwrap_or_else(|| value("host"));
        let tls = self.tls.as_deref().unwrap_or_default().as_bytes();
        let [method, target] = [":method", ":path"].map(value);
        let [referer, user_agent] = ["referer", "user-agent"].map(value);
        self.texts.keep([method, target, host, referer, user_agent, tls, b""]);
    }

    /// It belongs to this trace.
    pub fn traced(&mut self, trace: TraceId) {
        self.facts.get_mut().trace = Some(trace);
    }

    /// These are its spans, which are sent when it has ended.
    pub fn records(&mut self, spans: RefCell<SpanRecord>) {
        self.spans = Some(Box::new(spans));
    }

    /// What the endpoint that is tried is to be told of the trace, if not what was written.
    #[inline]
    pub fn retold(&self) -> Option<TraceContext> {
        self.spans.as_ref().and_then(|spans| spans.borrow().retold())
    }

    /// What X-Request-Id is to say.
    pub fn request_id(&self) -> &[u8] {
        self.texts.request_id()
    }

    /// It takes this route.
    pub fn routed(&self, route: RouteId) {
        self.facts.borrow_mut().route = Some(route);
    }

    /// It waits for room at an endpoint of this upstream.
    pub fn queues(&self, upstream: UpstreamId) {
        self.facts.borrow_mut().upstream = Some(upstream);
        self.enter(ExchangePhase::Queue);
    }

    /// It has waited for that for so long.
    pub fn queued(&self, took: Duration) {
        let queue = &mut self.facts.borrow_mut().timers.queue;
        *queue = Some(queue.unwrap_or_default() + took);
    }

    /// An attempt begins at an endpoint, which was picked for the reason of this name.
    pub fn trying(
        &self,
        upstream: UpstreamId,
        endpoint: EndpointId,
        picked: &'static str,
        now: Instant,
    ) {
        let mut facts = self.facts.borrow_mut();
        facts.picked = picked;
        facts.upstream = Some(upstream);
        facts.tried.push(endpoint);
        facts.timers.queue.get_or_insert(Duration::ZERO);
        facts.timers.connect = None;
        facts.timers.first_byte = None;
        if let Some(spans) = &self.spans {
            let (at, since) = ((upstream, endpoint), now.saturating_duration_since(self.began));
            spans.borrow_mut().try_at(at, since, || self.log.access_logger.number());
        }
        self.sent.set(now);
        self.termination.set(None);
        self.enter(ExchangePhase::Connect);
    }

    /// A connection has been opened for it.
    pub fn connected(&self) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.sent.get());
        self.facts.borrow_mut().timers.connect = Some(took);
        self.sent.set(now);
    }

    /// The first byte of an answer's head has come.
    pub fn heard(&self) {
        self.facts.borrow_mut().timers.first_byte = Some(self.sent.get().elapsed());
    }

    /// What is being done from now on.
    pub fn enter(&self, phase: ExchangePhase) {
        self.phase.set(phase);
    }

    /// This rule answers it.
    pub fn ruled(&self, rule: &'static str) {
        self.facts.borrow_mut().rule = rule;
    }

    /// This status goes to the client.
    pub fn answered(&self, status: u16) {
        let mut facts = self.facts.borrow_mut();
        facts.status = status;
        self.answer_from.set(facts.bytes_to_client);
        self.enter(ExchangePhase::ResponseBody);
    }

    /// It was a call of gRPC, whose client has been told this status.
    pub fn call_ended(&self, status: Status) {
        self.facts.borrow_mut().call_status = Some(status);
    }

    /// So many bytes of interim answers went before that, and have not been counted yet.
    pub fn after_interim(&self, bytes: u64) {
        self.answer_from.set(self.answer_from.get() + bytes);
    }

    /// So many bytes have come from the client.
    pub fn took(&self, bytes: u64) {
        self.facts.borrow_mut().bytes_from_client += bytes;
    }

    /// So many bytes have gone to the client.
    pub fn gave(&self, bytes: u64) {
        self.facts.borrow_mut().bytes_to_client += bytes;
    }

    /// It has ended, at `now` if that is known.
    pub fn end(&self, termination: Termination, now: Option<Instant>) {
        self.termination.set(Some(termination));
        self.ended.set(now);
    }

    /// A fault has ended the request, or the attempt under way.
    pub fn end_by_fault(&self, fault: Fault) {
        let termination = fault.termination();
        if let Some(spans) = &self.spans {
            spans.borrow_mut().fail(termination, self.began.elapsed());
        }
        self.end(termination, None);
    }

    /// All that is known of it, now that it has ended.
    pub fn close(&mut self) -> (&Facts, &Texts) {
        let facts = self.facts.get_mut();
        if facts.bytes_to_client <= self.answer_from.get() {
            // It was meant to be sent, but the client took none of it.
            facts.status = 0;
        }
        let ended = *self.ended.get_mut().get_or_insert_with(Instant::now);
        facts.timers.total = ended.saturating_duration_since(self.began);
        let cut = || Termination::new(Ender::Drain, self.phase.get());
        facts.termination = self.termination.get().unwrap_or_else(cut);
        (facts, &self.texts)
    }

    /// An error of this kind on this side has ended the tunnel.
    pub fn end_tunnel_by(&self, side: Side, kind: Kind) {
        self.end(tunnel_termination(side, kind), None);
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        if self.fate == Fate::Written {
            self.close();
        }
        if self.fate == Fate::Written {
            self.log.write(self.facts.get_mut(), &self.texts);
            if let Some(spans) = self.spans.take() {
                let (record, texts) =
                    (Box::new(spans.into_inner()), std::mem::take(&mut self.texts));
                return self.log.send_spans(record, self.facts.get_mut(), texts);
            }
        }
        self.log.access_logger.recycle(std::mem::take(&mut self.texts));
    }
}

fn protocol(version: Version) -> Protocol {
    match version {
        Version::Http10 => Protocol::Http10,
        Version::Http11 => Protocol::Http11,
        Version::Http2 => Protocol::Http2,
    }
}

/// What is known of a request besides what it says.
pub struct RequestTiming {
    /// When its first byte came.
    pub began: Instant,
    /// When its head was whole, or filters had taken their time to admit it.
    pub ready: Instant,
    /// When its answer had gone to the client, if that is known.
    pub answered: Option<Instant>,
    /// Until when its client waits, if it has said so.
    pub expires: Option<Instant>,
    /// What is to be logged of it, if anything is.
    pub request_log: Option<Box<RequestLog>>,
}

impl RequestTiming {
    /// From this client, now.
    pub fn begin(context: &WorkerContext, client_info: &ClientInfo) -> Self {
        Self::begun_at(Instant::now(), context, client_info)
    }

    /// From this client, whose first byte of it has come then.
    pub fn begun_at(began: Instant, context: &WorkerContext, client_info: &ClientInfo) -> Self {
        let addresses = (client_info.client, client_info.peer());
        let mut request_log = RequestLog::begin(context, addresses, Protocol::Http, began);
        if let (Some(request_log), Some(info)) = (&mut request_log, client_info.tls_text()) {
            request_log.over_tls(info);
        }
        Self { began, ready: began, answered: None, expires: None, request_log }
    }

    /// What is to be logged, if anything is.
    pub fn request_log(&self) -> Option<&RequestLog> {
        self.request_log.as_deref()
    }

    /// The head has come whole: with its first byte, or now.
    pub fn end_head(&mut self, at_once: bool) {
        if !at_once {
            self.ready = Instant::now();
        }
        if let Some(request_log) = &mut self.request_log {
            let waited = || self.ready.saturating_duration_since(self.began);
            request_log.head_came(if at_once { Duration::ZERO } else { waited() });
        }
    }

    /// It came on this stream of its connection.
    pub fn on_stream(&mut self, id: u32) {
        if let Some(request_log) = &mut self.request_log {
            let facts = request_log.facts.get_mut();
            (facts.protocol, facts.stream) = (Protocol::Http2, NonZeroU32::new(id));
        }
    }

    /// It was no request.
    pub fn discard(&mut self) {
        if let Some(request_log) = self.request_log.take() {
            request_log.discard();
        }
    }
}

/// Counts what has been moved both ways when it is dropped, even if the task is cancelled.
pub struct TrafficGuard<'a> {
    metrics: &'a Metrics,
    request_log: Option<&'a RequestLog>,
    known: u64,
    up: &'a Meter<'a>,
    down: &'a Meter<'a>,
}

impl<'a> TrafficGuard<'a> {
    /// What follows is of this phase. Of what goes up, so many bytes at its start are `known`: they are
    /// ours, or have been counted.
    pub fn begin(
        (metrics, request_log): (&'a Metrics, Option<&'a RequestLog>),
        phase: ExchangePhase,
        known: u64,
        (up, down): (&'a Meter<'a>, &'a Meter<'a>),
    ) -> Self {
        if let Some(request_log) = request_log {
            request_log.enter(phase);
        }
        Self { metrics, request_log, known, up, down }
    }
}

impl Drop for TrafficGuard<'_> {
    fn drop(&mut self) {
        let Self { metrics, up, down, .. } = self;
        metrics.bytes_up.add(up.bytes());
        metrics.bytes_down.add(down.bytes());
        metrics.bytes_spliced.add(up.unseen() + down.unseen());
        if let Some(request_log) = self.request_log {
            request_log.took(up.bytes().saturating_sub(self.known));
            request_log.gave(down.bytes());
            request_log.facts.borrow_mut().bytes_spliced += up.unseen() + down.unseen();
        }
    }
}
