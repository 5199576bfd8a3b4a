//! What was sent and what has arrived of each request and each answer of a world, and what must be true of
//! that.

use super::plans::{Answer, Ask, Extent, Method};

/// How many different bytes bodies are made of: a prime, so that what is missing shows.
const PERIOD: usize = 65_521;

/// The bytes from which bodies are taken.
#[derive(Debug)]
pub(super) struct Bytes(Vec<u8>);

impl Bytes {
    fn new() -> Self {
        let mut state = 1_u32;
        let bytes = (0..2 * PERIOD).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        let mut bytes: Vec<u8> = bytes.take(PERIOD).collect();
        bytes.extend_from_within(..);
        Self(bytes)
    }

    /// Up to `count` bytes of a body from `at` on.
    fn of(&self, seed: usize, at: usize, count: usize) -> &[u8] {
        let from = (seed * 7919 + at) % PERIOD;
        &self.0[from..from + count.min(PERIOD)]
    }
}

/// All there is to know.
#[derive(Debug)]
pub(super) struct Ledger {
    bytes: Bytes,
    pub(super) entries: Vec<Entry>,
}

/// A request, and what has become of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) ask: Ask,
    /// Whether anything of it was sent.
    pub(super) is_asked: bool,
    /// How much of its body was.
    pub(super) sent: usize,
    /// Whether all of it was.
    pub(super) is_sent: bool,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) outcome: Option<Outcome>,
}

/// A request as an endpoint got it, and its answer.
#[expect(clippy::struct_excessive_bools, reason = "each may be true by itself")]
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) answer: Answer,
    /// How much of the request's body has come.
    pub(super) came: usize,
    /// Whether all of it has.
    pub(super) is_whole: bool,
    /// Whether nothing more comes.
    pub(super) is_over: bool,
    /// Whether the endpoint has said that it has done nothing about it.
    pub(super) is_disclaimed: bool,
    /// How much of the answer's body was sent.
    pub(super) sent: usize,
    /// Whether all of the answer was.
    pub(super) is_answered: bool,
}

/// What a client has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// An answer, whole.
    Answered(Answered),
    /// Part of one, or nothing.
    Cut,
    /// It knows that nothing was done about it.
    Refused,
    /// It has left before it had all of the answer.
    Left,
}

