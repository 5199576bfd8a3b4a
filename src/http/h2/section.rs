//! A field section as HPACK yields it: fields in order, in one block of memory.

use crate::http::h1::scan::Limits;

/// What each field costs besides its bytes: the overhead that RFC 7541 §4.1 assumes, so that many empty
/// fields are not free.
pub const FIELD_OVERHEAD_BYTES: usize = 32;

/// The room that a section begins with: that of the request of a browser without its cookies.
const ROOM_BYTES: usize = 512;
const ROOM_FIELDS: usize = 20;

/// What a field section may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionLimits {
    /// Names, values and [`FIELD_OVERHEAD_BYTES`] for each field, in bytes: what
    /// `SETTINGS_MAX_HEADER_LIST_SIZE` counts (RFC 9113 §6.5.2).
    pub bytes_max: usize,
    /// The number of fields, pseudo-header fields included.
    pub fields_max: usize,
}

/// Pseudo-header fields that a request may have.
const PSEUDO_HEADERS_MAX: usize = 5;

impl SectionLimits {
    /// Those of a head in HTTP/1.1. What HTTP/2 counts for each field besides its bytes comes on top: what
    /// a head may hold does not depend on the protocol that brought it.
    pub fn of_heads(limits: &Limits) -> Self {
        let bytes_max = limits.head_bytes_max + limits.fields_max * FIELD_OVERHEAD_BYTES;
        Self { bytes_max, fields_max: limits.fields_max + PSEUDO_HEADERS_MAX }
    }
}

/// The fields of one section, names and values as they were decoded: neither has been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSection {
    /// The fields without gaps, and after them the one that is being decoded.
    bytes: Vec<u8>,
    /// Where each name and each value ends.
    ends: Vec<(u32, u32)>,
    never_indexed: NeverIndexed,
}

/// The names of those fields of a message that came as literals never to be indexed. Whoever forwards them
/// must send them as such, too (RFC 7541 §6.2.3), which holds for all fields of that name here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeverIndexed(
    /// Each followed by a line feed, which no name contains that is sent on.
    Vec<u8>,
);

impl NeverIndexed {
    /// None.
    pub const NONE: Self = Self(Vec::new());

    /// Whether this name is one of them, in whatever case.
    #[inline]
    pub fn has(&self, name: &[u8]) -> bool {
        !self.0.is_empty() && self.names().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Adds those of another section of the same message.
    pub fn extend(&mut self, other: &Self) {
        other.names().for_each(|name| self.add(name));
    }

    fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split_inclusive(|byte| *byte == b'\n').map(|name| &name[..name.len() - 1])
    }

    fn add(&mut self, name: &[u8]) {
        if !self.has(name) {
            self.0.extend_from_slice(name);
            self.0.push(b'\n');
        }
    }
}

impl FieldSection {
    /// Without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// What it costs, in bytes, as [`SectionLimits::bytes_max`] counts.
    pub fn cost_bytes(&self) -> usize {
        self.end() + self.ends.len() * FIELD_OVERHEAD_BYTES
    }

    /// Whether it stays within `limits` with one more field, whose name and value have so many bytes.
    pub fn fits(&self, limits: &SectionLimits, field_bytes: usize) -> bool {
        self.cost_bytes() + field_bytes + FIELD_OVERHEAD_BYTES <= limits.bytes_max
            && self.len() < limits.fields_max
    }

    /// Which fields came as literals never to be indexed.
    pub fn never_indexed(&self) -> &NeverIndexed {
        &self.never_indexed
    }

