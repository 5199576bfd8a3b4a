//! One balancer for all these tests, the states of a connection to it, and what may come of frames.

use std::net::SocketAddr;
use std::sync::LazyLock;

use crate::support::h2::{Frame, RawClient, error, flag, get, kind, post};
use crate::support::origin::ok_head;
use crate::support::wire::Wire;
use crate::support::{Conn, Origin, Proxy};

/// What frames lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: the connection serves on.
    Ignored,
    /// The request of this stream is answered with 200 and this body.
    Answered(u32, &'static str),
    /// `RST_STREAM` with this code; the connection serves on.
    Reset(u32, u32),
    /// GOAWAY with one of these codes, and the end of the connection.
    Over(&'static [u32]),
}

pub const PROTOCOL: Outcome = Outcome::Over(&[error::PROTOCOL_ERROR]);
pub const SIZE: Outcome = Outcome::Over(&[error::FRAME_SIZE_ERROR]);
pub const CLOSED: Outcome = Outcome::Over(&[error::STREAM_CLOSED]);
pub const FLOW: Outcome = Outcome::Over(&[error::FLOW_CONTROL_ERROR]);
pub const COMPRESSION: Outcome = Outcome::Over(&[error::COMPRESSION_ERROR]);

/// A stream that no test uses.
const LATER: u32 = 1001;

/// Where the balancer listens; it lives as long as the process.
pub fn address() -> SocketAddr {
    static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(|| {
        let origin = Box::leak(Box::new(Origin::start(serve)));
        Box::leak(Box::new(Proxy::before(&[origin], &[]))).address
    });
    *ADDRESS
}

/// Answers with the body of the request, or never if its path is `/never`.
fn serve(mut conn: Conn) {
    while let Some(head) = conn.head() {
        if head.starts_with("GET /never ") || head.starts_with("POST /never ") {
            conn.rest();
            return;
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = match length {
            Some(length) => conn.bytes(length.parse().unwrap()),
            None if head.contains("\r\ntransfer-encoding: chunked") => chunks(&mut conn),
            None => Some(Vec::new()),
        };
        let Some(body) = body else { return };
        conn.send([ok_head(body.len()), body].concat());
    }
}

/// The data of a chunked body, with or without trailers.
fn chunks(conn: &mut Conn) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let line = String::from_utf8(conn.line()).ok()?;
        let size = usize::from_str_radix(line.strip_suffix("\r\n")?, 16).ok()?;
        data.extend(conn.bytes(size)?);
        if size == 0 {
            while conn.line().len() > 2 {}
            return Some(data);
        }
        conn.line();
    }
}

// States of a connection.

/// Nothing but SETTINGS has been exchanged.
pub fn fresh() -> RawClient {
    RawClient::connect(address())
}

/// Stream 1 is open: a request that has begun.
pub fn open() -> RawClient {
    let mut client = fresh();
    client.send(Frame::headers(1, &post("/")));
    client
}

/// Stream 1 is half-closed: its request is whole, its answer has not come.
pub fn waiting() -> RawClient {
    let mut client = fresh();
    client.get(1, "/never");
    client
}

/// Stream 1 has ended well.
pub fn answered() -> RawClient {
    let mut client = fresh();
    client.get(1, "/");
    client.expect_answer(1, 200);
    client
}

/// The client has reset stream 1.
pub fn abandoned() -> RawClient {
    let mut client = fresh();
    client.send_all([Frame::headers(1, &post("/never")), Frame::reset(1, error::CANCEL)]);
    client.expect_alive();
    client
}

/// The balancer has reset stream 1, for what the client did.
pub fn broken() -> RawClient {
    let mut client = fresh();
    client.send_all([Frame::headers(1, &post("/never")), Frame::window_update(1, 0)]);
    client.expect_reset(1, error::PROTOCOL_ERROR);
    client
}

/// Sends frames and checks what comes of them.
pub fn check(mut client: RawClient, frames: impl IntoIterator<Item = Frame>, outcome: &Outcome) {
    client.send_all(frames);
    settled(&mut client, outcome);
}

/// Checks what comes of what has been sent.
pub fn settled<S: Wire>(client: &mut RawClient<S>, outcome: &Outcome) {
    match *outcome {
        Outcome::Ignored => {}
        Outcome::Answered(stream, body) => {
            assert_eq!(client.expect_answer(stream, 200).text(), body);
        }
        Outcome::Reset(stream, code) => client.expect_reset(stream, code),
        Outcome::Over(codes) => {
            let frame = client.until("GOAWAY", |frame| frame.kind == kind::GOAWAY);
            assert!(codes.contains(&frame.code()), "{frame:?}");
            client.expect_end();
            return;
        }
    }
    serves(client);
}

/// Checks that the connection is as good as before, and that no other stream has been reset.
pub fn serves<S: Wire>(client: &mut RawClient<S>) {
    client.get(LATER, "/");
    client.expect_answer(LATER, 200);
    assert!(!client.has_come(|frame| [kind::GOAWAY, kind::RST_STREAM].contains(&frame.kind)));
}

// Frames.

/// A whole GET request.
pub fn request(stream: u32) -> Frame {
    Frame::headers(stream, &get("/")).end()
}

/// The head of a POST request whose body is to follow.
pub fn begun(stream: u32) -> Frame {
    Frame::headers(stream, &post("/"))
}

/// A request in two parts: HEADERS without an end, and what is left of its block.
pub fn halves(stream: u32) -> (Frame, Vec<u8>) {
    let Frame { payload, .. } = request(stream);
    let (first, second) = payload.split_at(10);
    (Frame::new(kind::HEADERS, flag::END_STREAM, stream, first), second.to_vec())
}
