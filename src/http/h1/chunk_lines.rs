//! The lines of a chunked body: sizes with their extensions, and trailer fields.

use crate::http::message::field::{self, Name};
use crate::reject::Reject;

/// A chunk size in hexadecimal digits that fits 63 bits.
pub(super) fn size(digits: &[u8]) -> Option<u64> {
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
