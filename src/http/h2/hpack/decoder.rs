//! Decodes header blocks (RFC 7541 §3, §6).

use super::super::section::{FieldSection, SectionLimits};
use super::error::HpackError;
use super::table::{Name, Table};
use super::{huffman, integer, static_table};
use crate::reject::Reject;

/// The size of a dynamic table as long as nothing else has been agreed upon: the initial value of
/// `SETTINGS_HEADER_TABLE_SIZE` (RFC 9113 §6.5.2).
pub const TABLE_BYTES_DEFAULT: usize = 4096;

/// How many table size updates a block may begin with (RFC 7541 §4.2).
const TABLE_UPDATES_MAX: u32 = 2;

/// Whether a whole field section is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Every field of the block.
    Whole,
    /// The section would have more bytes than it may: the first field that does not fit is missing, and all after
    /// it.
    TooLarge,
    /// The same, of one that would have more fields.
    TooManyFields,
}

impl Fit {
    /// Why a message is refused whose head does not fit; nothing, if it does.
    pub fn check(self) -> Result<(), Reject> {
        match self {
            Self::Whole => Ok(()),
            Self::TooLarge => Err(Reject::HeadTooLarge),
            Self::TooManyFields => Err(Reject::TooManyFields),
        }
    }
}

/// Decodes the header blocks of one connection, in the order in which they arrive.
///
/// Allocates nothing before the peer has it keep a field, and for those at most twice the size of the table,
/// and 16 bytes for each entry.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The largest table that the peer may ask for.
    table_bytes_max: usize,
    /// Whether the next block has to begin with a table size update.
    update_due: bool,
}

impl Decoder {
    /// For a connection on which we announce `table_bytes_max` as `SETTINGS_HEADER_TABLE_SIZE` (RFC 9113
    /// §6.5.2). If that is less than [`TABLE_BYTES_DEFAULT`], the peer may use that much until it has
    /// acknowledged the setting: then begin with the default, and use [`Self::set_table_bytes_max`].
    pub fn new(table_bytes_max: usize) -> Self {
        let table = Table::new(table_bytes_max.min(TABLE_BYTES_DEFAULT));
        Self { table, table_bytes_max, update_due: false }
    }

    /// From now on, as the peer has acknowledged, its table has at most this size. If it has to shrink, the
    /// next block must begin by saying so (RFC 7541 §4.2).
    pub fn set_table_bytes_max(&mut self, table_bytes_max: usize) {
        self.table_bytes_max = table_bytes_max;
        self.update_due = table_bytes_max < self.table.size_bytes_max();
    }

    /// Decodes one whole header block and appends its fields to `section`, as long as that stays within
    /// `limits`. What exceeds them is decoded all the same, since later blocks refer to it, and dropped.
    ///
    /// The work is linear in the block and in what is appended, whatever the block refers to. `section` takes
    /// room for its limits, one entry of the table, and 1.6 times the block at most. After an error its
    /// content is of no use, nor is the decoder.
    pub fn decode(
        &mut self,
        block: &[u8],
        limits: &SectionLimits,
        section: &mut FieldSection,
    ) -> Result<Fit, HpackError> {
        section.make_room();
        let mut block = Block { rest: block, limits, section, fit: Fit::Whole };
        self.update_size(&mut block)?;
        while let Some((&first, rest)) = block.rest.split_first() {
            block.rest = rest;
            match first.leading_zeros() {
                0 => self.indexed(first, &mut block)?,
                1 => self.literal(first, Literal::Kept, &mut block)?,
                2 => return Err(HpackError::TableUpdate),
                3 => self.literal(first, Literal::NeverIndexed, &mut block)?,
                _ => self.literal(first, Literal::Passing, &mut block)?,
            }
        }
        Ok(block.fit)
    }

