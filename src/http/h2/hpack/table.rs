//! The dynamic table (RFC 7541 §2.3.2, §4).

use std::collections::VecDeque;

use super::super::section::FIELD_OVERHEAD_BYTES;

/// Room for bytes is first made for as many.
const ROOM_BYTES_MIN: usize = 256;

/// The fields that the peer has had us keep, the newest first. Nothing is allocated before the first.
///
/// Names and values stand in one block of memory, where evicted ones leave room at its start; when the block
/// is full, the others are moved there. The block is at most twice as large as the table may be, so that this
/// is rare: on average, an inserted byte is moved once.
#[derive(Debug)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// What is subtracted from [`Entry::start`] to find it in `bytes`.
    base: u32,
    /// The oldest first.
    entries: VecDeque<Entry>,
    /// Names, values, and [`FIELD_OVERHEAD_BYTES`] for each entry.
    size_bytes: usize,
    size_bytes_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Wraps around.
    start: u32,
    name_bytes: u32,
    value_bytes: u32,
}

impl Table {
    pub(super) fn new(size_bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), base: 0, entries: VecDeque::new(), size_bytes: 0, size_bytes_max }
    }

    pub(super) fn size_bytes_max(&self) -> usize {
        self.size_bytes_max
    }

    /// The name and value of the entry `index`; the newest is 0.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let at = self.entries.len().checked_sub(index + 1)?;
        let entry = self.entries.get(at)?;
        let start = self.place(entry);
        let field = &self.bytes[start..][..(entry.name_bytes + entry.value_bytes) as usize];
        Some(field.split_at(entry.name_bytes as usize))
    }

    /// Inserts an entry and evicts as many as it takes; if it is larger than the table, all, and it is not
    /// kept (RFC 7541 §4.4).
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an entry is smaller than the table, which is far below 4 GiB"
    )]
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let field_bytes = name.len() + value.len();
        let Some(others_bytes_max) =
            self.size_bytes_max.checked_sub(field_bytes + FIELD_OVERHEAD_BYTES)
        else {
            return self.evict(0);
        };
        self.evict(others_bytes_max);
        self.make_room(field_bytes);
        self.entries.push_back(Entry {
            start: self.base.wrapping_add(self.bytes.len() as u32),
            name_bytes: name.len() as u32,
            value_bytes: value.len() as u32,
        });
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.size_bytes += field_bytes + FIELD_OVERHEAD_BYTES;
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
            && let Some(Entry { name_bytes, value_bytes, .. }) = self.entries.pop_front()
        {
            self.size_bytes -= (name_bytes + value_bytes) as usize + FIELD_OVERHEAD_BYTES;
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        }
    }

    fn place(&self, entry: &Entry) -> usize {
        entry.start.wrapping_sub(self.base) as usize
    }

    /// Makes room for as many more bytes.
    fn make_room(&mut self, field_bytes: usize) {
        if self.bytes.capacity() - self.bytes.len() >= field_bytes {
            return;
        }
        if let Some(oldest) = self.entries.front() {
            let evicted = self.place(oldest);
            self.base = oldest.start;
            self.bytes.drain(..evicted);
        }
        let wanted = (2 * (self.bytes.len() + field_bytes)).max(ROOM_BYTES_MIN);
        if self.bytes.capacity() < wanted {
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
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
        table.insert(b"a", b"1");
        table.insert(b"", b"");
        table.insert(b"b", b"");
        assert_eq!(names(&table), ["b=", "=", "a=1"]);
        assert_eq!(table.size_bytes, 3 * 32 + 3);
    }

    #[test]
    fn nothing_is_allocated_before_the_first_entry() {
        let mut table = Table::new(4096);
        table.resize(100);
        table.insert(b"too-large", &[b'x'; 100]);
        assert_eq!((table.bytes.capacity(), table.entries.capacity()), (0, 0));
    }

    #[test]
    fn the_oldest_entries_are_evicted_when_the_table_is_full() {
        let mut table = Table::new(3 * 34);
        for name in [b"a", b"b", b"c", b"d"] {
            table.insert(name, b"1");
        }
        assert_eq!(names(&table), ["d=1", "c=1", "b=1"]);
        table.insert(b"e", b"12");
        assert_eq!(names(&table), ["e=12", "d=1"]);
    }

    #[test]
    fn an_entry_larger_than_the_table_empties_it() {
        let mut table = Table::new(100);
        table.insert(b"a", b"1");
        table.insert(b"b", &[b'x'; 68]);
        assert_eq!(names(&table), Vec::<String>::new());
        assert_eq!(table.size_bytes, 0);
        table.insert(b"c", &[b'x'; 67]);
        assert_eq!(table.size_bytes, 100);
    }

    #[test]
    fn a_smaller_table_keeps_the_newest_entries() {
        let mut table = Table::new(4096);
        for name in [b"a", b"b", b"c"] {
            table.insert(name, b"1");
        }
        table.resize(2 * 34 + 33);
        assert_eq!(names(&table), ["c=1", "b=1"]);
        table.resize(0);
        assert_eq!(names(&table), Vec::<String>::new());
        table.resize(4096);
        table.insert(b"d", b"1");
        assert_eq!(names(&table), ["d=1"]);
    }

    #[test]
    fn memory_stays_within_twice_the_size() {
        let mut table = Table::new(4096);
        // So that the places of entries wrap around, too.
        table.base = u32::MAX - 50_000;
        let mut model: Vec<String> = Vec::new();
        for number in 0..10_000_usize {
            let (name, value) = (number.to_string(), "v".repeat(number * 7 % 300));
            table.insert(name.as_bytes(), value.as_bytes());
            model.push(format!("{name}={value}"));
            let kept = names(&table);
            assert!(model.iter().rev().zip(&kept).all(|(expected, found)| expected == found));
            assert!(!kept.is_empty() && table.size_bytes <= 4096);
            assert!(table.bytes.capacity() <= 8192 && table.entries.capacity() <= 128);
        }
    }
}
