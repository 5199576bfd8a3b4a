//! A check over HTTP/1.1: one request, on a connection of its own.

use std::cell::Cell;

use super::body::BodySearch;
use super::failure::CheckFailure;
use crate::buffer::Buffer;
use crate::fault::{Fault, Kind, Stage};
use crate::http::h1::chunked::Emit;
use crate::http::h1::framing::{self, Framing};
use crate::http::h1::parse;
use crate::http::h1::scan::{Limits, Scan};
use crate::http::message::head::{Method, Storage};
use crate::net::deadline::Activity;
use crate::net::stream::{ReadHalf, Stream};
use crate::relay::body::Body;
use crate::relay::copy::Meter;
use crate::relay::head::read_head;
use crate::upstream::check::HttpCheck;

/// Asks, and says what was wrong with the answer if it was not a good one. The caller holds the deadline; `late`
/// says what is wrong if it takes any longer.
pub(super) async fn ask(
    stream: &mut Stream,
    (asked, host): (&HttpCheck, &str),
    limits: &Limits,
    late: &Cell<Fault>,
) -> Result<(), CheckFailure> {
    let activity = Activity::new();
    let meter = Meter::new(&activity);
    let (mut read, mut write) = stream.split();
    let sent = meter.write(&mut write, request(asked, host).as_bytes()).await;
    sent.map_err(|broken| Fault::upstream(Stage::Request, broken.kind))?;
    let fault = |kind| Fault::upstream(Stage::ResponseHead, kind);
    let mut input = Buffer::new();
    loop {
        let head = read_head(&mut read, &mut input, Scan::response(), limits, &meter);
        let length = head.await.map_err(fault)?;
        let mut storage = Storage::new();
        let head = parse::response(&input.filled()[..length], limits, &mut storage)
            .map_err(|reject| fault(Kind::Rejected(reject)))?;
        if head.is_interim() {
            input.consume(length);
            continue;
        }
        CheckFailure::unless_healthy(asked, head.status)?;
        let Some(wanted) = &asked.body else { return Ok(()) };
        // Not that of HEAD, for which no body is looked for.
        let framing = framing::response(&head, Method::Other)
            .map_err(|reject| fault(Kind::Rejected(reject)))?;
        input.consume(length);
        late.set(Fault::upstream(Stage::ResponseBody, Kind::TimedOut));
        return search(BodySearch::new(wanted), framing, (&mut read, input), &meter).await;
    }
}

fn request(HttpCheck { method, path, .. }: &HttpCheck, host: &str) -> String {
    // Of these methods a server expects to be told that there is no content (RFC 9110 §8.6).
    let has_content = matches!(&**method, "POST" | "PUT" | "PATCH");
    let length = if has_content { "Content-Length: 0\r\n" } else { "" };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: evener-check\r\n{length}\
         Connection: close\r\n\r\n"
    )
}

async fn search(
    mut search: BodySearch<'_>,
    framing: Framing,
    (read, mut input): (&mut ReadHalf<'_>, Buffer),
    meter: &Meter<'_>,
) -> Result<(), CheckFailure> {
    let fault = |kind| Fault::upstream(Stage::ResponseBody, kind);
    let mut body = Body::new(framing, Emit::Data);
    loop {
        let ready = body.admit(&mut input, usize::MAX);
        let ready = ready.map_err(|reject| fault(Kind::Rejected(reject)))?;
        if ready > 0 {
            let is_wanting = search.take(&input.filled()[..ready]);
            body.pass(&mut input, ready);
            if !is_wanting {
                return search.outcome();
            }
        } else if body.has_ended() {
            return search.outcome();
        } else if meter.read(read, &mut input).await.map_err(|broken| fault(broken.kind))? == 0 {
            body.close().map_err(fault)?;
        }
    }
}
