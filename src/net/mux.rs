//! One HTTP/2 connection: one task reads, parses and writes for all of its streams.
//!
//! [`Mux::poll`] is that task's work. Streams, each in a task of its own, add to the output and take from
//! their queues ([`super::mux_stream`]); what they have added in one round of the worker's loop leaves in one write.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::deadline::{Activity, poll_others_first};
use super::freed::Freed;
use super::stream::{ReadHalf, Stream, WriteHalf, kind_of};
use super::stream_tasks::StreamTasks;
use super::turn::Turn;
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::http::h2::connection::{Connection, ConnectionError, Event, StreamKey};
use crate::http::h2::error_code::ErrorCode;
use crate::http::h2::hpack::Encoder;
use crate::http::h2::output::OUTPUT_BYTES_MAX;
use crate::http::h2::sending::TURN_BYTES;

/// From how many bytes on that wait to be written nothing more is read: what is read may have to be
/// answered.
const UNWRITTEN_BYTES_MAX: usize = 2 * OUTPUT_BYTES_MAX;

/// The beginning of a frame that is kept in memory of its own while the rest of it is waited for, in bytes.
const SETTLED_BYTES_MAX: usize = 4096;

/// A connection that many streams share.
pub struct Mux {
    stream: Stream,
    state: RefCell<State>,
    /// When bytes were last written.
    pub written: Activity,
}

pub(super) struct State {
    pub(super) connection: Connection,
    input: Buffer,
    /// Opened by the peer, and not told of yet.
    opened: VecDeque<StreamKey>,
    /// Who waits for what happens to the streams.
    pub(super) waiting: StreamTasks,
    /// The task of the connection.
    pub(super) driver: Option<Waker>,
    /// Set once nothing more is read.
    end: Option<MuxEnd>,
    /// Who waits for a stream to end.
    pub(super) freed: Option<Rc<Freed>>,
    /// How many frames have come.
    frames: u64,
    /// Whether the peer takes nothing more: it is read until it has ended.
    is_deaf: bool,
    turn: Turn,
    budgets_counted: Instant,
}

/// What the task of a connection has to deal with.
pub enum MuxEvent {
    /// The peer has opened a stream, which is held until somebody takes it and lets go of it.
    Opened(StreamKey),
    /// A ping of ours was answered.
    Ponged([u8; 8]),
    /// The peer opens no more streams, or takes no more.
    GoAway(ErrorCode),
    /// Nothing more will come, and what was to be written has been, as far as possible.
    Over(MuxEnd),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuxEnd {
    /// The peer ended it, or it broke.
    Broken(Kind),
    /// The peer broke a rule, and has been told.
    Failed(ConnectionError),
    /// All was done that there was to do, and the peer knows.
    Done,
}

impl Mux {
    /// Of a connection on which `input` has come already.
    pub fn new(stream: Stream, connection: Connection, input: Buffer) -> Rc<Self> {
        let state = State {
            connection,
            input,
            opened: VecDeque::new(),
            waiting: StreamTasks::default(),
            driver: None,
            end: None,
            freed: None,
            frames: 0,
            is_deaf: false,
            turn: Turn::default(),
            budgets_counted: Instant::now(),
        };
        Rc::new(Self { stream, state: RefCell::new(state), written: Activity::new() })
    }

    /// The connection below.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Both directions of it, for when its streams are done with it.
    pub fn halves(&self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        self.stream.halves()
    }

    /// The state machine, to look at.
    pub fn connection(&self) -> Ref<'_, Connection> {
        Ref::map(self.state.borrow(), |state| &state.connection)
    }

    /// The state machine, to do something: what that adds to the output is written.
    pub fn act<T>(&self, act: impl FnOnce(&mut Connection) -> T) -> T {
        let mut state = self.state.borrow_mut();
        let done = act(&mut state.connection);
        state.wake_driver();
        done
    }

