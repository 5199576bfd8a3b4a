//! Asks an admin listener how its process is: what `evener health` does.

use std::fmt;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::admin_client::{AdminClient, AdminResponse, Unanswered};
use crate::config::value;

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
    /// There was no connection, it broke, or what came is no response of HTTP.
    Unanswered(String),
    /// Nothing came in time.
    Timeout(Duration),
    /// Another status than 200, and what was said.
    Status(u16, String),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(what) | Self::Unanswered(what) => f.write_str(what),
            Self::Timeout(timeout) => {
                write!(f, "no response within {}", humantime::format_duration(*timeout))
            }
            Self::Status(status, said) => write!(f, "answered with {status}: {said}"),
        }
    }
}

/// Asks the admin listener at `address`, and returns what it says. Neither question needs a token.
pub fn probe(address: &str, probe: Probe, timeout: Duration) -> Result<String, ProbeError> {
    let (tell, told) = mpsc::sync_channel(1);
    let address = address.to_owned();
    // One deadline over all: looking up a name, for instance, has none of its own.
    let asking = move || tell.send(ask(&address, probe, timeout));
    let asking = thread::Builder::new().name("probe".into()).spawn(asking);
    asking.map_err(|error| ProbeError::Unanswered(error.to_string()))?;
    told.recv_timeout(timeout).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(ProbeError::Timeout(timeout)),
        RecvTimeoutError::Disconnected => {
            Err(ProbeError::Unanswered(io::Error::from(io::ErrorKind::BrokenPipe).to_string()))
        }
    })
}

fn ask(address: &str, probe: Probe, timeout: Duration) -> Result<String, ProbeError> {
    let client = AdminClient::new(address, None, &value::resolve).map_err(ProbeError::Address)?;
    match client.ask_within("GET", probe.path(), timeout) {
        Ok(response) => judged(&response),
        Err(Unanswered::Late(_)) => Err(ProbeError::Timeout(timeout)),
        Err(why @ Unanswered::Connect(_)) => Err(ProbeError::Unanswered(format!(
            "{why}: is Evener running with this admin address?"
        ))),
        Err(why @ Unanswered::Stranger) => {
            Err(ProbeError::Unanswered(format!("{why}: name the address of the admin listener")))
        }
        Err(why) => Err(ProbeError::Unanswered(why.to_string())),
    }
}

fn judged(response: &AdminResponse) -> Result<String, ProbeError> {
    let body = String::from_utf8_lossy(&response.body);
    let line = body.lines().next().unwrap_or_default();
    let said = line.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if response.status == 200 { Ok(said) } else { Err(ProbeError::Status(response.status, said)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_well() {
        let response = |status, body: &[u8]| AdminResponse { status, body: body.to_vec() };
        assert_eq!(judged(&response(200, b"ready\n")).expect("well"), "ready");
        let ill = judged(&response(503, b"draining\x1b\nmore"));
        assert_eq!(ill.expect_err("ill").to_string(), "answered with 503: draining\\u{1b}");
    }
}
