//! The fuzz target of this room; see CONTRIBUTING.md.

use super::health::{RESPONSE_BYTES_MAX, SERVICE_BYTES_MAX, ServingStatus, request, response};

/// A response says what another reader finds in it, and nothing before it is whole; a request is read
/// back as it was written.
pub fn grpc_health(data: &[u8]) {
    let data = &data[..data.len().min(2 * RESPONSE_BYTES_MAX)];
    let said = response(data).ok();
    assert_eq!(said, reference(data), "{}", data.escape_ascii());
    if said.is_some() {
        for end in 0..data.len() {
            assert!(response(&data[..end]).is_err(), "after {end} bytes");
        }
    }
    let name = String::from_utf8_lossy(data);
    match request(&name) {
        Ok(body) => {
            let message = framed(&body).expect("a message");
            let expected: &[u8] = if name.is_empty() { b"" } else { name.as_bytes() };
            assert_eq!(text(message), expected);
        }
        Err(_) => assert!(name.len() > SERVICE_BYTES_MAX),
    }
}

fn framed(body: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = (body.get(..5)?, &body[5..]);
    let length = prefix[1..].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    (prefix[0] == 0 && length == message.len() && body.len() <= RESPONSE_BYTES_MAX)
        .then_some(message)
}

/// A number and what follows it, added up from its end.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(10).position(|byte| *byte < 0x80)?;
    let (digits, rest) = bytes.split_at(end + 1);
    let value = digits.iter().rev().fold(0u128, |sum, byte| sum << 7 | u128::from(byte & 0x7f));
    #[expect(clippy::cast_possible_truncation, reason = "protobuf has 64 bits")]
    Some((value as u64, rest))
}

/// The last status of a message that is well formed.
fn reference(body: &[u8]) -> Option<ServingStatus> {
    let (mut rest, mut status) = (framed(body)?, 0);
    while !rest.is_empty() {
        let (tag, after) = number(rest)?;
        let (value, length) = match tag % 8 {
            0 => (Some(number(after)?.0), after.len() - number(after)?.1.len()),
            1 => (None, 8),
            2 => {
                let (length, text) = number(after)?;
                (None, after.len() - text.len() + usize::try_from(length.min(4096)).ok()?)
            }
            5 => (None, 4),
            _ => return None,
        };
        if !(8..1 << 32).contains(&tag) {
            return None;
        }
        status = value.filter(|_| tag / 8 == 1).unwrap_or(status);
        rest = after.get(length..)?;
    }
    Some(match status % (1 << 32) {
        1 => ServingStatus::Serving,
        2 => ServingStatus::NotServing,
        3 => ServingStatus::ServiceUnknown,
        _ => ServingStatus::Unknown,
    })
}

/// The text of a message with this field only.
fn text(message: &[u8]) -> &[u8] {
    let Some((10, rest)) = number(message) else { return b"" };
    let (length, text) = number(rest).expect("a length");
    assert_eq!(length, text.len() as u64);
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn grpc_health() {
        crate::corpus::replay("grpc_health", 20_000, super::grpc_health);
    }
}