    /// Opens a stream, if the peer takes one more now.
    pub(super) fn open_stream(
        &self,
        answers_head: bool,
        ends: bool,
        encode: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) -> Option<StreamKey> {
        let mut state = self.state.borrow_mut();
        let key = state.connection.open_stream(answers_head, ends, encode)?;
        state.wake_driver();
        Some(key)
    }

    /// Gives back what only work needs, if there is none.
    pub fn rest(&self) {
        let mut state = self.state.borrow_mut();
        if state.connection.streams() == 0 && state.opened.is_empty() {
            state.connection.rest();
            state.waiting = StreamTasks::default();
            state.opened = VecDeque::new();
        }
    }

    /// Opens no more streams. Those that there are go on, and another connection may take its place.
    pub fn retire(&self) {
        self.act(Connection::leave);
        self.state.borrow().tell_all_freed();
    }

    /// Whether streams can be opened on it, now or later.
    pub fn is_usable(&self) -> bool {
        let state = self.state.borrow();
        state.end.is_none() && state.connection.is_usable()
    }

    /// Has `freed` told of every stream that ends.
    pub fn tells(&self, freed: &Rc<Freed>) {
        self.state.borrow_mut().freed = Some(Rc::clone(freed));
    }

    /// How many frames have come so far.
    pub fn frames(&self) -> u64 {
        self.state.borrow().frames
    }

    /// Nothing more is read or written: every stream ends.
    pub fn end(&self, end: MuxEnd) {
        self.state.borrow_mut().finish(end);
    }

    /// The peer has broken a rule, and is told so: every stream ends.
    pub fn fail(&self, error: ConnectionError) {
        self.state.borrow_mut().fail(error);
    }

    /// Waits until no stream is held any more.
    pub fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        state.is_driven_by(cx.waker());
        if state.connection.streams() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Reads and writes until there is something to tell, or nothing to do.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<MuxEvent> {
        self.state.borrow_mut().is_driven_by(cx.waker());
        loop {
            let mut state = self.state.borrow_mut();
            #[cfg(any(test, fuzzing))]
            state.connection.check();
            if let Some(key) = state.opened.pop_front() {
                return Poll::Ready(MuxEvent::Opened(key));
            }
            match state.read(&self.stream, cx) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(event)) => return Poll::Ready(event),
                Poll::Pending => {
                    let written = self.write(&mut state, cx);
                    match (state.end, written) {
                        // Whatever is left is of no use to anybody.
                        (Some(end), Poll::Ready(_)) => return Poll::Ready(MuxEvent::Over(end)),
                        // What the peer has said before it left is still to be read.
                        (None, Poll::Ready(Err(_))) => state.give_up_writing(),
                        // There may be room to read again.
                        (None, Poll::Ready(Ok(true))) => {}
                        (_, Poll::Pending) | (None, Poll::Ready(Ok(false))) => {
                            // A block for the beginning of a frame would be more than it is worth.
                            if !state.input.is_empty() && state.input.len() < SETTLED_BYTES_MAX {
                                state.input.settle();
                            }
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
    }

    /// Writes what waits. Says whether reading had been held up by it.
    fn write(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<Result<bool, Kind>> {
        let was_full = state.is_full();
        if state.is_deaf {
            state.connection.output().clear();
            return Poll::Ready(Ok(false));
        }
        let (_, write) = self.stream.halves();
        while state.connection.output_bytes() > 0 {
            let written = write.poll_write(cx, state.connection.output().front());
            let count = match written {
                Poll::Pending => {
                    state.take_turns();
                    let reads_again = was_full && !state.is_full();
                    return if reads_again { Poll::Ready(Ok(true)) } else { Poll::Pending };
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Kind::Closed)),
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(kind_of(&error))),
            };
            state.connection.output().consume(count);
            self.written.touch();
        }
        state.take_turns();
        Poll::Ready(Ok(was_full))
    }

    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }
}

impl State {
    fn is_driven_by(&mut self, task: &Waker) {
        if !self.driver.as_ref().is_some_and(|known| known.will_wake(task)) {
            self.driver = Some(task.clone());
        }
    }

