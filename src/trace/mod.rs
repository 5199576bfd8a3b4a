//! Traces: which one a request belongs to, what our part in it was, and how collectors are told.
//!
//! Pure: numbers by chance and times are arguments. Sending is left to `otlp`.

pub mod context;
pub mod encode;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod span;
