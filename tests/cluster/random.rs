//! Numbers by chance, the same for the same seed.

use evener::hash::{below, nth};

pub struct Random {
    seed: u64,
    used: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { seed: nth(0, seed), used: 0 }
    }

    pub fn next(&mut self) -> u64 {
        self.used += 1;
        nth(self.seed, self.used)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(below(self.next(), bound as u64)).unwrap()
    }

    /// Within 0 and 1, without 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponentially distributed around this mean.
    pub fn exponential(&mut self, mean: f64) -> u64 {
        (-(1.0 - self.share()).ln() * mean) as u64
    }
}
