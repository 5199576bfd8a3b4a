//! HTTP/2 as pure decisions (RFC 9113, RFC 7541): frames and header blocks in, values out, no I/O and no
//! clock.

pub mod encode;
mod fields;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hpack;
pub mod request;
pub mod response;
pub mod section;
pub mod trailers;
