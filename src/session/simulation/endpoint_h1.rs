//! An endpoint of a world that speaks HTTP/1.1: one connection to it.

use std::future::poll_fn;
use std::rc::Rc;

use super::frames::value;
use super::messages::{Framing, MessageHead, Part};
use super::pipe::Pipe;
use super::plans::{Answer, Begins, Extent, Method};
use super::shared::{Shared, pause};
use crate::net::memory::Memory;

/// A connection.
pub(super) struct Endpoint {
    shared: Rc<Shared>,
    pipe: Pipe,
    serving: Option<Serving>,
}

/// A request, and its answer.
#[expect(clippy::struct_excessive_bools, reason = "each may be true by itself")]
struct Serving {
    /// Number and arrival.
    id: (usize, usize),
    answer: Answer,
    is_to_head: bool,
    framing: Framing,
    has_come: bool,
    interim: usize,
    has_head: bool,
    sent: usize,
    has_sent: bool,
    /// Whether the answer ends with the connection, though it need not.
    closes: bool,
}

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    /// It ends, in order or not.
    Away {
        resets: bool,
    },
}

impl Endpoint {
    pub(super) fn new(shared: &Rc<Shared>, memory: Memory) -> Self {
        let pipe = Pipe::new(memory, &shared.choices, shared.temper.piece_max);
        Self { shared: Rc::clone(shared), pipe, serving: None }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.take();
            if self.pipe.end().is_some() {
                break self.lose();
            }
            if self.shared.temper.breaks && self.shared.choices.one_in(200) {
                let is_unclear = |serving: &Serving| serving.answer.ends_by_close;
                let resets = self.serving.as_ref().is_some_and(is_unclear);
                break self.leave(resets || self.shared.choices.one_in(2)).await;
            }
            match self.act() {
                Goes::On => {}
                Goes::Away { resets } => break self.leave(resets).await,
            }
            let is_busy = self.serving.as_ref().is_some_and(Serving::can_speak);
            let pipe = &mut self.pipe;
            pause(&self.shared, is_busy, poll_fn(|cx| pipe.poll(cx))).await;
        }
    }

    /// Goes away: in order, when all is written.
    async fn leave(&mut self, resets: bool) {
        while !resets && self.pipe.waiting() > 0 && self.pipe.end().is_none() {
            let pipe = &mut self.pipe;
            poll_fn(|cx| pipe.poll(cx)).await;
        }
        if self.serving.is_some() {
            self.take();
        }
        self.lose();
        self.pipe.leave(resets);
    }

    /// Nothing more comes.
    fn lose(&mut self) {
        if let Some(serving) = self.serving.take() {
            self.shared.ledger.borrow_mut().arrival(serving.id).is_over = true;
        }
    }

    /// Takes in what has come.
    fn take(&mut self) {
        let mut ledger = self.shared.ledger.borrow_mut();
        if self.serving.is_none() {
            let Some(head) = MessageHead::take(&mut self.pipe.input) else { return };
            let [method, target, version] = &head.first[..] else { panic!("{head:?}") };
            assert_eq!(version, "HTTP/1.1");
            let number = target[1..].parse().expect("a number");
            let answer = Answer::choose(&self.shared.choices, &self.shared.temper);
            let arrival = ledger.arrives(number, method, answer);
            self.serving = Some(Serving {
                id: (number, arrival),
                answer,
                is_to_head: method == Method::Head.name(),
                framing: head.framing().unwrap_or(Framing::Length(0)),
                has_come: false,
                interim: answer.interim,
                has_head: false,
                sent: 0,
                has_sent: false,
                closes: answer.ends_by_close || self.shared.choices.one_in(4),
            });
        }
        let Some(serving) = &mut self.serving else { return };
        while !serving.has_come {
            match serving.framing.take(&mut self.pipe.input) {
                None => return,
                Some(Part::Bytes(bytes)) => ledger.comes(serving.id, &bytes),
                Some(Part::End { trailers }) => {
                    serving.has_come = true;
                    let has_trailers = value(&trailers, "x-end") == Some("yes");
                    ledger.came_whole(serving.id, has_trailers);
                }
            }
        }
    }

    /// Sends something of an answer, if there is one to be sent.
    fn act(&mut self) -> Goes {
        let Some(serving) = &mut self.serving else { return Goes::On };
        if serving.can_speak() && self.shared.choices.one_in(2) {
            let goes = serving.speak(&self.shared, &mut self.pipe);
            if goes != Goes::On {
                return goes;
            }
        }
        // To close before all was read is a reset, which would make the end unclear.
        let may_close = serving.closes && !serving.answer.ends_by_close;
        if serving.has_sent && (serving.has_come || may_close) {
            let closes = serving.closes;
            self.shared.ledger.borrow_mut().arrival(serving.id).is_over = true;
            self.serving = None;
            if closes {
                return Goes::Away { resets: false };
            }
        }
        Goes::On
    }
}

