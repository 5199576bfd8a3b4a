//! Chunked bodies as the fuzz targets pass them on, and read what was written.
#![expect(clippy::missing_panics_doc, reason = "a panic is the finding")]

use super::h1::chunked::{Chunked, Emit};
use crate::buffer::Buffer;
use crate::reject::Reject;

/// What stands in chunks as we write them: sizes without anything around them, data, trailers.
#[derive(Debug, Default)]
pub struct Chunks {
    /// The data that is there.
    pub data: Vec<u8>,
    /// How many bytes of it the sizes announce.
    pub announced: usize,
    /// The trailer section and its empty line, if that is there.
    pub trailers: Option<Vec<u8>>,
    /// How many bytes all that takes.
    pub length: usize,
}

impl Chunks {
    /// Reads as much as is there.
    pub fn read(bytes: &[u8]) -> Self {
        let mut chunks = Self::default();
        let line = |bytes: &[u8]| bytes.windows(2).position(|two| two == b"\r\n");
        loop {
            let rest = &bytes[chunks.length..];
            let Some(end) = line(rest) else { return chunks };
            let digits = std::str::from_utf8(&rest[..end]).expect("digits");
            let size = usize::from_str_radix(digits, 16).expect("a size");
            assert!(!digits.starts_with(['0', '+']) || digits == "0", "{digits}");
            chunks.announced += size;
            let rest = &rest[end + 2..];
            if size == 0 {
                let Some(end) = trailers_end(rest) else { return chunks };
                chunks.trailers = Some(rest[..end].to_vec());
                chunks.length += 3 + end;
                return chunks;
            }
            let here = size.min(rest.len());
            chunks.data.extend_from_slice(&rest[..here]);
            match &rest[here..] {
                [b'\r', b'\n', ..] => chunks.length += end + 2 + size + 2,
                part => {
                    assert!(b"\r\n".starts_with(part), "{}", part.escape_ascii());
                    chunks.length = bytes.len();
                    return chunks;
                }
            }
        }
    }
}

fn trailers_end(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// What has come of a chunked body.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    pub(super) written: Vec<u8>,
    pub(super) data: Vec<u8>,
    pub(super) trailers: Option<Vec<u8>>,
    /// What has not been understood.
    pub(super) rest: Vec<u8>,
    pub(super) is_done: bool,
}

impl Admission {
    /// All but how it is written.
    pub(super) fn meaning(self) -> (Vec<u8>, Option<Vec<u8>>, Vec<u8>, bool) {
        (self.data, self.trailers, self.rest, self.is_done)
    }
}

/// Reads a chunked body that comes in pieces. What is written after each is whole chunks: a size
/// never goes on before its data has come.
pub(super) fn admit(bytes: &[u8], emit: Emit, cuts: &[usize]) -> Result<Admission, Reject> {
    let (mut chunked, mut held, mut from) = (Chunked::new(emit), Buffer::new(), 0);
    let (mut written, mut data, mut trailers) = (Vec::new(), Vec::new(), None);
    for to in cuts.iter().copied().chain([bytes.len()]) {
        assert_eq!(held.append(&bytes[from..to]), to - from);
        from = to;
        let ready = chunked.admit(&mut held)?;
        let ready_bytes = &held.filled()[..ready];
        written.extend_from_slice(ready_bytes);
        if emit == Emit::Data {
            data.extend_from_slice(ready_bytes);
        } else {
            let chunks = Chunks::read(ready_bytes);
            assert_eq!((chunks.length, chunks.announced), (ready, chunks.data.len()));
            data.extend_from_slice(&chunks.data);
            trailers = trailers.or(chunks.trailers);
        }
        held.consume(ready);
    }
    let rest = held.filled().to_vec();
    Ok(Admission { written, data, trailers, rest, is_done: chunked.is_done() })
}

/// The same of which data goes on unseen, up to `most` bytes at a time. Lines are read apart from it, and every other
/// line end that is owed is waited for.
pub(super) fn admit_unseen(bytes: &[u8], most: usize) -> Result<Admission, Reject> {
    let (mut chunked, mut held, mut from) = (Chunked::new(Emit::Chunks), Buffer::new(), 0);
    let (mut written, mut is_waited_for) = (Vec::new(), false);
    while from < bytes.len() {
        let left = usize::try_from(chunked.data_left()).unwrap_or(usize::MAX);
        let count = left.min(most).min(bytes.len() - from);
        if let (true, Some(line)) = (count > 0, chunked.size_line(count)) {
            written.extend_from_slice(line.bytes());
            written.extend_from_slice(&bytes[from..from + count]);
            chunked.pass_unseen(count);
            from += count;
            is_waited_for = !is_waited_for;
        } else {
            let line = chunked.to_next_data().filter(|_| held.is_empty());
            let count = line.unwrap_or(most).clamp(1, bytes.len() - from);
            held.append(&bytes[from..from + count]);
            from += count;
        }
        if is_waited_for {
            written.extend_from_slice(chunked.owed());
            chunked.pass_owed();
        }
        let ready = chunked.admit(&mut held)?;
        written.extend_from_slice(&held.filled()[..ready]);
        held.consume(ready);
    }
    written.extend_from_slice(chunked.owed());
    let Chunks { data, announced, trailers, length } = Chunks::read(&written);
    assert_eq!((length, announced), (written.len(), data.len()));
    let rest = held.filled().to_vec();
    Ok(Admission { written, data, trailers, rest, is_done: chunked.is_done() })
}
