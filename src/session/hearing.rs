//! The head of an answer, as it comes from an endpoint.

use super::request_log::RequestLog;
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::http::h1::scan::{Limits, Scan};
use crate::http::h2::stream::Arrived;
use crate::net::mux_stream::MuxStream;
use crate::net::stream::ReadHalf;
use crate::relay::copy::{Broken, End, Meter};
use crate::relay::head::read_head;

/// How much is read at first of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRead {
    /// As much as a buffer holds.
    Large,
    /// 16 KiB at most, into room that is taken only once there is something to read: the answer goes to a stream.
    Small,
}

/// What is read at first of an answer that goes to a stream, in bytes: a hundred clients' streams may take none
/// of it for long. Of a body, no more is read than a stream takes.
const ANSWER_BYTES_MIN: usize = 16 * 1024;

/// The head of an answer, as it came.
pub enum Heard {
    /// Bytes: perhaps all of it.
    Bytes,
    /// So many bytes at the front of what was received, no more and no less.
    Whole(usize),
    /// A field section.
    Section(Arrived),
}

/// Waits for the first bytes of an answer on a connection, which are nearly always all of its head
/// ([`super::directions::Directions::first_bytes`] does that for most). If bytes have come before, waits until the head
/// is whole.
///
/// Not an async function: that would keep its arguments twice.
pub fn hear<'a>(
    from: &'a mut ReadHalf<'_>,
    (received, first): (&'a mut Buffer, FirstRead),
    limits: &'a Limits,
    meter: &'a Meter<'_>,
    request_log: Option<&'a RequestLog>,
) -> impl Future<Output = Result<Heard, Broken>> {
    async move {
        if !received.is_empty() {
            let read = read_head(from, received, Scan::response(), limits, meter).await;
            return read.map(Heard::Whole).map_err(|kind| Broken { end: End::Source, kind });
        }
        if first == FirstRead::Small {
            meter.readable(from).await?;
            received.begin_with_room(ANSWER_BYTES_MIN);
        }
        if meter.read(from, received).await? == 0 {
            return Err(Broken { end: End::Source, kind: Kind::Closed });
        }
        if let Some(request_log) = request_log {
            request_log.heard();
        }
        Ok(Heard::Bytes)
    }
}

/// Waits for the head of an answer on a stream.
pub async fn hear_on_stream(
    from: &MuxStream,
    meter: &Meter<'_>,
    request_log: Option<&RequestLog>,
) -> Result<Heard, Broken> {
    let arrived = meter.head(from).await?;
    if let Some(request_log) = request_log {
        request_log.heard();
    }
    Ok(Heard::Section(arrived))
}
