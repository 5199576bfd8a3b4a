//! The statuses of gRPC, and how a message beside one is written
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

/// How a call ended (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>): those that a proxy has
/// reason to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Somebody has given it up.
    Cancelled = 1,
    /// Nothing better is known.
    Unknown = 2,
    /// The deadline passed before it was done.
    DeadlineExceeded = 4,
    /// The client may not do this.
    PermissionDenied = 7,
    /// Something is used up, or larger than it may be.
    ResourceExhausted = 8,
    /// There is no such method here.
    Unimplemented = 12,
    /// What a client library should never do.
    Internal = 13,
    /// It may work if it is tried again.
    Unavailable = 14,
    /// The client has not said who it is.
    Unauthenticated = 16,
}

impl Status {
    /// What an answer of ours with this status of HTTP means to a call. Where it differs from what a client
    /// makes of the answer of a proxy that does not know gRPC
    /// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>), we know better: what timed
    /// out has timed out, and what is too large is.
    pub fn of_http(status: u16) -> Self {
        match status {
            400 | 508 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 | 405 | 501 => Self::Unimplemented,
            408 | 504 => Self::DeadlineExceeded,
            413 | 414 | 431 => Self::ResourceExhausted,
            429 | 502 | 503 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// What a call comes to whose stream was reset with this code of HTTP/2 before anything of an answer had
    /// come: what its client would make of it without us
    /// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors>).
    pub fn of_reset(code: u32) -> Self {
        match code {
            7 => Self::Unavailable,
            8 => Self::Cancelled,
            11 => Self::ResourceExhausted,
            12 => Self::PermissionDenied,
            _ => Self::Internal,
        }
    }

    /// As `grpc-status` says it.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Hands over, piece by piece, what `grpc-message` says for `text`: bytes that are not printable ASCII, and
/// the percent sign, as `%` and two hexadecimal digits.
pub fn write_message(text: &str, mut part: impl FnMut(&[u8])) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => {
                part(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
            _ => part(&[byte]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, Kind, Stage};
    use crate::reject::Reject;

    #[test]
    fn a_status_of_http_becomes_one_of_grpc() {
        let refused = |reject| Fault::client(Stage::RequestHead, Kind::Rejected(reject));
        let upstream = |kind| Fault::upstream(Stage::Connect, kind);
        let rows = [
            (refused(Reject::InvalidHost), 13),
            (refused(Reject::HeadTooLarge), 8),
            (refused(Reject::TargetTooLong), 8),
            (refused(Reject::Connect), 12),
            (refused(Reject::Loop), 13),
            (refused(Reject::Expectation), 2),
            (Fault::client(Stage::Request, Kind::TimedOut), 4),
            (Fault::client(Stage::ResponseHead, Kind::Deadline), 4),
            (upstream(Kind::Refused), 14),
            (upstream(Kind::Exhausted), 14),
            (upstream(Kind::TimedOut), 4),
        ];
        for (fault, code) in rows {
            let status = fault.status().unwrap();
            assert_eq!(Status::of_http(status).code(), code, "{fault}");
        }
        let rows = [(401, 16), (403, 7), (404, 12), (413, 8), (429, 14), (503, 14), (308, 2)];
        for (status, code) in rows {
            assert_eq!(Status::of_http(status).code(), code, "{status}");
        }
    }

    #[test]
    fn a_code_of_a_reset_becomes_a_status() {
        let expected = [13, 13, 13, 13, 13, 13, 13, 14, 1, 13, 13, 8, 7, 13];
        for (code, expected) in (0..).zip(expected) {
            assert_eq!(Status::of_reset(code).code(), expected, "{code}");
        }
    }

    #[test]
    fn a_message_is_percent_encoded() {
        let rows = [
            ("no route for this path", "no route for this path"),
            ("100%", "100%25"),
            ("a\r\nb\t~\u{7f}", "a%0D%0Ab%09~%7F"),
            ("für", "f%C3%BCr"),
            ("", ""),
        ];
        for (text, expected) in rows {
            let mut written = Vec::new();
            write_message(text, |part| written.extend_from_slice(part));
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
    }
}
