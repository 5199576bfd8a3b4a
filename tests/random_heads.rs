//! Heads and bodies as nobody would write them: nothing panics, and how they are cut makes no
//! difference.

use evener::buffer::Buffer;
use evener::http::chunked::{Chunked, Emit};
use evener::http::framing::{self, Framing};
use evener::http::head::{self, Limits, Method, Scan, Storage, leading_blank};
use evener::http::persistence::Options;
use evener::http::rewrite::{self, Connection, RequestEdit};
use evener::reject::Reject;

const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 16 };

const HEADS: [&[u8]; 7] = [
    b"GET /a/b?c=d HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n",
    b"PUT http://a:1/b HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive, X-A\r\nX-A: \xff\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\nServer: x\r\n\r\n",
    b"HTTP/1.0 304 Not Modified\r\nTransfer-Encoding: chunked\r\nUpgrade: y\r\n\r\n",
];

const BODIES: [&[u8]; 4] = [
    b"5\r\nhello\r\n0\r\n\r\n",
    b"00a;name=value\r\n0123456789\r\n1\r\n!\r\n0\r\nA: b\r\nC: d\r\n\r\nGET / HTTP/1.1\r\n",
    b"1;q=\"a;b\\\"\"\r\nx\r\n3\r\nabc\r\n000\r\nX-Sum: 1\r\n\r\n",
    b"ffffffffffffffff\r\nnever enough",
];

/// What breaks parsers.
const SPICE: [&[u8]; 14] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b":",
    b" ",
    b"\t",
    b";",
    b",",
    b"\x7f",
    b"\xe9",
    b"0",
    b"\r\n\r\n",
    b"Content-Length: 1\r\n",
];

/// The same numbers in every run: xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// One of `seeds`, changed here and there.
    fn mutant(&mut self, seeds: &[&[u8]]) -> Vec<u8> {
        let mut bytes = self.one_of(seeds).to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => {
                    let other = self.one_of(seeds);
                    bytes.truncate(at);
                    bytes.extend(&other[self.below(other.len())..]);
                }
                _ => drop(bytes.splice(at..at, self.one_of(&SPICE).iter().copied())),
            }
        }
        bytes
    }
}

/// Scans bytes that come in two pieces.
fn scan(bytes: &[u8], split: usize) -> Result<Option<usize>, Reject> {
    let mut scan = Scan::request();
    match scan.advance(&bytes[..split], &LIMITS)? {
        Some(length) => Ok(Some(length)),
        None => scan.advance(bytes, &LIMITS),
    }
}

/// Does with a request all that is done before it is sent, and writes the head that is.
fn read_request(bytes: &[u8], out: &mut Buffer) -> Result<(), Reject> {
    let mut storage = Storage::new();
    let head = head::request(bytes, &LIMITS, &mut storage)?;
    let edit = RequestEdit {
        framing: framing::request(&head)?,
        upgrade: Options::of(&head.fields).upgrades(),
        host: None,
        host_default: "here",
        client: Some([127, 0, 0, 1].into()),
        trusted: bytes.len().is_multiple_of(2),
    };
    rewrite::request(&head, &edit, out).map(|_| ())
}

/// The same with a response.
fn read_response(bytes: &[u8], out: &mut Buffer) -> Result<(), Reject> {
    let mut storage = Storage::new();
    let head = head::response(bytes, &LIMITS, &mut storage)?;
    let framing = framing::response(&head, Method::Idempotent)?;
    let close = framing == Framing::UntilClose;
    let connection = if close { Connection::Close } else { Connection::Implied };
    rewrite::response(&head, framing, connection, out)
}

#[test]
fn a_hundred_thousand_heads_panic_nowhere_and_what_is_written_is_a_head() {
    let (mut random, mut accepted) = (Random(0x9e37_79b9_7f4a_7c15), 0);
    for _ in 0..100_000 {
        let bytes = random.mutant(&HEADS);
        let bytes = &bytes[leading_blank(&bytes)..];
        let Ok(Some(length)) = scan(bytes, 0) else { continue };
        for read in [read_request, read_response] {
            let mut out = Buffer::new();
            if read(&bytes[..length], &mut out).is_ok() {
                accepted += 1;
                let written = out.filled();
                assert_eq!(scan(written, 0), Ok(Some(written.len())), "{}", bytes.escape_ascii());
            }
        }
    }
    assert!((10_000..90_000).contains(&accepted), "{accepted}");
}

#[test]
fn what_is_written_is_read_the_same_again() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..20_000 {
        let bytes = random.mutant(&HEADS);
        let (mut first, mut second) = (Buffer::new(), Buffer::new());
        let Ok(Some(length)) = scan(&bytes, 0) else { continue };
        if read_request(&bytes[..length], &mut first).is_err() {
            continue;
        }
        let framing = |bytes: &[u8]| {
            let mut storage = Storage::new();
            framing::request(&head::request(bytes, &LIMITS, &mut storage)?)
        };
        assert_eq!(framing(first.filled()), framing(&bytes[..length]));
        assert_eq!(read_request(first.filled(), &mut second), Ok(()));
    }
}

/// What becomes of a head that comes in two pieces.
fn read_in_two(bytes: &[u8], split: usize) -> Result<Option<Vec<u8>>, Reject> {
    let Some(length) = scan(bytes, split)? else { return Ok(None) };
    let mut out = Buffer::new();
    let read = if bytes.starts_with(b"HTTP/") { read_response } else { read_request };
    read(&bytes[..length], &mut out)?;
    Ok(Some(out.filled().to_vec()))
}

#[test]
fn a_head_in_two_pieces_is_read_as_in_one() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for _ in 0..3_000 {
        let bytes = random.mutant(&HEADS);
        let bytes = &bytes[leading_blank(&bytes)..];
        let whole = read_in_two(bytes, 0);
        for split in 1..=bytes.len() {
            assert_eq!(read_in_two(bytes, split), whole, "{} at {split}", bytes.escape_ascii());
        }
    }
}

/// What becomes of a body.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    done: bool,
    out: Vec<u8>,
    /// What follows the body.
    rest: Vec<u8>,
}

/// Reads a body whose bytes come in pieces that end at `cuts`.
fn admit(bytes: &[u8], emit: Emit, cuts: &[usize]) -> Result<Outcome, Reject> {
    let (mut chunked, mut out, mut held) = (Chunked::new(emit), Vec::new(), Vec::new());
    let mut from = 0;
    for &to in cuts {
        held.extend(&bytes[from..to]);
        from = to;
        let admitted = chunked.admit(&mut held)?;
        out.extend(&held[..admitted.ready]);
        held.drain(..admitted.used);
    }
    Ok(Outcome { done: chunked.is_done(), out, rest: held })
}

#[test]
fn a_chunked_body_in_pieces_is_read_as_in_one() {
    let (mut random, mut done) = (Random(0xdead_beef_cafe_f00d), 0);
    for _ in 0..20_000 {
        let bytes = random.mutant(&BODIES);
        let emit = random.one_of(&[Emit::Chunks, Emit::Data]);
        let mut cuts: Vec<_> =
            (0..random.below(6)).map(|_| random.below(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let whole = admit(&bytes, emit, &[bytes.len()]);
        done += usize::from(matches!(whole, Ok(Outcome { done: true, .. })));
        let pieces = admit(&bytes, emit, &cuts);
        assert_eq!(pieces, whole, "{} at {cuts:?}", bytes.escape_ascii());
    }
    assert!((4_000..16_000).contains(&done), "{done}");
}
