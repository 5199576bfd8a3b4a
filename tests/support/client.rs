//! A client that sends exactly the given bytes.

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::strict::{CheckVerdict, verdict};
use super::wire::Wire;
use super::{Ending, HANG};

/// Over TCP, or over TLS as a [`super::tls::TlsClient`].
pub struct Client<S = TcpStream> {
    pub stream: S,
    /// Bytes read but not yet consumed.
    held: Vec<u8>,
}

/// A response as received.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Status line and headers, without the empty line.
    pub head: String,
    /// The body without chunk framing.
    pub body: Vec<u8>,
    /// Whether the body was complete by its own framing.
    pub whole: bool,
}

impl Response {
    /// The value of a header, if present.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(HANG)).expect("timeout");
        stream.set_write_timeout(Some(HANG)).expect("timeout");
        stream.set_nodelay(true).expect("nodelay");
        Self::over(stream)
    }
}

impl<S: Wire> Client<S> {
    /// Over a connection that exists.
    pub fn over(stream: S) -> Self {
        Self { stream, held: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("send");
    }

    /// Sends a GET request, to be followed by [`Client::response`].
    pub fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }

    /// Sends a request and reads the response.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request);
        self.response()
    }

    /// Sends the same byte repeatedly and slowly, until something comes back.
    pub fn drip(&mut self, byte: u8) {
        let pace = Duration::from_millis(5);
        self.stream.tcp().set_read_timeout(Some(pace)).expect("timeout");
        let start = Instant::now();
        while start.elapsed() < HANG && self.stream.tcp().peek(&mut [0]).is_err() {
            self.send([byte]);
        }
        self.stream.tcp().set_read_timeout(Some(HANG)).expect("timeout");
    }

    /// Shuts down the sending direction.
    pub fn finish(&mut self) {
        self.stream.close_notify();
        self.stream.tcp().shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Reads the next response to a request other than HEAD.
    pub fn response(&mut self) -> Response {
        self.response_with(true)
    }

    /// Reads the next response; `has_body` is false after HEAD.
    pub fn response_with(&mut self, has_body: bool) -> Response {
        let end = self.hold_until(|held| find(held, b"\r\n\r\n")).expect("a response head");
        let head = String::from_utf8_lossy(&self.held[..end]).into_owned();
        self.held.drain(..end + 4);
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let mut response = Response { status, head, body: Vec::new(), whole: true };
        let bodiless = !has_body || status < 200 || status == 204 || status == 304;
        if bodiless {
            return response;
        }
        if let Some(length) = response.field("content-length") {
            let length: usize = length.parse().expect("a length");
            response.whole = self.hold_until(|held| (held.len() >= length).then_some(0)).is_some();
            let length = length.min(self.held.len());
            response.body = self.held.drain(..length).collect();
        } else if response.field("transfer-encoding").is_some() {
            response.whole = self.chunks(&mut response.body).is_some();
        } else {
            response.body = self.rest();
        }
        response
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Option<()> {
        loop {
            let line = self.hold_until(|held| find(held, b"\r\n"))?;
            let size = String::from_utf8_lossy(&self.held[..line]).into_owned();
            let size = usize::from_str_radix(&size, 16).expect("a chunk size");
            self.held.drain(..line + 2);
            if size == 0 {
                // Trailers, if any, end with an empty line.
                while self.hold_until(|held| find(held, b"\r\n"))? > 0 {
                    let end = find(&self.held, b"\r\n")?;
                    self.held.drain(..end + 2);
                }
                self.held.drain(..2);
                return Some(());
            }
            self.hold_until(|held| (held.len() >= size + 2).then_some(0))?;
            body.extend(self.held.drain(..size));
            self.held.drain(..2);
        }
    }

    /// Reads everything until the connection is closed or reset.
    pub fn rest(&mut self) -> Vec<u8> {
        self.hold_until(|_| None::<()>);
        std::mem::take(&mut self.held)
    }

    /// Waits for the connection to end; whether that happens without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// Waits for the connection to end; whether it is closed, not reset, without another byte.
    pub fn ends_cleanly(&mut self) -> bool {
        self.held.is_empty() && matches!(self.stream.read(&mut [0]), Ok(0))
    }

    /// Reads exactly `count` bytes.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        self.hold_until(|held| (held.len() >= count).then_some(())).expect("more bytes");
        self.held.drain(..count).collect()
    }

    /// Reads `count` bytes, or fewer if the connection ends first.
    pub fn at_most(&mut self, count: usize) -> Vec<u8> {
        self.hold_until(|held| (held.len() >= count).then_some(()));
        self.held.drain(..count.min(self.held.len())).collect()
    }

    /// Sends until all buffers on the way are full.
    pub fn send_until_stuck(&mut self) {
        self.stream.tcp().set_nonblocking(true).expect("nonblocking");
        let mut refusals = 0;
        while refusals < 50 {
            match self.stream.write(&[b'x'; 64 * 1024]) {
                Ok(_) => refusals = 0,
                Err(_) => refusals += 1,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.stream.tcp().set_nonblocking(false).expect("blocking");
    }

    /// Closes the connection in order.
    pub fn close(mut self) {
        self.stream.close_notify();
    }

    /// Resets the connection.
    pub fn reset(self) {
        SockRef::from(self.stream.tcp()).set_linger(Some(Duration::ZERO)).expect("linger");
    }

    /// Closes or resets the connection.
    pub fn leave(self, ending: Ending) {
        match ending {
            Ending::Close => self.close(),
            Ending::Reset => self.reset(),
        }
    }

    /// Reads everything until the connection ends, and returns whether it was reset or, with
    /// TLS, truncated.
    pub fn end(&mut self) -> (Vec<u8>, bool) {
        let read = self.stream.read_to_end(&mut self.held).map_err(|error| error.kind());
        assert!(read.map_or_else(is_cut, |_| true), "{read:?}");
        (std::mem::take(&mut self.held), read.is_err())
    }

    /// Reads until the connection ends and checks whether the response is complete.
    pub fn verdict(&mut self) -> CheckVerdict {
        let (bytes, reset) = self.end();
        verdict(&bytes, reset)
    }

    /// Reads until the connection ends; whether it was reset rather than closed.
    pub fn is_reset(&mut self) -> bool {
        let mut waste = [0; 4096];
        loop {
            match self.stream.read(&mut waste) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
    }

    /// Reads until `ready` returns something; `None` if the connection ends first.
    fn hold_until<T>(&mut self, ready: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            if let Some(found) = ready(&self.held) {
                return Some(found);
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.held.extend_from_slice(&bytes[..count]),
                Err(error) if is_cut(error.kind()) => return None,
                // A read with a timeout is not restarted after a stop signal (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("waiting for the proxy: {error}"),
            }
        }
    }
}

/// A reset, or the end of TCP without that of TLS.
fn is_cut(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
