//! Two connections that speak to each other over byte streams that hold little, their steps chosen at
//! random: whatever they do and in whatever order, nothing is lost, nothing comes twice and nobody waits for
//! ever. After each step the accounts are checked.

use std::collections::VecDeque;
use std::rc::Rc;

use super::connection::{Connection, Event, Role, StreamKey};
use super::error_code::ErrorCode;
use super::flow::ALLOWANCE_BYTES;
use super::frame::{Flags, FrameKind};
use super::limits::{CONNECTION_WINDOW_BYTES, ConnectionLimits};
use super::output::OUTPUT_BYTES_MAX;
use super::section::SectionLimits;
use super::sending::{Available, TURN_BYTES};
use super::stream::{Abort, status};
use crate::buffer::Buffer;
use crate::random::Random;

/// From how many bytes on that wait to be written a connection reads nothing (as in `net::mux`).
pub(super) const UNWRITTEN_BYTES_MAX: usize = 2 * OUTPUT_BYTES_MAX;

const WINDOWS: [u32; 8] = [0, 1, 7, 100, 4000, 65_535, 70_000, 1 << 20];
const LEAVING: [u8; 8] = *b"leaving.";

/// What one side says on a stream.
#[derive(Clone, Copy)]
pub(super) struct Message {
    interim: usize,
    body: usize,
    trailers: bool,
}

impl Message {
    fn choose(random: &mut Random) -> Self {
        let body = match random.below(32) {
            0 => random.below(100_000),
            1..=4 => random.below(5000),
            5..=8 => 0,
            _ => random.below(400),
        };
        Self { interim: random.below(3) / 2, body, trailers: random.below(4) == 0 }
    }
}

/// The byte of a body at this place.
fn byte(id: u32, from: usize, at: usize) -> u8 {
    u8::try_from((at + 7 * from + id as usize) % 251).unwrap_or(0)
}

/// A stream as one side holds it.
pub(super) struct Held {
    key: StreamKey,
    id: u32,
    sends: Message,
    has_head: bool,
    sent: usize,
    taken: usize,
    has_ended: bool,
    is_stalled: bool,
}

/// One side: 0 is the client, 1 is the server.
pub(super) struct Side {
    pub(super) connection: Connection,
    pub(super) input: Buffer,
    /// On its way from here to the other side.
    pub(super) wire: VecDeque<u8>,
    capacity: usize,
    held: Vec<Held>,
    /// What we have said that the window of a stream begins with.
    pub(super) declared: u32,
    leaves: bool,
}

pub(super) struct Simulation {
    random: Random,
    pub(super) sides: [Side; 2],
    /// What client and server say on each stream, in the order in which they were opened.
    pub(super) plans: Vec<[Message; 2]>,
}

impl Side {
    fn new(role: Role, random: &mut Random) -> Self {
        let window_bytes = [65_535, 65_535, 70_000, 1 << 20][random.below(4)];
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let streams_max = 1 + u32::try_from(random.below(8)).unwrap_or(0);
        let limits = ConnectionLimits { streams_max, window_bytes, section };
        Self {
            connection: Connection::new(role, limits, 4, Rc::default()),
            input: Buffer::new(),
            wire: VecDeque::new(),
            capacity: [16, 300, 5000, 100_000][random.below(4)],
            held: Vec::new(),
            declared: window_bytes,
            leaves: false,
        }
    }

    /// Writes up to `count` bytes, as far as there is room.
    fn write(&mut self, count: usize) {
        let mut left = count.min(self.capacity.saturating_sub(self.wire.len()));
        while left > 0 && self.connection.output_bytes() > 0 {
            let front = self.connection.output().front();
            let piece = front.len().min(left);
            self.wire.extend(&front[..piece]);
            self.connection.output().consume(piece);
            left -= piece;
        }
        if self.connection.output_bytes() < TURN_BYTES {
            self.connection.begin_turn();
        }
    }

    /// Has the window of every stream begin with so many bytes from here on.
    fn declare(&mut self, window: u32) {
        if self.connection.unacknowledged > 0 {
            return;
        }
        self.connection.unacknowledged += 1;
        let mut payload = vec![0, 4];
        payload.extend_from_slice(&window.to_be_bytes());
        self.connection.control(FrameKind::Settings, Flags::NONE, 0, &payload);
        self.declared = window;
        if window > self.connection.limits.window_bytes {
            self.apply_declared();
        }
    }

