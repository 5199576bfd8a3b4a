//! Heads that have come whole and have nothing odd about them, read in one pass: where they end, their lines
//! and the names of their fields.
//!
//! `None` says only that somebody has to look more closely: [`super::scan`] and [`super::parse`] decide what
//! is refused and why. What is read here they read the same way; the fuzz targets hold both to that.

use std::num::NonZeroU32;

use wide::u8x16;

use super::scan::Limits;
use crate::http::message::field::is_token;
use crate::http::message::frequent_names::name_at_front;
use crate::http::message::head::{Field, Storage, Version};

/// The first line of a request.
pub(super) struct RequestLine<'b> {
    /// A token.
    pub(super) method: &'b str,
    /// The target as written.
    pub(super) target: &'b str,
    pub(super) version: Version,
    /// How many bytes it has with its line end; 0 if it cannot go on as it came.
    pub(super) length: usize,
}

/// The first line of a response.
pub(super) struct StatusLine<'b> {
    /// 100–599.
    pub(super) status: u16,
    pub(super) reason: &'b str,
    pub(super) version: Version,
    /// How many bytes it has with its line end.
    pub(super) length: usize,
}

/// Reads the head of a request at the front of `bytes`, and says how long it is. Its fields are in
/// `storage`.
pub(super) fn request<'b>(
    bytes: &'b [u8],
    limits: &Limits,
    storage: &mut Storage<'b>,
) -> Option<(RequestLine<'b>, usize)> {
    let method = method(bytes)?;
    let target_start = method.len() + b" ".len();
    let target_end = find(bytes, target_start, not_graphic)?;
    let line_end = target_end + b" HTTP/1.1\r\n".len();
    let version = match bytes.get(target_end..line_end)? {
        b" HTTP/1.1\r\n" => Version::Http11,
        b" HTTP/1.0\r\n" => Version::Http10,
        _ => return None,
    };
    let target = &bytes[target_start..target_end];
    if target.is_empty() {
        return None;
    }
    let length = fields(bytes, line_end, limits, storage)?;
    let target = std::str::from_utf8(target).ok()?;
    Some((RequestLine { method, target, version, length: line_end }, length))
}

/// The method that a space follows.
#[inline]
fn method(bytes: &[u8]) -> Option<&str> {
    match bytes {
        [b'G', b'E', b'T', b' ', ..] => Some("GET"),
        [b'P', b'O', b'S', b'T', b' ', ..] => Some("POST"),
        _ => {
            let end = find(bytes, 0, not_graphic)?;
            let method = bytes.get(..end).filter(|method| is_token(method))?;
            std::str::from_utf8(method).ok().filter(|_| bytes[end] == b' ')
        }
    }
}

/// The same of a response.
pub(super) fn response<'b>(
    bytes: &'b [u8],
    limits: &Limits,
    storage: &mut Storage<'b>,
) -> Option<(StatusLine<'b>, usize)> {
    let reason_start = b"HTTP/1.1 200 ".len();
    let version = match bytes.get(..reason_start)? {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', .., b' '] => Version::Http11,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' ', .., b' '] => Version::Http10,
        _ => return None,
    };
    let digit =
        |at: usize| Some(u16::from(bytes[at].checked_sub(b'0').filter(|digit| *digit < 10)?));
    let status = digit(9)? * 100 + digit(10)? * 10 + digit(11)?;
    let reason_end = find(bytes, reason_start, is_control)?;
    if !(100..600).contains(&status) || !is_line_end(bytes, reason_end) {
        return None;
    }
    let line_end = reason_end + b"\r\n".len();
    let length = fields(bytes, line_end, limits, storage)?;
    let reason = match &bytes[reason_start..reason_end] {
        b"OK" => "OK",
        other => std::str::from_utf8(other).ok()?,
    };
    let line = StatusLine { status, reason, version, length: line_end };
    reason.is_ascii().then_some((line, length))
}

/// Reads the fields that begin at `at`, and says where the empty line after them ends.
#[inline]
fn fields<'b>(
    bytes: &'b [u8],
    mut at: usize,
    limits: &Limits,
    storage: &mut Storage<'b>,
) -> Option<usize> {
    storage.listed.clear();
    loop {
        let end = find(bytes, at, ends_name)?;
        if bytes[end] == b'\r' {
            let length = end + b"\r\n".len();
            let is_whole = end == at && is_line_end(bytes, end) && length <= limits.head_bytes_max;
            return is_whole.then_some(length);
        }
        let known = name_at_front(&bytes[at..], end - at)?;
        if storage.listed.len() == limits.fields_max {
            return None;
        }
        let line_end = value_end(bytes, end + 1)?;
        let (value, line) = match bytes.get(end + 1..line_end)? {
            [b' ', value @ ..] if !is_blank_around(value) => (value, u32::try_from(at).ok()?),
            written => (trim(written), 0),
        };
        let (name, line) = (bytes.get(at..end)?, NonZeroU32::new(line));
        storage.listed.try_push(Field { known, name, value, line }).ok()?;
        at = line_end + b"\r\n".len();
    }
}

