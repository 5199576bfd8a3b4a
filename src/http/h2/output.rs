//! What is to be written to the peer, in order.

use std::collections::VecDeque;

use super::frame::{FrameHead, HEAD_BYTES};
use crate::buffer::Buffer;

/// From how many waiting bytes on no DATA is added: what a peer that does not read can make a connection
/// hold, besides what answers its own frames.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// How many frames DATA can be read into at once.
const FRAMES_MAX: usize = 4;

/// What is read into one of them, in bytes: with its head 16 KiB, so that the next begins as well aligned.
/// Reads of 1 MiB took twice the time in the kernel where each began 9 bytes further on.
const PIECE_BYTES_MAX: usize = 16 * 1024 - HEAD_BYTES;

/// All of them, in bytes.
pub const PIECES_BYTES_MAX: usize = FRAMES_MAX * PIECE_BYTES_MAX;

/// What the kernel's copies are aligned to, in bytes: a cache line.
const ALIGNED_BYTES: usize = 64;

/// Where the payloads of frames can be read into; the first are the longest, the last may be empty.
pub type Payloads<'a> = [&'a mut [u8]; FRAMES_MAX];

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
            let room = self.rest_mut();
            let count = bytes.len().min(room.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.fill(count);
            bytes = &bytes[count..];
        }
    }

    /// Room at the end for up to `most` bytes of DATA, a piece for each frame of up to `payload_max` bytes.
    /// Once something has been written there, [`Output::frames`] appends it.
    pub fn payloads_mut(&mut self, most: usize, payload_max: usize) -> Payloads<'_> {
        let piece_max = payload_max.min(PIECE_BYTES_MAX);
        let mut room = self.room_for_payload(most.min(piece_max));
        let (mut pieces, mut left) = (Payloads::default(), most);
        for piece in &mut pieces {
            let Some((_, after)) = room.split_at_mut_checked(HEAD_BYTES) else { break };
            let length = left.min(piece_max).min(after.len());
            (*piece, room) = after.split_at_mut(length);
            left -= length;
        }
        pieces
    }

    /// Appends frames with the `count` bytes that have been written to the front of what
    /// [`Output::payloads_mut`] has returned for the same `payload_max`. `head` makes the head of one of so
    /// many bytes after which so many follow.
    pub fn frames(
        &mut self,
        count: usize,
        payload_max: usize,
        head: impl Fn(usize, usize) -> FrameHead,
    ) {
        let mut left = count;
        while left > 0 {
            let length = left.min(payload_max).min(PIECE_BYTES_MAX);
            left -= length;
            let Some(block) = self.blocks.back_mut() else { return };
            block.rest_mut()[..HEAD_BYTES].copy_from_slice(&head(length, left).bytes());
            self.fill(HEAD_BYTES + length);
            self.length += HEAD_BYTES + length;
        }
    }

    /// Gives back a block that was leased for nothing.
    pub fn trim(&mut self) {
        if self.blocks.back().is_some_and(Buffer::is_empty) {
            self.blocks.pop_back();
        }
    }

    /// The room at the end, not empty.
    fn rest_mut(&mut self) -> &mut [u8] {
        if self.blocks.back_mut().is_none_or(|block| block.rest_mut().is_empty()) {
            let mut block = Buffer::new();
            block.begin_at_front();
            self.blocks.push_back(block);
        }
        self.blocks.back_mut().map_or(&mut [], Buffer::rest_mut)
    }

    /// The room at the end for the head of a frame and so many bytes of payload, which are well aligned if
    /// they are many, unless blocks hold little already: each read may bring less than it could.
    fn room_for_payload(&mut self, bytes: usize) -> &mut [u8] {
        let is_sparse = self.blocks.len() > 1 + self.length / PIECE_BYTES_MAX;
        let suits = |block: &mut Buffer| {
            let is_aligned = (block.end() + HEAD_BYTES).is_multiple_of(ALIGNED_BYTES);
            let has_room = block.rest_mut().len() >= HEAD_BYTES + bytes;
            has_room && (is_aligned || is_sparse || bytes < PIECE_BYTES_MAX)
        };
        if !self.blocks.back_mut().is_some_and(suits) {
            let mut block = Buffer::new();
            block.begin_at(ALIGNED_BYTES - HEAD_BYTES);
            self.blocks.push_back(block);
        }
        self.blocks.back_mut().map_or(&mut [], Buffer::rest_mut)
    }

    fn fill(&mut self, count: usize) {
        if let Some(block) = self.blocks.back_mut() {
            block.fill(count);
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

    #[test]
    fn payloads_are_read_in_where_their_frames_leave_room() {
        let data: Vec<u8> = (0..=255).cycle().take(50_000).collect();
        for (before, most, read, expected) in [
            (0, 50_000, 50_000, vec![16_375, 16_375, 16_375, 875]),
            (9, 50_000, 16_375, vec![16_375]),
            (60_000, 50_000, 16_376, vec![16_375, 1]),
            (60_000, 100, 100, vec![100]),
            (0, 100, 7, vec![7]),
        ] {
            let mut output = Output::new();
            output.bytes(&vec![b'x'; before]);
            let pieces = output.payloads_mut(most, 16_384);
            assert!(pieces.iter().map(|piece| piece.len()).sum::<usize>() <= most);
            let mut rest = &data[..read];
            for piece in pieces {
                let (here, after) = rest.split_at(rest.len().min(piece.len()));
                piece[..here.len()].copy_from_slice(here);
                rest = after;
            }
            assert!(rest.is_empty(), "{before} {most}");
            output.frames(read, 16_384, |length, left| FrameHead {
                length,
                kind: FrameKind::Data,
                flags: Flags::NONE.with(Flags::END_STREAM, left == 0),
                stream: 1,
            });
            assert_eq!(output.len(), before + read + expected.len() * HEAD_BYTES);
            let bytes = output.blocks().collect::<Vec<_>>().concat();
            let (mut frames, mut payload) = (&bytes[before..], Vec::new());
            for (place, length) in expected.iter().enumerate() {
                let is_last = u8::from(place + 1 == expected.len());
                let [_, high, low] = u32::try_from(*length).unwrap().to_be_bytes()[1..] else {
                    unreachable!()
                };
                assert_eq!(frames[..HEAD_BYTES], [0, high, low, 0, is_last, 0, 0, 0, 1]);
                payload.extend_from_slice(&frames[HEAD_BYTES..HEAD_BYTES + length]);
                frames = &frames[HEAD_BYTES + length..];
            }
            assert!(payload == data[..read] && frames.is_empty());
        }
    }

    #[test]
    fn small_reads_share_blocks_whatever_could_have_been_read() {
        let mut output = Output::new();
        for _ in 0..1000 {
            output.payloads_mut(50_000, 16_384);
            let head = |length, _| FrameHead {
                length,
                kind: FrameKind::Data,
                flags: Flags::NONE,
                stream: 1,
            };
            output.frames(100, 16_384, head);
        }
        let most = 2 + output.len() / PIECE_BYTES_MAX;
        assert!(output.len() == 109_000 && output.blocks.len() <= most, "{}", output.blocks.len());
    }

    #[test]
    fn a_block_that_nothing_was_read_into_is_given_back() {
        let mut output = Output::new();
        output.payloads_mut(100, 16_384);
        output.trim();
        assert!(output.blocks.is_empty());
    }
}
