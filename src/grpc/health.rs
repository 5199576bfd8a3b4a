//! The health service: a call that asks whether a server, or one of its services, is serving
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).

use super::message::{self, Malformed, PREFIX_BYTES};
use super::protobuf::{FieldValue, MessageFields, write_text};

/// The path of the call (POST).
pub const PATH: &str = "/grpc.health.v1.Health/Check";

/// The longest name of a service that is asked for.
pub const SERVICE_BYTES_MAX: usize = 255;

/// The longest body of a response that is read: it has three bytes more than the prefix, and whatever a
/// later version of the service adds.
pub const RESPONSE_BYTES_MAX: usize = 1024;

/// The field of the request that names the service.
const SERVICE: u32 = 1;

/// The field of the response that says how it is.
const STATUS: u32 = 1;

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServingStatus {
    /// It does not know, or says something that we do not know.
    Unknown,
    /// It is serving: the only one that is healthy.
    Serving,
    /// It is there, and not serving.
    NotServing,
    /// There is no such service (only from `Watch`; `Check` ends with the status `NOT_FOUND`).
    ServiceUnknown,
}

impl ServingStatus {
    /// As the service writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

/// The body of the request about a service, or about the whole server if that is empty.
///
/// # Errors
///
/// The name has more than [`SERVICE_BYTES_MAX`] bytes.
pub fn request(service: &str) -> Result<Vec<u8>, Malformed> {
    if service.len() > SERVICE_BYTES_MAX {
        return Err(Malformed::TooLarge);
    }
    let (mut message, mut body) = (Vec::new(), Vec::new());
    // What is empty is left out, by proto3.
    if !service.is_empty() {
        write_text(SERVICE, service, &mut message);
    }
    message::write(&message, &mut body)?;
    Ok(body)
}

/// What the whole body of a response says.
///
/// # Errors
///
/// It is not one message of at most [`RESPONSE_BYTES_MAX`] bytes with its prefix, or not in protobuf.
pub fn response(body: &[u8]) -> Result<ServingStatus, Malformed> {
    let message = message::read_only(body, RESPONSE_BYTES_MAX - PREFIX_BYTES)?;
    let (mut fields, mut status) = (MessageFields(message), 0);
    while let Some((number, value)) = fields.next()? {
        // Of several the last one holds; an enum has 32 bits.
        if let (STATUS, FieldValue::Varint(value)) = (number, value) {
            status = value & u64::from(u32::MAX);
        }
    }
    Ok(match status {
        1 => ServingStatus::Serving,
        2 => ServingStatus::NotServing,
        3 => ServingStatus::ServiceUnknown,
        _ => ServingStatus::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_service_or_none() {
        assert_eq!(request("").unwrap(), b"\0\0\0\0\0");
        assert_eq!(request("a.B").unwrap(), b"\0\0\0\0\x05\x0a\x03a.B");
        let longest = request(&"s".repeat(SERVICE_BYTES_MAX)).unwrap();
        assert_eq!(longest[..8], *b"\0\0\0\x01\x02\x0a\xff\x01");
        assert_eq!(longest.len(), 5 + 258);
        assert_eq!(request(&"s".repeat(SERVICE_BYTES_MAX + 1)), Err(Malformed::TooLarge));
    }

    #[test]
    fn a_response_is_serving_only_if_it_says_so() {
        let rows = [
            (&b"\0\0\0\0\0"[..], ServingStatus::Unknown),
            (b"\0\0\0\0\x02\x08\x00", ServingStatus::Unknown),
            (b"\0\0\0\0\x02\x08\x01", ServingStatus::Serving),
            (b"\0\0\0\0\x02\x08\x02", ServingStatus::NotServing),
            (b"\0\0\0\0\x02\x08\x03", ServingStatus::ServiceUnknown),
            (b"\0\0\0\0\x02\x08\x04", ServingStatus::Unknown),
            (b"\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ServingStatus::Unknown),
            (b"\0\0\0\0\x04\x08\x02\x08\x01", ServingStatus::Serving),
            (b"\0\0\0\0\x06\x12\x02no\x08\x01", ServingStatus::Serving),
            (b"\0\0\0\0\x02\x10\x01", ServingStatus::Unknown),
            (b"\0\0\0\0\x03\x0a\x01\x01", ServingStatus::Unknown),
        ];
        for (body, expected) in rows {
            assert_eq!(response(body), Ok(expected), "{body:?}");
        }
    }

    #[test]
    fn a_response_that_is_none_is_refused() {
        let rows = [
            (&b""[..], Malformed::Truncated),
            (b"\0\0\0\0\x02\x08", Malformed::Truncated),
            (b"\x01\0\0\0\x02\x08\x01", Malformed::Compressed),
            (b"\0\0\0\0\x02\x08\x01\0\0\0\0\0", Malformed::Trailing),
            (b"\0\0\0\0\x01\x08", Malformed::Protobuf),
            (b"\0\0\0\x04\0", Malformed::TooLarge),
        ];
        for (body, expected) in rows {
            assert_eq!(response(body), Err(expected), "{body:?}");
        }
    }
}
