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

/// What is read at first of an answer that goes to a stream, in bytes: a hundred clients' streams may take none
/// of it for long. Of a body, no more is read than a stream takes.
pub const ANSWER_BYTES_MIN: usize = 16 * 1024;

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
pub async fn hear(
    from: &mut ReadHalf<'_>,
    received: &mut Buffer,
    limits: &Limits,
    meter: &Meter<'_>,
    request_log: Option<&RequestLog>,
) -> Result<Heard, Broken> {
    if received.is_empty() {
        if meter.read(from, received).await? == 0 {
            return Err(Broken { end: End::Source, kind: Kind::Closed });
        }
        if let Some(request_log) = request_log {
            request_log.heard();
        }
        return Ok(Heard::Bytes);
    }
    let read = read_head(from, received, Scan::response(), limits, meter).await;
    read.map(Heard::Whole).map_err(|kind| Broken { end: End::Source, kind })
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
