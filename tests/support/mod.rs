//! The three nouns of every test: a [`Proxy`], a raw [`Client`] before it, an [`Origin`] behind it.

pub mod client;
pub mod origin;
pub mod proxy;

pub use client::{Client, Response};
pub use origin::{Conn, Origin};
pub use proxy::Proxy;

use std::time::Duration;

/// Nothing a test waits for takes this long: the guard that turns a hang into a failure.
pub const HANG: Duration = Duration::from_secs(20);

/// Waits for something that another thread is about to bring about.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < HANG, "never came about: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// So many bytes without a pattern that a lost or moved block could hide in.
pub fn filler(count: usize) -> Vec<u8> {
    (0..count).map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]).collect()
}
