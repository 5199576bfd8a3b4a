//! The fuzz target of a connection: frames in any order, most of them valid, and any bytes.
#![expect(clippy::missing_panics_doc, reason = "a panic is the finding")]

use std::rc::Rc;

use super::connection::{Connection, Event, Role, StreamKey};
use super::error_code::ErrorCode;
use super::flow::{GROWN_WINDOW_BYTES, WINDOW_BYTES};
use super::frame::{Flags, FrameHead, HEAD_BYTES, PAYLOAD_BYTES_MAX, PREFACE};
use super::limits::ConnectionLimits;
use super::output::OUTPUT_BYTES_MAX;
use super::section::SectionLimits;
use super::sending::Available;
use crate::buffer::Buffer;

const STREAMS_MAX: u32 = 5;
const INPUT_BYTES_MAX: usize = 4096;

/// What one step can add to the output besides DATA: answers, or a head of ours.
const STEP_BYTES_MAX: usize = 512;

/// A connection that `data` tells what to do: it panics nowhere, holds no more than it may, and sends
/// frames that are whole. The first byte chooses the role. Then come steps: a byte below 0xe0 is the kind
/// and the stream of a frame, whose flags, length and payload follow; others say what the streams do.
pub fn h2_connection(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_BYTES_MAX)];
    let Some((first, rest)) = data.split_first() else { return };
    let role = if first & 1 == 0 { Role::Server } else { Role::Client };
    let section = SectionLimits { bytes_max: 1024, fields_max: 10 };
    let limits = ConnectionLimits { streams_max: STREAMS_MAX, window_bytes: WINDOW_BYTES, section };
    let mut connection = Connection::new(role, limits, STREAMS_MAX, Rc::default());
    let (mut input, mut sent) = (Buffer::new(), Vec::new());
    if role == Role::Server {
        input.append(PREFACE);
    }
    if first & 2 == 0 {
        input.append(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    }
    let (mut held, mut rest) = (Vec::new(), rest);
    while let Some((&step, after)) = rest.split_first() {
        rest = if step < 0xe0 { put_frame(&mut input, step, after) } else { after };
        if step >= 0xe0 {
            act(&mut connection, &mut held, usize::from(step), &mut sent);
        }
        if connection.output_bytes() <= 2 * OUTPUT_BYTES_MAX
            && !take_in(&mut connection, &mut input, &mut held)
        {
            break;
        }
        check(&connection, &held);
    }
    drain(&mut connection, &mut sent);
    for key in held {
        connection.release(key, ErrorCode::Cancel);
    }
    assert_eq!((connection.streams(), connection.ids.len()), (0, 0));
    drain(&mut connection, &mut sent);
    check_sent(&sent, role);
}

/// Appends a frame of which the front of `data` says the rest; returns what comes after it.
fn put_frame<'d>(input: &mut Buffer, step: u8, data: &'d [u8]) -> &'d [u8] {
    let [flags, length, after @ ..] = data else { return &[] };
    let (payload, after) = after.split_at(after.len().min(usize::from(*length)));
    // Long frames of few bytes: those that follow are zeros.
    let repeated = if flags & 0x80 == 0 { 0 } else { payload.len() * 60 };
    let payload = [payload, &vec![0; repeated.min(PAYLOAD_BYTES_MAX - payload.len())]].concat();
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let head = [&length[..], &[step & 0xf, flags & 0x7f], &[0, 0, 0, step >> 4]].concat();
    input.append(&[head, payload].concat());
    after
}

/// Receives what has come; returns whether the connection goes on.
fn take_in(connection: &mut Connection, input: &mut Buffer, held: &mut Vec<StreamKey>) -> bool {
    loop {
        match connection.receive(input) {
            Ok(Some(Event::Opened(key))) => held.push(key),
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(error) => {
                connection.fail(error);
                return false;
            }
        }
    }
}

/// Does something about a stream, or about the connection.
fn act(connection: &mut Connection, held: &mut Vec<StreamKey>, step: usize, sent: &mut Vec<u8>) {
    match step & 0x7 {
        0 => held.extend(connection.open_stream(step & 8 != 0, step & 16 != 0, |encoder, out| {
            encoder.field(b":method", b"GET", out);
        })),
        1 => drain(connection, sent),
        2 => connection.announce_leaving(),
        3 => connection.leave(),
        _ => {}
    }
    let Some(&key) = held.get(step >> 3 & 3) else { return };
    match step & 0x7 {
        4 => connection.send_head(key, false, |encoder, out| encoder.status(200, out)),
        5 => drop(connection.send_data(key, &[b'x'; 20_000], step & 32 == 0)),
        6 => {
            drop(connection.take_head(key));
            while connection.available(key) == Available::Bytes {
                connection.consume(key, connection.body(key).len());
            }
        }
        7 => {
            held.retain(|other| *other != key);
            connection.release(key, ErrorCode::Cancel);
        }
        _ => {}
    }
}

fn check(connection: &Connection, held: &[StreamKey]) {
    assert_eq!((connection.streams(), connection.ids.len()), (held.len(), held.len()));
    assert!(held.len() <= STREAMS_MAX as usize || connection.role == Role::Client);
    assert!(connection.output_bytes() <= 2 * OUTPUT_BYTES_MAX + STEP_BYTES_MAX + PAYLOAD_BYTES_MAX);
    for (_, stream) in &connection.streams {
        assert!(stream.queue.len() <= GROWN_WINDOW_BYTES as usize);
        assert!(stream.queue.len() <= stream.credit.target() as usize);
    }
}

fn drain(connection: &mut Connection, sent: &mut Vec<u8>) {
    while connection.output_bytes() > 0 {
        let front = connection.output().front().to_vec();
        connection.output().consume(front.len());
        sent.extend(front);
    }
    connection.begin_turn();
}

/// What was sent are whole frames, each where it may be.
fn check_sent(sent: &[u8], role: Role) {
    let mut rest = sent;
    if role == Role::Client {
        rest = rest.strip_prefix(&PREFACE[..]).expect("the preface");
    }
    while !rest.is_empty() {
        let head = FrameHead::read(rest).expect("a whole head");
        assert!(head.stream == 0 || head.stream % 2 == 1);
        assert!(head.flags.has(Flags::NONE));
        rest = rest.get(HEAD_BYTES + head.length..).expect("a whole payload");
    }
}

#[cfg(test)]
mod tests {
    use crate::corpus::replay;

    #[test]
    fn h2_connection() {
        replay("h2_connection", 10_000, super::h2_connection);
    }
}
