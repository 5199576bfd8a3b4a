//! A client of a world that speaks HTTP/2: several requests at a time, their frames in any order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use super::frames::{CODES, Frames, Lane, Said, WINDOWS, value};
use super::ledger::{Answered, Outcome};
use super::pipe::Pipe;
use super::plans::{Ask, Extent};
use super::shared::{Shared, pause};
use crate::http::h2::error_code::ErrorCode;
use crate::net::deadline::Timer;
use crate::net::memory::Memory;

/// How long nothing comes when nothing more will.
const QUIET: Duration = Duration::from_millis(100);

/// A client.
pub(super) struct Client {
    shared: Rc<Shared>,
    frames: Frames,
    /// Requests that it has not sent yet.
    waiting: VecDeque<usize>,
    open: Vec<Open>,
    next: u32,
    /// Whether the other side takes no more.
    is_over: bool,
}

/// A stream.
struct Open {
    lane: Lane,
    number: usize,
    ask: Ask,
    sent: usize,
    has_sent: bool,
    answered: Option<Answered>,
    /// After how many more rounds it is reset.
    reset_in: Option<usize>,
}

impl Client {
    pub(super) fn new(shared: &Rc<Shared>, memory: Memory, numbers: Vec<usize>) -> Self {
        let choices = &shared.choices;
        let pipe = Pipe::new(memory, choices, shared.temper.piece_max);
        let frames = Frames::client(pipe, choices.of(&WINDOWS));
        let (shared, waiting) = (Rc::clone(shared), numbers.into());
        Self { shared, frames, waiting, open: Vec::new(), next: 1, is_over: false }
    }

    /// Does all that it has to do, and goes away.
    pub(super) async fn run(mut self) {
        loop {
            while let Some(said) = self.frames.next() {
                self.take(said);
            }
            if self.frames.pipe.end().is_some() {
                for open in std::mem::take(&mut self.open) {
                    self.shared.ledger.borrow_mut().conclude(open.number, Outcome::Cut);
                }
            }
            let is_done = self.open.is_empty() && (self.is_over || self.waiting.is_empty());
            if is_done || self.frames.pipe.end().is_some() {
                break;
            }
            if self.breaks() {
                return;
            }
            let is_busy = self.act();
            let pipe = &mut self.frames.pipe;
            pause(&self.shared, is_busy, poll_fn(|cx| pipe.poll(cx))).await;
        }
        self.settle().await;
        self.part().await;
    }

    /// Goes away in the middle of everything, if it does.
    fn breaks(&mut self) -> bool {
        let breaks = self.shared.temper.breaks && self.shared.choices.one_in(200);
        if breaks {
            for open in std::mem::take(&mut self.open) {
                self.shared.ledger.borrow_mut().conclude(open.number, Outcome::Left);
            }
            let resets = self.shared.choices.one_in(2);
            self.frames.pipe.leave(resets);
        }
        breaks
    }

    /// Waits until nothing comes any more: then all credit has come back.
    async fn settle(&mut self) {
        let mut timer = Timer::new();
        loop {
            while let Some(said) = self.frames.next() {
                self.take(said);
            }
            if self.frames.pipe.end().is_some() {
                return;
            }
            let pipe = &mut self.frames.pipe;
            let moving = pin!(poll_fn(|cx| pipe.poll(cx)));
            if timer.within(QUIET, moving).await.is_err() {
                break;
            }
        }
        let place = self.shared.window_place();
        self.shared.note_window(place, Some(self.frames.whole().window));
    }

    /// Goes away in some order.
    async fn part(mut self) {
        if self.shared.choices.one_in(2) {
            self.frames.go_away(0, ErrorCode::NoError);
        }
        while self.frames.pipe.waiting() > 0 && self.frames.pipe.end().is_none() {
            let pipe = &mut self.frames.pipe;
            poll_fn(|cx| pipe.poll(cx)).await;
        }
        if self.shared.choices.one_in(2) {
            self.frames.pipe.finish();
            while self.frames.pipe.end().is_none() {
                let pipe = &mut self.frames.pipe;
                poll_fn(|cx| pipe.poll(cx)).await;
            }
        }
    }

