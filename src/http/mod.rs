//! HTTP/1.1 as pure decisions: bytes in, values out, no I/O and no clock.
//!
//! `head` reads a head strictly, `framing` says where its body ends, `chunked` checks a chunked
//! body as it passes, `persistence` says whether a connection may be used again, `rewrite` writes
//! a head anew with one framing, `reply` writes the answers of our own. `field` knows the names.

pub mod authority;
pub mod chunked;
pub mod field;
pub mod framing;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod head;
#[cfg(any(test, fuzzing))]
pub mod oracle;
pub mod persistence;
pub mod reply;
pub mod rewrite;
mod scan;