/// An answer, as a client got it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// Which arrival it is the answer to, if an endpoint has given it.
    pub(super) arrival: Option<usize>,
    pub(super) body: usize,
    /// The body of an answer that no endpoint gave.
    pub(super) text: Vec<u8>,
    pub(super) has_trailers: bool,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { bytes: Bytes::new(), entries: Vec::new() }
    }

    /// Another request; returns its number.
    pub(super) fn ask(&mut self, ask: Ask) -> usize {
        let (is_asked, sent, is_sent) = (false, 0, false);
        let (arrivals, outcome) = (Vec::new(), None);
        self.entries.push(Entry { ask, is_asked, sent, is_sent, arrivals, outcome });
        self.entries.len() - 1
    }

    /// Up to `count` bytes of a request's body from `at` on.
    pub(super) fn asked(&self, number: usize, at: usize, count: usize) -> Vec<u8> {
        self.bytes.of(2 * number, at, count).to_vec()
    }

    /// Up to `count` bytes of an answer's body from `at` on.
    pub(super) fn answer(&self, number: usize, arrival: usize, at: usize, count: usize) -> Vec<u8> {
        self.bytes.of(2 * number + 1 + 1000 * arrival, at, count).to_vec()
    }

    /// An endpoint has got the head of a request. Returns which arrival of it that is.
    pub(super) fn arrives(&mut self, number: usize, method: &str, answer: Answer) -> usize {
        let entry = &mut self.entries[number];
        assert!(entry.is_asked, "request {number} was not sent");
        assert_eq!(method, entry.ask.method.name(), "of request {number}");
        if entry.ask.method == Method::Post {
            let known = entry.arrivals.iter().all(|arrival| arrival.is_disclaimed);
            assert!(known, "request {number} arrives twice");
        }
        entry.arrivals.push(Arrival {
            answer,
            came: 0,
            is_whole: false,
            is_over: false,
            is_disclaimed: false,
            sent: 0,
            is_answered: false,
        });
        entry.arrivals.len() - 1
    }

    pub(super) fn arrival(&mut self, (number, arrival): (usize, usize)) -> &mut Arrival {
        &mut self.entries[number].arrivals[arrival]
    }

    /// More of its body.
    pub(super) fn comes(&mut self, (number, arrival): (usize, usize), bytes: &[u8]) {
        let entry = &mut self.entries[number];
        let arrived = &mut entry.arrivals[arrival];
        for piece in bytes.chunks(PERIOD) {
            let expected = self.bytes.of(2 * number, arrived.came, piece.len());
            assert!(expected == piece, "the body of request {number} at {}", arrived.came);
            arrived.came += piece.len();
        }
        assert!(arrived.came <= entry.sent, "more of request {number} than was sent");
    }

    /// Its end.
    pub(super) fn came_whole(&mut self, (number, arrival): (usize, usize), has_trailers: bool) {
        let entry = &mut self.entries[number];
        let arrived = &mut entry.arrivals[arrival];
        // One whose length was declared is whole with its last byte.
        let is_sent = entry.is_sent || entry.ask.is_declared && entry.sent == entry.ask.body;
        assert!(is_sent, "request {number} looks whole, and was cut");
        assert_eq!(arrived.came, entry.ask.body, "the body of request {number}: {:?}", entry.ask);
        let are_due = entry.ask.has_trailers && !entry.ask.is_declared;
        assert!(has_trailers || !are_due, "request {number} has lost its trailers");
        assert!(entry.ask.has_trailers || !has_trailers, "request {number} has no trailers");
        arrived.is_whole = true;
    }

    /// More of the body of an answer.
    pub(super) fn answer_comes(&self, number: usize, answered: &mut Answered, bytes: &[u8]) {
        let Some(arrival) = answered.arrival else {
            answered.text.extend_from_slice(bytes);
            return;
        };
        for piece in bytes.chunks(PERIOD) {
            let seed = 2 * number + 1 + 1000 * arrival;
            let expected = self.bytes.of(seed, answered.body, piece.len());
            assert!(expected == piece, "the body of answer {number} at {}", answered.body);
            answered.body += piece.len();
        }
        let sent = self.entries[number].arrivals[arrival].sent;
        assert!(answered.body <= sent, "more of answer {number} than was sent");
    }

    /// What a request has come to, for its client.
    pub(super) fn conclude(&mut self, number: usize, outcome: Outcome) {
        let entry = &mut self.entries[number];
        assert_eq!(entry.outcome, None, "request {number} ends twice");
        match &outcome {
            Outcome::Answered(answered) => entry.check_answer(number, answered),
            Outcome::Refused => assert!(entry.arrivals.is_empty(), "{number} was not refused"),
            Outcome::Cut | Outcome::Left => {}
        }
        entry.outcome = Some(outcome);
    }
}

impl Entry {
    fn check_answer(&self, number: usize, answered: &Answered) {
        let Some(arrival) = answered.arrival else {
            let text = String::from_utf8_lossy(&answered.text);
            assert!((400..=505).contains(&answered.status), "{number}: {answered:?}");
            let is_named = text.starts_with(&format!("{} ", answered.status));
            let is_empty = self.ask.method == Method::Head && text.is_empty();
            assert!(is_named || is_empty, "{number}: {answered:?}");
            return;
        };
        let Arrival { answer, sent, is_answered, .. } = &self.arrivals[arrival];
        let is_sent = *is_answered || answer.is_declared && *sent == answer.body;
        assert!(is_sent, "answer {number} looks whole, and was cut: {self:?}");
        let is_bodiless = self.ask.method == Method::Head;
        let body = if is_bodiless { 0 } else { answer.body };
        assert_eq!((answered.status, answered.body), (answer.status, body), "answer {number}");
        let has_trailers = answer.has_trailers && !is_bodiless;
        assert_eq!(answered.has_trailers, has_trailers, "trailers of answer {number}");
    }

    /// Whether nothing was meant to go wrong with it.
    pub(super) fn is_clean(&self) -> bool {
        let is_whole = |arrival: &Arrival| arrival.answer.extent == Extent::Whole;
        self.ask.extent == Extent::Whole && self.arrivals.iter().all(is_whole)
    }
}
