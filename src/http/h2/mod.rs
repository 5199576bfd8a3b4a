//! HTTP/2 as pure decisions (RFC 9113, RFC 7541): frames and header blocks in, values out, no I/O and no
//! clock.

#[cfg(test)]
mod accounts;
pub mod budget;
mod closed;
pub mod connection;
#[cfg(any(test, fuzzing))]
pub mod conserved;
pub mod encode;
pub mod error_code;
#[cfg(test)]
mod faults;
mod fields;
mod floods;
pub mod flow;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub mod frames_fuzz;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hpack;
mod intake;
pub mod limits;
pub mod output;
pub mod queue;
mod receiving;
pub mod request;
pub mod response;
pub mod section;
pub mod sending;
pub mod settings;
#[cfg(test)]
mod simulation;
pub mod stream;
pub mod trailers;