    pub(super) fn wake_driver(&self) {
        if let Some(driver) = &self.driver
            && self.connection.output_bytes() > 0
        {
            driver.wake_by_ref();
        }
    }

    fn is_full(&self) -> bool {
        self.connection.output_bytes() > UNWRITTEN_BYTES_MAX
    }

    /// Reads and takes in one frame. Ready with nothing if there may be more; pending if there is not, or
    /// nothing more is to be read.
    fn read(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<Option<MuxEvent>> {
        if self.end.is_some() || self.is_full() {
            return Poll::Pending;
        }
        if self.connection.counts_time() {
            let passed = self.budgets_counted.elapsed();
            if passed.as_secs() > 0 {
                self.connection.pass(passed);
                self.budgets_counted = Instant::now();
            }
        }
        if self.turn.is_over(self.connection.next_kind(&self.input)) {
            self.turn = Turn::default();
            poll_others_first(cx);
            return Poll::Pending;
        }
        let had = self.input.len();
        match self.connection.receive(&mut self.input) {
            Ok(Some(event)) => {
                self.frames += 1;
                self.turn.took_frame(had.saturating_sub(self.input.len()));
                Poll::Ready(self.tell(event))
            }
            Ok(None) if self.connection.is_held_back() => Poll::Pending,
            Ok(None) => self.fill(stream, cx),
            Err(error) => {
                self.fail(error);
                Poll::Pending
            }
        }
    }

    fn fill(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<Option<MuxEvent>> {
        let (read, _) = stream.halves();
        self.input.unsettle();
        let kind = match read.poll_read(cx, &mut self.input) {
            Poll::Pending => {
                self.turn = Turn::default();
                return Poll::Pending;
            }
            Poll::Ready(Ok(1..)) => return Poll::Ready(None),
            Poll::Ready(Ok(0)) => Kind::Closed,
            Poll::Ready(Err(error)) => kind_of(&error),
        };
        self.finish(MuxEnd::Broken(kind));
        Poll::Pending
    }

    fn tell(&mut self, event: Event) -> Option<MuxEvent> {
        match event {
            Event::Nothing => {}
            Event::Opened(key) => {
                self.turn.opened_stream();
                self.opened.push_back(key);
            }
            Event::Changed(key) => self.waiting.wake(key),
            Event::Credited => self.waiting.wake_all_for_room(),
            Event::Settings => {
                self.waiting.wake_all();
                self.tell_all_freed();
            }
            Event::Ponged(bytes) => return Some(MuxEvent::Ponged(bytes)),
            Event::GoAway(code) => {
                self.waiting.wake_all();
                // Another connection may take its place.
                self.tell_all_freed();
                return Some(MuxEvent::GoAway(code));
            }
        }
        None
    }

    pub(super) fn fail(&mut self, error: ConnectionError) {
        self.connection.fail(error);
        self.finish(MuxEnd::Failed(error));
    }

    pub(super) fn finish(&mut self, end: MuxEnd) {
        self.end.get_or_insert(end);
        self.connection.lose();
        // Nobody reads the rest of a frame, and whoever knows the connection may do so for long.
        self.input = Buffer::new();
        if let MuxEnd::Broken(_) = end {
            self.connection.output().clear();
        }
        self.waiting.wake_all();
        self.tell_all_freed();
    }

    /// The peer takes nothing more. What it has sent may say which streams it has not looked at.
    fn give_up_writing(&mut self) {
        self.is_deaf = true;
        self.connection.output().clear();
    }

    fn tell_all_freed(&self) {
        if let Some(freed) = &self.freed {
            freed.tell_all();
        }
    }

    /// Enough has been written for others to have their turn.
    fn take_turns(&mut self) {
        if self.connection.output_bytes() < TURN_BYTES {
            self.connection.begin_turn();
            self.waiting.wake_all_for_heads();
            if self.connection.is_credited() {
                self.waiting.wake_all_for_room();
            }
        }
    }
}