    /// Does something. Says whether there is more to do that needs nobody else.
    fn act(&mut self) -> bool {
        let choices = self.shared.choices.clone();
        let may_open = self.frames.streams_max.is_some_and(|max| self.open.len() < max as usize);
        if !self.waiting.is_empty() && !self.is_over && may_open && choices.one_in(2) {
            self.open();
        }
        self.age();
        if !self.open.is_empty() {
            let place = choices.below(self.open.len());
            self.speak(place);
        }
        if !self.open.is_empty() {
            let place = choices.below(self.open.len());
            let lane = &mut self.open[place].lane;
            lane.top_up(self.shared.temper.window_min, 200 + choices.below(5000));
            let count = lane.due(&choices);
            self.frames.give_back(Some(lane), count);
        }
        let count = self.frames.whole().due(&choices);
        self.frames.give_back(None, count);
        if self.frames.has_whim(&choices) {
            self.disturb();
        }
        let least = self.shared.temper.window_min;
        let owes =
            |open: &Open| open.lane.owes() || open.lane.lacks(least) > 0 || self.can_speak(open);
        let opens = !self.waiting.is_empty() && !self.is_over && may_open;
        opens || self.frames.whole().owes() || self.open.iter().any(owes)
    }

    fn open(&mut self) {
        let Some(number) = self.waiting.pop_front() else { return };
        let choices = self.shared.choices.clone();
        let mut ledger = self.shared.ledger.borrow_mut();
        let entry = &mut ledger.entries[number];
        let ask = entry.ask;
        entry.is_asked = true;
        let (path, length) = (format!("/{number}"), ask.body.to_string());
        let mut fields = vec![(":method", ask.method.name()), (":scheme", "http")];
        fields.extend([(":authority", "a"), (":path", path.as_str())]);
        if ask.is_declared {
            fields.push(("content-length", &length));
        }
        let is_empty = ask.body == 0 && !ask.has_trailers && ask.extent == Extent::Whole;
        let ends = is_empty && choices.one_in(2);
        entry.is_sent = ends;
        self.frames.head(self.next, &fields, ends);
        let lane = self.frames.lane(self.next);
        let is_reset = self.shared.temper.cuts && choices.one_in(4);
        let reset_in = is_reset.then(|| choices.below(60));
        let (sent, has_sent, answered) = (0, ends, None);
        self.open.push(Open { lane, number, ask, sent, has_sent, answered, reset_in });
        self.next += 2;
    }

    fn can_speak(&self, open: &Open) -> bool {
        let is_due = open.sent < open.ask.body;
        !open.has_sent && (!is_due || self.frames.room(&open.lane) > 0)
    }

    /// Sends something of a request, if it can.
    fn speak(&mut self, place: usize) {
        if !self.can_speak(&self.open[place]) {
            return;
        }
        let choices = self.shared.choices.clone();
        let open = &mut self.open[place];
        if open.ask.extent == Extent::Cut(open.sent) {
            return self.reset(place);
        }
        let mut ledger = self.shared.ledger.borrow_mut();
        let entry = &mut ledger.entries[open.number];
        let until = match open.ask.extent {
            Extent::Whole => open.ask.body,
            Extent::Cut(at) => at,
        };
        let room = self.frames.room(&open.lane).min(until - open.sent).min(16_000);
        let count = if choices.one_in(2) { room } else { choices.below(room + 1) };
        let is_last = open.sent + count == open.ask.body;
        if is_last && open.ask.has_trailers && room == 0 {
            (open.has_sent, entry.is_sent) = (true, true);
            return self.frames.head(open.lane.id, &[("x-end", "yes")], true);
        }
        let ends = is_last
            && !open.ask.has_trailers
            && choices.one_in(2)
            && open.ask.extent == Extent::Whole;
        if count == 0 && !ends {
            return;
        }
        entry.sent += count;
        open.sent += count;
        (open.has_sent, entry.is_sent) = (ends, ends);
        let bytes = ledger.asked(open.number, open.sent - count, count);
        let padding =
            if choices.one_in(8) { u8::try_from(choices.below(200)).unwrap_or(0) } else { 0 };
        self.frames.data(&mut open.lane, &bytes, ends, padding);
    }

