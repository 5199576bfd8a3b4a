//! An endpoint of a world that speaks HTTP/2: one connection to it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;

use super::frames::{CODES, Frames, Lane, MAX_CONCURRENT_STREAMS, Said, WINDOWS, value};
use super::pipe::Pipe;
use super::plans::{Answer, Begins, Extent, Method};
use super::shared::{Shared, pause};
use crate::http::h2::error_code::ErrorCode;
use crate::net::memory::Memory;

/// How many streams it takes at a time.
const STREAMS: [u32; 4] = [1, 2, 5, 100];

/// A connection.
pub(super) struct Endpoint {
    shared: Rc<Shared>,
    frames: Frames,
    /// Where it notes what it may send.
    place: usize,
    serving: Vec<Serving>,
    /// How many streams it takes, and has said that it will take.
    streams_max: u32,
    announced: VecDeque<u32>,
    /// The last stream it has taken, and the last it takes.
    last: u32,
    last_taken: Option<u32>,
}

/// A request, and its answer.
#[expect(clippy::struct_excessive_bools, reason = "each may be true by itself")]
struct Serving {
    lane: Lane,
    /// Number and arrival.
    id: (usize, usize),
    answer: Answer,
    is_to_head: bool,
    has_come: bool,
    interim: usize,
    has_head: bool,
    sent: usize,
    has_sent: bool,
}

/// What becomes of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    Away(ErrorCode),
}

impl Endpoint {
    pub(super) fn new(shared: &Rc<Shared>, memory: Memory) -> Self {
        let choices = &shared.choices;
        let pipe = Pipe::new(memory, choices, shared.temper.piece_max);
        let streams_max = choices.of(&STREAMS);
        let frames = Frames::server(pipe, choices.of(&WINDOWS), streams_max);
        let (shared, announced) = (Rc::clone(shared), VecDeque::from([streams_max]));
        let place = shared.window_place();
        let (serving, last, last_taken) = (Vec::new(), 0, None);
        let streams_max = u32::MAX;
        Self { shared, frames, place, serving, streams_max, announced, last, last_taken }
    }

    pub(super) async fn run(mut self) {
        loop {
            while let Some(said) = self.frames.next() {
                self.take(said);
            }
            self.shared.note_window(self.place, Some(self.frames.whole().window));
            let choices = self.shared.choices.clone();
            let breaks = self.shared.temper.breaks && choices.one_in(300);
            let has_left = self.last_taken.is_some() && self.serving.is_empty();
            if self.frames.pipe.end().is_some() || breaks || has_left && choices.one_in(20) {
                break;
            }
            self.act();
            let is_busy = has_left || self.is_busy();
            let pipe = &mut self.frames.pipe;
            pause(&self.shared, is_busy, poll_fn(|cx| pipe.poll(cx))).await;
        }
        for serving in self.serving.drain(..) {
            self.shared.ledger.borrow_mut().arrival(serving.id).is_over = true;
        }
        self.shared.note_window(self.place, None);
        let resets = self.shared.choices.one_in(2);
        self.frames.pipe.leave(resets);
    }

    /// Does something.
    fn act(&mut self) {
        let choices = self.shared.choices.clone();
        if !self.serving.is_empty() {
            let place = choices.below(self.serving.len());
            self.speak(place);
        }
        if !self.serving.is_empty() {
            let place = choices.below(self.serving.len());
            let serving = &mut self.serving[place];
            if !serving.has_come {
                serving.lane.top_up(self.shared.temper.window_min, 200 + choices.below(5000));
                let count = serving.lane.due(&choices);
                self.frames.give_back(Some(&mut serving.lane), count);
            }
        }
        let count = self.frames.whole().due(&choices);
        self.frames.give_back(None, count);
        if self.frames.has_whim(&choices) {
            self.disturb();
        }
    }

    /// Whether there is more to do that needs nobody else.
    fn is_busy(&self) -> bool {
        let lacks = |serving: &Serving| {
            let lane = &serving.lane;
            !serving.has_come && (lane.owes() || lane.lacks(self.shared.temper.window_min) > 0)
        };
        let is_open = |serving| self.can_speak(serving) || lacks(serving);
        self.frames.whole().owes() || self.serving.iter().any(is_open)
    }

    fn can_speak(&self, serving: &Serving) -> bool {
        let is_due = serving.has_come || serving.answer.begins == Begins::AtOnce;
        let waits = serving.has_head && serving.sent < serving.answer.body;
        is_due && !serving.has_sent && (!waits || self.frames.room(&serving.lane) > 0)
    }

