//! Why an endpoint is ejected, in a word for metrics.

use crate::fault::{Fault, Kind, Stage};

/// What the last of the failures was that ejected an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EjectionReason {
    /// It refused the connection.
    Refused,
    /// It did not accept a connection in time, or accepted it and did not begin HTTP/2.
    ConnectTimeout,
    /// It could not be reached for another reason.
    Unreachable,
    /// TLS could not be agreed on, or broke.
    Tls,
    /// It accepted the connection, and did not answer in time, or stalled.
    Timeout,
    /// It reset the connection or the stream.
    Reset,
    /// It ended the connection before its answer had ended.
    Closed,
    /// Its answer was not of the expected protocol.
    Protocol,
    /// It answered with a status of 500 to 599.
    ServerError,
}

impl EjectionReason {
    /// All there are, in order.
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::ConnectTimeout,
        Self::Unreachable,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Closed,
        Self::Protocol,
        Self::ServerError,
    ];

    /// As a label of a metric.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::ServerError => "server_error",
        }
    }

    /// That of an attempt that this fault of the endpoint has ended.
    pub fn of(fault: Fault) -> Self {
        match (fault.kind, fault.stage) {
            (Kind::Refused, _) => Self::Refused,
            (Kind::Tls(_), _) => Self::Tls,
            (Kind::TimedOut, Stage::Connect) | (Kind::NoSettings, _) => Self::ConnectTimeout,
            (Kind::TimedOut, _) => Self::Timeout,
            (Kind::Closed | Kind::Reset | Kind::Broken, Stage::Connect) => Self::Unreachable,
            (Kind::Reset, _) => Self::Reset,
            (Kind::Rejected(_), _) => Self::Protocol,
            // The last four blame no endpoint.
            (
                Kind::Closed
                | Kind::Broken
                | Kind::Ended
                | Kind::Deadline
                | Kind::Exhausted
                | Kind::Busy
                | Kind::Unhealthy,
                _,
            ) => Self::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reject::Reject;
    use crate::tls_fault::TlsFault;

    #[test]
    fn each_fault_has_its_reason() {
        let rows = [
            (Stage::Connect, Kind::Refused, "refused"),
            (Stage::Connect, Kind::TimedOut, "connect_timeout"),
            (Stage::Connect, Kind::NoSettings, "connect_timeout"),
            (Stage::Connect, Kind::Broken, "unreachable"),
            (Stage::Connect, Kind::Tls(TlsFault::Expired), "tls"),
            (Stage::ResponseHead, Kind::TimedOut, "timeout"),
            (Stage::ResponseBody, Kind::TimedOut, "timeout"),
            (Stage::ResponseHead, Kind::Reset, "reset"),
            (Stage::ResponseBody, Kind::Closed, "closed"),
            (Stage::ResponseHead, Kind::Ended, "closed"),
            (Stage::ResponseHead, Kind::Rejected(Reject::StatusLine), "protocol"),
        ];
        for (stage, kind, expected) in rows {
            assert_eq!(EjectionReason::of(Fault::upstream(stage, kind)).name(), expected);
        }
        for (place, reason) in EjectionReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }
}
