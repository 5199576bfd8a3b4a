//! Frames as they are on the wire (RFC 9113 §4.1, §6).

use super::fields::{Fields, block, literal};

/// Types of frames (RFC 9113 §6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames (RFC 9113 §6).
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Error codes (RFC 9113 §7).
pub mod error {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const SETTINGS_TIMEOUT: u32 = 4;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const CONNECT_ERROR: u32 = 10;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
    pub const INADEQUATE_SECURITY: u32 = 12;
    pub const HTTP_1_1_REQUIRED: u32 = 13;
}

/// Names of settings (RFC 9113 §6.5.2, RFC 8441 §3).
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// One frame, valid or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    /// The whole word, with the reserved bit where a test sets it.
    pub stream: u32,
    pub payload: Vec<u8>,
    /// Of a received frame that ends a field section: the section.
    pub fields: Option<Fields>,
}

/// The length of a frame without its payload.
pub const HEADER_BYTES: usize = 9;

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into(), fields: None }
    }

    pub fn data(stream: u32, data: impl Into<Vec<u8>>) -> Self {
        Self::new(kind::DATA, 0, stream, data)
    }

    /// A whole field section, to which nothing is added or checked.
    pub fn headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(stream: u32, fields: &[(N, V)]) -> Self {
        Self::new(kind::HEADERS, flag::END_HEADERS, stream, block(fields))
    }

    /// The same section with these fields besides, as literals never to be indexed (RFC 7541 §6.2.3).
    pub fn with_never_indexed(mut self, fields: &[(&str, &str)]) -> Self {
        for (name, value) in fields {
            let literal = literal(name, value);
            self.payload.extend([&[literal[0] | 0x10][..], &literal[1..]].concat());
        }
        self
    }

    /// A dependency and a weight, which nobody looks at any more.
    pub fn priority(stream: u32, on: u32, weight: u8) -> Self {
        Self::new(kind::PRIORITY, 0, stream, [&on.to_be_bytes()[..], &[weight]].concat())
    }

    pub fn reset(stream: u32, code: u32) -> Self {
        Self::new(kind::RST_STREAM, 0, stream, code.to_be_bytes())
    }

    pub fn settings(settings: &[(u16, u32)]) -> Self {
        let pairs = settings.iter();
        let pairs = pairs.flat_map(|(name, value)| {
            [&name.to_be_bytes()[..], &value.to_be_bytes()].concat().into_iter()
        });
        Self::new(kind::SETTINGS, 0, 0, pairs.collect::<Vec<_>>())
    }

    pub fn settings_ack() -> Self {
        Self::new(kind::SETTINGS, flag::ACK, 0, [])
    }

    pub fn ping(payload: [u8; 8]) -> Self {
        Self::new(kind::PING, 0, 0, payload)
    }

    pub fn go_away(last_stream: u32, code: u32) -> Self {
        let payload = [last_stream.to_be_bytes(), code.to_be_bytes()].concat();
        Self::new(kind::GOAWAY, 0, 0, payload)
    }

    pub fn window_update(stream: u32, increment: u32) -> Self {
        Self::new(kind::WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
    }

    pub fn continuation(stream: u32, fragment: impl Into<Vec<u8>>) -> Self {
        Self::new(kind::CONTINUATION, 0, stream, fragment)
    }

    /// With more flags.
    pub fn with(self, flags: u8) -> Self {
        Self { flags: self.flags | flags, ..self }
    }

    /// Without these flags.
    pub fn without(self, flags: u8) -> Self {
        Self { flags: self.flags & !flags, ..self }
    }

    /// With `END_STREAM`.
    pub fn end(self) -> Self {
        self.with(flag::END_STREAM)
    }

    /// With this many bytes of padding.
    pub fn padded(self, length: u8) -> Self {
        let payload = [&[length][..], &self.payload, &vec![0; usize::from(length)]].concat();
        Self { payload, ..self.with(flag::PADDED) }
    }

    pub fn is(&self, kind: u8, stream: u32) -> bool {
        self.kind == kind && self.stream == stream
    }

    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The error code of `RST_STREAM` or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        self.word(at)
    }

    /// The 32-bit word at this place of the payload.
    pub fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }

    /// The settings of SETTINGS.
    pub fn pairs(&self) -> Vec<(u16, u32)> {
        let pairs = self.payload.chunks_exact(6);
        pairs
            .map(|pair| {
                let (name, value) = pair.split_at(2);
                (
                    u16::from_be_bytes(name.try_into().expect("two bytes")),
                    u32::from_be_bytes(value.try_into().expect("four bytes")),
                )
            })
            .collect()
    }

    /// The payload without padding and without the priority of HEADERS.
    pub fn content(&self) -> &[u8] {
        let mut content = &self.payload[..];
        if self.has(flag::PADDED) {
            let (length, rest) = content.split_first().expect("a length of padding");
            content = &rest[..rest.len() - usize::from(*length)];
        }
        if self.kind == kind::HEADERS && self.has(flag::PRIORITY) {
            content = &content[5..];
        }
        content
    }

    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a length").to_be_bytes();
        assert_eq!(length[0], 0, "a length of 24 bits");
        let header = [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes()].concat();
        [header, self.payload.clone()].concat()
    }

    /// The frame at the beginning of these bytes, and its length on the wire, once it is whole.
    pub fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let header = bytes.get(..HEADER_BYTES)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let end = HEADER_BYTES + usize::try_from(length).expect("a length");
        let payload = bytes.get(HEADER_BYTES..end)?;
        let stream = u32::from_be_bytes(header[5..].try_into().expect("four bytes"));
        Some((Self::new(header[3], header[4], stream, payload), end))
    }
}
