//! One side of a connection, frame by frame.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::mem::take;
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use super::fields::{Decoder, Fields, value_of};
use super::frame::{Frame, error, flag, kind};
use crate::support::wire::Wire;

/// The bit of a stream's word that means nothing (RFC 9113 §4.1).
const RESERVED: u32 = 1 << 31;

/// Sends any frame, valid or not, and reads those of its peer. What a method waits for is taken out; frames
/// that came before it stay, to be waited for later.
pub struct RawPeer<S = TcpStream> {
    pub stream: S,
    held: Vec<u8>,
    waiting: VecDeque<Frame>,
    pub(super) decoder: Decoder,
    block: Vec<u8>,
    pings: u64,
}

/// A message as received.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Option<Fields>,
    /// The interim responses before it.
    pub interim: Vec<Fields>,
}

impl Message {
    pub fn field(&self, name: &str) -> Option<&str> {
        value_of(&self.fields, name)
    }

    pub fn status(&self) -> &str {
        self.field(":status").expect("a status")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl<S: Wire> RawPeer<S> {
    /// Over a connection on which nothing has been sent.
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            held: Vec::new(),
            waiting: VecDeque::new(),
            decoder: Decoder::default(),
            block: Vec::new(),
            pings: 0,
        }
    }

    pub fn send(&mut self, frame: Frame) {
        self.send_all([frame]);
    }

    /// Sends several frames in one write.
    pub fn send_all(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let bytes: Vec<_> = frames.into_iter().flat_map(|frame| frame.encode()).collect();
        self.send_bytes(bytes);
    }

