//! The Huffman code of strings (RFC 7541 §5.2 and Appendix B).
//!
//! The code is canonical: ordered by length and then by symbol, each code is the one before it plus one.
//! So the lengths alone say it all, and the tables are computed from them.

use super::error::HpackError;

/// The number of bits of each symbol's code (RFC 7541 Appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const LENGTH_MIN: u8 = 5;
const LENGTH_MAX: u8 = 30;

/// The code of a symbol, in the low `length` bits of `bits`.
#[derive(Clone, Copy)]
struct Code {
    bits: u32,
    length: u8,
}

/// All codes of one length: `first` and those after it, for `count` symbols from `start` in [`SORTED`].
#[derive(Clone, Copy)]
struct Group {
    length: u8,
    first: u32,
    count: u32,
    start: u16,
}

const GROUPS_MAX: usize = (LENGTH_MAX - LENGTH_MIN + 1) as usize;

struct Tables {
    codes: [Code; 257],
    sorted: [u16; 257],
    groups: [Group; GROUPS_MAX],
    groups_len: usize,
}

const TABLES: Tables = compute();

/// By symbol.
static CODES: [Code; 257] = TABLES.codes;

/// The symbols in the order of their codes.
static SORTED: [u16; 257] = TABLES.sorted;

/// The first bits of a code, as many as [`SHORT`] is indexed by.
const SHORT_BITS: u8 = 8;

/// For each first byte of a code: the symbol and the length, or a length of 0 if the code is longer.
/// This finds all symbols that are usual in fields, and is small enough to stay cached.
static SHORT: [(u8, u8); 1 << SHORT_BITS] = short();

/// The lengths above [`SHORT_BITS`].
static LONG: &[Group] = {
    let mut at = 0;
    while TABLES.groups[at].length <= SHORT_BITS {
        at += 1;
    }
    TABLES.groups.split_at(TABLES.groups_len).0.split_at(at).1
};

#[expect(clippy::cast_possible_truncation, reason = "257 symbols")]
const fn compute() -> Tables {
    let mut codes = [Code { bits: 0, length: 0 }; 257];
    let mut sorted = [0; 257];
    let mut groups = [Group { length: 0, first: 0, count: 0, start: 0 }; GROUPS_MAX];
    let (mut groups_len, mut rank, mut next) = (0, 0, 0);
    let mut length = LENGTH_MIN;
    while length <= LENGTH_MAX {
        let start = rank;
        let first = next;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] == length {
                codes[symbol] = Code { bits: next, length };
                sorted[rank] = symbol as u16;
                rank += 1;
                next += 1;
            }
            symbol += 1;
        }
        if rank > start {
            groups[groups_len] = Group { length, first, count: next - first, start: start as u16 };
            groups_len += 1;
        }
        next <<= 1;
        length += 1;
    }
    Tables { codes, sorted, groups, groups_len }
}

#[expect(clippy::cast_possible_truncation, reason = "the code of the end is long")]
const fn short() -> [(u8, u8); 1 << SHORT_BITS] {
    let mut table = [(0, 0); 1 << SHORT_BITS];
    let mut symbol = 0;
    while symbol < 257 {
        let code = TABLES.codes[symbol];
        if code.length <= SHORT_BITS {
            let spare = SHORT_BITS - code.length;
            let mut tail = 0;
            while tail < 1 << spare {
                table[((code.bits << spare) | tail) as usize] = (symbol as u8, code.length);
                tail += 1;
            }
        }
        symbol += 1;
    }
    table
}

/// The symbol and length of the code that `window` begins with.
#[inline]
fn next(window: u64) -> Result<(u8, u8), HpackError> {
    let (symbol, length) = SHORT[(window >> (64 - SHORT_BITS)) as usize];
    if length > 0 { Ok((symbol, length)) } else { long(window) }
}

/// The same for codes longer than [`SHORT_BITS`], which are rare.
#[cold]
fn long(window: u64) -> Result<(u8, u8), HpackError> {
    for group in LONG {
        let past_first = (window >> (64 - u32::from(group.length))) - u64::from(group.first);
        if past_first < u64::from(group.count) {
            #[expect(clippy::cast_possible_truncation, reason = "less than 257")]
            let symbol = SORTED[usize::from(group.start) + past_first as usize];
            let byte = u8::try_from(symbol).map_err(|_| HpackError::HuffmanEnd)?;
            return Ok((byte, group.length));
        }
    }
    unreachable!("the code is complete")
}

