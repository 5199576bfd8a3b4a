//! Decoding and encoding header blocks of HTTP/2.

use std::hint::black_box;

use evener::http::h2::hpack::{Decoder, Encoder, Fit};
use evener::http::h2::section::{FieldSection, SectionLimits};

use super::Case;

const LIMITS: SectionLimits = SectionLimits { bytes_max: 16 * 1024, fields_max: 100 };
const TABLE_BYTES: usize = 4096;

/// A request from a browser.
const BROWSER: &[(&str, &str)] = &[
    (":method", "GET"),
    (":path", "/shop/list?page=2"),
    (":authority", "www.example.com"),
    (":scheme", "https"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://www.example.com/shop/"),
    ("dnt", "1"),
    ("cookie", "session=0123456789abcdef0123456789abcdef"),
    ("cookie", "theme=dark; consent=yes"),
    ("upgrade-insecure-requests", "1"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-user", "?1"),
    ("priority", "u=0, i"),
    ("te", "trailers"),
];

/// A response from nginx with a static file.
const RESPONSE: &[(&str, &str)] = &[
    ("Server", "nginx/1.22.1"),
    ("Date", "Sat, 21 Nov 2026 10:00:00 GMT"),
    ("Content-Type", "text/plain"),
    ("Content-Length", "13"),
    ("Last-Modified", "Sat, 21 Nov 2026 09:00:00 GMT"),
    ("ETag", "\"65a1b2c3-d\""),
    ("Accept-Ranges", "bytes"),
];

type MakeCase = fn(&str) -> Case;

pub const CASES: &[(&str, MakeCase)] = &[
    ("header block, browser's first: decode", decode_first),
    ("header block, browser's next: decode", decode_next),
    ("header block, table full of one name: decode", decode_bomb),
    ("header block, response: encode", encode_response),
    ("header block, browser's request: encode", encode_request),
];

/// The first block of a browser: all that is not in the static table is kept for later ones.
fn first_block() -> Vec<u8> {
    let (encoder, mut block) = (Encoder::continued(), Vec::new());
    for (name, value) in BROWSER {
        let start = block.len();
        encoder.field(name.as_bytes(), value.as_bytes(), &mut block);
        // A literal that is not kept has an index of 4 bits, one that is kept has 6.
        match (block[start] & 0x80, block[start] & 0x0f) {
            (0x80, _) => {}
            (_, 15) => {
                let index = block.remove(start + 1);
                block[start] = 0x40 | (15 + index);
            }
            (_, index) => block[start] = 0x40 | index,
        }
    }
    block
}

/// Another path; the rest is in the table.
fn next_block() -> Vec<u8> {
    let mut block = vec![0x82];
    Encoder::continued().field(b":path", b"/shop/list?page=3", &mut block);
    block.push(0x87);
    // All but the method, the scheme, and the path, which is the oldest.
    let kept = u8::try_from(BROWSER.len()).unwrap() - 2;
    block.extend((0..kept - 1).map(|entry| 0x80 | (62 + entry)));
    block
}

fn decode_first(name: &str) -> Case {
    let block = first_block();
    Case::new(name, move || {
        let (mut decoder, mut section) = (Decoder::new(TABLE_BYTES), FieldSection::new());
        let fit = decoder.decode(black_box(&block), &LIMITS, &mut section);
        assert_eq!((fit, section.len()), (Ok(Fit::Whole), BROWSER.len()));
    })
}

fn decode_next(name: &str) -> Case {
    let mut decoder = Decoder::new(TABLE_BYTES);
    let block = next_block();
    decoder.decode(&first_block(), &LIMITS, &mut FieldSection::new()).unwrap();
    Case::new(name, move || {
        let mut section = FieldSection::new();
        let fit = decoder.decode(black_box(&block), &LIMITS, &mut section);
        assert_eq!((fit, section.len()), (Ok(Fit::Whole), BROWSER.len()));
    })
}

/// 16 KiB of literals that are kept, without a value and with the name of the entry before.
fn decode_bomb(name: &str) -> Case {
    let mut decoder = Decoder::new(TABLE_BYTES);
    let mut section = FieldSection::new();
    let entry = [b"\x40\x7f\xc1\x1e".as_slice(), &[b'n'; 4032], b"\0"].concat();
    decoder.decode(&entry, &LIMITS, &mut section).unwrap();
    let block = b"\x7e\0".repeat(8 * 1024);
    Case::new(name, move || {
        section.clear();
        let fit = decoder.decode(black_box(&block), &LIMITS, &mut section);
        assert_eq!(fit, Ok(Fit::TooLarge));
    })
}

fn encode_response(name: &str) -> Case {
    let (encoder, mut block) = (Encoder::continued(), Vec::new());
    Case::new(name, move || {
        block.clear();
        encoder.status(200, &mut block);
        for (name, value) in black_box(RESPONSE) {
            encoder.field(name.as_bytes(), value.as_bytes(), &mut block);
        }
        black_box(&block);
    })
}

fn encode_request(name: &str) -> Case {
    let (encoder, mut block) = (Encoder::continued(), Vec::new());
    Case::new(name, move || {
        block.clear();
        for (name, value) in black_box(BROWSER) {
            encoder.field(name.as_bytes(), value.as_bytes(), &mut block);
        }
        black_box(&block);
    })
}
