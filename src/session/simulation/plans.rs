//! What clients ask and endpoints answer in a world, and how everybody in it behaves.

use super::choices::Choices;

/// How peers behave.
#[expect(clippy::struct_excessive_bools, reason = "each may be true by itself")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    /// The most bytes that a peer reads or writes at a time.
    pub(super) piece_max: usize,
    /// How much a connection holds in each direction.
    pub(super) capacity: usize,
    /// Whether requests are cut, and answers.
    pub(super) cuts: bool,
    /// Whether whole connections break.
    pub(super) breaks: bool,
    /// Whether endpoints refuse requests, and leave in order.
    pub(super) refuses: bool,
    /// Whether bodies may be large.
    pub(super) is_large: bool,
    /// The least that streams are granted at a time, at least once they wait for it: who gives credit for
    /// large bodies by the byte is taken for an attacker.
    pub(super) window_min: i64,
}

impl Temper {
    pub(super) fn choose(choices: &Choices) -> Self {
        let is_large = choices.one_in(6);
        let pieces: &[usize] = if is_large { &[5000, 70_000] } else { &[7, 100, 5000, 70_000] };
        let capacities: &[usize] = if is_large { &[5000, 65_536] } else { &[48, 1000, 65_536] };
        Self {
            piece_max: choices.of(pieces),
            capacity: choices.of(capacities),
            cuts: choices.one_in(2),
            breaks: choices.one_in(4),
            refuses: choices.one_in(3),
            is_large,
            window_min: if is_large { 20_000 } else { 100 },
        }
    }

    /// How much is sent of a message that can be cut in so many places, often late.
    fn extent(&self, choices: &Choices, places: usize) -> Extent {
        if !self.cuts || !choices.one_in(if self.is_large { 3 } else { 5 }) {
            return Extent::Whole;
        }
        let first = choices.of(&[0, 0, places / 2, places - places.div_ceil(8)]);
        Extent::Cut(first + choices.below(places - first))
    }

    fn body(&self, choices: &Choices) -> usize {
        match choices.below(16) {
            0..=7 if self.is_large => choices.below(60_000) * 5,
            0..=3 => choices.below(3000),
            4..=7 => 0,
            _ => choices.below(200),
        }
    }
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    /// As the last, but may be sent again.
    Put,
}

impl Method {
    const ALL: [Self; 4] = [Self::Get, Self::Head, Self::Post, Self::Put];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }

    /// Whether there may be a body.
    pub(super) fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put)
    }
}

/// What is sent of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// So much of its body.
    Cut(usize),
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// How long its body is.
    pub(super) body: usize,
    /// Whether its head says so.
    pub(super) is_declared: bool,
    pub(super) has_trailers: bool,
    pub(super) extent: Extent,
}

impl Ask {
    pub(super) fn choose(choices: &Choices, temper: &Temper) -> Self {
        let method = choices.of(&Method::ALL);
        let body = if method.has_body() { temper.body(choices) } else { 0 };
        let is_declared = method.has_body() && choices.one_in(2);
        let has_trailers = method.has_body() && choices.one_in(2);
        let extent =
            if method.has_body() { temper.extent(choices, body + 1) } else { Extent::Whole };
        Self { method, body, is_declared, has_trailers, extent }
    }
}

/// When an endpoint begins to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// With the head of the request.
    AtOnce,
    /// When all of it has come.
    AtEnd,
}

/// An answer.
#[expect(clippy::struct_excessive_bools, reason = "each may be true by itself")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// Whether there is none: the request is given up a while after the answer was to begin.
    pub(super) is_refused: bool,
    pub(super) interim: usize,
    pub(super) status: u16,
    pub(super) body: usize,
    pub(super) is_declared: bool,
    /// Whether it ends with its connection, in HTTP/1.1.
    pub(super) ends_by_close: bool,
    pub(super) has_trailers: bool,
    pub(super) begins: Begins,
    pub(super) extent: Extent,
}

impl Answer {
    pub(super) fn choose(choices: &Choices, temper: &Temper) -> Self {
        let status = choices.of(&[200, 200, 200, 204, 304, 404, 500]);
        let body = if matches!(status, 204 | 304) { 0 } else { temper.body(choices) };
        let is_declared = body > 0 && choices.one_in(2);
        let ends_by_close = body > 0 && !is_declared && choices.one_in(5);
        let has_trailers = body > 0 && !is_declared && !ends_by_close && choices.one_in(3);
        let extent = if body > 0 { temper.extent(choices, body) } else { Extent::Whole };
        Self {
            is_refused: temper.refuses && choices.one_in(2),
            interim: if choices.one_in(4) { 1 + choices.below(2) } else { 0 },
            status,
            body,
            is_declared,
            ends_by_close,
            has_trailers,
            begins: if choices.one_in(3) { Begins::AtOnce } else { Begins::AtEnd },
            extent,
        }
    }
}