/// Where a value ends that begins at `at`: at the line end after it.
#[inline]
fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = find(bytes, at, is_control)?;
        if is_line_end(bytes, at) {
            return Some(at);
        }
        if bytes[at] != b'\t' {
            return None;
        }
        at += 1;
    }
}

/// Whether there is white space around a value, which has no control byte but tabs.
#[inline]
fn is_blank_around(value: &[u8]) -> bool {
    let is_blank = |byte: &u8| *byte <= b' ';
    value.first().is_some_and(is_blank) || value.last().is_some_and(is_blank)
}

/// Without the white space around it.
#[cold]
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[inline]
fn is_line_end(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + b"\r\n".len()).is_some_and(|two| two == b"\r\n")
}

/// How many bytes are examined at once: words of eight took 400 to 1200 instructions more for a head of 8 to 16
/// fields.
const BLOCK: usize = 16;

/// The first place from `at` on whose byte is marked.
#[inline]
fn find(bytes: &[u8], mut at: usize, marked: impl Fn(u8x16) -> u8x16) -> Option<usize> {
    let marks = |block: [u8; BLOCK]| marked(u8x16::new(block)).to_bitmask();
    while let Some(block) = bytes.get(at..at + BLOCK) {
        let marks = marks(block.try_into().ok()?);
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize);
        }
        at += BLOCK;
    }
    // Fewer are left: those before them are taken along and shifted out.
    let left = bytes.len().checked_sub(at)?;
    let marks = marks(*bytes.last_chunk()?) >> (BLOCK - left);
    (marks != 0).then(|| at + marks.trailing_zeros() as usize)
}

/// Marks bytes below this, which is not 0.
#[inline]
fn below(block: u8x16, limit: u8) -> u8x16 {
    block.min(u8x16::splat(limit - 1)).simd_eq(block)
}

/// Marks what ends a name, or a head where that would begin.
#[inline]
fn ends_name(block: u8x16) -> u8x16 {
    block.simd_eq(u8x16::splat(b':')) | block.simd_eq(u8x16::splat(b'\r'))
}

/// Marks control bytes: what ends a value, or has no place in it but a tab (RFC 9110 §5.5).
#[inline]
fn is_control(block: u8x16) -> u8x16 {
    below(block, b' ') | block.simd_eq(u8x16::splat(0x7f))
}

/// Marks all but visible ASCII.
#[inline]
fn not_graphic(block: u8x16) -> u8x16 {
    below(block, b'!') | !below(block, 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_marked_where_it_should_be() {
        for byte in 0..=255u8 {
            let is_marked = |marked: fn(u8x16) -> u8x16| {
                let mut block = [b'a'; BLOCK];
                block[3] = byte;
                let marks = marked(u8x16::new(block)).to_bitmask();
                assert!(marks == 0 || marks == 1 << 3, "{byte:#x}: {marks:#b}");
                marks != 0
            };
            assert_eq!(is_marked(ends_name), matches!(byte, b':' | b'\r'), "{byte:#x}");
            assert_eq!(is_marked(is_control), byte < b' ' || byte == 0x7f, "{byte:#x}");
            assert_eq!(is_marked(not_graphic), !byte.is_ascii_graphic(), "{byte:#x}");
        }
    }

    #[test]
    fn the_first_mark_is_found_wherever_it_stands() {
        for length in 0..70 {
            for (at, from) in (0..length).flat_map(|at| (0..=at).map(move |from| (at, from))) {
                let mut bytes = vec![b'a'; length];
                bytes[at] = b'\r';
                let case = || format!("{at} from {from} of {length}");
                // What is shorter than a block is no head.
                let found = (length >= BLOCK).then_some(at);
                assert_eq!(find(&bytes, from, is_control), found, "{}", case());
                assert_eq!(find(&bytes, at + 1, is_control), None, "{}", case());
                assert_eq!(find(&bytes, length + 1, is_control), None, "{}", case());
            }
        }
    }
}
