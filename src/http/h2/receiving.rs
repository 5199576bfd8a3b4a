//! What each frame means for a connection and its streams (RFC 9113 §6).

use super::budget::{Exhausted, SMALL_DATA_BYTES};
use super::closed::Closed;
use super::connection::{Connection, ConnectionError, Event, PartialBlock, Role, StreamKey};
use super::connection::{protocol, size};
use super::error_code::ErrorCode;
use super::frame::{Flags, FrameHead, FrameKind, number_31, unpadded};
use super::hpack::Fit;
use super::limits::CONTINUATIONS_MAX;
use super::section::{FieldSection, SectionLimits};
use super::stream::{
    Abort, Arrived, HEADS_COST, HEADS_MAX, Receiving, StreamState, declared_length, status,
};
use super::trailers;
use crate::reject::Reject;

impl Connection {
    pub(super) fn data(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Event, ConnectionError> {
        if head.stream == 0 {
            return Err(protocol("DATA on stream 0"));
        }
        let too_much = ConnectionError::new(
            ErrorCode::FlowControlError,
            "more DATA than the connection's window allows",
        );
        self.credit.receive(payload.len()).map_err(|_| too_much)?;
        // Whatever becomes of the stream: its siblings need the room.
        self.credit.release(payload.len());
        self.return_connection_credit();
        let bytes = unpadded(payload, head.flags).ok_or(protocol("more padding than DATA"))?;
        let ends = head.flags.has(Flags::END_STREAM);
        let is_empty = bytes.is_empty() && !ends;
        if is_empty {
            self.budgets.spend_control()?;
        }
        let Some(key) = self.key(head.stream) else {
            self.earn_late(bytes);
            return self.on_closed(head.stream, "DATA on a stream that has ended");
        };
        let stream = &mut self.streams[key.0];
        let refused = match stream.receiving {
            Receiving::Body if stream.credit.receive(payload.len()).is_err() => {
                Some(Abort::Broke(ErrorCode::FlowControlError))
            }
            Receiving::Body => stream.count(bytes.len(), ends).err(),
            Receiving::Head => Some(Abort::Broke(ErrorCode::ProtocolError)),
            Receiving::Ended => Some(Abort::Broke(ErrorCode::StreamClosed)),
            Receiving::Reset => {
                self.earn_late(bytes);
                return self.after_reset(key);
            }
        };
        if let Some(abort) = refused {
            return self.abort_stream(key, abort);
        }
        if !is_empty {
            self.budgets.earn_frame();
        }
        stream.queue.push(bytes);
        if ends {
            stream.receiving = Receiving::Ended;
        }
        let padding = payload.len() - bytes.len();
        if padding > 0 {
            // Nobody takes that: it must not fill the window while nothing else is there to be taken.
            stream.credit.release(padding);
            self.return_stream_credit(key);
        }
        Ok(Event::Changed(key))
    }

    pub(super) fn headers(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Event, ConnectionError> {
        if head.stream == 0 {
            return Err(protocol("HEADERS on stream 0"));
        }
        let mut block = unpadded(payload, head.flags).ok_or(protocol("more padding than block"))?;
        let mut depends_on = None;
        if head.flags.has(Flags::PRIORITY) {
            depends_on = number_31(block);
            block = block.get(5..).ok_or(size("HEADERS are too short for their priority"))?;
        }
        let ends = head.flags.has(Flags::END_STREAM);
        if !head.flags.has(Flags::END_HEADERS) {
            let bytes = block.to_vec();
            let partial = PartialBlock { stream: head.stream, ends, bytes, continuations: 0 };
            self.block = Some(Box::new(partial));
            return Ok(Event::Nothing);
        }
        let event = self.block(head.stream, ends, block)?;
        match self.key(head.stream) {
            Some(key) if depends_on == Some(head.stream) => {
                self.break_stream(key, ErrorCode::ProtocolError)?;
            }
            _ => {}
        }
        // A stream that was opened is held, whatever became of it: somebody has to let go of it.
        Ok(event)
    }

    pub(super) fn continuation(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Event, ConnectionError> {
        let Some(mut block) = self.block.take() else { return Ok(Event::Nothing) };
        block.continuations += 1;
        let is_too_long = block.bytes.len() + payload.len() > self.limits.block_bytes_max();
        if is_too_long || block.continuations > CONTINUATIONS_MAX {
            return Err(Exhausted::HeaderBlock.into());
        }
        block.bytes.extend_from_slice(payload);
        if head.flags.has(Flags::END_HEADERS) {
            return self.block(block.stream, block.ends, &block.bytes);
        }
        self.block = Some(block);
        Ok(Event::Nothing)
    }

    /// A header block has come whole. It is decoded whatever becomes of it: the blocks after it depend
    /// on that (RFC 9113 §4.3).
    fn block(&mut self, id: u32, ends: bool, block: &[u8]) -> Result<Event, ConnectionError> {
        let mut section = FieldSection::new();
        let fit = self.decoder.decode(block, &self.limits.section, &mut section).map_err(|_| {
            let reason = "a header block cannot be decompressed";
            ConnectionError::new(ErrorCode::CompressionError, reason)
        })?;
        let arrived = Arrived { section, fit, ends };
        match self.key(id) {
            Some(key) => self.section(key, arrived),
            None if self.role == Role::Server && id > self.last_theirs => self.open(id, arrived),
            None => self.on_closed(id, "HEADERS on a stream that has ended"),
        }
    }

    /// The peer opens a stream.
    fn open(&mut self, id: u32, arrived: Arrived) -> Result<Event, ConnectionError> {
        if id.is_multiple_of(2) {
            return Err(protocol("a client opens streams of odd numbers only"));
        }
        if self.is_too_late(id) {
            // It will try again elsewhere.
            self.budgets.spend_control()?;
            self.resets.late += 1;
            return Ok(Event::Nothing);
        }
        self.last_theirs = id;
        if self.streams.len() >= self.limits.streams_max as usize {
            self.budgets.spend_control()?;
            self.refuse(id);
            return Ok(Event::Nothing);
        }
        let mut stream = StreamState::new(id, self.limits.window_bytes, self.peer.initial_window);
        stream.expected = declared_length(&arrived.section);
        stream.receiving = if arrived.ends { Receiving::Ended } else { Receiving::Body };
        stream.push_head(arrived);
        let key = StreamKey(self.streams.insert(stream));
        self.ids.push((id, key));
        self.budgets.earn_frame();
        Ok(Event::Opened(key))
    }

    /// Whether the stream that the peer opens is to wait for the place of one that has ended, but the work on
    /// which has not. The peer does not count that one any more (RFC 9113 §5.1.2), while it takes its place
    /// here until the work is gone: however fast streams are reset, there is no more work than places.
    pub(super) fn is_to_wait(&self, id: u32) -> bool {
        let is_full = self.streams.len() >= self.limits.streams_max as usize;
        let is_new = self.role == Role::Server && id > self.last_theirs && !self.is_too_late(id);
        is_full && is_new && self.streams.iter().any(|(_, stream)| stream.is_closed())
    }

    /// A section of a stream that is held: an answer, or trailers.
    fn section(&mut self, key: StreamKey, arrived: Arrived) -> Result<Event, ConnectionError> {
        let stream = &mut self.streams[key.0];
        let refused = match stream.receiving {
            Receiving::Head if crowds(stream, &arrived, &self.limits.section) => {
                Err(Abort::Broke(ErrorCode::EnhanceYourCalm))
            }
            Receiving::Head => answer(stream, arrived),
            Receiving::Body => trailers(stream, arrived),
            Receiving::Ended => Err(Abort::Broke(ErrorCode::StreamClosed)),
            Receiving::Reset => return self.after_reset(key),
        };
        match refused {
            Ok(()) => {
                self.budgets.earn_frame();
                Ok(Event::Changed(key))
            }
            Err(abort) => self.abort_stream(key, abort),
        }
    }

    pub(super) fn priority(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Event, ConnectionError> {
        if head.stream == 0 {
            return Err(protocol("PRIORITY on stream 0"));
        }
        self.budgets.spend_control()?;
        let code = match (payload.len(), number_31(payload)) {
            (5, Some(depends_on)) if depends_on != head.stream => return Ok(Event::Nothing),
            (5, _) => ErrorCode::ProtocolError,
            _ => ErrorCode::FrameSizeError,
        };
        match self.key(head.stream) {
            Some(key) => self.break_stream(key, code),
            // A stream that does not exist cannot be reset.
            None => Err(ConnectionError::new(code, "PRIORITY is malformed")),
        }
    }

    pub(super) fn rst_stream(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Event, ConnectionError> {
        if head.stream == 0 {
            return Err(protocol("RST_STREAM on stream 0"));
        }
        let Ok(code) = payload.try_into().map(u32::from_be_bytes) else {
            return Err(size("RST_STREAM is not of 4 bytes"));
        };
        let Some(key) = self.key(head.stream) else {
            if self.is_idle(head.stream) {
                return Err(protocol("RST_STREAM on a stream that has not begun"));
            }
            self.budgets.spend_control()?;
            return Ok(Event::Nothing);
        };
        self.spend_reset()?;
        self.resets.theirs += 1;
        let code = ErrorCode::of(code);
        self.role.end(&mut self.streams[key.0], Abort::Reset(code));
        // Whatever its settings say: some servers count streams that were reset until they have cleaned up.
        self.is_full |= code == ErrorCode::RefusedStream && self.streams.len() > 1;
        Ok(Event::Changed(key))
    }

    pub(super) fn settings(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Event, ConnectionError> {
        if head.stream != 0 {
            return Err(protocol("SETTINGS on a stream"));
        }
        self.budgets.spend_control()?;
        if head.flags.has(Flags::ACK) {
            if !payload.is_empty() {
                return Err(size("an acknowledgement of SETTINGS is not empty"));
            }
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
            return Ok(Event::Nothing);
        }
        let before = self.peer.initial_window;
        let applied = self.peer.apply(payload, self.role == Role::Client);
        applied.map_err(|code| ConnectionError::new(code, "SETTINGS are not valid"))?;
        let change = i64::from(self.peer.initial_window) - i64::from(before);
        for (_, stream) in self.streams.iter_mut().take_while(|_| change != 0) {
            // As much work as a WINDOW_UPDATE for each.
            self.budgets.spend_control()?;
            stream.window.add(change).map_err(|_| {
                let reason = "SETTINGS make a window too large";
                ConnectionError::new(ErrorCode::FlowControlError, reason)
            })?;
        }
        self.control(FrameKind::Settings, Flags::ACK, 0, &[]);
        // Whoever waits must not be woken for nothing, again and again.
        let is_news = change > 0 || self.role == Role::Client;
        Ok(if is_news { Event::Settings } else { Event::Nothing })
    }

    pub(super) fn ping(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Event, ConnectionError> {
        if head.stream != 0 {
            return Err(protocol("PING on a stream"));
        }
        let Ok(bytes) = payload.try_into() else { return Err(size("PING is not of 8 bytes")) };
        self.budgets.spend_control()?;
        if head.flags.has(Flags::ACK) {
            return Ok(Event::Ponged(bytes));
        }
        self.control(FrameKind::Ping, Flags::ACK, 0, payload);
        Ok(Event::Nothing)
    }

    pub(super) fn go_away(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Event, ConnectionError> {
        if head.stream != 0 {
            return Err(protocol("GOAWAY on a stream"));
        }
        let (Some(last), Some(code)) = (number_31(payload), payload.get(4..8)) else {
            return Err(size("GOAWAY is shorter than 8 bytes"));
        };
        self.budgets.spend_control()?;
        let code = ErrorCode::of(number_32(code));
        self.leaving.theirs = Some(code);
        if self.role == Role::Client {
            let unseen = self.streams.iter_mut().filter(|(_, stream)| stream.id > last);
            unseen.for_each(|(_, stream)| stream.abort(Abort::Unprocessed));
        }
        Ok(Event::GoAway(code))
    }

    pub(super) fn window_update(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Event, ConnectionError> {
        let (4, Some(more)) = (payload.len(), number_31(payload)) else {
            return Err(size("WINDOW_UPDATE is not of 4 bytes"));
        };
        self.budgets.spend_credit()?;
        if head.stream == 0 {
            if more == 0 {
                return Err(protocol("WINDOW_UPDATE of 0"));
            }
            return match self.window.add(more.into()) {
                Ok(()) => Ok(Event::Credited),
                Err(_) => Err(ConnectionError::new(
                    ErrorCode::FlowControlError,
                    "WINDOW_UPDATE makes the window too large",
                )),
            };
        }
        let Some(key) = self.key(head.stream) else {
            if self.is_idle(head.stream) {
                return Err(protocol("WINDOW_UPDATE on a stream that has not begun"));
            }
            return Ok(Event::Nothing);
        };
        if more == 0 {
            return self.break_stream(key, ErrorCode::ProtocolError);
        }
        match self.streams[key.0].window.add(more.into()) {
            Ok(()) => Ok(Event::Changed(key)),
            Err(_) => self.break_stream(key, ErrorCode::FlowControlError),
        }
    }

    pub(super) fn key(&self, id: u32) -> Option<StreamKey> {
        let place = self.ids.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.ids[place].1)
    }

    /// Whether the peer has opened this stream before it knew that we take no more (RFC 9113 §6.8).
    fn is_too_late(&self, id: u32) -> bool {
        let is_theirs = self.role == Role::Server && !id.is_multiple_of(2);
        is_theirs && self.leaving.ours.is_some_and(|last| id > last)
    }

    /// Whether no stream of this number has begun.
    fn is_idle(&self, id: u32) -> bool {
        match (self.role, id % 2) {
            (Role::Server, 1) => id > self.last_theirs && !self.is_too_late(id),
            (Role::Client, 1) => id >= self.next_ours,
            // Nobody ever opens one of these.
            _ => true,
        }
    }

    /// A frame for a stream that is not held any more, or has never been.
    fn on_closed(&mut self, id: u32, reason: &'static str) -> Result<Event, ConnectionError> {
        if self.is_too_late(id) {
            return self.late();
        }
        if self.is_idle(id) {
            return Err(protocol("a frame on a stream that has not begun"));
        }
        match self.closed.how(id) {
            Some(Closed::ByUs) => self.late(),
            Some(Closed::ByPeer) => self.after_its_reset(id),
            None => Err(ConnectionError::new(ErrorCode::StreamClosed, reason)),
        }
    }

    /// A frame for a stream that is held, and was reset.
    fn after_reset(&mut self, key: StreamKey) -> Result<Event, ConnectionError> {
        let StreamState { id, abort, .. } = self.streams[key.0];
        if matches!(abort, Some(Abort::Reset(_))) { self.after_its_reset(id) } else { self.late() }
    }

    /// The peer has reset the stream, and should have known (RFC 9113 §5.1).
    fn after_its_reset(&mut self, id: u32) -> Result<Event, ConnectionError> {
        match self.role {
            Role::Server => self.budgets.spend_reset()?,
            Role::Client => self.budgets.spend_control()?,
        }
        self.reset_frame(id, ErrorCode::StreamClosed);
        Ok(Event::Nothing)
    }

    /// DATA has come for a stream that was reset. What crosses a reset may be much, in many frames: only small
    /// ones cost more than they bring.
    fn earn_late(&mut self, bytes: &[u8]) {
        if bytes.len() >= SMALL_DATA_BYTES {
            self.budgets.earn_frame();
        }
    }

    /// A frame that was sent before the peer knew that we had reset the stream.
    fn late(&mut self) -> Result<Event, ConnectionError> {
        self.budgets.spend_control()?;
        Ok(Event::Nothing)
    }

    /// Resets a stream for what the peer did. That costs as much as if the peer had (CVE-2025-8671).
    pub fn break_stream(
        &mut self,
        key: StreamKey,
        code: ErrorCode,
    ) -> Result<Event, ConnectionError> {
        self.abort_stream(key, Abort::Broke(code))
    }

    fn abort_stream(&mut self, key: StreamKey, abort: Abort) -> Result<Event, ConnectionError> {
        let code = if let Abort::Broke(code) = abort { code } else { ErrorCode::ProtocolError };
        self.spend_reset()?;
        self.reset(key, code, abort);
        Ok(Event::Changed(key))
    }
}

fn number_32(payload: &[u8]) -> u32 {
    payload.try_into().map_or(0, u32::from_be_bytes)
}

/// Whether the heads that have not been taken would hold too much with this one.
fn crowds(stream: &StreamState, arrived: &Arrived, limits: &SectionLimits) -> bool {
    let waiting: usize = stream.heads.iter().map(|head| head.section.cost_bytes()).sum();
    waiting > 0 && waiting + arrived.section.cost_bytes() > HEADS_COST * limits.bytes_max
}

/// The head of an answer, or an interim one.
fn answer(stream: &mut StreamState, arrived: Arrived) -> Result<(), Abort> {
    let status = status(&arrived.section);
    let is_interim = matches!(status, Some([b'1', _, _]));
    if is_interim && arrived.ends {
        return Err(Abort::Malformed(Reject::InterimEnds));
    }
    if stream.heads.len() == HEADS_MAX {
        return Err(Abort::Broke(ErrorCode::EnhanceYourCalm));
    }
    if !is_interim {
        // What a 304 announces it does not send (RFC 9110 §8.6).
        let is_bodiless = stream.answers_head || matches!(status, Some(b"204" | b"304"));
        stream.expected = if is_bodiless { Some(0) } else { declared_length(&arrived.section) };
        stream.receiving = if arrived.ends { Receiving::Ended } else { Receiving::Body };
        if arrived.ends {
            stream.count(0, true)?;
        }
    }
    stream.push_head(arrived);
    Ok(())
}

fn trailers(stream: &mut StreamState, arrived: Arrived) -> Result<(), Abort> {
    if !arrived.ends {
        return Err(Abort::Malformed(Reject::Trailer));
    }
    // One that was cut may have lost what matters.
    if arrived.fit != Fit::Whole {
        return Err(Abort::Malformed(Reject::TrailerTooLarge));
    }
    stream.count(0, true)?;
    trailers::check(&arrived.section).map_err(Abort::Malformed)?;
    stream.trailers = Some(Box::new(arrived.section));
    stream.receiving = Receiving::Ended;
    Ok(())
}
