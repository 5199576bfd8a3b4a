//! Buffers belong to work in progress, not to connections: a block is leased when bytes arrive and
//! returned when the last of them has been consumed.
//!
//! Each thread keeps up to [`SPARES_MAX`] spare blocks for [`BUFFER_BYTES`] each, so a worker holds
//! at most 64 × 64 KiB = 4 MiB it does not use; pages that were never written cost nothing. An
//! exchange fills at most four at a time (client input, request, upstream input, response), so
//! one slow reader costs at most 256 KiB; one that waits for its answer costs the bytes of its
//! request.
//!
//! A head that does not fit moves to a block of [`LARGE_BYTES`] ([`Buffer::enlarge`]); only with a
//! `--max-head` above 16k can there be one. Each thread keeps up to [`LARGE_SPARES_MAX`] of these: 1 MiB.

use std::cell::RefCell;
use std::mem;

/// What a block can be filled with, in bytes: large enough that a body moves in few system calls.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// The largest `--max-head`, in bytes.
pub const HEAD_BYTES_CEILING: usize = 64 * 1024;

/// Size of a block for a head that is larger. One that is written again may repeat its authority twice
/// and lists of addresses with white space added: it is less than three times as long, and then come
/// some fields of our own.
pub const LARGE_BYTES: usize = 4 * HEAD_BYTES_CEILING;

/// Kept free before the bytes that are read, so that others can be put in front of them later
/// ([`Buffer::prepend`]) without moving them, and so that what is read at a time fits a block encrypted,
/// too ([`Buffer::begin_at_front`]): nine cache lines, so that the kernel's copies stay aligned.
pub const HEADROOM_BYTES: usize = 576;

/// Kept free after the bytes that are read, for the same reason.
pub const TAILROOM_BYTES: usize = 2;

/// The size of a block, in bytes. The room around is in addition: with reads of a few bytes less than
/// 64 KiB, relaying 1 MiB over TCP took 6 % more CPU time.
const BLOCK_BYTES: usize = HEADROOM_BYTES + BUFFER_BYTES + TAILROOM_BYTES;

/// The number of unused blocks a thread keeps.
pub const SPARES_MAX: usize = 64;

/// How many unused large blocks a thread keeps.
pub const LARGE_SPARES_MAX: usize = 4;

