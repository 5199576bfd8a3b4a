//! How much one connection may do before it is the turn of others.

use crate::http::h2::frame::FrameKind;

/// What may be done of what a peer has sent in one turn, in bytes of DATA: two reads. Streams pass on what has come for
/// them once a turn is over, so that with four that upload, a quarter of this leaves in each write; with 32 KiB, each
/// frame left alone, and an upload took twice the system calls.
const TURN_COST: usize = 128 * 1024;

/// What a frame costs besides its bytes, measured in the same way: 128 of the smallest are a turn.
const FRAME_COST: usize = 1024;

/// How many streams are opened in one: what their requests come to is done later, behind what others have to
/// do.
const STREAMS_MAX: usize = 2;

/// What has been done in a turn.
#[derive(Default)]
pub(super) struct Turn {
    cost: usize,
    streams: usize,
}

impl Turn {
    /// Whether it is the turn of others before a frame of this kind, if one has come. What follows the last
    /// stream still belongs to it: most of the work on a request that is reset at once is never begun.
    pub(super) fn is_over(&self, next: Option<FrameKind>) -> bool {
        let opens = self.streams >= STREAMS_MAX && next == Some(FrameKind::Headers);
        opens || self.cost >= TURN_COST
    }

    /// A frame of so many bytes has been taken in.
    pub(super) fn took_frame(&mut self, bytes: usize) {
        self.cost += FRAME_COST + bytes;
    }

    /// It has opened a stream.
    pub(super) fn opened_stream(&mut self) {
        self.streams += 1;
    }
}
