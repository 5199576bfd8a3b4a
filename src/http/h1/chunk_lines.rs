//! The lines of a chunked body: sizes with their extensions, and trailer fields.

use crate::buffer::{BUFFER_BYTES, Buffer, HEADROOM_BYTES};
use crate::http::message::field::{self, Name};
use crate::reject::Reject;

/// A chunk size in hexadecimal digits that fits 63 bits.
pub fn size(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for &byte in digits {
        if number >> 59 != 0 {
            return None;
        }
        let digit = char::from(byte).to_digit(16)?;
        number = number << 4 | u64::from(digit);
    }
    Some(number)
}

/// Refuses what is not
/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 §7.1.1).
pub(super) fn refuse_bad_extension(mut rest: &[u8]) -> Result<(), Reject> {
    if !rest.is_empty() && !matches!(rest[0], b';' | b' ' | b'\t') {
        return Err(Reject::ChunkSize);
    }
    while !rest.is_empty() {
        rest = after_blank(rest).strip_prefix(b";").ok_or(Reject::ChunkExtension)?;
        rest = after_token(after_blank(rest))?;
        if let Some(value) = after_blank(rest).strip_prefix(b"=") {
            let value = after_blank(value);
            rest = match value.strip_prefix(b"\"") {
                Some(quoted) => after_quoted(quoted)?,
                None => after_token(value)?,
            };
        }
    }
    Ok(())
}

fn after_blank(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &bytes[blank..]
}

fn after_token(bytes: &[u8]) -> Result<&[u8], Reject> {
    match bytes.iter().take_while(|byte| field::is_token_byte(**byte)).count() {
        0 => Err(Reject::ChunkExtension),
        count => Ok(&bytes[count..]),
    }
}

fn after_quoted(bytes: &[u8]) -> Result<&[u8], Reject> {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] if field::is_value(&[*byte]) => rest,
            _ => return Err(Reject::ChunkExtension),
        }
    }
}

/// Refuses a line of a trailer section that is no field, or one that frames, routes or controls.
pub(super) fn refuse_bad_trailer(line: &[u8]) -> Result<(), Reject> {
    if line.is_empty() {
        return Ok(());
    }
    let colon = memchr::memchr(b':', line).ok_or(Reject::Trailer)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !field::is_token(name) || !field::is_value(value) {
        return Err(Reject::Trailer);
    }
    if Name::of(name).forbidden_in_trailer() {
        return Err(Reject::ForbiddenTrailer);
    }
    Ok(())
}
/// Appends a chunk, which is no longer than a block, if there is room for all of it.
pub fn write_chunk(data: &[u8], out: &mut Buffer) -> bool {
    let line = SizeLine::of(data.len());
    let Some(room) = out.grow(line.bytes().len() + data.len() + 2) else { return false };
    let (size, rest) = room.split_at_mut(line.bytes().len());
    size.copy_from_slice(line.bytes());
    rest[..data.len()].copy_from_slice(data);
    rest[data.len()..].copy_from_slice(b"\r\n");
    true
}

/// What the framing of a chunk takes at the most, in bytes.
pub const CHUNK_OVERHEAD_BYTES: usize = SIZE_LINE_BYTES + 2;

/// The longest line of a chunk size that we write, in bytes: six digits and CRLF.
const SIZE_LINE_BYTES: usize = 8;

/// The end of a chunk.
pub(super) const LINE_END: &[u8; 2] = b"\r\n";

/// The line of a chunk size as we write it, perhaps after the end of the chunk before.
#[derive(Clone, Copy, Debug)]
pub struct SizeLine {
    bytes: [u8; LINE_END.len() + SIZE_LINE_BYTES],
    start: usize,
}

impl SizeLine {
    pub(super) fn of(mut size: usize) -> Self {
        const { assert!(BUFFER_BYTES < 1 << (4 * (SIZE_LINE_BYTES - 2)), "a size fits its line") };
        const { assert!(SIZE_LINE_BYTES <= HEADROOM_BYTES, "its line fits before the chunk") };
        let mut line = Self { bytes: *b"00000000\r\n", start: SIZE_LINE_BYTES };
        while size > 0 {
            line.start -= 1;
            line.bytes[line.start] = b"0123456789abcdef"[size % 16];
            size /= 16;
        }
        line
    }

    pub(super) fn after_line_end(mut self) -> Self {
        self.start -= LINE_END.len();
        self.bytes[self.start..self.start + LINE_END.len()].copy_from_slice(LINE_END);
        self
    }

    /// What goes on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}
