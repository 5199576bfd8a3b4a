//! The line of the access log that is to be written about a request, a tunnel or a connection: what
//! has been learned so far. There is none while nothing is logged.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::journal::Journal;
use super::services::Services;
use crate::access_log::{Ender, Entry, Phase, Protocol, Termination, Timers, is_request_id};
use crate::address::Address;
use crate::fault::{Fault, Kind, Side};
use crate::http::field::Name;
use crate::http::head::{RequestHead, Version};
use crate::net::listen::Peer;
use crate::relay::copy::Meter;
use crate::upstream::balance::ATTEMPTS_MAX;

/// Each endpoint may have a second chance, when its idle connection had gone stale.
const TRIED_MAX: usize = 2 * ATTEMPTS_MAX;

/// What is shown of a first line that could not be understood, in bytes.
const ODD_LINE_BYTES_MAX: usize = 1024;

/// What is known of a line. It is written when this is dropped, so that there is one whatever happens
/// to the work it is about; if that was cut, it says so.
pub struct Draft {
    /// Those it began with, whose plan has the names.
    services: Rc<Services>,
    client: Peer,
    protocol: Protocol,
    began: Instant,
    head: Option<Duration>,
    texts: Texts,
    upstream: Cell<Option<usize>>,
    route: Cell<Option<usize>>,
    tried: RefCell<Attempts>,
    connect: Cell<Option<Duration>>,
    first_byte: Cell<Option<Duration>>,
    /// When the request began to be sent, by the attempt under way.
    sent: Cell<Instant>,
    ended: Cell<Option<Instant>>,
    status: Cell<u16>,
    up: Cell<u64>,
    down: Cell<u64>,
    spliced: Cell<u64>,
    phase: Cell<Phase>,
    /// How it ended, once it has.
    termination: Cell<Option<Termination>>,
    fate: Fate,
}

/// What becomes of a draft in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written,
    /// There was nothing to tell.
    Discarded,
}

/// The endpoints that were tried, in order.
#[derive(Default)]
struct Attempts {
    endpoints: [u32; TRIED_MAX],
    count: usize,
}

/// What is kept of a head, in the order of [`Part`]: the bytes it stood in are gone before the line is
/// written.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: [u32; Part::COUNT],
}

/// What is kept of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Part {
    Method,
    Target,
    Host,
    Referer,
    UserAgent,
    RequestId,
}

impl Part {
    const COUNT: usize = 6;
}

impl Texts {
    fn keep(&mut self, parts: [&[u8]; Part::COUNT]) {
        self.bytes.reserve(parts.iter().map(|part| part.len()).sum());
        for (part, end) in parts.iter().zip(&mut self.ends) {
            self.bytes.extend_from_slice(part);
            // A head is no longer than a buffer.
            *end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        }
    }

    fn get(&self, part: Part) -> &[u8] {
        let end = self.ends[part as usize] as usize;
        let start = (part as usize).checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.bytes[start..end]
    }
}

impl Draft {
    /// About something that begins now; none, if nothing is logged.
    pub fn begin(
        services: &Rc<Services>,
        client: Peer,
        protocol: Protocol,
        began: Instant,
    ) -> Option<Box<Self>> {
        let bytes = services.journal.as_ref()?.spare();
        Some(Box::new(Self {
            services: Rc::clone(services),
            client,
            protocol,
            began,
            head: None,
            texts: Texts { bytes, ..Texts::default() },
            upstream: Cell::new(None),
            route: Cell::new(None),
            tried: RefCell::default(),
            connect: Cell::new(None),
            first_byte: Cell::new(None),
            sent: Cell::new(began),
            ended: Cell::new(None),
            status: Cell::new(0),
            up: Cell::new(0),
            down: Cell::new(0),
            spliced: Cell::new(0),
            phase: Cell::new(Phase::RequestHead),
            termination: Cell::new(None),
            fate: Fate::Written,
        }))
    }

    /// Nothing has happened that is worth a line.
    pub fn discard(mut self: Box<Self>) {
        self.fate = Fate::Discarded;
    }

    /// The head has come whole.
    pub fn head_came(&mut self, took: Duration) {
        self.head = Some(took);
    }