    /// What was declared is in force: at once if it is more, once the peer knows if it is less.
    fn apply_declared(&mut self) {
        let change = i64::from(self.declared) - i64::from(self.connection.limits.window_bytes);
        self.connection.limits.window_bytes = self.declared;
        let mut due = Vec::new();
        for (_, stream) in &mut self.connection.streams {
            stream.credit.shift(change);
            due.extend(stream.credit.update().map(|more| (stream.id, more)));
        }
        for (id, more) in due {
            let more = more.to_be_bytes();
            self.connection.control(FrameKind::WindowUpdate, Flags::NONE, id, &more);
        }
    }

    /// Lets go of what has ended, as is done at once when a client has reset it.
    fn release_closed(&mut self) {
        let is_closed = |held: &Held| self.connection.streams[held.key.0].is_closed();
        let place = self.held.iter().position(is_closed);
        self.release(place.expect("a stream that has ended"));
    }

    fn release(&mut self, place: usize) {
        let held = self.held.swap_remove(place);
        self.connection.release(held.key, ErrorCode::Cancel);
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let sides = [Role::Client, Role::Server].map(|role| Side::new(role, &mut random));
        Self { random, sides, plans: Vec::new() }
    }

    fn step(&mut self) {
        let side = self.random.below(2);
        match self.random.below(20) {
            0 | 1 => self.open(),
            2..=6 => self.speak(side, false),
            7..=9 => self.take(side, false),
            10..=13 => {
                let count = self.random.below(20_000);
                self.sides[side].write(count);
            }
            14..=17 => {
                let count = self.random.below(20_000);
                self.read(side, count);
            }
            18 => self.disturb(side),
            _ if self.random.below(8) == 0 => self.rest(),
            _ => {}
        }
    }

    fn open(&mut self) {
        let random = &mut self.random;
        let plan = [Message::choose(random), Message::choose(random)];
        let [request, _] = plan;
        let ends = request.body == 0 && !request.trailers && random.below(2) == 0;
        let client = &mut self.sides[0];
        let key = client.connection.open_stream(false, ends, |encoder, out| {
            encoder.field(b":method", b"POST", out);
        });
        let Some(key) = key else { return };
        self.plans.push(plan);
        let id = client.connection.id(key);
        client.held.push(Held::new(key, id, request, true));
    }

    /// Sends something on a stream, of what there is to send; all of it if `whole`.
    fn speak(&mut self, side: usize, whole: bool) {
        let place = self.random.below(self.sides[side].held.len());
        if place < self.sides[side].held.len() {
            self.speak_on(side, place, whole);
        }
    }

    fn speak_on(&mut self, side: usize, place: usize, whole: bool) {
        let random = &mut self.random;
        let Side { held, connection, .. } = &mut self.sides[side];
        let stream = &mut held[place];
        let (key, sends) = (stream.key, stream.sends);
        if connection.has_sent(key) {
            return;
        }
        if !stream.has_head {
            let is_final = stream.sends.interim == 0;
            stream.sends.interim = stream.sends.interim.saturating_sub(1);
            stream.has_head = is_final;
            let ends = is_final && sends.body == 0 && !sends.trailers && random.below(2) == 0;
            let status = if is_final { 200 } else { 103 };
            connection.send_head(key, ends, |encoder, out| encoder.status(status, out));
            return;
        }
        let left = sends.body - stream.sent;
        if left == 0 && sends.trailers {
            connection.send_head(key, true, |encoder, out| encoder.field(b"x", b"y", out));
            return;
        }
        let count = if whole || random.below(3) == 0 { left } else { random.below(left + 1) };
        let bytes = (stream.sent..stream.sent + count).map(|at| byte(stream.id, side, at));
        let bytes: Vec<u8> = bytes.collect();
        if !whole && count < 1000 && random.below(3) == 0 {
            let room = connection.room(key).saturating_sub(count);
            let padding = u8::try_from(random.below(room.min(256))).unwrap_or(0);
            let sent = send_padded(connection, key, &bytes, padding);
            stream.sent += sent;
            return;
        }
        let ends = count == left && !sends.trailers;
        stream.sent += connection.send_data(key, &bytes, ends);
    }

