//! How much one connection may do before it is the turn of others.

/// What may be done of what a peer has sent in one turn, in bytes of DATA.
const TURN_COST: usize = 32 * 1024;

/// What a frame costs besides its bytes, measured in the same way.
const FRAME_COST: usize = 256;

/// What a stream costs that is opened: all that its request comes to, most of which is done later, behind what
/// others have to do.
const STREAM_COST: usize = 16 * 1024;

/// What has been done in a turn.
#[derive(Default)]
pub(super) struct Turn {
    cost: usize,
}

impl Turn {
    /// Whether it is the turn of others.
    pub(super) fn is_over(&self) -> bool {
        self.cost >= TURN_COST
    }

    /// A frame of so many bytes has been taken in.
    pub(super) fn took_frame(&mut self, bytes: usize) {
        self.cost += FRAME_COST + bytes;
    }

    /// It has opened a stream.
    pub(super) fn opened_stream(&mut self) {
        self.cost += STREAM_COST;
    }
}
