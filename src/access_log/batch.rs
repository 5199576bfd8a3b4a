//! Entries in transit from a worker to the thread that writes them.
//!
//! They are stored unformatted: a worker that formatted each one would spend most of that time on
//! instruction-cache misses.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{LogEntry, Protocol, Timers};
use super::format::Names;
use super::sample_rate::SampleRate;
use crate::grpc::status::Status;
use crate::id::{EndpointId, RouteId, UpstreamId};
use crate::termination::Termination;
use crate::trace::context::TraceId;

/// The number of tried endpoints an entry names; further attempts are only counted.
pub const TRIED_MAX: usize = 8;

/// The number of text fields, in the order of [`Texts::keep`].
const PARTS: usize = 7;

/// The text fields of one request, kept until its entry is complete. Reusable.
#[derive(Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    ends: [u32; PARTS],
}

impl Texts {
    /// Stores method, target, host, Referer, User-Agent, TLS and request ID, replacing what was there.
    pub fn keep(&mut self, parts: [&[u8]; PARTS]) {
        self.bytes.clear();
        self.bytes.reserve(parts.iter().map(|part| part.len()).sum());
        for (part, end) in parts.iter().zip(&mut self.ends) {
            self.bytes.extend_from_slice(part);
            // Cannot overflow: a head fits in one buffer.
            *end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        }
    }

    /// The request ID; empty if there is none.
    pub fn request_id(&self) -> &[u8] {
        &self.bytes[self.ends[PARTS - 2] as usize..]
    }

    /// All fields, in the order of [`Texts::keep`]; empty ones are absent.
    pub fn parts(&self) -> [&[u8]; PARTS] {
        let mut begin = 0;
        self.ends.map(|end| {
            let end = end as usize;
            &self.bytes[std::mem::replace(&mut begin, end)..end]
        })
    }

    /// Whether all fields are empty.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Removes all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends = [0; PARTS];
    }

    /// The allocated memory, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Everything logged about an exchange except its [`Texts`].
#[derive(Clone, Copy, Debug)]
pub struct Facts {
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
    /// The status that was sent; 0 if none was.
    pub status: u16,
    /// Bytes received from the client, including headers.
    pub bytes_from_client: u64,
    /// Bytes sent to the client, including headers.
    pub bytes_to_client: u64,
    /// The part of both that was moved with splice(2).
    pub bytes_spliced: u64,
    /// The matching route.
    pub route: Option<RouteId>,
    /// The upstream of that route.
    pub upstream: Option<UpstreamId>,
    /// The endpoints that were tried.
    pub tried: TriedEndpoints,
    /// The rule that answered: a word, or nothing if none did.
    pub rule: &'static str,
    /// Why the last of them was picked: a word, or nothing if none was.
    pub picked: &'static str,
    /// How long each part took.
    pub timers: Timers,
    /// How it ended.
    pub termination: Termination,
    /// What its client was told, if it was a call of gRPC.
    pub call_status: Option<Status>,
    /// The trace it belongs to, if we take part in that.
    pub trace: Option<TraceId>,
}

impl Facts {
    /// Whether it has failed, by whoever's fault: nothing or a 5xx was sent, it was broken off, or a call of gRPC
    /// was told of an error of its server. What a rule of ours answers is no failure, since it is as configured
    /// and can be had from outside in any number.
    pub fn has_failed(&self) -> bool {
        let was_cut = !matches!(self.termination.letters()[0], b'-' | b'R');
        let is_relayed = self.protocol == Protocol::Tcp;
        let is_error = !is_relayed && !(1..500).contains(&self.status)
            || is_relayed && self.termination != Termination::COMPLETE;
        was_cut || is_error || self.call_status.is_some_and(Status::is_of_server)
    }

    /// Facts of an exchange that has just begun.
    pub const fn new(
        unix_micros: u64,
        (client, peer): (Option<IpAddr>, Option<IpAddr>),
        protocol: Protocol,
    ) -> Self {
        Self {
            unix_micros,
            client,
            peer,
            protocol,
            stream: None,
            status: 0,
            bytes_from_client: 0,
            bytes_to_client: 0,
            bytes_spliced: 0,
            route: None,
            upstream: None,
            tried: TriedEndpoints { endpoints: [EndpointId::new(0); TRIED_MAX], count: 0 },
            rule: "",
            picked: "",
            timers: Timers {
                head: None,
                queue: None,
                connect: None,
                first_byte: None,
                total: Duration::ZERO,
            },
            termination: Termination::COMPLETE,
            call_status: None,
            trace: None,
        }
    }
}