    /// Takes something of what has come on a stream; everything if `whole`.
    fn take(&mut self, side: usize, whole: bool) {
        let place = self.random.below(self.sides[side].held.len());
        if place < self.sides[side].held.len() {
            self.take_from(side, place, whole);
        }
    }

    fn take_from(&mut self, side: usize, place: usize, whole: bool) {
        let Side { held, connection, .. } = &mut self.sides[side];
        let stream = &mut held[place];
        if stream.is_stalled && !whole {
            return;
        }
        let expected = self.plans[stream.id as usize / 2][1 - side];
        while let Some(arrived) = connection.take_head(stream.key) {
            let is_interim = status(&arrived.section) == Some(b"103");
            assert!(stream.taken == 0 && !(is_interim && arrived.ends));
        }
        loop {
            match connection.available(stream.key) {
                Available::Bytes => {}
                Available::End => {
                    assert_eq!(stream.taken, expected.body, "a body that ends is whole");
                    let trailers = connection.take_trailers(stream.key);
                    let is_first = !std::mem::replace(&mut stream.has_ended, true);
                    assert_eq!(trailers.is_some(), expected.trailers && is_first);
                    return;
                }
                // What has come whole only we can give up.
                Available::Cut(Abort::Broke(_)) => return,
                Available::Nothing | Available::Cut(_) => {
                    assert!(!stream.has_ended);
                    return;
                }
            }
            let bytes = connection.body(stream.key);
            let count = if whole { bytes.len() } else { 1 + self.random.below(bytes.len()) };
            let came = bytes[..count].iter().enumerate();
            for (at, came) in came {
                assert_eq!(*came, byte(stream.id, 1 - side, stream.taken + at), "in order");
            }
            stream.taken += count;
            assert!(stream.taken <= expected.body, "no byte comes twice");
            connection.consume(stream.key, count);
            if !whole {
                return;
            }
        }
    }

    /// Reads up to `count` bytes, as a connection does that does not have too much to write.
    fn read(&mut self, side: usize, count: usize) {
        let other = &mut self.sides[1 - side].wire;
        let count = count.min(other.len());
        let bytes = other.make_contiguous()[..count].to_vec();
        let taken = self.sides[side].input.append(&bytes);
        self.sides[1 - side].wire.drain(..taken);
        loop {
            let Side { connection, input, .. } = &mut self.sides[side];
            if connection.output_bytes() > UNWRITTEN_BYTES_MAX {
                return;
            }
            match connection.receive(input).expect("nobody breaks a rule") {
                None if connection.is_held_back() => self.sides[side].release_closed(),
                None => return,
                Some(event) => self.happened(side, event),
            }
        }
    }

    fn happened(&mut self, side: usize, event: Event) {
        let this = &mut self.sides[side];
        match event {
            Event::Opened(key) => {
                let id = this.connection.id(key);
                let answer = self.plans[id as usize / 2][1];
                this.held.push(Held::new(key, id, answer, false));
            }
            Event::Ponged(LEAVING) => this.connection.leave(),
            _ => {}
        }
        let is_lowered = this.declared < this.connection.limits.window_bytes;
        if is_lowered && this.connection.unacknowledged == 0 {
            this.apply_declared();
        }
    }

    /// Something that does not happen often.
    fn disturb(&mut self, side: usize) {
        let random = &mut self.random;
        let this = &mut self.sides[side];
        let place = random.below(this.held.len());
        match random.below(8) {
            0 => this.declare(WINDOWS[random.below(WINDOWS.len())]),
            1 => this.connection.ping_peer(*b"anybody?"),
            2 if side == 1 && !this.leaves && random.below(10) == 0 => {
                this.leaves = true;
                this.connection.ping_peer(LEAVING);
                this.connection.announce_leaving();
            }
            // A peer that does not answer the ping in time.
            3 if this.leaves => this.connection.leave(),
            4 if place < this.held.len() => {
                let code = ErrorCode::EnhanceYourCalm;
                let broken = this.connection.break_stream(this.held[place].key, code);
                broken.expect("a budget for it");
            }
            5 if place < this.held.len() => this.release(place),
            6 | 7 if place < this.held.len() => this.held[place].is_stalled ^= true,
            _ => {}
        }
    }

