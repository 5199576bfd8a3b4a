//! A check over HTTP/1.1: one request, on a connection that the next check uses again where the endpoint keeps it.

use std::cell::Cell;

use super::body::BodySearch;
use super::failure::CheckFailure;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Stage};
use crate::http::h1::chunked::Emit;
use crate::http::h1::framing::{self, Framing};
use crate::http::h1::parse;
use crate::http::h1::persistence::Options;
use crate::http::h1::scan::{Limits, Scan};
use crate::http::message::head::{Method, ResponseHead, Storage};
use crate::net::deadline::Activity;
use crate::net::stream::{ReadHalf, Stream};
use crate::reject::Reject;
use crate::relay::body::Body;
use crate::relay::copy::Meter;
use crate::relay::head::read_head;
use crate::upstream::check::HttpCheck;

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckConnection {
    /// It can carry another request.
    Kept,
    /// It is closed.
    Closed,
}

/// Sends the `request`, and says what was wrong with the answer if it was not a good one. The caller holds the deadline;
/// `late` says what is wrong if it takes any longer. The connection is `wanted` afterwards, or the endpoint has been told in the
/// request that it is not.
pub(super) async fn ask(
    stream: &mut Stream,
    (asked, request): (&HttpCheck, &str),
    limits: &Limits,
    (late, wanted): (&Cell<Fault>, CheckConnection),
) -> Result<CheckConnection, CheckFailure> {
    let activity = Activity::new();
    let meter = Meter::new(&activity);
    let (mut read, mut write) = stream.split();
    let sent = meter.write(&mut write, request.as_bytes()).await;
    sent.map_err(|broken| Fault::upstream(Stage::Request, broken.kind))?;
    let fault = |kind| Fault::upstream(Stage::ResponseHead, kind);
    let mut input = Buffer::new();
    loop {
        if input.is_empty() {
            let count = meter.read(&mut read, &mut input).await;
            if count.map_err(|broken| fault(broken.kind))? == 0 {
                return Err(fault(Kind::Closed).into());
            }
        }
        let (head, length) = if let Some(whole) = whole_head(asked, input.filled(), limits) {
            whole
        } else {
            let length = read_head(&mut read, &mut input, Scan::response(), limits, &meter);
            let length = length.await.map_err(fault)?;
            let mut storage = Storage::new();
            let head = parse::response(&input.filled()[..length], limits, &mut storage)
                .map_err(|reject| fault(Kind::Rejected(reject)))?;
            (AnswerHead::of(asked, &head), length)
        };
        input.consume(length);
        let AnswerHead { status, is_interim, persists, framing } = head;
        if is_interim {
            continue;
        }
        CheckFailure::unless_healthy(asked, status)?;
        let mut answer =
            Answer { framing, persists: persists && wanted == CheckConnection::Kept, input };
        let Some(text) = &asked.body else { return Ok(answer.after()) };
        late.set(Fault::upstream(Stage::ResponseBody, Kind::TimedOut));
        let framing = framing.map_err(|reject| fault(Kind::Rejected(reject)))?;
        search(BodySearch::new(text), framing, (&mut read, &mut answer.input), &meter).await?;
        return Ok(CheckConnection::Closed);
    }
}

/// What the head of an answer says.
struct AnswerHead {
    status: u16,
    is_interim: bool,
    persists: bool,
    framing: Result<Framing, Reject>,
}

impl AnswerHead {
    fn of(asked: &HttpCheck, head: &ResponseHead<'_, '_>) -> Self {
        let persists = Options::of(&head.fields).persists(head.version);
        let method = if &*asked.method == "HEAD" { Method::Head } else { Method::Other };
        let (is_interim, framing) = (head.is_interim(), framing::response(head, method));
        Self { status: head.status, is_interim, persists, framing }
    }
}

/// That at the front of `bytes` and its length, if all of it has come and it is plain.
fn whole_head(asked: &HttpCheck, bytes: &[u8], limits: &Limits) -> Option<(AnswerHead, usize)> {
    let mut storage = Storage::new();
    let (head, length) = parse::whole_response(bytes, limits, &mut storage)?;
    Some((AnswerHead::of(asked, &head), length))
}

/// What follows the head of an answer.
struct Answer {
    framing: Result<Framing, Reject>,
    persists: bool,
    input: Buffer,
}

impl Answer {
    /// Whether all of the answer has come, and nothing else: what is still to come is not waited for.
    fn after(&mut self) -> CheckConnection {
        let Ok(framing) = self.framing else { return CheckConnection::Closed };
        if !self.persists {
            return CheckConnection::Closed;
        }
        let mut body = Body::new(framing, Emit::Data);
        while let Ok(ready @ 1..) = body.admit(&mut self.input, usize::MAX) {
            body.pass(&mut self.input, ready);
        }
        if body.has_ended() && self.input.is_empty() {
            CheckConnection::Kept
        } else {
            CheckConnection::Closed
        }
    }
}

/// What is sent.
pub(super) fn request(
    HttpCheck { method, path, .. }: &HttpCheck,
    host: &str,
    wanted: CheckConnection,
) -> Box<str> {
    // Of these methods a server expects to be told that there is no content (RFC 9110 §8.6).
    let has_content = matches!(&**method, "POST" | "PUT" | "PATCH");
    let length = if has_content { "Content-Length: 0\r\n" } else { "" };
    let close = if wanted == CheckConnection::Kept { "" } else { "Connection: close\r\n" };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: evener-check\r\n{length}{close}\r\n"
    )
    .into()
}

async fn search(
    mut search: BodySearch<'_>,
    framing: Framing,
    (read, input): (&mut ReadHalf<'_>, &mut Buffer),
    meter: &Meter<'_>,
) -> Result<(), CheckFailure> {
    let fault = |kind| Fault::upstream(Stage::ResponseBody, kind);
    let mut body = Body::new(framing, Emit::Data);
    loop {
        let ready = body.admit(input, usize::MAX);
        let ready = ready.map_err(|reject| fault(Kind::Rejected(reject)))?;
        if ready > 0 {
            let is_wanting = search.take(&input.filled()[..ready]);
            body.pass(input, ready);
            if !is_wanting {
                return search.outcome();
            }
        } else if body.has_ended() {
            return search.outcome();
        } else if meter.read(read, input).await.map_err(|broken| fault(broken.kind))? == 0 {
            body.close().map_err(fault)?;
        }
    }
}
