//! Termination codes: how an exchange, a tunnel or a connection ended, in two letters. The error log,
//! the access log and the documents have no others. Those of a fault: [`Fault::termination`].
//!
//! [`Fault::termination`]: crate::fault::Fault::termination

use std::fmt::{self, Write};

/// How it ended: who ended it ([`Ender`]), and what was being done ([`ExchangePhase`]); `--` if it
/// ended as it should. As in the logs of `HAProxy`, with letters of our own. What a user reads of
/// them: `docs/access-log.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termination([u8; 2]);

/// Who ended it: the first letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ender {
    /// The client: it closed, reset or broke the connection.
    Client = b'C',
    /// The client, by silence: what it was to send or to take did not come or go in time.
    ClientSilence = b'c',
    /// The endpoint: it refused, closed, reset or broke the connection, or there was none to ask.
    Upstream = b'U',
    /// The endpoint, by silence.
    UpstreamSilence = b'u',
    /// A rule of ours: a message is refused, or has no route.
    Rule = b'R',
    /// This machine: out of descriptors, ports or memory.
    Machine = b'L',
    /// This process: a drain, or the end of the process, cut it.
    Drain = b'D',
}

/// What was being done: the second letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExchangePhase {
    /// Reading the request's head.
    RequestHead = b'H',
    /// Moving the request's body to the endpoint.
    Request = b'Q',
    /// Waiting in the queue of an upstream whose endpoints are all full, or being refused there.
    Queue = b'W',
    /// Choosing an endpoint, or opening a connection to it.
    Connect = b'N',
    /// Awaiting or reading the answer's head.
    ResponseHead = b'A',
    /// Moving the answer's body to the client.
    ResponseBody = b'B',
    /// Moving bytes both ways, after a 101 or over a connection that is relayed as it is.
    Tunnel = b'T',
}

impl Termination {
    /// It ended as it should.
    pub const COMPLETE: Self = Self(*b"--");

    /// It was ended early.
    pub const fn new(ender: Ender, phase: ExchangePhase) -> Self {
        Self([ender as u8, phase as u8])
    }

    /// The two letters.
    pub fn letters(&self) -> &[u8; 2] {
        &self.0
    }
}

impl fmt::Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| f.write_char(char::from(*letter)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDERS: [Ender; 7] = [
        Ender::Client,
        Ender::ClientSilence,
        Ender::Upstream,
        Ender::UpstreamSilence,
        Ender::Rule,
        Ender::Machine,
        Ender::Drain,
    ];

    const PHASES: [ExchangePhase; 7] = [
        ExchangePhase::RequestHead,
        ExchangePhase::Request,
        ExchangePhase::Queue,
        ExchangePhase::Connect,
        ExchangePhase::ResponseHead,
        ExchangePhase::ResponseBody,
        ExchangePhase::Tunnel,
    ];

    /// The letters of a table of the documents, by the head of its first column.
    fn documented(column: &str) -> String {
        let text = include_str!("../docs/access-log.md");
        let (_, table) = text.split_once(&format!("| {column} |")).expect("a table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        rows.filter_map(|row| row.chars().nth(3)).collect()
    }

    #[test]
    fn every_letter_is_documented_and_no_other() {
        let first: String = ENDERS.iter().map(|ender| char::from(*ender as u8)).collect();
        let second: String = PHASES.iter().map(|phase| char::from(*phase as u8)).collect();
        assert_eq!(documented("first letter"), format!("-{first}"));
        assert_eq!(documented("second letter"), format!("-{second}"));
    }

    #[test]
    fn a_code_is_its_two_letters() {
        let code = Termination::new(Ender::Drain, ExchangePhase::Tunnel);
        assert_eq!((code.letters(), code.to_string().as_str()), (b"DT", "DT"));
        assert_eq!(Termination::COMPLETE.to_string(), "--");
    }
}
