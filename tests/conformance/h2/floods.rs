//! Frames that are of no use to anybody, more than any client has reason to send (RFC 9113 §10.5).

use super::gate::Outcome::Over;
use super::gate::{Outcome, begun};
use crate::support::h2::{Frame, error, flag, get, kind};

const CALM: Outcome = Over(&[error::ENHANCE_YOUR_CALM]);

/// More than there may be at a time of frames without a message, and of streams that are reset.
const CONTROLS: usize = 2100;
const RESETS: u32 = 600;

/// As many requests, each followed by this frame.
fn followed(by: impl Fn(u32) -> Frame) -> Vec<Frame> {
    let streams = (1..).step_by(2).take(RESETS as usize);
    let request = |stream| Frame::headers(stream, &get("/never")).end();
    streams.flat_map(|stream| [request(stream), by(stream)]).collect()
}

/// A header block that never ends, in frames of so many bytes.
fn endless(bytes: usize) -> Vec<Frame> {
    let first = Frame::new(kind::HEADERS, flag::END_STREAM, 1, Vec::new());
    [vec![first], vec![Frame::continuation(1, vec![0; bytes]); 200]].concat()
}

h2_rules! {
    pings: fresh, vec![Frame::ping([0; 8]); CONTROLS] => CALM;
    settings: fresh, vec![Frame::settings(&[]); CONTROLS] => CALM;
    priorities: fresh, vec![Frame::priority(1, 0, 0); CONTROLS] => CALM;
    credit: fresh, vec![Frame::window_update(0, 1); CONTROLS] => CALM;
    unknown_frames: fresh, vec![Frame::new(0xfa, 0, 0, [0]); CONTROLS] => CALM;
    empty_data: fresh, [vec![begun(1)], vec![Frame::data(1, ""); CONTROLS]].concat() => CALM;
    resets: fresh, followed(|stream| Frame::reset(stream, error::CANCEL)) => CALM;
    resets_that_are_provoked: fresh, followed(|stream| Frame::window_update(stream, 0)) => CALM;
    continuations_without_end: fresh, endless(0) => CALM;
    a_block_without_end: fresh, endless(10_000) => CALM;
}
