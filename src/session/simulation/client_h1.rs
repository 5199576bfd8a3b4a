//! A client of a world that speaks HTTP/1.1: one request after the other, some before the last is answered.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::iter;
use std::rc::Rc;

use super::frames::value;
use super::ledger::{Answered, Outcome};
use super::messages::{Framing, MessageHead, Part};
use super::pipe::{Pipe, PipeEnd};
use super::plans::{Ask, Extent, Method};
use super::shared::{Shared, pause};
use crate::net::memory::Memory;

/// A client.
pub(super) struct Client {
    shared: Rc<Shared>,
    pipe: Pipe,
    /// Requests that it has not begun to send.
    waiting: VecDeque<usize>,
    sending: Option<Sending>,
    /// What was sent, at least in part, and is not answered; and what the first has got.
    unanswered: VecDeque<(usize, Ask)>,
    answering: Option<(Answered, Framing)>,
    /// Whether the other side takes no more.
    is_over: bool,
    /// After how many more rounds it goes away.
    leaves_in: Option<usize>,
}

/// A request of which the head was sent.
struct Sending {
    number: usize,
    ask: Ask,
    sent: usize,
}

impl Client {
    pub(super) fn new(shared: &Rc<Shared>, memory: Memory, numbers: Vec<usize>) -> Self {
        let choices = &shared.choices;
        let leaves = shared.temper.cuts && choices.one_in(4);
        Self {
            shared: Rc::clone(shared),
            pipe: Pipe::new(memory, choices, shared.temper.piece_max),
            waiting: numbers.into(),
            sending: None,
            unanswered: VecDeque::new(),
            answering: None,
            is_over: false,
            leaves_in: leaves.then(|| choices.below(300)),
        }
    }

    /// Does all that it has to do, and goes away.
    pub(super) async fn run(mut self) {
        loop {
            self.take();
            let is_done = self.unanswered.is_empty() && self.waiting.is_empty();
            if is_done || self.is_over && self.unanswered.is_empty() || self.pipe.end().is_some() {
                break;
            }
            match &mut self.leaves_in {
                Some(0) => return self.leave(),
                Some(left) => *left -= 1,
                None => {}
            }
            if !self.act() {
                return self.leave();
            }
            let is_busy = self.leaves_in.is_some() || self.sending.is_some() || self.may_begin();
            let pipe = &mut self.pipe;
            pause(&self.shared, is_busy, poll_fn(|cx| pipe.poll(cx))).await;
        }
        let mut ledger = self.shared.ledger.borrow_mut();
        // What it had sent already may have reset a connection that had been closed in order.
        let is_own_doing = self.is_over && self.unanswered.len() > 1;
        let first = if is_own_doing { Outcome::Left } else { Outcome::Cut };
        let outcomes = iter::once(first).chain(iter::repeat(Outcome::Refused));
        // Nothing is done about one before the last is answered.
        for ((number, _), outcome) in self.unanswered.drain(..).zip(outcomes) {
            ledger.conclude(number, outcome);
        }
    }

    /// Goes away in the middle of everything.
    fn leave(mut self) {
        let resets = self.shared.choices.one_in(2);
        self.pipe.leave(resets);
        let mut ledger = self.shared.ledger.borrow_mut();
        for (number, _) in self.unanswered.drain(..) {
            ledger.conclude(number, Outcome::Left);
        }
    }

    fn may_begin(&self) -> bool {
        self.sending.is_none() && !self.is_over && !self.waiting.is_empty()
    }

    /// Does something; says whether it stays.
    fn act(&mut self) -> bool {
        let choices = self.shared.choices.clone();
        // Most wait for an answer before they ask again.
        let pipelines = self.unanswered.is_empty() || choices.one_in(16);
        if self.may_begin() && pipelines {
            self.begin();
        }
        let Some(sending) = &mut self.sending else { return true };
        let Sending { number, ask, sent } = sending;
        if ask.extent == Extent::Cut(*sent) {
            return false;
        }
        let until = if let Extent::Cut(at) = ask.extent { at } else { ask.body };
        let left = until - *sent;
        let count = if choices.one_in(2) { left } else { choices.below(left + 1) };
        let mut ledger = self.shared.ledger.borrow_mut();
        let bytes = ledger.asked(*number, *sent, count.min(20_000));
        *sent += bytes.len();
        ledger.entries[*number].sent = *sent;
        let is_last = *sent == ask.body;
        if ask.is_declared {
            self.pipe.say(&bytes);
        } else {
            self.pipe.say(&chunk(&bytes, is_last.then_some(ask.has_trailers)));
        }
        if is_last {
            ledger.entries[*number].is_sent = true;
            self.sending = None;
        }
        true
    }