    /// One round is over for streams that are to be reset.
    fn age(&mut self) {
        let mut due = None;
        for (place, open) in self.open.iter_mut().enumerate() {
            match &mut open.reset_in {
                Some(0) => due = Some(place),
                Some(left) => *left -= 1,
                None => {}
            }
        }
        if let Some(place) = due {
            self.reset(place);
        }
    }

    /// Does not want to know any more.
    fn reset(&mut self, place: usize) {
        let open = self.open.swap_remove(place);
        self.frames.reset(open.lane.id, self.shared.choices.of(&CODES));
        self.shared.ledger.borrow_mut().conclude(open.number, Outcome::Left);
    }

    /// Something that does not happen often.
    fn disturb(&mut self) {
        if self.shared.choices.one_in(2) {
            return self.frames.ping();
        }
        let initial = self.shared.choices.of(&WINDOWS);
        let more = self.frames.settings(&[], initial);
        self.open.iter_mut().for_each(|open| open.lane.granted += more);
    }

    fn take(&mut self, said: Said) {
        let place = |open: &[Open], id| open.iter().position(|open| open.lane.id == id);
        match said {
            Said::Head { id, fields, ends } => {
                let Some(place) = place(&self.open, id) else { return };
                self.open[place].take_head(&fields);
                if ends {
                    self.end(place);
                }
            }
            Said::Data { id, bytes, length, ends } => {
                let Some(place) = place(&self.open, id) else { return };
                let open = &mut self.open[place];
                open.lane.comes(length);
                let answered = open.answered.as_mut().expect("a head before its body");
                self.shared.ledger.borrow().answer_comes(open.number, answered, &bytes);
                if ends {
                    self.end(place);
                }
            }
            Said::Reset { id, code } => {
                let Some(place) = place(&self.open, id) else { return };
                let open = self.open.swap_remove(place);
                let outcome = match code {
                    ErrorCode::RefusedStream => Outcome::Refused,
                    _ => Outcome::Cut,
                };
                self.shared.ledger.borrow_mut().conclude(open.number, outcome);
            }
            Said::GoAway { last, code, reason } => {
                assert_eq!(code, ErrorCode::NoError, "no rule was broken: {reason}");
                self.is_over = true;
                let (late, open) = std::mem::take(&mut self.open)
                    .into_iter()
                    .partition::<Vec<_>, _>(|open| open.lane.id > last);
                self.open = open;
                for open in late {
                    self.shared.ledger.borrow_mut().conclude(open.number, Outcome::Refused);
                }
            }
            Said::Credit { id, more } => {
                if let Some(place) = place(&self.open, id) {
                    self.open[place].lane.window += more;
                }
            }
            Said::Window { more } => self.open.iter_mut().for_each(|o| o.lane.window += more),
            Said::Known { more } => self.open.iter_mut().for_each(|o| o.lane.granted += more),
            Said::Other => {}
        }
    }

    /// An answer has come whole.
    fn end(&mut self, place: usize) {
        let open = self.open.swap_remove(place);
        let answered = open.answered.expect("an answer has a head");
        self.shared.ledger.borrow_mut().conclude(open.number, Outcome::Answered(answered));
        if !open.has_sent {
            // It is answered, and need not go on.
            self.frames.reset(open.lane.id, ErrorCode::NoError);
        }
    }
}

impl Open {
    fn take_head(&mut self, fields: &[(String, String)]) {
        let Some(status) = value(fields, ":status") else {
            let answered = self.answered.as_mut().expect("a head before trailers");
            answered.has_trailers = value(fields, "x-end") == Some("yes");
            return;
        };
        let status = status.parse().expect("a status");
        if status < 200 {
            assert!(self.answered.is_none(), "an interim answer after the final one");
            return;
        }
        let arrival = value(fields, "x-arrival").map(|number| number.parse().expect("a number"));
        let answered = Answered { status, arrival, ..Answered::default() };
        assert!(self.answered.replace(answered).is_none(), "two answers");
    }
}
