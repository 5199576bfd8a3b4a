//! Names where they stand in a head: those that most heads have are recognised by one or two words of eight bytes
//! instead of byte by byte.

use super::field::{Name, is_plain_at_front, is_token};

/// Recognises the name of `length` bytes at the front of `bytes`, in any case, if it is a token. There must be no
/// carriage return in it.
#[inline]
pub(in crate::http) fn name_at_front(bytes: &[u8], length: usize) -> Option<Name> {
    debug_assert!(!bytes.iter().take(length).any(|byte| *byte == b'\r'), "one in a name");
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

/// The same of those that most heads have: for one of eight fields that saves 900 instructions. A carriage return
/// would be taken for a hyphen.
#[inline]
fn frequent(bytes: &[u8], length: usize) -> Option<Name> {
    let key = Key::at_front(bytes, length)?;
    let (known, name) = &FREQUENT[key.slot()];
    (*known == key).then_some(*name)
}

/// All that there is of a name of up to 16 bytes, each with the bit set that makes letters lower case.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    length: usize,
    /// Its first eight bytes: all of it, if there are fewer.
    first: u64,
    /// Its last eight bytes, which may be some of these.
    last: u64,
}

impl Key {
    #[inline]
    fn at_front(bytes: &[u8], length: usize) -> Option<Self> {
        let first = word(bytes, 0)?;
        match length {
            0..8 => {
                let first = first & !(u64::MAX << (8 * length));
                Some(Self { length, first, last: first })
            }
            8..=16 => Some(Self { length, first, last: word(bytes, length - 8)? }),
            _ => None,
        }
    }

    /// That of a name of letters in lower case and hyphens.
    const fn of(name: &[u8]) -> Self {
        let (mut first, mut last, mut at) = ([0; 8], [0; 8], 0);
        assert!(name.len() <= 16);
        while at < name.len() {
            assert!(name[at].is_ascii_lowercase() || name[at] == b'-' && name.len() >= 8);
            if at < 8 {
                first[at] = name[at];
            }
            if at + 8 >= name.len() && name.len() >= 8 {
                last[at + 8 - name.len()] = name[at];
            }
            at += 1;
        }
        let last = if name.len() < 8 { first } else { last };
        let (first, last) = (u64::from_le_bytes(first), u64::from_le_bytes(last));
        Self { length: name.len(), first, last }
    }

    /// Where it stands, if it is frequent. With this factor, which was found by trying, no two that are frequent
    /// stand in the same place.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "seven bits are left")]
    const fn slot(self) -> usize {
        const FACTOR: u64 = 0x2b9d_b165_2c6e_4fe5;
        let mixed = (self.first ^ self.last.rotate_left(29)).wrapping_add(self.length as u64);
        (mixed.wrapping_mul(FACTOR) >> (u64::BITS - SLOTS.ilog2())) as usize
    }
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..at + 8)?.first_chunk()?;
    Some(u64::from_le_bytes(*eight) | LOWER)
}

/// How many places there are: a power of two.
const SLOTS: usize = 128;

static FREQUENT: [(Key, Name); SLOTS] = {
    // No name has this key.
    let mut slots = [(Key { length: 0, first: 1, last: 0 }, Name::Other); SLOTS];
    let mut at = 0;
    while at < NAMES.len() {
        let (name, means) = NAMES[at];
        let key = Key::of(name.as_bytes());
        assert!(slots[key.slot()].0.length == 0, "two names in one place: try another factor");
        slots[key.slot()] = (key, means);
        at += 1;
    }
    slots
};

const NAMES: [(&str, Name); 32] = [
    ("accept", Name::Other),
    ("accept-encoding", Name::Other),
    ("accept-language", Name::Other),
    ("accept-ranges", Name::Other),
    ("age", Name::Other),
    ("authorization", Name::Other),
    ("cache-control", Name::Other),
    ("connection", Name::Connection),
    ("content-encoding", Name::Other),
    ("content-length", Name::ContentLength),
    ("content-type", Name::Other),
    ("cookie", Name::Other),
    ("date", Name::Date),
    ("dnt", Name::Other),
    ("etag", Name::Other),
    ("expires", Name::Other),
    ("host", Name::Host),
    ("if-none-match", Name::Other),
    ("last-modified", Name::Other),
    ("location", Name::Other),
    ("origin", Name::Other),
    ("pragma", Name::Other),
    ("priority", Name::Other),
    ("referer", Name::Other),
    ("sec-fetch-dest", Name::Other),
    ("sec-fetch-mode", Name::Other),
    ("sec-fetch-site", Name::Other),
    ("sec-fetch-user", Name::Other),
    ("server", Name::Other),
    ("set-cookie", Name::Other),
    ("user-agent", Name::Other),
    ("vary", Name::Other),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::field::is_token_byte;

    fn found(name: &[u8]) -> Option<Name> {
        frequent(&[name, b": value"].concat(), name.len())
    }

    #[test]
    fn what_is_frequent_is_recognised_in_any_case() {
        for (name, means) in NAMES {
            let known = Some(means);
            assert_eq!(known, Some(Name::of(name.as_bytes())), "{name}");
            assert_eq!(found(name.as_bytes()), known, "{name}");
            assert_eq!(found(name.to_uppercase().as_bytes()), known, "{name}");
        }
    }

    #[test]
    fn a_name_with_another_byte_is_not() {
        for (name, _) in NAMES {
            for (at, byte) in (0..name.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
                let mut other = name.as_bytes().to_vec();
                other[at] = byte;
                let is_same = other.eq_ignore_ascii_case(name.as_bytes());
                if !is_same && byte != b'\r' && found(&other).is_some() {
                    let known =
                        NAMES.iter().any(|(name, _)| other.eq_ignore_ascii_case(name.as_bytes()));
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
