//! Entries on their way to the thread that writes them: put down as they are, since a worker that wrote
//! each as text would spend most of the time fetching the code that does.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entry, Protocol, Timers};
use super::format::Names;
use crate::id::{EndpointId, RouteId, UpstreamId};
use crate::termination::Termination;

/// How many of the endpoints that were tried are kept.
pub const TRIED_MAX: usize = 8;

/// What the client wrote, in the order of [`Texts::keep`].
const PARTS: usize = 6;

/// What a client wrote, kept until its entry is complete. It can be used again.
#[derive(Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    ends: [u32; PARTS],
}

impl Texts {
    /// Keeps method, target, host, Referer, User-Agent and the request's identifier, in place of what
    /// there was.
    pub fn keep(&mut self, parts: [&[u8]; PARTS]) {
        self.bytes.clear();
        self.bytes.reserve(parts.iter().map(|part| part.len()).sum());
        for (part, end) in parts.iter().zip(&mut self.ends) {
            self.bytes.extend_from_slice(part);
            // A head is no longer than a buffer.
            *end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        }
    }

    /// The request's identifier; empty if it has none.
    pub fn request_id(&self) -> &[u8] {
        &self.bytes[self.ends[PARTS - 2] as usize..]
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends = [0; PARTS];
    }

    /// The bytes of memory it takes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// What there is to say of an exchange but for its texts.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// When the first byte of the request came, in microseconds since 1970 (UTC).
    pub unix_micros: u64,
    /// The client's address, as trusted proxies name it; `None`: it came by a unix socket.
    pub client: Option<IpAddr>,
    /// The address of the connection itself; `None`: a unix socket.
    pub peer: Option<IpAddr>,
    /// What it spoke.
    pub protocol: Protocol,
    /// The status that was sent; 0: none was.
    pub status: u16,
    /// Bytes taken from the client, heads included.
    pub bytes_from_client: u64,
    /// Bytes sent to the client, heads included.
    pub bytes_to_client: u64,
    /// Bytes among both that went through splice(2).
    pub bytes_spliced: u64,
    /// The route that was found.
    pub route: Option<RouteId>,
    /// The upstream that its requests go to.
    pub upstream: Option<UpstreamId>,
    /// The endpoints that were tried.
    pub tried: Tried,
    /// How long it took.
    pub timers: Timers,
    /// How it ended.
    pub termination: Termination,
}

impl Facts {
    /// Of what has just begun.
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
            status: 0,
            bytes_from_client: 0,
            bytes_to_client: 0,
            bytes_spliced: 0,
            route: None,
            upstream: None,
            tried: Tried { endpoints: [EndpointId::new(0); TRIED_MAX], count: 0 },
            timers: Timers {
                head: None,
                queue: None,
                connect: None,
                first_byte: None,
                total: Duration::ZERO,
            },
            termination: Termination::COMPLETE,
        }
    }
}

/// The endpoints that were tried, in order.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    endpoints: [EndpointId; TRIED_MAX],
    count: u32,
}

impl Tried {
    /// One more; which it was is kept of the first ones only, the number of all.
    pub fn push(&mut self, endpoint: EndpointId) {
        if let Some(place) = self.endpoints.get_mut(self.count as usize) {
            *place = endpoint;
        }
        self.count += 1;
    }

    /// The first ones.
    fn first(&self) -> &[EndpointId] {
        &self.endpoints[..TRIED_MAX.min(self.count as usize)]
    }
}

/// One entry's place among the texts of its batch, and whose names it goes by.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    ends: [u32; PARTS],
    names: usize,
}

/// Entries in the order they came.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<(Facts, Place)>,
    texts: Vec<u8>,
    /// Nearly always one: there are more after a reload.
    names: Vec<Arc<Names>>,
}

impl Batch {
    /// Empty, with room for so many entries and bytes of text.
    pub fn with_capacity(entries: usize, text_bytes: usize) -> Self {
        let (entries, texts) = (Vec::with_capacity(entries), Vec::with_capacity(text_bytes));
        Self { entries, texts, names: Vec::new() }
    }

    /// Adds an entry.
    pub fn push(&mut self, facts: &Facts, texts: &Texts, names: &Arc<Names>) {
        let known = self.names.iter().rposition(|known| Arc::ptr_eq(known, names));
        let names = known.unwrap_or_else(|| {
            self.names.push(Arc::clone(names));
            self.names.len() - 1
        });
        let place = Place { start: self.texts.len(), ends: texts.ends, names };
        self.texts.extend_from_slice(&texts.bytes);
        self.entries.push((*facts, place));
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of all texts.
    pub fn text_bytes(&self) -> usize {
        self.texts.len()
    }

    /// The bytes of memory it takes.
    pub fn capacity(&self) -> usize {
        self.entries.capacity() * size_of::<(Facts, Place)>() + self.texts.capacity()
    }

    /// Empties it; no more than this is kept of the room for texts.
    pub fn clear(&mut self, text_bytes: usize) {
        self.entries.clear();
        self.names.clear();
        self.texts.clear();
        self.texts.shrink_to(text_bytes);
    }

    /// All entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().map(|(facts, place)| self.entry(facts, place))
    }

    fn entry<'a>(&'a self, facts: &'a Facts, place: &Place) -> Entry<'a> {
        let part = |index: usize| {
            let from = index.checked_sub(1).map_or(0, |before| place.ends[before] as usize);
            &self.texts[place.start..][from..place.ends[index] as usize]
        };
        Entry {
            unix_micros: facts.unix_micros,
            client: facts.client,
            peer: facts.peer,
            protocol: facts.protocol,
            tls: None,
            method: part(0),
            target: part(1),
            host: part(2),
            referer: part(3),
            user_agent: part(4),
            request_id: part(5),
            status: facts.status,
            bytes_from_client: facts.bytes_from_client,
            bytes_to_client: facts.bytes_to_client,
            bytes_spliced: facts.bytes_spliced,
            names: &self.names[place.names],
            route: facts.route,
            upstream: facts.upstream,
            tried: facts.tried.first(),
            retries: facts.tried.count.saturating_sub(1),
            timers: facts.timers,
            termination: facts.termination,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::NOTHING;

    fn texts(parts: [&str; PARTS]) -> Texts {
        let mut texts = Texts::default();
        texts.keep(parts.map(str::as_bytes));
        texts
    }

    #[test]
    fn texts_come_back_as_they_were() {
        let (mut batch, names) = (Batch::default(), Arc::default());
        let rows = [["GET", "/a", "h", "r", "ua", "1"], [""; PARTS], ["", "/b", "", "", "", "2"]];
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
                entry.request_id,
            ]
        });
        assert!(found.eq(rows.map(|row| row.map(str::as_bytes))));
        assert_eq!((batch.len(), batch.text_bytes()), (3, 13));
    }

    #[test]
    fn texts_can_be_used_again() {
        let mut texts = texts(["GET", "/a", "h", "r", "ua", "1"]);
        assert_eq!(texts.request_id(), b"1");
        texts.clear();
        assert!(texts.is_empty() && texts.request_id().is_empty());
        texts.keep([b"", b"/", b"", b"", b"", b"22"]);
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
    fn the_first_of_many_endpoints_are_kept_and_all_counted() {
        let mut batch = Batch::default();
        let mut facts = NOTHING;
        (0..20).for_each(|_| facts.tried.push(EndpointId::new(7)));
        batch.push(&facts, &Texts::default(), &Arc::default());
        let entry = batch.entries().next().unwrap();
        assert_eq!((entry.tried, entry.retries), (&[EndpointId::new(7); TRIED_MAX][..], 19));
    }
}