    /// Sends something of an answer, if there is one to be sent.
    fn speak(&mut self, place: usize) {
        let choices = self.shared.choices.clone();
        if self.serving[place].answer.is_refused {
            if self.can_speak(&self.serving[place]) && choices.one_in(8) {
                self.reset(place, ErrorCode::RefusedStream);
            }
            return;
        }
        if self.can_speak(&self.serving[place]) {
            let goes = self.serving[place].speak(&self.shared, &mut self.frames);
            if let Goes::Away(code) = goes {
                return self.reset(place, code);
            }
        }
        let serving = &self.serving[place];
        if serving.has_sent && !serving.has_come && choices.one_in(4) {
            // It needs no more of the request (RFC 9113 §8.1).
            self.reset(place, ErrorCode::NoError);
        } else {
            self.conclude(place);
        }
    }

    fn reset(&mut self, place: usize, code: ErrorCode) {
        let serving = self.serving.swap_remove(place);
        self.frames.reset(serving.lane.id, code);
        let mut ledger = self.shared.ledger.borrow_mut();
        let arrival = ledger.arrival(serving.id);
        arrival.is_over = true;
        arrival.is_disclaimed = code == ErrorCode::RefusedStream;
    }

    /// Lets go of a stream on which all is said.
    fn conclude(&mut self, place: usize) {
        let Serving { has_sent, has_come, id, .. } = self.serving[place];
        if has_sent && has_come {
            self.serving.swap_remove(place);
            self.shared.ledger.borrow_mut().arrival(id).is_over = true;
        }
    }

    /// Something that does not happen often.
    fn disturb(&mut self) {
        let choices = self.shared.choices.clone();
        match choices.below(4) {
            0 => self.frames.ping(),
            1 if self.leaves() && self.last_taken.is_none() => self.go_away(),
            _ => {
                let (initial, streams_max) = (choices.of(&WINDOWS), choices.of(&STREAMS));
                let settings = [(MAX_CONCURRENT_STREAMS, streams_max)];
                let more = self.frames.settings(&settings, initial);
                self.announced.push_back(streams_max);
                self.serving.iter_mut().for_each(|serving| serving.lane.granted += more);
            }
        }
    }

    fn leaves(&self) -> bool {
        self.shared.temper.breaks || self.shared.temper.refuses
    }

    /// Takes no more; nor some of what has come, of which nothing is known yet.
    fn go_away(&mut self) {
        let choices = &self.shared.choices;
        let begun = self.serving.iter().filter(|serving| serving.has_begun());
        let first = begun.map(|serving| serving.lane.id).max().unwrap_or(0);
        let last =
            if choices.one_in(2) { self.last } else { first.max(self.last.saturating_sub(2)) };
        self.last_taken = Some(last);
        self.frames.go_away(last, choices.of(&CODES));
        let mut ledger = self.shared.ledger.borrow_mut();
        self.serving.retain(|serving| {
            let is_taken = serving.lane.id <= last;
            if !is_taken {
                let arrival = ledger.arrival(serving.id);
                (arrival.is_over, arrival.is_disclaimed) = (true, true);
            }
            is_taken
        });
    }

    fn take(&mut self, said: Said) {
        let place = |id| self.serving.iter().position(|serving| serving.lane.id == id);
        match said {
            Said::Head { id, fields, ends } => match place(id) {
                Some(place) => self.end(place, value(&fields, "x-end") == Some("yes")),
                None if id > self.last => self.open(id, &fields, ends),
                None => {}
            },
            Said::Data { id, bytes, length, ends } => {
                let Some(place) = place(id) else { return };
                let serving = &mut self.serving[place];
                serving.lane.comes(length);
                self.shared.ledger.borrow_mut().comes(serving.id, &bytes);
                if ends {
                    self.end(place, false);
                }
            }
            Said::Reset { id, .. } => {
                let Some(place) = place(id) else { return };
                let serving = self.serving.swap_remove(place);
                self.shared.ledger.borrow_mut().arrival(serving.id).is_over = true;
            }
            Said::GoAway { code, reason, .. } => {
                assert_eq!(code, ErrorCode::NoError, "no rule was broken: {reason}");
            }
            Said::Credit { id, more } => {
                if let Some(place) = place(id) {
                    self.serving[place].lane.window += more;
                }
            }
            Said::Window { more } => {
                self.serving.iter_mut().for_each(|serving| serving.lane.window += more);
            }
            Said::Known { more } => {
                self.streams_max = self.announced.pop_front().expect("it was announced");
                self.serving.iter_mut().for_each(|serving| serving.lane.granted += more);
            }
            Said::Other => {}
        }
    }

