//! Appends durations, addresses and escaped text.
//!
//! Written by hand because it runs for every request: `format!` takes several times as long.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::decimal::{decimal, ipv4, padded};

const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";
const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";

/// Appends bytes with one of the escapes below.
pub(super) type Escape = fn(&[u8], &mut Vec<u8>);

/// Escapes for use between quotes: as in nginx by default, `"`, `\`, control characters and non-ASCII
/// bytes become `\xHH`.
pub(super) fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    hex_escaped(bytes, IN_QUOTES, out);
}

/// Escapes for use outside quotes or in a list: like [`quoted`], and spaces and commas too.
pub(super) fn word(bytes: &[u8], out: &mut Vec<u8>) {
    hex_escaped(bytes, IN_WORDS, out);
}

/// For each byte, the contexts in which it must be escaped.
const SPECIAL: [u8; 256] = {
    let (mut special, mut byte) = ([0; 256], u8::MAX);
    loop {
        special[byte as usize] = match byte {
            b' ' | b',' => IN_WORDS,
            b'"' | b'\\' | ..b' ' | 0x7f.. => IN_WORDS | IN_QUOTES,
            _ => 0,
        };
        if byte == 0 {
            break special;
        }
        byte -= 1;
    }
};

const IN_QUOTES: u8 = 1;
const IN_WORDS: u8 = 2;

/// Whether any of `bytes` must be escaped in this context.
fn needs_escape(bytes: &[u8], context: u8) -> bool {
    bytes.iter().fold(0, |found, byte| found | SPECIAL[usize::from(*byte)]) & context != 0
}

/// Escapes for use inside a JSON string (RFC 8259 §7), as ASCII.
///
/// Control characters and non-ASCII characters become `\uHHHH`, so that no reader mistakes U+2028 for
/// a line break or lets U+202E reverse the text. Invalid UTF-8 becomes U+FFFD, one for each maximal
/// prefix of a character.
pub(super) fn json(bytes: &[u8], out: &mut Vec<u8>) {
    if !needs_escape(bytes, IN_QUOTES) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            json_character(character, out);
        }
        if !chunk.invalid().is_empty() {
            json_character(char::REPLACEMENT_CHARACTER, out);
        }
    }
}

fn json_character(character: char, out: &mut Vec<u8>) {
    match character {
        '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
        ' '..='~' => out.push(character as u8),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let digit = |shift: u16| HEX_LOWER[usize::from(*unit >> shift & 15)];
                out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            }
        }
    }
}

fn hex_escaped(bytes: &[u8], context: u8, out: &mut Vec<u8>) {
    if !needs_escape(bytes, context) {
        return out.extend_from_slice(bytes);
    }
    for &byte in bytes {
        if SPECIAL[usize::from(byte)] & context != 0 {
            let digit = |shift: u8| HEX_UPPER[usize::from(byte >> shift & 15)];
            out.extend_from_slice(&[b'\\', b'x', digit(4), digit(0)]);
        } else {
            out.push(byte);
        }
    }
}

/// Appends a duration in seconds with six decimals, truncated to microseconds.
pub(super) fn seconds(duration: Duration, out: &mut Vec<u8>) {
    let micros = padded::<6>(duration.subsec_micros().into());
    if duration.as_secs() < 10 {
        let mut text = *b"0.000000";
        text[0] += (duration.as_secs() % 10) as u8;
        text[2..].copy_from_slice(&micros);
        return out.extend_from_slice(&text);
    }
    out.extend_from_slice(&decimal(duration.as_secs()));
    out.push(b'.');
    out.extend_from_slice(&micros);
}

/// Appends an IP address; an IPv4-mapped IPv6 address is written as IPv4.
pub(super) fn ip(address: IpAddr, out: &mut Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(address) => out.extend_from_slice(&ipv4(address)),
        IpAddr::V6(address) => ipv6(address, out),
    }
}

/// Appends an IPv6 address as in RFC 5952 §4: lower case, no leading zeros, and the first of the
/// longest runs of zeros as `::`.
fn ipv6(address: Ipv6Addr, out: &mut Vec<u8>) {
    let groups = address.segments();
    match longest_zeros(&groups) {
        (start, end) if end - start > 1 => {
            hex_groups(&groups[..start], out);
            out.extend_from_slice(b"::");
            hex_groups(&groups[end..], out);
        }
        _ => hex_groups(&groups, out),
    }
}

fn longest_zeros(groups: &[u16]) -> (usize, usize) {
    let (mut longest, mut start) = ((0, 0), 0);
    for (at, group) in groups.iter().enumerate() {
        if *group != 0 {
            start = at + 1;
        } else if at + 1 - start > longest.1 - longest.0 {
            longest = (start, at + 1);
        }
    }
    longest
}

fn hex_groups(groups: &[u16], out: &mut Vec<u8>) {
    for (at, group) in groups.iter().enumerate() {
        if at > 0 {
            out.push(b':');
        }
        let digits = 4 - (group.leading_zeros() / 4).min(3);
        for place in (0..digits).rev() {
            out.push(HEX_LOWER[usize::from(group >> (4 * place) & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: Escape, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes() {
        let rows: [(&[u8], &str, &str, &str); 8] = [
            (b"/a?b=c", "/a?b=c", "/a?b=c", "/a?b=c"),
            (b"a b,c", "a b,c", r"a\x20b\x2Cc", "a b,c"),
            (b"\r\n\0", r"\x0D\x0A\x00", r"\x0D\x0A\x00", r"\u000d\u000a\u0000"),
            (br#"" \x"#, r"\x22 \x5Cx", r"\x22\x20\x5Cx", r#"\" \\x"#),
            (b"\x7f\x1b[2J", r"\x7F\x1B[2J", r"\x7F\x1B[2J", r"\u007f\u001b[2J"),
            (
                "é€😀".as_bytes(),
                r"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
                "",
                r"\u00e9\u20ac\ud83d\ude00",
            ),
            (
                b"\xe9/\xe2\x82/\xff\xfe",
                r"\xE9/\xE2\x82/\xFF\xFE",
                "",
                r"\ufffd/\ufffd/\ufffd\ufffd",
            ),
            ("\u{85}\u{2028}".as_bytes(), r"\xC2\x85\xE2\x80\xA8", "", r"\u0085\u2028"),
        ];
        for (bytes, in_quotes, as_word, in_json) in rows {
            assert_eq!(escaped(quoted, bytes), in_quotes);
            assert_eq!(escaped(word, bytes), if as_word.is_empty() { in_quotes } else { as_word });
            assert_eq!(escaped(json, bytes), in_json);
        }
    }

    #[test]
    fn durations() {
        for (nanos, expected) in
            [(0, "0.000000"), (1_999, "0.000001"), (61_000_020_000, "61.000020")]
        {
            let mut out = Vec::new();
            seconds(Duration::from_nanos(nanos), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn addresses_match_the_standard_library() {
        let addresses = [
            "0.0.0.0",
            "192.0.2.255",
            "::",
            "::1",
            "1::",
            "2001:db8::1:0:0:1",
            "2001:db8:0:1:1:1:1:1",
            "1:0:0:2::3",
            "::ffff:192.0.2.1",
            "1:2:3:4:5:6:7:8",
            "0:0:1::",
            "abcd:ef01:10:100:1000::f",
        ];
        for address in addresses {
            let parsed: IpAddr = address.parse().unwrap();
            let mut out = Vec::new();
            ip(parsed, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), parsed.to_canonical().to_string());
        }
    }
}
