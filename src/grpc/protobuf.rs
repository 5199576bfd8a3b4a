//! As much of protobuf's wire format as the health service takes
//! (<https://protobuf.dev/programming-guides/encoding/>).

use super::message::Malformed;

/// A number takes at most so many bytes.
const VARINT_BYTES_MAX: usize = 10;

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldValue {
    /// A number, or an enum.
    Varint(u64),
    /// Anything else, which is skipped.
    Skipped,
}

/// Adds a field of text.
pub(super) fn write_text(number: u32, text: &str, message: &mut Vec<u8>) {
    write_varint(u64::from(number) << 3 | 2, message);
    write_varint(text.len() as u64, message);
    message.extend_from_slice(text.as_bytes());
}

/// Adds a number.
pub(super) fn write_varint(mut value: u64, message: &mut Vec<u8>) {
    while value > 0x7f {
        message.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    message.push((value & 0x7f) as u8);
}

/// The fields of a message, in their order.
pub(super) struct MessageFields<'a>(pub(super) &'a [u8]);

impl MessageFields<'_> {
    /// The next one: its number and its value.
    pub(super) fn next(&mut self) -> Result<Option<(u32, FieldValue)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed::Protobuf)?;
        let value = match tag & 7 {
            0 => FieldValue::Varint(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let length = self.varint()?;
                self.skip(length)?
            }
            5 => self.skip(4)?,
            // Groups, which proto3 does not have, and types that nothing has.
            _ => return Err(Malformed::Protobuf),
        };
        match tag >> 3 {
            0 => Err(Malformed::Protobuf),
            number => Ok(Some((number, value))),
        }
    }

    fn skip(&mut self, length: u64) -> Result<FieldValue, Malformed> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.0.len());
        self.0 = &self.0[length.ok_or(Malformed::Protobuf)?..];
        Ok(FieldValue::Skipped)
    }

    /// Bits above the 64th are ignored, as by other readers.
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (place, byte) in (0..).zip(self.0.iter().take(VARINT_BYTES_MAX)) {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.0 = &self.0[place + 1..];
                return Ok(value);
            }
        }
        Err(Malformed::Protobuf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(message: &[u8]) -> Result<Vec<(u32, FieldValue)>, Malformed> {
        let (mut fields, mut found) = (MessageFields(message), Vec::new());
        while let Some(field) = fields.next()? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut message = vec![8];
            write_varint(value, &mut message);
            assert_eq!(all(&message), Ok(vec![(1, FieldValue::Varint(value))]), "{message:?}");
        }
    }

    #[test]
    fn fields_of_every_type_are_passed_over() {
        let message =
            b"\x09\0\0\0\0\0\0\0\0\x12\x02hi\x1d\0\0\0\0\x22\0\xfa\xff\xff\xff\x0f\0\x28\x07";
        let skipped = [1, 2, 3, 4, (1 << 29) - 1].map(|number| (number, FieldValue::Skipped));
        let expected = [&skipped[..], &[(5, FieldValue::Varint(7))]].concat();
        assert_eq!(all(message), Ok(expected));
    }

    #[test]
    fn what_protobuf_does_not_allow_is_refused() {
        let rows = [
            &b"\x08"[..],
            b"\x08\x80",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x09\0\0\0\0\0\0\0",
            b"\x0a\x02a",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0b\x0c",
            b"\x0d\0\0\0",
            b"\x0e",
            b"\x0f",
            b"\0\0",
            b"\x88\x80\x80\x80\x10\0",
        ];
        for message in rows {
            assert_eq!(all(message), Err(Malformed::Protobuf), "{message:?}");
        }
    }
}
