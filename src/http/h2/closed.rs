//! How streams that are gone came to their end, for as long as frames for them may still be on their way.

use std::collections::VecDeque;

/// How many streams are remembered: those of a few round trips. Only streams that were reset are.
const REMEMBERED_MAX: usize = 256;

/// Who reset a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// We did: the peer may not have known when it sent what comes now.
    ByUs,
    /// The peer did: it must not send more (RFC 9113 §5.1).
    ByPeer,
}

/// The streams that were reset last.
#[derive(Debug, Default)]
pub(super) struct ClosedStreams(VecDeque<(u32, Closed)>);

impl ClosedStreams {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A stream was reset and is gone.
    pub(super) fn remember(&mut self, id: u32, closed: Closed) {
        if self.0.len() == REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((id, closed));
    }

    /// How it was reset, if it was and that was not long ago.
    pub(super) fn how(&self, id: u32) -> Option<Closed> {
        self.0.iter().rev().find(|(known, _)| *known == id).map(|(_, closed)| *closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered() {
        let mut closed = ClosedStreams::new();
        closed.remember(1, Closed::ByPeer);
        for id in (3..).step_by(2).take(REMEMBERED_MAX - 1) {
            closed.remember(id, Closed::ByUs);
        }
        assert_eq!((closed.how(1), closed.how(3)), (Some(Closed::ByPeer), Some(Closed::ByUs)));
        closed.remember(9999, Closed::ByUs);
        assert_eq!((closed.how(1), closed.how(9999)), (None, Some(Closed::ByUs)));
    }
}
