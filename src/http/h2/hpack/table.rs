//! The dynamic table (RFC 7541 §2.3.2, §4).

use std::collections::VecDeque;

use super::super::section::FIELD_OVERHEAD_BYTES;

/// Room for names and values is first made for as many bytes.
const ROOM_BYTES_MIN: usize = 512;

/// The fields that the peer has had us keep. Nothing is allocated before the first.
///
/// Their names and values stand in one block of memory, one after the other; when it is full, those that are
/// left are copied to another one. That is at most twice as large as the table may be, so it is rare: on
/// average, every byte that is inserted is copied once more.
///
/// An entry that takes its name from another shares it until then. So an entry costs no more than the bytes
/// that the peer has sent for it, however long the name.
#[derive(Debug)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// The oldest first.
    entries: VecDeque<Entry>,
    /// Names, values, and [`FIELD_OVERHEAD_BYTES`] for each entry.
    size_bytes: usize,
    size_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    name: Span,
    value: Span,
}

/// A part of the table's bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
}

/// Where the name of a new entry comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'a> {
    Bytes(&'a [u8]),
    /// It is that of the entry with this index.
    Entry(usize),
}

impl Table {
    pub(super) fn new(size_bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), entries: VecDeque::new(), size_bytes: 0, size_bytes_max }
    }

    pub(super) fn size_bytes_max(&self) -> usize {
        self.size_bytes_max
    }

    /// The name and value of the entry `index`; the newest is 0.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entry(index)?;
        Some((entry.name.of(&self.bytes), entry.value.of(&self.bytes)))
    }

    /// The entry `index` as one slice, and where its name ends: unless there is none, or it shares its name.
    #[inline]
    pub(super) fn get_joined(&self, index: usize) -> Option<(&[u8], usize)> {
        let Entry { name, value } = self.entry(index)?;
        if name.start + name.len != value.start {
            return None;
        }
        let joined = Span { start: name.start, len: name.len + value.len };
        Some((joined.of(&self.bytes), name.len as usize))
    }

    /// Inserts an entry and evicts as many as it takes; if it is larger than the table, all, and it is not
    /// kept (RFC 7541 §4.4). A name of no entry is empty.
    pub(super) fn insert(&mut self, name: Name, value: &[u8]) {
        let (shared, new) = match name {
            Name::Bytes(name) => (Span::default(), name),
            Name::Entry(index) => (self.entry(index).unwrap_or_default().name, &[][..]),
        };
        let new_bytes = new.len() + value.len();
        let entry_bytes = shared.len as usize + new_bytes + FIELD_OVERHEAD_BYTES;
        let Some(others_bytes_max) = self.size_bytes_max.checked_sub(entry_bytes) else {
            return self.evict(0);
        };
        self.evict(others_bytes_max);
        // It counts already when the others are copied, so that what it shares is copied too.
        self.entries.push_back(Entry { name: shared, value: Span::default() });
        self.size_bytes += entry_bytes;
        self.make_room(new_bytes);
        let new = (!new.is_empty()).then(|| Span::append(new, &mut self.bytes));
        let value = Span::append(value, &mut self.bytes);
        if let Some(entry) = self.entries.back_mut() {
            *entry = Entry { name: new.unwrap_or(entry.name), value };
        }
    }

    /// Changes the size and evicts what exceeds it (RFC 7541 §4.3).
    pub(super) fn resize(&mut self, size_bytes_max: usize) {
        self.size_bytes_max = size_bytes_max;
        self.evict(size_bytes_max);
        if size_bytes_max == 0 {
            (self.bytes, self.entries) = (Vec::new(), VecDeque::new());
        }
    }

    /// Evicts the oldest entries until the size is at most this.
    fn evict(&mut self, size_bytes_max: usize) {
        while self.size_bytes > size_bytes_max
            && let Some(Entry { name, value }) = self.entries.pop_front()
        {
            self.size_bytes -= (name.len + value.len) as usize + FIELD_OVERHEAD_BYTES;
        }
    }

    fn entry(&self, index: usize) -> Option<Entry> {
        self.entries.get(self.entries.len().checked_sub(index + 1)?).copied()
    }

    /// Makes room for as many more bytes, which the size includes already.
    fn make_room(&mut self, new_bytes: usize) {
        if self.bytes.capacity() - self.bytes.len() >= new_bytes {
            return;
        }
        let kept_bytes = self.size_bytes - self.entries.len() * FIELD_OVERHEAD_BYTES;
        let mut bytes = Vec::with_capacity((2 * kept_bytes).max(ROOM_BYTES_MIN));
        for Entry { name, value } in &mut self.entries {
            *name = Span::append(name.of(&self.bytes), &mut bytes);
            *value = Span::append(value.of(&self.bytes), &mut bytes);
        }
        self.bytes = bytes;
    }
}

impl Span {
    #[expect(clippy::cast_possible_truncation, reason = "tables are far smaller than 4 GiB")]
    fn append(part: &[u8], bytes: &mut Vec<u8>) -> Self {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(part);
        Self { start, len: part.len() as u32 }
    }

    fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..][..self.len as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(table: &Table) -> Vec<String> {
        let fields = (0..).map_while(|index| table.get(index));
        fields
            .map(|(name, value)| {
                let text = [name, b"=", value].concat();
                String::from_utf8(text).unwrap()
            })
            .collect()
    }

    #[test]
    fn the_newest_entry_is_the_first() {
        let mut table = Table::new(4096);
        assert_eq!(table.get(0), None);
        table.insert(Name::Bytes(b"a"), b"1");
        table.insert(Name::Bytes(b""), b"");
        table.insert(Name::Bytes(b"b"), b"");
        assert_eq!(names(&table), ["b=", "=", "a=1"]);
        assert_eq!(table.size_bytes, 3 * 32 + 3);
    }

    #[test]
    fn nothing_is_allocated_before_the_first_entry() {
        let mut table = Table::new(4096);
        table.resize(100);
        table.insert(Name::Bytes(b"too-large"), &[b'x'; 100]);
        assert_eq!((table.bytes.capacity(), table.entries.capacity()), (0, 0));
    }

    #[test]
    fn the_oldest_entries_are_evicted_when_the_table_is_full() {
        let mut table = Table::new(3 * 34);
        for name in [b"a", b"b", b"c", b"d"] {
            table.insert(Name::Bytes(name), b"1");
        }
        assert_eq!(names(&table), ["d=1", "c=1", "b=1"]);
        table.insert(Name::Bytes(b"e"), b"12");
        assert_eq!(names(&table), ["e=12", "d=1"]);
    }

    #[test]
    fn an_entry_larger_than_the_table_empties_it() {
        let mut table = Table::new(100);
        table.insert(Name::Bytes(b"a"), b"1");
        table.insert(Name::Bytes(b"b"), &[b'x'; 68]);
        assert_eq!(names(&table), Vec::<String>::new());
        assert_eq!(table.size_bytes, 0);
        table.insert(Name::Bytes(b"c"), &[b'x'; 67]);
        assert_eq!(table.size_bytes, 100);
    }

    #[test]
    fn a_smaller_table_keeps_the_newest_entries() {
        let mut table = Table::new(4096);
        for name in [b"a", b"b", b"c"] {
            table.insert(Name::Bytes(name), b"1");
        }
        table.resize(2 * 34 + 33);
        assert_eq!(names(&table), ["c=1", "b=1"]);
        table.resize(0);
        assert_eq!(names(&table), Vec::<String>::new());
        table.resize(4096);
        table.insert(Name::Bytes(b"d"), b"1");
        assert_eq!(names(&table), ["d=1"]);
    }

    #[test]
    fn a_shared_name_outlives_the_entry_it_came_from() {
        let mut table = Table::new(200);
        table.insert(Name::Bytes(b"name"), &[b'x'; 100]);
        for number in 0..100 {
            table.insert(Name::Entry(0), &[b'a' + number % 26; 100]);
            assert_eq!(table.get(0), Some((&b"name"[..], &[b'a' + number % 26; 100][..])));
            assert_eq!(table.get(1), None);
        }
        assert!(table.bytes.capacity() <= ROOM_BYTES_MIN);
    }

    #[test]
    fn an_entry_is_one_slice_unless_it_shares_its_name() {
        let mut table = Table::new(4096);
        table.insert(Name::Bytes(b"name"), b"1");
        table.insert(Name::Entry(0), b"2");
        table.insert(Name::Entry(0), b"3");
        assert_eq!(table.get_joined(0), None);
        assert_eq!(table.get(0), Some((&b"name"[..], &b"3"[..])));
        assert_eq!(table.get_joined(2), Some((&b"name1"[..], 4)));
        assert_eq!(table.get_joined(3), None);
    }

    #[test]
    fn a_shared_name_takes_no_room_but_counts() {
        let name = [b'n'; 1000];
        let mut table = Table::new(4096);
        table.insert(Name::Bytes(&name), b"");
        for number in 0..10_000 {
            table.insert(Name::Entry(number % 3), b"");
            assert!(table.get(0) == Some((&name, b"")) && table.size_bytes <= 4096);
        }
        assert_eq!((table.entries.len(), table.bytes.len()), (3, 1000));
    }

    #[test]
    fn memory_stays_within_twice_the_size() {
        let mut table = Table::new(4096);
        let mut model: Vec<String> = Vec::new();
        for number in 0..10_000_usize {
            let (name, value) = (number.to_string(), "v".repeat(number * 7 % 300));
            table.insert(Name::Bytes(name.as_bytes()), value.as_bytes());
            table.insert(Name::Entry(0), b"");
            model.push(format!("{name}={value}"));
            let name = name.as_str();
            let value = "";
            model.push(format!("{name}={value}"));
            let kept = names(&table);
            assert!(model.iter().rev().zip(&kept).all(|(expected, found)| expected == found));
            assert!(!kept.is_empty() && table.size_bytes <= 4096);
            assert!(table.bytes.capacity() <= 8192 && table.entries.capacity() <= 128);
        }
    }
}
