//! Buffers belong to work, not to connections: leased while bytes move, then given back.
//!
//! Each thread keeps up to [`SPARES_MAX`] spare buffers of [`BUFFER_BYTES`] each, so a worker holds
//! at most 64 × 64 KiB = 4 MiB it does not use; pages that were never written cost nothing. An
//! exchange leases at most four at a time (client input, request, upstream input, response), so
//! one slow reader costs at most 256 KiB.

use std::cell::RefCell;
use std::mem;

/// Size of every buffer, in bytes. Large enough that a body moves in few system calls, and twice
/// the largest `--max-head`, so that a rewritten head always fits.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// How many unused buffers a thread keeps.
pub const SPARES_MAX: usize = 64;

thread_local! {
    static SPARES: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A queue of bytes in one block: filled at the end, consumed at the front.
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Takes a spare buffer of this thread, or makes one.
    pub fn lease() -> Self {
        let spare = SPARES.with_borrow_mut(Vec::pop);
        let bytes = spare.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        Self { bytes, start: 0, end: 0 }
    }

    /// The bytes waiting to be consumed.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The same, for a scanner that closes gaps in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// How many bytes are waiting.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether no byte is waiting.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room to read into, after moving what is waiting to the front where that helps.
    /// Empty only if the buffer is full.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.clear();
        } else if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// Says that `count` bytes were written into [`Buffer::spare_mut`].
    pub fn fill(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Drops `count` bytes from the front.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Drops the bytes `from..to`, counted from the front, out of the middle.
    pub fn cut(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let (from, to) = (self.start + from, (self.start + to).min(self.end));
        self.bytes.copy_within(to..self.end, from);
        self.end -= to - from;
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Appends as much of `bytes` as fits and says how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let count = bytes.len().min(spare.len());
        spare[..count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        // A thread that is ending has no list any more: the buffer is simply freed.
        let _ = SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() < SPARES_MAX {
                spares.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(bytes: &[u8]) -> Buffer {
        let mut buffer = Buffer::lease();
        assert_eq!(buffer.append(bytes), bytes.len());
        buffer
    }

    #[test]
    fn a_dropped_buffer_is_leased_again_and_empty() {
        let buffer = holding(b"secret");
        let address = buffer.bytes.as_ptr();
        drop(buffer);
        let again = Buffer::lease();
        assert_eq!(again.bytes.as_ptr(), address);
        assert!(again.is_empty());
    }

    #[test]
    fn spares_are_capped() {
        let many: Vec<Buffer> = (0..SPARES_MAX + 5).map(|_| Buffer::lease()).collect();
        drop(many);
        assert_eq!(SPARES.with_borrow(Vec::len), SPARES_MAX);
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
    fn append_takes_what_fits() {
        let mut buffer = holding(&[1; BUFFER_BYTES - 2]);
        assert_eq!(buffer.append(b"abc"), 2);
    }
}
