//! The static table (RFC 7541 Appendix A).

/// The fields of the static table. Indices on the wire begin at 1.
#[rustfmt::skip]
pub(super) static FIELDS: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// The longest name.
const NAME_BYTES_MAX: usize = 27;

/// Names with zeros after them, up to a size that is compared in few steps.
const NAME_BYTES_PADDED: usize = 32;
type PaddedName = [u8; NAME_BYTES_PADDED];

/// The place of a name in [`SLOTS`]: no two names share one.
const fn slot(name: &PaddedName, len: usize) -> usize {
    (3 * len + 54 * name[0] as usize + 59 * name[len - 1] as usize) % SLOTS_LEN
}

const SLOTS_LEN: usize = 128;

/// A name and the first index that has it.
#[derive(Clone, Copy)]
struct Slot {
    name: PaddedName,
    index: u8,
}

static SLOTS: [Slot; SLOTS_LEN] = {
    let mut slots = [Slot { name: [0; 32], index: 0 }; SLOTS_LEN];
    let mut at = FIELDS.len();
    while at > 0 {
        let name = FIELDS[at - 1].0;
        let mut padded = [0; 32];
        padded.split_at_mut(name.len()).0.copy_from_slice(name);
        #[expect(clippy::cast_possible_truncation, reason = "61 fields")]
        let index = at as u8;
        let slot = slot(&padded, name.len());
        assert!(slots[slot].index == 0 || slots[slot].index == index + 1, "two names in one slot");
        slots[slot] = Slot { name: padded, index };
        at -= 1;
    }
    slots
};

/// The first index with this name, in lower, upper or mixed case.
pub(super) fn find_name(name: &[u8]) -> Option<usize> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut padded = [0; NAME_BYTES_PADDED];
    padded[..name.len()].copy_from_slice(name);
    padded.make_ascii_lowercase();
    let slot = &SLOTS[slot(&padded, name.len())];
    (slot.index > 0 && slot.name == padded).then_some(usize::from(slot.index))
}

/// The last index whose value is not empty. Names with several values come before it.
const VALUES_END: usize = 16;

/// The index, `first` or one after it, that has the same name as `first` and this value.
#[inline]
pub(super) fn find_value(first: usize, value: &[u8]) -> Option<usize> {
    if first > VALUES_END {
        return value.is_empty().then_some(first);
    }
    let name = FIELDS[first - 1].0;
    let mut same_name = FIELDS[first - 1..].iter().take_while(|field| field.0 == name);
    same_name.position(|field| field.1 == value).map(|past_first| first + past_first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_value() {
        for (at, (name, value)) in FIELDS.iter().enumerate() {
            let first = FIELDS.iter().position(|field| field.0 == *name).unwrap() + 1;
            assert_eq!(find_name(name), Some(first), "{}", name.escape_ascii());
            assert_eq!(find_name(&name.to_ascii_uppercase()), Some(first));
            assert_eq!(find_value(first, value), Some(at + 1), "{}", name.escape_ascii());
        }
        assert_eq!(FIELDS.iter().map(|field| field.0.len()).max(), Some(NAME_BYTES_MAX));
    }

    #[test]
    fn other_names_are_not_found() {
        for name in [
            &b""[..],
            b"x",
            b"dat",
            b"dates",
            b"eate",
            b":",
            b"x-request-id",
            b"access-control-allow-orig",
        ] {
            assert_eq!(find_name(name), None, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn other_values_are_not_found() {
        assert_eq!(find_value(2, b"PUT"), None);
        assert_eq!(find_value(8, b"201"), None);
        assert_eq!(find_value(1, b"GET"), None);
        assert_eq!(find_value(61, b"Basic"), None);
    }
}
