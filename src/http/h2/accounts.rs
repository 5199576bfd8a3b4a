//! What must hold of two connections at any moment of a simulation.
//!
//! What a sender may send, what is on its way, what is queued and what has not been returned are together
//! what was granted, for each stream and for the connection; and what is held has its bounds.

use std::collections::BTreeMap;

use super::connection::{Connection, Role};
use super::flow::GROWN_WINDOW_BYTES;
use super::frame::{FrameHead, FrameKind, HEAD_BYTES, PREFACE, number_31};
use super::simulation::{Simulation, UNWRITTEN_BYTES_MAX};
use super::stream::{HEADS_MAX, Receiving, Sending};

/// What one frame that is read can add to the output at the most: credit of the connection, a reset.
const ANSWER_BYTES_MAX: usize = 3 * (HEAD_BYTES + 8);

/// What is on its way, by stream; 0 is the connection.
#[derive(Default)]
struct InFlight {
    data: BTreeMap<u32, i64>,
    credit: BTreeMap<u32, i64>,
}

impl Simulation {
    /// What must hold at any moment.
    pub(super) fn check(&self) {
        for (sender, receiver) in [(0, 1), (1, 0)] {
            let [to_receiver, to_sender] = [sender, receiver].map(|from| self.in_flight(from));
            let (sender, receiver) = (&self.sides[sender], &self.sides[receiver]);
            let (sends, takes) = (&sender.connection, &receiver.connection);
            let on_its_way = |id: u32| {
                let data = to_receiver.data.get(&id).copied().unwrap_or(0);
                data + to_sender.credit.get(&id).copied().unwrap_or(0)
            };
            let believed = sends.window.bytes() + on_its_way(0);
            assert_eq!(believed, takes.credit.window().bytes(), "credit of the connection");
            let told = i64::from(receiver.declared) - i64::from(sends.peer.initial_window);
            let untold = i64::from(takes.limits.window_bytes) - i64::from(receiver.declared);
            for (_, stream) in &sends.streams {
                let Some(other) = takes.key(stream.id).map(|key| &takes.streams[key.0]) else {
                    continue;
                };
                if other.receiving == Receiving::Reset {
                    continue;
                }
                let believed = stream.window.bytes() + on_its_way(stream.id) + told;
                let window = other.credit.window().bytes();
                assert_eq!(believed, window - untold, "credit of stream {}", stream.id);
            }
            takes.check();
            self.check_memory(takes);
        }
    }

    /// What a connection holds has its bounds.
    fn check_memory(&self, connection: &Connection) {
        for (_, stream) in &connection.streams {
            assert!(stream.heads.len() <= HEADS_MAX);
            if stream.receiving == Receiving::Reset {
                assert!(stream.queue.len() <= GROWN_WINDOW_BYTES as usize);
                assert!(stream.queue.is_empty() || connection.role == Role::Client);
                assert!(stream.sending != Sending::Open);
            }
        }
        // The heads of streams are not held up by what waits: all of those here are short.
        let heads = self.plans.len() * 100;
        let output_max = UNWRITTEN_BYTES_MAX + ANSWER_BYTES_MAX + heads;
        assert!(connection.output.len() <= output_max, "{} wait", connection.output.len());
        let streams_max = match connection.role {
            Role::Server => connection.limits.streams_max,
            Role::Client => 8,
        };
        assert!(connection.streams() <= streams_max as usize);
    }

    /// What is on its way from this side, counted from the bytes themselves.
    fn in_flight(&self, from: usize) -> InFlight {
        let (sender, receiver) = (&self.sides[from], &self.sides[1 - from]);
        let (first, second) = sender.wire.as_slices();
        let parts = [receiver.input.filled(), first, second];
        let mut parts = parts.into_iter().chain(sender.connection.output.blocks());
        let (mut rest, mut found) = (&[][..], InFlight::default());
        // Copies up to `room.len()` bytes, or skips `count`.
        let mut next = |room: &mut [u8], skip: usize| {
            let (mut filled, mut left) = (0, skip + room.len());
            while left > 0 {
                if rest.is_empty() {
                    let Some(part) = parts.next() else { return false };
                    rest = part;
                }
                let count = rest.len().min(left);
                let copied = count.min(room.len() - filled);
                room[filled..filled + copied].copy_from_slice(&rest[..copied]);
                (filled, left, rest) = (filled + copied, left - count, &rest[count..]);
            }
            true
        };
        if let Some(frame) = receiver.connection.rest {
            let length = i64::try_from(frame.length).unwrap_or(0);
            found.data.insert(frame.stream, length);
            found.data.insert(0, length);
            next(&mut [], frame.length);
        }
        let mut head = [0; HEAD_BYTES];
        while next(&mut head, 0) {
            if PREFACE.starts_with(&head) {
                next(&mut [], PREFACE.len() - HEAD_BYTES);
                continue;
            }
            let Some(frame) = FrameHead::read(&head) else { break };
            let length = i64::try_from(frame.length).unwrap_or(0);
            let mut number = [0; 4];
            match frame.kind {
                FrameKind::Data => {
                    *found.data.entry(frame.stream).or_default() += length;
                    *found.data.entry(0).or_default() += length;
                }
                FrameKind::WindowUpdate => {
                    next(&mut number, 0);
                    let more = number_31(&number).map_or(0, i64::from);
                    *found.credit.entry(frame.stream).or_default() += more;
                    continue;
                }
                _ => {}
            }
            next(&mut [], frame.length);
        }
        found
    }
}
