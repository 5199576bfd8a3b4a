//! What a collector says of spans that it has not taken (`ExportTraceServiceResponse` of
//! <https://github.com/open-telemetry/opentelemetry-proto>).

/// `partial_success`, a message.
const PARTIAL_SUCCESS: u64 = 1;

/// `rejected_spans` of that, a number.
const REJECTED_SPANS: u64 = 1;

/// How many spans the body of an answer says were rejected. What cannot be read says nothing.
pub(super) fn rejected_spans(body: &[u8]) -> u64 {
    let fields = |message| Fields { rest: message };
    let partial = fields(body).filter_map(|(number, value)| match value {
        Value::Bytes(message) if number == PARTIAL_SUCCESS => Some(message),
        _ => None,
    });
    let rejected = partial.flat_map(fields).filter_map(|(number, value)| match value {
        Value::Number(count) if number == REJECTED_SPANS => Some(count),
        _ => None,
    });
    // The last one counts, as in all of protobuf.
    rejected.last().unwrap_or_default()
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, up to what is none.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, length: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.bytes(8).map(|_| Value::Other)?,
            2 => {
                let length = self.number()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => self.bytes(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use prost::Message;

    use super::*;

    #[test]
    fn what_a_collector_rejects_is_read_and_what_is_none_says_nothing() {
        let message = |rejected_spans, error_message: &str| {
            let error_message = error_message.to_owned();
            let partial = ExportTracePartialSuccess { rejected_spans, error_message };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        for count in [0, 1, 127, 128, 1 << 40] {
            let body = message(count, "a reason");
            assert_eq!(rejected_spans(&body), u64::try_from(count).expect("positive"));
            for end in 0..body.len() {
                rejected_spans(&body[..end]);
            }
        }
        for body in [&b""[..], b"{}", b"<html>", &[0xff; 40], &[0x0a, 0xff, 0x01]] {
            assert_eq!(rejected_spans(body), 0, "{body:?}");
        }
        assert_eq!(rejected_spans(&[&[0x11; 9][..], &[0x1d; 5], &message(7, "")].concat()), 7);
    }
}