    /// Takes the table size updates from the start of a block (RFC 7541 §6.3).
    fn update_size(&mut self, block: &mut Block) -> Result<(), HpackError> {
        for _ in 0..TABLE_UPDATES_MAX {
            let Some((&first @ 0b0010_0000..=0b0011_1111, rest)) = block.rest.split_first() else {
                break;
            };
            block.rest = rest;
            let size = integer::decode(first, 5, &mut block.rest)? as usize;
            if size > self.table_bytes_max {
                return Err(HpackError::TableTooLarge);
            }
            self.table.resize(size);
            self.update_due = false;
        }
        if self.update_due { Err(HpackError::TableUpdateMissing) } else { Ok(()) }
    }

    /// RFC 7541 §6.1.
    fn indexed(&self, first: u8, block: &mut Block) -> Result<(), HpackError> {
        let index = integer::decode(first, 7, &mut block.rest)?;
        let entry = (index as usize).checked_sub(1 + static_table::FIELDS.len());
        if let Some((field, name_bytes)) = entry.and_then(|entry| self.table.get_joined(entry)) {
            // The usual case, in one copy.
            if block.takes(field.len()) {
                block.section.push_joined(field, name_bytes);
            }
            return Ok(());
        }
        let (name, value) = self.find(index)?;
        if block.takes(name.len() + value.len()) {
            block.section.push(name, value);
        }
        Ok(())
    }

    /// RFC 7541 §6.2. The field is decoded behind those of the section, and becomes one of them or not.
    fn literal(
        &mut self,
        first: u8,
        literal: Literal,
        block: &mut Block,
    ) -> Result<(), HpackError> {
        let prefix_bits = if literal == Literal::Kept { 6 } else { 4 };
        let index = integer::decode(first, prefix_bits, &mut block.rest)?;
        let known = if index > 0 { Some(self.find(index)?.0) } else { None };
        let start = block.section.bytes().len();
        match known {
            None => block.string()?,
            Some(name) if block.fit == Fit::Whole => block.section.bytes().extend_from_slice(name),
            Some(_) => {}
        }
        let name_end = block.section.bytes().len();
        block.string()?;
        let bytes = block.section.bytes();
        if literal == Literal::Kept {
            let name = match Place::of(index) {
                None => Name::Bytes(&bytes[start..name_end]),
                Some(Place::Static(field)) => Name::Bytes(field.0),
                Some(Place::Dynamic(entry)) => Name::Entry(entry),
            };
            self.table.insert(name, &bytes[name_end..]);
        }
        let field_bytes = bytes.len() - start;
        if block.takes(field_bytes) {
            block.section.close(name_end, literal == Literal::NeverIndexed);
        } else {
            block.section.discard();
        }
        Ok(())
    }

    /// The field that an index refers to.
    fn find(&self, index: u32) -> Result<Field<'_>, HpackError> {
        match Place::of(index) {
            None => Err(HpackError::Index),
            Some(Place::Static(field)) => Ok(field),
            Some(Place::Dynamic(entry)) => self.table.get(entry).ok_or(HpackError::Index),
        }
    }
}

/// A name and a value.
type Field<'a> = (&'a [u8], &'a [u8]);

/// Where an index points (RFC 7541 §2.3.3).
enum Place {
    Static(Field<'static>),
    /// An entry of the dynamic table, whether there is one or not.
    Dynamic(usize),
}

impl Place {
    fn of(index: u32) -> Option<Self> {
        let at = (index as usize).checked_sub(1)?;
        Some(match static_table::FIELDS.get(at) {
            Some(&field) => Self::Static(field),
            None => Self::Dynamic(at - static_table::FIELDS.len()),
        })
    }
}

/// What becomes of a literal field (RFC 7541 §6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    /// It goes into the dynamic table.
    Kept,
    /// It does not.
    Passing,
    /// It does not, and must not wherever it is forwarded to.
    NeverIndexed,
}

/// What is left of a block, and where its fields go.
struct Block<'a> {
    rest: &'a [u8],
    limits: &'a SectionLimits,
    section: &'a mut FieldSection,
    fit: Fit,
}