    /// A request.
    fn open(&mut self, id: u32, fields: &[(String, String)], ends: bool) {
        if self.last_taken.is_some_and(|last| id > last) {
            return;
        }
        self.last = id;
        let announced = self.announced.iter().copied().max().unwrap_or(0);
        let streams_max = self.streams_max.max(announced) as usize;
        assert!(self.serving.len() < streams_max, "more than {streams_max} streams");
        let path = value(fields, ":path").expect("a path");
        let method = value(fields, ":method").expect("a method");
        let number = path[1..].parse().expect("a number");
        let answer = Answer::choose(&self.shared.choices, &self.shared.temper);
        let arrival = self.shared.ledger.borrow_mut().arrives(number, method, answer);
        self.serving.push(Serving {
            lane: self.frames.lane(id),
            id: (number, arrival),
            answer,
            is_to_head: method == Method::Head.name(),
            has_come: false,
            interim: answer.interim,
            has_head: false,
            sent: 0,
            has_sent: false,
        });
        if ends {
            self.end(self.serving.len() - 1, false);
        }
    }

    /// A request has come whole.
    fn end(&mut self, place: usize, has_trailers: bool) {
        let serving = &mut self.serving[place];
        serving.has_come = true;
        self.shared.ledger.borrow_mut().came_whole(serving.id, has_trailers);
        self.conclude(place);
    }
}

impl Serving {
    fn has_begun(&self) -> bool {
        self.has_head || self.interim < self.answer.interim
    }

    fn speak(&mut self, shared: &Shared, frames: &mut Frames) -> Goes {
        let (answer, choices) = (self.answer, &shared.choices);
        if self.interim > 0 {
            self.interim -= 1;
            frames.head(self.lane.id, &[(":status", "103"), ("x-interim", "yes")], false);
            return Goes::On;
        }
        if !self.has_head {
            if answer.extent == Extent::Cut(0) && choices.one_in(2) {
                // A refusal after an interim answer would be a lie.
                let may_refuse = answer.interim == 0 && choices.one_in(2);
                let code = choices.of(&CODES);
                return Goes::Away(if may_refuse { ErrorCode::RefusedStream } else { code });
            }
            self.has_head = true;
            let is_all = answer.body == 0 || self.is_to_head;
            self.send_head(frames, is_all);
            if is_all {
                self.has_sent = true;
                shared.ledger.borrow_mut().arrival(self.id).is_answered = true;
            }
            return Goes::On;
        }
        if answer.extent == Extent::Cut(self.sent) {
            return Goes::Away(choices.of(&CODES));
        }
        let until = if let Extent::Cut(at) = answer.extent { at } else { answer.body };
        let room = frames.room(&self.lane).min(until - self.sent).min(16_000);
        let count = if choices.one_in(2) { room } else { choices.below(room + 1) };
        let is_last = self.sent + count == answer.body;
        let mut ledger = shared.ledger.borrow_mut();
        if is_last && answer.has_trailers && room == 0 {
            frames.head(self.lane.id, &[("x-end", "yes")], true);
            self.has_sent = true;
        } else {
            self.has_sent = is_last && !answer.has_trailers && choices.one_in(2);
            if count == 0 && !self.has_sent {
                return Goes::On;
            }
            self.sent += count;
            let bytes = ledger.answer(self.id.0, self.id.1, self.sent - count, count);
            let padding = if choices.one_in(8) { choices.below(200) } else { 0 };
            let padding = u8::try_from(padding).unwrap_or(0);
            frames.data(&mut self.lane, &bytes, self.has_sent, padding);
        }
        let arrival = ledger.arrival(self.id);
        arrival.sent = self.sent;
        arrival.is_answered = self.has_sent;
        Goes::On
    }

    fn send_head(&self, frames: &mut Frames, ends: bool) {
        let Self { answer, id, .. } = self;
        let (status, arrival) = (answer.status.to_string(), id.1.to_string());
        let length = answer.body.to_string();
        let mut fields = vec![(":status", status.as_str()), ("x-arrival", &arrival)];
        if answer.is_declared {
            fields.push(("content-length", &length));
        }
        frames.head(self.lane.id, &fields, ends);
    }
}
