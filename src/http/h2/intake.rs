//! Which frames are taken from what has been read.

use super::connection::{Connection, ConnectionError, Event, Greeting, protocol, size};
use super::frame::{Flags, FrameHead, FrameKind, HEAD_BYTES, PAYLOAD_BYTES_MAX, PREFACE};
use crate::buffer::Buffer;

/// How much of a frame of DATA is taken before the rest of it has come, in bytes, if the block it is read into is full:
/// it would be copied to the front, and the next read would be as much shorter. Less is copied.
const PART_BYTES_MIN: usize = 4096;

impl Connection {
    /// What kind of frame comes next, if that is known.
    pub fn next_kind(&self, input: &Buffer) -> Option<FrameKind> {
        self.rest.or_else(|| FrameHead::read(input.filled())).map(|head| head.kind)
    }

    /// Takes a frame from the front of `input`, if a whole one is there that need not wait, or a part of one that fills
    /// what is left of its block with DATA, and says what it has changed. After an error the connection is over: [`Connection::fail`] says so to the peer.
    pub fn receive(&mut self, input: &mut Buffer) -> Result<Option<Event>, ConnectionError> {
        if self.opening == Greeting::Preface && !self.take_preface(input)? {
            return Ok(None);
        }
        let head_bytes = if self.rest.is_some() { 0 } else { HEAD_BYTES };
        let next = self.rest.or_else(|| FrameHead::read(input.filled()));
        let Some(head) = next else { return Ok(None) };
        if self.opening == Greeting::Settings {
            let is_first = head.kind == FrameKind::Settings && !head.flags.has(Flags::ACK);
            if !is_first {
                return Err(protocol("the first frame is not SETTINGS"));
            }
        }
        // Before the payload is waited for: it would not fit.
        if head.length > PAYLOAD_BYTES_MAX {
            return Err(size("a frame is longer than 16 KiB"));
        }
        let length = head_bytes + head.length;
        if input.len() < length {
            return self.part(head, input);
        }
        self.is_held_back = head.kind == FrameKind::Headers && self.is_to_wait(head.stream);
        if self.is_held_back {
            return Ok(None);
        }
        let event = self.frame(head, &input.filled()[head_bytes..length])?;
        (self.opening, self.rest) = (Greeting::Done, None);
        input.consume(length);
        Ok(Some(event))
    }

    /// Takes what there is of a frame that is not whole, as a frame of its own, if that is worth it.
    fn part(
        &mut self,
        head: FrameHead,
        input: &mut Buffer,
    ) -> Result<Option<Event>, ConnectionError> {
        let is_data = head.kind == FrameKind::Data && !head.flags.has(Flags::PADDED);
        let is_apart = self.block.is_none() && self.rest.is_none();
        let here = input.len().saturating_sub(HEAD_BYTES);
        if !is_data || !is_apart || here < PART_BYTES_MIN || !input.is_at_end() {
            return Ok(None);
        }
        let part = FrameHead { length: here, flags: Flags::NONE, ..head };
        let event = self.frame(part, &input.filled()[HEAD_BYTES..])?;
        self.rest = Some(FrameHead { length: head.length - here, ..head });
        input.clear();
        Ok(Some(event))
    }

    fn take_preface(&mut self, input: &mut Buffer) -> Result<bool, ConnectionError> {
        let seen = input.len().min(PREFACE.len());
        if input.filled()[..seen] != PREFACE[..seen] {
            return Err(protocol("the connection does not begin with the preface"));
        }
        if seen < PREFACE.len() {
            return Ok(false);
        }
        input.consume(seen);
        self.opening = Greeting::Settings;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::buffer::BUFFER_BYTES;
    use crate::http::h2::connection::{Role, StreamKey};
    use crate::http::h2::limits::ConnectionLimits;
    use crate::http::h2::section::SectionLimits;
    use crate::http::h2::sending::Available;

    fn frame(kind: FrameKind, flags: Flags, stream: u32, payload: &[u8]) -> Vec<u8> {
        let head = FrameHead { length: payload.len(), kind, flags, stream };
        [&head.bytes(), payload].concat()
    }

    /// A server on which a stream has been opened.
    fn server() -> (Connection, StreamKey) {
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let limits = ConnectionLimits { streams_max: 1, window_bytes: 1 << 20, section };
        let mut connection = Connection::new(Role::Server, limits, 0, Rc::default());
        let settings = frame(FrameKind::Settings, Flags::NONE, 0, &[]);
        let head = frame(FrameKind::Headers, Flags::END_HEADERS, 1, b"\x83");
        let mut input = Buffer::new();
        input.append(&[&PREFACE[..], &settings, &head].concat());
        assert_eq!(connection.receive(&mut input), Ok(Some(Event::Nothing)));
        let Ok(Some(Event::Opened(key))) = connection.receive(&mut input) else { panic!() };
        (connection, key)
    }

    fn take(connection: &mut Connection, input: &mut Buffer) {
        while connection.receive(input).unwrap().is_some() {
            connection.check();
        }
    }

    #[test]
    fn data_that_fills_a_block_is_taken_before_its_frame_is_whole() {
        let data: Vec<u8> = (0..=250).cycle().take(5 * PAYLOAD_BYTES_MAX).collect();
        let frames: Vec<u8> = data
            .chunks(PAYLOAD_BYTES_MAX)
            .enumerate()
            .flat_map(|(place, piece)| {
                let flags = Flags::NONE.with(Flags::END_STREAM, place == 4);
                frame(FrameKind::Data, flags, 1, piece)
            })
            .collect();
        let ((mut connection, key), mut input) = (server(), Buffer::new());
        let first = input.append_read(&frames);
        assert_eq!(first, BUFFER_BYTES);
        take(&mut connection, &mut input);
        assert!(input.is_empty());
        assert_eq!(connection.body(key).len(), BUFFER_BYTES - 4 * HEAD_BYTES);
        assert_eq!(connection.next_kind(&input), Some(FrameKind::Data));
        input.append(&frames[first..frames.len() - 1]);
        take(&mut connection, &mut input);
        assert!(!connection.has_received(key));
        input.append(&frames[frames.len() - 1..]);
        take(&mut connection, &mut input);
        assert!(connection.has_received(key) && connection.body(key) == data);
        connection.consume(key, data.len());
        assert_eq!(connection.available(key), Available::End);
    }

    #[test]
    fn a_frame_that_does_not_fill_its_block_is_waited_for() {
        let ((mut connection, key), mut input) = (server(), Buffer::new());
        input.append(&frame(FrameKind::Data, Flags::NONE, 1, &[b'x'; 10_000])[..9000]);
        take(&mut connection, &mut input);
        assert_eq!((input.len(), connection.body(key).len()), (9000, 0));
    }

    #[test]
    fn a_part_that_breaks_a_rule_ends_the_connection() {
        let ((mut connection, _), mut input) = (server(), Buffer::new());
        let head = frame(FrameKind::Headers, Flags::NONE, 3, b"\x83");
        let filler = frame(FrameKind::Data, Flags::NONE, 1, &[b'x'; PAYLOAD_BYTES_MAX]).repeat(5);
        input.append(&head);
        input.append_read(&filler);
        assert_eq!(connection.receive(&mut input), Ok(Some(Event::Nothing)));
        assert!(connection.receive(&mut input).is_err());
    }
}