impl Block<'_> {
    /// Whether the section takes a field whose name and value have so many bytes.
    fn takes(&mut self, field_bytes: usize) -> bool {
        if self.fit == Fit::Whole && !self.section.fits(self.limits, field_bytes) {
            let has_place = self.section.len() < self.limits.fields_max;
            self.fit = if has_place { Fit::TooLarge } else { Fit::TooManyFields };
        }
        self.fit == Fit::Whole
    }

    /// Decodes a string and appends it to the open field (RFC 7541 §5.2).
    fn string(&mut self) -> Result<(), HpackError> {
        let (&first, rest) = self.rest.split_first().ok_or(HpackError::Truncated)?;
        self.rest = rest;
        let string_bytes = integer::decode(first, 7, &mut self.rest)? as usize;
        let (string, rest) =
            self.rest.split_at_checked(string_bytes).ok_or(HpackError::Truncated)?;
        self.rest = rest;
        if first & 0x80 > 0 {
            return huffman::decode(string, self.section.bytes());
        }
        self.section.bytes().extend_from_slice(string);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SectionLimits = SectionLimits { bytes_max: 16 * 1024, fields_max: 100 };

    /// A literal that is kept: name and value `1`.
    const KEPT: &[u8] = b"\x40\x04name\x011";

    /// Decodes blocks one after the other: the fields of the last.
    fn decode(
        decoder: &mut Decoder,
        blocks: &[&[u8]],
    ) -> Result<Vec<(String, String)>, HpackError> {
        let mut section = FieldSection::new();
        for block in blocks {
            section.clear();
            assert_eq!(decoder.decode(block, &LIMITS, &mut section)?, Fit::Whole);
        }
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        Ok(section.iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    fn error_of(blocks: &[&[u8]]) -> Option<HpackError> {
        decode(&mut Decoder::new(4096), blocks).err()
    }

    fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn an_empty_block_has_no_fields() {
        assert_eq!(decode(&mut Decoder::new(4096), &[b""]), Ok(fields(&[])));
    }

    #[test]
    fn kept_fields_come_after_the_static_table() {
        let mut decoder = Decoder::new(4096);
        let blocks = [KEPT, b"\x7e\x012", b"\xbe\xbf\x0f\x2f\x00"];
        let expected = Ok(fields(&[("name", "2"), ("name", "1"), ("name", "")]));
        assert_eq!(decode(&mut decoder, &blocks), expected);
    }

    #[test]
    fn other_literals_are_not_kept() {
        assert_eq!(error_of(&[b"\x00\x04name\x011", b"\xbe"]), Some(HpackError::Index));
        assert_eq!(error_of(&[b"\x10\x04name\x011", b"\xbe"]), Some(HpackError::Index));
    }

    #[test]
    fn a_name_may_be_that_of_the_entry_it_evicts() {
        let mut decoder = Decoder::new(4096);
        let blocks = [b"\x3f\x07", KEPT, b"\x7e\x0212", b"\xbe"];
        assert_eq!(decode(&mut decoder, &blocks), Ok(fields(&[("name", "12")])));
    }

    #[test]
    fn a_field_may_be_in_the_table_twice() {
        let blocks = [KEPT, KEPT, b"\xbe\xbf"];
        let expected = fields(&[("name", "1"), ("name", "1")]);
        assert_eq!(decode(&mut Decoder::new(4096), &blocks), Ok(expected));
    }

    #[test]
    fn an_entry_too_large_for_the_table_is_a_field_all_the_same() {
        let mut decoder = Decoder::new(4096);
        let blocks = [KEPT, b"\x28\x40\x01a\x011"];
        assert_eq!(decode(&mut decoder, &blocks), Ok(fields(&[("a", "1")])));
        assert_eq!(decode(&mut decoder, &[b"\xbe"]), Err(HpackError::Index));
    }

    #[test]
    fn index_0_is_refused() {
        assert_eq!(error_of(&[b"\x80"]), Some(HpackError::Index));
    }

    #[test]
    fn an_index_beyond_both_tables_is_refused() {
        for block in [b"\xbe".as_slice(), b"\x7e\x011", b"\x0f\x2f\x011", b"\xff\xff\xff\xff\x7f"] {
            assert_eq!(error_of(&[block]), Some(HpackError::Index), "{}", block.escape_ascii());
        }
        assert_eq!(error_of(&[KEPT, b"\xbf"]), Some(HpackError::Index));
    }

    #[test]
    fn a_block_that_ends_inside_a_field_is_refused() {
        let whole = b"\x40\x84\x0f\x13\xfc\xff\x82\x08\x7f";
        for end in 1..whole.len() {
            assert_eq!(error_of(&[&whole[..end]]), Some(HpackError::Truncated), "{end}");
        }
        for block in [b"\xff".as_slice(), b"\x3f\x80", b"\x04\x7f", b"\x04\x03ab"] {
            assert_eq!(error_of(&[block]), Some(HpackError::Truncated), "{}", block.escape_ascii());
        }
    }

    #[test]
    fn an_integer_of_too_many_bytes_is_refused() {
        for before in [b"\xff".as_slice(), b"\x7f", b"\x0f", b"\x3f", b"\x04\x7f"] {
            let block = [before, b"\x80\x80\x80\x80\x00"].concat();
            assert_eq!(error_of(&[&block]), Some(HpackError::Integer));
        }
    }

    #[test]
    fn invalid_huffman_strings_are_refused() {
        assert_eq!(error_of(&[b"\x04\x84\xff\xff\xff\xff"]), Some(HpackError::HuffmanEnd));
        assert_eq!(error_of(&[b"\x00\x81\x00\x00"]), Some(HpackError::HuffmanPadding));
        assert_eq!(error_of(&[b"\x04\x82\x07\xff"]), Some(HpackError::HuffmanPadding));
    }

    #[test]
    fn a_block_begins_with_up_to_two_table_size_updates() {
        let mut decoder = Decoder::new(4096);
        let blocks = [KEPT, b"\x20\x3f\xe1\x1f\x82"];
        assert_eq!(decode(&mut decoder, &blocks), Ok(fields(&[(":method", "GET")])));
        assert_eq!(decode(&mut decoder, &[b"\xbe"]), Err(HpackError::Index));
        assert_eq!(error_of(&[b"\x20\x20\x20\x82"]), Some(HpackError::TableUpdate));
    }

    #[test]
    fn a_table_size_update_after_a_field_is_refused() {
        assert_eq!(error_of(&[b"\x82\x20"]), Some(HpackError::TableUpdate));
    }

    #[test]
    fn a_table_size_update_above_the_limit_is_refused() {
        assert_eq!(error_of(&[b"\x3f\xe1\x1f"]), None);
        assert_eq!(error_of(&[b"\x3f\xe2\x1f"]), Some(HpackError::TableTooLarge));
    }

    #[test]
    fn a_larger_table_is_used_once_the_peer_says_so() {
        let larger = [b'x'; 5000];
        let entry = [b"\x40\x01a\x7f\x89\x26".as_slice(), &larger].concat();
        let mut decoder = Decoder::new(65536);
        assert_eq!(decode(&mut decoder, &[&entry, b"\xbe"]), Err(HpackError::Index));
        let update = [b"\x3f\xe1\xff\x03".as_slice(), &entry].concat();
        assert!(decode(&mut Decoder::new(65536), &[&update, b"\xbe"]).is_ok());
    }

    #[test]
    fn a_table_that_has_to_shrink_does_so_at_the_next_block() {
        let mut decoder = Decoder::new(4096);
        decoder.set_table_bytes_max(100);
        assert_eq!(decode(&mut decoder, &[b"\x82"]), Err(HpackError::TableUpdateMissing));
        let mut decoder = Decoder::new(4096);
        decoder.set_table_bytes_max(100);
        decoder.set_table_bytes_max(4096);
        assert!(decode(&mut decoder, &[b"\x82"]).is_ok());
        decoder.set_table_bytes_max(0);
        assert!(decode(&mut decoder, &[b"\x20\x82", b"\x82"]).is_ok());
        decoder.set_table_bytes_max(4096);
        assert!(decode(&mut decoder, &[b"\x82"]).is_ok());
    }

    #[test]
    fn fields_beyond_the_limits_are_dropped_but_kept_for_later_blocks() {
        let limits = SectionLimits { bytes_max: 2 * 34, fields_max: 100 };
        let (mut decoder, mut section) = (Decoder::new(4096), FieldSection::new());
        let block = b"\x40\x01a\x011\x40\x01b\x0212\x40\x01c\x011";
        assert_eq!(decoder.decode(block, &limits, &mut section), Ok(Fit::TooLarge));
        assert_eq!(section.iter().collect::<Vec<_>>(), [(&b"a"[..], &b"1"[..])]);
        let expected = Ok(fields(&[("c", "1"), ("b", "12"), ("a", "1")]));
        assert_eq!(decode(&mut decoder, &[b"\xbe\xbf\xc0"]), expected);
    }

    #[test]
    fn the_number_of_fields_is_limited() {
        let limits = SectionLimits { bytes_max: 10_000, fields_max: 3 };
        let (mut decoder, mut section) = (Decoder::new(4096), FieldSection::new());
        assert_eq!(decoder.decode(b"\x82\x82\x82", &limits, &mut section), Ok(Fit::Whole));
        section.clear();
        assert_eq!(
            decoder.decode(b"\x82\x82\x82\x82", &limits, &mut section),
            Ok(Fit::TooManyFields)
        );
        assert_eq!(section.len(), 3);
    }

    #[test]
    fn an_error_beyond_the_limits_is_still_found() {
        let limits = SectionLimits { bytes_max: 0, fields_max: 0 };
        let (mut decoder, mut section) = (Decoder::new(4096), FieldSection::new());
        let result = decoder.decode(b"\x82\x04\x81\x00", &limits, &mut section);
        assert_eq!(result, Err(HpackError::HuffmanPadding));
    }

    #[test]
    fn a_field_never_to_be_indexed_is_known_by_its_name() {
        let (mut decoder, mut section) = (Decoder::new(4096), FieldSection::new());
        assert_eq!(decoder.decode(b"\x82\x04\x011", &LIMITS, &mut section), Ok(Fit::Whole));
        assert!(!section.never_indexed().has(b":path"));
        assert_eq!(decoder.decode(b"\x14\x011", &LIMITS, &mut section), Ok(Fit::Whole));
        let [path, method] = [&b":path"[..], b":method"];
        assert!(section.never_indexed().has(path) && !section.never_indexed().has(method));
    }

    #[test]
    fn thousands_of_references_to_a_large_entry_take_no_more_than_the_limit() {
        let mut decoder = Decoder::new(4096);
        let mut section = FieldSection::new();
        let entry = [b"\x40\x7f\xc1\x1e".as_slice(), &[b'n'; 4032], b"\x00"].concat();
        assert_eq!(decoder.decode(&entry, &LIMITS, &mut section), Ok(Fit::Whole));
        section.clear();
        // The entry itself, and literals that have its name.
        for repeated in
            [b"\xbe\xbe\xbe\xbe\xbe".as_slice(), b"\x0f\x2f\x011\x82", b"\x7e\x00\x7e\x00\x82"]
        {
            section.clear();
            let bomb = repeated.repeat(10_000);
            assert_eq!(decoder.decode(&bomb, &LIMITS, &mut section), Ok(Fit::TooLarge));
            assert!(section.cost_bytes() <= LIMITS.bytes_max);
            assert!(section.room_bytes() <= 2 * (LIMITS.bytes_max + 4096));
        }
    }
}