thread_local! {
    static SPARES: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static LARGE_SPARES: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

#[cfg(any(test, fuzzing))]
thread_local! {
    static LEASED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many blocks of this thread are in use.
#[cfg(any(test, fuzzing))]
pub fn leased() -> usize {
    LEASED.get()
}

/// So many blocks more are in use, or fewer. Where buffers go from thread to thread this says nothing.
#[cfg(any(test, fuzzing))]
fn count_leased(more: isize) {
    let _ = LEASED.try_with(|leased| leased.set(leased.get().saturating_add_signed(more)));
}

/// A queue of bytes: filled at the end, consumed at the front. It holds a block only while it holds
/// bytes or is about to.
#[derive(Default)]
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer without a block.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes waiting to be consumed.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The bytes waiting to be consumed, for a parser that compacts them in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// The number of bytes waiting.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether no bytes are waiting.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room to read into. Leases a block if there is none, and moves waiting bytes to the front if the
    /// end is reached. Empty only if the buffer is full or settled.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        if self.bytes.is_empty() {
            let spare = SPARES.with_borrow_mut(Vec::pop);
            self.bytes = spare.unwrap_or_else(|| vec![0; BLOCK_BYTES].into_boxed_slice());
            (self.start, self.end) = (HEADROOM_BYTES, HEADROOM_BYTES);
            #[cfg(any(test, fuzzing))]
            count_leased(1);
        }
        let limit = self.bytes.len().saturating_sub(TAILROOM_BYTES);
        if self.end >= limit && self.start > HEADROOM_BYTES {
            self.bytes.copy_within(self.start..self.end, HEADROOM_BYTES);
            self.end -= self.start - HEADROOM_BYTES;
            self.start = HEADROOM_BYTES;
        }
        &mut self.bytes[self.end..limit.max(self.end)]
    }

    /// How many bytes [`Buffer::spare_mut`] has room for, as long as none are moved; a block is leased only there.
    pub fn room(&self) -> usize {
        let limit = self.bytes.len().saturating_sub(TAILROOM_BYTES);
        if self.bytes.is_empty() { BUFFER_BYTES } else { limit.saturating_sub(self.end) }
    }

    /// Whether what it holds ends where nothing more can be read without moving it.
    pub fn is_at_end(&self) -> bool {
        !self.bytes.is_empty() && self.end >= self.bytes.len().saturating_sub(TAILROOM_BYTES)
    }

    /// Whether there is no room to read into.
    pub fn is_full(&self) -> bool {
        let limit = self.bytes.len().saturating_sub(TAILROOM_BYTES);
        !self.bytes.is_empty() && self.end >= limit && self.start <= HEADROOM_BYTES
    }

    /// Moves what is waiting to a large block, if it is not in one.
    #[cold]
    pub fn enlarge(&mut self) {
        if self.bytes.len() >= LARGE_BYTES {
            return;
        }
        let spare = LARGE_SPARES.with_borrow_mut(Vec::pop);
        let mut large = spare.unwrap_or_else(|| vec![0; LARGE_BYTES].into_boxed_slice());
        #[cfg(any(test, fuzzing))]
        count_leased(1);
        let count = self.len();
        large[HEADROOM_BYTES..HEADROOM_BYTES + count].copy_from_slice(self.filled());
        return_block(mem::replace(&mut self.bytes, large));
        (self.start, self.end) = (HEADROOM_BYTES, HEADROOM_BYTES + count);
    }

    /// Leases a block, if there is none, of which all is to be used: nothing will be put before what
    /// comes.
    pub fn begin_at_front(&mut self) {
        self.begin_at(0);
    }

    /// The same from `place` on, less than a block has bytes.
    pub fn begin_at(&mut self, place: usize) {
        if self.bytes.is_empty() {
            self.spare_mut();
            (self.start, self.end) = (place, place);
        }
    }

    /// Leases a block, if there is none, with room for `bytes` at first, up to [`BUFFER_BYTES`]. Once that is
    /// full, [`Buffer::spare_mut`] makes room as ever.
    pub fn begin_with_room(&mut self, bytes: usize) {
        self.begin_at(BLOCK_BYTES - TAILROOM_BYTES - bytes.min(BUFFER_BYTES));
    }

    /// How many bytes of its block are before the end of what it holds.
    pub fn end(&self) -> usize {
        self.end
    }

    /// All the room of its block after what it holds.
    pub fn rest_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Marks `count` bytes of [`Buffer::spare_mut`] as filled.
    pub fn fill(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Puts `bytes` before the waiting ones: at most [`HEADROOM_BYTES`], and not again until those have
    /// been consumed.
    ///
    /// # Panics
    ///
    /// Panics if there is no room for them.
    pub fn prepend(&mut self, bytes: &[u8]) {
        self.start -= bytes.len();
        self.bytes[self.start..self.start + bytes.len()].copy_from_slice(bytes);
    }

    /// Removes `count` bytes from the front, and returns the block when none are left.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        self.release();
    }

    /// Removes the bytes `from..to`, counted from the front.
    pub fn cut(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let (from, to) = (self.start + from, (self.start + to).min(self.end));
        self.bytes.copy_within(to..self.end, from);
        self.end -= to - from;
        self.release();
    }

    /// Removes all bytes and returns the block.
    pub fn clear(&mut self) {
        self.end = self.start;
        self.release();
    }

    /// Returns the block if it is empty.
    #[inline]
    pub fn release(&mut self) {
        if self.start == self.end && !self.bytes.is_empty() {
            self.start = 0;
            self.end = 0;
            return_block(mem::take(&mut self.bytes));
        }
    }

    /// Moves the waiting bytes into memory of exactly their size and returns the block: for bytes
    /// that will wait long, with nothing added.
    pub fn settle(&mut self) {
        if self.len() == self.bytes.len() {
            return;
        }
        let kept = self.filled().into();
        self.end -= self.start;
        self.start = 0;
        return_block(mem::replace(&mut self.bytes, kept));
    }

    /// Moves waiting bytes that were settled to a block again: more are about to come. There may be as many as
    /// a block can be filled with.
    pub fn unsettle(&mut self) {
        if !self.is_empty() && self.bytes.len() < BLOCK_BYTES {
            let kept = mem::take(self);
            self.append_slow(kept.filled());
        }
    }

    /// Appends as much of `bytes` as fits and returns how many bytes that was.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        if let Some(room) = self.bytes.get_mut(self.end..self.end + bytes.len()) {
            room.copy_from_slice(bytes);
            self.end += bytes.len();
            return bytes.len();
        }
        self.append_slow(bytes)
    }

    /// Appends so many bytes, for the caller to write, if there is a block with room for them.
    #[inline]
    pub fn grow(&mut self, count: usize) -> Option<&mut [u8]> {
        let room = self.bytes.get_mut(self.end..self.end + count)?;
        self.end += count;
        Some(room)
    }

    /// Appends as much of `bytes` as could have been read into it, and returns how many bytes that was:
    /// what is kept free for others stays free.
    pub fn append_read(&mut self, bytes: &[u8]) -> usize {
        self.append_slow(bytes)
    }

    /// Whether it has a block.
    pub fn holds_block(&self) -> bool {
        !self.bytes.is_empty()
    }

    fn append_slow(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let count = bytes.len().min(spare.len());
        spare[..count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            return_block(mem::take(&mut self.bytes));
        }
    }
}

