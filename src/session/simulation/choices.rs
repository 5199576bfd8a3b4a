//! Where the choices of a world come from: a seed, or bytes that a fuzzer tries.

use std::cell::RefCell;
use std::rc::Rc;

use crate::random::Random;

/// What all who take part in a world choose from.
#[derive(Clone)]
pub(super) struct Choices(Rc<RefCell<Source>>);

struct Source {
    bytes: Vec<u8>,
    at: usize,
    random: Random,
}

impl Choices {
    /// Those of a seed.
    #[cfg(test)]
    pub(super) fn of_seed(seed: u64) -> Self {
        Self::new(&[], seed)
    }

    /// Those that `bytes` make, and others when there are no more.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self::new(bytes, 0)
    }

    fn new(bytes: &[u8], seed: u64) -> Self {
        let source = Source { bytes: bytes.to_vec(), at: 0, random: Random::new(seed) };
        Self(Rc::new(RefCell::new(source)))
    }

    /// A number below `bound`; 0 if that is 0.
    pub(super) fn below(&self, bound: usize) -> usize {
        let mut source = self.0.borrow_mut();
        let length = if bound > 256 { 2 } else { 1 };
        let Some(bytes) = source.bytes.get(source.at..source.at + length) else {
            return source.random.below(bound);
        };
        let number = bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        source.at += length;
        number % bound.max(1)
    }

    /// Whether something happens that does so once in so many times.
    pub(super) fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `values`.
    pub(super) fn of<T: Copy>(&self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}
