//! A message on a stream: a byte that says whether it is compressed, its length in four, and its bytes
//! (`Length-Prefixed-Message`).

/// The bytes before each message.
pub const PREFIX_BYTES: usize = 5;

/// Why a body is not one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It ends before a whole message has come.
    Truncated,
    /// The message is larger than what is accepted.
    TooLarge,
    /// The message is compressed, which nobody asked for.
    Compressed,
    /// The first byte says neither that it is compressed nor that it is not.
    Flags,
    /// Something follows the message.
    Trailing,
    /// It is not what protobuf allows.
    Protobuf,
}

/// Adds a message to a body.
///
/// # Errors
///
/// None is added that is larger than 4 GiB.
pub fn write(message: &[u8], body: &mut Vec<u8>) -> Result<(), Malformed> {
    let length = u32::try_from(message.len()).map_err(|_| Malformed::TooLarge)?;
    body.push(0);
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(message);
    Ok(())
}

/// The only message of a whole body, which may have so many bytes.
///
/// # Errors
///
/// The first thing that is wrong about it.
pub fn read_only(body: &[u8], bytes_max: usize) -> Result<&[u8], Malformed> {
    let (&[flags, length @ ..], message) =
        body.split_first_chunk::<PREFIX_BYTES>().ok_or(Malformed::Truncated)?;
    match flags {
        0 => {}
        1 => return Err(Malformed::Compressed),
        _ => return Err(Malformed::Flags),
    }
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| Malformed::TooLarge)?;
    if length > bytes_max {
        return Err(Malformed::TooLarge);
    }
    match message.len() {
        come if come < length => Err(Malformed::Truncated),
        come if come > length => Err(Malformed::Trailing),
        _ => Ok(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut body = Vec::new();
        write(b"abc", &mut body).unwrap();
        assert_eq!(body, b"\0\0\0\0\x03abc");
        assert_eq!(read_only(&body, 3), Ok(&b"abc"[..]));
        assert_eq!(read_only(b"\0\0\0\0\0", 0), Ok(&b""[..]));
    }

    #[test]
    fn a_body_that_is_not_one_message_is_refused() {
        let rows = [
            (&b""[..], Malformed::Truncated),
            (b"\0\0\0\0", Malformed::Truncated),
            (b"\0\0\0\0\x02a", Malformed::Truncated),
            (b"\0\0\0\0\x01ab", Malformed::Trailing),
            (b"\0\0\0\0\0\0\0\0\0\0", Malformed::Trailing),
            (b"\x01\0\0\0\x01a", Malformed::Compressed),
            (b"\x02\0\0\0\x01a", Malformed::Flags),
            (b"\0\0\0\0\x04abcd", Malformed::TooLarge),
            (b"\0\xff\xff\xff\xff", Malformed::TooLarge),
        ];
        for (body, expected) in rows {
            assert_eq!(read_only(body, 3), Err(expected), "{body:?}");
        }
    }
}
