//! The examples of RFC 7541 Appendix C.2 to C.6.

use super::super::section::{FieldSection, SectionLimits};
use super::decoder::{Decoder, Fit};

/// Blocks that are decoded one after the other with a table of `table_bytes`, each with its fields.
fn holds(table_bytes: usize, blocks: &[(&str, &str)]) {
    let limits = SectionLimits { bytes_max: 4096, fields_max: 100 };
    let (mut decoder, mut section) = (Decoder::new(table_bytes), FieldSection::new());
    for (digits, expected) in blocks {
        section.clear();
        assert_eq!(decoder.decode(&bytes(digits), &limits, &mut section), Ok(Fit::Whole));
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let found = section.iter().map(|(name, value)| format!("{}: {}", text(name), text(value)));
        let expected: Vec<_> =
            expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(found.collect::<Vec<_>>(), expected, "{digits}");
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

#[test]
fn c_2_1_a_literal_with_indexing() {
    let literal = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    let field = "custom-key: custom-header";
    holds(4096, &[(literal, field), ("be", field)]);
}

#[test]
fn c_2_2_a_literal_without_indexing() {
    holds(4096, &[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path")]);
}

#[test]
fn c_2_3_a_literal_never_indexed() {
    holds(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret")]);
}

#[test]
fn c_2_4_an_indexed_field() {
    holds(4096, &[("82", ":method: GET")]);
}

const REQUESTS: [&str; 3] = [
    ":method: GET
     :scheme: http
     :path: /
     :authority: www.example.com",
    ":method: GET
     :scheme: http
     :path: /
     :authority: www.example.com
     cache-control: no-cache",
    ":method: GET
     :scheme: https
     :path: /index.html
     :authority: www.example.com
     custom-key: custom-value",
];

#[test]
fn c_3_requests_without_huffman_coding() {
    let blocks = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    holds(4096, &[0, 1, 2].map(|at| (blocks[at], REQUESTS[at])));
}

#[test]
fn c_4_requests_with_huffman_coding() {
    let blocks = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    holds(4096, &[0, 1, 2].map(|at| (blocks[at], REQUESTS[at])));
}

const RESPONSES: [&str; 3] = [
    ":status: 302
     cache-control: private
     date: Mon, 21 Oct 2013 20:13:21 GMT
     location: https://www.example.com",
    ":status: 307
     cache-control: private
     date: Mon, 21 Oct 2013 20:13:21 GMT
     location: https://www.example.com",
    ":status: 200
     cache-control: private
     date: Mon, 21 Oct 2013 20:13:22 GMT
     location: https://www.example.com
     content-encoding: gzip
     set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];

#[test]
fn c_5_responses_without_huffman_coding_with_eviction() {
    let blocks = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a
         3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04
         677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49
         553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    holds(256, &[0, 1, 2].map(|at| (blocks[at], RESPONSES[at])));
}

#[test]
fn c_6_responses_with_huffman_coding_and_eviction() {
    let blocks = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e
         919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7
         821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed
         4ee5 b106 3d50 07",
    ];
    holds(256, &[0, 1, 2].map(|at| (blocks[at], RESPONSES[at])));
}
