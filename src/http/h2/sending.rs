//! What we send on a connection: frames of streams, credit, and the end.

use super::budget::{CREDITED_BYTES, SMALL_DATA_BYTES};
use super::closed::Closed;
use super::connection::{Connection, ConnectionError, Role, StreamKey};
use super::error_code::ErrorCode;
use super::flow::GROWN_WINDOW_BYTES;
use super::frame::{Flags, FrameHead, FrameKind};
use super::hpack::Encoder;
use super::output::{PIECES_BYTES_MAX, Payloads};
use super::section::{FieldSection, NeverIndexed};
use super::stream::{Abort, Arrived, Receiving, Sending, StreamState};

/// The largest identifier of a stream (RFC 9113 §5.1.1).
const STREAM_MAX: u32 = 0x7fff_ffff;

/// What DATA a stream may add to the output at a time, in bytes: then it is another one's turn.
pub const TURN_BYTES: usize = PIECES_BYTES_MAX;

/// What there is of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Available {
    /// Bytes of it, in the queue.
    Bytes,
    /// Nothing yet.
    Nothing,
    /// Its end, after all bytes were taken.
    End,
    /// It was cut.
    Cut(Abort),
}

impl Connection {
    /// Opens a stream with the header block that `encode` writes, or says that none can be opened now.
    pub fn open_stream(
        &mut self,
        answers_head: bool,
        ends: bool,
        encode: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) -> Option<StreamKey> {
        if !self.can_open() {
            return None;
        }
        let id = self.next_ours;
        self.next_ours += 2;
        let mut stream = StreamState::new(id, self.limits.window_bytes, self.peer.initial_window);
        stream.answers_head = answers_head;
        let key = StreamKey(self.streams.insert(stream));
        self.ids.push((id, key));
        self.send_head(key, ends, encode);
        Some(key)
    }

    /// Whether the peer takes one more stream now.
    pub fn can_open(&self) -> bool {
        let has_room = self.streams.len() < self.peer.streams_max as usize && !self.is_full;
        self.is_usable() && has_room
    }

    /// Whether more streams can be opened, now or later.
    pub fn is_usable(&self) -> bool {
        let is_leaving = self.leaving.theirs.is_some() || self.leaving.ours.is_some();
        self.role == Role::Client && !is_leaving && self.next_ours <= STREAM_MAX
    }

    /// Whether the peer has said that it takes no streams, and has never been sent one.
    pub fn takes_none(&self) -> bool {
        self.peer.streams_max == 0 && self.next_ours == 1
    }

    /// The identifier of a stream.
    pub fn id(&self, key: StreamKey) -> u32 {
        self.streams[key.index()].id
    }

    /// Sends a header section: a head, or trailers.
    pub fn send_head(
        &mut self,
        key: StreamKey,
        ends: bool,
        encode: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) {
        let stream = &mut self.streams[key.index()];
        if stream.sending != Sending::Open {
            return;
        }
        if ends {
            stream.sending = Sending::Ended;
        }
        let id = stream.id;
        let mut block = Vec::with_capacity(256);
        self.encoder.begin(&mut block);
        encode(&mut self.encoder, &mut block);
        self.budgets.earn_frame();
        let (mut kind, mut first) = (FrameKind::Headers, Flags::NONE.with(Flags::END_STREAM, ends));
        let mut rest = &block[..];
        loop {
            let (piece, after) = rest.split_at(rest.len().min(self.peer.payload_bytes_max));
            let flags = first.with(Flags::END_HEADERS, after.is_empty());
            self.control(kind, flags, id, piece);
            (kind, first, rest) = (FrameKind::Continuation, Flags::NONE, after);
            if rest.is_empty() {
                return;
            }
        }
    }

    /// How many bytes of DATA a stream may send now.
    pub fn room(&self, key: StreamKey) -> usize {
        let stream = &self.streams[key.index()];
        if stream.sending != Sending::Open {
            return 0;
        }
        let (turn, used) = stream.turn;
        let left = if turn == self.turn { TURN_BYTES.saturating_sub(used) } else { TURN_BYTES };
        stream.window.room().min(self.window.room()).min(self.output.room()).min(left)
    }

