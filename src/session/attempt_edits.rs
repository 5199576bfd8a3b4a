//! What filters change about a request for one endpoint: its head is written once more, and what it was
//! before is kept for another attempt.

use super::record::AttemptTarget;
use crate::buffer::{Buffer, HEAD_BYTES_CEILING};
use crate::filters::calls::{AttemptedAt, EndpointAttempt};
use crate::filters::{Filtered, Filters};
use crate::http::h1::encode::{self, ConnectionHeader};
use crate::http::h1::framing;
use crate::http::h1::parse;
use crate::http::h1::persistence::Options;
use crate::http::h1::scan::Limits;
use crate::http::message::edits::Edits;
use crate::http::message::head::{FIELDS_CEILING, Storage};
use crate::plan::context::WorkerContext;
use crate::reject::Reject;
use crate::trace::context::TraceContext;

/// What we have written ourselves: as long as it may be.
pub(super) const WRITTEN_LIMITS: Limits =
    Limits { head_bytes_max: 3 * HEAD_BYTES_CEILING, fields_max: FIELDS_CEILING };

/// A head that was changed for one attempt.
pub struct HeadBefore {
    /// What it was.
    bytes: Box<[u8]>,
    /// How long it is now.
    now: usize,
}

/// Has filters edit the head of a request for the endpoint that is tried next, as it was before they did so
/// for another.
#[inline]
pub(super) fn edit<F: Filters>(
    (outgoing, head_before): (&mut Buffer, &mut Option<Box<HeadBefore>>),
    filtered: &mut Filtered<'_, F>,
    (upgrade, retold): (bool, Option<TraceContext>),
    (context, target): (&WorkerContext, &AttemptTarget),
) -> Result<(), Reject> {
    if let Some(before) = head_before.take() {
        before.undo(outgoing);
    }
    if let Some(trace) = retold {
        let bytes = outgoing.filled_mut();
        let end = memchr::memmem::find(bytes, b"\r\n\r\n").unwrap_or(bytes.len());
        // Filters may have said something else.
        let _ = trace.rewrite(&mut bytes[..end]);
    }
    let Filtered { filters, context: kept, .. } = filtered;
    let &AttemptTarget { upstream, endpoint, .. } = target;
    let attempt = EndpointAttempt { at: AttemptedAt { plan: &context.plan, upstream, endpoint } };
    let mut edits = Edits::new();
    filters.attempt(&attempt, &mut edits, kept);
    if edits.is_empty() {
        return Ok(());
    }
    *head_before = Some(Box::new(rewrite(outgoing, &edits, upgrade)?));
    Ok(())
}

#[inline(never)]
fn rewrite(outgoing: &mut Buffer, edits: &Edits<'_>, upgrade: bool) -> Result<HeadBefore, Reject> {
    let mut edited = Buffer::new();
    let bytes = outgoing.filled();
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
    let (before, body) = bytes.split_at(end);
    let connection = if upgrade { ConnectionHeader::Upgrade } else { ConnectionHeader::Implied };
    {
        let mut storage = Storage::new();
        let head = parse::request(before, &WRITTEN_LIMITS, &mut storage)?;
        let (options, framing) = (Options::of(&head.fields), framing::request(&head)?);
        encode::request(&head, options, edits, framing, connection, &mut edited)?;
    }
    let (before, now) = (before.into(), edited.len());
    append(&mut edited, body)?;
    *outgoing = edited;
    Ok(HeadBefore { bytes: before, now })
}

impl HeadBefore {
    /// Undoes that, whatever has been added to the body since.
    fn undo(&self, outgoing: &mut Buffer) {
        let body = outgoing.filled().get(self.now..).unwrap_or_default();
        let mut restored = Buffer::new();
        // As much has fitted before.
        if append(&mut restored, &self.bytes).and_then(|()| append(&mut restored, body)).is_ok() {
            *outgoing = restored;
        }
    }
}

/// Appends all of `bytes`, in a large block if need be.
pub(super) fn append(out: &mut Buffer, bytes: &[u8]) -> Result<(), Reject> {
    let written = out.append(bytes);
    let rest = &bytes[written..];
    if !rest.is_empty() {
        out.enlarge();
    }
    if out.append(rest) < rest.len() { Err(Reject::HeadTooLarge) } else { Ok(()) }
}
