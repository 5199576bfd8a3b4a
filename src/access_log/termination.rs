//! How an exchange, a tunnel or a connection ended, in two letters.

use crate::fault::{Fault, Kind, Side, Stage};

/// How it ended: who ended it, and what was being done. As in the logs of `HAProxy`, with letters of
/// our own.
///
/// | first | who ended it |
/// |---|---|
/// | `-` | nobody: it ended as it should |
/// | `C` | the client: it closed, reset or broke the connection |
/// | `c` | the client, by silence: what it was to send or to take did not come or go in time |
/// | `U` | the endpoint: it refused, closed, reset or broke the connection, or there was none to ask |
/// | `u` | the endpoint, by silence |
/// | `R` | a rule of ours: the message of the one whose turn it was is refused, or has no route |
/// | `L` | this machine: out of descriptors, ports or memory |
/// | `D` | this process: a drain, or a deadline for the whole, cut it |
///
/// | second | what was being done |
/// |---|---|
/// | `-` | nothing any more: all of it was done |
/// | `H` | the request's head was being read |
/// | `Q` | the request's body was being moved to the endpoint |
/// | `N` | a connection to an endpoint was being opened, or an endpoint chosen |
/// | `A` | the answer's head was awaited or being read |
/// | `B` | the answer's body was being moved to the client |
/// | `T` | bytes went both ways, behind a 101 or over a connection that is not looked into |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termination([u8; 2]);

/// Who ended it: the first letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ender {
    /// The client ended it.
    Client = b'C',
    /// The client let a deadline pass.
    ClientSilence = b'c',
    /// The endpoint ended it, or there was none to ask.
    Upstream = b'U',
    /// The endpoint let a deadline pass.
    UpstreamSilence = b'u',
    /// A rule of ours refused a message.
    Rule = b'R',
    /// This machine ran out of something.
    Machine = b'L',
    /// A drain or a deadline for the whole cut it.
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
    /// Choosing an endpoint, or opening a connection to it.
    Connect = b'N',
    /// Awaiting or reading the answer's head.
    ResponseHead = b'A',
    /// Moving the answer's body to the client.
    ResponseBody = b'B',
    /// Moving bytes both ways.
    Tunnel = b'T',
}

impl Termination {
    /// It ended as it should.
    pub const COMPLETE: Self = Self(*b"--");

    /// It was ended early, for a reason that is no [`Fault`]: no route, no endpoint, a drain.
    pub const fn new(ender: Ender, phase: ExchangePhase) -> Self {
        Self([ender as u8, phase as u8])
    }

    /// A fault ended it.
    pub fn of(fault: Fault) -> Self {
        Self::new(Ender::of(fault.side, fault.kind), ExchangePhase::of(fault.stage))
    }

    /// A tunnel ended before both sides had ended their direction: `side` did it, by `kind`.
    pub fn tunnel(side: Side, kind: Kind) -> Self {
        Self::new(Ender::of(side, kind), ExchangePhase::Tunnel)
    }

    /// The two letters.
    pub fn letters(&self) -> &[u8; 2] {
        &self.0
    }
}

impl Ender {
    fn of(side: Side, kind: Kind) -> Self {
        match (side, kind) {
            (Side::Local, _) | (_, Kind::Exhausted) => Self::Machine,
            (_, Kind::Rejected(_)) => Self::Rule,
            (Side::Client, Kind::TimedOut) => Self::ClientSilence,
            (Side::Client, _) => Self::Client,
            (Side::Upstream, Kind::TimedOut) => Self::UpstreamSilence,
            (Side::Upstream, _) => Self::Upstream,
        }
    }
}

impl ExchangePhase {
    fn of(stage: Stage) -> Self {
        match stage {
            Stage::RequestHead => Self::RequestHead,
            Stage::Connect => Self::Connect,
            Stage::Request => Self::Request,
            Stage::ResponseHead => Self::ResponseHead,
            Stage::ResponseBody => Self::ResponseBody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reject::Reject;

    #[test]
    fn letters_follow_side_stage_and_kind() {
        let (client, upstream) = (Fault::client, Fault::upstream);
        let rows = [
            (client(Stage::RequestHead, Kind::TimedOut), b"cH"),
            (client(Stage::RequestHead, Kind::Rejected(Reject::BareLf)), b"RH"),
            (client(Stage::Request, Kind::Closed), b"CQ"),
            (client(Stage::Request, Kind::Rejected(Reject::ChunkSize)), b"RQ"),
            (client(Stage::ResponseBody, Kind::Reset), b"CB"),
            (client(Stage::ResponseBody, Kind::Exhausted), b"LB"),
            (upstream(Stage::Connect, Kind::Refused), b"UN"),
            (upstream(Stage::Connect, Kind::TimedOut), b"uN"),
            (upstream(Stage::Connect, Kind::Exhausted), b"LN"),
            (upstream(Stage::Request, Kind::TimedOut), b"uQ"),
            (upstream(Stage::ResponseHead, Kind::Closed), b"UA"),
            (upstream(Stage::ResponseHead, Kind::Rejected(Reject::StatusLine)), b"RA"),
            (upstream(Stage::ResponseBody, Kind::Broken), b"UB"),
        ];
        for (fault, letters) in rows {
            assert_eq!(Termination::of(fault).letters(), letters, "{fault}");
        }
        assert_eq!(Termination::tunnel(Side::Client, Kind::Reset).letters(), b"CT");
        assert_eq!(Termination::tunnel(Side::Upstream, Kind::Broken).letters(), b"UT");
        assert_eq!(Termination::new(Ender::Drain, ExchangePhase::Tunnel).letters(), b"DT");
    }
}
