//! Moving bytes: one framed body, or both directions of a tunnel.

pub mod body;
pub mod body_copy;
#[cfg(test)]
mod body_tests;
pub mod copy;
pub mod duplex;
pub mod ends;
pub mod head;
pub mod incoming;
pub mod message;