    /// Keeps what the line is to say of the head, and finds a name for the request: what a trusted
    /// client calls it, or one of our own.
    pub fn read(&mut self, head: &RequestHead<'_, '_>, trusted: bool) {
        self.protocol = protocol(head.version);
        let (mut referer, mut user_agent): (&[u8], &[u8]) = (b"", b"");
        for (known, name, value) in head.fields.iter() {
            match name.len() {
                7 if known == Name::Other && name.eq_ignore_ascii_case("referer") => {
                    referer = value;
                }
                10 if known == Name::Other && name.eq_ignore_ascii_case("user-agent") => {
                    user_agent = value;
                }
                _ => {}
            }
        }
        let mut ids = head.fields.values(Name::RequestId);
        let theirs = ids.next().filter(|id| trusted && is_request_id(id) && ids.next().is_none());
        let made = self.services.journal.as_deref().map(Journal::make_id).unwrap_or_default();
        let id = theirs.unwrap_or(&made);
        let (method, target) = (head.method.as_bytes(), head.target.as_bytes());
        self.texts.keep([method, target, head.authority, referer, user_agent, id]);
    }

    /// Keeps the first line of what could not be read as a head, as far as there are words in it.
    pub fn read_odd(&mut self, bytes: &[u8]) {
        self.took(bytes.len() as u64);
        if !self.texts.bytes.is_empty() {
            return;
        }
        let bytes = &bytes[..bytes.len().min(ODD_LINE_BYTES_MAX)];
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let line = &bytes[..end.unwrap_or(bytes.len())];
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.protocol = match words.next() {
            Some(b"HTTP/1.1") => Protocol::Http11,
            Some(b"HTTP/1.0") => Protocol::Http10,
            _ => Protocol::Http,
        };
        self.texts.keep([method, target, b"", b"", b"", b""]);
    }

    /// What X-Request-Id is to say.
    pub fn request_id(&self) -> &[u8] {
        self.texts.get(Part::RequestId)
    }

    /// It takes this route.
    pub fn routed(&self, route: usize) {
        self.route.set(Some(route));
    }

    /// An attempt at an endpoint begins.
    pub fn trying(&self, upstream: usize, endpoint: usize, now: Instant) {
        self.upstream.set(Some(upstream));
        self.tried.borrow_mut().push(endpoint);
        self.sent.set(now);
        self.connect.set(None);
        self.first_byte.set(None);
        self.termination.set(None);
        self.enter(Phase::Connect);
    }

    /// A connection has been opened for it.
    pub fn connected(&self) {
        let now = Instant::now();
        self.connect.set(Some(now.saturating_duration_since(self.sent.get())));
        self.sent.set(now);
    }

    /// The first byte of an answer's head has come.
    pub fn heard(&self) {
        self.first_byte.set(Some(self.sent.get().elapsed()));
    }

    /// What is being done from now on.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// This status goes to the client.
    pub fn answered(&self, status: u16) {
        self.status.set(status);
        self.enter(Phase::ResponseBody);
    }

    /// So many bytes have come from the client.
    pub fn took(&self, bytes: u64) {
        self.up.set(self.up.get() + bytes);
    }

    /// So many bytes have gone to the client.
    pub fn gave(&self, bytes: u64) {
        self.down.set(self.down.get() + bytes);
    }

    /// It has ended, at `now` if that is known.
    pub fn end(&self, termination: Termination, now: Option<Instant>) {
        self.termination.set(Some(termination));
        self.ended.set(now);
    }

    /// A fault has ended it, or the attempt under way.
    pub fn fail(&self, fault: Fault) {
        self.end(Termination::of(fault), None);
    }

    /// A tunnel has broken.
    pub fn sever(&self, side: Side, kind: Kind) {
        self.end(Termination::tunnel(side, kind), None);
    }

