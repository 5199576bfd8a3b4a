//! HTTP/1.1 on the wire: bytes in, values out.
//!
//! `scan` finds the end of a head, `parse` reads it strictly (`one_pass` does both where nothing is odd), `framing` says where its body ends,
//! `chunked` checks a chunked body as it passes, `persistence` says whether a connection may be used
//! again, `encode` writes a head again with one framing, `reply` writes our own answers.

pub mod chunk_lines;
pub mod chunked;
#[cfg(test)]
mod chunked_tests;
#[cfg(test)]
mod cost;
pub mod encode;
pub mod framing;
mod head_writer;
mod one_pass;
pub mod parse;
pub mod persistence;
pub mod reply;
pub mod scan;
