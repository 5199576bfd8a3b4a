//! Why a header block cannot be decoded.

use std::error::Error;
use std::fmt;

/// Why a header block cannot be decoded. Whatever it is, the tables of the two sides no longer agree, and
/// the connection ends with `COMPRESSION_ERROR` (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpackError {
    /// The block ends inside a field (RFC 7541 §6).
    Truncated,
    /// An integer takes more bytes than any that could mean something here (RFC 7541 §5.1).
    Integer,
    /// An index is 0 or beyond both tables (RFC 7541 §2.3.3, §6.1).
    Index,
    /// A Huffman-coded string contains the code that means its end (RFC 7541 §5.2).
    HuffmanEnd,
    /// The padding of a Huffman-coded string is longer than 7 bits, or not all ones (RFC 7541 §5.2).
    HuffmanPadding,
    /// A table size update exceeds what we allow (RFC 7541 §6.3).
    TableTooLarge,
    /// A table size update after a field, or a third one (RFC 7541 §4.2).
    TableUpdate,
    /// The table had to shrink, and the first block after that does not say so (RFC 7541 §4.2).
    TableUpdateMissing,
}

impl fmt::Display for HpackError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Truncated => "the header block ends inside a field",
            Self::Integer => "an integer in the header block is too long",
            Self::Index => "the header block refers to no field of the tables",
            Self::HuffmanEnd => "a string in the header block contains the code for its end",
            Self::HuffmanPadding => "a string in the header block has invalid padding",
            Self::TableTooLarge => "the header block makes its table larger than allowed",
            Self::TableUpdate => "the header block changes the size of its table too late",
            Self::TableUpdateMissing => "the header block does not shrink its table",
        })
    }
}

impl Error for HpackError {}
