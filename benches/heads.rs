//! Parsing, framing and encoding of heads and bodies, and picking an endpoint.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use evener::buffer::Buffer;
use evener::http::h1::chunked::{Chunked, Emit};
use evener::http::h1::encode::{self, ConnectionHeader};
use evener::http::h1::framing;
use evener::http::h1::parse;
use evener::http::h1::persistence::Options;
use evener::http::h1::scan::{Limits, Scan};
use evener::http::message::edits::Edits;
use evener::http::message::forwarded;
use evener::http::message::head::{Method, Storage};
use evener::http::message::hop::{ClientScheme, Hop};

use super::Case;

const LIMITS: Limits = Limits { head_bytes_max: 16 * 1024, fields_max: 100 };

/// A request from `wrk`.
const SMALL: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// A request from a browser.
const BROWSER: &[u8] = b"GET /shop/list?page=2 HTTP/1.1\r\nHost: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.com/shop/\r\nDNT: 1\r\nConnection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n\
    Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\n\r\n";

/// A response from nginx with a static file.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
    Date: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\
    Last-Modified: Sat, 21 Nov 2026 09:00:00 GMT\r\nConnection: keep-alive\r\n\
    ETag: \"65a1b2c3-d\"\r\nAccept-Ranges: bytes\r\n\r\n";

type MakeCase = fn(&str) -> Case;

pub const CASES: &[(&str, MakeCase)] = &[
    ("request head, small: in one pass", |name| parse_whole_request(name, SMALL)),
    ("request head, small: scan and parse", |name| parse_request(name, SMALL)),
    ("request head, browser: in one pass", |name| parse_whole_request(name, BROWSER)),
    ("request head, browser: scan and parse", |name| parse_request(name, BROWSER)),
    ("response head: in one pass", parse_whole_response),
    ("response head: scan and parse", parse_response),
    ("request framing", frame_request),
    ("response framing", frame_response),
    ("request rewrite, small", |name| rewrite_request(name, SMALL)),
    ("request rewrite, browser", |name| rewrite_request(name, BROWSER)),
    ("response rewrite", rewrite_response),
    ("chunked, 32 KiB in 8 chunks", |name| admit_chunks(name, 4096)),
    ("chunked, 32 KiB in 2048 chunks", |name| admit_chunks(name, 16)),
];

fn parse_whole_request(name: &str, bytes: &'static [u8]) -> Case {
    Case::new(name, move || {
        let mut storage = Storage::new();
        let read = parse::whole_request(black_box(bytes), &LIMITS, &mut storage);
        black_box(read.unwrap().0.unwrap());
    })
}

fn parse_whole_response(name: &str) -> Case {
    Case::new(name, || {
        let mut storage = Storage::new();
        black_box(parse::whole_response(black_box(RESPONSE), &LIMITS, &mut storage).unwrap());
    })
}

fn parse_request(name: &str, bytes: &'static [u8]) -> Case {
    Case::new(name, move || {
        let length = Scan::request().advance(black_box(bytes), &LIMITS).unwrap().unwrap();
        let mut storage = Storage::new();
        black_box(parse::request(&bytes[..length], &LIMITS, &mut storage).unwrap());
    })
}

fn parse_response(name: &str) -> Case {
    Case::new(name, || {
        let length = Scan::response().advance(black_box(RESPONSE), &LIMITS).unwrap().unwrap();
        let mut storage = Storage::new();
        black_box(parse::response(&RESPONSE[..length], &LIMITS, &mut storage).unwrap());
    })
}

/// Leaked storage, which outlives the case.
fn storage() -> &'static mut Storage<'static> {
    Box::leak(Box::default())
}

fn frame_request(name: &str) -> Case {
    let head = parse::request(BROWSER, &LIMITS, storage()).unwrap();
    Case::new(name, move || {
        black_box(framing::request(black_box(&head)).unwrap());
    })
}

fn frame_response(name: &str) -> Case {
    let head = parse::response(RESPONSE, &LIMITS, storage()).unwrap();
    Case::new(name, move || {
        black_box(framing::response(black_box(&head), Method::Idempotent).unwrap());
    })
}

fn rewrite_request(name: &str, bytes: &'static [u8]) -> Case {
    let head = parse::whole_request(bytes, &LIMITS, storage()).unwrap().0.unwrap();
    let framing = framing::request(&head).unwrap();
    let client = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
    let hop = Hop { client, scheme: ClientScheme::Http };
    Case::new(name, move || {
        let (mut edits, mut out) = (Edits::new(), Buffer::new());
        forwarded::edit(&mut edits, black_box(&head), hop, false);
        encode::request(
            &head,
            Options::of(&head.fields),
            &edits,
            framing,
            ConnectionHeader::Implied,
            &mut out,
        )
        .unwrap();
        black_box(out.filled());
    })
}

fn rewrite_response(name: &str) -> Case {
    let (head, _) = parse::whole_response(RESPONSE, &LIMITS, storage()).unwrap();
    let framing = framing::response(&head, Method::Idempotent).unwrap();
    Case::new(name, move || {
        let (edits, mut out) = (Edits::new(), Buffer::new());
        encode::response(
            black_box(&head),
            Options::of(&head.fields),
            &edits,
            framing,
            ConnectionHeader::Implied,
            &mut out,
        )
        .unwrap();
        black_box(out.filled());
    })
}

/// Chunks as they arrive in one read. They are passed on unchanged, so that they can be parsed again.
fn admit_chunks(name: &str, size: usize) -> Case {
    let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
    let whole = format!("{}0\r\n\r\n", chunk.repeat(32 * 1024 / size)).into_bytes();
    let mut buffer = Buffer::new();
    buffer.append(&whole);
    Case::new(name, move || {
        let mut chunked = Chunked::new(Emit::Chunks);
        let ready = chunked.admit(black_box(&mut buffer)).unwrap();
        assert!(chunked.is_done() && ready == whole.len());
    })
}