/// The endpoints that were tried, in order.
#[derive(Clone, Copy, Debug)]
pub struct TriedEndpoints {
    endpoints: [EndpointId; TRIED_MAX],
    count: u32,
}

impl TriedEndpoints {
    /// Adds an attempt; beyond [`TRIED_MAX`] it is only counted.
    pub fn push(&mut self, endpoint: EndpointId) {
        if let Some(slot) = self.endpoints.get_mut(self.count as usize) {
            *slot = endpoint;
        }
        self.count += 1;
    }

    /// How many there were.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The first [`TRIED_MAX`] endpoints.
    pub fn first(&self) -> &[EndpointId] {
        &self.endpoints[..TRIED_MAX.min(self.count as usize)]
    }
}

/// Where an entry's texts are in its batch, and which of the batch's [`Names`] apply to it.
#[derive(Clone, Copy, Debug)]
struct TextSpan {
    start: usize,
    ends: [u32; PARTS],
    names: usize,
}

/// Entries in the order they were added.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<(Facts, TextSpan)>,
    texts: Vec<u8>,
    /// Nearly always one; more only right after a reload.
    names: Vec<Arc<Names>>,
}

impl Batch {
    /// An empty batch with room for this many entries and bytes of text.
    pub fn with_capacity(entries: usize, text_bytes: usize) -> Self {
        let (entries, texts) = (Vec::with_capacity(entries), Vec::with_capacity(text_bytes));
        Self { entries, texts, names: Vec::new() }
    }

    /// Adds an entry.
    pub fn push(&mut self, facts: &Facts, texts: &Texts, names: &Arc<Names>) {
        let existing = self.names.iter().rposition(|other| Arc::ptr_eq(other, names));
        let names = existing.unwrap_or_else(|| {
            self.names.push(Arc::clone(names));
            self.names.len() - 1
        });
        let span = TextSpan { start: self.texts.len(), ends: texts.ends, names };
        self.texts.extend_from_slice(&texts.bytes);
        self.entries.push((*facts, span));
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The length of all texts together, in bytes.
    pub fn text_bytes(&self) -> usize {
        self.texts.len()
    }

    /// The allocated memory, in bytes.
    pub fn capacity(&self) -> usize {
        self.entries.capacity() * size_of::<(Facts, TextSpan)>() + self.texts.capacity()
    }

    /// Removes all entries and keeps at most `text_bytes` of the memory for texts.
    pub fn clear(&mut self, text_bytes: usize) {
        self.entries.clear();
        self.names.clear();
        self.texts.clear();
        self.texts.shrink_to(text_bytes);
    }

    /// All entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = LogEntry<'_>> {
        self.entries.iter().map(|(facts, span)| self.entry(facts, span))
    }

