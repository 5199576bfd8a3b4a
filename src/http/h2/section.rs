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

    /// Makes one field of all that have this name, with `delimiter` between their values. It comes last.
    #[expect(clippy::cast_possible_truncation, reason = "sections are far shorter than 4 GiB")]
    pub fn join(&mut self, name: &[u8], delimiter: &[u8]) {
        let (mut start, mut kept, mut kept_fields) = (0, 0, 0);
        let joined = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let mut is_first = true;
        for at in 0..self.ends.len() {
            let (name_end, value_end) = self.ends[at];
            let (name_end, value_end) = (name_end as usize, value_end as usize);
            if &self.bytes[start..name_end] == name {
                let before: &[u8] = if is_first { b"" } else { delimiter };
                self.bytes.extend_from_slice(before);
                self.bytes.extend_from_within(name_end..value_end);
                is_first = false;
            } else {
                self.bytes.copy_within(start..value_end, kept);
                let gap = start - kept;
                self.ends[kept_fields] = ((name_end - gap) as u32, (value_end - gap) as u32);
                (kept, kept_fields) = (value_end - gap, kept_fields + 1);
            }
            start = value_end;
        }
        self.ends.truncate(kept_fields);
        self.bytes.drain(kept..joined);
        if is_first {
            self.bytes.truncate(kept);
        } else {
            self.ends.push(((kept + name.len()) as u32, self.bytes.len() as u32));
        }
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

    #[test]
    fn fields_of_one_name_are_joined_and_the_others_stay_as_they_are() {
        let rows = [
            ("c=1 a=x c= bb=yy c=22", "a=x bb=yy c=1;;22"),
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
}
