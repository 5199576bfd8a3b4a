//! One HTTP/1.1 connection to a collector, blocking, with a deadline for each request.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection};

use super::collector::Collector;
use super::partial::rejected_spans;

/// For a connection to be opened.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The most that is read of an answer, in bytes; a collector says little.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The fields of an answer that are looked at.
const FIELDS_MAX: usize = 256;

/// For the body of an answer, whose status says what matters most.
const BODY_LIMIT: Duration = Duration::from_secs(1);

/// A way to the collector.
pub(super) struct Client {
    collector: Collector,
    tls: Option<Arc<ClientConfig>>,
    /// What comes after the request line, but for the length.
    fields: String,
    connection: Option<CollectorConnection>,
}

/// What a collector has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CollectorAnswer {
    pub(super) status: u16,
    /// How long to wait before the next request, if it says so.
    pub(super) retry_after: Option<Duration>,
    /// How many spans it has rejected although it took the others.
    pub(super) rejected: u64,
}

enum CollectorConnection {
    Plain(TcpStream),
    Tls(Box<(ClientConnection, TcpStream)>),
}

impl Client {
    pub(super) fn new(
        collector: Collector,
        headers: &[(String, String)],
        tls: Option<Arc<ClientConfig>>,
    ) -> Self {
        let mut fields = format!(
            "Host: {}\r\nUser-Agent: evener/{}\r\nContent-Type: application/x-protobuf\r\n",
            collector.authority,
            env!("CARGO_PKG_VERSION")
        );
        for (name, value) in headers {
            fields.extend([name, ": ", value, "\r\n"]);
        }
        Self { collector, tls, fields, connection: None }
    }

    /// Sends a body, over the connection there is or another one, and waits for the answer until `deadline`.
    pub(super) fn post(&mut self, body: &[u8], deadline: Instant) -> io::Result<CollectorAnswer> {
        if let Some(connection) = self.connection.take()
            && let Ok(answer) = self.exchange(connection, body, deadline)
        {
            return Ok(answer);
        }
        // A connection that has rested may have been closed meanwhile: that says nothing of the collector.
        let connection = self.connect(deadline)?;
        self.exchange(connection, body, deadline)
    }

    fn connect(&self, deadline: Instant) -> io::Result<CollectorConnection> {
        let Collector { host, port, .. } = &self.collector;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in (&**host, *port).to_socket_addrs()? {
            let limit = left(deadline)?.min(CONNECT_LIMIT);
            match TcpStream::connect_timeout(&address, limit) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return self.secure(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn secure(&self, stream: TcpStream) -> io::Result<CollectorConnection> {
        let Some((config, name)) = self.tls.as_ref().zip(self.collector.server_name()) else {
            return Ok(CollectorConnection::Plain(stream));
        };
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(CollectorConnection::Tls(Box::new((session, stream))))
    }

    /// Keeps the connection if another request may follow.
    fn exchange(
        &mut self,
        mut connection: CollectorConnection,
        body: &[u8],
        deadline: Instant,
    ) -> io::Result<CollectorAnswer> {
        let Self { collector, fields, .. } = self;
        let mut head = format!("POST {} HTTP/1.1\r\n{fields}", collector.path).into_bytes();
        head.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        head.extend_from_slice(body);
        let mut bytes = head.as_slice();
        while !bytes.is_empty() {
            match connection.write(bytes, deadline)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        connection.flush(deadline)?;
        let (answer, is_kept) = read_answer(&mut connection, deadline)?;
        if is_kept {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

/// Reads a final answer, and says whether its connection can be used again.
fn read_answer(
    connection: &mut CollectorConnection,
    deadline: Instant,
) -> io::Result<(CollectorAnswer, bool)> {
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut fields);
        let status = parsed.parse(&answer).map_err(|error| invalid(&error.to_string()))?;
        if let (httparse::Status::Complete(length), Some(code)) = (status, parsed.code) {
            if (100..200).contains(&code) {
                answer.drain(..length);
                continue;
            }
            let value = |name: &str| {
                let found =
                    parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
                found.and_then(|field| std::str::from_utf8(field.value).ok())
            };
            let seconds = value("retry-after").and_then(|text| text.trim().parse().ok());
            let retry_after = seconds.map(Duration::from_secs);
            let body = value("content-length").and_then(|text| text.trim().parse::<usize>().ok());
            let closes = value("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
            let is_framed = value("transfer-encoding").is_none() && !closes;
            let whole = body.filter(|body| is_framed && *body <= ANSWER_BYTES_MAX);
            let mut rest = answer.split_off(length);
            let until = deadline.min(Instant::now() + BODY_LIMIT);
            let is_kept = whole.is_some_and(|length| fill(connection, &mut rest, length, until));
            let rejected = rejected_spans(&rest);
            return Ok((CollectorAnswer { status: code, retry_after, rejected }, is_kept));
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(invalid("the headers of its answer are too long"));
        }
        match connection.read(&mut chunk, deadline)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Reads a body to its end. Whether that has come, and nothing after it.
fn fill(
    connection: &mut CollectorConnection,
    body: &mut Vec<u8>,
    length: usize,
    until: Instant,
) -> bool {
    let mut chunk = [0; 4096];
    while body.len() < length {
        match connection.read(&mut chunk, until) {
            Ok(count @ 1..) => body.extend_from_slice(&chunk[..count]),
            _ => return false,
        }
    }
    body.len() == length
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// What is left until then.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

impl CollectorConnection {
    fn write(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<usize> {
        self.bounded(deadline)?;
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(both) => {
                let (session, stream) = &mut **both;
                rustls::Stream::new(session, &mut Bounded { stream, deadline }).write(bytes)
            }
        }
    }

    fn flush(&mut self, deadline: Instant) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(both) => {
                let (session, stream) = &mut **both;
                rustls::Stream::new(session, &mut Bounded { stream, deadline }).flush()
            }
        }
    }

    fn read(&mut self, bytes: &mut [u8], deadline: Instant) -> io::Result<usize> {
        self.bounded(deadline)?;
        match self {
            Self::Plain(stream) => stream.read(bytes),
            Self::Tls(both) => {
                let (session, stream) = &mut **both;
                rustls::Stream::new(session, &mut Bounded { stream, deadline }).read(bytes)
            }
        }
    }

    /// The next step of plain text ends by then.
    fn bounded(&self, deadline: Instant) -> io::Result<()> {
        let Self::Plain(stream) = self else { return Ok(()) };
        bound(stream, deadline)
    }
}

/// A stream each of whose steps ends by a deadline: a record of TLS may take several.
struct Bounded<'a> {
    stream: &'a mut TcpStream,
    deadline: Instant,
}

fn bound(stream: &TcpStream, deadline: Instant) -> io::Result<()> {
    let left = left(deadline)?;
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))
}

impl Read for Bounded<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        bound(self.stream, self.deadline)?;
        self.stream.read(bytes)
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bound(self.stream, self.deadline)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
