//! The fuzz target of this room; see CONTRIBUTING.md. Its reference is the server of the crate `h2`.

use super::super::section::{FieldSection, SectionLimits};
use super::reference::{FRAME_BYTES_MAX, Reference, ReferenceVerdict};
use super::{Decoder, Encoder, Fit, HpackError};

const INPUT_BYTES_MAX: usize = 4096;

/// What a block of thousands of references to one entry becomes is not encoded again.
const COST_BYTES_MAX: usize = 64 * 1024;

const NO_LIMITS: SectionLimits = SectionLimits { bytes_max: usize::MAX, fields_max: usize::MAX };
const TIGHT: SectionLimits = SectionLimits { bytes_max: 300, fields_max: 5 };

/// The blocks of a connection are decoded to the same fields as by the reference. Under limits, they are the
/// same up to the first that does not fit. Encoded again, they are decoded to the same, by the reference too.
///
/// A block comes after its length in one byte; 255 means all that is left.
pub fn hpack(data: &[u8]) {
    let blocks = blocks_of(&data[..data.len().min(INPUT_BYTES_MAX)]);
    let decoded = decode(&blocks);
    compare(&blocks, &decoded);
    within_limits(&blocks, &decoded);
    encode_again(decoded);
}

fn blocks_of(mut data: &[u8]) -> Vec<&[u8]> {
    let mut blocks = Vec::new();
    while let Some((&length, rest)) = data.split_first() {
        let length = if length == u8::MAX { rest.len() } else { rest.len().min(length.into()) };
        let (block, rest) = rest.split_at(length);
        blocks.push(block);
        data = rest;
    }
    blocks
}

type Decoded = Result<FieldSection, HpackError>;

/// All blocks up to the first that cannot be decoded.
fn decode(blocks: &[&[u8]]) -> Vec<Decoded> {
    let mut hpack = Decoder::new(4096);
    let mut decoded = Vec::new();
    for block in blocks {
        let mut section = FieldSection::new();
        let result = hpack.decode(block, &NO_LIMITS, &mut section);
        decoded.push(result.map(|fit| {
            assert_eq!(fit, Fit::Whole);
            section
        }));
        if result.is_err() {
            break;
        }
    }
    decoded
}

/// The reference decodes the same, or fails too.
fn compare(blocks: &[&[u8]], decoded: &[Decoded]) {
    let mut reference = Reference::new();
    for (block, decoded) in blocks.iter().zip(decoded) {
        if block.len() > FRAME_BYTES_MAX {
            return;
        }
        let verdict = reference.decode(block);
        match decoded {
            // It takes any number of updates.
            Err(HpackError::TableUpdate) => return,
            Err(error) => assert_eq!(verdict, ReferenceVerdict::Failed, "{error}"),
            Ok(section) => match Reference::expected(section) {
                // It checks names and values in the same step.
                ReferenceVerdict::Failed => return,
                expected => assert_eq!(verdict, expected, "{}", block.escape_ascii()),
            },
        }
    }
}

/// Limits change nothing but how many fields there are.
fn within_limits(blocks: &[&[u8]], decoded: &[Decoded]) {
    let mut hpack = Decoder::new(4096);
    let mut section = FieldSection::new();
    for (block, decoded) in blocks.iter().zip(decoded) {
        section.clear();
        let result = hpack.decode(block, &TIGHT, &mut section);
        assert_eq!(result.as_ref().err(), decoded.as_ref().err());
        let (Ok(fit), Ok(whole)) = (result, decoded) else { return };
        assert!(section.cost_bytes() <= TIGHT.bytes_max && section.len() <= TIGHT.fields_max);
        assert!(section.iter().zip(whole.iter()).all(|(limited, field)| limited == field));
        assert_eq!(fit == Fit::Whole, section.len() == whole.len());
        if let Some((name, value)) = whole.get(section.len()) {
            assert!(!section.fits(&TIGHT, name.len() + value.len()));
        }
    }
}

/// What is encoded again is decoded to the same, with names in lower case.
fn encode_again(decoded: Vec<Decoded>) {
    let mut encoder = Encoder::new();
    let whole = decoded.into_iter().map_while(Result::ok);
    let sections: Vec<_> = whole.take_while(|s| s.cost_bytes() <= COST_BYTES_MAX).collect();
    let encode = |section: &FieldSection| {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value) in section.iter() {
            if section.never_indexed().has(name) {
                encoder.guarded_field(name, value, &mut block);
            } else {
                encoder.field(name, value, &mut block);
            }
        }
        block
    };
    let blocks: Vec<_> = sections.iter().map(encode).collect();
    let blocks: Vec<_> = blocks.iter().map(Vec::as_slice).collect();
    let decoded = decode(&blocks);
    for (section, again) in sections.iter().zip(&decoded) {
        let again = again.as_ref().expect("it is decoded");
        let fields = section.iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        assert!(fields.eq(again.iter().map(|(name, value)| (name.to_vec(), value))));
        let has = |section: &FieldSection, name| section.never_indexed().has(name);
        assert!(section.iter().all(|(name, _)| has(again, name) || !has(section, name)));
    }
    compare(&blocks, &decoded);
}

#[cfg(test)]
mod tests {
    #[test]
    fn hpack() {
        crate::corpus::replay("hpack", 20_000, super::hpack);
    }
}
