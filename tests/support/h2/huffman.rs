//! Huffman-coded strings (RFC 7541 §5.2), decoded bit by bit: the code is canonical, so that the lengths of
//! its words say everything.

/// The length in bits of each octet's word (RFC 7541 Appendix B). The word of EOS has 30 bits, all ones.
#[rustfmt::skip]
const BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const BITS_MAX: u8 = 30;

/// The octets of a coded string; `None` where it is not valid, as with eight bits of padding.
pub fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut bits = coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut octets = Vec::new();
    loop {
        let (mut word, mut read, mut is_padding) = (0_u32, 0_u8, true);
        // The first word of each length, and the number of shorter ones.
        let mut first = 0_u32;
        loop {
            let Some(bit) = bits.next() else {
                return (read < 8 && is_padding).then_some(octets);
            };
            (word, read, is_padding) =
                (word << 1 | u32::from(bit), read + 1, is_padding && bit == 1);
            first <<= 1;
            let mut of_this_length = (0..=255_u8).filter(|octet| BITS[usize::from(*octet)] == read);
            if let Some(octet) = of_this_length.clone().nth((word - first) as usize) {
                octets.push(octet);
                break;
            }
            first += u32::try_from(of_this_length.by_ref().count()).expect("few");
            if read == BITS_MAX {
                return None;
            }
        }
    }
}

#[test]
fn the_words_of_the_standard_are_read() {
    // RFC 7541 Appendix C.4.1, C.4.2 and C.6.1.
    let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    assert_eq!(decode(&www).unwrap(), b"www.example.com");
    assert_eq!(decode(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).unwrap(), b"no-cache");
    assert_eq!(decode(&[0x64, 0x02]).unwrap(), b"302");
    assert_eq!(decode(&[0x64, 0x02, 0xff]), None);
    assert_eq!(decode(&[0xff; 4]), None);
}
