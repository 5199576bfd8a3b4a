//! Integers that begin in the low bits of a byte (RFC 7541 §5.1).

use super::error::HpackError;

/// How many bytes may follow the first. Four reach beyond 2²⁸, and no index, string or table is as large;
/// so a number always fits 32 bits, and nobody can send endless zeros.
const CONTINUATION_BYTES_MAX: u32 = 4;

/// Decodes the integer that begins in the low `prefix_bits` (1 to 8) of `first`, and takes the bytes that
/// belong to it from the front of `rest`.
#[inline]
pub(super) fn decode(first: u8, prefix_bits: u32, rest: &mut &[u8]) -> Result<u32, HpackError> {
    let prefix_max = u8::MAX >> (8 - prefix_bits);
    let mut number = u32::from(first & prefix_max);
    if number < u32::from(prefix_max) {
        return Ok(number);
    }
    for place in 0..CONTINUATION_BYTES_MAX {
        let (&byte, others) = rest.split_first().ok_or(HpackError::Truncated)?;
        *rest = others;
        number += u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(HpackError::Integer)
}

/// Appends `number`, which begins in the low `prefix_bits` (1 to 8) of a byte whose other bits are `flags`.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is less than the prefix holds")]
pub(super) fn encode(number: usize, prefix_bits: u32, flags: u8, out: &mut Vec<u8>) {
    let prefix_max = u8::MAX >> (8 - prefix_bits);
    if number < usize::from(prefix_max) {
        out.push(flags | number as u8);
    } else {
        out.push(flags | prefix_max);
        encode_rest(number - usize::from(prefix_max), out);
    }
}

/// Appends what follows the first byte: a number without what the prefix holds.
#[expect(clippy::cast_possible_truncation, reason = "7 bits")]
pub(super) fn encode_rest(mut number: usize, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(prefix_bits: u32, bytes: &[u8]) -> Result<(u32, usize), HpackError> {
        let mut rest = &bytes[1..];
        decode(bytes[0], prefix_bits, &mut rest).map(|number| (number, rest.len()))
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7541 C.1: 10 and 1337 in 5 bits, 42 in a whole byte.
        let examples: [(u32, u32, &[u8]); 3] =
            [(10, 5, &[0x0a]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a])];
        for (number, prefix_bits, bytes) in examples {
            assert_eq!(decoded(prefix_bits, bytes), Ok((number, 0)));
            let mut out = Vec::new();
            encode(number as usize, prefix_bits, 0, &mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn bits_before_and_bytes_after_belong_to_others() {
        assert_eq!(decoded(5, &[0xea, 1, 2]), Ok((10, 2)));
        assert_eq!(decoded(5, &[0xff, 0x9a, 0x0a, 1]), Ok((1337, 1)));
        let mut out = Vec::new();
        encode(1337, 5, 0xe0, &mut out);
        assert_eq!(out, [0xff, 0x9a, 0x0a]);
    }

    #[test]
    fn an_integer_that_ends_early_is_truncated() {
        assert_eq!(decoded(7, &[0x7f]), Err(HpackError::Truncated));
        assert_eq!(decoded(7, &[0x7f, 0x80, 0xff]), Err(HpackError::Truncated));
    }

    #[test]
    fn the_longest_integers_fit_and_longer_ones_are_refused() {
        assert_eq!(decoded(7, &[0x7f, 0xff, 0xff, 0xff, 0x7f]), Ok((127 + (1 << 28) - 1, 0)));
        assert_eq!(decoded(7, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0]), Err(HpackError::Integer));
        assert_eq!(decoded(7, &[0x7f, 0x80, 0x80, 0x80, 0x80, 0]), Err(HpackError::Integer));
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for number in (0..70_000).chain((17..28).map(|bits| (1 << bits) + 126)) {
            for prefix_bits in 4..=7 {
                let mut out = Vec::new();
                encode(number, prefix_bits, 0, &mut out);
                assert_eq!(decoded(prefix_bits, &out), Ok((u32::try_from(number).unwrap(), 0)));
            }
        }
    }
}
