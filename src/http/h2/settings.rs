//! SETTINGS (RFC 9113 §6.5, RFC 8441 §3): what each side can do.

use super::error_code::ErrorCode;
use super::flow::{WINDOW_BYTES, WINDOW_BYTES_MAX};
use super::frame::PAYLOAD_BYTES_MAX;

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
const NO_RFC7540_PRIORITIES: u16 = 0x9;

/// The largest payload that a setting can allow, in bytes (RFC 9113 §6.5.2).
const FRAME_SIZE_MAX: u32 = 0xff_ffff;

/// The length of one setting, in bytes.
pub const SETTING_BYTES: usize = 6;

/// What a peer allows, as far as it has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// How many streams of ours it takes at a time.
    pub streams_max: u32,
    /// What the window of each stream begins with, in bytes.
    pub initial_window: u32,
    /// The longest payload it takes, in bytes.
    pub payload_bytes_max: usize,
    /// Whether it takes extended CONNECT (RFC 8441 §3).
    pub takes_extended_connect: bool,
}

impl PeerSettings {
    /// Before the peer has said anything. How many streams it takes is unlimited by then (RFC 9113
    /// §6.5.2); one that says nothing soon is not taken at its word.
    pub const fn initial(streams_max: u32) -> Self {
        Self {
            streams_max,
            initial_window: WINDOW_BYTES,
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            takes_extended_connect: false,
        }
    }

    /// Takes the settings of a payload over, one after the other; unknown ones are ignored. Those of a server
    /// must not turn on what only it does: push.
    pub fn apply(&mut self, payload: &[u8], of_server: bool) -> Result<(), ErrorCode> {
        if !payload.len().is_multiple_of(SETTING_BYTES) {
            return Err(ErrorCode::FrameSizeError);
        }
        for setting in payload.chunks_exact(SETTING_BYTES) {
            let name = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            if of_server && (name, value) == (ENABLE_PUSH, 1) {
                return Err(ErrorCode::ProtocolError);
            }
            self.set(name, value)?;
        }
        Ok(())
    }

    fn set(&mut self, name: u16, value: u32) -> Result<(), ErrorCode> {
        match (name, value) {
            (MAX_CONCURRENT_STREAMS, _) => self.streams_max = value,
            (INITIAL_WINDOW_SIZE, _) if i64::from(value) > WINDOW_BYTES_MAX => {
                return Err(ErrorCode::FlowControlError);
            }
            (INITIAL_WINDOW_SIZE, _) => self.initial_window = value,
            (MAX_FRAME_SIZE, 16_384..=FRAME_SIZE_MAX) => self.payload_bytes_max = value as usize,
            // Once set it cannot be taken back (RFC 8441 §3).
            (ENABLE_CONNECT_PROTOCOL, 0) if self.takes_extended_connect => {
                return Err(ErrorCode::ProtocolError);
            }
            (ENABLE_CONNECT_PROTOCOL, 0..=1) => self.takes_extended_connect = value == 1,
            (ENABLE_PUSH, 2..) | (MAX_FRAME_SIZE | ENABLE_CONNECT_PROTOCOL, _) => {
                return Err(ErrorCode::ProtocolError);
            }
            // Our encoder has no table, and heads are as long as they are.
            _ => {}
        }
        Ok(())
    }
}

/// What we allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnSettings {
    /// How many streams of the peer's are taken at a time.
    pub streams_max: u32,
    /// What the window of each stream begins with, in bytes.
    pub initial_window: u32,
    /// What a field section may cost, in bytes ([`super::section::SectionLimits::bytes_max`]).
    pub section_bytes_max: usize,
}

impl OwnSettings {
    /// What a server says: extended CONNECT is taken, and the priorities of RFC 7540 are ignored
    /// (RFC 9218 §2.1).
    pub fn of_server(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(5 * SETTING_BYTES);
        put(&mut payload, MAX_CONCURRENT_STREAMS, self.streams_max);
        self.put_limits(&mut payload);
        put(&mut payload, ENABLE_CONNECT_PROTOCOL, 1);
        put(&mut payload, NO_RFC7540_PRIORITIES, 1);
        payload
    }

