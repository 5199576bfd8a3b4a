//! How streams that are gone came to their end, for as long as frames for them may still be on their way.

/// How many streams are remembered one by one. Only streams that were reset are.
const REMEMBERED_MAX: usize = 64;

/// Who reset a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// We did: the peer may not have known when it sent what comes now.
    ByUs,
    /// The peer did: it must not send more (RFC 9113 §5.1).
    ByPeer,
}

/// The streams that were reset.
#[derive(Debug, Default)]
pub(super) struct ClosedStreams {
    /// The last ones, the oldest first.
    last: Vec<(u32, Closed)>,
    /// Any stream up to this one may have been reset before those.
    forgotten: u32,
}

impl ClosedStreams {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A stream was reset and is gone.
    pub(super) fn remember(&mut self, id: u32, closed: Closed) {
        if self.last.len() == REMEMBERED_MAX {
            let (oldest, _) = self.last.remove(0);
            self.forgotten = self.forgotten.max(oldest);
        }
        self.last.push((id, closed));
    }

    /// How it was reset, if it was. Of one that may have been and is forgotten the peer gets the benefit of
    /// the doubt: what comes for it may be ignored (RFC 9113 §5.1).
    pub(super) fn how(&self, id: u32) -> Option<Closed> {
        let known = self.last.iter().rev().find(|(known, _)| *known == id);
        let forgotten = (id <= self.forgotten).then_some(Closed::ByUs);
        known.map(|(_, closed)| *closed).or(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_and_those_before_may_have_been_reset() {
        let mut closed = ClosedStreams::new();
        closed.remember(1, Closed::ByPeer);
        for id in (5..).step_by(2).take(REMEMBERED_MAX - 1) {
            closed.remember(id, Closed::ByPeer);
        }
        assert_eq!((closed.how(1), closed.how(3)), (Some(Closed::ByPeer), None));
        closed.remember(9999, Closed::ByUs);
        assert_eq!((closed.how(1), closed.how(3)), (Some(Closed::ByUs), None));
        closed.remember(9997, Closed::ByUs);
        assert_eq!((closed.how(3), closed.how(7)), (Some(Closed::ByUs), Some(Closed::ByPeer)));
        assert_eq!((closed.how(9999), closed.how(9995)), (Some(Closed::ByUs), None));
    }
}
