//! Field sections (RFC 7541): an encoder that checks nothing, and a decoder.

use std::collections::VecDeque;

use super::huffman;
use super::static_table::STATIC;

/// Names and values, in order.
pub type Fields = Vec<(String, String)>;

/// The first value of a field.
pub fn value_of<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// A block in which every field is a literal with its name, neither indexed nor Huffman-coded.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// One such field.
pub fn literal(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let string = |bytes: &[u8]| [&integer(0, 7, bytes.len())[..], bytes].concat();
    [&[0][..], &string(name.as_ref()), &string(value.as_ref())].concat()
}

/// An integer with a prefix of so many bits, below these other bits (RFC 7541 §5.1).
pub fn integer(above: u8, prefix: u8, value: usize) -> Vec<u8> {
    let full = (1_usize << prefix) - 1;
    let octet = |value: usize| u8::try_from(value).expect("an octet");
    if value < full {
        return vec![above | octet(value)];
    }
    let (mut bytes, mut rest) = (vec![above | octet(full)], value - full);
    while rest >= 128 {
        bytes.push(octet(rest % 128 + 128));
        rest /= 128;
    }
    bytes.push(octet(rest));
    bytes
}

/// Decodes one direction of a connection. Panics at what no encoder may send.
#[derive(Default)]
pub struct Decoder {
    /// The names of fields that came as literals never to be indexed.
    pub never_indexed: Vec<String>,
    /// The newest first.
    dynamic: VecDeque<(String, String)>,
    size: Option<usize>,
}

/// Until SETTINGS say otherwise (RFC 9113 §6.5.2).
const TABLE_BYTES: usize = 4096;

impl Decoder {
    /// The fields of a whole block.
    pub fn decode(&mut self, block: &[u8]) -> Fields {
        let (mut rest, mut fields) = (block, Fields::new());
        while let Some(first) = rest.first().copied() {
            if first & 0x80 != 0 {
                let index = read_integer(&mut rest, 7);
                fields.push(self.entry(index));
            } else if first & 0xe0 == 0x20 {
                assert!(fields.is_empty(), "a table's size changes after a field");
                let size = read_integer(&mut rest, 5);
                assert!(size <= TABLE_BYTES, "a table of {size}");
                self.size = Some(size);
                self.evict();
            } else {
                let is_indexed = first & 0xc0 == 0x40;
                let index = read_integer(&mut rest, if is_indexed { 6 } else { 4 });
                let name = match index {
                    0 => read_string(&mut rest),
                    _ => self.entry(index).0,
                };
                let field = (name, read_string(&mut rest));
                fields.push(field.clone());
                if first & 0xf0 == 0x10 {
                    self.never_indexed.push(field.0.clone());
                }
                if is_indexed {
                    self.dynamic.push_front(field);
                    self.evict();
                }
            }
        }
        fields
    }

    fn entry(&self, index: usize) -> (String, String) {
        assert!(index > 0, "an index of 0");
        if let Some((name, value)) = STATIC.get(index - 1) {
            return ((*name).to_owned(), (*value).to_owned());
        }
        self.dynamic.get(index - STATIC.len() - 1).expect("an entry").clone()
    }

    fn evict(&mut self) {
        let bytes = |fields: &VecDeque<(String, String)>| -> usize {
            fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
        };
        while bytes(&self.dynamic) > self.size.unwrap_or(TABLE_BYTES) {
            self.dynamic.pop_back();
        }
    }
}

fn read_integer(rest: &mut &[u8], prefix: u8) -> usize {
    let full = (1_usize << prefix) - 1;
    let mut octet = || {
        let (first, others) = rest.split_first().expect("a whole integer");
        *rest = others;
        usize::from(*first)
    };
    let mut value = octet() & full;
    if value == full {
        for shift in (0..).step_by(7) {
            assert!(shift < 28, "a long integer");
            let next = octet();
            value += (next % 128) << shift;
            if next < 128 {
                break;
            }
        }
    }
    value
}

fn read_string(rest: &mut &[u8]) -> String {
    let is_coded = rest.first().expect("a string") & 0x80 != 0;
    let length = read_integer(rest, 7);
    let (string, others) = rest.split_at(length);
    *rest = others;
    let octets = if is_coded { huffman::decode(string).expect("a code") } else { string.to_vec() };
    String::from_utf8_lossy(&octets).into_owned()
}
