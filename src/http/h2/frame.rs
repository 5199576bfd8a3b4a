//! Frames as bytes (RFC 9113 §4 and §6): their heads, and what stands at fixed places of their payloads.

/// The length of a frame's head, in bytes.
pub const HEAD_BYTES: usize = 9;

/// The longest payload that we take, in bytes: the least that every peer may send (RFC 9113 §4.2), and
/// enough to amortise a head.
pub const PAYLOAD_BYTES_MAX: usize = 16_384;

/// What a client's connection begins with (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The last octet of a stream identifier is 31 bits; the first bit is reserved and ignored (RFC 9113 §4.1).
const STREAM_BITS: u32 = 0x7fff_ffff;

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A part of a body.
    Data,
    /// The beginning of a field section.
    Headers,
    /// A priority as RFC 7540 had it: ignored.
    Priority,
    /// The end of a stream, at once.
    RstStream,
    /// What its sender can do.
    Settings,
    /// A request of the server's own: never allowed here.
    PushPromise,
    /// A question that is answered with the same eight bytes.
    Ping,
    /// The beginning of the end of the connection.
    GoAway,
    /// Credit to send more.
    WindowUpdate,
    /// More of a field section.
    Continuation,
    /// An extension: ignored (RFC 9113 §5.5).
    Unknown(u8),
}

impl FrameKind {
    fn of(number: u8) -> Self {
        match number {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x2 => Self::Priority,
            0x3 => Self::RstStream,
            0x4 => Self::Settings,
            0x5 => Self::PushPromise,
            0x6 => Self::Ping,
            0x7 => Self::GoAway,
            0x8 => Self::WindowUpdate,
            0x9 => Self::Continuation,
            other => Self::Unknown(other),
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Data => 0x0,
            Self::Headers => 0x1,
            Self::Priority => 0x2,
            Self::RstStream => 0x3,
            Self::Settings => 0x4,
            Self::PushPromise => 0x5,
            Self::Ping => 0x6,
            Self::GoAway => 0x7,
            Self::WindowUpdate => 0x8,
            Self::Continuation => 0x9,
            Self::Unknown(other) => other,
        }
    }
}

/// The flags of a frame. What they mean depends on its kind; unknown ones are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// Of DATA and HEADERS: nothing follows on this stream.
    pub const END_STREAM: Self = Self(0x1);
    /// Of SETTINGS and PING: it is the answer.
    pub const ACK: Self = Self(0x1);
    /// Of HEADERS and CONTINUATION: the field section is whole.
    pub const END_HEADERS: Self = Self(0x4);
    /// Of DATA and HEADERS: the payload is padded.
    pub const PADDED: Self = Self(0x8);
    /// Of HEADERS: a priority comes first.
    pub const PRIORITY: Self = Self(0x20);

    /// Whether all flags of `other` are set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These, and those of `other` if `set`.
    #[must_use]
    pub fn with(self, other: Self, set: bool) -> Self {
        if set { Self(self.0 | other.0) } else { self }
    }
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The length of the payload, in bytes: 24 bits.
    pub length: usize,
    /// What it is.
    pub kind: FrameKind,
    /// Its flags.
    pub flags: Flags,
    /// The stream it belongs to; 0 is the connection.
    pub stream: u32,
}

impl FrameHead {
    /// Reads the head at the front of `bytes`, if it is whole.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEAD_BYTES>()?;
        let [length_1, length_2, length_3, kind, flags, stream @ ..] = *head;
        Some(Self {
            length: u32::from_be_bytes([0, length_1, length_2, length_3]) as usize,
            kind: FrameKind::of(kind),
            flags: Flags(flags),
            stream: u32::from_be_bytes(stream) & STREAM_BITS,
        })
    }

    /// As it is written.
    #[expect(clippy::cast_possible_truncation, reason = "payloads are of 24 bits at the most")]
    pub fn bytes(self) -> [u8; HEAD_BYTES] {
        let [_, length_1, length_2, length_3] = (self.length as u32).to_be_bytes();
        let [stream_1, stream_2, stream_3, stream_4] = (self.stream & STREAM_BITS).to_be_bytes();
        let (kind, flags) = (self.kind.number(), self.flags.0);
        [length_1, length_2, length_3, kind, flags, stream_1, stream_2, stream_3, stream_4]
    }
}

/// The payload of a frame without its padding, or `None` if there is more padding than payload (RFC 9113
/// §6.1).
pub fn unpadded(payload: &[u8], flags: Flags) -> Option<&[u8]> {
    if !flags.has(Flags::PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.len().checked_sub(usize::from(*padding)).map(|length| &rest[..length])
}

/// A 32-bit number at the front of a payload, its first bit left out.
pub fn number_31(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) & STREAM_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let kinds = (0..=9).map(FrameKind::of).chain([FrameKind::Unknown(0xfe)]);
        for kind in kinds {
            let head = FrameHead { length: 0x01_02_03, kind, flags: Flags(0x25), stream: 7 };
            assert_eq!(FrameHead::read(&head.bytes()), Some(head));
        }
        assert_eq!(FrameHead::read(&[0; 8]), None);
    }

    #[test]
    fn the_reserved_bit_is_ignored() {
        let head = FrameHead::read(&[0, 0, 0, 0, 0, 0x80, 0, 0, 1]).unwrap();
        assert_eq!(head.stream, 1);
        assert_eq!(number_31(&[0xff; 4]), Some(0x7fff_ffff));
        assert_eq!(number_31(&[0; 3]), None);
    }

    #[test]
    fn padding_is_left_out_and_never_longer_than_the_payload() {
        let rows: &[(&[u8], Option<&[u8]>)] = &[
            (&[0, 7, 8], Some(&[7, 8])),
            (&[1, 7, 8], Some(&[7])),
            (&[2, 7, 8], Some(&[])),
            (&[3, 7, 8], None),
            (&[], None),
        ];
        for (payload, rest) in rows {
            assert_eq!(unpadded(payload, Flags::PADDED), *rest, "{payload:?}");
            assert_eq!(unpadded(payload, Flags::END_STREAM), Some(*payload));
        }
    }
}
