//! HTTP/2 as a peer in a world speaks it: frames, and accounts of its own of all credit.

use std::collections::VecDeque;

use super::choices::Choices;
use super::pipe::Pipe;
use crate::http::h2::error_code::ErrorCode;
use crate::http::h2::frame::{Flags, FrameHead, FrameKind, HEAD_BYTES, PREFACE, unpadded};
use crate::http::h2::hpack::{Decoder, Encoder};
use crate::http::h2::section::{FieldSection, SectionLimits};

/// What windows begin with (RFC 9113 §6.9.2).
const WINDOW_BYTES: i64 = 65_535;

pub(super) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;

/// What peers have the windows of streams begin with.
pub(super) const WINDOWS: [i64; 5] = [0, 1, 100, 65_535, 200_000];

/// How often a peer pings, or says other SETTINGS, on one connection: who never stops is taken for an attacker.
const WHIMS_MAX: usize = 30;

/// With which peers give up a stream, or a connection.
pub(super) const CODES: [ErrorCode; 4] =
    [ErrorCode::Cancel, ErrorCode::NoError, ErrorCode::InternalError, ErrorCode::EnhanceYourCalm];

/// What a peer takes.
const SECTION: SectionLimits = SectionLimits { bytes_max: 16_384, fields_max: 100 };

/// What the other side has said.
pub(super) enum Said {
    Head {
        id: u32,
        fields: Vec<(String, String)>,
        ends: bool,
    },
    Data {
        id: u32,
        bytes: Vec<u8>,
        length: usize,
        ends: bool,
    },
    Reset {
        id: u32,
        code: ErrorCode,
    },
    GoAway {
        last: u32,
        code: ErrorCode,
        reason: String,
    },
    Credit {
        id: u32,
        more: i64,
    },
    /// The windows of its streams begin with so much more.
    Window {
        more: i64,
    },
    /// The same of ours: it knows now.
    Known {
        more: i64,
    },
    Other,
}

/// The credit of a stream.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) id: u32,
    /// What we may send.
    pub(super) window: i64,
    /// What the other side may.
    pub(super) granted: i64,
    /// What has come and was not given back.
    pub(super) owed: usize,
}

/// One end of a connection.
pub(super) struct Frames {
    pub(super) pipe: Pipe,
    encoder: Encoder,
    decoder: Decoder,
    /// A header block that has come in part.
    block: Option<(u32, bool, Vec<u8>)>,
    lane: Lane,
    /// What the windows of streams begin with: of what we send, and of what the other side does.
    initial: i64,
    own_initial: i64,
    /// What ours will change by, for each SETTINGS that was not acknowledged.
    announced: VecDeque<i64>,
    /// How many streams the other side takes, once it has said so.
    pub(super) streams_max: Option<u32>,
    is_greeted: bool,
    /// How many more times it does what nothing asks for.
    whims: usize,
}

impl Frames {
    /// That of a client.
    pub(super) fn client(pipe: Pipe, initial: i64) -> Self {
        let mut frames = Self::new(pipe);
        frames.pipe.say(PREFACE);
        frames.is_greeted = true;
        frames.greet(&[], initial);
        frames
    }

    /// That of a server that takes so many streams.
    pub(super) fn server(pipe: Pipe, initial: i64, streams_max: u32) -> Self {
        let mut frames = Self::new(pipe);
        frames.greet(&[(MAX_CONCURRENT_STREAMS, streams_max)], initial);
        frames
    }

    fn new(pipe: Pipe) -> Self {
        Self {
            pipe,
            encoder: Encoder::new(),
            decoder: Decoder::new(4096),
            block: None,
            lane: Lane { id: 0, window: WINDOW_BYTES, granted: WINDOW_BYTES, owed: 0 },
            initial: WINDOW_BYTES,
            own_initial: WINDOW_BYTES,
            announced: VecDeque::new(),
            streams_max: None,
            is_greeted: false,
            whims: WHIMS_MAX,
        }
    }

    /// Whether it does something now that nothing asks for.
    pub(super) fn has_whim(&mut self, choices: &Choices) -> bool {
        let has_one = self.whims > 0 && choices.one_in(50);
        self.whims -= usize::from(has_one);
        has_one
    }

    fn greet(&mut self, settings: &[(u16, u32)], initial: i64) {
        self.settings(settings, initial);
    }

