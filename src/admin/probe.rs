//! Asks an admin listener how its process is: what `evener health` does.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::address::Address;
use crate::config::value;

/// The longest answer that is read, in bytes; its rest does not matter.
const ANSWER_BYTES_MAX: u64 = 4096;

/// The most characters that are shown of what a process says of itself.
const SHOWN_CHARS_MAX: usize = 100;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Whether the process takes new connections: `/readyz`.
    Readiness,
    /// Whether it answers at all: `/healthz`.
    Liveness,
}

impl Probe {
    fn path(self) -> &'static str {
        match self {
            Self::Readiness => "/readyz",
            Self::Liveness => "/healthz",
        }
    }
}

/// Why the answer is not yes.
#[derive(Debug)]
pub enum ProbeError {
    /// The address is no address.
    Address(String),
    /// There was no connection, or it broke.
    Io(io::Error),
    /// Nothing came in time.
    Timeout(Duration),
    /// What came is no response of HTTP.
    NoHttp,
    /// Another status than 200, and what was said.
    Status(u16, String),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(what) => f.write_str(what),
            Self::Io(error) => {
                write!(f, "{error}: is Evener running with this admin address?")
            }
            Self::Timeout(timeout) => {
                write!(f, "no answer within {}", humantime::format_duration(*timeout))
            }
            Self::NoHttp => f.write_str("what answers there does not speak HTTP"),
            Self::Status(status, said) => write!(f, "answered with {status}: {said}"),
        }
    }
}

/// Asks the admin listener at `address`, and returns what it says. Neither question needs a token.
pub fn probe(address: &str, probe: Probe, timeout: Duration) -> Result<String, ProbeError> {
    let (tell, told) = mpsc::sync_channel(1);
    let address = address.to_owned();
    // One deadline over all: looking up a name, for instance, has none of its own.
    let asking = move || tell.send(ask(&address, probe));
    thread::Builder::new().name("probe".into()).spawn(asking).map_err(ProbeError::Io)?;
    told.recv_timeout(timeout).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(ProbeError::Timeout(timeout)),
        RecvTimeoutError::Disconnected => Err(ProbeError::Io(io::ErrorKind::BrokenPipe.into())),
    })
}

fn ask(address: &str, probe: Probe) -> Result<String, ProbeError> {
    let addresses = value::addresses(address, &value::resolve).map_err(ProbeError::Address)?;
    let mut error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let answer = match &address {
            Address::Tcp(at) => TcpStream::connect(at).and_then(|stream| exchange(stream, probe)),
            Address::Unix(path) => {
                UnixStream::connect(path).and_then(|stream| exchange(stream, probe))
            }
        };
        match answer {
            Ok(answer) => return judged(&answer),
            Err(failed) => error = failed,
        }
    }
    Err(ProbeError::Io(error))
}

fn exchange(mut stream: impl Read + Write, probe: Probe) -> io::Result<Vec<u8>> {
    let path = probe.path();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn judged(answer: &[u8]) -> Result<String, ProbeError> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(answer);
    let (Ok(httparse::Status::Complete(head)), Some(status)) = (parsed, response.code) else {
        return Err(ProbeError::NoHttp);
    };
    let body = String::from_utf8_lossy(&answer[head..]);
    let line = body.lines().next().unwrap_or_default();
    let said = line.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if status == 200 { Ok(said) } else { Err(ProbeError::Status(status, said)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_well() {
        let well = judged(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready\n");
        assert_eq!(well.expect("well"), "ready");
        let ill = judged(b"HTTP/1.1 503 Service Unavailable\r\n\r\ndraining\x1b\nmore");
        assert_eq!(ill.expect_err("ill").to_string(), "answered with 503: draining\\u{1b}");
        for answer in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"] {
            assert!(matches!(judged(answer), Err(ProbeError::NoHttp)));
        }
    }
}