    /// Whether the peer has given this stream credit, whatever the connection has.
    pub fn is_stream_credited(&self, key: StreamKey) -> bool {
        self.streams[key.index()].window.room() > 0
    }

    /// Sends as much of `bytes` as there is room for, and says how much that was. If that is all,
    /// `ends` says whether nothing follows.
    pub fn send_data(&mut self, key: StreamKey, bytes: &[u8], ends: bool) -> usize {
        let count = bytes.len().min(self.room(key));
        let (mut rest, is_last) = (&bytes[..count], ends && count == bytes.len());
        if self.has_sent(key) || (count == 0 && !is_last) {
            return 0;
        }
        let id = self.take_room(key, count, is_last);
        loop {
            let (piece, after) = rest.split_at(rest.len().min(self.peer.payload_bytes_max));
            let flags = Flags::NONE.with(Flags::END_STREAM, is_last && after.is_empty());
            self.control(FrameKind::Data, flags, id, piece);
            rest = after;
            if rest.is_empty() {
                return count;
            }
        }
    }

    /// Where up to `most` bytes of DATA can be read into, as far as there is room for them: nowhere, if there
    /// is none. What was read is sent by [`Connection::send_payloads`] before anything else is.
    pub fn payloads_mut(&mut self, key: StreamKey, most: usize) -> Payloads<'_> {
        match most.min(self.room(key)) {
            0 => Payloads::default(),
            most => self.output.payloads_mut(most, self.peer.payload_bytes_max),
        }
    }

    /// Sends the `count` bytes that were read so; `ends` if nothing follows.
    pub fn send_payloads(&mut self, key: StreamKey, count: usize, ends: bool) {
        if count == 0 {
            return self.output.trim();
        }
        let stream = self.take_room(key, count, ends);
        self.output.frames(count, self.peer.payload_bytes_max, |length, left| {
            let flags = Flags::NONE.with(Flags::END_STREAM, ends && left == 0);
            FrameHead { length, kind: FrameKind::Data, flags, stream }
        });
    }

    /// DATA is being sent on a stream, the last if `ends`. Returns its identifier.
    fn take_room(&mut self, key: StreamKey, count: usize, ends: bool) -> u32 {
        let stream = &mut self.streams[key.index()];
        let used = if stream.turn.0 == self.turn { stream.turn.1 } else { 0 };
        stream.turn = (self.turn, used + count);
        stream.window.take(count);
        self.window.take(count);
        if ends {
            stream.sending = Sending::Ended;
        }
        let id = stream.id;
        // Who gives credit by the byte has it from the budget.
        let is_dribbled = !ends && stream.window.room().min(self.window.room()) == 0;
        if count >= SMALL_DATA_BYTES || !is_dribbled {
            let pieces = count.div_ceil(CREDITED_BYTES).max(1);
            (0..pieces).for_each(|_| self.budgets.earn_credit());
        }
        id
    }

    /// Why a stream can send no more, if it was cut.
    pub fn abort_of(&self, key: StreamKey) -> Option<Abort> {
        self.streams[key.index()].abort
    }

    /// Whether all has been sent on it, or nothing more can be.
    pub fn has_sent(&self, key: StreamKey) -> bool {
        self.streams[key.index()].sending != Sending::Open
    }

    /// Whether the peer has said all, whether or not it was taken.
    pub fn has_received(&self, key: StreamKey) -> bool {
        self.streams[key.index()].receiving == Receiving::Ended
    }

    /// The next head that has come, if one has.
    pub fn take_head(&mut self, key: StreamKey) -> Option<Arrived> {
        self.streams[key.index()].heads.pop_front()
    }

    /// What there is of the body.
    pub fn available(&self, key: StreamKey) -> Available {
        let stream = &self.streams[key.index()];
        match (stream.queue.is_empty(), stream.receiving, stream.abort) {
            (false, ..) => Available::Bytes,
            (true, Receiving::Reset, abort) => Available::Cut(abort.unwrap_or(Abort::Dropped)),
            (true, Receiving::Ended, _) => Available::End,
            (true, Receiving::Head | Receiving::Body, _) => Available::Nothing,
        }
    }

    /// Bytes of the body, from its front.
    pub fn body(&self, key: StreamKey) -> &[u8] {
        self.streams[key.index()].queue.front()
    }

    /// Whether the body ends after its next `count` bytes, without trailers.
    pub fn ends_after(&self, key: StreamKey, count: usize) -> bool {
        let stream = &self.streams[key.index()];
        let is_all = stream.receiving == Receiving::Ended && stream.queue.len() == count;
        is_all && stream.trailers.is_none()
    }

    /// So many bytes of it have been taken. The peer may send as many more, if it has more to send.
    pub fn consume(&mut self, key: StreamKey, count: usize) {
        let stream = &mut self.streams[key.index()];
        stream.queue.consume(count);
        stream.credit.release(count);
        if stream.receiving != Receiving::Body {
            return;
        }
        stream.taken += count;
        let target = stream.credit.target();
        let drains = stream.queue.is_empty() && stream.taken >= target as usize;
        if drains && 2 * target <= GROWN_WINDOW_BYTES && self.allowance.take(target) {
            stream.credit.grow(2 * target);
            stream.taken = 0;
        }
        self.return_stream_credit(key);
    }

    pub(super) fn return_stream_credit(&mut self, key: StreamKey) {
        let stream = &mut self.streams[key.index()];
        if stream.receiving != Receiving::Body {
            return;
        }
        if let Some(more) = stream.credit.update() {
            let id = stream.id;
            self.control(FrameKind::WindowUpdate, Flags::NONE, id, &more.to_be_bytes());
        }
    }

    /// The trailers that ended the body, if there were any.
    pub fn take_trailers(&mut self, key: StreamKey) -> Option<Box<FieldSection>> {
        self.streams[key.index()].trailers.take()
    }

    /// Which fields of the trailers that have not been taken came as literals never to be indexed.
    pub fn never_indexed_trailers(&self, key: StreamKey) -> NeverIndexed {
        let trailers = self.streams[key.index()].trailers.as_ref();
        trailers.map_or(NeverIndexed::NONE, |trailers| trailers.never_indexed().clone())
    }

    /// Whether trailers have ended the body that have not been taken.
    pub fn has_trailers(&self, key: StreamKey) -> bool {
        self.streams[key.index()].trailers.is_some()
    }

    /// Ends a stream at once, and tells the peer.
    pub fn reset(&mut self, key: StreamKey, code: ErrorCode, abort: Abort) {
        let stream = &mut self.streams[key.index()];
        if stream.is_closed() {
            stream.abort(abort);
            return;
        }
        // Also what has come whole goes: nobody will ask for it, but for the head of a request, of which
        // there is something to tell.
        stream.receiving = Receiving::Reset;
        stream.abort(abort);
        if self.role == Role::Client {
            stream.heads.clear();
        }
        let id = stream.id;
        self.reset_frame(id, code);
    }

    /// Nobody holds the stream any more. What has not been sent of it ends with `code`; the peer is told
    /// not to send what it has not sent.
    pub fn release(&mut self, key: StreamKey, code: ErrorCode) {
        let stream = &mut self.streams[key.index()];
        let is_answered = self.role == Role::Server && stream.sending != Sending::Open;
        if is_answered && stream.owes_only_its_end() {
            // Some clients send END_STREAM in a frame of its own, and fail if they may not any more.
            stream.abort(Abort::Dropped);
            self.budgets.earn_stream();
        }
        if !stream.is_closed() {
            // All of the answer has been sent: the rest of the request is not needed (RFC 9113 §8.1).
            let unfinished = if is_answered { ErrorCode::NoError } else { code };
            self.reset(key, unfinished, Abort::Dropped);
        }
        let stream = self.streams.remove(key.index());
        self.allowance.give(stream.credit.target() - self.limits.window_bytes);
        if let Ok(place) = self.ids.binary_search_by_key(&stream.id, |(id, _)| *id) {
            self.ids.remove(place);
        }
        let was_refused = stream.abort == Some(Abort::Reset(ErrorCode::RefusedStream));
        self.is_full &= was_refused && !self.streams.is_empty();
        match stream.abort {
            None => self.budgets.earn_stream(),
            Some(Abort::Reset(_)) => self.closed.remember(stream.id, Closed::ByPeer),
            Some(_) => self.closed.remember(stream.id, Closed::ByUs),
        }
        self.say_leaving();
    }

    /// Has the peer open no more streams: the first of two steps (RFC 9113 §6.8). A ping shows when it must have
    /// read that. It has to be sent before, in the same write: some peers take nothing after GOAWAY, and lose what
    /// they have read together with it.
    pub fn announce_leaving(&mut self) {
        self.go_away_frame(STREAM_MAX, ErrorCode::NoError, "");
    }

    /// The second step: what the peer has opened by now is done, and nothing after it. A client has nothing to
    /// refuse: it says so once its streams have ended, since some servers (those on Python's h2) send nothing more
    /// after GOAWAY.
    pub fn leave(&mut self) {
        self.leaving.ours.get_or_insert(self.last_theirs);
        self.say_leaving();
    }

    fn say_leaving(&mut self) {
        let is_time = self.role == Role::Server || self.streams.is_empty();
        let Some(last) = self.leaving.ours.filter(|_| is_time && !self.leaving.is_said) else {
            return;
        };
        self.leaving.is_said = true;
        self.go_away_frame(last, ErrorCode::NoError, "");
    }

    /// Whether nothing more is taken, or opened.
    pub fn has_left(&self) -> bool {
        self.leaving.ours.is_some()
    }

    /// Whether the peer has said that it leaves.
    pub fn peer_leaves(&self) -> bool {
        self.leaving.theirs.is_some()
    }

    /// The peer broke a rule: it is told, and every stream ends.
    pub fn fail(&mut self, error: ConnectionError) {
        self.leaving.ours = Some(self.last_theirs);
        self.go_away_frame(self.last_theirs, error.code, error.reason);
        self.lose();
    }

    /// The connection is gone: every stream ends.
    pub fn lose(&mut self) {
        self.leaving.is_said = true;
        for (_, stream) in &mut self.streams {
            self.role.end(stream, Abort::ConnectionLost);
        }
    }

    /// Asks the peer for a sign of life.
    pub fn ping_peer(&mut self, bytes: [u8; 8]) {
        self.control(FrameKind::Ping, Flags::NONE, 0, &bytes);
    }

    pub(super) fn refuse(&mut self, id: u32) {
        self.closed.remember(id, Closed::ByUs);
        self.resets.refused += 1;
        self.reset_frame(id, ErrorCode::RefusedStream);
    }

    pub(super) fn reset_frame(&mut self, id: u32, code: ErrorCode) {
        self.resets.ours += 1;
        self.control(FrameKind::RstStream, Flags::NONE, id, &(code as u32).to_be_bytes());
    }

    pub(super) fn return_connection_credit(&mut self) {
        if let Some(more) = self.credit.update() {
            self.control(FrameKind::WindowUpdate, Flags::NONE, 0, &more.to_be_bytes());
        }
    }

    fn go_away_frame(&mut self, last: u32, code: ErrorCode, reason: &str) {
        let (last, code) = (last.to_be_bytes(), (code as u32).to_be_bytes());
        let parts: [&[u8]; 3] = [&last, &code, reason.as_bytes()];
        let length = 8 + reason.len();
        let (kind, flags) = (FrameKind::GoAway, Flags::NONE);
        self.output.frame(FrameHead { length, kind, flags, stream: 0 }, &parts);
    }

    pub(super) fn control(&mut self, kind: FrameKind, flags: Flags, stream: u32, payload: &[u8]) {
        self.output.frame(FrameHead { length: payload.len(), kind, flags, stream }, &[payload]);
    }
}