/// Decodes a whole string and appends it to `out`. At most 8 bytes come of every 5.
pub(super) fn decode(mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let mut at = out.len();
    out.resize(at + bytes.len() * 8 / usize::from(LENGTH_MIN), 0);
    // The next bits, from the top. Below the first `held` of them are zeros, or already what comes next.
    let (mut window, mut held) = (0_u64, 0_u8);
    loop {
        if let Some((word, _)) = bytes.split_first_chunk() {
            window |= u64::from_be_bytes(*word) >> held;
            let taken = (63 - held) / 8;
            bytes = &bytes[usize::from(taken)..];
            held += taken * 8;
        } else {
            while held <= 56
                && let Some((&byte, others)) = bytes.split_first()
            {
                window |= u64::from(byte) << (56 - held);
                held += 8;
                bytes = others;
            }
            if held < LENGTH_MAX {
                break;
            }
        }
        while held >= LENGTH_MAX {
            let (symbol, length) = next(window)?;
            out[at] = symbol;
            at += 1;
            window <<= length;
            held -= length;
        }
    }
    at = decode_end(window, held, out, at)?;
    out.truncate(at);
    Ok(())
}

/// Decodes the last `held` bits, fewer than the longest code has, into `out` from `at`. Returns the end.
fn decode_end(
    mut window: u64,
    mut held: u8,
    out: &mut [u8],
    mut at: usize,
) -> Result<usize, HpackError> {
    // Ones after the end make padding the beginning of the code for the end, which is then cut off.
    window |= u64::MAX >> held;
    while held > 0 {
        if held < 8 && window == u64::MAX {
            break;
        }
        let Ok((symbol, length)) = next(window) else { return Err(HpackError::HuffmanPadding) };
        if length > held {
            return Err(HpackError::HuffmanPadding);
        }
        out[at] = symbol;
        at += 1;
        window = window << length | u64::MAX >> (64 - length);
        held -= length;
    }
    Ok(at)
}

/// Appends `bytes` in the code, padded to a whole byte.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len());
    let mut bits = Bits { window: 0, held: 0, out };
    let (fours, rest) = bytes.as_chunks::<4>();
    for four in fours {
        let [a, b, c, d] = four.map(|byte| CODES[usize::from(byte)]);
        let length = a.length + b.length + c.length + d.length;
        if length <= 32 {
            let first = u64::from(a.bits) << b.length | u64::from(b.bits);
            let second = u64::from(c.bits) << d.length | u64::from(d.bits);
            bits.append(first << (c.length + d.length) | second, length);
        } else {
            for code in [a, b, c, d] {
                bits.append(code.bits.into(), code.length);
            }
        }
    }
    for &byte in rest {
        let code = CODES[usize::from(byte)];
        bits.append(code.bits.into(), code.length);
    }
    bits.finish();
}

/// Writes bits to bytes.
struct Bits<'a> {
    /// The low `held` bits, fewer than 32, are not yet written.
    window: u64,
    held: u8,
    out: &'a mut Vec<u8>,
}