    /// Appends a field. Sections are bounded far below 4 GiB by whoever fills them.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.close(name_end, false);
    }

    /// Appends a field whose name is the first `name_bytes` of `field`, and whose value is the rest.
    #[inline]
    pub(super) fn push_joined(&mut self, field: &[u8], name_bytes: usize) {
        let name_end = self.bytes.len() + name_bytes;
        self.bytes.extend_from_slice(field);
        self.close(name_end, false);
    }

    /// The field at `index`: its name and its value.
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let &(name_end, value_end) = self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].1);
        let field = &self.bytes[start as usize..value_end as usize];
        Some(field.split_at((name_end - start) as usize))
    }

    /// The memory that it holds for names and values, in bytes.
    pub fn room_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes one field of all that have this name, with `delimiter` between their values, empty ones left
    /// out. It comes last.
    #[expect(clippy::cast_possible_truncation, reason = "sections are far shorter than 4 GiB")]
    pub fn join(&mut self, name: &[u8], delimiter: &[u8]) {
        self.discard();
        let (mut start, mut kept, mut kept_fields) = (0, 0, 0);
        let joined = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let empty = self.bytes.len();
        for at in 0..self.ends.len() {
            let (name_end, value_end) = self.ends[at];
            let (name_end, value_end) = (name_end as usize, value_end as usize);
            if &self.bytes[start..name_end] != name {
                self.bytes.copy_within(start..value_end, kept);
                let gap = start - kept;
                self.ends[kept_fields] = ((name_end - gap) as u32, (value_end - gap) as u32);
                (kept, kept_fields) = (value_end - gap, kept_fields + 1);
            } else if name_end < value_end {
                let before = if self.bytes.len() > empty { delimiter } else { b"" };
                self.bytes.extend_from_slice(before);
                self.bytes.extend_from_within(name_end..value_end);
            }
            start = value_end;
        }
        let found = kept_fields < self.ends.len();
        self.ends.truncate(kept_fields);
        self.bytes.drain(kept..joined);
        if found {
            self.ends.push(((kept + name.len()) as u32, self.bytes.len() as u32));
        } else {
            self.bytes.truncate(kept);
        }
    }

    /// Drops all fields and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.never_indexed = NeverIndexed::NONE;
    }

    /// The fields in order, each as its name and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(name_end, value_end)| {
            let name_end = name_end as usize;
            let name = &self.bytes[start..name_end];
            start = value_end as usize;
            (name, &self.bytes[name_end..start])
        })
    }

    /// Makes room for a usual section, unless there is some: to grow from nothing takes longer than decoding.
    pub(super) fn make_room(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(ROOM_BYTES);
            self.ends.reserve_exact(ROOM_FIELDS);
        }
    }

    /// Where a name and a value can be appended, which become a field once it is closed.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes what follows the fields another one. Its name ends at `name_end` in [`Self::bytes`].
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "sections are far shorter than 4 GiB")]
    pub(super) fn close(&mut self, name_end: usize, never_indexed: bool) {
        if never_indexed {
            self.never_indexed.add(&self.bytes[self.end()..name_end]);
        }
        self.ends.push((name_end as u32, self.bytes.len() as u32));
    }

    /// Drops what follows the fields.
    pub(super) fn discard(&mut self) {
        self.bytes.truncate(self.end());
    }

    fn end(&self) -> usize {
        self.ends.last().map_or(0, |&(_, value_end)| value_end as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_what_they_cost_is_counted() {
        let mut section = FieldSection::new();
        section.push(b":path", b"/");
        section.push(b"a", b"");
        assert_eq!(section.iter().collect::<Vec<_>>(), [(&b":path"[..], &b"/"[..]), (b"a", b"")]);
        assert_eq!((section.len(), section.cost_bytes()), (2, 7 + 2 * FIELD_OVERHEAD_BYTES));
        assert_eq!(section.get(0), Some((&b":path"[..], &b"/"[..])));
        assert_eq!(section.get(1), Some((&b"a"[..], &b""[..])));
        assert_eq!(section.get(2), None);
        section.clear();
        assert!(section.is_empty());
    }

    #[test]
    fn fields_of_one_name_are_joined_and_the_others_stay_as_they_are() {
        let rows = [
            ("c=1 a=x c= bb=yy c=22 c=", "a=x bb=yy c=1;22"),
            ("c= c=1", "c=1"),
            ("c= c=", "c="),
            ("c=1 c=2", "c=1;2"),
            ("c=1 a=2", "a=2 c=1"),
            ("a=1 cc=2", "a=1 cc=2"),
            ("", ""),
        ];
        for (fields, expected) in rows {
            let [mut joined, whole] = [fields, expected].map(|fields| {
                let mut section = FieldSection::new();
                for (name, value) in fields.split(' ').filter_map(|field| field.split_once('=')) {
                    section.push(name.as_bytes(), value.as_bytes());
                }
                section
            });
            joined.join(b"c", b";");
            assert_eq!(joined, whole, "{fields:?}");
        }
    }

    #[test]
    fn one_more_field_fits_up_to_both_limits() {
        let mut section = FieldSection::new();
        section.push(b"a", b"1");
        let limits = SectionLimits { bytes_max: 100, fields_max: 2 };
        assert!(section.fits(&limits, 100 - 34 - 32));
        assert!(!section.fits(&limits, 100 - 34 - 32 + 1));
        section.push(b"", b"");
        assert!(!section.fits(&limits, 0));
    }

    #[test]
    fn an_open_field_counts_once_it_is_closed() {
        let mut section = FieldSection::new();
        section.push(b"a", b"1");
        section.bytes().extend_from_slice(b"bc");
        assert_eq!((section.len(), section.cost_bytes()), (1, 34));
        section.discard();
        section.bytes().extend_from_slice(b"name");
        section.close(2 + 4, true);
        assert_eq!(section.get(1), Some((&b"name"[..], &b""[..])));
        assert!(section.never_indexed().has(b"name") && !section.never_indexed().has(b"a"));
    }

    #[test]
    fn names_of_fields_never_to_be_indexed_are_there_once_and_in_any_case() {
        let (mut names, mut more) = (NeverIndexed::NONE, NeverIndexed::NONE);
        assert!(!names.has(b"") && !names.has(b"a"));
        names.add(b"x-a");
        for name in ["x-b", "X-A", ""] {
            more.add(name.as_bytes());
        }
        names.extend(&more);
        assert_eq!(names.0, b"x-a\nx-b\n\n");
        assert!(names.has(b"X-B") && names.has(b"") && !names.has(b"x"));
    }
}