    /// What a client says: nothing is to be pushed.
    pub fn of_client(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(3 * SETTING_BYTES);
        put(&mut payload, ENABLE_PUSH, 0);
        self.put_limits(&mut payload);
        payload
    }

    fn put_limits(&self, payload: &mut Vec<u8>) {
        if self.initial_window != WINDOW_BYTES {
            put(payload, INITIAL_WINDOW_SIZE, self.initial_window);
        }
        let section_bytes_max = u32::try_from(self.section_bytes_max).unwrap_or(u32::MAX);
        put(payload, MAX_HEADER_LIST_SIZE, section_bytes_max);
    }
}

fn put(payload: &mut Vec<u8>, name: u16, value: u32) {
    payload.extend_from_slice(&name.to_be_bytes());
    payload.extend_from_slice(&value.to_be_bytes());
}

/// The size of its table that a decoder begins with, in bytes, unless SETTINGS say otherwise (RFC 9113
/// §6.5.2); we never do.
pub const TABLE_BYTES: usize = 4096;

const _: () = assert!(HEADER_TABLE_SIZE == 1);

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(name: u16, value: u32) -> Result<PeerSettings, ErrorCode> {
        let (mut settings, mut payload) = (PeerSettings::initial(100), Vec::new());
        put(&mut payload, name, value);
        settings.apply(&payload, false).map(|()| settings)
    }

    #[test]
    fn what_a_peer_says_is_taken_over() {
        assert_eq!(applied(MAX_CONCURRENT_STREAMS, 0).unwrap().streams_max, 0);
        assert_eq!(applied(INITIAL_WINDOW_SIZE, 0).unwrap().initial_window, 0);
        assert_eq!(applied(MAX_FRAME_SIZE, 16_385).unwrap().payload_bytes_max, 16_385);
        assert!(applied(ENABLE_CONNECT_PROTOCOL, 1).unwrap().takes_extended_connect);
        assert_eq!(applied(0xff, 7), Ok(PeerSettings::initial(100)));
        assert_eq!(applied(HEADER_TABLE_SIZE, 0), Ok(PeerSettings::initial(100)));
    }

    #[test]
    fn values_out_of_range_are_errors() {
        let rows = [
            (ENABLE_PUSH, 2, ErrorCode::ProtocolError),
            (INITIAL_WINDOW_SIZE, 0x8000_0000, ErrorCode::FlowControlError),
            (MAX_FRAME_SIZE, 16_383, ErrorCode::ProtocolError),
            (MAX_FRAME_SIZE, 0x100_0000, ErrorCode::ProtocolError),
            (ENABLE_CONNECT_PROTOCOL, 2, ErrorCode::ProtocolError),
        ];
        for (name, value, code) in rows {
            assert_eq!(applied(name, value), Err(code), "{name} {value}");
        }
        let mut settings = PeerSettings::initial(1);
        assert_eq!(settings.apply(&[0; 5], false), Err(ErrorCode::FrameSizeError));
    }

    #[test]
    fn extended_connect_cannot_be_taken_back() {
        let mut settings = applied(ENABLE_CONNECT_PROTOCOL, 1).unwrap();
        assert_eq!(settings.apply(&[0, 8, 0, 0, 0, 0], true), Err(ErrorCode::ProtocolError));
    }

    #[test]
    fn what_we_say_is_understood() {
        let ours = OwnSettings { streams_max: 7, initial_window: 8, section_bytes_max: 9 };
        let mut read = PeerSettings::initial(100);
        read.apply(&ours.of_server(), true).unwrap();
        assert_eq!((read.streams_max, read.initial_window), (7, 8));
        assert!(read.takes_extended_connect);
        read = PeerSettings::initial(100);
        read.apply(&ours.of_client(), false).unwrap();
        assert_eq!((read.streams_max, read.initial_window), (100, 8));
    }
}
