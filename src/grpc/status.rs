//! The statuses of gRPC, and how a message beside one is written
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::fmt;

/// The name of the field that says it.
const FIELD: &str = "grpc-status";

macro_rules! statuses {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// How a call ended (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Status {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Status {
            /// All of them, by their numbers.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant),*];

            /// As gRPC writes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

statuses! {
    /// It has succeeded.
    Ok = 0, "OK";
    /// Somebody has given it up.
    Cancelled = 1, "CANCELLED";
    /// Nothing better is known.
    Unknown = 2, "UNKNOWN";
    /// The client has asked for what can never be.
    InvalidArgument = 3, "INVALID_ARGUMENT";
    /// The deadline passed before it was done.
    DeadlineExceeded = 4, "DEADLINE_EXCEEDED";
    /// What it is about is not there.
    NotFound = 5, "NOT_FOUND";
    /// What it was to create is there.
    AlreadyExists = 6, "ALREADY_EXISTS";
    /// The client may not do this.
    PermissionDenied = 7, "PERMISSION_DENIED";
    /// Something is used up, or larger than it may be.
    ResourceExhausted = 8, "RESOURCE_EXHAUSTED";
    /// The server is not in a state for it.
    FailedPrecondition = 9, "FAILED_PRECONDITION";
    /// Others were at work on the same.
    Aborted = 10, "ABORTED";
    /// It goes beyond what there is.
    OutOfRange = 11, "OUT_OF_RANGE";
    /// There is no such method here.
    Unimplemented = 12, "UNIMPLEMENTED";
    /// What a client library should never do.
    Internal = 13, "INTERNAL";
    /// It may work if it is tried again.
    Unavailable = 14, "UNAVAILABLE";
    /// Data is lost or damaged.
    DataLoss = 15, "DATA_LOSS";
    /// The client has not said who it is.
    Unauthenticated = 16, "UNAUTHENTICATED";
}

impl Status {
    /// Whether it tells of an error of the server (OpenTelemetry, *Semantic conventions for gRPC*), and not of one
    /// of its client's or of an outcome that calls have to reckon with.
    pub const fn is_of_server(self) -> bool {
        matches!(
            self,
            Self::Unknown
                | Self::DeadlineExceeded
                | Self::Unimplemented
                | Self::Internal
                | Self::Unavailable
                | Self::DataLoss
        )
    }

    /// What the value of a `grpc-status` says. What is no number of one of them means
    /// [`Self::Unknown`] to clients.
    pub fn read(value: &[u8]) -> Self {
        let number = match value {
            [digit @ b'0'..=b'9'] => digit - b'0',
            [b'1', digit @ b'0'..=b'6'] => 10 + digit - b'0',
            _ => return Self::Unknown,
        };
        Self::ALL[usize::from(number)]
    }

    /// What the first `grpc-status` among these fields says, names and values, if there is one.
    pub fn among<'a>(mut fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Self> {
        let said = fields.find(|(name, _)| *name == FIELD.as_bytes());
        said.map(|(_, value)| Self::read(value))
    }

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

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grpc-status {} ({})", self.code(), self.name())
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
    fn a_status_is_known_by_its_number() {
        for (number, status) in (0..).zip(Status::ALL) {
            assert_eq!(
                (status.code(), Status::read(number.to_string().as_bytes())),
                (number, status)
            );
        }
        for odd in ["", "17", "00", "012", "-1", "+1", "1 ", "OK", "99"] {
            assert_eq!(Status::read(odd.as_bytes()), Status::Unknown, "{odd:?}");
        }
        assert_eq!(Status::Unavailable.to_string(), "grpc-status 14 (UNAVAILABLE)");
    }

    #[test]
    fn a_status_is_found_among_fields() {
        let fields = [(&b"a"[..], &b"1"[..]), (b"grpc-status", b"5"), (b"grpc-status", b"0")];
        assert_eq!(Status::among(fields.into_iter()), Some(Status::NotFound));
        assert_eq!(Status::among(fields[..1].iter().copied()), None);
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
