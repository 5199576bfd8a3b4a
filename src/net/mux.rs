//! One HTTP/2 connection: one task reads, parses and writes for all of its streams.
//!
//! [`Mux::poll`] is that task's work. Streams, each in a task of its own, add to the output and take from
//! their queues through a [`MuxStream`]; what they have added in one round of the worker's loop leaves in
//! one write.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::deadline::Activity;
use super::stream::{ReadHalf, Stream, WriteHalf, kind_of};
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::http::h2::connection::{Connection, ConnectionError, Event, StreamKey};
use crate::http::h2::error_code::ErrorCode;
use crate::http::h2::hpack::Encoder;
use crate::http::h2::output::OUTPUT_BYTES_MAX;
use crate::http::h2::section::FieldSection;
use crate::http::h2::sending::{Available, TURN_BYTES};
use crate::http::h2::stream::{Abort, Arrived};

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

struct State {
    connection: Connection,
    input: Buffer,
    /// Opened by the peer, and not told of yet.
    opened: VecDeque<StreamKey>,
    /// The task of each stream, by its key.
    tasks: Vec<Option<Waker>>,
    /// Streams that wait for room in the output or for credit of the connection, in the order in which it
    /// will be their turn.
    waiting: VecDeque<StreamKey>,
    /// The task of the connection.
    driver: Option<Waker>,
    /// Set once nothing more is read.
    end: Option<MuxEnd>,
    budgets_counted: Instant,
}

/// What the task of a connection has to deal with.
pub enum MuxEvent {
    /// The peer has opened a stream.
    Opened(MuxStream),
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
            tasks: Vec::new(),
            waiting: VecDeque::new(),
            driver: None,
            end: None,
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

    /// Nothing more is read or written: every stream ends.
    pub fn end(&self, end: MuxEnd) {
        self.state.borrow_mut().finish(end);
    }

