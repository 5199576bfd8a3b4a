//! Heads that have come whole and have nothing odd about them, read in one pass: where they end, their lines
//! and the names of their fields.
//!
//! `None` says only that somebody has to look more closely: [`super::scan`] and [`super::parse`] decide what
//! is refused and why. What is read here they read the same way; the fuzz targets hold both to that.

use std::num::NonZeroU32;

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
}

/// The first line of a response.
pub(super) struct StatusLine<'b> {
    /// 100–599.
    pub(super) status: u16,
    pub(super) reason: &'b str,
    pub(super) version: Version,
}

/// Reads the head of a request at the front of `bytes`, and says how long it is. Its fields are in
/// `storage`.
pub(super) fn request<'b>(
    bytes: &'b [u8],
    limits: &Limits,
    storage: &mut Storage<'b>,
) -> Option<(RequestLine<'b>, usize)> {
    let method_end = find(bytes, 0, not_graphic)?;
    if bytes[method_end] != b' ' || !is_token(&bytes[..method_end]) {
        return None;
    }
    let target_start = method_end + 1;
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
    let method = match &bytes[..method_end] {
        b"GET" => "GET",
        b"POST" => "POST",
        other => std::str::from_utf8(other).ok()?,
    };
    let target = std::str::from_utf8(target).ok()?;
    Some((RequestLine { method, target, version }, length))
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
    let length = fields(bytes, reason_end + 2, limits, storage)?;
    let reason = std::str::from_utf8(&bytes[reason_start..reason_end]).ok()?;
    reason.is_ascii().then_some((StatusLine { status, reason, version }, length))
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
        let end = find(bytes, at, |word| equal(word, b':') | equal(word, b'\r'))?;
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
        let (value, line) = match &bytes[end + 1..line_end] {
            [b' ', value @ ..] if !is_blank_around(value) => (value, u32::try_from(at).ok()?),
            written => (trim(written), 0),
        };
        let line = NonZeroU32::new(line);
        let field = Field { name: &bytes[at..end], value, line, known };
        storage.listed.try_push(field).ok()?;
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

/// Whether there is white space around a value.
#[inline]
fn is_blank_around(value: &[u8]) -> bool {
    match value {
        [] => false,
        [one] => is_blank(*one),
        [first, .., last] => is_blank(*first) | is_blank(*last),
    }
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
    bytes.get(at..).is_some_and(|rest| rest.starts_with(b"\r\n"))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The first place from `at` on whose byte is marked: eight are looked at a time.
#[inline]
fn find(bytes: &[u8], at: usize, marked: impl Fn(u64) -> u64) -> Option<usize> {
    let mut rest = bytes.get(at..)?;
    while let Some((eight, after)) = rest.split_first_chunk() {
        let marks = marked(u64::from_le_bytes(*eight));
        if marks != 0 {
            return Some(bytes.len() - rest.len() + first(marks));
        }
        rest = after;
    }
    // Fewer are left: those before them are taken along and shifted out.
    let left = rest.len();
    if left == 0 {
        return None;
    }
    let word = u64::from_le_bytes(*bytes.last_chunk()?) >> (8 * (8 - left));
    Some(bytes.len() - left + first(marked(word))).filter(|place| *place < bytes.len())
}

/// Which byte is the first that is marked.
fn first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// One in each byte of a word.
const EACH: u64 = u64::from_le_bytes([1; 8]);
/// The highest bit of each byte: a byte that is marked has it set. Of the marks, the lowest one counts; those
/// above it may be wrong where that makes them cheaper.
const MARK: u64 = EACH << 7;

/// Marks bytes below this, which is at most 0x80.
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(EACH * limit as u64) & !word & MARK
}

/// Marks this byte, which is below 0x80.
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (EACH * byte as u64), 1)
}

/// Marks control bytes: what ends a value, or has no place in it but a tab (RFC 9110 §5.5).
fn is_control(word: u64) -> u64 {
    below(word, b' ') | equal(word, 0x7f)
}

/// Marks all but visible ASCII.
fn not_graphic(word: u64) -> u64 {
    below(word, b'!') | equal(word, 0x7f) | word & MARK
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is marked of a word whose fourth byte is this.
    fn is_marked(marked: impl Fn(u64) -> u64, byte: u8) -> bool {
        let found = find(&[b'a', b'a', b'a', byte, b'a', b'a', b'a', b'a', 0], 0, marked);
        assert!(found == Some(3) || found == Some(8), "{byte:#x}: {found:?}");
        found == Some(3)
    }

    #[test]
    fn every_byte_is_marked_where_it_should_be() {
        for byte in 0..=255u8 {
            assert_eq!(is_marked(is_control, byte), byte < b' ' || byte == 0x7f, "{byte:#x}");
            assert_eq!(is_marked(not_graphic, byte), !byte.is_ascii_graphic(), "{byte:#x}");
        }
    }

    #[test]
    fn the_first_mark_is_found_wherever_it_stands() {
        for length in 8..50 {
            for (at, from) in (0..length).flat_map(|at| (0..=at).map(move |from| (at, from))) {
                let mut bytes = vec![b'a'; length];
                bytes[at] = b'\r';
                let case = || format!("{at} from {from} of {length}");
                assert_eq!(find(&bytes, from, is_control), Some(at), "{}", case());
                assert_eq!(find(&bytes, at + 1, is_control), None, "{}", case());
            }
        }
    }
}