    /// Says what the windows of streams begin with from here on. More is in force at once, less when the
    /// other side knows; returns what that changes at once.
    pub(super) fn settings(&mut self, settings: &[(u16, u32)], initial: i64) -> i64 {
        let mut payload = Vec::new();
        let own = [(INITIAL_WINDOW_SIZE, u32::try_from(initial).expect("a window"))];
        for (name, value) in settings.iter().chain(&own) {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.frame(FrameKind::Settings, Flags::NONE, 0, &payload);
        let announced: i64 = self.announced.iter().sum();
        let more = initial - self.own_initial - announced;
        let (now, later) = (more.max(0), more.min(0));
        self.own_initial += now;
        self.announced.push_back(later);
        now
    }

    /// Has another stream begin.
    pub(super) fn lane(&self, id: u32) -> Lane {
        Lane { id, window: self.initial, granted: self.own_initial, owed: 0 }
    }

    /// What a stream may send now.
    pub(super) fn room(&self, lane: &Lane) -> usize {
        usize::try_from(lane.window.min(self.lane.window)).unwrap_or(0)
    }

    pub(super) fn head(&mut self, id: u32, fields: &[(&str, &str)], ends: bool) {
        let mut block = Vec::new();
        self.encoder.begin(&mut block);
        for (name, value) in fields {
            self.encoder.field(name.as_bytes(), value.as_bytes(), &mut block);
        }
        let flags = Flags::END_HEADERS.with(Flags::END_STREAM, ends);
        self.frame(FrameKind::Headers, flags, id, &block);
    }

    /// DATA, of which there may be as much as there is room for; with so much padding, if there is room.
    pub(super) fn data(&mut self, lane: &mut Lane, bytes: &[u8], ends: bool, padding: u8) {
        let mut flags = Flags::NONE.with(Flags::END_STREAM, ends);
        let mut payload = bytes.to_vec();
        if bytes.len() + 1 + usize::from(padding) <= self.room(lane) && padding > 0 {
            flags = flags.with(Flags::PADDED, true);
            payload.insert(0, padding);
            payload.resize(payload.len() + usize::from(padding), 0);
        }
        let length = i64::try_from(payload.len()).unwrap_or(i64::MAX);
        lane.window -= length;
        self.lane.window -= length;
        self.frame(FrameKind::Data, flags, lane.id, &payload);
    }

    pub(super) fn reset(&mut self, id: u32, code: ErrorCode) {
        self.frame(FrameKind::RstStream, Flags::NONE, id, &(code as u32).to_be_bytes());
    }

    pub(super) fn go_away(&mut self, last: u32, code: ErrorCode) {
        let payload = [last.to_be_bytes(), (code as u32).to_be_bytes()].concat();
        self.frame(FrameKind::GoAway, Flags::NONE, 0, &payload);
    }

    pub(super) fn ping(&mut self) {
        self.frame(FrameKind::Ping, Flags::NONE, 0, b"anybody?");
    }

    /// Gives credit back: that of a stream, or of the connection if there is none.
    pub(super) fn give_back(&mut self, lane: Option<&mut Lane>, count: usize) {
        let lane = lane.unwrap_or(&mut self.lane);
        let count = count.min(lane.owed);
        if count == 0 {
            return;
        }
        lane.owed -= count;
        lane.granted += i64::try_from(count).unwrap_or(0);
        let (id, more) = (lane.id, u32::try_from(count).unwrap_or(0));
        self.frame(FrameKind::WindowUpdate, Flags::NONE, id, &more.to_be_bytes());
    }

    /// The credit of the connection.
    pub(super) fn whole(&self) -> &Lane {
        &self.lane
    }

    fn frame(&mut self, kind: FrameKind, flags: Flags, stream: u32, payload: &[u8]) {
        let head = FrameHead { length: payload.len(), kind, flags, stream };
        self.pipe.say(&head.bytes());
        self.pipe.say(payload);
    }

    /// The next frame, if it has come whole.
    pub(super) fn next(&mut self) -> Option<Said> {
        if !self.is_greeted {
            let preface = self.pipe.input.get(..PREFACE.len())?;
            assert_eq!(preface, PREFACE);
            self.pipe.input.drain(..PREFACE.len());
            self.is_greeted = true;
        }
        let head = FrameHead::read(&self.pipe.input)?;
        assert!(head.length <= 16_384, "a frame of {} bytes", head.length);
        let end = HEAD_BYTES + head.length;
        let payload = self.pipe.input.get(HEAD_BYTES..end)?.to_vec();
        self.pipe.input.drain(..end);
        Some(self.take(head, &payload))
    }

    fn take(&mut self, head: FrameHead, payload: &[u8]) -> Said {
        let id = head.stream;
        let number = |at: usize| {
            payload[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff)
        };
        let is_block = matches!(head.kind, FrameKind::Headers | FrameKind::Continuation);
        assert!(self.block.is_none() || head.kind == FrameKind::Continuation);
        match head.kind {
            _ if is_block => self.take_block(head, payload),
            FrameKind::Data => {
                let length = i64::try_from(payload.len()).unwrap_or(i64::MAX);
                self.lane.granted -= length;
                assert!(length == 0 || self.lane.granted >= 0, "more than the connection takes");
                self.lane.owed += payload.len();
                let bytes = unpadded(payload, head.flags).expect("less padding").to_vec();
                let ends = head.flags.has(Flags::END_STREAM);
                Said::Data { id, bytes, length: payload.len(), ends }
            }
            FrameKind::RstStream => Said::Reset { id, code: ErrorCode::of(number(0)) },
            FrameKind::GoAway => Said::GoAway {
                last: number(0),
                code: ErrorCode::of(number(4)),
                reason: String::from_utf8_lossy(&payload[8..]).into_owned(),
            },
            FrameKind::WindowUpdate => {
                let more = i64::from(number(0));
                assert!(more > 0);
                if id == 0 {
                    self.lane.window += more;
                }
                Said::Credit { id, more }
            }
            FrameKind::Settings if head.flags.has(Flags::ACK) => {
                let more = self.announced.pop_front().expect("it was announced");
                self.own_initial += more;
                Said::Known { more }
            }
            FrameKind::Settings => self.take_settings(payload),
            FrameKind::Ping => {
                if !head.flags.has(Flags::ACK) {
                    self.frame(FrameKind::Ping, Flags::ACK, 0, payload);
                }
                Said::Other
            }
            kind => panic!("{kind:?} is never sent"),
        }
    }

    fn take_settings(&mut self, payload: &[u8]) -> Said {
        let mut more = 0;
        for setting in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            match name {
                MAX_CONCURRENT_STREAMS => self.streams_max = Some(value),
                INITIAL_WINDOW_SIZE => {
                    more += i64::from(value) - self.initial;
                    self.initial = value.into();
                }
                _ => {}
            }
        }
        self.frame(FrameKind::Settings, Flags::ACK, 0, &[]);
        Said::Window { more }
    }

