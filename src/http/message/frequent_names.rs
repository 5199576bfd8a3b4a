//! Names where they stand in a head: those that most heads have are recognised by one or two words of eight bytes
//! instead of byte by byte.

use super::field::{Name, is_plain_at_front, is_token};

/// Recognises the name of `length` bytes at the front of `bytes`, in any case, if it is a token. There must be no
/// carriage return in it.
#[inline]
pub(in crate::http) fn name_at_front(bytes: &[u8], length: usize) -> Option<Name> {
    frequent(bytes, length).or_else(|| infrequent(bytes, length))
}

#[inline(never)]
fn infrequent(bytes: &[u8], length: usize) -> Option<Name> {
    let name = bytes.get(..length)?;
    if is_plain_at_front(bytes, length) {
        return Some(Name::of_plain(name));
    }
    is_token(name).then(|| Name::of(name))
}

/// A word of bytes in lower case, as far as they are letters.
const LOWER: u64 = u64::from_le_bytes([0x20; 8]);

/// The same of those that most heads have: for one of eight fields that saves 700 instructions. A carriage return
/// would be taken for a hyphen.
#[inline]
fn frequent(bytes: &[u8], length: usize) -> Option<Name> {
    let first = word(bytes, 0)?;
    match length {
        0..8 => known_short(first & !(u64::MAX << (8 * length))),
        8..=16 => known_long(length, first, word(bytes, length - 8)?),
        _ => None,
    }
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*eight) | LOWER)
}

#[inline]
fn known_short(name: u64) -> Option<Name> {
    const HOST: u64 = short(b"host");
    const DATE: u64 = short(b"date");
    const ACCEPT: u64 = short(b"accept");
    const AGE: u64 = short(b"age");
    const COOKIE: u64 = short(b"cookie");
    const DNT: u64 = short(b"dnt");
    const ETAG: u64 = short(b"etag");
    const EXPIRES: u64 = short(b"expires");
    const ORIGIN: u64 = short(b"origin");
    const PRAGMA: u64 = short(b"pragma");
    const REFERER: u64 = short(b"referer");
    const SERVER: u64 = short(b"server");
    const VARY: u64 = short(b"vary");
    match name {
        HOST => Some(Name::Host),
        DATE => Some(Name::Date),
        ACCEPT | AGE | COOKIE | DNT | ETAG | EXPIRES | ORIGIN | PRAGMA | REFERER | SERVER
        | VARY => Some(Name::Other),
        _ => None,
    }
}

#[inline]
fn known_long(length: usize, first: u64, last: u64) -> Option<Name> {
    const LOCATION: Long = long(b"location");
    const PRIORITY: Long = long(b"priority");
    const CONNECTION: Long = long(b"connection");
    const SET_COOKIE: Long = long(b"set-cookie");
    const USER_AGENT: Long = long(b"user-agent");
    const CONTENT_TYPE: Long = long(b"content-type");
    const ACCEPT_RANGES: Long = long(b"accept-ranges");
    const AUTHORIZATION: Long = long(b"authorization");
    const CACHE_CONTROL: Long = long(b"cache-control");
    const IF_NONE_MATCH: Long = long(b"if-none-match");
    const LAST_MODIFIED: Long = long(b"last-modified");
    const CONTENT_LENGTH: Long = long(b"content-length");
    const SEC_FETCH_DEST: Long = long(b"sec-fetch-dest");
    const SEC_FETCH_MODE: Long = long(b"sec-fetch-mode");
    const SEC_FETCH_SITE: Long = long(b"sec-fetch-site");
    const SEC_FETCH_USER: Long = long(b"sec-fetch-user");
    const ACCEPT_ENCODING: Long = long(b"accept-encoding");
    const ACCEPT_LANGUAGE: Long = long(b"accept-language");
    const CONTENT_ENCODING: Long = long(b"content-encoding");
    match (length, first, last) {
        CONNECTION => Some(Name::Connection),
        CONTENT_LENGTH => Some(Name::ContentLength),
        LOCATION | PRIORITY | SET_COOKIE | USER_AGENT | CONTENT_TYPE | ACCEPT_RANGES
        | AUTHORIZATION | CACHE_CONTROL | IF_NONE_MATCH | LAST_MODIFIED | SEC_FETCH_DEST
        | SEC_FETCH_MODE | SEC_FETCH_SITE | SEC_FETCH_USER | ACCEPT_ENCODING | ACCEPT_LANGUAGE
        | CONTENT_ENCODING => Some(Name::Other),
        _ => None,
    }
}

