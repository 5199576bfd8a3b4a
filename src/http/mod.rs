//! HTTP as pure decisions: bytes in, values out, no I/O and no clock.
//!
//! `message` is what any message is made of, `h1` how HTTP/1.1 puts it on the wire, `h2` how
//! HTTP/2 does, `rules` what a configuration does to them.

#[cfg(any(test, fuzzing))]
pub mod chunks_fuzz;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod h1;
pub mod h2;
#[cfg(any(test, fuzzing))]
mod head_end_fuzz;
#[cfg(any(test, fuzzing))]
pub mod lookup_fuzz;
pub mod message;
#[cfg(any(test, fuzzing))]
pub mod oracle;
pub mod rules;
