//! One HTTP/2 connection as a state machine (RFC 9113): what each frame means, without input or output.
//!
//! [`Connection::receive`] takes one frame at a time from what has been read, and says what has changed.
//! What there is to answer, and what streams send ([`super::sending`]), collects in [`Output`].

use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

use super::budget::{Budgets, Exhausted};
use super::closed::ClosedStreams;
use super::error_code::ErrorCode;
use super::flow::{Allowance, Credit, WINDOW_BYTES, Window};
use super::frame::{Flags, FrameHead, FrameKind, PREFACE};
use super::hpack::{Decoder, Encoder};
use super::limits::{CONNECTION_WINDOW_BYTES, ConnectionLimits};
use super::output::Output;
use super::settings::{PeerSettings, TABLE_BYTES};
use super::stream::{Abort, StreamState};

/// Which end of a connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer sends requests.
    Server,
    /// We do.
    Client,
}

impl Role {
    /// The peer sends no more on this stream. A part of an answer is of use to whoever waits for it, but a
    /// request that is cut goes no further.
    pub(super) fn end(self, stream: &mut StreamState, abort: Abort) {
        match self {
            Self::Server => stream.abort(abort),
            Self::Client => stream.cut(abort),
        }
    }
}

/// A stream of a connection, for as long as it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey(pub(super) usize);

impl StreamKey {
    /// Its place among the streams that are held, from 0 on.
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a frame has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing that anybody waits for.
    Nothing,
    /// The peer has opened a stream: it is held from now on.
    Opened(StreamKey),
    /// Something of this stream.
    Changed(StreamKey),
    /// Any stream may be able to send more.
    Credited,
    /// The peer's settings: any stream may be able to send more, or to be opened.
    Settings,
    /// A ping has been answered: one with these bytes.
    Ponged([u8; 8]),
    /// The peer opens no more streams, or takes no more: those it has not looked at were aborted.
    GoAway(ErrorCode),
}

/// Why a connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// What the peer is told.
    pub code: ErrorCode,
    /// What it did, in words of ours.
    pub reason: &'static str,
    /// What it has used up, if that is what it did.
    pub exhausted: Option<Exhausted>,
}

impl ConnectionError {
    /// One that has used nothing up.
    pub const fn new(code: ErrorCode, reason: &'static str) -> Self {
        Self { code, reason, exhausted: None }
    }
}

pub(super) const fn protocol(reason: &'static str) -> ConnectionError {
    ConnectionError::new(ErrorCode::ProtocolError, reason)
}

pub(super) const fn size(reason: &'static str) -> ConnectionError {
    ConnectionError::new(ErrorCode::FrameSizeError, reason)
}

impl From<Exhausted> for ConnectionError {
    fn from(exhausted: Exhausted) -> Self {
        let error = Self::new(ErrorCode::EnhanceYourCalm, exhausted.reason());
        Self { exhausted: Some(exhausted), ..error }
    }
}

/// What is awaited first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    Preface,
    Settings,
    Done,
}

/// A header block that has come in part.
#[derive(Debug)]
pub(super) struct PartialBlock {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) continuations: u32,
}

/// What is known of closing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Leaving {
    /// The last stream that the peer may count on, once we leave.
    pub(super) ours: Option<u32>,
    /// Whether the peer has been told that, or nobody is there to be told.
    pub(super) is_said: bool,
    /// The peer has said that it leaves.
    pub(super) theirs: Option<ErrorCode>,
}

/// Streams that were reset, or not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resets {
    /// By the peer, while they were held.
    pub theirs: u64,
    /// By us.
    pub ours: u64,
    /// Those of them that the peer opened while it had as many as it may.
    pub refused: u64,
    /// Those that it opened after we had said that we take no more: ignored.
    pub late: u64,
}

/// One connection.
pub struct Connection {
    pub(super) role: Role,
    pub(super) limits: ConnectionLimits,
    pub(super) peer: PeerSettings,
    pub(super) streams: Slab<StreamState>,
    /// The streams that are held, by their identifiers.
    pub(super) ids: Vec<(u32, StreamKey)>,
    pub(super) closed: ClosedStreams,
    /// The last stream the peer has opened.
    pub(super) last_theirs: u32,
    /// The next stream that we open.
    pub(super) next_ours: u32,
    pub(super) credit: Credit,
    pub(super) window: Window,
    pub(super) output: Output,
    pub(super) encoder: Encoder,
    pub(super) budgets: Budgets,
    pub(super) leaving: Leaving,
    pub(super) resets: Resets,
    /// What the windows of the streams may grow by.
    pub(super) allowance: Rc<Allowance>,
    /// Counts how often the output has been written: streams take turns.
    pub(super) turn: u64,
    pub(super) decoder: Decoder,
    pub(super) opening: Greeting,
    /// What is still to come of a frame of DATA, as if it were a frame of its own.
    pub(super) rest: Option<FrameHead>,
    /// The next frame waits until a stream is released.
    pub(super) is_held_back: bool,
    /// The peer has refused a stream beside others: it takes no more before one of them has ended.
    pub(super) is_full: bool,
    pub(super) block: Option<Box<PartialBlock>>,
    /// Our SETTINGS that the peer has not acknowledged.
    pub(super) unacknowledged: u32,
}