    fn write(&self, journal: &Journal) {
        let plan = &self.services.plan;
        let upstream = self.upstream.get().map(|index| &plan.upstreams[index]);
        let attempts = self.tried.borrow();
        let mut room: [&Address; TRIED_MAX];
        let tried: &[&Address] = match (upstream, attempts.endpoints()) {
            (Some(upstream), [first, ..]) => {
                room = [&upstream.endpoints[*first as usize].address; TRIED_MAX];
                for (address, index) in room.iter_mut().zip(attempts.endpoints()) {
                    *address = &upstream.endpoints[*index as usize].address;
                }
                &room[..attempts.endpoints().len()]
            }
            _ => &[],
        };
        let ended = self.ended.get().unwrap_or_else(Instant::now);
        let cut = || Termination::new(Ender::Drain, self.phase.get());
        let texts = &self.texts;
        journal.write(&Entry {
            unix_micros: journal.unix_micros(self.began),
            client: self.client,
            protocol: self.protocol,
            tls: None,
            method: texts.get(Part::Method),
            target: texts.get(Part::Target),
            host: texts.get(Part::Host),
            referer: texts.get(Part::Referer),
            user_agent: texts.get(Part::UserAgent),
            status: self.status.get(),
            bytes_from_client: self.up.get(),
            bytes_to_client: self.down.get(),
            bytes_spliced: self.spliced.get(),
            route: self.route.get().map(|route| &*plan.routes[route].name),
            upstream: upstream.map(|upstream| &*upstream.name),
            tried,
            retries: u32::try_from(attempts.count.saturating_sub(1)).unwrap_or(u32::MAX),
            timers: Timers {
                head: self.head,
                // Nobody waits for a turn yet.
                queue: upstream.map(|_| Duration::ZERO),
                connect: self.connect.get(),
                first_byte: self.first_byte.get(),
                total: ended.saturating_duration_since(self.began),
            },
            termination: self.termination.get().unwrap_or_else(cut),
            request_id: std::str::from_utf8(self.request_id()).ok().filter(|id| !id.is_empty()),
        });
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let (Some(journal), Fate::Written) = (&self.services.journal, self.fate) {
            self.write(journal);
            journal.recycle(std::mem::take(&mut self.texts.bytes));
        }
    }
}

impl Attempts {
    /// One more; which endpoint it was is kept of the first ones only, the number of all.
    fn push(&mut self, endpoint: usize) {
        if let Some(place) = self.endpoints.get_mut(self.count) {
            // Nobody has more.
            *place = u32::try_from(endpoint).unwrap_or(u32::MAX);
        }
        self.count += 1;
    }

    fn endpoints(&self) -> &[u32] {
        &self.endpoints[..self.count.min(TRIED_MAX)]
    }
}

fn protocol(version: Version) -> Protocol {
    match version {
        Version::Http10 => Protocol::Http10,
        Version::Http11 => Protocol::Http11,
    }
}

/// What is known of a request besides what it says.
pub struct Coming {
    /// When its first byte came.
    pub began: Instant,
    /// When its head was whole.
    pub ready: Instant,
    /// What is to be logged of it, if anything is.
    pub draft: Option<Box<Draft>>,
}

impl Coming {
    /// From this client, now.
    pub fn begin(services: &Rc<Services>, client: Peer) -> Self {
        let began = Instant::now();
        let draft = Draft::begin(services, client, Protocol::Http, began);
        Self { began, ready: began, draft }
    }

    /// What is to be logged, if anything is.
    pub fn draft(&self) -> Option<&Draft> {
        self.draft.as_deref()
    }

    /// The head has come whole.
    pub fn end_head(&mut self, now: Instant) {
        self.ready = now;
        if let Some(draft) = &mut self.draft {
            draft.head_came(now.saturating_duration_since(self.began));
        }
    }

    /// It was no request.
    pub fn discard(self) {
        if let Some(draft) = self.draft {
            draft.discard();
        }
    }
}

/// Counts what has been moved both ways when it is dropped: when that has ended, and be it with its task.
pub struct Tally<'a> {
    services: &'a Services,
    draft: Option<&'a Draft>,
    known: u64,
    up: &'a Meter<'a>,
    down: &'a Meter<'a>,
}

impl<'a> Tally<'a> {
    /// What follows is of this phase. Of what goes up, so many bytes at its start are `known`: they are
    /// ours, or have been counted.
    pub fn begin(
        (services, draft): (&'a Services, Option<&'a Draft>),
        phase: Phase,
        known: u64,
        (up, down): (&'a Meter<'a>, &'a Meter<'a>),
    ) -> Self {
        if let Some(draft) = draft {
            draft.enter(phase);
        }
        Self { services, draft, known, up, down }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let Self { services, up, down, .. } = self;
        services.metrics.bytes_up.add(up.bytes());
        services.metrics.bytes_down.add(down.bytes());
        services.metrics.bytes_spliced.add(up.unseen() + down.unseen());
        if let Some(draft) = self.draft {
            draft.took(up.bytes().saturating_sub(self.known));
            draft.gave(down.bytes());
            draft.spliced.set(draft.spliced.get() + up.unseen() + down.unseen());
        }
    }
}
