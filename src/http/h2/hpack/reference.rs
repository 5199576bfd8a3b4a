//! What the server of the crate `h2` makes of header blocks.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use h2::RecvStream;
use h2::server::Connection;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use super::super::section::FieldSection;

/// The longest block, since it goes into one frame.
pub(super) const FRAME_BYTES_MAX: usize = 16_384;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// `:method: POST`, `:scheme: http`, `:path: /` and `:authority: a`, without a table.
const REQUEST: &[u8] = b"\x83\x86\x84\x01\x01a";

const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Fields sorted by their names, since it does not keep the order of different ones.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What it says of a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A trailer section with these fields.
    Section(Fields),
    /// It resets the stream, since the section breaks the rules of HTTP.
    Malformed,
    /// It closes the connection.
    Failed,
}

/// One connection to it.
pub(super) struct Reference {
    input: Arc<Mutex<Vec<u8>>>,
    connection: Connection<TokioIo<Wire>, Bytes>,
    stream: u32,
}

impl Reference {
    pub(super) fn new() -> Self {
        let input = Arc::new(Mutex::new(PREFACE.to_vec()));
        let wire = TokioIo::new(Wire { input: Arc::clone(&input) });
        let mut builder = h2::server::Builder::new();
        builder.max_header_list_size(u32::MAX);
        let Poll::Ready(Ok(connection)) = pin!(builder.handshake(wire)).poll(&mut context()) else {
            panic!("it does not accept the preface");
        };
        Self { input, connection, stream: 1 }
    }

    /// What it makes of a block, as the trailer section of a request.
    pub(super) fn decode(&mut self, block: &[u8]) -> Verdict {
        self.send(END_HEADERS, REQUEST);
        let Ok(mut bodies) = self.accept() else { panic!("it refuses the request") };
        self.send(END_HEADERS | END_STREAM, block);
        if self.accept().is_err() {
            return Verdict::Failed;
        }
        self.stream += 2;
        match bodies[0].poll_trailers(&mut context()) {
            Poll::Ready(Ok(trailers)) => {
                Verdict::Section(sorted(fields(&trailers.unwrap_or_default())))
            }
            Poll::Ready(Err(_)) => Verdict::Malformed,
            Poll::Pending => panic!("it waits for more"),
        }
    }

    /// What it has to make of a block that we decode to `section`.
    pub(super) fn expected(section: &FieldSection) -> Verdict {
        if !section.iter().all(|(name, value)| has_syntax(name, value)) {
            return Verdict::Failed;
        }
        if is_malformed(section) {
            return Verdict::Malformed;
        }
        // It drops pseudo-header fields from trailer sections.
        let fields = section.iter().filter(|(name, _)| !name.starts_with(b":"));
        Verdict::Section(sorted(fields.map(|(name, value)| (name.into(), value.into())).collect()))
    }

    fn send(&self, flags: u8, block: &[u8]) {
        let [.., high, middle, low] = block.len().to_be_bytes();
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.extend([high, middle, low, HEADERS, flags]);
        input.extend(self.stream.to_be_bytes());
        input.extend(block);
    }

    /// Has it read everything. The bodies of new requests, or that the connection is closed.
    fn accept(&mut self) -> Result<Vec<RecvStream>, ()> {
        let mut bodies = Vec::new();
        loop {
            match self.connection.poll_accept(&mut context()) {
                Poll::Ready(Some(Ok((request, _)))) => bodies.push(request.into_body()),
                Poll::Ready(_) => return Err(()),
                Poll::Pending => return Ok(bodies),
            }
        }
    }
}

/// Whether it takes a field, so that it goes on with the next: else it closes the connection.
fn has_syntax(name: &[u8], value: &[u8]) -> bool {
    match name {
        b":authority" | b":scheme" | b":path" => std::str::from_utf8(value).is_ok(),
        b":method" => Method::from_bytes(value).is_ok(),
        _ => HeaderName::from_lowercase(name).is_ok() && HeaderValue::from_bytes(value).is_ok(),
    }
}

/// Whether there is a field that belongs to the connection, or a pseudo-header field twice or after others.
fn is_malformed(section: &FieldSection) -> bool {
    const OF_CONNECTIONS: [&[u8]; 5] =
        [b"connection", b"transfer-encoding", b"upgrade", b"keep-alive", b"proxy-connection"];
    let mut before: Vec<&[u8]> = Vec::new();
    section.iter().any(|(name, value)| {
        let is_pseudo = name.starts_with(b":");
        let is_late = before.iter().any(|other| *other == name || !other.starts_with(b":"));
        before.push(name);
        is_pseudo && is_late
            || name == b"te" && value != b"trailers"
            || OF_CONNECTIONS.contains(&name)
    })
}

fn fields(trailers: &HeaderMap) -> Fields {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().into(), value.as_bytes().into())
    };
    trailers.iter().map(field).collect()
}

fn sorted(mut fields: Fields) -> Fields {
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A connection on which arrives what is put into `input`. What is sent is dropped.
struct Wire {
    input: Arc<Mutex<Vec<u8>>>,
}

impl Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        if input.is_empty() {
            return Poll::Pending;
        }
        let count = room.remaining().min(input.len());
        room.put_slice(&input[..count]);
        input.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
