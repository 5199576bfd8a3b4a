//! One stream of a connection (RFC 9113 §5.1).

use std::collections::VecDeque;

use super::error_code::ErrorCode;
use super::flow::{Credit, Window};
use super::hpack::Fit;
use super::queue::ByteQueue;
use super::section::FieldSection;
use crate::http::message::field;
use crate::reject::Reject;

/// Interim heads that may wait to be taken, and the final one: an exchange takes as many before it gives up.
pub(super) const HEADS_MAX: usize = 18;

/// How much all of them may cost together, as so many heads of the largest size.
pub(super) const HEADS_COST: usize = 4;

/// A head that has come.
#[derive(Debug)]
pub struct Arrived {
    /// Its fields, as far as they fitted.
    pub section: FieldSection,
    /// Whether all of them did.
    pub fit: Fit,
    /// Whether nothing follows it.
    pub ends: bool,
}

/// What a peer may still send on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    /// A head, or an interim one.
    Head,
    /// DATA, or trailers.
    Body,
    /// Nothing: it has said that this was all.
    Ended,
    /// Nothing: the stream was reset, by either side.
    Reset,
}

/// What we may still send on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// Everything.
    Open,
    /// Nothing: all has been sent.
    Ended,
    /// Nothing: the stream was reset, by either side.
    Reset,
}

/// How a stream came to its early end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// The peer reset it.
    Reset(ErrorCode),
    /// We did, since the peer broke a rule.
    Broke(ErrorCode),
    /// We did, since its message is malformed (RFC 9113 §8.1.1).
    Malformed(Reject),
    /// We did, since it was not needed any more.
    Dropped,
    /// The peer has said that it has not looked at it (RFC 9113 §6.8).
    Unprocessed,
    /// The connection has ended.
    ConnectionLost,
}

#[derive(Debug)]
pub(super) struct StreamState {
    pub(super) id: u32,
    pub(super) receiving: Receiving,
    pub(super) sending: Sending,
    pub(super) abort: Option<Abort>,
    /// What the peer may send.
    pub(super) credit: Credit,
    /// What we may send.
    pub(super) window: Window,
    pub(super) queue: ByteQueue,
    pub(super) heads: VecDeque<Arrived>,
    pub(super) trailers: Option<Box<FieldSection>>,
    /// How many bytes of body are still to come, if its head has said so.
    pub(super) expected: Option<u64>,
    /// Whether the answer has no body, whatever its head says.
    pub(super) answers_head: bool,
    /// What has been taken of the body since its window last grew, in bytes.
    pub(super) taken: usize,
    /// What it has added to the output, and in which turn.
    pub(super) turn: (u64, usize),
}

impl StreamState {
    /// A head has come. Mostly it is the only one.
    pub(super) fn push_head(&mut self, arrived: Arrived) {
        if self.heads.capacity() == 0 {
            self.heads.reserve_exact(1);
        }
        self.heads.push_back(arrived);
    }

    pub(super) fn new(id: u32, credit: u32, window: u32) -> Self {
        Self {
            id,
            receiving: Receiving::Head,
            sending: Sending::Open,
            abort: None,
            credit: Credit::new(credit),
            window: Window::new(window),
            queue: ByteQueue::new(),
            heads: VecDeque::new(),
            trailers: None,
            expected: None,
            answers_head: false,
            taken: 0,
            turn: (0, 0),
        }
    }

    /// Whether neither side sends any more.
    pub(super) fn is_closed(&self) -> bool {
        let received = matches!(self.receiving, Receiving::Ended | Receiving::Reset);
        received && self.sending != Sending::Open
    }

    /// Whether the peer has sent as much as its head has said, and has not said that this was all.
    pub(super) fn owes_only_its_end(&self) -> bool {
        self.receiving == Receiving::Body && self.expected == Some(0)
    }

    /// Neither side sends any more, for this reason, and a body that has come in part is dropped.
    pub(super) fn abort(&mut self, abort: Abort) {
        self.cut(abort);
        if self.receiving == Receiving::Reset {
            self.queue = ByteQueue::new();
        }
    }

    /// Neither side sends any more, for this reason. What has come can still be taken.
    pub(super) fn cut(&mut self, abort: Abort) {
        self.abort.get_or_insert(abort);
        self.sending = if self.sending == Sending::Open { Sending::Reset } else { self.sending };
        if self.receiving != Receiving::Ended {
            self.receiving = Receiving::Reset;
        }
    }

    /// DATA of so many bytes has come. Fails if that is more than its head has said, or less.
    pub(super) fn count(&mut self, bytes: usize, ends: bool) -> Result<(), Abort> {
        if let Some(expected) = &mut self.expected {
            let wrong = Abort::Malformed(Reject::LengthMismatch);
            *expected = expected.checked_sub(bytes as u64).ok_or(wrong)?;
            if ends && *expected > 0 {
                return Err(wrong);
            }
        }
        Ok(())
    }
}

/// The length that a head gives its body, if it gives one that can be understood: whether it may is for
/// whoever reads the head to decide.
pub(super) fn declared_length(section: &FieldSection) -> Option<u64> {
    let mut lengths = section.iter().filter(|(name, _)| *name == b"content-length");
    lengths.next().and_then(|(_, value)| field::decimal(value))
}

/// The status of a response, as far as it can be told: how a head is to be taken does not depend on the
/// rest of it.
pub(super) fn status(section: &FieldSection) -> Option<&[u8]> {
    section.iter().next().filter(|(name, _)| *name == b":status").map(|(_, value)| value)
}
