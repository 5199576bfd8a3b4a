//! Formats numbers in decimal.
//!
//! Written by hand because it runs for every request: `format!` takes several times as long.

use std::net::Ipv4Addr;
use std::ops::Deref;

/// `00` to `99`: converting two digits at a time halves the number of divisions.
const PAIRS: [[u8; 2]; 100] = {
    let (mut pairs, mut number) = ([[0; 2]; 100], 0);
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

/// A short text, filled from its end.
#[derive(Clone, Copy, Debug)]
pub struct Digits<const WIDTH: usize> {
    bytes: [u8; WIDTH],
    start: usize,
}

impl<const WIDTH: usize> Digits<WIDTH> {
    const EMPTY: Self = Self { bytes: [0; WIDTH], start: WIDTH };

    fn push_front(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    fn push_number(&mut self, mut number: u64) {
        while number >= 100 {
            let [tens, ones] = PAIRS[(number % 100) as usize];
            self.push_front(ones);
            self.push_front(tens);
            number /= 100;
        }
        let [tens, ones] = PAIRS[(number % 100) as usize];
        self.push_front(ones);
        if number >= 10 {
            self.push_front(tens);
        }
    }
}

impl<const WIDTH: usize> Deref for Digits<WIDTH> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// A number without leading zeros.
pub fn decimal(number: u64) -> Digits<20> {
    let mut digits = Digits::EMPTY;
    digits.push_number(number);
    digits
}

/// The last `WIDTH` digits of a number, with leading zeros.
pub fn padded<const WIDTH: usize>(mut number: u64) -> [u8; WIDTH] {
    let mut digits = [b'0'; WIDTH];
    for place in digits.rchunks_mut(2) {
        let pair = PAIRS[(number % 100) as usize];
        place.copy_from_slice(&pair[2 - place.len()..]);
        number /= 100;
    }
    digits
}

/// Each octet in decimal with a dot after it, and how long that is: looking it up takes half as long as
/// converting it.
const OCTETS: [([u8; 4], u8); 256] = {
    let (mut octets, mut octet) = ([([0; 4], 0); 256], 0_u8);
    loop {
        let [hundreds, tens, ones] =
            [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        octets[octet as usize] = match octet {
            0..10 => ([ones, b'.', 0, 0], 2),
            10..100 => ([tens, ones, b'.', 0], 3),
            100.. => ([hundreds, tens, ones, b'.'], 4),
        };
        if octet == u8::MAX {
            break octets;
        }
        octet += 1;
    }
};

/// An IPv4 address in dotted decimal.
#[derive(Clone, Copy, Debug)]
pub struct DottedDecimal {
    bytes: [u8; 16],
    end: usize,
}

impl Deref for DottedDecimal {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.end]
    }
}

/// An IPv4 address in dotted decimal.
pub fn ipv4(address: Ipv4Addr) -> DottedDecimal {
    let (mut bytes, mut end) = ([0; 16], 0);
    for octet in address.octets() {
        let (text, length) = OCTETS[usize::from(octet)];
        bytes[end..end + 4].copy_from_slice(&text);
        end += usize::from(length);
    }
    // Without the last dot.
    DottedDecimal { bytes, end: end - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_match_the_standard_library() {
        let mut number = u64::MAX;
        while number > 0 {
            for near in [number, number - 1] {
                assert_eq!(&*decimal(near), near.to_string().as_bytes());
            }
            number = number / 10 * 9;
        }
        for number in 0..=1000 {
            assert_eq!(&*decimal(number), number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_fixed_width_adds_leading_zeros_and_truncates() {
        assert_eq!(&padded::<6>(1_234), b"001234");
        assert_eq!(&padded::<3>(7), b"007");
        assert_eq!(&padded::<3>(12_345), b"345");
        assert_eq!(&padded::<1>(12), b"2");
    }

    #[test]
    fn addresses_match_the_standard_library() {
        let of_each_octet =
            (0..=255).flat_map(|octet| [[octet, 0, 1, octet], [9, octet, octet, 10]]);
        for address in of_each_octet.chain([[255; 4], [192, 0, 2, 7]]) {
            let address = Ipv4Addr::from(address);
            assert_eq!(&*ipv4(address), address.to_string().as_bytes());
        }
    }
}
