//! What is to be written to the peer, in order.

use std::collections::VecDeque;

use super::frame::FrameHead;
use crate::buffer::Buffer;

/// From how many waiting bytes on no DATA is added: what a peer that does not read can make a connection
/// hold, besides what answers its own frames.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Bytes that wait to be written, in blocks that are leased as long as there are any.
#[derive(Default)]
pub struct Output {
    blocks: VecDeque<Buffer>,
    length: usize,
}

impl Output {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many more bytes of DATA are taken.
    pub fn room(&self) -> usize {
        OUTPUT_BYTES_MAX.saturating_sub(self.length)
    }

    /// What is written next.
    pub fn front(&self) -> &[u8] {
        self.blocks.front().map_or(&[], Buffer::filled)
    }

    /// All that waits, block by block.
    #[cfg(test)]
    pub(super) fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        self.blocks.iter().map(Buffer::filled)
    }

    /// So many bytes of it have been written.
    pub fn consume(&mut self, count: usize) {
        let Some(block) = self.blocks.front_mut() else { return };
        block.consume(count);
        self.length -= count.min(self.length);
        if block.is_empty() {
            self.blocks.pop_front();
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.length = 0;
    }

    /// Appends a frame: its head and the parts of its payload.
    pub fn frame(&mut self, head: FrameHead, parts: &[&[u8]]) {
        debug_assert_eq!(head.length, parts.iter().map(|part| part.len()).sum::<usize>());
        self.bytes(&head.bytes());
        for part in parts {
            self.bytes(part);
        }
    }

    /// Appends bytes.
    pub fn bytes(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() {
            let count = self.blocks.back_mut().map_or(0, |block| block.append(bytes));
            bytes = &bytes[count..];
            if !bytes.is_empty() {
                self.blocks.push_back(Buffer::new());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Flags, FrameKind};
    use super::*;

    #[test]
    fn bytes_leave_in_order_whatever_blocks_they_are_in() {
        let mut output = Output::new();
        let all: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        for piece in all.chunks(7000) {
            output.bytes(piece);
        }
        assert_eq!((output.len(), output.room()), (all.len(), OUTPUT_BYTES_MAX - all.len()));
        let mut written = Vec::new();
        while !output.is_empty() {
            let count = output.front().len().min(10_000);
            written.extend_from_slice(&output.front()[..count]);
            output.consume(count);
        }
        assert!(written == all && output.blocks.is_empty());
    }

    #[test]
    fn a_frame_is_its_head_and_its_parts() {
        let mut output = Output::new();
        let head = FrameHead { length: 3, kind: FrameKind::Data, flags: Flags::NONE, stream: 1 };
        output.frame(head, &[b"ab", b"c"]);
        assert_eq!(output.front(), b"\0\0\x03\0\0\0\0\0\x01abc");
    }
}