    /// Everything that was said is heard, and everything that was heard is taken.
    fn settle(&mut self) {
        loop {
            for side in [0, 1] {
                self.sides[side].write(usize::MAX);
                self.read(1 - side, usize::MAX);
                for place in 0..self.sides[1 - side].held.len() {
                    self.take_from(1 - side, place, true);
                }
            }
            let is_quiet = |side: &Side| side.wire.is_empty() && side.connection.output.is_empty();
            if self.sides.iter().all(is_quiet) {
                return;
            }
            self.check();
        }
    }

    /// Then nobody who has something to send waits for anybody.
    fn rest(&mut self) {
        self.settle();
        self.check();
        for (side, other) in [(0, 1), (1, 0)] {
            let may_send = self.sides[other].declared > 0;
            let Side { connection, held, input, .. } = &self.sides[side];
            assert!(input.is_empty(), "a frame that is whole is taken");
            let whole = i64::from(CONNECTION_WINDOW_BYTES);
            assert!(connection.window.bytes() > whole / 2, "the connection's window is whole");
            for stream in held.iter().filter(|stream| !connection.has_sent(stream.key)) {
                assert!(!may_send || connection.room(stream.key) > 0, "{} waits", stream.id);
            }
        }
    }

    /// Has everything come to its end, and everybody let go.
    fn finish(&mut self) {
        self.rest();
        for side in &mut self.sides {
            side.declare(70_000 + side.declared);
        }
        self.rest();
        let mut rounds = 0;
        loop {
            let mut is_done = true;
            for side in [0, 1] {
                for place in 0..self.sides[side].held.len() {
                    self.speak_on(side, place, true);
                    let Side { connection, held, .. } = &self.sides[side];
                    is_done &= connection.has_sent(held[place].key);
                }
            }
            self.settle();
            rounds += 1;
            assert!(rounds < 1000, "what can be sent is sent");
            if is_done {
                break;
            }
        }
        for side in &mut self.sides {
            let Side { connection, held, .. } = side;
            for stream in held.iter().filter(|held| connection.abort_of(held.key).is_none()) {
                assert!(stream.has_ended, "{} ends", stream.id);
            }
            while !side.held.is_empty() {
                side.release(0);
            }
        }
        self.rest();
        for Side { connection, .. } in &self.sides {
            assert_eq!((connection.streams(), connection.ids.len()), (0, 0));
            assert!(
                connection.allowance.take(ALLOWANCE_BYTES),
                "what windows grew by is given back"
            );
        }
    }
}

/// DATA with padding, which we never send ourselves.
fn send_padded(connection: &mut Connection, key: StreamKey, data: &[u8], padding: u8) -> usize {
    let length = 1 + data.len() + usize::from(padding);
    if length > connection.room(key) {
        return 0;
    }
    let payload = [&[padding], data, &vec![0; padding.into()]].concat();
    let stream = &mut connection.streams[key.0];
    stream.window.take(length);
    connection.window.take(length);
    let id = stream.id;
    connection.control(FrameKind::Data, Flags::PADDED, id, &payload);
    data.len()
}

impl Held {
    fn new(key: StreamKey, id: u32, sends: Message, has_head: bool) -> Self {
        let (sent, taken, has_ended, is_stalled) = (0, 0, false, false);
        Self { key, id, sends, has_head, sent, taken, has_ended, is_stalled }
    }
}

#[cfg(test)]
mod tests {
    use super::Simulation;

    /// How many pairs of connections are tried, unless `EVENER_SEEDS` says how many.
    const SEEDS: u64 = 1000;

    fn simulate(seed: u64) {
        let mut simulation = Simulation::new(seed);
        for _ in 0..200 {
            simulation.step();
            simulation.check();
        }
        simulation.finish();
    }

    #[test]
    fn credit_is_conserved_and_nobody_waits_for_ever() {
        let seeds = std::env::var("EVENER_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
        for seed in 0..seeds.unwrap_or(SEEDS) {
            let outcome = std::panic::catch_unwind(|| simulate(seed));
            assert!(outcome.is_ok(), "with seed {seed}");
        }
    }
}