    /// Sends the head of the next request.
    fn begin(&mut self) {
        let Some(number) = self.waiting.pop_front() else { return };
        let mut ledger = self.shared.ledger.borrow_mut();
        let entry = &mut ledger.entries[number];
        let ask = entry.ask;
        entry.is_asked = true;
        let has_body = ask.method.has_body();
        let framing = match (has_body, ask.is_declared) {
            (false, _) => String::new(),
            (true, true) => format!("content-length: {}\r\n", ask.body),
            (true, false) => "transfer-encoding: chunked\r\n".to_owned(),
        };
        let (method, fields) = (ask.method.name(), "host: a\r\nte: trailers\r\nconnection: te\r\n");
        let head = format!("{method} /{number} HTTP/1.1\r\n{fields}{framing}\r\n");
        self.pipe.say(head.as_bytes());
        self.unanswered.push_back((number, ask));
        if has_body && (!ask.is_declared || ask.body > 0) {
            self.sending = Some(Sending { number, ask, sent: 0 });
        } else {
            entry.is_sent = true;
        }
    }

    /// Takes in what has come.
    fn take(&mut self) {
        loop {
            let Some(&(number, ask)) = self.unanswered.front() else { return };
            let (mut answered, mut framing) = match self.answering.take() {
                Some(answering) => answering,
                None => match self.take_head(ask) {
                    Some(answering) => answering,
                    None => return,
                },
            };
            loop {
                match framing.take(&mut self.pipe.input) {
                    Some(Part::Bytes(bytes)) => {
                        let ledger = self.shared.ledger.borrow();
                        ledger.answer_comes(number, &mut answered, &bytes);
                    }
                    Some(Part::End { trailers }) => {
                        answered.has_trailers = value(&trailers, "x-end") == Some("yes");
                        break self.end(answered);
                    }
                    None if framing == Framing::Close && self.pipe.end() == Some(PipeEnd::Fin) => {
                        break self.end(answered);
                    }
                    None => {
                        self.answering = Some((answered, framing));
                        return;
                    }
                }
            }
        }
    }

    /// The head of an answer that is not interim.
    fn take_head(&mut self, ask: Ask) -> Option<(Answered, Framing)> {
        loop {
            let head = MessageHead::take(&mut self.pipe.input)?;
            let status = head.first[1].parse().expect("a status");
            if status < 200 {
                continue;
            }
            self.is_over |= value(&head.fields, "connection") == Some("close");
            let arrival = value(&head.fields, "x-arrival");
            let arrival = arrival.map(|number| number.parse().expect("a number"));
            let is_bodiless = ask.method == Method::Head || matches!(status, 204 | 304);
            let framing = head.framing().unwrap_or(Framing::Close);
            let framing = if is_bodiless { Framing::Length(0) } else { framing };
            return Some((Answered { status, arrival, ..Answered::default() }, framing));
        }
    }

    /// An answer has come whole.
    fn end(&mut self, answered: Answered) {
        let Some((number, _)) = self.unanswered.pop_front() else { return };
        let mut ledger = self.shared.ledger.borrow_mut();
        ledger.conclude(number, Outcome::Answered(answered));
        if self.is_over {
            self.sending = None;
            for (number, _) in self.unanswered.drain(..) {
                ledger.conclude(number, Outcome::Refused);
            }
        }
    }
}

/// A chunk, and what comes after the last if this `ends` the body, with trailers or without.
fn chunk(bytes: &[u8], ends: Option<bool>) -> Vec<u8> {
    let mut out = Vec::new();
    if !bytes.is_empty() {
        out.extend(format!("{:x}\r\n", bytes.len()).bytes());
        out.extend(bytes);
        out.extend(b"\r\n");
    }
    out.extend(match ends {
        None => &b""[..],
        Some(false) => b"0\r\n\r\n",
        Some(true) => b"0\r\nx-end: yes\r\n\r\n",
    });
    out
}