    /// Waits until no stream is held any more.
    pub fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        state.is_driven_by(cx.waker());
        if state.connection.streams() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Reads and writes until there is something to tell, or nothing to do.
    pub fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<MuxEvent> {
        self.state.borrow_mut().is_driven_by(cx.waker());
        loop {
            let mut state = self.state.borrow_mut();
            if let Some(key) = state.opened.pop_front() {
                drop(state);
                return Poll::Ready(MuxEvent::Opened(MuxStream::new(Rc::clone(self), key)));
            }
            match state.read(&self.stream, cx) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(event)) => return Poll::Ready(event),
                Poll::Pending => {
                    let written = self.write(&mut state, cx);
                    match (state.end, written) {
                        // Whatever is left is of no use to anybody.
                        (Some(end), Poll::Ready(_)) => return Poll::Ready(MuxEvent::Over(end)),
                        (None, Poll::Ready(Err(kind))) => state.finish(MuxEnd::Broken(kind)),
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

    fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }
}

impl State {
    fn is_driven_by(&mut self, task: &Waker) {
        if !self.driver.as_ref().is_some_and(|known| known.will_wake(task)) {
            self.driver = Some(task.clone());
        }
    }

    fn wake_driver(&self) {
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
        match self.connection.receive(&mut self.input) {
            Ok(Some(event)) => Poll::Ready(self.tell(event)),
            Ok(None) => self.fill(stream, cx),
            Err(error) => {
                self.connection.fail(error);
                self.finish(MuxEnd::Failed(error));
                Poll::Pending
            }
        }
    }

    fn fill(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<Option<MuxEvent>> {
        let (read, _) = stream.halves();
        self.input.unsettle();
        let kind = match read.poll_read(cx, &mut self.input) {
            Poll::Pending => return Poll::Pending,
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
            Event::Opened(key) => self.opened.push_back(key),
            Event::Changed(key) => self.wake(key),
            Event::Credited => self.wake_all_waiting(),
            Event::Ponged(bytes) => return Some(MuxEvent::Ponged(bytes)),
            Event::GoAway(code) => {
                self.wake_all();
                return Some(MuxEvent::GoAway(code));
            }
        }
        None
    }

    fn finish(&mut self, end: MuxEnd) {
        self.end.get_or_insert(end);
        self.connection.lose();
        if let MuxEnd::Broken(_) = end {
            self.connection.output().clear();
        }
        self.wake_all();
    }

    /// Enough has been written for others to have their turn.
    fn take_turns(&mut self) {
        if self.connection.output_bytes() < TURN_BYTES {
            self.connection.begin_turn();
            self.wake_all_waiting();
        }
    }

    fn wake_all_waiting(&mut self) {
        for key in std::mem::take(&mut self.waiting) {
            self.wake(key);
        }
    }

    fn wake_all(&mut self) {
        self.tasks.iter_mut().filter_map(Option::take).for_each(Waker::wake);
    }

    fn wake(&mut self, key: StreamKey) {
        if let Some(task) = self.tasks.get_mut(key.index()).and_then(Option::take) {
            task.wake();
        }
    }

    /// This task is woken by what happens to the stream.
    fn wait(&mut self, key: StreamKey, task: &Waker) {
        if self.tasks.len() <= key.index() {
            self.tasks.resize(key.index() + 1, None);
        }
        let known = &mut self.tasks[key.index()];
        if !known.as_ref().is_some_and(|known| known.will_wake(task)) {
            *known = Some(task.clone());
        }
    }
}

/// One stream, for whoever does the work on it. It ends when this is dropped.
pub struct MuxStream {
    mux: Rc<Mux>,
    key: StreamKey,
    /// What the peer is told if this is dropped before all has been sent.
    unfinished: Cell<ErrorCode>,
}

impl MuxStream {
    fn new(mux: Rc<Mux>, key: StreamKey) -> Self {
        Self { mux, key, unfinished: Cell::new(ErrorCode::InternalError) }
    }

    /// The connection it belongs to.
    pub fn mux(&self) -> &Rc<Mux> {
        &self.mux
    }

    /// Its identifier.
    pub fn id(&self) -> u32 {
        self.mux.connection().id(self.key)
    }

    /// The head that has come, if one has.
    pub fn take_head(&self) -> Option<Arrived> {
        self.mux.state().connection.take_head(self.key)
    }

    /// Waits for a head.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Arrived, Abort>> {
        let mut state = self.mux.state();
        if let Some(arrived) = state.connection.take_head(self.key) {
            return Poll::Ready(Ok(arrived));
        }
        if let Some(abort) = state.connection.abort_of(self.key) {
            return Poll::Ready(Err(abort));
        }
        state.wait(self.key, cx.waker());
        Poll::Pending
    }

    /// Waits for a part of the body, or its end.
    pub fn poll_available(&self, cx: &mut Context<'_>) -> Poll<Result<bool, Abort>> {
        let mut state = self.mux.state();
        match state.connection.available(self.key) {
            Available::Bytes => Poll::Ready(Ok(true)),
            Available::End => Poll::Ready(Ok(false)),
            Available::Cut(abort) => Poll::Ready(Err(abort)),
            Available::Nothing => {
                state.wait(self.key, cx.waker());
                Poll::Pending
            }
        }
    }

    /// Takes bytes of the body: as many as `take` says it has taken of those it is shown.
    pub fn take_body(&self, take: impl FnOnce(&[u8]) -> usize) -> usize {
        let mut state = self.mux.state();
        let count = take(state.connection.body(self.key));
        state.connection.consume(self.key, count);
        state.wake_driver();
        count
    }

    /// Writes what there is of the body to another connection, once, and takes what that took.
    pub fn poll_forward(
        &self,
        cx: &mut Context<'_>,
        to: &WriteHalf<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.mux.state();
        let written = to.poll_write(cx, state.connection.body(self.key));
        if let Poll::Ready(Ok(count)) = written {
            state.connection.consume(self.key, count);
            state.wake_driver();
        }
        written
    }

    /// Whether all of the body has been taken, and it was whole.
    pub fn has_ended(&self) -> bool {
        self.mux.connection().available(self.key) == Available::End
    }

    /// The trailers that ended the body, if there were any.
    pub fn take_trailers(&self) -> Option<Box<FieldSection>> {
        self.mux.state().connection.take_trailers(self.key)
    }

    /// Sends a head, or trailers; `ends` if nothing follows.
    pub fn send_head(&self, ends: bool, encode: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        self.mux.act(|connection| connection.send_head(self.key, ends, encode));
    }

    /// Waits until some of `bytes` can be sent, and says how many were. If that was all, `ends` says
    /// whether nothing follows.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        ends: bool,
    ) -> Poll<Result<usize, Abort>> {
        let mut state = self.mux.state();
        if let Some(abort) = state.connection.abort_of(self.key) {
            return Poll::Ready(Err(abort));
        }
        let count = state.connection.send_data(self.key, bytes, ends);
        if count > 0 || bytes.is_empty() {
            state.wake_driver();
            return Poll::Ready(Ok(count));
        }
        state.wait(self.key, cx.waker());
        if !state.waiting.contains(&self.key) {
            state.waiting.push_back(self.key);
        }
        Poll::Pending
    }

    /// Waits until the peer has given up the stream, or is gone.
    pub fn poll_aborted(&self, cx: &mut Context<'_>) -> Poll<Abort> {
        let mut state = self.mux.state();
        if let Some(abort) = state.connection.abort_of(self.key) {
            return Poll::Ready(abort);
        }
        state.wait(self.key, cx.waker());
        Poll::Pending
    }

    /// Why it was cut, if it was.
    pub fn aborted(&self) -> Option<Abort> {
        self.mux.connection().abort_of(self.key)
    }

    /// Whether all has been sent.
    pub fn has_sent(&self) -> bool {
        self.mux.connection().has_sent(self.key)
    }

    /// Whether the peer has said all, whether or not it was taken.
    pub fn has_received(&self) -> bool {
        self.mux.connection().has_received(self.key)
    }

    /// What the peer is told if the stream ends before all has been sent.
    pub fn set_unfinished(&self, code: ErrorCode) {
        self.unfinished.set(code);
    }

    /// Ends the stream: the peer broke a rule.
    pub fn reset(&self, code: ErrorCode) {
        let mut state = self.mux.state();
        if let Err(error) = state.connection.break_stream(self.key, code) {
            state.connection.fail(error);
            state.finish(MuxEnd::Failed(error));
        }
        state.wake_driver();
    }

    /// Whether trailers have ended the body that have not been taken.
    pub fn has_trailers(&self) -> bool {
        self.mux.connection().has_trailers(self.key)
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        let code = self.unfinished.get();
        let mut state = self.mux.state();
        state.connection.release(self.key, code);
        if let Some(task) = state.tasks.get_mut(self.key.index()) {
            *task = None;
        }
        state.waiting.retain(|key| *key != self.key);
        // Also if nothing is to be written: one less may make the connection idle.
        if let Some(driver) = &state.driver {
            driver.wake_by_ref();
        }
    }
}

/// What a stream's early end means for an exchange.
pub fn kind_of_abort(abort: Abort) -> Kind {
    match abort {
        Abort::Malformed(reject) => Kind::Rejected(reject),
        Abort::Reset(_)
        | Abort::Broke(_)
        | Abort::Dropped
        | Abort::Unprocessed
        | Abort::ConnectionLost => Kind::Reset,
    }
}
