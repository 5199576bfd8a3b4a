//! Request IDs (X-Request-Id), which identify a request in every hop's logs.

/// The longest ID accepted from a client, in bytes.
const LENGTH_MAX: usize = 64;

/// The length of a generated ID: 128 bits in hexadecimal digits.
pub const MADE_LENGTH: usize = 32;

/// Whether a client's ID is accepted: 1 to 64 bytes of visible ASCII, which covers all in common use.
pub fn is_request_id(value: &[u8]) -> bool {
    (1..=LENGTH_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

/// Generates 128-bit IDs that do not collide in practice but are not secret: xoshiro256++ (Blackman
/// and Vigna, "Scrambled linear pseudorandom number generators", 2021).
#[derive(Clone, Debug)]
pub struct RequestIds([u64; 4]);

impl RequestIds {
    /// A generator with this random seed, which no other generator may share.
    pub fn new(seed: [u64; 4]) -> Self {
        // From the all-zero state the generator would only produce zeros.
        Self(if seed == [0; 4] { [1; 4] } else { seed })
    }

    /// The next ID.
    pub fn make(&mut self) -> [u8; MADE_LENGTH] {
        let mut digits = [0; MADE_LENGTH];
        for half in digits.chunks_exact_mut(16) {
            let number = self.number();
            half[..8].copy_from_slice(&hex_digits(number >> 32));
            half[8..].copy_from_slice(&hex_digits(number & u64::from(u32::MAX)));
        }
        digits
    }

    /// A number by chance, evenly distributed.
    pub fn number(&mut self) -> u64 {
        let state = &mut self.0;
        let output = state[0].wrapping_add(state[3]).rotate_left(23).wrapping_add(state[0]);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        output
    }
}

/// The eight hexadecimal digits of a 32-bit number, computed in parallel in the bytes of one word.
fn hex_digits(spread: u64) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (spread + 6 * EACH) >> 4 & EACH;
    let distance = u64::from(b'a' - b'9' - 1);
    (spread + u64::from(b'0') * EACH + letters * distance).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The first outputs of the authors' C code for the same state.
    #[test]
    fn the_output_is_that_of_xoshiro256plusplus() {
        let mut ids = RequestIds::new([1, 2, 3, 4]);
        let expected = [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386];
        assert_eq!([(); 4].map(|()| ids.number()), expected);
    }

    #[test]
    fn hexadecimal_digits_match_the_standard_library() {
        for number in [0, 0x0123_4567, 0x89ab_cdef, 0xfedc_ba98, 0xffff_ffff, 0xa0a0_0a0a] {
            assert_eq!(hex_digits(number), *format!("{number:08x}").as_bytes());
        }
    }

    #[test]
    fn each_id_has_32_digits_and_is_unique() {
        let mut ids = RequestIds::new([0; 4]);
        let made: HashSet<_> = (0..10_000).map(|_| ids.make()).collect();
        assert_eq!(made.len(), 10_000);
        assert!(made.iter().flatten().all(u8::is_ascii_hexdigit));
    }

    #[test]
    fn only_short_visible_ids_are_accepted() {
        let long = [b'a'; LENGTH_MAX + 1];
        for good in [&b"a"[..], b"01JD-x_y/z=", &long[..LENGTH_MAX]] {
            assert!(is_request_id(good), "{}", good.escape_ascii());
        }
        for bad in [&b""[..], b"a b", b"a\x00", b"\xe9", &long] {
            assert!(!is_request_id(bad), "{}", bad.escape_ascii());
        }
    }
}