    fn entry<'a>(&'a self, facts: &'a Facts, span: &TextSpan) -> LogEntry<'a> {
        let part = |index: usize| {
            let from = index.checked_sub(1).map_or(0, |before| span.ends[before] as usize);
            &self.texts[span.start..][from..span.ends[index] as usize]
        };
        let names = &*self.names[span.names];
        let sample = if facts.has_failed() { SampleRate::ALL } else { names.layout.sample };
        LogEntry {
            sample,
            unix_micros: facts.unix_micros,
            client: facts.client,
            peer: facts.peer,
            protocol: facts.protocol,
            stream: facts.stream,
            tls: part(5),
            method: part(0),
            target: part(1),
            host: part(2),
            referer: part(3),
            user_agent: part(4),
            request_id: part(6),
            status: facts.status,
            bytes_from_client: facts.bytes_from_client,
            bytes_to_client: facts.bytes_to_client,
            bytes_spliced: facts.bytes_spliced,
            names,
            route: facts.route,
            upstream: facts.upstream,
            tried: facts.tried.first(),
            rule: facts.rule,
            picked: facts.picked,
            retries: facts.tried.count.saturating_sub(1),
            timers: facts.timers,
            termination: facts.termination,
            call_status: facts.call_status,
            trace: facts.trace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::NOTHING;
    use crate::termination::{Ender, ExchangePhase};

    fn texts(parts: [&str; PARTS]) -> Texts {
        let mut texts = Texts::default();
        texts.keep(parts.map(str::as_bytes));
        texts
    }

    #[test]
    fn texts_are_returned_unchanged() {
        let (mut batch, names) = (Batch::default(), Arc::default());
        let rows =
            [["GET", "/a", "h", "r", "ua", "t", "1"], [""; PARTS], ["", "/b", "", "", "", "", "2"]];
        for row in rows {
            batch.push(&NOTHING, &texts(row), &names);
        }
        let found = batch.entries().map(|entry| {
            [
                entry.method,
                entry.target,
                entry.host,
                entry.referer,
                entry.user_agent,
                entry.tls,
                entry.request_id,
            ]
        });
        assert!(found.eq(rows.map(|row| row.map(str::as_bytes))));
        assert_eq!((batch.len(), batch.text_bytes()), (3, 14));
    }

    #[test]
    fn texts_can_be_reused() {
        let mut texts = texts(["GET", "/a", "h", "r", "ua", "", "1"]);
        assert_eq!(texts.request_id(), b"1");
        texts.clear();
        assert!(texts.is_empty() && texts.request_id().is_empty());
        texts.keep([b"", b"/", b"", b"", b"", b"", b"22"]);
        assert_eq!(texts.request_id(), b"22");
    }

    #[test]
    fn entries_of_different_plans_keep_their_names() {
        let (mut batch, plans) = (Batch::default(), [Arc::<Names>::default(), Arc::default()]);
        for at in [0, 1, 1, 0] {
            batch.push(&NOTHING, &Texts::default(), &plans[at]);
        }
        let found: Vec<_> = batch.entries().map(|entry| std::ptr::from_ref(entry.names)).collect();
        assert_eq!(found, [0, 1, 1, 0].map(|at: usize| Arc::as_ptr(&plans[at])));
        assert_eq!(batch.names.len(), 2);
        batch.clear(0);
        assert_eq!((batch.entries().count(), Arc::strong_count(&plans[0])), (0, 1));
    }

    #[test]
    fn what_fails_has_a_line_at_any_rate_and_what_a_rule_answers_has_not() {
        let ended = |letters: (Ender, ExchangePhase)| Termination::new(letters.0, letters.1);
        let whole = Termination::COMPLETE;
        let rule = ended((Ender::Rule, ExchangePhase::Connect));
        let left = ended((Ender::Client, ExchangePhase::ResponseBody));
        let rows = [
            (Protocol::Http11, 200, whole, None, false),
            (Protocol::Http11, 404, rule, None, false),
            (Protocol::Http11, 429, rule, None, false),
            (Protocol::Http11, 500, whole, None, true),
            (Protocol::Http11, 503, rule, None, true),
            (Protocol::Http11, 0, whole, None, true),
            (Protocol::Http11, 200, left, None, true),
            (Protocol::Http2, 200, whole, Some(Status::Unavailable), true),
            (Protocol::Http2, 200, whole, Some(Status::NotFound), false),
            (Protocol::Tcp, 0, whole, None, false),
            (Protocol::Tcp, 0, rule, None, true),
        ];
        for (protocol, status, termination, call_status, expected) in rows {
            let facts = Facts { protocol, status, termination, call_status, ..NOTHING };
            assert_eq!(facts.has_failed(), expected, "{facts:?}");
        }
    }

    #[test]
    fn the_first_of_many_endpoints_are_named_and_all_are_counted() {
        let mut batch = Batch::default();
        let mut facts = NOTHING;
        (0..20).for_each(|_| facts.tried.push(EndpointId::new(7)));
        batch.push(&facts, &Texts::default(), &Arc::default());
        let entry = batch.entries().next().unwrap();
        assert_eq!((entry.tried, entry.retries), (&[EndpointId::new(7); TRIED_MAX][..], 19));
    }
}
