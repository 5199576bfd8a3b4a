//! A field section as HPACK yields it: fields in order, in one block of memory.

/// What each field costs besides its bytes: the overhead that RFC 7541 §4.1 assumes, so that many empty
/// fields are not free.
pub const FIELD_OVERHEAD_BYTES: usize = 32;

/// What a field section may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionLimits {
    /// Names, values and [`FIELD_OVERHEAD_BYTES`] for each field, in bytes: what
    /// `SETTINGS_MAX_HEADER_LIST_SIZE` counts (RFC 9113 §6.5.2).
    pub bytes_max: usize,
    /// The number of fields, pseudo-header fields included.
    pub fields_max: usize,
}

/// The fields of one section, names and values as they were decoded: neither has been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSection {
    bytes: Vec<u8>,
    /// Where each name and each value ends; they follow each other without gaps.
    ends: Vec<(u32, u32)>,
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
        self.bytes.len() + self.ends.len() * FIELD_OVERHEAD_BYTES
    }

    /// Appends a field. Sections are bounded far below 4 GiB by whoever fills them.
    #[expect(clippy::cast_possible_truncation, reason = "sections are far shorter than 4 GiB")]
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.ends.push((name_end, self.bytes.len() as u32));
    }

    /// Drops all fields and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
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
        section.clear();
        assert!(section.is_empty());
    }
}