impl Connection {
    /// One that has just been opened; what we have to say first is in the output.
    pub fn new(
        role: Role,
        limits: ConnectionLimits,
        streams_max_at_first: u32,
        allowance: Rc<Allowance>,
    ) -> Self {
        let mut connection = Self {
            role,
            limits,
            peer: PeerSettings::initial(streams_max_at_first),
            streams: Slab::new(),
            ids: Vec::new(),
            closed: ClosedStreams::new(),
            last_theirs: 0,
            next_ours: 1,
            credit: Credit::new(WINDOW_BYTES),
            window: Window::new(WINDOW_BYTES),
            output: Output::new(),
            encoder: Encoder::new(),
            budgets: Budgets::default(),
            leaving: Leaving::default(),
            resets: Resets::default(),
            allowance,
            turn: 1,
            decoder: Decoder::new(TABLE_BYTES),
            opening: if role == Role::Server { Greeting::Preface } else { Greeting::Settings },
            rest: None,
            is_held_back: false,
            is_full: false,
            block: None,
            unacknowledged: 1,
        };
        connection.greet();
        connection
    }

    fn greet(&mut self) {
        let settings = match self.role {
            Role::Server => self.limits.settings().of_server(),
            Role::Client => {
                self.output.bytes(PREFACE);
                self.limits.settings().of_client()
            }
        };
        self.control(FrameKind::Settings, Flags::NONE, 0, &settings);
        self.credit.grow(CONNECTION_WINDOW_BYTES);
        self.return_connection_credit();
    }

    /// What is to be written.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// A stream that the peer has reset had lived so long that its reset explains itself.
    pub fn forgive_reset(&mut self) {
        self.budgets.earn_stream();
    }

    /// A reset of the peer's, or one that it is the cause of, costs. Not that of a stream which we have opened:
    /// there are only as many.
    pub(super) fn spend_reset(&mut self) -> Result<(), Exhausted> {
        match self.role {
            Role::Server => self.budgets.spend_reset(),
            Role::Client => Ok(()),
        }
    }

    /// What waited has been written, or most of it: every stream may add to it again.
    pub fn begin_turn(&mut self) {
        self.turn += 1;
    }

    /// How many bytes wait to be written.
    pub fn output_bytes(&self) -> usize {
        self.output.len()
    }

    /// Whether the peer has given the connection credit, whatever its streams have.
    pub fn is_credited(&self) -> bool {
        self.window.room() > 0
    }

    /// How many streams are held.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// What the peer allows.
    pub fn peer(&self) -> &PeerSettings {
        &self.peer
    }

    /// Gives back the room for streams, of which there are none.
    pub fn rest(&mut self) {
        if self.streams.is_empty() {
            self.streams = Slab::new();
            self.ids = Vec::new();
        }
    }

    /// Whether the peer has said its first words.
    pub fn is_open(&self) -> bool {
        self.opening == Greeting::Done
    }

    /// Whether the peer has acknowledged our SETTINGS.
    pub fn is_acknowledged(&self) -> bool {
        self.unacknowledged == 0
    }

    /// Whether a header block has come in part.
    pub fn is_amid_block(&self) -> bool {
        self.block.is_some()
    }

    /// How many streams were reset since this was last asked.
    pub fn take_resets(&mut self) -> Resets {
        std::mem::take(&mut self.resets)
    }

    /// Whether a stream was refused, or came too late, since that was last asked.
    pub fn has_refused(&self) -> bool {
        self.resets.refused + self.resets.late > 0
    }

    /// Whether time makes a difference to the peer's budgets.
    pub fn counts_time(&self) -> bool {
        self.budgets.is_spent_from()
    }

    /// Time has passed.
    pub fn pass(&mut self, time: Duration) {
        self.budgets.pass(time);
    }

    /// Whether the next frame is there and has to wait until a stream is released: nothing more is to be read
    /// before.
    pub fn is_held_back(&self) -> bool {
        self.is_held_back
    }

    pub(super) fn frame(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Event, ConnectionError> {
        if let Some(block) = &self.block {
            let goes_on = head.kind == FrameKind::Continuation && head.stream == block.stream;
            if !goes_on {
                return Err(protocol("a header block is interrupted"));
            }
            return self.continuation(head, payload);
        }
        match head.kind {
            FrameKind::Data => self.data(head, payload),
            FrameKind::Headers => self.headers(head, payload),
            FrameKind::Priority => self.priority(head, payload),
            FrameKind::RstStream => self.rst_stream(head, payload),
            FrameKind::Settings => self.settings(head, payload),
            FrameKind::PushPromise => Err(protocol("PUSH_PROMISE is never allowed")),
            FrameKind::Ping => self.ping(head, payload),
            FrameKind::GoAway => self.go_away(head, payload),
            FrameKind::WindowUpdate => self.window_update(head, payload),
            FrameKind::Continuation => Err(protocol("CONTINUATION without HEADERS")),
            FrameKind::Unknown(_) => {
                self.budgets.spend_control()?;
                Ok(Event::Nothing)
            }
        }
    }
}