#[inline(never)]
fn return_block(bytes: Box<[u8]>) {
    let (kept, max) = match bytes.len() {
        BLOCK_BYTES => (&SPARES, SPARES_MAX),
        LARGE_BYTES => (&LARGE_SPARES, LARGE_SPARES_MAX),
        _ => return,
    };
    #[cfg(any(test, fuzzing))]
    count_leased(-1);
    // A thread that is ending no longer has a list; the block is freed.
    let _ = kept.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < max {
            spares.push(bytes);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(bytes: &[u8]) -> Buffer {
        let mut buffer = Buffer::new();
        assert_eq!(buffer.append(bytes), bytes.len());
        buffer
    }

    fn spares() -> usize {
        SPARES.with_borrow(Vec::len)
    }

    #[test]
    fn a_block_is_returned_with_its_last_byte() {
        let mut buffer = holding(b"ab");
        buffer.consume(1);
        assert_eq!(spares(), 0);
        buffer.consume(1);
        assert_eq!((spares(), buffer.bytes.len()), (1, 0));
    }

    #[test]
    fn a_reused_block_is_empty() {
        drop(holding(b"secret"));
        let mut again = Buffer::new();
        again.spare_mut();
        assert!(again.is_empty());
    }

    #[test]
    fn spares_are_capped() {
        let many: Vec<Buffer> = (0..SPARES_MAX + 5).map(|_| holding(b"x")).collect();
        drop(many);
        assert_eq!(spares(), SPARES_MAX);
    }

    #[test]
    fn settled_bytes_hold_no_block() {
        let mut buffer = holding(b"xyz");
        buffer.consume(1);
        buffer.settle();
        assert_eq!((buffer.filled(), spares()), (&b"yz"[..], 1));
        drop(buffer);
        assert_eq!(spares(), 1);
    }

    #[test]
    fn settled_bytes_return_to_a_block() {
        let mut buffer = holding(b"xyz");
        buffer.settle();
        assert!(buffer.spare_mut().is_empty());
        for _ in 0..2 {
            buffer.unsettle();
            assert_eq!((buffer.filled(), spares()), (&b"xyz"[..], 0));
        }
        assert_eq!(buffer.spare_mut().len(), BUFFER_BYTES - 3);
        buffer.clear();
        buffer.unsettle();
        assert_eq!(spares(), 1);
    }

    #[test]
    fn room_that_was_little_at_first_grows_when_it_is_full() {
        let mut buffer = Buffer::new();
        buffer.begin_with_room(100);
        assert_eq!(buffer.spare_mut().len(), 100);
        buffer.spare_mut().fill(7);
        buffer.fill(100);
        assert!(!buffer.is_full());
        assert_eq!(buffer.spare_mut().len(), BUFFER_BYTES - 100);
        assert_eq!(buffer.filled(), [7; 100]);
    }

    #[test]
    fn cut_closes_the_gap() {
        let mut buffer = holding(b"abcXXdef");
        buffer.cut(3, 5);
        assert_eq!(buffer.filled(), b"abcdef");
    }

    #[test]
    fn a_full_buffer_makes_room_at_the_front_once_consumed() {
        let mut buffer = holding(&[7; BUFFER_BYTES]);
        assert!(buffer.spare_mut().is_empty());
        buffer.consume(10);
        assert_eq!(buffer.spare_mut().len(), 10);
        assert_eq!(buffer.len(), BUFFER_BYTES - 10);
    }

    #[test]
    fn a_full_buffer_has_room_for_what_is_put_around_it() {
        let mut buffer = holding(&[7; BUFFER_BYTES]);
        buffer.prepend(&[1; HEADROOM_BYTES]);
        assert_eq!(buffer.append(&[2; TAILROOM_BYTES]), TAILROOM_BYTES);
        assert!(buffer.filled().starts_with(&[1; HEADROOM_BYTES]));
        assert!(buffer.spare_mut().is_empty());
        buffer.consume(HEADROOM_BYTES + 1);
        assert_eq!(buffer.filled(), [&[7; BUFFER_BYTES - 1][..], &[2; TAILROOM_BYTES]].concat());
        assert_eq!(buffer.spare_mut().len(), 0);
    }

    #[test]
    fn what_was_read_elsewhere_leaves_the_room_for_what_is_put_around_it() {
        let mut buffer = holding(&[7; BUFFER_BYTES - 2]);
        assert_eq!(buffer.append_read(&[8; 4]), 2);
        assert_eq!(buffer.append(&[9; TAILROOM_BYTES]), TAILROOM_BYTES);
    }

    #[test]
    fn a_block_grows_by_what_fits_whole() {
        assert!(Buffer::new().grow(1).is_none());
        let mut buffer = holding(b"a");
        buffer.grow(2).unwrap().copy_from_slice(b"bc");
        assert_eq!(buffer.filled(), b"abc");
        assert!(buffer.grow(BLOCK_BYTES).is_none());
    }

    #[test]
    fn append_takes_what_fits() {
        let mut buffer = holding(&[1; BUFFER_BYTES - 2]);
        assert_eq!(buffer.append(b"abcde"), 2);
    }

    #[test]
    fn a_full_buffer_is_enlarged_and_gives_both_blocks_back() {
        let mut buffer = holding(&[7; BUFFER_BYTES]);
        assert!(buffer.is_full());
        buffer.enlarge();
        assert!(!buffer.is_full());
        assert_eq!((buffer.filled(), spares()), (&[7; BUFFER_BYTES][..], 1));
        assert_eq!(buffer.spare_mut().len(), LARGE_BYTES - BLOCK_BYTES);
        buffer.consume(BUFFER_BYTES);
        assert_eq!(LARGE_SPARES.with_borrow(Vec::len), 1);
    }

    #[test]
    fn large_spares_are_capped() {
        let enlarged = |_| {
            let mut buffer = Buffer::new();
            buffer.enlarge();
            buffer
        };
        drop((0..LARGE_SPARES_MAX + 2).map(enlarged).collect::<Vec<_>>());
        assert_eq!(LARGE_SPARES.with_borrow(Vec::len), LARGE_SPARES_MAX);
    }
}
