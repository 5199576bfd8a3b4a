//! The request's direction of a transfer.

use std::future::Future;

use tokio::time::Instant;

use super::directions::Directions;
use super::mirror;
use super::request_copy::Mirroring;
use super::transfer_state::DownloadState;
use super::upstream_side::RequestOpening;
use crate::buffer::Buffer;
use crate::fault::Fault;
use crate::relay::body::Body;
use crate::relay::copy::{Broken, Meter};
use crate::relay::ends::{Sink, Source};
use crate::relay::message::relay;

/// Sends what goes at once of a request, which is all of it if `is_whole` and that goes: most are short, and to send
/// them before anything is set up to wait for that saves 300 instructions.
#[inline]
pub(super) fn begin(
    opening: &mut RequestOpening<'_>,
    both: &Directions<'_>,
    up: &Meter<'_>,
    (is_whole, now): (bool, Option<Instant>),
) -> Result<(), Fault> {
    let begun = match opening.try_send(up) {
        Ok(true) if is_whole => both.uploaded_at(now),
        Ok(_) => Ok(()),
        Err(broken) => both.uploaded(Err(broken)),
    };
    begun.map_err(|interruption| interruption.fault(both.upload(), DownloadState::Head))
}

/// Sends what is left of a request: of what is sent first, and if that is not all of it, of its body.
///
/// Not an async function: that would keep its arguments twice.
pub(super) fn rest<'a>(
    (opening, is_whole): (&'a mut RequestOpening<'_>, bool),
    (body, input): (&'a mut Body, &'a mut Buffer),
    (from, to): (Source<'a>, Sink<'a>),
    (up, mirror): (&'a Meter<'_>, &'a Mirroring),
) -> impl Future<Output = Result<(), Broken>> {
    async move {
        opening.send(up).await?;
        // All has been sent, or what follows the head is the beginning of a tunnel.
        if is_whole {
            return Ok(());
        }
        relay(body, input, from, to, up).await?;
        mirror::send(mirror);
        Ok(())
    }
}