    fn take_block(&mut self, head: FrameHead, payload: &[u8]) -> Said {
        let ends = head.flags.has(Flags::END_STREAM);
        let (id, ends, mut block) = self.block.take().unwrap_or((head.stream, ends, Vec::new()));
        assert_eq!(id, head.stream);
        block.extend_from_slice(unpadded(payload, head.flags).expect("less padding"));
        if !head.flags.has(Flags::END_HEADERS) {
            self.block = Some((id, ends, block));
            return Said::Other;
        }
        let mut section = FieldSection::new();
        self.decoder.decode(&block, &SECTION, &mut section).expect("a header block");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = section.iter().map(|(name, value)| (text(name), text(value))).collect();
        Said::Head { id, fields, ends }
    }
}

impl Lane {
    /// More is to be given than has come, if else there were none to speak of: less than `least`.
    pub(super) fn top_up(&mut self, least: i64, more: usize) {
        let lacks = self.lacks(least);
        if lacks > 0 {
            self.owed += more + usize::try_from(lacks).unwrap_or(0);
        }
    }

    /// How much less than `least` there is to be given.
    pub(super) fn lacks(&self, least: i64) -> i64 {
        least - self.granted - i64::try_from(self.owed).unwrap_or(0)
    }

    /// How much is given back now: mostly what is worth a frame. Peers that return every byte by itself break
    /// no rule, but are taken for those who attack.
    pub(super) fn due(&self, choices: &Choices) -> usize {
        match choices.below(16) {
            0 => choices.below(self.owed + 1),
            1..=3 => 0,
            _ if self.owes() => self.owed,
            _ => 0,
        }
    }

    /// Whether there is something to give back before the other side waits for it.
    pub(super) fn owes(&self) -> bool {
        self.owed > 0 && i64::try_from(self.owed).unwrap_or(i64::MAX) >= self.granted
    }

    /// DATA has come, of so many bytes, padding included.
    pub(super) fn comes(&mut self, length: usize) {
        let bytes = i64::try_from(length).unwrap_or(i64::MAX);
        assert!(bytes == 0 || self.granted >= bytes, "more than stream {} takes", self.id);
        self.granted -= bytes;
        self.owed += length;
    }
}

/// The value of a field, if it is there.
pub(super) fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