impl Serving {
    fn can_speak(&self) -> bool {
        !self.has_sent && (self.has_come || self.answer.begins == Begins::AtOnce)
    }

    fn speak(&mut self, shared: &Shared, pipe: &mut Pipe) -> Goes {
        let Self { answer, .. } = *self;
        if answer.is_refused {
            let resets = shared.choices.one_in(2);
            return if shared.choices.one_in(4) { Goes::Away { resets } } else { Goes::On };
        }
        if self.interim > 0 {
            self.interim -= 1;
            pipe.say(b"HTTP/1.1 103 Early Hints\r\nx-interim: yes\r\n\r\n");
            return Goes::On;
        }
        let is_chunked = answer.body > 0 && !answer.is_declared && !answer.ends_by_close;
        if !self.has_head {
            self.has_head = true;
            pipe.say(self.head(is_chunked).as_bytes());
        }
        let mut ledger = shared.ledger.borrow_mut();
        if answer.body == 0 || self.is_to_head {
            self.has_sent = true;
            ledger.arrival(self.id).is_answered = true;
            return Goes::On;
        }
        if answer.extent == Extent::Cut(self.sent) {
            return Goes::Away { resets: answer.ends_by_close || shared.choices.one_in(2) };
        }
        let until = if let Extent::Cut(at) = answer.extent { at } else { answer.body };
        let left = until - self.sent;
        let count = if shared.choices.one_in(2) { left } else { shared.choices.below(left) + 1 };
        let count = count.min(left).min(20_000);
        let bytes = ledger.answer(self.id.0, self.id.1, self.sent, count);
        self.sent += count;
        ledger.arrival(self.id).sent = self.sent;
        if is_chunked && count > 0 {
            pipe.say(format!("{count:x}\r\n").as_bytes());
        }
        pipe.say(&bytes);
        if is_chunked && count > 0 {
            pipe.say(b"\r\n");
        }
        if self.sent == answer.body {
            if is_chunked {
                pipe.say(b"0\r\n");
                pipe.say(if answer.has_trailers { b"x-end: yes\r\n\r\n" } else { b"\r\n" });
            }
            self.has_sent = true;
            ledger.arrival(self.id).is_answered = true;
        }
        Goes::On
    }

    fn head(&self, is_chunked: bool) -> String {
        let Self { answer, id, closes, .. } = self;
        let length = match answer.status {
            _ if is_chunked => "transfer-encoding: chunked\r\n".to_owned(),
            204 | 304 => String::new(),
            _ if answer.ends_by_close => String::new(),
            _ => format!("content-length: {}\r\n", answer.body),
        };
        let persistence = if *closes { "connection: close\r\n" } else { "" };
        let (status, arrival) = (answer.status, id.1);
        format!("HTTP/1.1 {status} A\r\nx-arrival: {arrival}\r\n{length}{persistence}\r\n")
    }
}
