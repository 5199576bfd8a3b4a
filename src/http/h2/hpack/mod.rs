//! Header compression of HTTP/2 (RFC 7541).
//!
//! Whatever a peer sends, decoding a block takes time and memory in proportion to the block, to the limits
//! of a section and to the size of the table.

pub mod decoder;
pub mod encoder;
mod error;
#[cfg(test)]
mod examples;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod huffman;
mod integer;
#[cfg(any(test, fuzzing))]
mod reference;
mod static_table;
mod table;

pub use decoder::{Decoder, Fit};
pub use encoder::Encoder;
pub use error::HpackError;
