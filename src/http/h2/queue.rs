//! What a stream has received and nobody has taken yet.

use std::collections::VecDeque;

/// Room that an empty queue may keep, in bytes: a body that comes in small pieces does not allocate for each.
const KEPT_BYTES_MAX: usize = 4096;

/// Room is made for so many bytes once there are more than that, and for twice as many at each further step: a body
/// that comes in bulk would be copied again at each. Memory that nothing is written to costs nothing.
const GROWN_BYTES: usize = 64 * 1024;

/// Bytes, whatever frames they came in: many small frames cost what their bytes do.
#[derive(Debug, Default)]
pub struct ByteQueue(VecDeque<u8>);

impl ByteQueue {
    /// Empty, without room.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let length = self.0.len() + bytes.len();
        if length > KEPT_BYTES_MAX && length > self.0.capacity() {
            let room = length.max(2 * self.0.capacity()).next_multiple_of(GROWN_BYTES);
            self.0.reserve_exact(room - self.0.len());
        }
        self.0.extend(bytes);
    }

    /// Bytes from the front: all there are, or those before a seam.
    pub fn front(&self) -> &[u8] {
        self.0.as_slices().0
    }

    /// Drops so many bytes from the front.
    pub fn consume(&mut self, count: usize) {
        self.0.drain(..count.min(self.0.len()));
        if self.0.is_empty() && self.0.capacity() > KEPT_BYTES_MAX {
            self.0 = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let (mut queue, mut taken) = (ByteQueue::new(), Vec::new());
        let all: Vec<u8> = (0..=255).cycle().take(50_000).collect();
        for piece in all.chunks(1000) {
            queue.push(piece);
            let front = queue.front().len().min(900);
            taken.extend_from_slice(&queue.front()[..front]);
            queue.consume(front);
        }
        while !queue.is_empty() {
            taken.extend_from_slice(queue.front());
            queue.consume(queue.front().len());
        }
        assert!(taken == all);
        assert!(queue.0.capacity() <= KEPT_BYTES_MAX);
    }

    #[test]
    fn room_grows_in_few_steps() {
        let (mut queue, mut steps) = (ByteQueue::new(), 0);
        for _ in 0..256 {
            let before = queue.0.capacity();
            queue.push(&[b'x'; 4096]);
            steps += usize::from(queue.0.capacity() != before);
        }
        assert!(steps <= 6 && queue.0.capacity() < 17 * GROWN_BYTES, "{steps}");
    }
}
