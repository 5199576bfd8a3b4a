//! An origin that truncates chunk sizes to 32 bits, as some servers do: it reads a size of 2³² + 1 as 1,
//! and the rest of the data as its next request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::origin::{Conn, ok};
use super::{Origin, eventually};

pub struct Wrapping {
    pub origin: Origin,
    ended: Arc<AtomicUsize>,
}

impl Wrapping {
    pub fn start() -> Self {
        let ended = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ended);
        let origin = Origin::start(move |mut conn| {
            while let Some(head) = conn.head() {
                if head.contains("Transfer-Encoding: chunked\r\n") && chunks(&mut conn).is_none() {
                    break;
                }
                conn.send(ok("yes"));
            }
            conn.close();
            counted.fetch_add(1, Ordering::SeqCst);
        });
        Self { origin, ended }
    }

    /// The first lines of all requests it has read, once all its connections have ended.
    pub fn lines(&self) -> Vec<String> {
        eventually("its connections end", || {
            let count = self.origin.connections();
            count > 0 && self.ended.load(Ordering::SeqCst) == count
        });
        let heads = self.origin.heads();
        heads.iter().filter_map(|head| head.lines().next()).map(str::to_owned).collect()
    }
}

fn chunks(conn: &mut Conn) -> Option<()> {
    loop {
        let size = wrapped(&conn.line())?;
        conn.bytes(size as usize)?;
        if conn.line() != b"\r\n" {
            return None;
        }
        if size == 0 {
            return Some(());
        }
    }
}

/// A chunk size, truncated to 32 bits.
fn wrapped(line: &[u8]) -> Option<u32> {
    let digits = line.strip_suffix(b"\r\n")?;
    digits.iter().try_fold(0_u32, |size, digit| Some(size << 4 | char::from(*digit).to_digit(16)?))
}

/// The data of chunks, and the bytes that such an origin finds after them.
pub fn split_chunks(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut data = Vec::new();
    loop {
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        let Some(size) = wrapped(&bytes[..end]) else { return (data, bytes) };
        let rest = &bytes[end..];
        let size = rest.len().min(size as usize);
        data.extend(&rest[..size]);
        bytes = rest[size..].strip_prefix(b"\r\n").unwrap_or_default();
        if size == 0 {
            return (data, bytes);
        }
    }
}