/// The word of a name of less than eight bytes: letters in lower case.
const fn short(name: &[u8]) -> u64 {
    let (mut word, mut at) = ([0; 8], 0);
    while at < name.len() {
        assert!(name[at].is_ascii_lowercase());
        word[at] = name[at];
        at += 1;
    }
    u64::from_le_bytes(word)
}

/// The length of a name of 8 to 16 bytes, its first word and its last.
type Long = (usize, u64, u64);

/// That of a name of letters in lower case and hyphens.
const fn long(name: &[u8]) -> Long {
    let (mut first, mut last, mut at) = ([0; 8], [0; 8], 0);
    while at < name.len() {
        assert!(name[at].is_ascii_lowercase() || name[at] == b'-');
        if at < 8 {
            first[at] = name[at];
        }
        if at >= name.len() - 8 {
            last[at - (name.len() - 8)] = name[at];
        }
        at += 1;
    }
    (name.len(), u64::from_le_bytes(first), u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::field::is_token_byte;

    const FREQUENT: &str = "host date accept age cookie dnt etag expires origin pragma referer server vary location \
        priority connection set-cookie user-agent content-type accept-ranges authorization cache-control \
        if-none-match last-modified content-length sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user \
        accept-encoding accept-language content-encoding";

    fn found(name: &[u8]) -> Option<Name> {
        frequent(&[name, b": value"].concat(), name.len())
    }

    #[test]
    fn what_is_frequent_is_recognised_in_any_case() {
        for name in FREQUENT.split_whitespace() {
            let known = Some(Name::of(name.as_bytes()));
            assert_eq!(found(name.as_bytes()), known, "{name}");
            assert_eq!(found(name.to_uppercase().as_bytes()), known, "{name}");
        }
    }

    #[test]
    fn a_name_with_another_byte_is_not() {
        for name in FREQUENT.split_whitespace() {
            for (at, byte) in (0..name.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
                let mut other = name.as_bytes().to_vec();
                other[at] = byte;
                let is_same = other.eq_ignore_ascii_case(name.as_bytes());
                if !is_same && byte != b'\r' && found(&other).is_some() {
                    let known = FREQUENT
                        .split_whitespace()
                        .any(|name| other.eq_ignore_ascii_case(name.as_bytes()));
                    assert!(known, "{}", other.escape_ascii());
                }
            }
            assert_eq!(found(&name.as_bytes()[1..]), None, "{name}");
        }
        assert_eq!(found(b""), None);
    }

    #[test]
    fn a_name_is_a_token_wherever_its_bytes_stand() {
        for (byte, length) in (0..=255u8)
            .filter(|byte| *byte != b'\r')
            .flat_map(|byte| (1..20).map(move |length| (byte, length)))
        {
            for at in 0..length {
                let mut bytes = vec![b'a'; length];
                bytes[at] = byte;
                let after = [&bytes[..], b": \0\0\0\0\0\0\0\0\0\0\0\0\0\0"].concat();
                let expected = is_token_byte(byte).then(|| Name::of(&bytes));
                assert_eq!(
                    name_at_front(&after, length),
                    expected,
                    "{byte:#x} at {at} of {length}"
                );
                assert_eq!(
                    name_at_front(&bytes, length),
                    expected,
                    "{byte:#x} at {at} of {length}"
                );
            }
        }
        assert_eq!(name_at_front(b": a", 0), None);
    }
}
