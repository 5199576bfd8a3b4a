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
pub(super) enum ReferenceVerdict {
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
        let wire = TokioIo::new(Wire { input: Arc::clone(&input), output: Arc::default() });
        let mut builder = h2::server::Builder::new();
        builder.max_header_list_size(u32::MAX);
        let Poll::Ready(Ok(connection)) = pin!(builder.handshake(wire)).poll(&mut context()) else {
            panic!("it does not accept the preface");
        };
        Self { input, connection, stream: 1 }
    }

    /// What it makes of a block, as the trailer section of a request.
    pub(super) fn decode(&mut self, block: &[u8]) -> ReferenceVerdict {
        self.send(END_HEADERS, REQUEST);
        let Ok(mut bodies) = self.accept() else { panic!("it refuses the request") };
        self.send(END_HEADERS | END_STREAM, block);
        if self.accept().is_err() {
            return ReferenceVerdict::Failed;
        }
        self.stream += 2;
        match bodies[0].poll_trailers(&mut context()) {
            Poll::Ready(Ok(trailers)) => {
                ReferenceVerdict::Section(sorted(fields(&trailers.unwrap_or_default())))
            }
            Poll::Ready(Err(_)) => ReferenceVerdict::Malformed,
            Poll::Pending => panic!("it waits for more"),
        }
    }

    /// What it has to make of a block that we decode to `section`.
    pub(super) fn expected(section: &FieldSection) -> ReferenceVerdict {
        if !section.iter().all(|(name, value)| has_syntax(name, value)) {
            return ReferenceVerdict::Failed;
        }
        if is_malformed(section) {
            return ReferenceVerdict::Malformed;
        }
        // It drops pseudo-header fields from trailer sections.
        let fields = section.iter().filter(|(name, _)| !name.starts_with(b":"));
        ReferenceVerdict::Section(sorted(
            fields.map(|(name, value)| (name.into(), value.into())).collect(),
        ))
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
    let mut before: Vec<&[u8]> = Vec::new();
    section.iter().any(|(name, value)| {
        let is_pseudo = name.starts_with(b":");
        let is_late = before.iter().any(|other| *other == name || !other.starts_with(b":"));
        before.push(name);
        is_pseudo && is_late || name == b"te" && value != b"trailers" || is_of_connection(name)
    })
}

fn is_of_connection(name: &[u8]) -> bool {
    let names: [&[u8]; 5] =
        [b"connection", b"transfer-encoding", b"upgrade", b"keep-alive", b"proxy-connection"];
    names.contains(&name)
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

/// A connection on which arrives what is put into `input`.
struct Wire {
    input: Arc<Mutex<Vec<u8>>>,
    output: Arc<Mutex<Vec<u8>>>,
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
        self.output.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::super::super::section::SectionLimits;
    use super::super::{Decoder, Fit};
    use super::*;

    /// Its client, which encodes with a table and Huffman coding.
    struct Client {
        sender: h2::client::SendRequest<Bytes>,
        connection: h2::client::Connection<TokioIo<Wire>, Bytes>,
        output: Arc<Mutex<Vec<u8>>>,
    }

    impl Client {
        /// The server allows a table of so many bytes.
        fn new(table_bytes: u16) -> Self {
            let settings =
                [&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 1, 0, 0][..], &table_bytes.to_be_bytes()];
            let input = Arc::new(Mutex::new(settings.concat()));
            let output = Arc::default();
            let wire = TokioIo::new(Wire { input, output: Arc::clone(&output) });
            let mut builder = h2::client::Builder::new();
            builder.initial_max_send_streams(usize::MAX);
            let Poll::Ready(Ok(client)) = pin!(builder.handshake(wire)).poll(&mut context()) else {
                panic!("it waits for something");
            };
            let (sender, mut connection) = client;
            assert!(Pin::new(&mut connection).poll(&mut context()).is_pending());
            Self { sender, connection, output }
        }

        /// The header block of a request with these fields, for `http://a/`.
        fn encode(&mut self, fields: &Fields) -> Vec<u8> {
            let mut request = Request::builder().uri("http://a/");
            for (name, value) in fields {
                request = request.header(name.as_slice(), value.as_slice());
            }
            self.output.lock().unwrap().clear();
            let sent = self.sender.send_request(request.body(()).unwrap(), true);
            let answer = sent.unwrap().0;
            assert!(Pin::new(&mut self.connection).poll(&mut context()).is_pending());
            let frame = std::mem::take(&mut *self.output.lock().unwrap());
            drop(answer);
            assert_eq!(&frame[3..5], [HEADERS, END_HEADERS | END_STREAM]);
            let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
            frame[9..][..length as usize].to_vec()
        }
    }

    /// Some fields, which return again and again.
    fn some_fields(number: usize) -> Fields {
        let field = |at: usize| {
            let kind = (number * number + 7 * at * at + number / 40) % 61;
            let name = match kind {
                0..20 => format!("x-name-{kind}").into_bytes(),
                20 => vec![b'n'; 100 + number % 200],
                _ => super::super::static_table::FIELDS[kind].0.to_vec(),
            };
            let byte = |place: usize| match kind % 3 {
                0 => b'0' + u8::try_from((place + number / 7) % 10).unwrap(),
                1 => b' ' + u8::try_from((place * at + number % 5) % 95).unwrap(),
                _ => 0x80 | u8::try_from((place + at) % 128).unwrap(),
            };
            (name, (0..kind * at % 50).map(byte).collect())
        };
        let is_usual = |(name, value): &(Vec<u8>, Vec<u8>)| {
            !is_of_connection(name)
                && !name.starts_with(b":")
                && HeaderValue::from_bytes(value).is_ok()
        };
        (0..number % 12).map(field).filter(is_usual).collect()
    }

    #[test]
    fn what_its_client_encodes_is_decoded_to_the_same() {
        let limits = SectionLimits { bytes_max: 64 * 1024, fields_max: 100 };
        for table_bytes in [4096, 200, 0] {
            let (mut client, mut decoder) = (Client::new(table_bytes), Decoder::new(4096));
            decoder.set_table_bytes_max(table_bytes.into());
            for number in 0..500 {
                let fields = some_fields(number);
                let block = client.encode(&fields);
                let mut section = FieldSection::new();
                assert_eq!(decoder.decode(&block, &limits, &mut section), Ok(Fit::Whole));
                let found = section.iter().filter(|(name, _)| !name.starts_with(b":"));
                let found = found.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
                assert_eq!(sorted(found), sorted(fields), "request {number}");
            }
        }
    }
}
