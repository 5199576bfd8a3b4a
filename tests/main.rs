//! Everything that is tested from outside, one behaviour each, on real sockets.
//!
//! `support` has the three nouns; every other module says in its first line what it covers.
//! The compiler's hints on visibility and documentation are meant for the crate, not for its tests.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod balancing;
mod command;
mod drain;
mod footprint;
mod health;
mod random_heads;
mod retry;
mod support;
mod tidy;
mod timeouts;