    /// Sends bytes that need not be frames.
    pub fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("send");
        self.stream.flush().expect("send");
    }

    /// Sends a field section, which ends the message or not.
    pub fn send_fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        stream: u32,
        fields: &[(N, V)],
        ends: bool,
    ) {
        let frame = Frame::headers(stream, fields);
        self.send(if ends { frame.end() } else { frame });
    }

    /// Exchanges and acknowledges SETTINGS.
    pub(super) fn settle(&mut self, settings: &[(u16, u32)]) {
        self.send(Frame::settings(settings));
        self.until("SETTINGS", |frame| frame.kind == kind::SETTINGS && !frame.has(flag::ACK));
        self.send(Frame::settings_ack());
        self.until("their ack", |frame| frame.kind == kind::SETTINGS && frame.has(flag::ACK));
    }

    /// The next frame of all; `None` if the connection ends before.
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.waiting.pop_front().or_else(|| self.receive())
    }

    /// The next frame for which this holds.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Frame) -> bool) -> Frame {
        self.find(&holds).unwrap_or_else(|| {
            panic!("the connection ends before {what}; frames: {:?}", self.waiting)
        })
    }

    /// The same; `None` if the connection ends before.
    pub fn find(&mut self, holds: impl Fn(&Frame) -> bool) -> Option<Frame> {
        if let Some(at) = self.waiting.iter().position(&holds) {
            return self.waiting.remove(at);
        }
        loop {
            let frame = self.receive()?;
            if holds(&frame) {
                return Some(frame);
            }
            self.waiting.push_back(frame);
        }
    }

    /// Whether a frame has come, and not been waited for yet, for which this holds.
    pub fn has_come(&self, holds: impl Fn(&Frame) -> bool) -> bool {
        self.waiting.iter().any(holds)
    }

    /// Waits for `RST_STREAM` with this code.
    pub fn expect_reset(&mut self, stream: u32, code: u32) {
        let frame = self
            .until("RST_STREAM", |frame| frame.is(kind::RST_STREAM, stream) || is_failure(frame));
        assert_eq!((frame.kind, frame.code()), (kind::RST_STREAM, code), "{frame:?}");
    }

    /// Waits for GOAWAY with this code; the last stream that it names.
    pub fn expect_goaway(&mut self, code: u32) -> u32 {
        let frame = self.until("GOAWAY", |frame| frame.kind == kind::GOAWAY);
        assert_eq!(frame.code(), code, "{frame:?}");
        assert_eq!(frame.stream, 0);
        frame.word(0)
    }

    /// Waits for GOAWAY with this code, and for the end of the connection.
    pub fn expect_connection_error(&mut self, code: u32) {
        self.expect_goaway(code);
        self.expect_end();
    }

    /// Waits for the end of the connection, whatever comes before.
    pub fn expect_end(&mut self) {
        while let Some(frame) = self.receive() {
            self.waiting.push_back(frame);
        }
    }

    /// Has a PING answered: everything before has been processed, and the connection goes on.
    pub fn expect_alive(&mut self) {
        self.pings += 1;
        let payload = self.pings.to_be_bytes();
        self.send(Frame::ping(payload));
        let answer = self.until("the answer of PING", |frame| {
            frame.kind == kind::PING && frame.payload == payload || is_failure(frame)
        });
        assert_eq!(answer, Frame::ping(payload).with(flag::ACK));
    }

    /// Waits for a whole message on this stream, and grants the credit for it. `Err` is the code of
    /// `RST_STREAM`.
    pub fn message(&mut self, stream: u32) -> Result<Message, u32> {
        let mut message = Message { fields: self.section(stream)?, ..Message::default() };
        while message.field(":status").is_some_and(|status| status.starts_with('1')) {
            let interim = std::mem::replace(&mut message.fields, self.section(stream)?);
            message.interim.push(interim);
        }
        self.body(stream, &mut message)?;
        Ok(message)
    }

    /// Waits for the next field section of this stream. If it ends the message, an empty DATA with
    /// `END_STREAM` is put in its place, so that there is one way to see the end.
    pub fn section(&mut self, stream: u32) -> Result<Fields, u32> {
        let mut frame = self.part(stream)?;
        assert_eq!(frame.kind, kind::HEADERS, "{frame:?}");
        while frame.fields.is_none() {
            let ends = frame.has(flag::END_STREAM);
            frame = self.until("CONTINUATION", |frame| frame.is(kind::CONTINUATION, stream));
            frame.flags |= if ends { flag::END_STREAM } else { 0 };
        }
        if frame.has(flag::END_STREAM) {
            self.waiting.push_front(Frame::data(stream, []).end());
        }
        Ok(frame.fields.expect("a section"))
    }

    /// Reads the rest of a message whose first section has been read.
    pub fn body(&mut self, stream: u32, message: &mut Message) -> Result<(), u32> {
        loop {
            let frame = self.part(stream)?;
            if frame.kind == kind::HEADERS {
                self.waiting.push_front(frame);
                message.trailers = Some(self.section(stream)?);
                continue;
            }
            message.body.extend(frame.content());
            self.credit(&frame);
            if frame.has(flag::END_STREAM) {
                return Ok(());
            }
        }
    }

    /// Grants the credit for a frame of DATA again.
    pub fn credit(&mut self, data: &Frame) {
        let Ok(credit @ 1..) = u32::try_from(data.payload.len()) else { return };
        self.send(Frame::window_update(0, credit));
        if !data.has(flag::END_STREAM) {
            self.send(Frame::window_update(data.stream, credit));
        }
    }

    /// Lets a frame be the next that is waited for.
    pub(super) fn put_back(&mut self, frame: Frame) {
        self.waiting.push_front(frame);
    }

    /// The next HEADERS or DATA of a stream. `Err` is the code of `RST_STREAM`.
    fn part(&mut self, stream: u32) -> Result<Frame, u32> {
        let frame = self.until("more of a stream", |frame| {
            [kind::HEADERS, kind::DATA, kind::RST_STREAM].map(|kind| frame.is(kind, stream))
                != [false; 3]
                || is_failure(frame)
        });
        assert!(frame.kind != kind::GOAWAY, "{frame:?}");
        if frame.kind == kind::RST_STREAM { Err(frame.code()) } else { Ok(frame) }
    }

    /// Resets the connection.
    pub fn cut(self) {
        SockRef::from(self.stream.tcp()).set_linger(Some(Duration::ZERO)).expect("linger");
    }

    fn receive(&mut self) -> Option<Frame> {
        loop {
            if let Some((mut frame, length)) = Frame::decode(&self.held) {
                self.held.drain(..length);
                assert_eq!(frame.stream & RESERVED, 0, "{frame:?}");
                self.read_section(&mut frame);
                return Some(frame);
            }
            self.fill()?;
        }
    }

    fn read_section(&mut self, frame: &mut Frame) {
        match frame.kind {
            kind::HEADERS => self.block = frame.content().to_vec(),
            kind::PUSH_PROMISE => self.block = frame.content()[4..].to_vec(),
            kind::CONTINUATION => self.block.extend(&frame.payload),
            _ => return,
        }
        if frame.has(flag::END_HEADERS) {
            frame.fields = Some(self.decoder.decode(&take(&mut self.block)));
        }
    }

    /// Reads exactly these many bytes, which are not frames.
    pub fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.held.len() < count {
            self.fill()?;
        }
        Some(self.held.drain(..count).collect())
    }

    fn fill(&mut self) -> Option<()> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => {
                    self.held.extend_from_slice(&bytes[..count]);
                    return Some(());
                }
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => return None,
                    ErrorKind::Interrupted => {}
                    _ => panic!("waiting for a frame: {error}; frames: {:?}", self.waiting),
                },
            }
        }
    }
}

/// A GOAWAY that says that something went wrong.
fn is_failure(frame: &Frame) -> bool {
    frame.kind == kind::GOAWAY && frame.code() != error::NO_ERROR
}
