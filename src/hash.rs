//! A hash whose values never change: not between processes, releases or machines.
//!
//! Not for tables that a peer may fill: it has no secret.

/// The increment of [`mix`]'s sequence: 2^64 divided by the golden ratio (Steele, Lea and Flood, *Fast
/// Splittable Pseudorandom Number Generators*, 2014).
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// FNV-1a of 64 bits (RFC 9923), passed through [`mix`], since the high bits of short inputs differ little.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let fnv = bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    mix(fnv)
}

/// A bijection in which every bit of the input changes half of the bits (the finaliser of `SplitMix64`).
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// The number at `place` of the sequence that begins with this seed: `SplitMix64`.
#[must_use]
pub const fn nth(seed: u64, place: u64) -> u64 {
    mix(seed.wrapping_add(GAMMA.wrapping_mul(place.wrapping_add(1))))
}

/// Those at any places of `nth` below a bound other than 0: evenly, to 2^-64.
#[must_use]
pub fn below(random: u64, bound: u64) -> u64 {
    let product = u128::from(random) * u128::from(bound);
    u64::try_from(product >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What any other implementation has to agree with.
    #[test]
    fn its_values_never_change() {
        assert_eq!(mix(0xaf63_dc4c_8601_ec8c), hash(b"a"), "FNV-1a of \"a\"");
        let known = [
            ("", 0xf52a_15e9_a9b5_e89b),
            ("a", 0x02c0_bdbf_4814_20f8),
            ("192.0.2.1:80", 0x03d1_c7ff_a05d_fa46),
            ("[2001:db8::1]:80", 0x0aeb_287d_77aa_8bc5),
        ];
        for (text, value) in known {
            assert_eq!(hash(text.as_bytes()), value, "{text}: {:#x}", hash(text.as_bytes()));
        }
        // The first numbers of SplitMix64 from 0, as published.
        let first = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];
        assert_eq!([0, 1, 2].map(|place| nth(0, place)), first);
    }

    #[test]
    fn numbers_below_a_bound_are_even() {
        let mut counts = [0_u32; 7];
        for place in 0..70_000 {
            counts[usize::try_from(below(nth(3, place), 7)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 400), "{counts:?}");
        assert_eq!((below(u64::MAX, 1), below(u64::MAX, 5), below(0, 5)), (0, 4, 0));
    }
}
