//! How a transfer has ended, and what that means for another attempt.

use super::client::Begun;
use super::retry::FailedAttempt;
use super::transfer_state::UploadState;
use super::upstream_side::{UpstreamSide, reset_of, verdict};
use crate::fault::{Fault, Kind, Progress, Side};
use crate::http::h2::error_code::ErrorCode;
use crate::net::deadline::Timer;

/// What had been sent of a request when its transfer ended.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    /// In bytes.
    pub(super) bytes: u64,
    /// What had become of it.
    pub(super) upload: UploadState,
    /// Whether more than what is kept was, or part of an answer has come.
    pub(super) is_underway: bool,
}

/// Notes what was sent, and says how much its connection had carried before. However that is closed now, a request
/// that was cut must not look whole. And one whose answer nobody waits for any more is given up at once: after an
/// orderly close, our port would be taken for a minute (`TIME_WAIT`), and clients that leave could use up all of them.
#[inline]
pub(super) fn note_sent(upstream: &mut UpstreamSide, sent: Sent, is_failed: bool) -> u64 {
    let UpstreamSide::H1(lease) = upstream else { return 0 };
    let before = lease.carried;
    lease.carried = lease.stream.carried_after(before, sent.bytes);
    if sent.upload != UploadState::Done || is_failed {
        lease.stream.set_reset_on_close(true);
    }
    before
}

/// What the fault that has ended a transfer means for another attempt. Its connection had carried so many bytes
/// `before`.
pub(super) async fn failed(
    fault: Fault,
    upstream: &mut UpstreamSide,
    Sent { bytes, upload, is_underway }: Sent,
    (before, begun, is_idempotent): (u64, Option<Begun>, bool),
    timer: &mut Timer,
) -> FailedAttempt {
    let failed = |fault, sent, was_stale| {
        let progress = if is_underway { Progress::Underway } else { sent };
        let was_stale = was_stale && !is_underway;
        FailedAttempt { fault, progress, begun, was_stale, reset: None }
    };
    match upstream {
        UpstreamSide::H1(lease) => {
            // What TLS has sent of a block counts, though none of its bytes is known to be taken yet.
            let is_unsent = bytes == 0 && lease.carried == before;
            let sent = if is_unsent { Progress::Unsent } else { Progress::Unanswered };
            let attempt = failed(fault, sent, false);
            attempt.investigated(lease, before, upload, is_idempotent, timer).await
        }
        UpstreamSide::H2(opened, _) => {
            let (sent, was_stale) = verdict(opened, fault);
            if let (Side::Upstream, Kind::Rejected(_)) = (fault.side, fault.kind) {
                // RFC 9113 §8.1.1: that is what a malformed answer is.
                opened.stream.set_unfinished(ErrorCode::ProtocolError);
            }
            let attempt =
                FailedAttempt { reset: reset_of(opened, fault), ..failed(fault, sent, was_stale) };
            if attempt.was_stale && attempt.reset == Some(ErrorCode::EnhanceYourCalm) {
                // Node refuses every stream like that once 10 MB wait on a connection.
                opened.stream.mux().retire();
            }
            attempt
        }
    }
}