impl Bits<'_> {
    /// Appends the low `length` bits, at most 32.
    #[inline]
    fn append(&mut self, bits: u64, length: u8) {
        self.window = self.window << length | bits;
        self.held += length;
        if self.held >= 32 {
            self.held -= 32;
            #[expect(clippy::cast_possible_truncation, reason = "what is above has been written")]
            let word = (self.window >> self.held) as u32;
            self.out.extend_from_slice(&word.to_be_bytes());
        }
    }

    /// Fills the last byte with ones.
    fn finish(self) {
        let padded = self.held.next_multiple_of(8);
        if padded > 0 {
            let spare = padded - self.held;
            let window = self.window << spare | ((1 << spare) - 1);
            let last = (window << (64 - padded)).to_be_bytes();
            self.out.extend_from_slice(&last[..usize::from(padded / 8)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = b"before".to_vec();
        decode(bytes, &mut out).map(|()| out.split_off(6))
    }

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(bytes, &mut out);
        out
    }

    /// The codes of `before`, and so many ones: the code for the end begins with 30.
    fn ones_after(before: &[u8], bits: usize) -> Vec<u8> {
        let mut string: String = before.iter().map(|&byte| bits_of(usize::from(byte))).collect();
        string.extend(std::iter::repeat_n('1', bits));
        assert_eq!(string.len() % 8, 0);
        let byte = |at| u8::from_str_radix(&string[at..at + 8], 2).unwrap();
        (0..string.len()).step_by(8).map(byte).collect()
    }

    fn bits_of(symbol: usize) -> String {
        let Code { bits, length } = CODES[symbol];
        format!("{bits:0width$b}", width = usize::from(length))
    }

    #[test]
    fn the_code_is_that_of_the_rfc() {
        // Some rows of RFC 7541 Appendix B: the first and the last of their lengths, and the ends.
        for (symbol, bits, length) in [
            (0, 0x1ff8, 13),
            (1, 0x007f_ffd8, 23),
            (b'0'.into(), 0x0, 5),
            (b't'.into(), 0x9, 5),
            (b' '.into(), 0x14, 6),
            (b'u'.into(), 0x2d, 6),
            (b'z'.into(), 0x7b, 7),
            (b'Z'.into(), 0xfd, 8),
            (b'?'.into(), 0x3fc, 10),
            (b'|'.into(), 0x7fc, 11),
            (b'{'.into(), 0x7ffe, 15),
            (b'\\'.into(), 0x7fff0, 19),
            (0xf8, 0x07ff_ffeb, 27),
            (0xf9, 0x0fff_fffe, 28),
            (0xff, 0x03ff_ffee, 26),
            (b'\n'.into(), 0x3fff_fffc, 30),
            (0x16, 0x3fff_fffe, 30),
            (256, 0x3fff_ffff, 30),
        ] {
            let code = CODES[symbol];
            assert_eq!((code.bits, code.length), (bits, length), "{symbol}");
        }
    }

    #[test]
    fn every_byte_and_pair_of_bytes_comes_back() {
        for first in 0..=u8::MAX {
            assert_eq!(decoded(&encoded(&[first])), Ok(vec![first]));
            for second in 0..=u8::MAX {
                let pair = [first, second, first];
                assert_eq!(decoded(&encoded(&pair)), Ok(pair.to_vec()));
            }
        }
    }

    #[test]
    fn long_strings_come_back_from_any_offset() {
        let text: Vec<u8> = (0..=u8::MAX).chain(*b"www.example.com/a/path?with=values").collect();
        for start in 0..text.len() {
            assert_eq!(decoded(&encoded(&text[start..])).as_deref(), Ok(&text[start..]));
        }
        assert_eq!(decoded(&[]), Ok(vec![]));
    }

    #[test]
    fn padding_of_up_to_seven_ones_is_not_part_of_the_string() {
        // "0" to "00000000" are 5 to 40 bits.
        for count in 1..=8 {
            let zeros = vec![b'0'; count];
            let padding = (8 - count * 5 % 8) % 8;
            assert_eq!(decoded(&ones_after(&zeros, padding)), Ok(zeros));
        }
    }

    #[test]
    fn padding_of_eight_ones_and_more_is_refused() {
        for bits in [8, 16, 24] {
            assert_eq!(decoded(&ones_after(b"", bits)), Err(HpackError::HuffmanPadding));
            assert_eq!(decoded(&ones_after(b"00000000", bits)), Err(HpackError::HuffmanPadding));
        }
        assert_eq!(decoded(&ones_after(b"0", 3 + 8)), Err(HpackError::HuffmanPadding));
    }

    #[test]
    fn padding_that_is_not_all_ones_is_refused() {
        for last in [0b0000_0000, 0b0000_0110, 0b0000_0011, 0b0000_0101] {
            assert_eq!(decoded(&[last]), Err(HpackError::HuffmanPadding), "{last:08b}");
        }
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
    }

    #[test]
    fn a_code_that_is_cut_off_is_refused() {
        // The first 16 of the 23 bits of the symbol 1.
        assert_eq!(decoded(&[0xff, 0xff - 1]), Err(HpackError::HuffmanPadding));
    }

    #[test]
    fn the_code_for_the_end_is_refused() {
        for before in [&b""[..], b"0", b"www.example.com"] {
            let bits = before.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)]));
            let padding = 30 + (8 - (bits.sum::<usize>() + 30) % 8) % 8;
            assert_eq!(decoded(&ones_after(before, padding)), Err(HpackError::HuffmanEnd));
        }
        assert_eq!(decoded(&[0xff; 64]), Err(HpackError::HuffmanEnd));
    }
}
